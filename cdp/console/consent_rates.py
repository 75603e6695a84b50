"""Which words earn trust: for one purpose how many were asked, answered and said yes, by week, by version and by way.

What is counted stands in `consent.rates`; what chance could have made, in `segments.estimates`.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cdp.ingestion.models import Source
from cdp.profiles.models import Workspace
from cdp.small_charts import Share, share_chart, week_bars
from consent.models import Method, Mode, NoticeVersion, Purpose
from consent.rates import Funnel, Week, funnels, ways, weeks
from segments.estimates import by_chance, wilson

SPANS: Final = [("4", "4 weeks"), ("12", "12 weeks"), ("26", "26 weeks"), ("52", "52 weeks")]
# One in twenty comparisons of the same words looks this different.
CHANCE: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A share with its 95 % interval; None of all where nobody was asked."""

    found: int
    of: int
    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def of_counts(cls, found: int, of: int) -> "Rate":
        low, high = wilson(found, of) if of else (None, None)
        return cls(found=found, of=of, share=found / of if of else None, low=low, high=high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A version with what came of showing it."""

    version: NoticeVersion
    funnel: Funnel
    decided: Rate
    granted: Rate


class Asked(forms.Form):
    purpose = forms.ChoiceField(label="Purpose", required=False, widget=forms.Select(attrs={"class": "in"}))
    weeks = forms.ChoiceField(label="Over", required=False, choices=SPANS, widget=forms.Select(attrs={"class": "in"}))
    a = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    b = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)

    def __init__(self, *args: Any, purposes: list[Purpose], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["purpose"].choices = [(one.key, one.label) for one in purposes]  # type: ignore[attr-defined]


def rates_view(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm("consent.view_notice"):
        raise PermissionDenied
    purposes = list(Purpose.objects.exclude(mode=Mode.NOTICE_ONLY))
    form = Asked({"weeks": "12", **request.GET.dict()}, purposes=purposes)
    if not form.is_valid():
        return render(request, "consent/rates.html", {"form": form, "title": "Consent rates"}, status=400)
    given = form.cleaned_data
    by_key = {one.key: one for one in purposes}
    purpose = by_key.get(given["purpose"]) or next((one for one in purposes if one.mode == Mode.OPT_IN), None)
    if purpose is None:
        return render(request, "consent/rates.html", {"form": form, "title": "Consent rates"})
    workspace = Workspace.current()
    since, until, mondays = _span(int(given["weeks"]), workspace.now())
    counted = weeks(purpose_id=purpose.pk, since=since, until=until, time_zone=workspace.time_zone)
    rows = [counted.get(day, Week(begins=day, granted=0, refused=0, withdrawn=0)) for day in mondays]
    series = [(week, Rate.of_counts(week.granted, week.answered)) for week in rows]
    total = Rate.of_counts(sum(week.granted for week in rows), sum(week.answered for week in rows))
    shown = _shown(purpose, since, until)
    context = {
        "form": form,
        "title": "Consent rates",
        "purpose": purpose,
        "weeks": given["weeks"],
        "series": series,
        "total": total,
        "withdrawn": sum(week.withdrawn for week in rows),
        "bars": week_bars([(week.begins, week.withdrawn) for week in rows]),
        "chart": share_chart([_point(week, rate) for week, rate in series]),
        "shown": shown,
        "comparison": _comparison(shown, given["a"], given["b"]),
        "ways": _ways(purpose, since, until),
    }
    return render(request, "consent/rates.html", context)


def _span(count: int, now: datetime) -> tuple[datetime, datetime, list[date]]:
    """So many whole weeks of the workspace's time up to and with this one: from when, until when, and their Mondays."""
    today = timezone.localtime(now).date()
    this = today - timedelta(days=today.weekday())
    mondays = [this - timedelta(weeks=back) for back in range(count - 1, -1, -1)]
    ends = (timezone.make_aware(datetime.combine(day, time.min)) for day in (mondays[0], this + timedelta(weeks=1)))
    since, until = ends
    return since, until, mondays


def _point(week: Week, rate: Rate) -> Share:
    if rate.share is None:
        return Share(begins=week.begins, share=None)
    return Share(
        begins=week.begins, share=rate.share, low=rate.low or 0.0, high=1.0 if rate.high is None else rate.high
    )


def _shown(purpose: Purpose, since: datetime, until: datetime) -> list[Shown]:
    """Versions that were shown in the span and ask about the purpose, those of one notice and language together."""
    versions = {one.pk: one for one in NoticeVersion.objects.select_related("notice").defer("content")}
    found = funnels(purpose_id=purpose.pk, version_ids=list(versions), since=since, until=until)
    rows = [
        Shown(
            version=versions[one.version_id],
            funnel=one,
            decided=Rate.of_counts(one.decided, one.shown),
            granted=Rate.of_counts(one.granted, one.shown),
        )
        for one in found
        if one.decided
    ]
    return sorted(rows, key=lambda row: (row.version.notice.label, row.version.locale, -row.version.number))


def _comparison(shown: list[Shown], a: int | None, b: int | None) -> dict[str, Any] | None:
    """Two versions and whether they differ by more than chance: those named, or the newest two of one language."""
    by_pk = {row.version.pk: row for row in shown}
    first, second = by_pk.get(a or 0), by_pk.get(b or 0)
    if first is None or second is None:
        pairs = [
            (older, newer)
            for newer, older in pairwise(shown)
            if (newer.version.notice_id, newer.version.locale) == (older.version.notice_id, older.version.locale)
        ]
        if not pairs:
            return None
        first, second = pairs[0]
    if first.version.pk == second.version.pk:
        return None
    chance = by_chance(first.granted.found, first.granted.of, second.granted.found, second.granted.of)
    better = max((first, second), key=lambda row: row.granted.share or 0.0)
    return {
        "first": first,
        "second": second,
        "better": better,
        "differs": chance < CHANCE,
        "chance": _in_words(chance),
    }


def _in_words(chance: float) -> str:
    """How often chance alone would make a difference as large."""
    if chance < 0.001:
        return "less than once in 1,000 such comparisons"
    if chance < CHANCE:
        return f"about once in {round(1 / chance):,} such comparisons"
    return f"in about {max(1, round(chance * 100))} of 100 such comparisons"


def _ways(purpose: Purpose, since: datetime, until: datetime) -> list[tuple[Any, str, Source | None, Rate]]:
    rows = ways(purpose_id=purpose.pk, since=since, until=until)
    sources = Source.objects.in_bulk({row.source_id for row in rows if row.source_id})
    return [
        (row, Method(row.method).label, sources.get(row.source_id or 0), Rate.of_counts(row.granted, row.answered))
        for row in rows
    ]

"""The screen of a segment's past: its size over time, who came and went, its versions, and what one changes against another.

Sizes are counted in `segments.history`, versions compared in `segments.versions`; setting one live is an act of
`segments.admin`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from cdp.audit.admin_base import actor_of, reader_of
from cdp.charts import ROLES, Column, Figure, Height, Series, came_and_went, over_time
from cdp.errors import DomainError
from cdp.profiles.masking import display_name, masked_identifier
from cdp.profiles.models import Identifier, Profile, Workspace
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error, purposes_for_lists
from segments import views
from segments.history import Pace, Step, size_history
from segments.models import Segment, SegmentStatus, SegmentVersion
from segments.previews import PREVIEW_SECONDS
from segments.rules import RuleErrors, parse
from segments.rules.compare import Change, compare
from segments.screens.frame import demand, frame, segment_or_404
from segments.sharing import catalog_visible_to
from segments.versions import Side, compare_versions

PAGE = 25
SAMPLE = 5


@dataclass(frozen=True, kw_only=True)
class Span:
    """How far back the pictures go."""

    key: str
    label: str
    length: timedelta
    pace: Pace


SPANS = (
    Span(key="2d", label="48 hours", length=timedelta(hours=48), pace=Pace.HOUR),
    Span(key="30d", label="30 days", length=timedelta(days=30), pace=Pace.DAY),
    Span(key="90d", label="90 days", length=timedelta(days=90), pace=Pace.DAY),
    Span(key="1y", label="1 year", length=timedelta(days=365), pace=Pace.DAY),
)
USUAL = SPANS[1]


def span_of(request: HttpRequest) -> Span:
    return next((span for span in SPANS if span.key == request.GET.get("span")), USUAL)


def page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Pictures come afterwards; the versions, newest first, by pages that begin below a number."""
    segment = segment_or_404(request, uuid)
    before = request.GET.get("before", "")
    found = segment.versions.select_related("created_by")
    if before.isdecimal() and len(before) < 10:
        found = found.filter(number__lt=int(before))
    versions = list(found[: PAGE + 1])
    context = {
        **frame(request, segment),
        "spans": SPANS,
        "span": span_of(request),
        "rows": [(version, views.sentence_of(request, version.rule)) for version in versions[:PAGE]],
        "is_first": not before,
        "next_before": versions[PAGE - 1].number if len(versions) > PAGE else None,
    }
    return render(request, "segments/history.html", context)


def size_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Size over time, and who entered and left in each day or hour."""
    segment = segment_or_404(request, uuid)
    span = span_of(request)
    until = timezone.now()
    steps = size_history(segment, since=until - span.length, until=until, pace=span.pace)
    context = {
        "segment": segment,
        "span": span,
        "spans": SPANS,
        "entered": sum(step.entered for step in steps),
        "left": sum(step.exited for step in steps),
        "difference": sum(step.entered - step.exited for step in steps),
        **figures_of(steps, span),
    }
    return render(request, "segments/_size.html", context)


def figures_of(steps: Sequence[Step], span: Span) -> dict[str, Figure]:
    zone = Workspace.current().zone
    local = [step.start.astimezone(zone) for step in steps]
    at = [f"{one:%Y-%m-%d}" if span.pace is Pace.DAY else f"{one:%Y-%m-%dT%H:%M}" for one in local]
    each = [f"{one:%-d %b %Y}" if span.pace is Pace.DAY else f"{one:%-d %b %Y, %H:%M}" for one in local]
    first, last = (steps[0].size, steps[-1].size) if steps else (0, 0)
    entered, left = sum(step.entered for step in steps), sum(step.exited for step in steps)
    unit = "Day" if span.pace is Pace.DAY else "Hour from"
    moments = span.pace.value
    size = over_time(
        at=at,
        series=[Series(name="People", values=[step.size for step in steps], color=ROLES["members"])],
        about=f"Size over {span.label}: from {first:,} to {last:,} people.",
        moments=moments,
        is_filled=True,
    )
    moved = came_and_went(
        at=at,
        came=[step.entered for step in steps],
        went=[step.exited for step in steps],
        about=f"Over {span.label} {entered:,} entered and {left:,} left.",
        moments=moments,
    )
    newest_first = list(zip(each, steps, strict=True))[::-1]
    return {
        "size": Figure(
            id="size",
            title=f"Size over {span.label}",
            about=f"Size over {span.label}: from {first:,} to {last:,} people.",
            options=size,
            columns=[Column(label=unit, is_number=False), Column(label="People at its end")],
            rows=[(name, f"{step.size:,}") for name, step in newest_first],
        ),
        "moved": Figure(
            id="moved",
            title=f"Who entered and left over {span.label}",
            about=f"Over {span.label} {entered:,} entered and {left:,} left.",
            options=moved,
            columns=[Column(label=unit, is_number=False), Column(label="Entered"), Column(label="Left")],
            rows=[(name, f"{step.entered:,}", f"{step.exited:,}") for name, step in newest_first],
            height=Height.LOW,
        ),
    }


# ---- Two versions ----------------------------------------------------------------------------------------------------


def difference_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What one version changes against another; and, where it may be put live, the button that does it."""
    segment = segment_or_404(request, uuid)
    before, after = _two_of(request, segment)
    changes, unreadable = changes_between(request, before.rule, after.rule)
    context = {
        **frame(request, segment),
        "before": before,
        "after": after,
        "sentences": [views.sentence_of(request, one.rule) for one in (before, after)],
        "changes": changes,
        "unreadable": unreadable,
        "numbers": list(segment.versions.values_list("number", flat=True)[:200]),
        "is_older": segment.live_version is not None and after.number < segment.live_version.number,
        "may_put_live": after.pk != segment.live_version_id and segment.status != SegmentStatus.ARCHIVED,
        "purposes": purposes_for_lists(),
        "chosen_purpose": INTERNAL_ANALYSIS,
    }
    return render(request, "segments/difference.html", context)


def people_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Who would enter, leave and stay. A read of people: for a purpose, and audited."""
    segment = segment_or_404(request, uuid)
    demand(request, segment, "view_members")
    before, after = _two_of(request, segment)
    context: dict[str, Any] = {"before": before, "after": after}
    try:
        purpose = purpose_or_error(request.GET.get("purpose") or INTERNAL_ANALYSIS)
        found = compare_versions(before=before, after=after, purpose=purpose, by=actor_of(request), sample_size=SAMPLE)
    except RuleErrors as errors:
        context["refused"] = str(errors)
    except DomainError as error:
        context["refused"] = error.message
    except OperationalError:
        context["refused"] = f"Counting took longer than {PREVIEW_SECONDS} seconds and was stopped."
    else:
        errors_found = [*found.before_errors, *found.after_errors]
        context |= {
            "people": found.people,
            "purpose": purpose,
            "refused": "; ".join(error.message for error in errors_found),
            "sides": _sides(found.people) if found.people else [],
        }
    return render(request, "segments/_people_difference.html", context)


def _sides(people: Any) -> list[tuple[str, str, Side, list[tuple[Profile, str]]]]:
    named = names_of([person for side in (people.entering, people.leaving) for person in side.sample])
    return [
        (name, icon, side, [(person, named[person.pk]) for person in side.sample])
        for name, icon, side in (("enter", "plus", people.entering), ("leave", "minus", people.leaving))
    ]


def names_of(people: Sequence[Profile]) -> dict[int, str]:
    """What to call each of them on a screen, masked."""
    identifiers = {
        one.profile_id: one for one in Identifier.objects.filter(profile__in=people).order_by("profile_id", "namespace")
    }
    return {
        person.pk: display_name(
            person.traits,
            fallback=masked_identifier(identifiers[person.pk].namespace, identifiers[person.pk].value)
            if person.pk in identifiers
            else str(person.uuid),
            is_masked=True,
        )
        for person in people
    }


def _two_of(request: HttpRequest, segment: Segment) -> tuple[SegmentVersion, SegmentVersion]:
    """The two versions that are asked for; the live one, or else the newest, where one isn't named."""
    usual = segment.live_version or segment.versions.first()
    if usual is None:
        raise Http404
    return _version(request, segment, "before", usual), _version(request, segment, "after", usual)


def _version(request: HttpRequest, segment: Segment, name: str, usual: SegmentVersion) -> SegmentVersion:
    number = request.GET.get(name, "")
    if not number:
        return usual
    if not (number.isdecimal() and len(number) < 10):
        raise Http404
    return get_object_or_404(segment.versions.select_related("created_by"), number=int(number))


def changes_between(request: HttpRequest, before: Any, after: Any) -> tuple[list[Change], str]:
    """What changes from one rule's document to another's, as this reader may see it; or why that can't be said."""
    try:
        first, second = parse(before), parse(after)
    except RuleErrors as errors:
        return [], str(errors)
    return compare(first, second, catalog_visible_to(reader_of(request))), ""

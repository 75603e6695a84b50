"""The screens of retention: how long what is kept, what would go, what went. The record and the breach helper have their own.

Those of the record are in `cdp.accountability.record_screens`, that of the breach helper in `cdp.accountability.breach_screens`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils.http import urlencode
from django.views.decorators.http import require_POST

from cdp.accountability import periods, record_screens, running  # noqa: F401  (importing registers the record)
from cdp.accountability.forms import LifetimeForm, RuleForm
from cdp.accountability.models import Kind, RetentionRule, RetentionRun
from cdp.accountability.periods import Periods, Subject
from cdp.accountability.preview import Preview, preview
from cdp.accountability.rules import CONFIRMATION, remove_rule, set_lifetime, set_rule, shortens
from cdp.accountability.standing_facts import fixed_periods
from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.jobs.models import Job
from cdp.profiles.models import EventName, EventType, TraitCategory
from cdp.spreadsheet import as_file
from consent.models import Purpose

PAGE = 50
RUNS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A line of the page: what, for how many days (None: without end), by which rule, and where that is changed."""

    label: str
    days: int | None
    by: str
    is_own: bool
    query: str
    reason: str = ""


@admin.register(RetentionRule)
class RetentionAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "accountability_retentionrule"
        return [
            path("rule/", wrap(self.rule_view), name=f"{name}_edit"),
            path("rule/remove/", wrap(require_POST(self.remove_view)), name=f"{name}_remove"),
            path("purpose/<int:pk>/", wrap(self.purpose_view), name=f"{name}_purpose"),
            path("preview/", wrap(self.preview_view), name=f"{name}_preview"),
            path("apply/", wrap(require_POST(self.apply_view)), name=f"{name}_apply"),
            path("run/<int:pk>/", wrap(self.run_view), name=f"{name}_run"),
            path("run/<int:pk>/csv/", wrap(self.run_csv_view), name=f"{name}_run_csv"),
            *super().get_urls(),
        ]

    # ---- What is kept --------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._refuse_unless(request, "view_retentionrule")
        now = periods.current()
        names = list(EventName.objects.exclude(type=EventType.DERIVED))
        names.sort(key=lambda name: ((Kind.EVENTS, name.pk, "") not in now.rules, name.name))
        page = Paginator(names, PAGE).get_page(request.GET.get("page"))
        labels = dict(Purpose.objects.values_list("pk", "label"))
        told = _Teller(now, labels)
        endless = len(periods.names_without_end(now))
        events = [told.line((Kind.EVENTS, name.pk, ""), name.name) for name in page]
        context = {
            "page": page,
            "ruled": [told.line((Kind.EVENTS, None, ""), "All other events"), *(one for one in events if one.is_own)],
            "unruled": [one for one in events if not one.is_own],
            "traits": [told.line((Kind.TRAITS, None, one.value), f"{one.label} traits") for one in TraitCategory]
            + [told.line((Kind.TRAITS, None, ""), "All other traits")],
            "others": [told.line((kind, None, ""), str(kind.label)) for kind in (Kind.SCORES, Kind.QUARANTINE)],
            "purposes": [(purpose, now.lifetimes.get(purpose.pk)) for purpose in Purpose.objects.all()],
            "endless": endless,
            "named": len(names),
            "fixed": fixed_periods(),
            "runs": RetentionRun.objects.all()[:RUNS],
            "job": Job.objects.unfinished().filter(kind=running.APPLY).first(),
            "may_change": request.user.has_perm("accountability.change_retentionrule"),
            "may_apply": request.user.has_perm("accountability.apply_retention"),
            "hour": settings.NIGHTLY_HOUR,
        }
        return render(request, "accountability/retention.html", context)

    # ---- Changing it ---------------------------------------------------------------------------------------------

    def rule_view(self, request: HttpRequest) -> HttpResponse:
        """A rule's form; where it shortens something, what would go, and the place to type the confirmation."""
        self._refuse_unless(request, "change_retentionrule")
        subject, name = _subject(request)
        kind, _, category = subject
        now = periods.current()
        form = RuleForm(request.POST or None, kind=kind, stated=now.rules.get(subject))
        context = {
            "form": form,
            "label": _label(subject, name),
            "query": _query(subject),
            "has_rule": subject in now.rules,
            "shows_purposes": "purposes" in form.fields,
        }
        if request.method != "POST" or not form.is_valid():
            status = 422 if form.errors else 200
            return render(request, "accountability/rule.html", context, status=status)
        stated = form.stated()

        def write() -> None:
            set_rule(
                kind=kind,
                event_name=name,
                category=category,
                days=stated.days,
                purposes=Purpose.objects.filter(pk__in=stated.purposes),
                reason=stated.reason,
                confirmation=request.POST.get("confirmation", ""),
                by=actor_of(request),
            )

        after = now.with_rule(subject, stated)
        return self._written_or_asked(request, write, now, after, "accountability/rule.html", context)

    def remove_view(self, request: HttpRequest) -> HttpResponse:
        self._refuse_unless(request, "change_retentionrule")
        subject, name = _subject(request)
        rule = get_object_or_404(RetentionRule, kind=subject[0], event_name=name, category=subject[2])
        now = periods.current()
        form = RuleForm(kind=subject[0], stated=now.rules.get(subject))
        context = {
            "form": form,
            "label": _label(subject, name),
            "query": _query(subject),
            "has_rule": True,
            "removes": True,
            "shows_purposes": "purposes" in form.fields,
        }

        def write() -> None:
            remove_rule(rule=rule, by=actor_of(request), confirmation=request.POST.get("confirmation", ""))

        after = now.with_rule(subject, None)
        return self._written_or_asked(request, write, now, after, "accountability/rule.html", context)

    def purpose_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._refuse_unless(request, "change_retentionrule")
        purpose = get_object_or_404(Purpose, pk=pk)
        now = periods.current()
        form = LifetimeForm(request.POST or None, initial={"days": now.lifetimes.get(pk)})
        context = {"form": form, "purpose": purpose, "rules": RetentionRule.objects.filter(purposes=purpose)}
        if request.method != "POST" or not form.is_valid():
            return render(request, "accountability/lifetime.html", context, status=422 if form.errors else 200)
        days = form.cleaned_data["days"]

        def write() -> None:
            confirmation = request.POST.get("confirmation", "")
            set_lifetime(purpose=purpose, days=days, by=actor_of(request), confirmation=confirmation)

        after = now.with_lifetime(pk, days)
        return self._written_or_asked(request, write, now, after, "accountability/lifetime.html", context)

    @staticmethod
    def _written_or_asked(
        request: HttpRequest,
        write: Callable[[], None],
        before: Periods,
        after: Periods,
        template: str,
        context: dict[str, Any],
    ) -> HttpResponse:
        """Back at the page, or the form again: with what was wrong, or with what would go and a word to type."""
        try:
            write()
        except DomainError as error:
            asks = error.code == "confirmation_missing"
            context |= {"error": error, "asks": asks, "confirmation": CONFIRMATION}
            if asks:
                context |= {"shorter": len(shortens(before, after)), **_shown(after)}
                context["is_wrong"] = "confirmation" in request.POST
            return render(request, template, context, status=422)
        messages.success(request, "Saved. What is over by it goes tonight.")
        return redirect("admin:accountability_retentionrule_changelist")

    # ---- What would go, what went --------------------------------------------------------------------------------

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        self._refuse_unless(request, "view_retentionrule")
        shown = _shown(periods.current())
        seen = shown.get("preview")
        with transaction.atomic():
            detail = {"rows": seen.total} if isinstance(seen, Preview) else {}
            record(by=actor_of(request), action="retention.previewed", detail=detail)
        context = {**shown, "may_apply": request.user.has_perm("accountability.apply_retention")}
        return render(request, "accountability/preview.html", context)

    def apply_view(self, request: HttpRequest) -> HttpResponse:
        self._refuse_unless(request, "apply_retention")
        if request.POST.get("confirmation", "").strip().lower() != CONFIRMATION:
            messages.error(request, f"Nothing was started: type “{CONFIRMATION}” to confirm.")
            return redirect("admin:accountability_retentionrule_preview")
        job = running.request_application(by=actor_of(request), user=reader_of(request))
        return redirect("admin:jobs_job_detail", uuid=job.uuid)

    def run_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._refuse_unless(request, "view_retentionrule")
        run = get_object_or_404(RetentionRun, pk=pk)
        return render(
            request, "accountability/run.html", {"run": run, "rows": run.deleted.order_by("kind", "what", "month")}
        )

    def run_csv_view(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """What a run deleted, in figures: the evidence that a rule is kept."""
        self._refuse_unless(request, "view_retentionrule")
        run = get_object_or_404(RetentionRun, pk=pk)
        with transaction.atomic():
            record(by=actor_of(request), action="retention.run_exported", object=run)
        rows = (
            (
                run.as_of.isoformat(),
                one.kind,
                one.what,
                f"{one.month:%Y-%m}" if one.kind == Kind.EVENTS else "",
                str(one.count),
            )
            for one in run.deleted.order_by("kind", "what", "month")
        )
        return as_file(f"retention-{run.pk}.csv", ("as_of", "kind", "what", "month", "rows"), rows)

    @staticmethod
    def _refuse_unless(request: HttpRequest, permission: str) -> None:
        if not request.user.has_perm(f"accountability.{permission}"):
            raise PermissionDenied


def _shown(given: Periods) -> dict[str, Any]:
    """What these periods would delete now, or why that can't be told."""
    try:
        return {"preview": preview(given, as_of=running.as_of_now())}
    except DomainError as slow:
        return {"preview_error": slow.message}


def _subject(request: HttpRequest) -> tuple[Subject, EventName | None]:
    """What the address is about."""
    kind = request.GET.get("kind", "")
    category, number = request.GET.get("category", ""), request.GET.get("name", "")
    if kind not in Kind.values or (category and (kind != Kind.TRAITS or category not in TraitCategory.values)):
        raise Http404
    name = None
    if number:
        if kind != Kind.EVENTS or not number.isdecimal():
            raise Http404
        name = get_object_or_404(EventName, pk=int(number))
    return (Kind(kind), name.pk if name else None, category), name


def _query(subject: Subject) -> str:
    kind, name_id, category = subject
    return urlencode(
        {"kind": kind.value} | ({"name": name_id} if name_id else {}) | ({"category": category} if category else {})
    )


def _label(subject: Subject, name: EventName | None) -> str:
    return str(RetentionRule(kind=subject[0], event_name=name, category=subject[2]))


class _Teller:
    """Says of each subject how long it is kept, and by what."""

    def __init__(self, now: Periods, labels: dict[int, str]) -> None:
        self._now, self._labels = now, labels

    def line(self, subject: Subject, label: str) -> Kept:
        kind, name_id, category = subject
        rule = self._now.rule_for(kind, name_id=name_id, category=category)
        is_own = subject in self._now.rules
        if rule is None:
            by = "no rule"
        else:
            parts = [f"{rule.days:,} days"] if rule.days is not None else []
            parts += sorted(self._labels[purpose] for purpose in rule.purposes)
            by = " or ".join(parts) if is_own else "as all others"
        return Kept(
            label=label,
            days=None if rule is None else rule.period(self._now.lifetimes),
            by=by,
            is_own=is_own,
            query=_query(subject),
            reason=rule.reason if rule is not None and is_own else "",
        )

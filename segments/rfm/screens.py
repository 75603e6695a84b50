"""The screens of RFM: grid and groups, and making a segment of what is picked; starting a run, following and stopping it.

Movers, distributions and runs are in `segments.rfm.past_screens`, settings in `segments.rfm.settings_screen`, pictures in
`segments.rfm.pictures`.
"""

from dataclasses import replace
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.services import record
from cdp.charts import written
from cdp.errors import DomainError
from cdp.jobs.services import cancel
from cdp.profiles.models import EventTotal
from cdp.profiles.orders import ORDER_COMPLETED
from cdp.spreadsheet import as_file
from segments.rfm.grid import ALL_PLACES, SHADED_BY, STEPS, Asked, Sums, cells_shown
from segments.rfm.looking import Look, look_at, looked_at, run_of
from segments.rfm.models import RfmRun, RfmSettings
from segments.rfm.picking import picked_of
from segments.rfm.pictures import MEASURES, groups_figure
from segments.rfm.services import request_run, segment_rule_for
from segments.rfm.words import column_said, thresholds_said, window_said
from segments.rules import RuleErrors
from segments.services import create_segment, publish

VIEW, RUN = "segments.view_rfmrun", "segments.run_rfm"
PAGE: Final = "admin:segments_rfmrun_changelist"
TABS: Final = (
    ("Grid and groups", PAGE),
    ("Distributions", "admin:segments_rfmrun_distributions"),
    ("Movers", "admin:segments_rfmrun_movers"),
    ("Runs", "admin:segments_rfmrun_runs"),
    ("Settings", "admin:segments_rfmrun_settings"),
)


def demand(request: HttpRequest, permission: str = VIEW) -> None:
    """Refuses who may not."""
    if not request.user.has_perm(permission):
        raise PermissionDenied


def frame(request: HttpRequest, view: str, look: Look | None) -> dict[str, Any]:
    """What all of these pages have around them: the run that is looked at, the job that is under way, and the tabs."""
    newest = RfmRun.objects.published().values_list("pk", flat=True).first()
    run = f"?run={look.pk}" if look and look.pk != newest else ""
    scheme = look.scheme if look else RfmSettings.current().as_scheme
    return {
        "run": look,
        "is_newest": not run,
        "window_said": window_said(scheme.window_days),
        "tabs": [(label, reverse(name) + run, name == view) for label, name in TABS],
        **standing(request),
    }


# ---- Grid and groups -------------------------------------------------------------------------------------------------


def page(request: HttpRequest, **context: Any) -> HttpResponse:
    """The newest complete run, or the one asked for: its grid, what is picked of it, thresholds and groups."""
    demand(request)
    query = request.POST if request.method == "POST" else request.GET
    look = looked_at(query.get("run", ""))
    around = frame(request, PAGE, look)
    if look is None:
        return render(request, "segments/rfm/page.html", around | {"has_orders": has_orders()})
    asked = Asked.of(query, groups=[one.name for one in look.groups])
    picked = picked_of(look, asked)
    told = {
        **around,
        "asked": asked,
        "all": look.whole,
        "grid": grid_of(look, asked),
        "picked": picked,
        "segment_name": picked.segment_name if picked else "",
        "thresholds": thresholds_said(look.cuts, look.currency),
        "how_said": how_said(look),
        "fm_said": fm_said(look),
        "groups": groups_of(look, asked),
        "treemap": groups_figure(look.groups, look.currency) if look.whole.people else None,
    }
    return render(request, "segments/rfm/page.html", told | context, status=422 if "error" in context else 200)


def grid_of(look: Look, asked: Asked) -> dict[str, Any]:
    """Rows and columns with their headings, and where the switches above lead."""
    cells = cells_shown(look.sums, look.group_at, asked)
    extremes = {STEPS: "most", 1: "least"}
    return {
        "columns": [(r, column_said(look.cuts["recency"], r)) for r in range(1, STEPS + 1)],
        "rows": [(fm, extremes.get(fm, ""), [cells[r, fm] for r in range(1, STEPS + 1)]) for fm in range(STEPS, 0, -1)],
        "shades": [(label, replace(asked, by=by).query, by == asked.by) for by, label in SHADED_BY.items()],
        "several_url": replace(asked, is_several=not asked.is_several).query,
        "clear_url": replace(asked, places=frozenset(), group="").query,
    }


def groups_of(look: Look, asked: Asked) -> list[dict[str, Any]]:
    whole = look.whole
    return [
        {
            "name": one.name,
            "description": one.description,
            "action": one.action,
            "sums": one.sums,
            "people_share": one.sums.people_share(whole),
            "revenue_share": one.sums.revenue_share(whole),
            "url": replace(asked, places=frozenset(), is_several=False, group=one.name).query,
        }
        for one in look.groups
    ]


def how_said(look: Look) -> str:
    """Where thresholds come from."""
    if not look.fixed:
        return "by where people stand among all who bought"
    names = " and ".join(MEASURES[one].lower() for one in look.fixed)
    return f"fixed for {names}" + ("" if len(look.fixed) == len(MEASURES) else "; else by where people stand")


def fm_said(look: Look) -> str:
    f, m = look.scheme.weights.frequency, look.scheme.weights.monetary
    if f == m:
        return "the mean of F and M, rounded half up"
    return f"the mean of F and M, rounded half up, where F weighs {written(f)} and M {written(m)}"


def has_orders() -> bool:
    return EventTotal.objects.filter(name__name=ORDER_COMPLETED).exists()


# ---- Doing -----------------------------------------------------------------------------------------------------------


def segment_view(request: HttpRequest) -> HttpResponse:
    """A live segment of who is in the picked cells or group, by the scores of each run to come."""
    demand(request)
    demand(request, "segments.add_segment")
    look = looked_at(request.POST.get("run", ""))
    if look is None:
        return redirect(PAGE)
    asked = Asked.of(request.POST, groups=[one.name for one in look.groups])
    try:
        if not asked.group and not asked.places:
            raise DomainError("nothing_picked", "Pick a cell or a group first.")
        segment = create_segment(
            name=request.POST.get("name", ""),
            rule=segment_rule_for(group=asked.group, cells=asked.places),
            description=described(look, asked),
            by=actor_of(request),
            owner=reader_of(request),
        )
    except (DomainError, RuleErrors) as error:
        refused = error if isinstance(error, DomainError) else DomainError("rule_refused", f"It can't be made: {error}")
        return page(request, error=refused, segment_name=request.POST.get("name", ""))
    try:
        publish(segment=segment, version=segment.versions.get(), by=actor_of(request), user=reader_of(request))
    except RuleErrors as errors:
        messages.error(request, f"Saved as a draft, which can't go live: {errors}")
    else:
        messages.success(request, "The segment is live. Its members are being worked out.")
    return redirect("admin:segments_segment_detail", uuid=segment.uuid)


def described(look: Look, asked: Asked) -> str:
    picked = picked_of(look, asked)
    return f"Made of RFM: {picked.name}." if picked else ""


def start_view(request: HttpRequest) -> HttpResponse:
    """Asks for a run; one that is under way goes on."""
    demand(request, RUN)
    try:
        request_run(by=actor_of(request), user=reader_of(request))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect(PAGE)


def cancel_view(request: HttpRequest) -> HttpResponse:
    demand(request, RUN)
    newest = newest_run()
    try:
        if newest is None or newest.job is None or newest.job.is_finished:
            raise DomainError("nothing_runs", "Nothing is being worked out now.")
        cancel(job=newest.job, by=actor_of(request))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect(PAGE)


def newest_run() -> RfmRun | None:
    """The one that was asked for last, whatever became of it."""
    return RfmRun.objects.select_related("job").first()


def standing(request: HttpRequest) -> dict[str, Any]:
    """How the newest run is getting on, and what this reader may do about it."""
    newest = newest_run()
    job = newest.job if newest else None
    return {
        "newest": newest,
        "job": job,
        "is_moving": job is not None and not job.is_finished,
        "may_run": request.user.has_perm(RUN),
    }


def standing_view(request: HttpRequest) -> HttpResponse:
    """How far it is. Only a page on which something moves asks; once nothing does, it is shown anew with what came of it."""
    demand(request)
    around = standing(request)
    if not around["is_moving"]:
        return HttpResponse(headers={"HX-Refresh": "true"})
    run = run_of("")
    return render(request, "segments/rfm/_standing.html", around | {"run": look_at(run) if run else None})


# ---- Taking figures away ---------------------------------------------------------------------------------------------


def groups_csv(request: HttpRequest) -> HttpResponseBase:
    """The groups of a run with their figures; nobody in particular."""
    look = _taken(request, "groups")
    whole = look.whole
    rows = ([one.name, *_figures(one.sums, whole), one.action] for one in look.groups)
    return as_file(f"rfm-groups-{look.as_of:%Y-%m-%d}.csv", ["group", *_headings(look), "what_to_do"], rows)


def cells_csv(request: HttpRequest) -> HttpResponseBase:
    """The 25 cells of a run with their figures; nobody in particular."""
    look = _taken(request, "cells")
    whole = look.whole
    rows = (
        [str(r), str(fm), look.group_at.get((r, fm), ""), *_figures(look.sums.get((r, fm), Sums()), whole)]
        for r, fm in ALL_PLACES
    )
    return as_file(f"rfm-cells-{look.as_of:%Y-%m-%d}.csv", ["recency", "fm", "group", *_headings(look)], rows)


def _taken(request: HttpRequest, what: str) -> Look:
    demand(request)
    look = looked_at(request.GET.get("run", ""))
    if look is None:
        raise Http404
    with transaction.atomic():
        record(by=actor_of(request), action="rfm.exported", detail={"run": look.pk, "what": what})
    return look


def _headings(look: Look) -> list[str]:
    currency = look.currency.lower()
    return [
        "people", "people_share", f"revenue_{currency}", "revenue_share", "orders", f"average_order_{currency}",
        "mean_recency_days", "mean_orders", f"mean_spend_{currency}",
    ]  # fmt: skip


def _figures(sums: Sums, whole: Sums) -> list[str]:
    """As a spreadsheet reads numbers: no separators, "" where there is none."""

    def plain(value: Any, places: int) -> str:
        return "" if value is None else f"{value:.{places}f}"

    return [
        str(sums.people), plain(sums.people_share(whole), 6), plain(sums.revenue, 2), plain(sums.revenue_share(whole), 6),
        str(sums.orders), plain(sums.average, 2), plain(sums.recency_mean, 2), plain(sums.frequency_mean, 4),
        plain(sums.monetary_mean, 2),
    ]  # fmt: skip

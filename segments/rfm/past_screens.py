"""The screens of what RFM's runs found before: distributions of one, who moved between two, and all of them with their thresholds.

The grid is in `segments.rfm.screens`, what is drawn in `segments.rfm.pictures`.
"""

from collections.abc import Sequence
from typing import Any, Final

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cdp.charts import Figure
from cdp.key_pages import Key, key_page, moment, number
from segments.analytics.rfm import Scheme, Thresholds
from segments.rfm.looking import cuts_of, look_at, looked_at, run_of
from segments.rfm.models import RfmRun, RfmSettings
from segments.rfm.moving import SECONDS, earlier_runs, moves_since
from segments.rfm.pictures import (
    MEASURES,
    OUTSIDE_AFTER,
    OUTSIDE_BEFORE,
    Move,
    Past,
    distribution_figure,
    drift_figure,
    moves_figure,
    way_of,
)
from segments.rfm.screens import demand, frame

LARGEST: Final = 12
PAGE: Final = 25
DRAWN: Final = 60
CHOICES: Final = 60
BARS: Final = {"up": "ok", "down": "no"}
WAYS: Final = {"up": "up", "down": "down"}
NEWEST: Final = (
    Key(name="published_at", read=moment, descends=True),
    Key(name="id", read=number, descends=True),
)
TOO_LONG: Final = (
    f"Comparing these two took longer than {SECONDS} seconds and was stopped. Choose a run that is less long ago."
)


def distributions_page(request: HttpRequest) -> HttpResponse:
    """How recency, frequency and spend are spread over the people of a run, and where scores change."""
    demand(request)
    look = looked_at(request.GET.get("run", ""))
    context = frame(request, "admin:segments_rfmrun_distributions", look)
    if look is not None:
        context["figures"] = [distribution_figure(one, look.currency) for one in look.distributions]
    return render(request, "segments/rfm/distributions.html", context)


def counts_of(moves: Sequence[Move], order: dict[str, int]) -> list[tuple[str, int, str]]:
    """(What, how many, of whom) of those who stayed, came up, went down, came and went."""
    sums = dict.fromkeys(("stayed", "up", "down", "renamed", "came", "went"), 0)
    for one in moves:
        sums[way_of(one, order)] += one.people
    both = sums["stayed"] + sums["up"] + sums["down"] + sums["renamed"]

    def share(count: int) -> str:
        return f"{count / both * 100:.1f}% of who is in both runs" if both else ""

    told = [
        ("Stayed", sums["stayed"], share(sums["stayed"])),
        ("Came up", sums["up"], share(sums["up"])),
        ("Went down", sums["down"], share(sums["down"])),
        ("Came in", sums["came"], "bought for the first time, or again after long"),
        ("Dropped out", sums["went"], "no order in the window any more, or not permitted"),
    ]
    if sums["renamed"]:
        told.append(("From a group that is no more", sums["renamed"], share(sums["renamed"])))
    return told


def largest_of(moves: Sequence[Move], order: dict[str, int]) -> list[dict[str, Any]]:
    """The moves of most people between two groups, and their share of the largest."""
    changed = sorted((one for one in moves if one.before != one.after and one.people), key=lambda one: -one.people)
    return [
        {
            "before": one.before or OUTSIDE_BEFORE,
            "after": one.after or OUTSIDE_AFTER,
            "people": one.people,
            "share": one.people / changed[0].people,
            "kind": BARS.get(way_of(one, order), ""),
            "way": WAYS.get(way_of(one, order), ""),
        }
        for one in changed[:LARGEST]
    ]


def movers_page(request: HttpRequest) -> HttpResponse:
    """Who is in another group than in the run before, or than in the one that is named."""
    demand(request)
    run = run_of(request.GET.get("run", ""))
    context = frame(request, "admin:segments_rfmrun_movers", look_at(run) if run else None)
    if run is not None:
        earlier = list(earlier_runs(run)[:CHOICES])
        since = next(
            (one for one in earlier if str(one.pk) == request.GET.get("since")), earlier[0] if earlier else None
        )
        context["moves"] = told(run, since, earlier) if since else None
    return render(request, "segments/rfm/movers.html", context)


def told(run: RfmRun, since: RfmRun, earlier: Sequence[RfmRun]) -> dict[str, Any]:
    """For the template: figures, the picture, and the largest moves."""
    names = [row.name for row in run.as_scheme.groups]
    order = {name: place for place, name in enumerate(names)}
    context: dict[str, Any] = {
        "before": since.as_of,
        "since": since.pk,
        "choices": [(one.pk, f"{timezone.localtime(one.as_of):%-d %b %Y, %H:%M}") for one in earlier],
        "has_changed_rules": since.as_scheme != run.as_scheme or since.purpose != run.purpose,
    }
    try:
        moves = moves_since(run, since)
    except OperationalError:
        return context | {"refused": TOO_LONG}
    largest = largest_of(moves, order)
    return context | {
        "figures": counts_of(moves, order),
        "figure": moves_figure(moves, names) if moves else None,
        "largest": largest,
        "different": sum(1 for one in moves if one.before != one.after and one.people),
    }


def runs_page(request: HttpRequest) -> HttpResponse:
    """All complete runs, and how their thresholds drifted."""
    demand(request)
    look = looked_at(request.GET.get("run", ""))
    context = frame(request, "admin:segments_rfmrun_runs", look)
    if look is not None:
        page = key_page(RfmRun.objects.published().defer("cells", "spreads"), request.GET, keys=NEWEST, size=PAGE)
        current = RfmRun.objects.current()
        saved = RfmSettings.current().as_scheme
        context |= {
            "page": page,
            "rows": [row_of(one, saved, is_current=current is not None and one.pk == current.pk) for one in page.rows],
            "drift": drifts(look.currency),
        }
    return render(request, "segments/rfm/runs.html", context)


def row_of(run: RfmRun, saved: Scheme, *, is_current: bool) -> dict[str, Any]:
    moved = sum(one["people"] for one in run.flows if one["before"] != one["after"])
    return {
        "pk": run.pk,
        "as_of": run.as_of,
        "people": run.people,
        "revenue": run.revenue,
        "currency": run.currency,
        "moved": moved if run.previous_id else None,
        "by": run.requested_by,
        "settings": "as they are now" if run.as_scheme == saved else "others than now",
        "is_current": is_current,
    }


def drifts(currency: str) -> list[Figure]:
    """The thresholds of the newest runs, if there are two in this currency to compare."""
    runs = (
        RfmRun.objects.published()
        .filter(currency=currency, thresholds__isnull=False)
        .values_list("as_of", "thresholds")
    )
    past = [
        Past(as_of=timezone.localtime(as_of), cuts=cuts_of(Thresholds.from_json(thresholds)))
        for as_of, thresholds in reversed(runs[:DRAWN])
        if as_of is not None
    ]
    return [drift_figure(one, past, currency) for one in MEASURES] if len(past) > 1 else []

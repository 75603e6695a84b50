"""The screen of two segments side by side: what their members are, buy and permit.

It is counted in `segments.comparing`.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.audit.admin_base import actor_of
from cdp.charts import PALETTE, Column, Figure, Height, Series, Unit, bars, written
from cdp.errors import DomainError
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error
from segments.comparing import DAYS, FEWEST, MOST_ASKED, SECONDS, Bought, Comparison, Shares, compare_segments
from segments.estimates import Z_95, wilson
from segments.models import Segment
from segments.screens.choosing import chosen, named, offered
from segments.screens.frame import demand


def page(request: HttpRequest) -> HttpResponse:
    """Which two; what they are comes afterwards."""
    given = [request.GET.get(name, "").strip() for name in ("a", "b")]
    found: list[Segment | None] = []
    errors: list[str] = []
    for text in given:
        try:
            found.append(named(request, text) if text else None)
            errors.append("")
        except DomainError as error:
            found.append(None)
            errors.append(error.message)
    if found[0] and found[0] == found[1]:
        errors[1] = "Choose another one: a segment is no different from itself."
    closed = [segment for segment in found if segment and not _may_read(request, segment)]
    context = {
        "offered": offered(request),
        "fields": [
            (name, label, segment.key if segment else text, error)
            for name, label, segment, text, error in zip(
                ("a", "b"), ("One segment", "The other"), found, given, errors, strict=True
            )
        ],
        "two": found if all(found) and not any(errors) and not closed else None,
        "closed": closed,
    }
    return render(request, "segments/compare.html", context)


def figures_view(request: HttpRequest) -> HttpResponse:
    """A read of people of both segments: permitted for internal analysis, and audited."""
    segments = chosen(request, [request.GET.get("a", ""), request.GET.get("b", "")])
    for segment in segments:
        demand(request, segment, "view_members")
    context: dict[str, Any] = {}
    try:
        if len(segments) != 2:
            raise DomainError("segments_count", "Choose two different segments that you may see.")
        found = compare_segments(
            first=segments[0], second=segments[1], purpose=purpose_or_error(INTERNAL_ANALYSIS), by=actor_of(request)
        )
    except DomainError as error:
        context["refused"] = error.message
    except OperationalError:
        context["refused"] = (
            f"Counting took longer than {SECONDS} seconds and was stopped. Try again when less is going on."
        )
    else:
        context = told(found)
    return render(request, "segments/_compare.html", context)


def _may_read(request: HttpRequest, segment: Segment) -> bool:
    try:
        demand(request, segment, "view_members")
    except PermissionDenied:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Line:
    """A figure of both, each with its interval."""

    label: str
    cells: list[tuple[str, str]]


def told(found: Comparison) -> dict[str, Any]:
    """For the template."""
    different = found.most_different() if found.is_told else []
    return {
        "found": found,
        "fewest": FEWEST,
        "days": DAYS,
        "is_sample": any(one.asked >= MOST_ASKED for one in found.bought),
        "lines": _lines(found) if found.is_told else [],
        "different": figure_of(found, different) if different else None,
        "channels": figure_of(found, found.channels, id="channels", title="Who permits what")
        if any(share is not None for one in found.channels for share in one.told)
        else None,
        "came_by": figure_of(found, found.came_by, id="came", title="By what visits began") if found.came_by else None,
    }


def _lines(found: Comparison) -> list[Line]:
    return [
        Line(label="Net revenue per person", cells=[_revenue(one, found.currency) for one in found.bought]),
        Line(
            label="Orders per person",
            cells=[(written(one.orders / one.asked, Unit.NUMBER), f"{one.orders:,} orders") for one in found.bought],
        ),
        Line(label="Ordered at least once", cells=[_share(one.buyers, one.asked) for one in found.bought]),
        Line(
            label="Net revenue per order",
            cells=[
                (written(one.revenue / one.orders, Unit.MONEY, found.currency) if one.orders else "none", "")
                for one in found.bought
            ],
        ),
    ]


def _revenue(one: Bought, currency: str) -> tuple[str, str]:
    mean = float(one.revenue) / one.asked
    variance = max(0.0, float(one.squares) - float(one.revenue) * mean) / max(1, one.asked - 1)
    reach = Z_95 * sqrt(variance / one.asked)
    between = f"{written(mean - reach, Unit.MONEY)} to {written(mean + reach, Unit.MONEY)}"
    return written(mean, Unit.MONEY, currency), between


def _share(count: int, of: int) -> tuple[str, str]:
    if count < FEWEST:
        return f"fewer than {FEWEST} people", ""
    low, high = wilson(count, of)
    return written(count / of, Unit.SHARE), f"{written(low, Unit.SHARE)} to {written(high, Unit.SHARE)}"


def figure_of(
    found: Comparison, values: list[Shares], *, id: str = "different", title: str = "Where they differ most"
) -> Figure:
    """Lying bars, two for each value."""
    names = [segment.name for segment in found.segments]
    first = values[0]
    about = f"{title}. First: {first.name}, {_cell(first, 0)} of {names[0]}, {_cell(first, 1)} of {names[1]}."
    return Figure(
        id=id,
        title=title,
        about=about,
        options=bars(
            categories=[one.name for one in values],
            series=[Series(name=names[n], values=[one.told[n] for one in values], color=PALETTE[n]) for n in range(2)],
            about=about,
            unit=Unit.SHARE,
            is_lying=True,
        ),
        columns=[Column(label="", is_number=False), *(Column(label=name) for name in names), Column(label="By chance")],
        rows=[(one.name, _cell(one, 0), _cell(one, 1), chance(one.chance)) for one in values],
        height=Height.HIGH if len(values) > 5 else Height.MIDDLE,
    )


def _cell(one: Shares, n: int) -> str:
    share, (low, high) = one.told[n], one.ranges[n]
    if share is None:
        return f"fewer than {FEWEST} people"
    return f"{written(share, Unit.SHARE)} ({written(low, Unit.SHARE)} to {written(high, Unit.SHARE)})"


def chance(probability: float) -> str:
    """How often a difference as large would come up if there were none."""
    if probability < 0.001:
        return "under 1 in 1,000"
    return f"{probability * 100:.1f}%" if probability < 0.1 else f"{probability * 100:.0f}%"

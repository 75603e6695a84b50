"""The screen of how people did since they entered a segment, beside everybody who hadn't: pictures, and what they mean.

What is counted is in `segments.performance`.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from cdp.audit.admin_base import actor_of
from cdp.charts import ROLES, Cell, Column, Figure, Height, Series, Unit, heat_map, over_time, written
from cdp.errors import DomainError
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error
from segments.models import Segment
from segments.performance import (
    FEWEST,
    HORIZONS,
    MOST_WEEKS,
    SECONDS,
    WEEK,
    Curve,
    Performance,
    Source,
    difference,
    past_of,
    performance_of,
)
from segments.screens.frame import demand, frame, segment_or_404

TOO_LONG = f"Counting took longer than {SECONDS} seconds and was stopped. Try again when less is going on."
SOURCES = [(Source.RECORD, "As they entered"), (Source.RULE, "Had the live rule been asked each Monday")]


def page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What to look at; the figures come afterwards."""
    segment = segment_or_404(request, uuid)
    demand(request, segment, "view_members")
    context = {
        **frame(request, segment),
        "sources": SOURCES,
        "source": source_of(request),
        "no_past": past_of(segment),
        "horizons": HORIZONS,
        "weeks": request.GET.get("weeks", ""),
    }
    return render(request, "segments/performance.html", context)


def figures_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How they did. A read of people: permitted for internal analysis, and audited."""
    segment = segment_or_404(request, uuid)
    demand(request, segment, "view_members")
    url = reverse("admin:segments_segment_performance", args=[segment.uuid])
    may_ask = source_of(request) is Source.RECORD and not past_of(segment)
    context: dict[str, Any] = {"segment": segment, "past_url": f"{url}?by={Source.RULE.value}" if may_ask else ""}
    weeks = request.GET.get("weeks", "")
    try:
        found = performance_of(
            segment=segment,
            purpose=purpose_or_error(INTERNAL_ANALYSIS),
            by=actor_of(request),
            source=source_of(request),
            horizon=int(weeks) if weeks.isdecimal() and len(weeks) < 3 else None,
        )
    except DomainError as error:
        context["refused"] = error.message
    except OperationalError:
        context["refused"] = TOO_LONG
    else:
        context |= told(segment, found)
    return render(request, "segments/_performance.html", context)


def source_of(request: HttpRequest) -> Source:
    return Source.RULE if request.GET.get("by") == Source.RULE.value else Source.RECORD


def told(segment: Segment, found: Performance) -> dict[str, Any]:
    """For the template: pictures, figures and sentences."""
    cohorts = [one for one in found.cohorts if one.people]
    context: dict[str, Any] = {
        "found": found,
        "fewest": FEWEST,
        "entered": sum(one.people for one in cohorts),
        "triangle": triangle(found) if any(one.is_told and one.ordered for one in cohorts) else None,
        "choices": [(weeks, found.followed[weeks]) for weeks in HORIZONS],
    }
    if found.members:
        context |= {
            "revenue": _lines(found, "revenue"),
            "ordered": _lines(found, "ordered"),
            "verdicts": verdicts(found),
        }
    return context


# ---- Sentences -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a figure is, what it is beside the others', and whether chance would do as an explanation."""

    label: str
    figure: str
    range: str
    others: str
    icon: str
    kind: str
    said: str


def verdicts(found: Performance) -> list[Verdict]:
    members, everyone = found.members, found.everyone
    assert members is not None  # or there is nothing to tell
    last = found.horizon - 1
    return [
        _verdict(
            "Revenue per person", Unit.MONEY, found.currency, members, everyone, "revenue", last,
            members.revenue_error, everyone.revenue_error if everyone else 0.0,
        ),
        _verdict(
            "Ordered at least once", Unit.SHARE, "", members, everyone, "ordered", last,
            members.ordered_error, everyone.ordered_error if everyone else 0.0,
        ),
        Verdict(
            label="Orders per person",
            figure=written(members.orders, Unit.NUMBER),
            range="",
            others=written(everyone.orders, Unit.NUMBER) if everyone else "",
            icon="",
            kind="",
            said="",
        ),
    ]  # fmt: skip


def _verdict(
    label: str, unit: Unit, currency: str, members: Curve, everyone: Curve | None, name: str, last: int,
    error: float, other_error: float,
) -> Verdict:  # fmt: skip
    def say(value: float) -> str:
        return written(value, unit, currency)

    mine = getattr(members, name)[last]
    low, high = getattr(members, f"{name}_low")[last], getattr(members, f"{name}_high")[last]
    others, icon, kind, said = "", "", "", ""
    if everyone:
        theirs = getattr(everyone, name)[last]
        apart = difference(mine, error, theirs, other_error)
        others = say(theirs)
        low_apart, high_apart = (
            f"{one * 100:+.1f} points" if unit is Unit.SHARE else say(one) for one in (apart.low, apart.high)
        )
        between = f"the difference lies between {low_apart} and {high_apart}, 19 times in 20"
        if not apart.is_sure:
            icon, kind, said = "minus", "", f"It may well be chance: {between}."
        elif apart.by > 0:
            icon, kind, said = "check", "ok", f"More than chance: {between}."
        else:
            icon, kind, said = "alert", "wait", f"Less than the others, and more than chance: {between}."
    return Verdict(
        label=label,
        figure=say(mine),
        range=f"{say(low)} and {say(high)}",
        others=others,
        icon=icon,
        kind=kind,
        said=said,
    )


# ---- Pictures --------------------------------------------------------------------------------------------------------


def _lines(found: Performance, name: str) -> Figure:
    members, everyone = found.members, found.everyone
    assert members is not None
    is_money = name == "revenue"
    unit, currency = (Unit.MONEY, found.currency) if is_money else (Unit.SHARE, "")
    at = ["At entering", *(f"{n} week{'s' if n > 1 else ''} on" for n in range(1, found.horizon + 1))]
    drawn = [("Members", members, ROLES["members"], False)]
    if everyone:
        drawn.append(("Who had not entered", everyone, ROLES["everyone"], True))
    series = [
        Series(
            name=label,
            values=[0.0, *getattr(one, name)],
            low=[0.0, *getattr(one, f"{name}_low")],
            high=[0.0, *getattr(one, f"{name}_high")],
            color=color,
            is_dashed=is_dashed,
        )
        for label, one, color, is_dashed in drawn
    ]
    title = (
        "Revenue per person since entering, cumulated" if is_money else "Share who ordered at least once since entering"
    )
    ends = "; ".join(f"{one.name}: {written(one.values[-1], unit, currency)}" for one in series)
    about = f"{title}, over {found.horizon} weeks. At the end: {ends}."
    columns = [Column(label="Since entering", is_number=False)]
    for label, *_ in drawn:
        columns += [Column(label=label), Column(label="Range")]
    rows = [
        (at[n + 1], *(cell for _, one, *_ in drawn for cell in _cells(one, name, n, unit, currency)))
        for n in range(found.horizon)
    ]
    return Figure(
        id=name,
        title=title,
        about=about,
        options=over_time(at=at, series=series, about=about, unit=unit, currency=currency, moments="text"),
        columns=columns,
        rows=rows,
    )


def _cells(one: Curve, name: str, n: int, unit: Unit, currency: str) -> tuple[str, str]:
    low, high = getattr(one, f"{name}_low")[n], getattr(one, f"{name}_high")[n]
    return written(getattr(one, name)[n], unit, currency), f"{written(low, unit)} to {written(high, unit)}"


def triangle(found: Performance) -> Figure:
    """Weeks of entering by weeks since: the share that ordered in each. Newest cohorts have the fewest weeks behind them."""
    shown = [one for one in found.cohorts if one.is_told and one.ordered]
    cells = [
        [
            Cell(
                share=count / one.people,
                text=f"{count / one.people * 100:.0f}%",
                said=f"Entered in the week from {one.begins:%-d %b %Y}\n{count:,} of {one.people:,} ordered in week {n}",
            )
            for n, count in enumerate(one.ordered, start=1)
        ]
        for one in shown
    ]
    names = [f"{one.begins:%-d %b}  ({one.people:,})" for one in shown]
    about = (
        f"Of who entered in each of {len(shown)} weeks, the share that ordered in the 1st to {MOST_WEEKS}th week since. "
        "Weeks that aren't over are left out."
    )
    columns = [
        Column(label="Week from", is_number=False), Column(label="Entered"),
        *(Column(label=f"Week {n}") for n in range(1, MOST_WEEKS + 1)),
    ]  # fmt: skip
    rows = [
        (f"{one.begins:%-d %b} to {one.begins + WEEK:%-d %b %Y}", f"{one.people:,}",
         *(f"{count:,} ({count / one.people * 100:.0f}%)" for count in one.ordered),
         *[""] * (MOST_WEEKS - len(one.ordered)))
        for one in shown
    ]  # fmt: skip
    return Figure(
        id="triangle",
        title="Who ordered, by week of entering and weeks since",
        about=about,
        options=heat_map(rows=names, columns=[f"Week {n}" for n in range(1, MOST_WEEKS + 1)], cells=cells, about=about),
        columns=columns,
        rows=rows,
        height=Height.HIGH if len(shown) > 9 else Height.MIDDLE,
    )

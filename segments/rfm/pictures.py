"""Pictures of an RFM run, each with the same figures as a table: groups, distributions with their cuts, moves, drift. Pure.

How pictures are made is in `cdp.charts` and `cdp.group_charts`; what stands around them is in `segments.rfm.screens`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import inf
from typing import Final

from cdp.chart_parts import bin_of
from cdp.charts import PALETTE, Column, Figure, Height, Series, Unit, histogram, over_time, written
from cdp.group_charts import Flow, Part, flow, treemap
from segments.rfm.grid import Sums, total

MEASURES: Final = {"recency": "Recency", "frequency": "Frequency", "monetary": "Spend"}
OUTSIDE_BEFORE, OUTSIDE_AFTER = "Not scored before", "Not scored now"
UP, DOWN = "@chart-3", "@chart-2"


@dataclass(frozen=True, kw_only=True)
class Group:
    """A named group of a run, in the order of its rules: what it comes to, and what to do about it."""

    name: str
    sums: Sums
    description: str = ""
    action: str = ""


def groups_figure(groups: Sequence[Group], currency: str) -> Figure:
    whole = total(one.sums for one in groups)
    parts = []
    for one in groups:
        share, revenue = one.sums.people_share(whole) or 0.0, one.sums.revenue_share(whole)
        of_revenue = f"{written(revenue, Unit.SHARE)} of revenue" if revenue is not None else "revenue not shared out"
        said = (
            f"{one.name}\n{one.sums.people:,} people, {share * 100:.1f}%\n"
            f"{written(one.sums.revenue, Unit.MONEY, currency)}, {of_revenue}"
        )
        text = f"{one.sums.people:,} people\n{of_revenue}"
        parts.append(Part(name=one.name, size=one.sums.people, shade=max(0.0, revenue or 0.0), text=text, said=said))
    largest = max(groups, key=lambda one: one.sums.people)
    taken = sum(1 for one in groups if one.sums.people)
    about = f"{whole.people:,} people in {taken} groups; the largest is {largest.name} with {largest.sums.people:,}."
    rows = [
        (one.name, f"{one.sums.people:,}", written(one.sums.people_share(whole), Unit.SHARE),
         written(one.sums.revenue, Unit.MONEY, currency), written(one.sums.revenue_share(whole), Unit.SHARE))
        for one in groups
    ]  # fmt: skip
    return Figure(
        id="groups",
        title="Groups by people, and their share of revenue",
        about=about,
        options=treemap(parts=parts, about=about),
        columns=[
            Column(label="Group", is_number=False),
            *(Column(label=label) for label in ("People", "Of all people", "Revenue", "Of all revenue")),
        ],
        rows=rows,
        height=Height.HIGH,
    )


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How the values of one measure are spread over a run's people.

    Args:
        edges: one more than counts, ascending: days, orders, or amounts in the reporting currency.
        cuts: the four thresholds between the five scores, ascending.
    """

    measure: str
    edges: Sequence[float]
    counts: Sequence[int]
    cuts: Sequence[float]


UNITS: Final = {"recency": "days since the last order", "frequency": "orders", "monetary": "net spend"}


def distribution_figure(one: Distribution, currency: str, *, height: Height = Height.MIDDLE) -> Figure:
    unit = f"{UNITS[one.measure]}, {currency}" if one.measure == "monetary" else UNITS[one.measure]
    # Cuts in one bar are one line, or their names would hide each other.
    together: dict[int | None, list[int]] = {}
    for number, cut in enumerate(one.cuts):
        together.setdefault(bin_of(cut, one.edges), []).append(number)
    marks = [(_named(one.measure, numbers), one.cuts[numbers[0]]) for numbers in together.values()]
    title = f"{MEASURES[one.measure]}: {unit}"
    cuts = ", ".join(dict.fromkeys(written(cut) for cut in one.cuts))
    about = f"How {unit} are spread over {sum(one.counts):,} people. Scores change at {cuts}."
    options = histogram(edges=one.edges, counts=one.counts, about=about, marks=marks)
    options["grid"] = {**options["grid"], "top": 28}  # room for the marks' names
    names = stretches(one)
    options["xAxis"]["data"] = names
    scores = [scores_within(one, number) for number in range(len(names))]
    rows = [(name, f"{count:,}", said) for name, count, said in zip(names, one.counts, scores, strict=True)]
    return Figure(
        id=f"spread-{one.measure}",
        title=title,
        about=about,
        options=options,
        columns=[Column(label=unit.capitalize(), is_number=False), Column(label="People"), Column(label="Score")],
        rows=rows,
        height=height,
    )


def _named(measure: str, numbers: Sequence[int]) -> str:
    """Which scores one or more cuts part, from left to right: of recency, which is good when it is little, from the best down."""
    first, last = numbers[0], numbers[-1] + 1
    scores = range(5 - first, 4 - last, -1) if measure == "recency" else range(first + 1, last + 2)
    return " | ".join(map(str, scores))


def score_of(measure: str, cuts: Sequence[float], value: float) -> int:
    """1 and how many cuts lie below the value; of recency the other way round."""
    below = sum(cut < value for cut in cuts)
    return 5 - below if measure == "recency" else 1 + below


def stretches(one: Distribution) -> list[str]:
    """What each bar stands for, in words. The outermost have all beyond their edges, too: where these end is some person's own value."""
    bounds = list(pairwise(one.edges))
    names = []
    for number, (low, high) in enumerate(bounds):
        # Orders are whole: from 2 up to, and without, 4 are 2 and 3.
        last = high - 1 if one.measure == "frequency" else high
        if number == len(bounds) - 1:
            names.append(f"{written(low)} or more")
        elif number == 0:
            names.append(f"up to {written(last)}")
        else:
            names.append(written(low) if low == last else f"{written(low)} to {written(last)}")
    return names


def scores_within(one: Distribution, number: int) -> str:
    """The score, or the scores, that people of this bar have."""
    low = -inf if number == 0 else one.edges[number]
    high = inf if number == len(one.counts) - 1 else one.edges[number + 1]
    if one.measure == "frequency":
        high -= 1
    first, last = sorted((score_of(one.measure, one.cuts, low), score_of(one.measure, one.cuts, high)))
    return f"{first}" if first == last else f"{first} to {last}"


# ---- Moves -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Move:
    """How many went from one group to another; "" is outside: not scored, because they hadn't bought within the window."""

    before: str
    after: str
    people: int


def way_of(move: Move, order: Mapping[str, int]) -> str:
    """Whether they came "up" or went "down" by the order of the groups, "stayed", or "came" and "went"."""
    if move.before == move.after:
        return "stayed"
    if not move.before or not move.after:
        return "went" if move.before else "came"
    before, after = order.get(move.before), order.get(move.after)
    if before is None or after is None:
        return "renamed"
    return "up" if after < before else "down"


COLOURS: Final = {"up": UP, "down": DOWN}


def moves_figure(moves: Sequence[Move], groups: Sequence[str]) -> Figure:
    """Args:
    groups: their names, the best first.
    """
    order = {name: place for place, name in enumerate(groups)}
    gone = sorted({one.before for one in moves if one.before} - set(groups))
    flows = [
        Flow(
            before=one.before or OUTSIDE_BEFORE,
            after=one.after or OUTSIDE_AFTER,
            people=one.people,
            color=COLOURS.get(way_of(one, order), PALETTE[0]),
        )
        for one in moves
    ]
    everybody = sum(one.people for one in moves)
    changed = [one for one in flows if one.before != one.after]
    about = f"Of {everybody:,} people, {sum(one.people for one in changed):,} are in another group than before."
    by_size = sorted(flows, key=lambda one: -one.people)
    return Figure(
        id="moves",
        title="From which group to which",
        about=about,
        options=flow(before=[OUTSIDE_BEFORE, *groups, *gone], after=[*groups, OUTSIDE_AFTER], flows=flows, about=about),
        columns=[
            Column(label="From", is_number=False),
            Column(label="To"),
            Column(label="People"),
            Column(label="Of all"),
        ],
        rows=[
            (one.before, one.after, f"{one.people:,}", written(one.people / everybody, Unit.SHARE)) for one in by_size
        ],
        height=Height.HIGH,
    )


# ---- Drift -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Past:
    """The thresholds of one run, by measure."""

    as_of: datetime
    cuts: Mapping[str, Sequence[float]]


def drift_figure(measure: str, past: Sequence[Past], currency: str) -> Figure:
    """Where each score began, run by run, the oldest first."""
    at = [one.as_of.isoformat() for one in past]
    is_money = measure == "monetary"
    steps = (5, 4, 3, 2) if measure == "recency" else (2, 3, 4, 5)
    series = [
        Series(name=f"Score {score}", values=[one.cuts[measure][n] for one in past], color=PALETTE[n])
        for n, score in enumerate(steps)
    ]
    said = "at most" if measure == "recency" else "more than"
    title = f"{MEASURES[measure]}: {said} this many {'' if is_money else UNITS[measure].split()[0]}{currency if is_money else ''}"
    ends = ", ".join(f"{one.name} from {written(one.values[0])} to {written(one.values[-1])}" for one in series)
    about = f"{title}. Over {len(past)} runs: {ends}."
    return Figure(
        id=f"drift-{measure}",
        title=title,
        about=about,
        options=over_time(at=at, series=series, about=about, unit=Unit.NUMBER, moments="day"),
        columns=[Column(label="As of", is_number=False), *(Column(label=one.name) for one in series)],
        rows=[
            (f"{one.as_of:%-d %b %Y %H:%M}", *(written(value) for value in one.cuts[measure])) for one in reversed(past)
        ],
        height=Height.LOW,
    )

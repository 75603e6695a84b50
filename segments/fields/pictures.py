"""Geometry of a histogram under a threshold, drawn by the server as SVG. Pure: a distribution in, attributes out.

Positions are shares of the width, so that the picture fits any; what it says stands beside it in words and as a table.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from segments.fields.distributions import Bin, Distribution, Scale, day_of, plain, rounded, ticks
from segments.fields.numbers import said

HEIGHT: Final = 76  # of the tallest bar, in pixels
STOPS: Final = 200
GAP: Final = 0.16  # of a bar's width
ABOVE, BELOW, BETWEEN, EQUAL = "above", "below", "between", "equal"
SIDES: Final = {
    "gt": ABOVE, "gte": ABOVE, "lt": BELOW, "lte": BELOW, "between": BETWEEN, "equals": EQUAL,
    "after": ABOVE, "before": BELOW,
}  # fmt: skip
SHARES: Final = ((50, "Median"), (25, "25%"), (10, "10%"), (5, "5%"))


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: str
    y: str
    width: str
    height: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    x: str
    anchor: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """A button that sets the threshold: what it says, what it shows, and what a rule then has."""

    label: str
    shown: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: what a bin is, and how many people are in it."""

    label: str
    people: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A threshold in the picture: where it stands, and what is said of it, of a second one a line below."""

    x: str
    y: str
    shown: str
    note: str
    anchor: str
    dx: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A histogram.

    Attributes:
        taken: (x, width) of the parts of the picture whose people the condition takes.
        position: where the slider stands, of `STOPS`.
        stops: for the slider, as JSON: [value, as shown, what is said of it, x] at each of its positions.
    """

    bars: list[Bar]
    ticks: list[Tick]
    rows: list[Row]
    marks: list[Mark]
    taken: list[tuple[str, str]]
    side: str
    shortcuts: list[Shortcut]
    position: int
    stops: str
    last: int = STOPS


class Axis:
    """Where a figure stands in the picture, from 0 to 1. What lies beyond the edges has a place of its own at either end."""

    def __init__(self, lies: Distribution) -> None:
        self.lies, self.is_log = lies, lies.scale == Scale.LOG
        self.bins = lies.bins
        self.slot = 1 / len(self.bins)
        self.begins = self.slot if self.bins[0].low is None else 0.0
        self.ends = 1 - self.slot if self.bins[-1].high is None else 1.0
        self.first, self.last = self._on_scale(lies.edges[0]), self._on_scale(lies.edges[-1])

    def _on_scale(self, value: Decimal) -> float:
        return math.log(float(value)) if self.is_log else float(value)

    def x(self, value: Decimal) -> float:
        if value < self.lies.edges[0]:
            return self.begins / 2
        if value > self.lies.edges[-1]:
            return (1 + self.ends) / 2
        share = (self._on_scale(value) - self.first) / (self.last - self.first)
        return self.begins + share * (self.ends - self.begins)

    def value(self, x: float) -> Decimal:
        """The figure at this place, rounded so that it reads well."""
        share = min(1.0, max(0.0, (x - self.begins) / (self.ends - self.begins)))
        place = self.first + share * (self.last - self.first)
        value = Decimal(repr(math.exp(place) if self.is_log else place))
        if self.lies.scale == Scale.DATE:
            return Decimal(int(day_of(value).timestamp()))
        # A tenth of a bin is as fine as anybody can aim.
        if self.is_log:
            return rounded(value, is_whole=self.lies.is_whole)
        step = (self.lies.edges[1] - self.lies.edges[0]) / 10
        if self.lies.is_whole:
            step = max(Decimal(1), step.to_integral_value())
        return (value / step).to_integral_value() * step


def histogram(lies: Distribution, *, op: str = "gte", values: tuple[Decimal, ...] = (), unit: str = "") -> Picture:
    """The picture, with what a condition takes.

    Args:
        lies: one that `is_shown`.
        op: an operator of the rule language; one that compares otherwise takes nothing.
        values: what the condition compares with, as many as its operator has; none yet while somebody still chooses.
        unit: said with each threshold.
    """
    axis, side = Axis(lies), SIDES.get(op, "")
    tallest = max((one.people for one in axis.bins), default=0) or 1
    threshold = values[0] if values else None
    at = axis.x(threshold) if threshold is not None else 0.5
    return Picture(
        bars=[_bar(one, axis, tallest, lies) for one in axis.bins if one.people],
        ticks=_ticks(axis, lies),
        rows=[Row(label=_called(one, lies), people=one.people, share=one.people / lies.people) for one in axis.bins],
        marks=[_mark(value, axis, lies, unit, line=line) for line, value in enumerate(values)],
        taken=[(_percent(start), _percent(end - start)) for start, end in _taken(side, values, axis)],
        side=side,
        shortcuts=_shortcuts(side, lies),
        position=round(at * STOPS),
        stops=_stops(axis, lies, unit),
    )


def _bar(one: Bin, axis: Axis, tallest: int, lies: Distribution) -> Bar:
    start = 0.0 if one.low is None else axis.x(one.low) if one.high is not None else axis.ends
    end = axis.begins if one.low is None else axis.x(one.high) if one.high is not None else 1.0
    height = max(1.5, one.people / tallest * HEIGHT)  # somebody is never drawn as nobody
    width = end - start
    return Bar(
        x=_percent(start + width * GAP / 2),
        width=_percent(width * (1 - GAP)),
        y=f"{HEIGHT - height:.1f}",
        height=f"{height:.1f}",
        title=f"{_called(one, lies)}: {one.people:,}",
    )


def _ticks(axis: Axis, lies: Distribution) -> list[Tick]:
    if lies.scale == Scale.DATE:
        edges = lies.edges
        every = max(1, math.ceil(len(edges) / 5))
        places = [Decimal(one) for one in edges[::every]]
    else:
        low, high = float(lies.edges[0]), float(lies.edges[-1])
        places = [Decimal(f"{one:.6g}") for one in ticks(low, high, is_log=axis.is_log)]
    found = []
    for value in places:
        x = axis.x(value)
        anchor = "start" if x < 0.03 else "end" if x > 0.97 else "middle"
        found.append(Tick(x=_percent(x), anchor=anchor, label=shown(value, lies)))
    return found


def shown(value: Decimal, lies: Distribution) -> str:
    """The figure for people: a number, or of dates a day."""
    return _day(day_of(value)) if lies.scale == Scale.DATE else said(value)


def _day(day: datetime) -> str:
    return f"{day.day} {day:%b %Y}"


def in_rule(value: Decimal, lies: Distribution) -> str:
    """The figure as a rule has it."""
    return f"{day_of(value):%Y-%m-%d}" if lies.scale == Scale.DATE else plain(value)


def _called(one: Bin, lies: Distribution) -> str:
    if one.low is None:
        assert one.high is not None, "a bin has an end"
        return f"before {shown(one.high, lies)}" if lies.scale == Scale.DATE else f"less than {shown(one.high, lies)}"
    if one.high is None:
        return f"from {shown(one.low, lies)}"
    if lies.scale == Scale.DATE:
        day = day_of(one.low)
        names = {"month": f"{day:%b %Y}", "year": f"{day:%Y}", "decade": f"{day:%Y}s", "day": _day(day)}
        return names.get(lies.period, f"{lies.period} of {_day(day)}")
    if lies.is_whole and one.high - one.low == 1:
        return shown(one.low, lies)
    return f"{shown(one.low, lies)} to {shown(one.high, lies)}"


def _taken(side: str, values: tuple[Decimal, ...], axis: Axis) -> list[tuple[float, float]]:
    places = sorted(axis.x(value) for value in values)
    match side, places:
        case "above", [x]:
            return [(x, 1.0)]
        case "below", [x]:
            return [(0.0, x)]
        case "between", [low, high]:
            return [(low, high)]
        case "equal", [x]:
            return [(max(0.0, x - axis.slot / 2), min(1.0, x + axis.slot / 2))]
        case _:
            return []


def _mark(value: Decimal, axis: Axis, lies: Distribution, unit: str, *, line: int) -> Mark:
    x = axis.x(value)
    is_right = x > 0.6  # its words stand on the side where there is room
    return Mark(
        x=_percent(x),
        y=str(2 + 14 * line),
        shown=f"{shown(value, lies)} {unit}".strip(),
        note=percentile(value, lies),
        anchor="end" if is_right else "start",
        dx="-8" if is_right else "8",
    )


def percentile(value: Decimal, lies: Distribution) -> str:
    """Where the figure stands among all: "79th percentile"."""
    share = lies.share_below(value) * 100
    if share <= 0:
        return "below all"
    if share >= 100:
        return "above all"
    whole = min(99, max(1, round(share)))
    ending = "th" if 10 < whole % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{ending} percentile"


def _shortcuts(side: str, lies: Distribution) -> list[Shortcut]:
    is_below = side == BELOW
    found = []
    for share, name in SHARES:
        value = lies.at(share if is_below or share == 50 else 100 - share)
        label = name if share == 50 else f"{'Bottom' if is_below else 'Top'} {name}"
        found.append(Shortcut(label=label, shown=shown(value, lies), value=in_rule(value, lies)))
    return found


def _stops(axis: Axis, lies: Distribution, unit: str) -> str:
    found = []
    for place in range(STOPS + 1):
        value = axis.value(place / STOPS)
        said_as = f"{shown(value, lies)} {unit}".strip()
        found.append([in_rule(value, lies), said_as, percentile(value, lies), round(axis.x(value) * 100, 2)])
    return json.dumps(found, separators=(",", ":"))


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"

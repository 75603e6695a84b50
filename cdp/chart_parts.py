"""What all kinds of charts share: axes, tooltips, legends, bands, and how values are told to the browser. Pure.

The kinds, and what is said of colours and formats, are in `cdp.charts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias

Options: TypeAlias = dict[str, Any]
Value: TypeAlias = int | float | Decimal | None


class Unit(StrEnum):
    """How values are written."""

    COUNT = "count"
    SHARE = "share"
    MONEY = "money"
    NUMBER = "number"


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line or one kind of bar; a value that isn't known is None and interrupts it.

    `low` and `high` are the ends of an interval about each value, drawn as a band.
    """

    name: str
    values: Sequence[Value]
    color: str = "@chart-1"
    is_dashed: bool = False
    low: Sequence[Value] = field(default=())
    high: Sequence[Value] = field(default=())


# Labels stay within the canvas, with room for what reaches below the line.
WITHIN: Final = {
    "left": 8,
    "right": 20,
    "bottom": 12,
    "outerBounds": {"left": 0, "right": 0, "top": 2, "bottom": 6},
}


def base(about: str) -> Options:
    return {
        "aria": {"enabled": True, "label": {"description": about}},
        # The browser turns it off for whoever asked for less motion.
        "animation": True,
        "animationDuration": 300,
        "textStyle": {"fontFamily": "@font", "fontSize": 12, "color": "@ink-2"},
        "grid": {**WITHIN, "top": 12},
    }


def legend_of(names: Sequence[str]) -> Options:
    """None for a single series: the heading says what it is."""
    if len(names) < 2:
        return {}
    legend: Options = {
        "data": list(names),
        "left": 0,
        "top": 0,
        "icon": "roundRect",
        "itemWidth": 12,
        "itemHeight": 8,
        "type": "plain",
    }
    return {
        "legend": {**legend, "textStyle": {"color": "@ink-2", "width": 220, "overflow": "truncate"}},
        "grid": {**WITHIN, "top": 36},
    }


def tooltip() -> Options:
    """Painted, not put into the page: markup made by a library would need styles that the policy forbids."""
    return {
        "renderMode": "richText",
        "confine": True,
        "transitionDuration": 0,
        "backgroundColor": "@raised",
        "borderColor": "@line-2",
        "textStyle": {"color": "@ink", "fontSize": 12},
    }


def axis_tooltip(
    unit: Unit, currency: str, moments: str, *, is_absolute: bool = False, pointer: str = "line"
) -> Options:
    return {
        **tooltip(),
        "trigger": "axis",
        "axisPointer": {"type": pointer, "lineStyle": {"color": "@line-2"}, "shadowStyle": {"color": "@fill", "opacity": 0.6}},
        "formatter": {"$format": "axis", "moments": moments, **format_of(unit, currency, is_absolute=is_absolute, key="unit")},
    }  # fmt: skip


def format_of(unit: Unit, currency: str, *, is_absolute: bool = False, key: str = "$format") -> Options:
    return (
        {key: unit.value} | ({"currency": currency} if currency else {}) | ({"absolute": True} if is_absolute else {})
    )


def axis_along(at: Sequence[str], moments: str, *, edge: bool) -> Options:
    label: Options = {"color": "@ink-3", "hideOverlap": True}
    if moments != "text":
        label["formatter"] = {"$format": moments}
    return {
        "type": "category",
        "data": list(at),
        "boundaryGap": edge,
        "axisTick": {"show": False},
        "axisLine": {"onZero": False, "lineStyle": {"color": "@line-2"}},
        "axisLabel": label,
    }


def highest(series: Sequence[Series]) -> float:
    return max((float(value) for one in series for value in (*one.values, *one.high) if value is not None), default=0.0)


def axis_up(unit: Unit, currency: str, *, is_absolute: bool = False, most: float = 0.0) -> Options:
    axis: Options = {
        "type": "value",
        "splitNumber": 4,
        "splitLine": {"lineStyle": {"color": "@line"}},
        "axisLabel": {"color": "@ink-3", "formatter": format_of(unit, currency, is_absolute=is_absolute)},
    }
    if unit is Unit.COUNT:
        axis["minInterval"] = 1
    if unit is Unit.SHARE and most > 0.8:
        axis["max"] = 1  # round steps would go beyond the whole
    return axis


def band(number: int, one: Series) -> list[Options]:
    """Two lines that aren't seen, the upper one as the distance to the lower: what lies between is filled."""
    if not one.low or not one.high:
        return []
    unseen: Options = {
        "type": "line",
        "stack": f"band-{number}",
        "symbol": "none",
        "silent": True,
        "lineStyle": {"opacity": 0},
        "color": one.color,
        "tooltip": {"show": False},
    }
    apart = [
        None if low is None or high is None else high - low  # type: ignore[operator]  # both are of one kind
        for low, high in zip(one.low, one.high, strict=True)
    ]
    return [
        {**unseen, "id": f"low-{number}", "data": plain(one.low)},
        {**unseen, "id": f"high-{number}", "data": plain(apart), "areaStyle": {"color": one.color, "opacity": 0.14}},
    ]


def plain(values: Sequence[Value]) -> list[float | int | None]:
    return [None if value is None else value if isinstance(value, int) else round(float(value), 6) for value in values]


def has_a_lonely_value(values: Sequence[Value]) -> bool:
    """Whether a value has no neighbour, so that no line would show it."""
    around = [None, *values, None]
    return any(
        one is not None and before is None and after is None
        for before, one, after in zip(around, around[1:], around[2:], strict=False)
    )


def bin_of(value: float, edges: Sequence[float]) -> int | None:
    """The number of the bar that a value falls into; the last edge belongs to the last bar."""
    if not edges[0] <= value <= edges[-1]:
        return None
    return min(sum(value >= edge for edge in edges[1:]), len(edges) - 2)

"""Pictures of figures, as options of Apache ECharts. Pure: figures in, plain dictionaries out, which JSON can carry.

An option names its colours by their role ("@chart-1", a token of `tokens.css`) and says how values are written
(`{"$format": "money"}`); `cdp/js/charts.js` puts in what the reader's theme has. Only the keys named there are looked at, so
that no name of a person or segment is ever taken for either. Small charts that need no script are in `cdp.small_charts`;
what the figures mean stands beside them, in the screens. What all kinds share is
in `cdp.chart_parts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from cdp.chart_parts import (
    WITHIN,
    Options,
    Series,
    Unit,
    Value,
    axis_along,
    axis_tooltip,
    axis_up,
    band,
    base,
    bin_of,
    has_a_lonely_value,
    highest,
    legend_of,
    plain,
    tooltip,
)

# Okabe, M. and Ito, K. (2008), Color Universal Design: told apart by whoever sees red and green alike. As tokens, because on
# a light and on a dark ground other shades of them can be read.
PALETTE: Final = ("@chart-1", "@chart-2", "@chart-3", "@chart-4", "@chart-5", "@chart-6")
ROLES: Final = {
    "members": "@chart-1",
    "entered": "@chart-1",
    "left": "@chart-2",
    "everyone": "@ink-3",
    "quiet": "@line-2",
}
MOST_SERIES: Final = len(PALETTE)
# From here on a cell of a heat map is so strong that dark text, in the dark theme light text, can't be read on it.
STRONG: Final = 0.65


class Height(StrEnum):
    """How high a picture stands; its width is that of its panel."""

    LOW = "s"
    MIDDLE = "m"
    HIGH = "l"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the table beside a picture."""

    label: str
    is_number: bool = True


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture with the same figures as a table: cells as they are to be read, the first of each row its name."""

    id: str
    title: str
    about: str
    options: Options
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    height: Height = Height.MIDDLE

    @property
    def options_id(self) -> str:
        """Of the element that holds the options."""
        return f"{self.id}-options"


def over_time(
    *,
    at: Sequence[str],
    series: Sequence[Series],
    about: str,
    unit: Unit = Unit.COUNT,
    currency: str = "",
    moments: str = "day",
    is_filled: bool = False,
) -> Options:
    """Lines over time.

    Args:
        at: moments in ISO 8601 as the reader's calendar has them, or what `moments` else says.
        about: what somebody hears who doesn't see it.
        moments: how `at` is written: "day", "hour", or "text" as it is.
        is_filled: the field below the only line is filled.
    """
    drawn: list[Options] = []
    for number, one in enumerate(series):
        drawn += band(number, one)
        line: Options = {
            "type": "line",
            "name": one.name,
            "data": plain(one.values),
            "color": one.color,
            "symbol": "circle",
            "symbolSize": 6,
            "showSymbol": len(at) <= 1 or has_a_lonely_value(one.values),
            "lineStyle": {"width": 2, "color": one.color, "type": "dashed" if one.is_dashed else "solid"},
            "emphasis": {"focus": "none"},
        }
        if is_filled and len(series) == 1:
            line["areaStyle"] = {"color": one.color, "opacity": 0.12}
        drawn.append(line)
    return {
        **base(about),
        **legend_of([one.name for one in series]),
        "tooltip": axis_tooltip(unit, currency, moments),
        "xAxis": axis_along(at, moments, edge=False),
        "yAxis": axis_up(unit, currency, most=highest(series)),
        "series": drawn,
    }


def came_and_went(
    *, at: Sequence[str], came: Sequence[int], went: Sequence[int], about: str, moments: str = "day"
) -> Options:
    """For each day or hour a bar up for who entered and one down for who left."""
    bar: Options = {"type": "bar", "stack": "both", "barMaxWidth": 24, "emphasis": {"focus": "none"}}
    return {
        **base(about),
        **legend_of(["Entered", "Left"]),
        "tooltip": axis_tooltip(Unit.COUNT, "", moments, is_absolute=True),
        "xAxis": axis_along(at, moments, edge=True),
        "yAxis": axis_up(Unit.COUNT, "", is_absolute=True),
        "series": [
            {**bar, "name": "Entered", "color": ROLES["entered"], "data": list(came)},
            {**bar, "name": "Left", "color": ROLES["left"], "data": [-one for one in went]},
        ],
    }


def bars(
    *,
    categories: Sequence[str],
    series: Sequence[Series],
    about: str,
    unit: Unit = Unit.COUNT,
    currency: str = "",
    is_lying: bool = False,
) -> Options:
    """Bars by category, side by side where there are several series; lying ones for long names, the first on top."""
    names: Options = {
        "type": "category",
        "data": list(categories),
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": "@line-2"}},
        "axisLabel": {"color": "@ink-2", "width": 140 if is_lying else 96, "overflow": "truncate", "interval": 0},
        "inverse": is_lying,
    }
    drawn = [
        {"type": "bar", "name": one.name, "data": plain(one.values), "color": one.color, "barMaxWidth": 28,
         "barGap": "10%", "emphasis": {"focus": "none"}}
        for one in series
    ]  # fmt: skip
    figures = axis_up(unit, currency, most=highest(series))
    return {
        **base(about),
        **legend_of([one.name for one in series]),
        "tooltip": axis_tooltip(unit, currency, "text", pointer="shadow"),
        "xAxis": figures if is_lying else names,
        "yAxis": names if is_lying else figures,
        "series": drawn,
    }


def histogram(
    *, edges: Sequence[float], counts: Sequence[int], about: str, marks: Sequence[tuple[str, float]] = ()
) -> Options:
    """How often values fall between each two edges, bar by bar without a gap.

    Args:
        edges: one more than counts, ascending. A last edge equal to the one before makes an open end.
        marks: values to point at, each with its name: a percentile, a threshold.

    Raises:
        ValueError: the edges don't fit the counts.
    """
    if len(edges) != len(counts) + 1 or list(edges) != sorted(edges):
        raise ValueError("a histogram has one edge more than counts, in ascending order")
    between = [f"{written(low)} to {written(high)}" for low, high in pairwise(edges)]
    lines = [{"xAxis": place, "name": name} for name, value in marks if (place := bin_of(value, edges)) is not None]
    bar: Options = {
        "type": "bar",
        "name": "People",
        "data": list(counts),
        "color": PALETTE[0],
        "barCategoryGap": "4%",
        "emphasis": {"focus": "none"},
    }
    if lines:
        bar["markLine"] = {
            "symbol": "none",
            "silent": True,
            "data": lines,
            "lineStyle": {"color": "@ink-2", "type": "dashed"},
            "label": {"color": "@ink-2", "formatter": "{b}"},
        }
    return {
        **base(about),
        "tooltip": axis_tooltip(Unit.COUNT, "", "text", pointer="shadow"),
        "xAxis": axis_along(between, "text", edge=True),
        "yAxis": axis_up(Unit.COUNT, ""),
        "series": [bar],
    }


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place of a heat map: how strong it is, from 0 to 1; what stands in it, and what is said of it."""

    share: float
    text: str
    said: str


def heat_map(
    *, rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Cell | None]], about: str
) -> Options:
    """Shares in rows and columns, the first row on top; a place that isn't known stays empty, so a triangle is one too."""
    strongest = max((cell.share for row in cells for cell in row if cell), default=0.0) or 1.0
    data = [
        {
            "value": [x, y, round(cell.share, 4)],
            "text": cell.text,
            "said": cell.said,
            "label": {"color": "@on-heat-1" if cell.share / strongest > STRONG else "@on-heat-0"},
        }
        for y, row in enumerate(cells)
        for x, cell in enumerate(row)
        if cell
    ]
    names: Options = {
        "type": "category",
        "axisTick": {"show": False},
        "axisLine": {"show": False},
        "splitArea": {"show": False},
    }
    label: Options = {"color": "@ink-2"}
    return {
        **base(about),
        "grid": {**WITHIN, "top": 28},
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "xAxis": {**names, "data": list(columns), "position": "top", "axisLabel": label},
        "yAxis": {**names, "data": list(rows), "inverse": True, "axisLabel": {**label, "interval": 0}},
        "visualMap": {
            "show": False,
            "min": 0,
            "max": strongest,
            "dimension": 2,
            "inRange": {"color": ["@heat-0", "@heat-1"]},
        },
        # In a narrow window figures wouldn't fit into the places; they are in the tooltip and the table.
        "media": [{"query": {"maxWidth": 620}, "option": {"series": [{"label": {"show": False}}]}}],
        "series": [
            {
                "type": "heatmap",
                "data": data,
                "label": {"show": True, "fontSize": 11, "formatter": {"$format": "text"}},
                "itemStyle": {"borderColor": "@surface", "borderWidth": 1},
                "emphasis": {"itemStyle": {"borderColor": "@ink", "borderWidth": 1}},
            }
        ],
    }


@dataclass(frozen=True, kw_only=True)
class Combination:
    """How many are in exactly these sets, by their numbers."""

    sets: frozenset[int]
    count: int


def upset(*, sets: Sequence[str], combinations: Sequence[Combination], about: str) -> Options:
    """How sets overlap: a bar for each combination, and below it a dot for each set that belongs to it.

    Lex, A. et al. (2014), UpSet: Visualization of intersecting sets, IEEE TVCG 20(12): of more than three sets no circles can
    be drawn whose overlaps mean anything.
    """
    numbers = [str(n) for n, _ in enumerate(combinations)]
    on: list[Options] = []
    off: list[Options] = []
    joins: list[list[Any]] = []
    for x, one in enumerate(combinations):
        for y in range(len(sets)):
            (on if y in one.sets else off).append({"value": [x, y]})
        joins += [[x, min(one.sets)], [x, max(one.sets)], ["-", "-"]]
    below = 28 * len(sets)
    across: Options = {
        "type": "category",
        "data": numbers,
        "axisTick": {"show": False},
        "axisLabel": {"show": False},
        "axisLine": {"show": False},
        "axisPointer": {"show": False},
    }
    dots: Options = {
        "type": "scatter",
        "silent": True,
        "xAxisIndex": 1,
        "yAxisIndex": 1,
        "symbolSize": 12,
        "itemStyle": {"opacity": 1},
    }
    said = [
        f"{' and '.join(name for y, name in enumerate(sets) if y in one.sets)}{'' if len(one.sets) > 1 else ' alone'}"
        for one in combinations
    ]
    return {
        **base(about),
        "grid": [
            {"left": 160, "right": 16, "top": 24, "bottom": below + 24, "outerBoundsMode": "none"},
            {"left": 160, "right": 16, "height": below, "bottom": 12, "outerBoundsMode": "none"},
        ],
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "xAxis": [
            {**across, "gridIndex": 0, "axisLine": {"show": True, "lineStyle": {"color": "@line-2"}}},
            {**across, "gridIndex": 1},
        ],
        "yAxis": [
            {**axis_up(Unit.COUNT, ""), "gridIndex": 0, "splitNumber": 3},
            {
                "type": "category",
                "gridIndex": 1,
                "data": list(sets),
                "inverse": True,
                "axisTick": {"show": False},
                "axisLine": {"show": False},
                "axisLabel": {"color": "@ink-2", "width": 144, "overflow": "truncate", "interval": 0},
            },
        ],
        "series": [
            {
                "type": "bar",
                "name": "People",
                "color": PALETTE[0],
                "barMaxWidth": 36,
                "data": [
                    {"value": one.count, "said": f"{words}\n{one.count:,} people"}
                    for one, words in zip(combinations, said, strict=True)
                ],
                "label": {"show": True, "position": "top", "color": "@ink-2", "formatter": {"$format": "count"}},
            },
            {
                "type": "line",
                "silent": True,
                "xAxisIndex": 1,
                "yAxisIndex": 1,
                "symbol": "none",
                "data": joins,
                "lineStyle": {"width": 2, "color": PALETTE[0]},
            },
            {**dots, "color": "@fill-2", "data": off},
            {**dots, "color": PALETTE[0], "data": on},
        ],
    }  # fmt: skip


def funnel(*, steps: Sequence[tuple[str, int]], about: str) -> Options:
    """How many came as far as each step, as lying bars from one edge: lengths compare better than the slopes of a cone."""
    first = steps[0][1] if steps else 0
    options = bars(
        categories=[name for name, _ in steps],
        series=[Series(name="People", values=[count for _, count in steps])],
        about=about,
        is_lying=True,
    )
    options["tooltip"] = {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}}
    options["series"][0]["data"] = [
        {
            "value": count,
            "text": _of_first(count, first),
            "said": f"{name}\n{count:,} people, {_of_first(count, first)}",
        }
        for name, count in steps
    ]
    options["series"][0]["label"] = {
        "show": True,
        "position": "right",
        "color": "@ink-2",
        "formatter": {"$format": "text"},
    }
    return options


# ---- How values are written ----------------------------------------------------------------------------------


def written(value: Value, unit: Unit = Unit.NUMBER, currency: str = "") -> str:
    """A value as the table has it and the picture shows it; "" where it isn't known."""
    if value is None:
        return ""
    if unit is Unit.COUNT:
        return f"{int(value):,}"
    if unit is Unit.SHARE:
        return f"{float(value) * 100:.1f}%"
    if unit is Unit.MONEY:
        return f"{value:,.2f} {currency}".strip()
    return f"{float(value):,.2f}".rstrip("0").rstrip(".")


def _of_first(count: int, first: int) -> str:
    return written(count / first, Unit.SHARE) if first else ""

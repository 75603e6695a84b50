"""Pictures of groups of points, as options of Apache ECharts: scatter, curves over a choice, silhouettes, trees, profiles. Pure.

What all kinds share is in `cdp.chart_parts`; how options name colours and formats is said in `cdp.charts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdp.chart_parts import WITHIN, Options, base, legend_of, plain, tooltip
from cdp.charts import PALETTE

# Told apart by shape too, where there are more groups than colours that everybody can tell apart.
SYMBOLS: Final = ("circle", "diamond", "triangle", "rect", "roundRect", "pin")
NOISE: Final = "@ink-3"


def look_of(number: int) -> tuple[str, str]:
    """The colour and the symbol of the group at this place; below 0 those of what is in no group."""
    if number < 0:
        return NOISE, "circle"
    return PALETTE[number % len(PALETTE)], SYMBOLS[number // len(PALETTE) % len(SYMBOLS)]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Points of one group, and where it stands in the order of groups (-1: in none)."""

    name: str
    number: int
    points: Sequence[tuple[float, float]]
    centre: tuple[float, float] | None = None


def scatter(*, groups: Sequence[Group], across: str, up: str, about: str) -> Options:
    """Points in a plane, each group in a colour and symbol of its own, its centre larger and named in the legend."""
    drawn: list[Options] = []
    for group in groups:
        colour, symbol = look_of(group.number)
        drawn.append(
            {
                "type": "scatter",
                "name": group.name,
                "data": [[round(x, 4), round(y, 4)] for x, y in group.points],
                "color": colour,
                "symbol": symbol,
                "symbolSize": 5,
                "itemStyle": {"opacity": 0.45 if group.number < 0 else 0.7},
                "large": False,
                "silent": True,
                "emphasis": {"focus": "none"},
            }
        )
    centres = [
        {
            "value": [round(group.centre[0], 4), round(group.centre[1], 4)],
            "said": group.name,
            "symbol": look_of(group.number)[1],
            "itemStyle": {"color": look_of(group.number)[0], "borderColor": "@surface", "borderWidth": 2},
        }
        for group in groups
        if group.centre
    ]
    if centres:
        drawn.insert(0, {"type": "scatter", "name": "Centres", "data": centres, "symbolSize": 18, "z": 5})
    axis: Options = {
        "type": "value",
        "nameLocation": "middle",
        "nameTextStyle": {"color": "@ink-3"},
        "splitLine": {"lineStyle": {"color": "@line"}},
        "axisLabel": {"show": False},
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": "@line-2"}},
        "scale": True,
    }
    legend = legend_of([group.name for group in groups])
    if legend:
        legend["legend"].pop("icon")
        legend["legend"]["type"] = "scroll"
    return {
        **base(about),
        **legend,
        "grid": {**WITHIN, "top": 40, "left": 24, "bottom": 28},
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "xAxis": {**axis, "name": across, "nameGap": 10},
        "yAxis": {**axis, "name": up, "nameGap": 10},
        "series": drawn,
    }


def curve(
    *, at: Sequence[int], values: Sequence[float | None], name: str, across: str, chosen: int | None, about: str
) -> Options:
    """A line over numbers that somebody chooses from, with the chosen one pointed at."""
    line: Options = {
        "type": "line",
        "name": name,
        "data": plain(values),
        "color": PALETTE[0],
        "symbol": "circle",
        "symbolSize": 7,
        "lineStyle": {"width": 2, "color": PALETTE[0]},
        "emphasis": {"focus": "none"},
    }
    if chosen is not None and chosen in at:
        line["markLine"] = {
            "symbol": "none",
            "silent": True,
            "data": [{"xAxis": str(chosen), "name": f"{chosen}"}],
            "lineStyle": {"color": "@ink-2", "type": "dashed"},
            "label": {"color": "@ink-2", "formatter": "{b}"},
        }
    return {
        **base(about),
        "grid": {**WITHIN, "top": 24, "bottom": 26},
        "tooltip": {
            **tooltip(),
            "trigger": "axis",
            "formatter": {"$format": "axis", "moments": "text", "unit": "number"},
        },
        "xAxis": {
            "type": "category",
            "data": [str(one) for one in at],
            "name": across,
            "nameLocation": "middle",
            "nameGap": 24,
            "nameTextStyle": {"color": "@ink-3"},
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": "@line-2"}},
            "axisLabel": {"color": "@ink-3"},
        },
        "yAxis": {
            "type": "value",
            "scale": True,
            "splitNumber": 4,
            "splitLine": {"lineStyle": {"color": "@line"}},
            "axisLabel": {"color": "@ink-3", "formatter": {"$format": "number"}},
        },
        "series": [line],
    }


@dataclass(frozen=True, kw_only=True)
class Knife:
    """The silhouettes of one group, highest first, and their mean."""

    name: str
    number: int
    values: Sequence[float]
    mean: float


def silhouettes(*, knives: Sequence[Knife], mean: float, about: str) -> Options:
    """The silhouette plot: for each group the silhouettes of its points, sorted, one below the other, and the mean of all.

    Rousseeuw, P. J. (1987), Silhouettes: a graphical aid to the interpretation and validation of cluster analysis.
    """
    bars: list[Options] = []
    names: list[str] = []
    for knife in knives:
        colour, _ = look_of(knife.number)
        middle = len(knife.values) // 2
        for place, value in enumerate(knife.values):
            names.append(knife.name if place == middle else "")
            bars.append(
                {"value": round(value, 4), "itemStyle": {"color": colour}, "said": f"{knife.name}: {value:.2f}"}
            )
        if knife is not knives[-1]:
            names.append("")
            bars.append({"value": 0, "said": ""})
    return {
        **base(about),
        "grid": {**WITHIN, "top": 24, "bottom": 10},
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "xAxis": {
            "type": "value",
            "min": min(0.0, *(one for knife in knives for one in knife.values)) if knives else 0,
            "max": 1,
            "splitLine": {"lineStyle": {"color": "@line"}},
            "axisLabel": {"color": "@ink-3", "formatter": {"$format": "number"}},
        },
        "yAxis": {
            "type": "category",
            "data": [str(number) for number in range(len(names))],
            "inverse": True,
            "axisTick": {"show": False},
            "axisLabel": {"show": False},
            "axisLine": {"show": False},
        },
        "series": [
            {
                "type": "bar",
                "name": "Silhouette",
                "data": bars,
                "barWidth": "100%",
                "emphasis": {"focus": "none"},
                "markLine": {
                    "symbol": "none",
                    "silent": True,
                    "data": [{"xAxis": round(mean, 4), "name": f"mean {mean:.2f}"}],
                    "lineStyle": {"color": "@ink-2", "type": "dashed"},
                    "label": {"color": "@ink-2", "formatter": "{b}", "position": "start"},
                },
            }
        ],
    }


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Where two branches of a tree come together: between which places, each from which height, and at which height."""

    left: float
    right: float
    left_height: float
    right_height: float
    height: float
    said: str


def dendrogram(*, joints: Sequence[Joint], leaves: Sequence[str], cut: float | None, about: str) -> Options:
    """A tree of how groups were put together, the distance upwards; a dashed line where it was cut into groups.

    Args:
        leaves: what stands below each place 0, 1, 2 …
    """
    series: list[Options] = []
    points: list[Options] = []
    highest = max((joint.height for joint in joints), default=1.0) or 1.0
    for joint in joints:
        below = cut is not None and joint.height <= cut
        colour = PALETTE[0] if below else "@ink-3"
        shape = [
            [joint.left, joint.left_height],
            [joint.left, joint.height],
            [joint.right, joint.height],
            [joint.right, joint.right_height],
        ]
        series.append(
            {
                "type": "line",
                "data": [[round(x, 3), round(y, 5)] for x, y in shape],
                "symbol": "none",
                "silent": True,
                "lineStyle": {"width": 1.5, "color": colour},
                "color": colour,
                "tooltip": {"show": False},
            }
        )
        points.append({"value": [round((joint.left + joint.right) / 2, 3), round(joint.height, 5)], "said": joint.said})
    joined: Options = {
        "type": "scatter",
        "name": "Joints",
        "data": points,
        "symbolSize": 8,
        "color": PALETTE[0],
        "itemStyle": {"opacity": 0.01},
        "emphasis": {"itemStyle": {"opacity": 1}},
    }
    if cut is not None:
        joined["markLine"] = {
            "symbol": "none",
            "silent": True,
            "data": [{"yAxis": round(cut, 5), "name": "cut here"}],
            "lineStyle": {"color": "@ink-2", "type": "dashed"},
            "label": {"color": "@ink-2", "formatter": "{b}", "position": "insideEndTop"},
        }
    return {
        **base(about),
        "grid": {**WITHIN, "top": 16, "bottom": 8},
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "xAxis": {
            "type": "value",
            "min": -0.5,
            "max": max(len(leaves) - 0.5, 0.5),
            "interval": 1,
            "show": False,
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "max": round(highest * 1.05, 5),
            "axisLine": {"show": False},
            "splitNumber": 4,
            "splitLine": {"lineStyle": {"color": "@line"}},
            "axisLabel": {"color": "@ink-3", "formatter": {"$format": "number"}, "showMaxLabel": False},
        },
        "series": [joined, *series],
    }


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One group over the same measures as the others."""

    name: str
    number: int
    values: Sequence[float]


def radar(*, measures: Sequence[str], profiles: Sequence[Profile], reach: float, about: str) -> Options:
    """What groups are like in some measures, each from -reach at the centre to reach at the rim; 0 is everybody's mean."""
    return {
        **base(about),
        **{key: value for key, value in legend_of([one.name for one in profiles]).items() if key != "grid"},
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "radar": {
            "indicator": [{"name": measure, "min": -reach, "max": reach} for measure in measures],
            "center": ["50%", "56%"],
            "radius": "54%",
            "splitNumber": 4,
            "axisName": {"color": "@ink-2", "width": 92, "overflow": "break"},
            "axisLine": {"lineStyle": {"color": "@line"}},
            "splitLine": {"lineStyle": {"color": "@line"}},
            "splitArea": {"show": False},
        },
        "series": [
            {
                "type": "radar",
                "name": "Clusters",
                "data": [
                    {
                        "name": one.name,
                        "value": [max(-reach, min(reach, round(value, 3))) for value in one.values],
                        "said": f"{one.name}\n"
                        + "\n".join(
                            f"{measure}  {value:+.1f}" for measure, value in zip(measures, one.values, strict=True)
                        ),
                        "symbolSize": 5,
                        "lineStyle": {"width": 2, "color": look_of(one.number)[0]},
                        "itemStyle": {"color": look_of(one.number)[0]},
                        "areaStyle": {"color": look_of(one.number)[0], "opacity": 0.06},
                    }
                    for one in profiles
                ],
            }
        ],
    }

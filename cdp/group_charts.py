"""Pictures of groups of people, as options of Apache ECharts: how large each is, and who went from which to which. Pure.

What is said of colours and formats, and the other kinds, are in `cdp.charts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdp.chart_parts import Options, base, tooltip
from cdp.charts import STRONG

# Below this share of all a flow's line is thinner than a pixel; it is in the table.
THINNEST: Final = 0.002
NARROW: Final = {"left": 136, "right": 136, "label": {"fontSize": 11, "width": 124, "overflow": "truncate"}}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One group of a treemap: its field's size, how strong its colour is from 0 to 1, what stands in it and what is said of it."""

    name: str
    size: int
    shade: float
    text: str
    said: str


def treemap(*, parts: Sequence[Part], about: str) -> Options:
    """Groups as fields of one rectangle, the largest first; a group without anybody has no field.

    Shneiderman, B. (1992), Tree visualization with tree-maps, ACM Transactions on Graphics 11(1).
    """
    strongest = max((one.shade for one in parts), default=0.0) or 1.0
    data = [
        {
            "name": one.name,
            "value": [one.size, round(one.shade, 4)],
            "text": f"{one.name}\n{one.text}",
            "said": one.said,
            "label": {"color": "@on-heat-1" if one.shade / strongest > STRONG else "@on-heat-0"},
        }
        for one in parts
        if one.size
    ]
    return {
        **base(about),
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "visualMap": {
            "show": False,
            "type": "continuous",
            "min": 0,
            "max": strongest,
            "dimension": 1,
            "inRange": {"color": ["@heat-0", "@heat-1"]},
        },
        "series": [
            {
                "type": "treemap",
                "name": "Groups",
                "data": data,
                "left": 0,
                "right": 0,
                "top": 0,
                "bottom": 0,
                "roam": False,
                "nodeClick": False,
                "breadcrumb": {"show": False},
                "label": {
                    "show": True,
                    "position": "insideTopLeft",
                    "fontSize": 12,
                    "lineHeight": 16,
                    "overflow": "truncate",
                    "formatter": {"$format": "text"},
                },
                "itemStyle": {"borderColor": "@surface", "borderWidth": 0, "gapWidth": 2},
                "emphasis": {"itemStyle": {"borderColor": "@ink", "borderWidth": 1}},
            }
        ],
    }


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How many people went from one group to another, by their names."""

    before: str
    after: str
    people: int
    color: str = "@chart-1"


def flow(*, before: Sequence[str], after: Sequence[str], flows: Sequence[Flow], about: str) -> Options:
    """Who went from which group (left, in this order) to which (right): a line as thick as they are many.

    A group that nobody was in has no place. What stays in its group is drawn quietly, or it would hide what moved.

    Schmidt, M. (2008), The Sankey Diagram in Energy and Material Flow Management, Journal of Industrial Ecology 12(1).
    """
    everybody = sum(one.people for one in flows)
    drawn = [one for one in flows if one.people and one.people / everybody >= THINNEST]
    sides = (
        ("before", "left", [name for name in before if any(one.before == name for one in drawn)]),
        ("after", "right", [name for name in after if any(one.after == name for one in drawn)]),
    )
    nodes = []
    for side, place, names in sides:
        for name in names:
            people = sum(one.people for one in flows if getattr(one, side) == name)
            word = "were" if side == "before" else "are"
            nodes.append(
                {
                    "name": f"{side}:{name}",
                    "depth": 0 if side == "before" else 1,
                    "text": f"{name}  {people:,}",
                    "said": f"{name}: {people:,} people {word} in it",
                    "label": {"position": place},
                }
            )
    links = [
        {
            "source": f"before:{one.before}",
            "target": f"after:{one.after}",
            "value": one.people,
            "said": f"{one.before} to {one.after}\n{one.people:,} people, {one.people / everybody * 100:.1f}%",
            "lineStyle": {
                "color": "@line-2" if one.before == one.after else one.color,
                "opacity": 0.5,
            },
        }
        for one in drawn
    ]
    return {
        **base(about),
        "tooltip": {**tooltip(), "trigger": "item", "formatter": {"$format": "said"}},
        "series": [
            {
                "type": "sankey",
                "name": "Flow",
                "data": nodes,
                "links": links,
                "left": 168,
                "right": 168,
                "top": 8,
                "bottom": 8,
                "nodeWidth": 10,
                "nodeGap": 10,
                "nodeAlign": "justify",
                # The order is that of the groups, best first, and not what crosses least.
                "layoutIterations": 0,
                "draggable": False,
                "color": "@chart-1",
                "itemStyle": {"color": "@chart-1", "borderWidth": 0},
                "lineStyle": {"curveness": 0.5},
                "label": {"color": "@ink-2", "fontSize": 12, "formatter": {"$format": "text"}},
                "emphasis": {"focus": "adjacency", "label": {"color": "@ink"}},
            }
        ],
        # In a narrow window the names leave little room for lines; what moved most stands beside the picture in words, too.
        "media": [{"query": {"maxWidth": 620}, "option": {"series": [NARROW]}}],
    }

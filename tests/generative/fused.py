"""Random conditions that the compiler answers in one look: several on the events of one name, and narrowed comparisons.

Drawn by themselves, since by chance they would hardly ever stand together.
"""

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.spec.world import CATALOG

if TYPE_CHECKING:
    from tests.generative.strategies import Drawn, Leaves

FUSED = ("totals", "rolling", "one window", "both sides", "narrowed")
LATELY = [{"days": 30}, {"days": 1}, {"hours": 1}, {"minutes": 1}, {"weeks": 4}]
WINDOWS: list[Any] = [*LATELY, "this_month", "last_week", {"from": "2026-05-02", "to": "2026-06-01T12:00:00Z"}]
FILTER = {"where": [{"property": "category", "op": "exists"}]}
AMOUNTS: list[dict[str, Any]] = [
    {"op": "gte", "value": 2},
    {"op": "lte", "value": 1},
    {"op": "between", "value": [1, 2]},
    {"measure": "sum", "op": "gt", "value": 1},
    {"measure": "last_at", "op": "before", "value": "2026-05-31"},
    {"measure": "first_at", "op": "within_last", "value": {"days": 30}},
]
FIGURES: list[dict[str, Any]] = [
    {},
    {"measure": "sum"},
    {"measure": "sum", "of": "price"},
    {"measure": "max"},
    {"measure": "average"},
    {"measure": "distinct", "of": "category"},
]


def fused_forms(drawn: "Drawn") -> "list[Leaves]":
    return [_fused(drawn, form) for form in FUSED]


@st.composite
def _fused(draw: st.DrawFn, drawn: "Drawn", form: str) -> dict[str, Any]:
    drawn.note("fused", form)
    one, other = draw(st.permutations(sorted(CATALOG.events)))[:2]
    did = {"performed": one}

    def perhaps_not(condition: dict[str, Any]) -> dict[str, Any]:
        return draw(st.sampled_from([condition, {"not": condition}]))

    match form:
        case "totals":
            first = {**did, **draw(st.sampled_from([{}, *AMOUNTS[:1], *AMOUNTS[3:]]))}
            more = [{**did, **draw(st.sampled_from(AMOUNTS))}, {**did, "within": draw(st.sampled_from(LATELY))}]
            return {"all": [first, *(perhaps_not(each) for each in draw(st.permutations(more)))]}
        case "rolling":
            windows = [draw(st.sampled_from(LATELY)) for _ in range(3)]
            filters = draw(st.sampled_from([{}, FILTER]))
            parts = [{**did, **filters, **draw(st.sampled_from(AMOUNTS)), "within": window} for window in windows]
            return {"all": [{**did, **filters, "within": windows[0]}, *map(perhaps_not, parts[1:])]}
        case "one window":
            within = {"within": draw(st.sampled_from(WINDOWS))}
            parts = [{**did, **within, **draw(st.sampled_from(AMOUNTS)), **draw(st.sampled_from([{}, FILTER]))}]
            compared = _compared(draw, {**did, **within}, {**did, **within, **FILTER})
            return {"all": [{**did, **within}, *map(perhaps_not, [*parts, compared])]}
        case "both sides":
            within = {"within": draw(st.sampled_from(WINDOWS))}
            return perhaps_not(_compared(draw, {**did, **within, **FILTER}, {**did, **within}))
        case _:
            compared = _compared(draw, did, {"performed": other}, plain=True)
            return {"all": [{**did, **draw(st.sampled_from([AMOUNTS[0], AMOUNTS[3]]))}, perhaps_not(compared)]}


def _compared(draw: st.DrawFn, left: dict[str, Any], right: dict[str, Any], *, plain: bool = False) -> dict[str, Any]:
    sides = draw(st.permutations([left, right]))
    figures = FIGURES[:2] if plain else FIGURES
    ours, theirs = ({**side, **draw(st.sampled_from(figures))} for side in sides)
    op, times = draw(st.sampled_from(["gt", "gte", "lt", "lte"])), draw(st.sampled_from([1, 0.5]))
    return {**ours, "op": op, "than": theirs, "times": times}

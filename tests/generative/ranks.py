"""Conditions on percentiles, drawn by each order, each percentile of the small world and each figure that can be ranked.

How figures themselves are drawn is in `tests.generative.strategies`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from segments.rules import Measure
from segments.rules.nodes import ORDERS
from tests.spec.world import THRESHOLDS

Leaves = st.SearchStrategy[dict[str, Any]]
Note = Callable[..., None]


def forms(figures: Sequence[Measure]) -> set[tuple[str, ...]]:
    """All that must be drawn."""
    orders = {("ranked", op, measure.key) for op in ORDERS for measure in figures}
    return orders | {("percentile", one) for one in THRESHOLDS}


def ranked(note: Note, figures: Sequence[Measure], figure: Callable[[Measure], Leaves], where: Leaves) -> list[Leaves]:
    """One strategy for each order and measure."""
    return [_ranked(note, op, measure, figure(measure), where) for op in ORDERS for measure in figures]


@st.composite
def _ranked(draw: st.DrawFn, note: Note, op: str, measure: Measure, figure: Leaves, where: Leaves) -> dict[str, Any]:
    percentile = draw(st.sampled_from(sorted(THRESHOLDS)))
    note("ranked", op, measure.key)
    note("percentile", percentile)
    filters = draw(where) if draw(st.integers(0, 3)) == 0 else {}
    return {**draw(figure), **filters, "op": op, "than": {"percentile": float(percentile)}}

"""Which conditions are answered in one look at the records: those that would read the same ones, and no others."""

import re
from typing import Any

import pytest

from segments.rules import All, Not, Rule, compile_rule, load
from segments.rules.algebra import positive
from segments.rules.fusing import Fused, Narrowed, fused
from tests.spec.world import CATALOG

MONTH = {"within": {"days": 30}}
WEEK = {"within": {"weeks": 1}}


def ordered(**more: Any) -> dict[str, Any]:
    return {"performed": "Order Completed", **more}


def viewed(**more: Any) -> dict[str, Any]:
    return {"performed": "Product Viewed", **more}


def parts_of(*conditions: dict[str, Any]) -> list[Rule]:
    rule = fused(positive(load({"version": 1, "all": list(conditions)}, CATALOG)))
    return list(rule.rules) if isinstance(rule, All) else [rule]


def test_ever_but_not_lately_is_one_look_at_the_totals() -> None:
    (only,) = parts_of(ordered(), {"not": ordered(**MONTH)}, ordered(measure="sum", op="gt", value=500))
    assert isinstance(only, Fused) and only.from_totals
    assert [wanted for _, wanted in only.parts] == [True, False, True]


def test_lately_alone_is_not_asked_of_everybodys_totals() -> None:
    assert len(parts_of(ordered(**WEEK), {"not": ordered(op="gt", value=5)})) == 2


def test_rolling_windows_on_one_event_are_one_pass_of_the_widest() -> None:
    (only,) = parts_of(ordered(measure="sum", op="gt", value=5, **MONTH), {"not": ordered(op="gte", value=2, **WEEK)})
    assert isinstance(only, Fused) and not only.from_totals
    assert only.read.within.describe() == "in the last 30 days"


def test_conditions_on_several_events_stay_apart_each_with_its_own() -> None:
    found = parts_of(
        ordered(op="gte", value=2, **MONTH),
        viewed(op="gte", value=3, **MONTH),
        {"not": ordered(op="gt", value=9, **MONTH)},
    )
    assert [type(one).__name__ for one in found] == ["Fused", "Performed"]


def test_nothing_is_gathered_that_only_must_not_hold() -> None:
    found = parts_of({"not": ordered(op="gte", value=2, **MONTH)}, {"not": ordered(op="gte", value=3, **WEEK)})
    assert all(isinstance(one, Not) for one in found) and len(found) == 2


def test_a_narrow_window_with_properties_does_not_make_a_wide_one_read_every_event() -> None:
    shoes = [{"property": "category", "op": "equals", "value": "Shoes"}]
    assert len(parts_of(ordered(op="gte", value=2, **MONTH), ordered(op="gte", value=2, where=shoes, **WEEK))) == 2
    assert len(parts_of(ordered(op="gte", value=2, **MONTH), ordered(op="gte", value=2, where=shoes, **MONTH))) == 1


def test_a_share_of_the_same_events_is_one_pass() -> None:
    coupon = [{"property": "coupon", "op": "exists"}]
    share = ordered(where=coupon, op="gt", than=ordered(**MONTH), times=0.5, **MONTH)
    (only,) = parts_of(ordered(op="gte", value=2, **MONTH), share)
    assert isinstance(only, Fused) and len(only.parts) == 2


def test_a_comparison_of_totals_is_narrowed_by_a_condition_on_one_of_them() -> None:
    (only,) = parts_of(ordered(op="gte", value=2), ordered(op="gte", than=viewed(), times=0.5))
    assert isinstance(only, Narrowed) and only.by_left and not only.is_wanted
    (other,) = parts_of(viewed(op="gte", value=2), ordered(op="gt", than=viewed(), times=0.5))
    assert isinstance(other, Narrowed) and not other.by_left and other.is_wanted


@pytest.mark.parametrize("within", [{"since": "Product Viewed"}, {"days": 30, "ago": {"days": 30}}])
def test_windows_that_lie_elsewhere_are_not_read_together_with_rolling_ones(within: dict[str, Any]) -> None:
    assert len(parts_of(ordered(op="gte", value=2, **MONTH), ordered(op="gte", value=2, within=within))) == 2


def test_all_of_a_figure_is_multiplied_that_is_itself_a_sum() -> None:
    kinds = ordered(op="gt", than=ordered(measure="distinct", of="category", **MONTH), times=2, **MONTH)
    text = compile_rule(load({"version": 1, **kinds}, CATALOG), CATALOG, scoped=False).sql()
    assert re.search(r"\(COUNT\(DISTINCT .* \+ COUNT\(DISTINCT .*\)\) \* %\(p\d+\)s", text), text

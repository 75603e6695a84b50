"""Conditions on percentiles: how they are read, said and explained, and what a percentile is."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from segments.rules import (
    Catalog,
    Compared,
    Performed,
    Person,
    Ranked,
    RuleErrors,
    check,
    compile_rule,
    depends_on,
    describe,
    evaluate,
    load,
    positive,
)
from segments.rules.explain import explain, without_history
from segments.rules.findings import Case, Finding, HintKind
from segments.rules.nodes import ORDERS, Not
from segments.rules.ranks import threshold
from tests.spec.ranks import RANKED, ranked
from tests.spec.world import AS_OF, CATALOG, document, event, person

DAYS = timedelta(days=1)
SUM: dict[str, Any] = {"measure": "sum", "within": {"days": 30}}


def rule(condition: dict[str, Any]) -> Any:
    return load(document(condition), CATALOG)


def look(condition: dict[str, Any], someone: Person, **seen: Any) -> Finding:
    found = explain(rule(condition), Case(person=someone, as_of=AS_OF, catalog=CATALOG, **seen)).finding
    assert found is not None
    return found


def spent(*values: str, ago: int = 1) -> Person:
    return person(events=[event(value=value, ago=ago * DAYS) for value in values])


# ---- What it is --------------------------------------------------------------------------------------------------


# PostgreSQL's documentation of percentile_disc: "the first value within the ordered set of aggregated argument values
# whose position in the ordering equals or exceeds the specified fraction"; worked by hand.
@pytest.mark.parametrize(
    ("figures", "percentile", "expected"),
    [
        ([10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 90, 90),
        ([10, 20, 30, 40, 50, 60, 70, 80, 90, 100], "90.01", 100),
        ([10, 20, 30, 40, 50, 60, 70, 80, 90, 100], "0.01", 10),
        ([10, 20, 30, 40, 50, 60, 70, 80, 90, 100], "99.99", 100),
        ([15, 20, 35, 40, 50], 30, 20),
        ([15, 20, 35, 40, 50], 40, 20),
        ([15, 20, 35, 40, 50], 50, 35),
        ([3, 1, 2, 2, 2], 50, 2),
        ([7], 50, 7),
        # As floats, 0.07 * 100 is 7.000000000000001, and the next one would be taken.
        (range(1, 101), 7, 7),
    ],
)
def test_a_percentile_is_the_smallest_figure_that_so_many_percent_do_not_exceed(
    figures: Any, percentile: Any, expected: int
) -> None:
    assert threshold([Decimal(one) for one in figures], Decimal(percentile)) == expected


def test_nobody_has_no_percentile() -> None:
    assert threshold([], Decimal(50)) is None


def test_each_order_has_a_table() -> None:
    conditions = [case.rule.get("not", case.rule) for case in RANKED]
    assert {one["op"] for one in conditions} == set(ORDERS)


def test_one_figure_and_percentile_have_one_threshold_whatever_the_order() -> None:
    found = {rule(ranked(op, 90, **SUM)).ranking for op in ORDERS} | {rule(ranked("gte", 90.0, **SUM)).ranking}
    assert len(found) == 1
    others = [ranked("gte", 90), ranked("gte", 90.01, **SUM), ranked("gte", 90, measure="sum")]
    assert not found & {rule(one).ranking for one in others}
    assert depends_on(rule({"not": ranked("gt", 90, **SUM)})).rankings == found


def test_no_order_is_the_negation_of_another() -> None:
    for op in ORDERS:
        assert positive(rule(ranked(op, 90))) == rule(ranked(op, 90))
        assert positive(rule({"not": ranked(op, 90)})) == Not(rule(ranked(op, 90)))


@pytest.mark.parametrize("changed", [{"op": "equals"}, {"percentile": Decimal(100)}, {"percentile": Decimal("1.001")}])
def test_a_condition_that_makes_no_sense_can_not_be_built(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"rank|percentile"):
        replace(rule(ranked("gte", 90)), **changed)


# ---- Reading -----------------------------------------------------------------------------------------------------


def test_it_is_read() -> None:
    found = rule(ranked("gte", 99.5, **SUM))
    assert isinstance(found, Ranked)
    assert (found.op, found.percentile, found.figure.measure) == ("gte", Decimal("99.5"), "sum")


def test_a_figure_beside_another_is_still_that() -> None:
    assert isinstance(rule({**ranked("gt", 1), "than": {"performed": "Product Viewed"}}), Compared)


@pytest.mark.parametrize(
    ("changed", "errors"),
    [
        ({"than": {"percentile": 0}}, [("number_out_of_range", "/than/percentile")]),
        ({"than": {"percentile": 100}}, [("number_out_of_range", "/than/percentile")]),
        ({"than": {"percentile": 90.125}}, [("number_too_precise", "/than/percentile")]),
        ({"than": {"percentile": "90"}}, [("wrong_type", "/than/percentile")]),
        ({"than": {"percentile": True}}, [("wrong_type", "/than/percentile")]),
        ({"than": {"percentile": 90, "performed": "Product Viewed"}}, [("unknown_key", "/than")]),
        ({"than": {}}, [("wrong_type", "/than")]),
        ({"op": "equals"}, [("unknown_operator", "/op")]),
        ({"value": 5, "times": 2}, [("unknown_key", "/value"), ("unknown_key", "/times")]),
        ({"per": "week", "each": {"days": 1}}, [("unknown_key", "/per"), ("unknown_key", "/each")]),
        ({"measure": "first_at"}, [("unknown_measure", "/measure")]),
        ({"measure": "periods"}, [("unknown_measure", "/measure")]),
        ({"measure": "distinct"}, [("missing_key", "/of")]),
        ({"performed": "Never Heard Of"}, [("unknown_event", "/performed")]),
        (
            {"op": "is", "than": {"percentile": -1}, "within": {}},
            [("unknown_operator", "/op"), ("number_out_of_range", "/than/percentile"), ("wrong_type", "/within")],
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_place(changed: dict[str, Any], errors: list[tuple[str, str]]) -> None:
    with pytest.raises(RuleErrors) as refused:
        load(document({**ranked("gte", 90, **SUM), **changed}), CATALOG)
    assert [(one.code, one.pointer) for one in refused.value.errors] == errors


def test_a_rule_can_be_written_before_its_threshold_is_known_and_run_only_after() -> None:
    unknown = replace(CATALOG, thresholds={})
    found = load(document({"all": [ranked("gte", 90), {"everyone": True}]}), unknown)
    assert [(one.code, one.pointer) for one in check(found, unknown)] == [("threshold_unknown", "/all/0/than")]
    with pytest.raises(RuleErrors):
        compile_rule(found, unknown, scoped=False)
    assert compile_rule(found, CATALOG, scoped=False).sql("postgres")


def test_the_reference_engine_never_takes_an_unknown_threshold_for_none() -> None:
    with pytest.raises(KeyError):
        evaluate(rule(ranked("gte", 90)), Person(id=1), AS_OF)


# ---- Saying ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            ranked("gte", 90, **SUM),
            "People who are among the top 10 % by total value of Order Completed in the last 30 days.",
        ),
        (ranked("lte", 2.5), "People who are among the bottom 2.5 % by number of Order Completed ever."),
        (ranked("gt", 51), "People whose number of Order Completed ever is above the 51st percentile."),
        (ranked("lt", 12), "People whose number of Order Completed ever is below the 12th percentile."),
        (ranked("lt", 99.5), "People whose number of Order Completed ever is below the 99.5th percentile."),
    ],
)
def test_it_reads_as_a_sentence(condition: dict[str, Any], said: str) -> None:
    assert describe(rule(condition), CATALOG) == said
    assert describe(rule(condition), Catalog()) == said


# ---- Explaining --------------------------------------------------------------------------------------------------


def test_a_figure_stands_beside_the_threshold_with_what_it_lacks() -> None:
    found = look(ranked("gte", 90, **SUM), spent("30", "31.5"))
    assert found.said == "61.50 of at least 100.00, the 90th percentile"
    assert (found.actual, found.wanted) == (Decimal("61.5"), "at least 100.00, the 90th percentile")
    assert found.event_count == 2
    assert found.hint and (found.hint.kind, found.hint.amount) == (HintKind.MORE_VALUE, Decimal("38.5"))
    assert found.hint.sentence == "38.50 more value of Order Completed in the last 30 days"


def test_whoever_is_not_ranked_is_told_so() -> None:
    found = look(ranked("gte", 90, **SUM), person())
    assert found.said == "not ranked; wanted is at least 100.00, the 90th percentile"
    assert found.actual is None
    assert found.hint and found.hint.amount == 100
    # To spend little, somebody must have bought something.
    found = look(ranked("lt", 90, **SUM), person())
    assert found.hint and found.hint.sentence == "1 more Order Completed in the last 30 days"


def test_where_nobody_is_ranked_nothing_would_help() -> None:
    found = look(ranked("gte", 99.99, **SUM), spent("5"))
    assert (found.said, found.hint, found.actual) == ("nobody is ranked yet", None, None)


def test_what_is_hidden_does_not_show_in_the_threshold_either() -> None:
    someone = person(events=[event(properties={"price": 7})])
    found = look(ranked("gte", 90, measure="max", of="price"), someone, hidden={"price"})
    assert (found.is_hidden, found.actual, found.hint) == (True, None, None)
    assert "100" not in found.said + found.wanted


def test_it_says_when_the_figure_passes_the_threshold() -> None:
    someone = person(events=[event(value="60", ago=20 * DAYS), event(value="60", ago=10 * DAYS)])
    top, below = ranked("gte", 90, **SUM), ranked("lt", 90, **SUM)
    at = AS_OF + 10 * DAYS + timedelta(microseconds=1)
    for condition in (top, below):
        assert look(condition, someone).turns_at == at
        verdicts = [evaluate(rule(condition), someone, moment) for moment in (at - timedelta(microseconds=1), at)]
        assert verdicts == [condition is top, condition is below]


def test_whoever_has_nothing_left_in_the_window_is_not_ranked_any_more() -> None:
    once = spent("200", ago=20)
    assert look(ranked("lt", 90, **SUM), once).turns_at is None, "from ranked high to not ranked"
    low = spent("50", ago=20)
    assert look(ranked("lt", 90, **SUM), low).turns_at == AS_OF + 10 * DAYS + timedelta(microseconds=1)
    assert look(ranked("gte", 10, **SUM), spent("0", ago=20)).turns_at == AS_OF + 10 * DAYS + timedelta(microseconds=1)


def test_of_the_past_no_threshold_is_kept() -> None:
    (error,) = without_history(rule({"all": [{"performed": "Order Completed"}, ranked("gte", 90)]}))
    assert (error.code, error.pointer) == ("no_history", "/all/1/performed")


def test_a_figure_is_a_condition_on_events() -> None:
    assert isinstance(rule(ranked("gte", 90)).figure, Performed)

"""Leaves and what a rule depends on."""

from typing import Any

import pytest

from segments.rules import Dependencies, Trait, combine, depends_on, leaves, load, positive
from segments.rules.nodes import Everyone, Not, Rule
from tests.spec.world import CATALOG, document

GERMAN: dict[str, Any] = {"trait": "country", "op": "equals", "value": "DE"}


def rule(condition: dict[str, Any]) -> Rule:
    return load(document(condition), CATALOG)


def test_a_condition_its_negation_and_another_spelling_share_one_leaf() -> None:
    found = leaves(
        rule({"any": [GERMAN, {"trait": "country", "op": "not_equals", "value": "DE"}, {**GERMAN, "value": "de"}]})
    )
    assert len(found) == 1


def test_true_and_one_are_different_operands() -> None:
    where = [{"property": "gift", "op": "equals", "value": operand} for operand in (True, 1)]
    assert len(leaves(rule({"any": [{"performed": "Order Completed", "where": [one]} for one in where]}))) == 2


def test_equal_leaves_have_equal_keys_whatever_the_order_and_the_unit() -> None:
    filters = [{"property": "a", "op": "exists"}, {"property": "b", "op": "gt", "value": 1.50}]
    one = rule({"performed": "Order Completed", "where": filters, "within": {"weeks": 1}})
    other = rule(
        {"performed": "Order Completed", "where": filters[::-1], "within": {"days": 7}, "op": "gte", "value": 1}
    )
    assert one == other
    assert hash(one) == hash(other)
    (leaf,) = leaves(one)
    assert leaf.key == (
        '["performed","Order Completed","count",null,"gte","number","1",'
        '[["a","exists","presence",null],["b","gt","number","1.5"]],604800]'
    )


def test_a_condition_that_holds_of_nothing_is_turned_into_the_negation_of_its_opposite() -> None:
    turned = positive(rule({"performed": "Order Completed", "op": "lte", "value": 2}))
    assert turned == Not(rule({"performed": "Order Completed", "op": "gt", "value": 2}))
    assert positive(turned) == turned


def test_combining_is_boolean_algebra_within_the_scope() -> None:
    whole = rule(
        {"all": [{"any": [GERMAN, {"in_segment": "loyal"}]}, {"not": {"in_segment": "lapsed"}}, {"everyone": True}]}
    )
    german, loyal, lapsed = leaves(whole)
    results = {german: {1, 2, 99}, loyal: {3}, lapsed: {2}}
    assert combine(whole, results, {1, 2, 3, 4}) == {1, 3}


def test_a_leaf_without_result_is_never_taken_for_false() -> None:
    with pytest.raises(KeyError):
        combine(rule({"not": GERMAN}), {}, {1})


def test_everyone_needs_no_leaf() -> None:
    assert leaves(Everyone()) == ()
    assert combine(Everyone(), {}, {1, 2}) == {1, 2}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (GERMAN, (["country"], [], [], False)),
        ({"not": {"performed": "Order Completed"}}, ([], ["Order Completed"], [], True)),
        ({"in_segment": "loyal"}, ([], [], ["loyal"], False)),
        ({"trait": "date", "op": "within_last", "value": {"days": 3}}, (["date"], [], [], True)),
        ({"trait": "date", "op": "missing"}, (["date"], [], [], False)),
        ({"everyone": True}, ([], [], [], False)),
    ],
    ids=str,
)
def test_a_rule_says_what_it_depends_on(condition: dict[str, Any], expected: tuple[Any, ...]) -> None:
    traits, events, segments, is_time_dependent = expected
    assert depends_on(rule(condition)) == Dependencies(
        traits=frozenset(traits),
        events=frozenset(events),
        segments=frozenset(segments),
        is_time_dependent=is_time_dependent,
    )


def test_a_tree_that_makes_no_sense_cannot_be_built() -> None:
    from segments.rules.comparisons import Comparison
    from segments.rules.kinds import NUMBER
    from segments.rules.nodes import All

    with pytest.raises(ValueError):
        All(())
    with pytest.raises(ValueError):
        Trait(trait="text", comparison=Comparison(op="contains", kind=NUMBER, operand="x"))

"""What is said to have changed between two wordings of a rule."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.rules import load
from segments.rules.compare import compare
from tests.generative.strategies import rules
from tests.spec.world import CATALOG, document

GERMAN = {"trait": "country", "op": "equals", "value": "DE"}
FRENCH = {"trait": "country", "op": "equals", "value": "FR"}
ORDERED = {"performed": "Order Completed", "op": "gte", "value": 2}
VIEWED = {"performed": "Product Viewed"}
LOYAL = {"in_segment": "loyal"}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    found = compare(load(document(before), CATALOG), load(document(after), CATALOG), CATALOG)
    return [
        (one.kind, one.before.pointer if one.before else None, one.after.pointer if one.after else None)
        for one in found
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (GERMAN, FRENCH, [("changed", "", "")]),
        (GERMAN, ORDERED, [("removed", "", None), ("added", None, "")]),
        ({"all": [GERMAN, ORDERED]}, {"all": [ORDERED, GERMAN]}, []),
        ({"all": [GERMAN]}, GERMAN, []),
        ({"not": {"not": GERMAN}}, GERMAN, []),
        ({"trait": "text", "op": "equals", "value": "Zoë"}, {"trait": "text", "op": "equals", "value": "ZOE"}, []),
        ({"all": [GERMAN, ORDERED]}, {"all": [GERMAN, VIEWED]}, [("removed", "/all/1", None), ("added", None, "/all/1")]),
        ({"all": [GERMAN, ORDERED]}, {"all": [ORDERED, FRENCH, LOYAL]},
         [("changed", "/all/0", "/all/1"), ("added", None, "/all/2")]),
        (GERMAN, {"all": [GERMAN, ORDERED]}, [("added", None, "/all/1")]),
        (GERMAN, {"any": [GERMAN, ORDERED]}, [("changed", "", ""), ("added", None, "/any/1")]),
        ({"any": [GERMAN, ORDERED]}, GERMAN, [("changed", "", ""), ("removed", "/any/1", None)]),
        ({"all": [GERMAN, ORDERED]}, GERMAN, [("removed", "/all/1", None)]),
        ({"all": [GERMAN, ORDERED]}, {"any": [GERMAN, ORDERED]}, [("changed", "", "")]),
        ({"not": GERMAN}, {"not": FRENCH}, [("changed", "/not", "/not")]),
        (LOYAL, {"not": LOYAL}, [("changed", "", "")]),
        ({"all": [LOYAL, {"any": [GERMAN, ORDERED]}]}, {"all": [{"any": [ORDERED, FRENCH]}, LOYAL]},
         [("changed", "/all/1/any/0", "/all/0/any/1")]),
        ({"everyone": True}, GERMAN, [("removed", "", None), ("added", None, "")]),
    ],
)  # fmt: skip
def test_what_changed_is_named_with_its_places(before: Any, after: Any, expected: Any) -> None:
    assert changes(before, after) == expected


def test_changes_are_told_in_english() -> None:
    found = compare(
        load(document({"all": [GERMAN, ORDERED]}), CATALOG), load(document({"any": [FRENCH]}), CATALOG), CATALOG
    )
    assert [one.sentence for one in found] == [
        "Of a group, one is enough now.",
        "Changed: People whose Country is Germany → People whose Country is France.",
        "Removed: People who did Order Completed at least 2 times ever.",
    ]


RULES = rules()


@settings(max_examples=150, deadline=None)
@given(RULES, RULES)
def test_what_is_added_one_way_is_removed_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = load(one, CATALOG), load(other, CATALOG)
    assert compare(first, first, CATALOG) == []
    assert bool(compare(first, second, CATALOG)) == bool(compare(second, first, CATALOG))
    for change in compare(first, second, CATALOG):
        for place, source in ((change.before, one), (change.after, other)):
            assert place is None or _at(source, place.pointer) is not None


@settings(max_examples=100, deadline=None)
@given(RULES, st.randoms(use_true_random=False))
def test_the_order_of_conditions_means_nothing(one: dict[str, Any], chance: random.Random) -> None:
    assert compare(load(one, CATALOG), load(_shuffled(one, chance), CATALOG), CATALOG) == []


def _at(source: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        source = source[int(step)] if isinstance(source, list) else source[step]
    return source


def _shuffled(part: Any, chance: random.Random) -> Any:
    if isinstance(part, dict):
        return {key: _shuffled(value, chance) if key in ("all", "any", "not") else value for key, value in part.items()}
    return chance.sample([_shuffled(one, chance) for one in part], len(part)) if isinstance(part, list) else part

"""Reading a rule: what is refused, with which code, at which place; and that nothing hostile gets through."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.rules import OPERATORS, RuleErrors, load, parse
from segments.rules.limits import MAX_DEPTH, MAX_LEAVES
from segments.rules.reading import MAX_ERRORS
from tests.spec.world import CATALOG, document

EVERYONE: dict[str, Any] = {"everyone": True}


def errors(condition: dict[str, Any]) -> list[tuple[str, str]]:
    """The codes and places of what is wrong with a condition, or an empty list."""
    return raw_errors(document(condition))


def raw_errors(whole: object) -> list[tuple[str, str]]:
    return [(code, place) for code, _, place in all_said(whole)]


def all_said(whole: object) -> list[tuple[str, str, str]]:
    try:
        load(whole, CATALOG)
    except RuleErrors as refused:
        return [(error.code, error.message, error.pointer) for error in refused.errors]
    return []


def nested(depth: int) -> dict[str, Any]:
    condition = EVERYONE
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


def test_all_errors_of_a_rule_are_reported_at_once_each_at_its_place() -> None:
    found = errors(
        {
            "all": [
                {"trait": "shoe_size", "op": "gte", "value": 40},
                {"trait": "number", "op": "gte", "value": "abc"},
                {"any": []},
                {"performed": "Order Complete", "op": "gte", "value": -1},
                {"performed": "Order Completed", "where": [{"property": "", "op": "equals", "value": 1}]},
                {"not": {"in_segment": "broken"}},
                {"trait": "country", "op": "any_of", "value": ["DE", "XX"]},
            ]
        }
    )
    assert found == [
        ("unknown_trait", "/all/0/trait"),
        ("wrong_type", "/all/1/value"),
        ("empty_group", "/all/2/any"),
        ("wrong_type", "/all/3/value"),
        ("unknown_event", "/all/3/performed"),
        ("wrong_type", "/all/4/where/0/property"),
        ("unusable_segment", "/all/5/not/in_segment"),
        ("unknown_country", "/all/6/value/1"),
    ]


def test_a_message_names_the_thing_what_was_expected_and_what_came() -> None:
    with pytest.raises(RuleErrors) as refused:
        load(document({"all": [EVERYONE, {"trait": "number", "op": "gte", "value": "abc"}]}), CATALOG)
    assert str(refused.value) == '/all/1/value: "number" is a number; received text "abc"'


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, ("unknown_condition", "")),
        ({"all": []}, ("empty_group", "/all")),
        ({"any": []}, ("empty_group", "/any")),
        ({"all": {}}, ("wrong_type", "/all")),
        ({"not": []}, ("wrong_type", "/not")),
        ({"not": {"all": []}}, ("empty_group", "/not/all")),
        ({"everyone": False}, ("wrong_type", "/everyone")),
        ({"everyone": 1}, ("wrong_type", "/everyone")),
        ({"everyone": True, "any": [EVERYONE]}, ("unknown_condition", "")),
        ({"everyone": True, "foo": 1}, ("unknown_key", "")),
        ({"in_segment": "nobody"}, ("unknown_segment", "/in_segment")),
        ({"in_segment": "broken"}, ("unusable_segment", "/in_segment")),
        ({"in_segment": 7}, ("wrong_type", "/in_segment")),
        ({"trait": "text", "op": "like", "value": "x"}, ("unknown_operator", "/op")),
        ({"trait": "text", "value": "x"}, ("unknown_operator", "/op")),
        ({"trait": "text", "op": "equals"}, ("missing_value", "/value")),
        ({"trait": "text", "op": "exists", "value": True}, ("unknown_key", "/value")),
        ({"trait": "text", "op": "equals", "value": None}, ("wrong_type", "/value")),
        ({"trait": "text", "op": "equals", "value": "x" * 513}, ("too_long", "/value")),
        ({"trait": "text", "op": "equals", "value": "a\x00"}, ("not_storable", "/value")),
        ({"trait": "text", "op": "equals", "value": "\ud800"}, ("not_storable", "/value")),
        ({"trait": "text", "op": "contains", "value": ""}, ("empty_text", "/value")),
        ({"trait": "text", "op": "contains", "value": "\u0301"}, ("empty_text", "/value")),
        ({"trait": "text", "op": "any_of", "value": []}, ("list_length", "/value")),
        ({"trait": "text", "op": "any_of", "value": ["x"] * 1001}, ("list_length", "/value")),
        ({"trait": "text", "op": "any_of", "value": ["x", 3]}, ("wrong_type", "/value/1")),
        ({"trait": "text", "op": "gt", "value": 3}, ("operator_not_for_type", "/op")),
        ({"trait": "number", "op": "equals", "value": True}, ("wrong_type", "/value")),
        ({"trait": "number", "op": "equals", "value": "5"}, ("wrong_type", "/value")),
        ({"trait": "number", "op": "equals", "value": 10**15}, ("number_out_of_range", "/value")),
        ({"trait": "number", "op": "equals", "value": 10**5000}, ("number_out_of_range", "/value")),
        ({"trait": "number", "op": "equals", "value": float("nan")}, ("number_out_of_range", "/value")),
        ({"trait": "number", "op": "equals", "value": float("-inf")}, ("number_out_of_range", "/value")),
        ({"trait": "number", "op": "equals", "value": 0.00001}, ("number_too_precise", "/value")),
        ({"trait": "number", "op": "between", "value": [2, 1]}, ("bounds_reversed", "/value")),
        ({"trait": "number", "op": "between", "value": [1]}, ("wrong_type", "/value")),
        ({"trait": "number", "op": "between", "value": ["2026-01-01", "2026-01-02"]}, ("wrong_type", "/value/0")),
        ({"trait": "date", "op": "before", "value": "tomorrow"}, ("wrong_type", "/value")),
        ({"trait": "date", "op": "before", "value": "2026-02-30"}, ("no_such_moment", "/value")),
        ({"trait": "date", "op": "before", "value": "9999-12-31"}, ("no_such_moment", "/value")),
        ({"trait": "date", "op": "before", "value": "2026-01-01T10:00:00"}, ("wrong_type", "/value")),
        ({"trait": "date", "op": "within_last", "value": 30}, ("wrong_type", "/value")),
        ({"trait": "date", "op": "within_last", "value": {"days": 0}}, ("duration_out_of_range", "/value")),
        ({"trait": "date", "op": "within_last", "value": {"days": 10**30}}, ("duration_out_of_range", "/value")),
        ({"trait": "date", "op": "within_last", "value": {"months": 1}}, ("wrong_type", "/value")),
        ({"trait": "country", "op": "equals", "value": "Germany"}, ("unknown_country", "/value")),
        ({"trait": "country", "op": "contains", "value": "D"}, ("operator_not_for_type", "/op")),
        ({"performed": "Nothing"}, ("unknown_event", "/performed")),
        ({"performed": "Order Completed", "measure": "avg"}, ("unknown_measure", "/measure")),
        ({"performed": "Order Completed", "measure": ["sum"]}, ("unknown_measure", "/measure")),
        ({"performed": "Order Completed", "measure": "sum"}, ("unknown_operator", "/op")),
        ({"performed": "Order Completed", "of": "price"}, ("unknown_key", "/of")),
        ({"performed": "Order Completed", "op": "gte", "value": 1.5}, ("wrong_type", "/value")),
        ({"performed": "Order Completed", "op": "any_of", "value": [1]}, ("unknown_operator", "/op")),
        ({"performed": "Order Completed", "where": []}, ("list_length", "/where")),
        ({"performed": "Order Completed", "where": [3]}, ("wrong_type", "/where/0")),
        ({"performed": "Order Completed", "within": {}}, ("wrong_type", "/within")),
        ({"performed": "Order Completed", "within": {"days": 1.5}}, ("wrong_type", "/within")),
        ({"performed": "Order Completed", "within": {"days": 1, "hours": 1}}, ("wrong_type", "/within")),
        ({"performed": "Order Completed", "within": {"from": 2026}}, ("wrong_type", "/within/from")),
        (
            {"performed": "Order Completed", "within": {"from": "2026-01-02", "to": "2026-01-02"}},
            ("bounds_reversed", "/within"),
        ),
        (
            {"performed": "Order Completed", "where": [{"property": "p", "op": "before", "value": "2026-01-01"}]},
            ("unknown_operator", "/where/0/op"),
        ),
    ],
)
def test_what_makes_no_sense_is_refused(condition: dict[str, Any], expected: tuple[str, str]) -> None:
    assert errors(condition) == [expected]


@pytest.mark.parametrize("version", [None, 0, 2, "1", True, 1.0, [1]], ids=str)
def test_another_version_is_refused(version: object) -> None:
    assert ("unknown_version", "/version") in raw_errors({"version": version, **EVERYONE})


def test_a_document_without_version_is_refused() -> None:
    assert raw_errors(EVERYONE) == [("unknown_version", "/version")]


def test_depth_is_limited() -> None:
    assert errors(nested(MAX_DEPTH)) == []
    assert errors(nested(MAX_DEPTH + 1)) == [("too_deep", "/not" * MAX_DEPTH)]
    assert errors(nested(400))[0][0] == "too_deep"


def test_the_number_of_conditions_is_limited() -> None:
    assert errors({"all": [EVERYONE] * MAX_LEAVES}) == []
    assert errors({"all": [EVERYONE] * (MAX_LEAVES + 1)}) == [("too_many_conditions", f"/all/{MAX_LEAVES}")]


def test_a_flood_of_errors_stops_at_a_hundred() -> None:
    assert len(errors({"all": [3] * 100_000})) == MAX_ERRORS


def test_parsing_alone_needs_no_catalogue() -> None:
    parse(document({"trait": "anything", "op": "gte", "value": 3}))


KEYS = ["version", "all", "any", "not", "trait", "performed", "in_segment", "everyone", "op", "value", "measure", "of"]
KEYS += [
    "where",
    "within",
    "property",
    "days",
    "from",
    "to",
    "text",
    "number",
    "Order Completed",
    "\ud800",
    "\x00",
    "~/",
]
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**4000), 1, "1", "2026-01-01", "Order Completed", "loyal", *OPERATORS, *KEYS]),
    st.floats(),
    st.text(st.characters(exclude_categories=()), max_size=8),
)
JSON = st.recursive(
    ATOMS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=20,
)


@given(JSON)
def test_no_json_whatever_makes_the_parser_crash(hostile: object) -> None:
    for whole in (hostile, {"version": 1, "all": [hostile]}, {"version": 1, "not": hostile}):
        for code, message, place in all_said(whole):
            json.dumps([code, message, place], ensure_ascii=False).encode()

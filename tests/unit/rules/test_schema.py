"""The published JSON Schema says the same as the parser, as far as a schema can."""

import copy
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.rules import json_schema, load
from tests.generative.strategies import Drawn, conditions, documents, leaf_forms
from tests.spec.operators import PROPERTIES, TRAITS
from tests.spec.performed import CASES
from tests.spec.ranks import RANKED
from tests.spec.world import CATALOG, document

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema_with_a_name_and_the_version() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == "urn:cdp:segment-rule:1"
    assert SCHEMA["properties"] == {"version": {"const": 1}}


def test_every_rule_of_the_spec_tables_is_valid() -> None:
    conditions: list[dict[str, Any]] = [{"trait": one.declared, **one.condition} for one in TRAITS]
    conditions += [
        {"performed": "Order Completed", "where": [{"property": "p", **one.condition}]} for one in PROPERTIES
    ]
    conditions += [case.rule for case in (*CASES, *RANKED)]
    for condition in conditions:
        VALIDATOR.validate(document(condition))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(st.one_of(leaf_forms(Drawn())), conditions(Drawn())))
def test_every_generated_rule_is_valid(generated: dict[str, Any]) -> None:
    load(copy.deepcopy(generated), CATALOG)
    VALIDATOR.validate(generated)


@pytest.mark.parametrize(
    "whole",
    [
        {"everyone": True},
        {"version": 2, "everyone": True},
        {"version": 1},
        {"version": 1, "everyone": False},
        {"version": 1, "everyone": True, "extra": 1},
        {"version": 1, "all": []},
        {"version": 1, "all": [{"version": 1, "everyone": True}]},
        {"version": 1, "not": {"everyone": True, "op": "exists"}},
        {"version": 1, "trait": "a", "op": "exists", "value": 1},
        {"version": 1, "trait": "a", "op": "equals"},
        {"version": 1, "trait": "a", "op": "within_last", "value": {"days": 1, "hours": 1}},
        {"version": 1, "performed": "a", "of": "price"},
        {"version": 1, "performed": "a", "op": "gte", "value": -1},
        {"version": 1, "performed": "a", "measure": "sum"},
        {"version": 1, "performed": "a", "where": [{"property": "p", "op": "exists", "x": 1}]},
        {"version": 1, "performed": "a", "within": {}},
        {"version": 1, "performed": "a", "within": {"since": "b", "days": 1}},
        {"version": 1, "performed": "a", "within": "this_decade"},
        {"version": 1, "performed": "a", "measure": "distinct"},
        {"version": 1, "performed": "a", "measure": "periods", "within": {"weeks": 2}},
        {
            "version": 1,
            "performed": "a",
            "measure": "sum",
            "op": "gt",
            "value": 1,
            "per": "week",
            "within": {"days": 2},
        },
        {"version": 1, "sequence": [{"performed": "a"}]},
        {"version": 1, "sequence": [{"performed": "a"}, {"not_performed": "b"}]},
        {"version": 1, "sequence": [{"performed": "a", "within": {"days": 1}}, {"performed": "b"}]},
    ],
    ids=str,
)
def test_what_the_parser_refuses_by_its_form_the_schema_refuses_too(whole: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(whole)

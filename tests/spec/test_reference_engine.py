"""The spec tables on the reference engine. On PostgreSQL they run in tests/integration/test_rule_engines_agree.py."""

from typing import Any

import pytest

from segments.rules import MEASURES, OPERATORS, evaluate, load
from segments.rules.calendar import PERIODS
from segments.rules.kinds import NUMBER
from segments.rules.parse_standing import BUCKET_OPERATORS, SCORE_OPERATORS
from tests.spec.operators import MISSING, PROPERTIES, TRAITS, Table
from tests.spec.performed import CASES, RELATIONS, Case
from tests.spec.ranks import RANKED
from tests.spec.standing import BUCKETS, CONSENTS, LISTS, NOTHING, SCORES, SEED, Standing
from tests.spec.world import AS_OF, CATALOG, document, event, person

NUMBERS = {key for key, measure in MEASURES.items() if measure.kinds == (NUMBER,)}


@pytest.mark.parametrize("table", TRAITS, ids=lambda table: table.name)
def test_a_trait_operator_means_what_its_table_says(table: Table) -> None:
    rule = load(document({"trait": table.declared, **table.condition}), CATALOG)
    for raw, expected in table.rows:
        someone = person(traits={} if raw is MISSING else {table.declared: raw})
        assert evaluate(rule, someone, AS_OF) is expected, repr(raw)[:80]


@pytest.mark.parametrize("table", PROPERTIES, ids=lambda table: table.name)
def test_a_property_filter_means_what_its_table_says(table: Table) -> None:
    where = [{"property": "p", **table.condition}]
    rule = load(document({"performed": "Order Completed", "where": where}), CATALOG)
    for raw, expected in table.rows:
        properties: dict[str, Any] = {} if raw is MISSING else {"p": raw}
        assert evaluate(rule, person(events=[event(properties=properties)]), AS_OF) is expected, repr(raw)[:80]


@pytest.mark.parametrize("case", [*CASES, *RELATIONS, *RANKED], ids=lambda case: case.name)
def test_a_condition_on_events_means_what_its_table_says(case: Case) -> None:
    rule = load(document(case.rule), CATALOG)
    for events, expected in case.rows:
        assert evaluate(rule, person(events=events), AS_OF) is expected, events


@pytest.mark.parametrize("table", [*SCORES, *CONSENTS, *LISTS], ids=lambda table: table.name)
def test_a_condition_on_how_a_person_stands_means_what_its_table_says(table: Standing) -> None:
    rule = load(document(table.condition), CATALOG)
    for stands, expected in table.rows:
        assert evaluate(rule, person(**stands), AS_OF) is expected, stands


@pytest.mark.parametrize(("condition", "expected"), BUCKETS, ids=str)
def test_a_bucket_holds_of_whom_its_table_says(condition: dict[str, Any], expected: set[int]) -> None:
    rule = load(document({"bucket": SEED, **condition}), CATALOG)
    assert {number for number in (1, 2, 3) if evaluate(rule, person(number), AS_OF)} == expected


def test_every_way_to_compare_a_score_or_a_bucket_has_a_table() -> None:
    assert {table.condition["op"] for table in SCORES} == set(SCORE_OPERATORS)
    assert all(NOTHING in (*table.holds, *table.fails) for table in SCORES), "the missing score"
    assert {condition["op"] for condition, _ in BUCKETS} == set(BUCKET_OPERATORS)


def test_every_operator_has_a_table_for_every_type_with_the_missing_value_in_it() -> None:
    wanted = {(declared.value, one.key) for one in OPERATORS.values() for declared in one.accepts}
    assert {(table.declared, table.op) for table in TRAITS} == wanted
    for table in (*TRAITS, *PROPERTIES):
        assert MISSING in (*table.holds, *table.fails), table.name


def test_every_filter_operator_has_a_table() -> None:
    wanted = {(kind.noun, one.key) for one in OPERATORS.values() for kind in one.kinds if kind.in_properties}
    nouns = {"text": "text", "number": "a number", "boolean": "true or false", "anything": "anything"}
    assert {(nouns[table.declared], table.op) for table in PROPERTIES} == wanted


def test_every_way_to_compare_an_amount_has_a_table() -> None:
    wanted = {one.key for one in OPERATORS.values() if one.amount is not None}
    compared = {case.condition.get("op", "gte") for case in CASES if case.condition.get("measure", "count") in NUMBERS}
    assert compared == wanted


def test_every_measure_has_a_table_with_the_row_of_no_events() -> None:
    told = {key: [c for c in CASES if c.condition.get("measure", "count") == key] for key in MEASURES}
    for key, cases in told.items():
        assert any(() in (*case.holds, *case.fails) for case in cases), key


def test_every_calendar_window_has_a_table() -> None:
    assert {case.condition["within"] for case in CASES if isinstance(case.condition.get("within"), str)} == set(PERIODS)

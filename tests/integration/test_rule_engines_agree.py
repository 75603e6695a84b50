"""The spec tables on PostgreSQL: the same rows as in tests/spec/test_reference_engine.py, the same verdicts."""

from typing import Any

import pytest

from segments.rules import Person, compile_rule, load
from tests.generative.postgres import People
from tests.spec.operators import MISSING, PROPERTIES, TRAITS
from tests.spec.performed import CASES, RELATIONS
from tests.spec.ranks import RANKED
from tests.spec.standing import BUCKETS, CONSENTS, LISTS, SCORES, SEED
from tests.spec.world import AS_OF, CATALOG, document, event, person


@pytest.fixture
def people(db):  # type: ignore[no-untyped-def]
    from django.db import connection

    connection.ensure_connection()
    return People(connection.connection, CATALOG)


def test_trait_operators_mean_what_their_tables_say(people: People) -> None:
    for table in TRAITS:
        someone = [
            person(number, traits={} if raw is MISSING else {table.declared: raw})
            for number, (raw, _) in enumerate(table.rows)
        ]
        condition = {"trait": table.declared, **table.condition}
        assert _verdicts(people, condition, someone) == [expected for _, expected in table.rows], table.name


def test_property_filters_mean_what_their_tables_say(people: People) -> None:
    for table in PROPERTIES:
        histories: list[dict[str, Any]] = [{} if raw is MISSING else {"p": raw} for raw, _ in table.rows]
        someone = [person(number, events=[event(properties=one)]) for number, one in enumerate(histories)]
        condition = {"performed": "Order Completed", "where": [{"property": "p", **table.condition}]}
        assert _verdicts(people, condition, someone) == [expected for _, expected in table.rows], table.name


def test_conditions_on_events_mean_what_their_tables_say(people: People) -> None:
    for case in (*CASES, *RELATIONS, *RANKED):
        someone = [person(number, events=events) for number, (events, _) in enumerate(case.rows)]
        assert _verdicts(people, case.rule, someone) == [expected for _, expected in case.rows], case.name


def test_conditions_on_how_people_stand_mean_what_their_tables_say(people: People) -> None:
    for table in (*SCORES, *CONSENTS, *LISTS):
        someone = [person(number, **stands) for number, (stands, _) in enumerate(table.rows)]
        assert _verdicts(people, table.condition, someone) == [expected for _, expected in table.rows], table.name


def test_buckets_hold_of_whom_their_table_says(people: People) -> None:
    someone = [person(number) for number in (1, 2, 3)]
    for condition, expected in BUCKETS:
        found = _verdicts(people, {"bucket": SEED, **condition}, someone)
        assert found == [one.id in expected for one in someone], condition


def _verdicts(people: People, condition: dict[str, Any], someone: list[Person]) -> list[bool]:
    people.store(someone)
    found = people.matching(compile_rule(load(document(condition), CATALOG), CATALOG, scoped=False), AS_OF)
    return [one.id in found for one in someone]

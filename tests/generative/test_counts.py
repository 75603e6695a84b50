"""The parts of a rule, counted in one statement, are as many people as the reference engine says of each of them."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.rules import All, Not, compile_counts, evaluate, load
from segments.rules.explain import nodes
from tests.generative.postgres import People
from tests.generative.strategies import Drawn, conditions, documents, leaf_forms, random_people
from tests.spec.world import AS_OF, CATALOG

RULES = st.one_of(*(documents(form, conditions(Drawn())) for form in leaf_forms(Drawn())))
POPULATION = random_people(120, random.Random(20260602))


@pytest.fixture
def people(db: None) -> People:
    from django.db import connection

    connection.ensure_connection()
    found = People(connection.connection, CATALOG)
    found.store(POPULATION)
    return found


def test_every_group_and_condition_is_counted_as_the_reference_engine_counts_it(people: People) -> None:
    @settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(RULES, RULES)
    def agree(drawn: dict[str, Any], other: dict[str, Any]) -> None:
        first, second = load(drawn, CATALOG), load(other, CATALOG)
        # Parts of a rule, as a preview asks for them, and two rules beside each other, as a comparison does.
        asked = [*(node for _, node in nodes(first)), All((second, Not(first))), All((first, second))]
        ((everybody, *counts),) = people.rows(compile_counts(asked, CATALOG), AS_OF)
        assert everybody == len(POPULATION)
        assert counts == [sum(evaluate(rule, one, AS_OF) for one in POPULATION) for rule in asked]

    agree()


def test_conditions_past_the_bits_of_a_number_are_counted_too(people: People) -> None:
    thresholds = [{"trait": "number", "op": "gt", "value": number} for number in range(-30, 100)]
    rule = load({"version": 1, "any": thresholds}, CATALOG)
    asked = [node for _, node in nodes(rule)]
    ((_, *counts),) = people.rows(compile_counts(asked, CATALOG), AS_OF)
    assert counts == [sum(evaluate(one, somebody, AS_OF) for somebody in POPULATION) for one in asked]
    assert len(set(counts)) > 3, "people are too dull"


def test_a_rule_without_conditions_is_counted_too(people: People) -> None:
    everyone = load({"version": 1, "everyone": True}, CATALOG)
    assert people.rows(compile_counts([everyone, Not(everyone)], CATALOG), AS_OF) == [
        (len(POPULATION), len(POPULATION), 0)
    ]

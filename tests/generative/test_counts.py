"""The parts of a rule, counted in one statement, are as many people as the reference engine says of each of them."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlglot import exp

from segments.rules import All, Not, compile_counts, compile_rule, evaluate, load
from segments.rules.explain import nodes
from tests.generative.postgres import TABLES, People
from tests.generative.strategies import random_people, rules
from tests.spec.world import AS_OF, CATALOG

RULES = rules()
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
        # Of the people of a table, who happen to be all, in both ways.
        for one_by_one in (False, True):
            of_a_table = compile_counts(asked, CATALOG, of=TABLES["profile"], one_by_one=one_by_one)
            assert people.rows(of_a_table, AS_OF) == [(everybody, *counts)], one_by_one
        # The right figures would come, too, if each person were compared with themselves, and everybody read for each.
        equal = of_a_table.expression.find_all(exp.EQ)
        assert not [one for one in equal if isinstance(one.this, exp.Column) and one.this == one.expression]

    agree()


def test_conditions_past_the_bits_of_a_number_are_counted_too(people: People) -> None:
    thresholds = [{"trait": "number", "op": "gt", "value": number} for number in range(-30, 100)]
    rule = load({"version": 1, "any": thresholds}, CATALOG)
    asked = [node for _, node in nodes(rule)]
    ((_, *counts),) = people.rows(compile_counts(asked, CATALOG), AS_OF)
    assert counts == [sum(evaluate(one, somebody, AS_OF) for somebody in POPULATION) for one in asked]
    assert len(set(counts)) > 3, "people are too dull"


def test_conditions_that_are_gathered_mean_what_they_mean_when_they_are_joined(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segments.rules.compile.MOST_JOINED", 0)
    some = [one.id for one in POPULATION[::3]]

    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(RULES, RULES)
    def agree(drawn: dict[str, Any], other: dict[str, Any]) -> None:
        rule = All((load(drawn, CATALOG), Not(load(other, CATALOG))))
        for one in (rule, *rule.rules, Not(rule)):
            expected = [person.id for person in POPULATION if evaluate(one, person, AS_OF)]
            assert sorted(people.matching(compile_rule(one, CATALOG, scoped=False), AS_OF)) == expected
            scoped = people.matching(compile_rule(one, CATALOG, scoped=True), AS_OF, some)
            assert sorted(scoped) == [one for one in expected if one in some]

    agree()


def test_a_thousand_conditions_are_true_of_whom_the_reference_engine_says(people: People) -> None:
    thresholds = [{"trait": "number", "op": "gt", "value": number} for number in range(-30, 470)]
    counts = [{"performed": "Order Completed", "op": "gte", "value": n, "within": {"hours": n}} for n in range(1, 501)]
    rule = load({"version": 1, "any": [{"all": [*thresholds]}, {"not": {"any": counts}}]}, CATALOG)
    expected = [person.id for person in POPULATION if evaluate(rule, person, AS_OF)]
    assert sorted(people.matching(compile_rule(rule, CATALOG, scoped=False), AS_OF)) == expected
    assert 0 < len(expected) < len(POPULATION)


def test_a_rule_without_conditions_is_counted_too(people: People) -> None:
    everyone = load({"version": 1, "everyone": True}, CATALOG)
    assert people.rows(compile_counts([everyone, Not(everyone)], CATALOG), AS_OF) == [
        (len(POPULATION), len(POPULATION), 0)
    ]

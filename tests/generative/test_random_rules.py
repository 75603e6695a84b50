"""PostgreSQL, DuckDB and the reference engine give the same verdict on random rules over random people."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings

from segments.rules import (
    AHEAD,
    Performed,
    PositiveLeaf,
    Rule,
    combine,
    compile_leaf,
    compile_rule,
    compile_together,
    evaluate,
    leaves,
    load,
    place,
)
from segments.rules.operands import Duration
from segments.rules.windows import Rolling
from tests.generative.duckdb_engine import DuckPeople
from tests.generative.postgres import People
from tests.generative.strategies import Drawn, conditions, documents, leaf_forms, random_people
from tests.spec.world import AS_OF, CATALOG

HOW_MANY_PEOPLE = 150


@pytest.fixture
def people(db):  # type: ignore[no-untyped-def]
    from django.db import connection

    connection.ensure_connection()
    return People(connection.connection, CATALOG)


@pytest.fixture
def duck_people() -> Iterator[DuckPeople]:
    made = DuckPeople(CATALOG)
    yield made
    made.close()


def in_another_window(leaf: PositiveLeaf) -> PositiveLeaf:
    """A neighbour for a leaf whose window rolls, so that chance doesn't decide whether two are read in one look."""
    match leaf:
        case Performed(within=Rolling(ago=None, duration=duration)):
            days = 10 if duration.length > timedelta(days=10) else 40
            return replace(leaf, within=Rolling(Duration(days, "days")))
    return leaf


@pytest.mark.drill
def test_the_engines_agree_on_every_operator(
    people: People, duck_people: DuckPeople, drill_scale: Callable[..., int]
) -> None:
    """Everyone in three engines, a scope, and leaf by leaf: one meaning. It fails when anything of the language was
    never drawn."""
    how_many_rules = drill_scale(full=10_000, quick=1_000)
    one_in_depth_of = drill_scale(full=1, quick=8)
    drawn = Drawn()
    population = random_people(HOW_MANY_PEOPLE, random.Random(20260601))
    people.store(population)
    duck_people.store(population)
    rules: Counter[str] = Counter()
    everyone = {one.id for one in population}
    verdicts = {True: 0, False: 0}
    seen_at: dict[str, dict[PositiveLeaf, None]] = {}
    shared: Counter[bool] = Counter()
    windows: Counter[bool] = Counter()
    looked_ahead: Counter[bool] = Counter()

    def agree(document: dict[str, object]) -> None:
        rule = load(document, CATALOG)
        expected = {one.id for one in population if evaluate(rule, one, AS_OF)}
        verdicts[True] += len(expected)
        verdicts[False] += len(everyone) - len(expected)

        compiled = compile_rule(rule, CATALOG, scoped=False)
        assert sorted(people.matching(compiled, AS_OF)) == sorted(expected), "PostgreSQL"
        assert sorted(duck_people.matching(compiled, AS_OF)) == sorted(expected), "DuckDB"

        rules["all"] += 1
        # By the rule itself, so that a failure that is tried again goes the same way.
        if crc32(str(document).encode()) % one_in_depth_of == 0:
            rules["in depth"] += 1
            agree_in_depth(document, rule, expected)

    def agree_in_depth(document: dict[str, object], rule: Rule, expected: set[int]) -> None:
        scope = set(random.Random(str(document)).sample(sorted(everyone), 20))
        scoped = people.matching(compile_rule(rule, CATALOG, scoped=True), AS_OF, sorted(scope))
        assert sorted(scoped) == sorted(expected & scope)

        asked = leaves(rule)
        results = {
            leaf: set(people.matching(compile_leaf(leaf, CATALOG, scoped=True), AS_OF, sorted(scope)))
            for leaf in dict.fromkeys([*asked, *map(in_another_window, asked)])
        }
        assert combine(rule, results, scope) == expected & scope

        for leaf, alone in results.items():
            neighbours = seen_at.setdefault(place(leaf), {})
            neighbours.pop(leaf, None)
            neighbours[leaf] = None
            together = list(neighbours)[-4:]
            told = dict(people.rows(compile_together(together, CATALOG), AS_OF, sorted(scope)))
            assert alone <= told.keys()
            for profile_id, holds in told.items():
                assert holds == AHEAD or bool(holds >> together.index(leaf) & 1) == (profile_id in alone)
                looked_ahead.update({holds == AHEAD})
            shared.update({len(together) > 1})
            windows.update({len({getattr(one, "within", None) for one in together}) > 1})

    forms, others = leaf_forms(drawn), conditions(drawn)
    often = settings(
        max_examples=-(-how_many_rules // len(forms)),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    for form in forms:
        often(given(documents(form, others))(agree))()

    assert rules["all"] >= how_many_rules
    assert rules["in depth"] > how_many_rules / one_in_depth_of / 2
    assert Drawn.everything() - set(drawn.counts) == set(), "never drawn"
    assert shared[True], "no two leaves were ever asked together"
    assert windows[True], "no two windows were ever read in one look"
    assert looked_ahead[True], "nobody had an event ahead of the moment of judgement"
    assert min(verdicts.values()) > sum(verdicts.values()) / 10, "verdicts are all alike: people are too dull"


def test_an_empty_scope_has_nobody(people: People) -> None:
    people.store(random_people(5, random.Random(1)))
    rule = load({"version": 1, "everyone": True}, CATALOG)

    assert people.matching(compile_rule(rule, CATALOG, scoped=True), AS_OF, []) == []

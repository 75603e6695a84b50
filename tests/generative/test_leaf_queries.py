"""Leaves are answered alike for few people, by plans that are kept, and for many; and as the reference engine says."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.engines import postgres
from segments.engines.postgres import LeafQueries
from segments.rules import PositiveLeaf, Span, edges, evaluate, leaves, load
from tests.generative.postgres import TABLES, People
from tests.generative.strategies import random_people, rules
from tests.spec.world import AS_OF, CATALOG

RULES = rules()
POPULATION = random_people(80, random.Random(20260603))
EVERYBODY = {one.id: one for one in POPULATION}
MOMENTS = (AS_OF, AS_OF + timedelta(seconds=10), AS_OF + timedelta(days=45))


@pytest.fixture
def people(db: None, monkeypatch: pytest.MonkeyPatch) -> People:
    connection.ensure_connection()
    found = People(connection.connection, CATALOG)
    found.store(POPULATION)
    monkeypatch.setattr(postgres, "TABLES", TABLES)
    return found


def test_few_and_many_people_are_answered_alike(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    few: list[int] = []
    truths: list[int] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(RULES, min_size=2, max_size=6), st.randoms(use_true_random=False))
    def agree(drawn: list[dict[str, Any]], chance: random.Random) -> None:
        known = list(dict.fromkeys(leaf for document in drawn for leaf in leaves(load(document, CATALOG))))
        # Some of them nobody announced.
        queries = LeafQueries(CATALOG, known[: max(1, len(known) - 1)])
        for as_of in MOMENTS:
            wanted: dict[PositiveLeaf, set[int]] = {
                leaf: set(chance.sample(sorted(EVERYBODY), chance.randrange(0, 8)))
                for leaf in chance.sample(known, chance.randrange(1, len(known) + 1))
            }
            told = queries.answer(wanted, as_of=as_of)
            few.append(sum(map(len, wanted.values())))
            with monkeypatch.context() as patch:
                patch.setattr(postgres, "FEW", -1)
                among_many = queries.answer(wanted, as_of=as_of)
            assert told.keys() == among_many.keys() == wanted.keys()
            for leaf, scope in wanted.items():
                expected = {one for one in scope if evaluate(leaf, EVERYBODY[one], as_of)}
                assert told[leaf] & scope == among_many[leaf] & scope == expected, leaf
                truths.append(len(expected))

    agree()
    assert 0 < max(few) <= postgres.FEW, "nobody was asked about as one of few"
    assert sum(truths) > 50, "nearly nothing was true"


def test_the_same_text_is_asked_whichever_leaves_are_wanted(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no plan would ever come again."""
    asked: list[str] = []
    ask = postgres.ask_prepared

    def listening(statements: Any) -> Any:
        asked.extend(sql for sql, _ in statements)
        return ask(statements)

    monkeypatch.setattr(postgres, "ask_prepared", listening)
    known = [
        leaf
        for days in (1, 7, 30)
        for leaf in leaves(
            load({"version": 1, "performed": "Order Completed", "within": {"days": days}}, CATALOG),
        )
    ]
    queries = LeafQueries(CATALOG, known)
    before = _prepared()
    for leaf in known:
        queries.answer({leaf: {1, 2}}, as_of=AS_OF)
    assert len(asked) == 3
    assert len(set(asked)) == 1
    assert [plans for name, plans in _prepared().items() if name not in before] == [(3, 0)]
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)


def test_whose_verdicts_time_changes_is_told_of_many_leaves_at_once(people: People) -> None:
    kept = LeafQueries(CATALOG)
    shared: list[int] = []
    named: list[int] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(RULES, min_size=2, max_size=8), st.randoms(use_true_random=False))
    def agree(drawn: list[dict[str, Any]], chance: random.Random) -> None:
        asked = list(dict.fromkeys(leaf for document in drawn for leaf in leaves(load(document, CATALOG))))
        scope = set(chance.sample(sorted(EVERYBODY), 40))
        # Asked twice, by the text that was made for the first time; the second time another span is in it.
        for days in (3, 40):
            span = Span(after=AS_OF - timedelta(days=days), until=AS_OF + timedelta(days=days), zone=AS_OF.tzinfo)
            everybody, some = kept.touched(asked, span), kept.touched(asked, span, scope=scope)
            assert everybody.keys() == some.keys() == set(asked)
            for leaf in asked:
                near = {one.id for one in POPULATION if any(True for _ in edges(leaf, one, span))}
                assert set().union(*everybody[leaf]) == near, leaf
                assert set().union(*some[leaf]) == near & scope, leaf
                assert all(list(ids) == sorted(set(ids)) for ids in everybody[leaf])
                named.append(len(near))
            arrays = [id(ids) for leaf in asked for ids in everybody[leaf]]
            shared.append(len(arrays) - len(set(arrays)))

    agree()
    assert sum(named) > 500, "time hardly changes a verdict"
    assert any(shared), "no two leaves ever looked at the same records"


def _prepared() -> dict[str, tuple[int, int]]:
    """By name, how often the statement's one plan was used, and how often one was made for its operands."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, generic_plans, custom_plans FROM pg_prepared_statements")
        return {name: (generic, custom) for name, generic, custom in cursor.fetchall()}

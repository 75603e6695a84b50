"""Whose verdict time alone may change: nobody is left out, and PostgreSQL and the reference engine name the same people."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from segments.rules import (
    Filter,
    Performed,
    Person,
    PositiveLeaf,
    Ranked,
    Trait,
    Type,
    compile_edges,
    compile_leaf,
    edge_place,
    edges,
    evaluate,
    leaves,
    load,
)
from segments.rules.binding import AS_OF as AS_OF_PLACEHOLDER
from segments.rules.binding import Bind
from segments.rules.kinds import NUMBER
from segments.rules.nodes import Comparison
from segments.rules.operators import OPERATORS, Operator
from segments.rules.shapes import ONE
from segments.rules.windows import Calendar, Since, Window
from tests.generative.postgres import TABLES, People
from tests.generative.strategies import MICROSECOND, Drawn, conditions, documents, leaf_forms, random_people
from tests.spec.world import AS_OF, CATALOG

POPULATION = random_people(120, random.Random(20261122))
# Steps that end exactly on, just before and just after the moments at which those people's events enter and leave.
STEPS = [
    timedelta(0),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=28),
    timedelta(days=30),
]
MOMENTS = [
    AS_OF + sign * step + nudge * MICROSECOND for step in STEPS for sign in (-1, 1) for nudge in (-1, 0, 1)
]  # fmt: skip
SPANS = st.tuples(st.sampled_from(MOMENTS), st.sampled_from(MOMENTS)).filter(lambda pair: pair[0] < pair[1])


@pytest.fixture
def people(db):  # type: ignore[no-untyped-def]
    from django.db import connection

    connection.ensure_connection()
    found = People(connection.connection, CATALOG)
    found.store(POPULATION)
    return found


def in_python(leaf: PositiveLeaf, someone: Person, t1: datetime, t2: datetime) -> list[datetime]:
    return sorted({at for at in edges(leaf, someone) if t1 < at <= t2})


def in_sql(people: People, leaf: PositiveLeaf, t1: datetime, t2: datetime, scope: list[int] | None = None) -> list[int]:
    compiled = compile_edges(leaf, CATALOG, scoped=scope is not None)
    if compiled is None:
        return []
    params = {**compiled.params, "t1": t1, "t2": t2, "scope": scope or []}
    return sorted(int(str(row[0])) for row in people.cursor.execute(compiled.sql("postgres", TABLES), params))


@pytest.mark.drill
def test_a_verdict_changes_only_at_an_edge_and_both_engines_know_whose(
    people: People, drill_scale: Callable[..., int]
) -> None:
    drawn = Drawn()
    seen: Counter[str] = Counter()
    refused: set[str] = set()

    def agree(document: dict[str, Any], span: tuple[datetime, datetime]) -> None:
        t1, t2 = span
        for leaf in leaves(load(document, CATALOG)):
            if not says_when(leaf):
                refused.add(what_is_refused(leaf))
                continue
            near: set[int] = set()
            for someone in POPULATION:
                moments = in_python(leaf, someone, t1, t2)
                if moments:
                    near.add(someone.id)
                verdict = evaluate(leaf, someone, t1)
                for at in moments:
                    # What it was at the last edge it still is just before the next.
                    assert evaluate(leaf, someone, at - MICROSECOND) == verdict
                    turned = evaluate(leaf, someone, at)
                    seen["turned"] += turned != verdict
                    verdict = turned
                assert evaluate(leaf, someone, t2) == verdict
            assert in_sql(people, leaf, t1, t2) == sorted(near)
            some = sorted(near)[::2] + [someone.id for someone in POPULATION if someone.id not in near][:5]
            assert in_sql(people, leaf, t1, t2, some) == sorted(near & set(some))
            seen["edges"] += len(near)
            if compile_edges(leaf, CATALOG, scoped=False) is None:
                asked = compile_leaf(leaf, CATALOG, scoped=False).placeholders
                assert "as_of" not in asked, "it looks at the clock, so it has edges"

    often = settings(
        max_examples=drill_scale(full=60, quick=4),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    others = conditions(drawn)
    for form in leaf_forms(drawn):
        often(given(documents(form, others), SPANS)(agree))()

    assert Drawn.everything() - set(drawn.counts) == set(), "never drawn"
    # Segments with one of these are refreshed in full at their pace. Who lets one of them say when, takes it off the list.
    assert refused == {"Compared", "Sequence", "anniversary", "calendar", "first and last", "periods", "since"}
    assert seen["turned"] > 100, "people are too dull for verdicts to turn"


def says_when(leaf: PositiveLeaf) -> bool:
    try:
        compile_edges(leaf, CATALOG, scoped=False)
    except NotImplementedError:
        return False
    return True


def what_is_refused(leaf: PositiveLeaf) -> str:
    match leaf:
        case Trait():
            return leaf.comparison.op
        case Performed(within=Calendar()):
            return "calendar"
        case Performed(within=Since()):
            return "since"
        case Performed(measure="first_at" | "last_at"):
            return "first and last"
        case Performed():
            return leaf.measure
        case Ranked(figure=figure):
            return what_is_refused(figure)
        case _:
            return type(leaf).__name__


def one_leaf(condition: dict[str, Any]) -> PositiveLeaf:
    (leaf,) = leaves(load({"version": 1, **condition}, CATALOG))
    return leaf


def test_leaves_share_their_candidates_when_only_the_amount_differs() -> None:
    month = {"performed": "Order Completed", "within": {"days": 30}}
    shared = one_leaf({**month, "op": "gte", "value": 2})
    assert edge_place(shared) == edge_place(one_leaf({**month, "measure": "sum", "op": "gt", "value": 500}))
    assert edge_place(shared) != edge_place(one_leaf({**month, "within": {"days": 31}}))
    assert edge_place(shared) != edge_place(one_leaf({**month, "performed": "Product Viewed"}))
    filtered = {**month, "where": [{"property": "category", "op": "equals", "value": "Shoes"}]}
    assert edge_place(shared) != edge_place(one_leaf(filtered))


@dataclass(frozen=True)
class Unsaid(Window):
    """A window that doesn't say when its edges pass."""

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        return moment < as_of

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        return exp.LT(this=moment, expression=AS_OF_PLACEHOLDER.copy())

    def describe(self) -> str:
        return "some time"

    def canonical(self) -> object:
        return "unsaid"


class Clocked(Operator):
    """An operator that looks at the clock and doesn't say when it changes its mind."""

    key, label, shape, accepts = "clocked", "has come", ONE, (Type.NUMBER, Type.DATE)

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value < as_of)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.LT(this=value, expression=AS_OF_PLACEHOLDER.copy())


def test_a_window_that_does_not_say_when_its_edges_pass_is_refused() -> None:
    amount = Comparison(op="gte", kind=NUMBER, operand=NUMBER.read(1))  # type: ignore[arg-type]
    leaf = Performed(event="Order Completed", amount=amount, within=Unsaid())
    with pytest.raises(NotImplementedError, match="Unsaid"):
        compile_edges(leaf, CATALOG, scoped=False)
    with pytest.raises(NotImplementedError, match="Unsaid"):
        list(edges(leaf, next(one for one in POPULATION if any(e.name == leaf.event for e in one.events))))


def test_an_operator_that_looks_at_the_clock_without_saying_when_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATORS, "clocked", Clocked())  # type: ignore[arg-type]
    clocked = Comparison(op="clocked", kind=NUMBER, operand=NUMBER.read(1))  # type: ignore[arg-type]
    trait = Trait(trait="number", comparison=clocked)
    with pytest.raises(NotImplementedError, match="clocked"):
        compile_edges(trait, CATALOG, scoped=False)
    amount = Comparison(op="gte", kind=NUMBER, operand=NUMBER.read(1))  # type: ignore[arg-type]
    filtered = Performed(event="Order Completed", amount=amount, where=(Filter(property="price", comparison=clocked),))
    with pytest.raises(NotImplementedError, match="clocked"):
        compile_edges(filtered, CATALOG, scoped=False)

"""Whose verdict time alone may change: nobody is left out, and PostgreSQL and the reference engine name the same people."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

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
    Span,
    Trait,
    Type,
    Value,
    compile_edges,
    compile_leaf,
    edges,
    evaluate,
    leaves,
    load,
    stretches,
)
from segments.rules.binding import AS_OF as AS_OF_PLACEHOLDER
from segments.rules.binding import Bind
from segments.rules.comparisons import Comparison
from segments.rules.kinds import NUMBER
from segments.rules.operators import OPERATORS, Operator
from segments.rules.shapes import ONE
from segments.rules.windows import Calendar, Since, Window
from tests.generative.postgres import TABLES, People
from tests.generative.strategies import MICROSECOND, Drawn, conditions, documents, leaf_forms, random_people
from tests.spec.world import AS_OF, CATALOG

ZONES = [UTC, ZoneInfo("Europe/Zurich"), ZoneInfo("Asia/Kolkata")]
ZURICH = ZONES[1]
# Around each of them some people's events lie, and spans begin and end: at midnights of days of 23 and of 25 hours, at the
# ends of months and years, around a leap day, where half hours count.
CENTRES = [
    AS_OF,
    datetime(2026, 3, 29, tzinfo=ZURICH),
    datetime(2026, 10, 26, tzinfo=ZURICH),
    datetime(2027, 1, 1, tzinfo=ZONES[2]),
    datetime(2028, 2, 29, tzinfo=UTC),
    datetime(2028, 3, 1, tzinfo=ZURICH),
]
DAY = timedelta(days=1)
# The kinds of edges, as `what` names them, each of which must be seen to turn a verdict.
TELLING = {"Compared", "Sequence", "anniversary", "calendar", "first and last", "periods", "since"}


def scattered(how_many: int, chance: random.Random) -> list[Person]:
    """People whose events lie around one of the centres each, and whose dates come round there."""
    found = []
    for someone in random_people(how_many, chance):
        centre = chance.choice([AS_OF, *CENTRES]).astimezone(UTC)
        events = [replace(one, occurred_at=one.occurred_at + (centre - AS_OF)) for one in someone.events]
        traits = dict(someone.traits)
        if chance.random() < 0.7:
            near = centre - chance.choice([0, 1, 1, 2, 28, 29, -1, -27, -28, -29, -30]) * DAY
            born = chance.choice([near, near.replace(year=1992), datetime(1992, 2, 29, 12, tzinfo=UTC)])
            traits["date"] = Value(moment=born + chance.choice([-1, 0, 1]) * MICROSECOND)
        found.append(replace(someone, events=events, traits=traits))
    return found


POPULATION = scattered(150, random.Random(20261122))
# Steps that end exactly on, just before and just after the moments at which those people's events enter and leave.
STEPS = [timedelta(0), timedelta(minutes=1), timedelta(hours=1), DAY, 28 * DAY, 30 * DAY]
OFFSETS = [
    sign * step + nudge * MICROSECOND for step in [*STEPS, 370 * DAY] for sign in (-1, 1) for nudge in (-1, 0, 1)
]


@st.composite
def spans(draw: st.DrawFn) -> Span:
    centre, zone = draw(st.sampled_from(CENTRES)), draw(st.sampled_from(ZONES))
    after, until = draw(st.tuples(*2 * [st.sampled_from(OFFSETS)]).filter(lambda pair: pair[0] < pair[1]))
    # Reckoned in UTC: in a zone a day is as long as its clocks say.
    return Span(after=centre.astimezone(UTC) + after, until=centre.astimezone(UTC) + until, zone=zone)


@pytest.fixture
def people(db):  # type: ignore[no-untyped-def]
    from django.db import connection

    connection.ensure_connection()
    found = People(connection.connection, CATALOG)
    found.store(POPULATION)
    return found


def in_sql(people: People, leaf: PositiveLeaf, span: Span, scope: list[int] | None = None) -> list[int]:
    compiled = compile_edges(leaf, CATALOG, scoped=scope is not None)
    if compiled is None:
        return []
    params = {**compiled.over(span), "scope": scope or []}
    return sorted(int(str(row[0])) for row in people.cursor.execute(compiled.sql("postgres", TABLES), params))


@pytest.mark.drill
def test_a_verdict_changes_only_at_an_edge_and_both_engines_know_whose(
    people: People, drill_scale: Callable[..., int]
) -> None:
    drawn = Drawn()
    seen: Counter[str] = Counter()
    turned: Counter[str] = Counter()
    asked_by: dict[str, set[int]] = defaultdict(set)
    form_now = 0

    def agree(document: dict[str, Any], span: Span) -> None:
        for leaf in leaves(load(document, CATALOG)):
            asked_by[what(leaf)].add(form_now)
            near: set[int] = set()
            for someone in POPULATION:

                def verdict_at(at: datetime, leaf: PositiveLeaf = leaf, someone: Person = someone) -> bool:
                    return evaluate(leaf, someone, at.astimezone(span.zone))

                moments = sorted(set(edges(leaf, someone, span)))
                if moments:
                    near.add(someone.id)
                    assert span.after < moments[0] and moments[-1] <= span.until
                verdict = verdict_at(span.after)
                for at in moments:
                    # What it was at the last edge it still is just before the next.
                    assert verdict_at(at - MICROSECOND) == verdict
                    turned[what(leaf)] += verdict_at(at) != verdict
                    verdict = verdict_at(at)
                assert verdict_at(span.until) == verdict
            assert in_sql(people, leaf, span) == sorted(near)
            some = sorted(near)[::2] + [someone.id for someone in POPULATION if someone.id not in near][:5]
            assert in_sql(people, leaf, span, some) == sorted(near & set(some))
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
    forms = leaf_forms(drawn)
    for form_now in range(len(forms)):
        often(given(documents(forms[form_now], others), spans())(agree))()
    # A few examples of each form may all be dull: go on with those that ask about what has made no difference yet.
    for _ in range(25):
        dull = [form for kind in TELLING - set(+turned) for form in sorted(asked_by[kind])[:4]]
        for form_now in dull:
            often(given(documents(forms[form_now], others), spans())(agree))()

    assert Drawn.everything() - set(drawn.counts) == set(), "never drawn"
    # Of the kinds of edges each made a difference: else people are too dull to prove anything of it.
    assert set(+turned) >= TELLING
    assert turned.total() > 100


def what(leaf: PositiveLeaf) -> str:
    match leaf:
        case Trait():
            return leaf.comparison.op
        case Performed(measure="first_at" | "last_at") if leaf.amount.operator.looks_at_clock:
            return "first and last"
        case Performed(within=Calendar()):
            return "calendar"
        case Performed(within=Since()):
            return "since"
        case Performed():
            return leaf.measure
        case Ranked(figure=figure):
            return what(figure)
        case _:
            return type(leaf).__name__


def one_leaf(condition: dict[str, Any]) -> PositiveLeaf:
    (leaf,) = leaves(load({"version": 1, **condition}, CATALOG))
    return leaf


def test_leaves_share_their_candidates_when_only_the_amount_differs() -> None:
    month = {"performed": "Order Completed", "within": {"days": 30}}

    def looked_at(**more: Any) -> set[str]:
        return set(stretches(one_leaf({**month, **more})))

    shared = looked_at(op="gte", value=2)
    assert shared == looked_at(measure="sum", op="gt", value=500)
    assert shared != looked_at(within={"days": 31})
    # What happens now counts in either window; what goes out of it is another record of each.
    assert shared & looked_at(within={"days": 31})
    assert not shared & looked_at(performed="Product Viewed")
    assert not shared & looked_at(where=[{"property": "category", "op": "equals", "value": "Shoes"}])
    # Two figures over the same events and windows, whatever they are and on whichever side.
    assert shared == looked_at(measure="sum", op="gt", than={**month, "measure": "distinct", "of": "category"})
    assert looked_at(within="today") != looked_at(within="yesterday")


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
        list(edges(leaf, POPULATION[0], Span(after=AS_OF, until=AS_OF + DAY, zone=UTC)))


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

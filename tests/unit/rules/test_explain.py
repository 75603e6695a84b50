"""Why a rule is true of somebody: verdicts, what was found, and what would turn it."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.rules import Performed, Person, evaluate, load
from segments.rules.edges import FURTHEST, sources
from segments.rules.explain import Explained, explain, nodes, without_history
from segments.rules.findings import Case, Finding, HintKind
from segments.rules.windows import Calendar
from tests.generative.strategies import Drawn, leaf_forms, random_people, rules
from tests.spec.world import AS_OF, CATALOG, document, event, person

DAYS = timedelta(days=1)
SPENT = {"performed": "Order Completed", "measure": "sum", "op": "gt", "value": 500}


def why(condition: dict[str, Any], someone: Person, **seen: Any) -> Explained:
    case = Case(person=someone, as_of=AS_OF, catalog=CATALOG, **seen)
    return explain(load(document(condition), CATALOG), case)


def leaf(condition: dict[str, Any], someone: Person, **seen: Any) -> Finding:
    finding = why(condition, someone, **seen).finding
    assert finding is not None
    return finding


def orders(*ago_days: int) -> Person:
    return person(events=[event(ago=days * DAYS, value="100") for days in ago_days])


def at_least(number: int, **more: Any) -> dict[str, Any]:
    return {"performed": "Order Completed", "op": "gte", "value": number, **more}


def test_a_count_stands_beside_the_wanted_one_with_the_events_that_count() -> None:
    someone = orders(3, 40, 1, 2)
    found = leaf(at_least(5, within={"days": 30}), someone)
    assert (found.actual, found.said) == (3, "3 of at least 5 times")
    assert found.event_count == 3
    assert [AS_OF - one.occurred_at for one in found.events] == [1 * DAYS, 2 * DAYS, 3 * DAYS], "newest first"
    assert found.hint and (found.hint.kind, found.hint.amount) == (HintKind.MORE_EVENTS, 2)
    assert found.hint.sentence == "2 more Order Completed in the last 30 days"


def test_only_the_newest_events_are_shown_and_all_are_counted() -> None:
    found = leaf(at_least(1), orders(*range(1, 101)))
    assert (len(found.events), found.event_count) == (20, 100)
    assert AS_OF - found.events[0].occurred_at == 1 * DAYS


def test_money_has_its_decimals() -> None:
    someone = person(events=[event(value="400"), event(value="12")])
    found = leaf(SPENT, someone)
    assert found.said == "412.00 of more than 500.00"
    assert found.hint and found.hint.kind is HintKind.MORE_VALUE
    assert found.hint.sentence == "88.0001 more value of Order Completed ever"


def test_what_is_negated_is_wanted_the_other_way() -> None:
    tree = why({"not": at_least(2, within={"days": 30})}, orders(1, 2, 3))
    (inner,) = tree.conditions
    assert (tree.holds, tree.wanted, inner.holds, inner.wanted) == (False, True, True, False)
    assert inner.finding and inner.finding.hint
    assert inner.finding.hint.sentence == "2 fewer Order Completed in the last 30 days"


def test_what_is_as_the_rule_wants_it_needs_no_hint() -> None:
    assert leaf(at_least(1), orders(1)).hint is None
    (inner,) = why({"not": at_least(2)}, orders(1)).conditions
    assert inner.finding and inner.finding.hint is None


@pytest.mark.parametrize(
    ("op", "value", "actual", "hint"),
    [
        ("equals", 3, 1, "2 more"),
        ("equals", 3, 5, "2 fewer"),
        ("not_equals", 3, 3, "1 more"),
        ("gt", 3, 3, "1 more"),
        ("lt", 3, 3, "1 fewer"),
        ("lte", 3, 5, "2 fewer"),
        ("between", [2, 4], 0, "2 more"),
        ("between", [2, 4], 6, "2 fewer"),
        ("not_between", [2, 4], 3, "2 more"),
        ("not_between", [0, 4], 1, "4 more"),
    ],
)
def test_the_hint_is_the_smallest_step_that_would_do(op: str, value: Any, actual: int, hint: str) -> None:
    condition = {"performed": "Order Completed", "op": op, "value": value}
    found = leaf(condition, orders(*range(1, actual + 1)))
    assert found.hint and found.hint.sentence == f"{hint} Order Completed ever"


def test_there_is_no_hint_where_nothing_would_do() -> None:
    assert leaf({"performed": "Order Completed", "op": "lt", "value": 0}, orders(1)).hint is None


def test_other_figures_are_shown_as_they_are_compared() -> None:
    someone = person(events=[event(value="10", ago=1 * DAYS), event(value="15", ago=2 * DAYS)])
    average = {"performed": "Order Completed", "measure": "average", "op": "gt", "value": 20}
    found = leaf(average, someone)
    assert (found.said, found.actual, found.event_count) == ("12.50 of more than 20.00", Decimal("12.5"), 2)
    assert found.hint and found.hint.kind is HintKind.FIGURE
    assert leaf(average, person()).said == "nothing of more than 20.00"
    rate = {"performed": "Order Completed", "op": "gte", "value": 1, "per": "week", "within": {"days": 14}}
    assert leaf(rate, someone).said == "1 of at least 1 a week"


def test_two_figures_stand_beside_each_other_and_a_sequence_shows_its_steps() -> None:
    someone = person(events=[event(ago=2 * DAYS), event("Product Viewed", ago=1 * DAYS)])
    compared = {"performed": "Order Completed", "op": "gt", "than": {"performed": "Product Viewed"}}
    found = leaf(compared, someone)
    assert (found.said, found.event_count) == ("1 beside 1", 2)
    steps = [{"performed": "Product Viewed"}, {"performed": "Order Completed"}]
    found = leaf({"sequence": steps}, someone)
    assert (found.actual, found.said) == (False, "did not happen in this order")
    assert [one.name for one in found.events] == ["Product Viewed", "Order Completed"], "newest first"


def test_a_trait_shows_the_value_it_has() -> None:
    condition = {"trait": "text", "op": "equals", "value": "Bern"}
    someone = person(traits={"text": "Rome"})
    found = leaf(condition, someone, shown={"text": "Rome"})
    assert (found.actual, found.said, found.wanted) == ("Rome", 'Text is "Rome"', 'is "Bern"')
    assert found.hint and found.hint.sentence == 'Text is "Bern"'
    assert leaf(condition, person()).said == "Text is not known"


def test_a_hidden_trait_shows_nothing_but_that_it_is_there() -> None:
    condition = {"trait": "text", "op": "equals", "value": "Bern"}
    found = leaf(condition, person(traits={"text": "Rome"}), shown={"text": "••••"}, hidden={"text"})
    assert found.is_hidden and found.actual is None and "Rome" not in found.said


def test_a_value_of_another_type_is_said_to_be_one() -> None:
    someone = person(traits={"number": "many"})
    found = leaf({"trait": "number", "op": "gt", "value": 3}, someone, shown={"number": "many"})
    assert found.said == 'Number is "many", which can\'t be read as a number'


def test_another_segment_is_named() -> None:
    found = leaf({"in_segment": "loyal"}, person())
    assert (found.actual, found.said) == (False, 'is not in the segment "Loyal"')
    assert found.hint and found.hint.kind is HintKind.ENTER_SEGMENT


def test_only_events_can_be_asked_about_the_past() -> None:
    condition = {"all": [at_least(1), {"any": [{"trait": "text", "op": "exists"}, {"in_segment": "loyal"}]}]}
    errors = without_history(load(document(condition), CATALOG))
    assert [(one.code, one.pointer) for one in errors] == [
        ("no_history", "/all/1/any/0/trait"),
        ("no_history", "/all/1/any/1/in_segment"),
    ]
    assert without_history(load(document({"all": [at_least(1), {"everyone": True}]}), CATALOG)) == []


def test_a_verdict_that_hangs_on_a_hidden_segment_is_not_told() -> None:
    loyal, never, always = {"in_segment": "loyal"}, {"not": {"everyone": True}}, {"everyone": True}
    someone = person(segments=frozenset({"loyal"}))
    for condition, told in (
        (loyal, None),
        ({"not": loyal}, None),
        ({"all": [loyal, always]}, None),
        ({"all": [loyal, never]}, False),
        ({"any": [loyal, never]}, None),
        ({"any": [loyal, always]}, True),
    ):
        assert why(condition, someone, hidden_segments={"loyal"}).told is told, condition
        assert why(condition, someone).told is why(condition, someone).holds, condition


def test_it_is_told_when_events_will_have_left_the_window() -> None:
    someone = orders(1, 10, 20)
    instant = timedelta(microseconds=1)
    assert leaf(at_least(3, within={"days": 30}), someone).turns_at == AS_OF + 10 * DAYS + instant
    assert leaf(at_least(2, within={"days": 30}), someone).turns_at == AS_OF + 20 * DAYS + instant
    at_most_one = {"performed": "Order Completed", "op": "lte", "value": 1, "within": {"days": 30}}
    assert leaf(at_most_one, someone).turns_at == AS_OF + 20 * DAYS + instant
    assert leaf(at_least(5, within={"days": 30}), someone).turns_at is None
    assert leaf(at_least(3), someone).turns_at is None
    assert leaf({**SPENT, "value": 250, "within": {"days": 30}}, someone).turns_at == AS_OF + 10 * DAYS + instant


def test_it_is_told_when_a_date_will_be_too_old_unless_it_is_hidden() -> None:
    condition = {"trait": "date", "op": "within_last", "value": {"days": 30}}
    someone = person(traits={"date": "2026-05-30"})
    assert leaf(condition, someone).turns_at == datetime(2026, 6, 29, 0, 0, 0, 1, tzinfo=UTC)
    assert leaf(condition, someone, hidden={"date"}).turns_at is None
    assert leaf(condition, person(traits={"date": "2026-06-03"})).turns_at == datetime(
        2026, 6, 3, 0, 0, 0, 1, tzinfo=UTC
    )
    assert leaf(condition, person(traits={"date": "9999-12-30"})).turns_at == datetime(
        9999, 12, 30, 0, 0, 0, 1, tzinfo=UTC
    )
    assert leaf(condition, person(traits={"date": "2020-01-01"})).turns_at is None


def test_it_is_told_of_every_kind_of_condition_when_time_turns_it() -> None:
    instant = timedelta(microseconds=1)
    ordered = "Order Completed"
    someone = person(
        traits={"date": "1990-06-20"},
        events=[event(ago=DAYS), event("Product Viewed", ago=DAYS / 2), event(ago=-2 * DAYS)],
    )
    midnight = datetime(2026, 6, 2, tzinfo=UTC)
    told: list[tuple[dict[str, Any], datetime]] = [
        (at_least(1, within="yesterday"), midnight),
        (at_least(1, within="today"), AS_OF + 2 * DAYS + instant),
        (at_least(2), AS_OF + 2 * DAYS + instant),
        (at_least(1, within={"days": 1, "ago": {"days": 3}}), AS_OF + 2 * DAYS + instant),
        (
            {"performed": ordered, "measure": "first_at", "op": "within_last", "value": {"days": 5}},
            AS_OF + 4 * DAYS + instant,
        ),
        (
            {"performed": ordered, "measure": "last_at", "op": "within_last", "value": {"days": 5}},
            AS_OF + 7 * DAYS + instant,
        ),
        ({"performed": "Product Viewed", "within": {"since": ordered}}, AS_OF + 2 * DAYS + instant),
        (
            {"sequence": [{"performed": "Product Viewed"}, {"not_performed": ordered, "within": {"days": 2}}]},
            AS_OF + 1.5 * DAYS,
        ),
        ({"sequence": [{"performed": "Product Viewed"}, {"performed": ordered}]}, AS_OF + 2 * DAYS + instant),
        ({"performed": ordered, "op": "gt", "than": {"performed": "Product Viewed"}}, AS_OF + 2 * DAYS + instant),
        ({"trait": "date", "op": "anniversary", "value": {"days": 7}}, datetime(2026, 6, 14, tzinfo=UTC)),
    ]
    for condition, turning in told:
        found = leaf(condition, someone)
        assert (found.turns_at, found.looked_until) == (turning, None), condition


def test_how_far_it_was_looked_is_told_where_that_is_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    always = {"trait": "date", "op": "anniversary", "value": {"days": 366}}
    found = leaf(always, person(traits={"date": "1990-06-20"}))
    assert (found.turns_at, found.looked_until) == (None, AS_OF + FURTHEST)
    never = leaf(always, person())
    assert (never.turns_at, never.looked_until) == (None, None)
    other = leaf({"in_segment": "loyal"}, person())
    assert (other.turns_at, other.looked_until) == (None, AS_OF), "whoever explains that segment knows"
    monkeypatch.delattr(Calendar, "clocks")
    sources.cache_clear()
    unsaid = leaf(at_least(1, within="last_quarter"), orders(1))
    assert (unsaid.turns_at, unsaid.looked_until) == (None, AS_OF), "a window that doesn't say when its edges pass"
    monkeypatch.setattr("segments.rules.foresight.MOST_LOOKS", 1)
    far = {"performed": "Order Completed", "measure": "average", "op": "gt", "value": 1000, "within": {"days": 30}}
    limited = leaf(far, orders(1, 10))
    assert (limited.turns_at, limited.looked_until) == (None, AS_OF + 29 * DAYS + timedelta(microseconds=1))


def test_a_long_life_is_looked_through_event_by_event() -> None:
    """Of what adds up it is found however many there are, at the cost of one look at each edge."""
    someone = orders(*[1] * 3_000, *range(2, 2_000))
    found = leaf(at_least(3_000, within={"days": 60}), someone)
    assert found.turns_at == AS_OF + 59 * DAYS + timedelta(microseconds=1)
    assert found.looked_until is None


RULES = rules()
PEOPLE = random_people(40, random.Random(7))


@settings(max_examples=200, deadline=None)
@given(RULES, st.sampled_from(PEOPLE))
def test_every_verdict_is_the_reference_engines(drawn: dict[str, Any], someone: Person) -> None:
    rule = load(drawn, CATALOG)
    tree = explain(rule, Case(person=someone, as_of=AS_OF, catalog=CATALOG))
    told = list(_all(tree))
    meant = list(nodes(rule))
    assert len(told) == len(meant)
    for one, (_, node) in zip(told, meant, strict=True):
        assert one.holds == evaluate(node, someone, AS_OF)
        assert _at(drawn, one.pointer)[one.form] is not None, "the pointer leads to it"


@settings(max_examples=200, deadline=None)
@given(st.one_of(*leaf_forms(Drawn())), st.sampled_from(PEOPLE))
def test_who_does_as_the_hint_says_turns_the_condition(drawn: dict[str, Any], someone: Person) -> None:
    rule = load(document(drawn), CATALOG)
    if not isinstance(rule, Performed) or evaluate(rule, someone, AS_OF):
        return
    found = explain(rule, Case(person=someone, as_of=AS_OF, catalog=CATALOG)).finding
    assert found is not None
    if found.hint is None or found.hint.kind is HintKind.FIGURE:
        return
    assert isinstance(found.actual, Decimal) and found.hint.amount
    is_more = found.hint.kind in (HintKind.MORE_EVENTS, HintKind.MORE_VALUE)
    assert rule.amount.holds(found.actual + (found.hint.amount if is_more else -found.hint.amount), AS_OF)


@settings(max_examples=300, deadline=None)
@given(st.one_of(*leaf_forms(Drawn())), st.sampled_from(PEOPLE))
def test_a_verdict_stays_until_it_turns(drawn: dict[str, Any], someone: Person) -> None:
    rule = load(document(drawn), CATALOG)
    happened = replace(someone, events=[one for one in someone.events if one.occurred_at < AS_OF])
    tree = explain(rule, Case(person=happened, as_of=AS_OF, catalog=CATALOG))
    if tree.finding is not None and (turning := tree.finding.turns_at) is not None:
        assert turning > AS_OF
        assert evaluate(rule, happened, turning) is not tree.holds
        assert evaluate(rule, happened, turning - timedelta(microseconds=1)) is tree.holds
    # A group stays as it is until one of its conditions turns, or may.
    findings = [one.finding for one in _all(tree) if one.finding is not None]
    limits = [limit for one in findings for limit in (one.turns_at, one.looked_until) if limit is not None]
    for later in (timedelta(hours=1), timedelta(days=1), timedelta(days=29), timedelta(days=400)):
        if all(AS_OF + later < limit for limit in limits):
            assert evaluate(rule, happened, AS_OF + later) is tree.holds


def _all(tree: Explained) -> Iterator[Explained]:
    yield tree
    for one in tree.conditions:
        yield from _all(one)


def _at(source: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        source = source[int(step)] if isinstance(source, list) else source[step]
    return source

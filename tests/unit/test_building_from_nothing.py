"""Whatever a rule can say, the builder can: each rule is built from an empty one, with what the screen offers and nothing else.

The builder here does as a person does who has the wanted rule before their eyes: adds what isn't there, and sets each control that
stands differently until none does.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from segments.builder.rows import Control, Row
from segments.builder.steps import step_of
from segments.builder.tree import tree
from segments.rules import OPERATORS, parse
from segments.rules.edit import as_draft, blank, edit
from segments.rules.parts import Input
from segments.rules.shapes import ALL_OF, ANY_OF
from segments.templates import TEMPLATES
from tests.generative.strategies import rules
from tests.spec.world import CATALOG

PATIENCE = 40


class Person:
    """Somebody at the screen; ``steps`` is how often they did something."""

    def __init__(self) -> None:
        self.document, self.steps = blank(), 0

    def do(self, **given: str) -> None:
        after = edit(self.document, step_of(given, self.document, CATALOG).action)
        self.document, self.steps = after, self.steps + 1

    def row(self, at: str) -> Row:
        """The row at this place, as the screen shows it."""
        return next(one for one in _all(tree(self.document, CATALOG)) if one.at == at)

    # ---- Groups and conditions ----

    def make(self, wanted: Row, at: str = "") -> None:
        """Makes the group at this place like the wanted one."""
        mine = self.row(at)
        if mine.group is not wanted.group:
            assert wanted.group is not None
            self.do(do="regroup", what=at, kind=wanted.group.value)
        for one in wanted.rows:
            into = self.row(at).into
            place = f"{into}/{len(self.row(at).rows)}"
            if one.form == "group":
                self.do(do="group", into=into, kind="any")
                self.make(one, place)
            else:
                self._condition(one, into, place)

    def _condition(self, wanted: Row, into: str, place: str) -> None:
        if wanted.form == "sequence":
            self.do(do="add", into=into, subject=f"sequence:{_about(wanted.steps[0])}")
        else:
            self.do(do="add", into=into, subject=f"{wanted.form}:{_about(wanted)}")
        inner = place
        if wanted.is_negated:
            self.do(do="negate", what=place)
            inner = self.row(place).inner
        self._steps(wanted, place)
        self._alike(wanted, place, inner)
        self._filters(wanted, place)
        if wanted.other is not None:
            self._filters(wanted.other, f"{inner}/than")

    def _steps(self, wanted: Row, place: str) -> None:
        for number, one in enumerate(wanted.steps):
            into = self.row(place).into
            mine = self.row(place).steps
            if number >= len(mine):
                self.do(do="add", into=into, subject="performed", key=_about(one))
            at = f"{into}/{number}"
            if one.form != self.row(at).form:
                self.do(do="missing", what=at)
            if one.form == "performed" and len(one.controls) > 1:
                self.do(do="within", what=at)
            self._alike(one, at, at)
            self._filters(one, at)

    def _filters(self, wanted: Row, place: str) -> None:
        for number, one in enumerate(wanted.filters):
            self._filter(one, self.row(place).filters_into, number)

    def _filter(self, wanted: Row, into: str, number: int) -> None:
        place = f"{into}/{number}"
        if wanted.form == "filters":
            assert wanted.group is not None
            self.do(do="group", into=into, kind=wanted.group.value)
            for below, one in enumerate(wanted.rows):
                self._filter(one, self.row(place).into, below)
            return
        self.do(do="add", into=into, subject="property", key=wanted.name)
        inner = place
        if wanted.is_negated:
            self.do(do="negate", what=place)
            inner = self.row(place).inner
        self._alike(wanted, place, inner)

    # ---- Controls ----

    def _alike(self, wanted: Row, at: str, node: str) -> None:
        """Sets the first control that stands otherwise than the wanted one, until all stand alike."""
        asked = {_place(one, wanted.inner): one for one in wanted.controls}
        for _ in range(PATIENCE):
            mine = {_place(one, node): (n, one) for n, one in enumerate(self.row(at).controls)}
            odd = [
                (*mine[place], theirs)
                for place, theirs in asked.items()
                if place in mine and _can_become(mine[place][1], theirs)
            ]
            if not odd:
                assert {place: _told(one) for place, (_, one) in mine.items()} == {
                    place: _told(one) for place, one in asked.items()
                }
                return
            number, ours, theirs = odd[0]
            self._set(ours, theirs, {"node": node, "at": ours.at, "part": str(number)})
        raise AssertionError(f"not alike after {PATIENCE} steps: {wanted.controls}")

    def _set(self, ours: Control, theirs: Control, given: dict[str, str]) -> None:
        match ours.input:
            case Input.CHOICE:
                self.do(do="choose", value=theirs.value, **given)
            case Input.DURATION:
                self.do(do="set", value=theirs.amount, unit=theirs.unit, **given)
            case Input.LIST:
                for _ in ours.items:
                    self.do(do="list_remove", position="0", **given)
                for one in theirs.value:
                    self.do(do="list_add", value=_typed(one), whole="yes", **given, **_as(one))
            case Input.FLAG:
                self.do(do="set", value="on" if theirs.value is True else "", **given)
            case Input.SUBJECT:
                self.do(do="set", value=str(theirs.value), **given)
            case Input.TEXT if theirs.value == "":
                self.do(do="set", value="", whole="yes", **given)  # an empty text is picked, not typed
            case _:
                self.do(do="set", value=theirs.shown, **given, **_as(theirs.value))


def _about(row: Row) -> str:
    """What is chosen for it where it is added: its first control."""
    return str(row.controls[0].value)


def _typed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as(value: Any) -> dict[str, str]:
    """How the screen reads values of a property that mostly are like this one."""
    if isinstance(value, bool):
        return {"as": "boolean"}
    return {"as": "number"} if isinstance(value, int | float) else {}


def _place(one: Control, node: str) -> tuple[str, str]:
    return one.at[len(node) :], one.label


def _can_become(ours: Control, theirs: Control) -> bool:
    is_offered = (
        ours.input is not Input.CHOICE
        or theirs.value in dict(ours.choices)
        or str(theirs.value).lower() in dict(ours.choices)
    )
    return ours.input is theirs.input and is_offered and _told(ours) != _told(theirs)


def _told(one: Control) -> tuple[Any, ...]:
    return (one.label, one.input, json.dumps(_plain(one.value)), one.amount, one.unit)


def _plain(value: Any) -> Any:
    """The value with whole numbers as such: 10.0 is typed as 10."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _all(row: Row) -> list[Row]:
    return [
        row,
        *(one for below in (*row.rows, *row.filters, *row.steps, *filter(None, [row.other])) for one in _all(below)),
    ]


def built(rule: Any) -> Person:
    """Somebody who has just built this rule from nothing."""
    person = Person()
    person.make(tree(as_draft(rule), CATALOG))
    return person


@pytest.mark.parametrize("one", TEMPLATES, ids=lambda one: one.key)
def test_each_ready_rule_is_built_from_an_empty_builder(one: Any) -> None:
    person = built(one.document)
    assert parse(person.document) == parse(as_draft(one.document))
    assert person.steps <= PATIENCE


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"version": 1, "score": "rfm.group", "op": "not_equals", "value": ""})
@example({"version": 1, "all": [{"score": "rfm.group", "op": "any_of", "value": ["", "low"]}]})
@given(rules())
def test_whatever_can_be_said_can_be_built(rule: Any) -> None:
    rule = _said_once(rule)
    assert parse(built(rule).document) == parse(as_draft(rule))


def _said_once(node: Any) -> Any:
    """The same with each value of a list in it once, as the builder has it."""
    if isinstance(node, list):
        return [_said_once(one) for one in node]
    if not isinstance(node, dict):
        return node
    said = {key: _said_once(value) for key, value in node.items()}
    shape = OPERATORS[node["op"]].shape if node.get("op") in OPERATORS else None
    if shape in (ANY_OF, ALL_OF) and isinstance(node.get("value"), list):
        said["value"] = list({json.dumps(_plain(one)): one for one in node["value"]}.values())
    return said

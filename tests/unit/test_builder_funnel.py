"""How each condition narrows a rule down, counted over people in Python."""

import random
from typing import Any

from hypothesis import given, settings

from segments.builder.cells import cells
from segments.builder.funnel import MOST_LEFT, Narrowing, countable, narrowings, questions
from segments.builder.tree import errors_of
from segments.rules import Rule, evaluate, load
from segments.rules.edit import as_draft
from tests.generative.strategies import random_people, rules
from tests.spec.world import AS_OF, CATALOG

POPULATION = random_people(120, random.Random(11))


def trait(value: str) -> dict[str, Any]:
    return {"trait": "text", "op": "equals", "value": value}


def count(rule: Rule) -> int:
    return sum(evaluate(rule, one, AS_OF) for one in POPULATION)


def told(document: dict[str, Any]) -> dict[str, Narrowing]:
    asked = questions(load(document, CATALOG))
    return narrowings(asked, [count(one.rule) for one in asked], len(POPULATION))


def size(*conditions: dict[str, Any]) -> int:
    return count(load({"version": 1, "all": list(conditions)}, CATALOG))


A, B = {"performed": "Order Completed"}, {"performed": "Product Viewed"}
C, D = {"trait": "number", "op": "exists"}, {"trait": "boolean", "op": "equals", "value": True}


def test_conditions_that_must_all_hold_leave_fewer_and_fewer() -> None:
    found = told({"version": 1, "all": [A, C, D]})
    assert [found[f"/all/{n}"].left for n in range(3)] == [size(A), size(A, C), size(A, C, D)]
    assert [found[f"/all/{n}"].before for n in range(3)] == [len(POPULATION), size(A), size(A, C)]
    assert found["/all/2"].alone == size(D)
    assert found["/all/1"].share == size(A, C) / size(A)


def test_in_a_group_it_goes_on_from_what_was_there_before_it() -> None:
    found = told({"version": 1, "all": [A, {"not": {"any": [C, D]}}, B]})
    assert found["/all/1/not/any/0"].before == size(A)
    assert found["/all/1/not/any/0"].left == size(A, {"not": C})
    assert found["/all/1/not/any/1"].before == size(A, {"not": C})
    assert found["/all/1/not/any/1"].out == size(A, {"not": C}) - size(A, {"not": {"any": [C, D]}})
    assert found["/all/1"].left == size(A, {"not": {"any": [C, D]}}) and found["/all/1"].before == size(A)
    either = told({"version": 1, "all": [A, {"any": [C, D]}]})
    assert [either[f"/all/1/any/{n}"].left for n in range(2)] == [size(A, C), size(A, {"any": [C, D]})]


def test_where_there_are_very_many_each_is_counted_alone() -> None:
    asked = questions(load({"version": 1, "any": [trait(str(n)) for n in range(MOST_LEFT + 1)]}, CATALOG))
    assert len(asked) == MOST_LEFT + 2 and not any(one.is_left for one in asked)


@settings(max_examples=60, deadline=None)
@given(rules())
def test_of_any_rule_the_last_one_left_is_the_whole(document: dict[str, Any]) -> None:
    draft = as_draft(document)
    rule = load(draft, CATALOG)
    found = told(draft)
    assert found[""].alone == count(rule)
    for word, prefix in (("all", "/all"), ("any", "/any"), ("not", "/not/any")):
        places = [at for at in found if at.startswith(f"{prefix}/") and at[len(prefix) + 1 :].isdecimal()]
        if word in draft and places and found[places[-1]].left is not None:
            assert found[places[-1]].left == count(rule)
    for one in found.values():
        assert one.alone is not None and 0 <= one.alone <= len(POPULATION)
        assert one.share is None or one.share >= 0


def test_a_draft_is_counted_without_what_is_not_sound_yet() -> None:
    bad = {"trait": "number", "op": "gt", "value": "1.2k"}
    draft = {"version": 1, "all": [bad, A, {"any": [bad, C]}, {"any": [bad]}, {"not": bad}]}
    found = countable(draft, [one.pointer for one in errors_of(draft, CATALOG)])
    assert found is not None
    assert found.document == {"version": 1, "all": [A, {"any": [C]}]} and found.left_out == 4
    assert found.places["/all/0"] == "/all/1" and found.places["/all/1/any/0"] == "/all/2/any/1"
    assert errors_of(found.document, CATALOG) == []
    assert countable({"version": 1, "all": [bad]}, ["/all/0/value"]) is None
    assert countable({"version": 1, "all": []}, []) is None
    sound = {"version": 1, "not": {"any": [A, {"not": C}]}}
    same = countable(sound, [])
    assert same is not None and same.document == sound and same.left_out == 0


@settings(max_examples=60, deadline=None)
@given(rules())
def test_a_sound_draft_is_counted_as_it_is(document: dict[str, Any]) -> None:
    draft = as_draft(document)
    found = countable(draft, [])
    assert found is not None and found.document == draft
    assert all(old == new for new, old in found.places.items())


def test_where_one_is_enough_each_says_what_it_adds_and_nobody_stays() -> None:
    document = {"version": 1, "all": [A, {"any": [C, D]}, {"not": {"any": [B]}}]}
    found = {one.id: one for one in cells(told(document), {at: at for at in told(document)})}
    first, second = found["cnt-n-all-1-any-0"], found["cnt-n-all-1-any-1"]
    assert (first.adds, first.count, first.share) == (size(A, C), size(A, C), None)
    assert (second.adds, second.count) == (size(A, {"any": [C, D]}) - size(A, C), size(A, {"any": [C, D]}))
    assert found["cnt-n-all-1"].share is not None and found["cnt-n-all-1"].adds is None
    assert found["cnt-n-all-2-not-any-0"].is_out and found["cnt-n-all-2-not-any-0"].adds is None

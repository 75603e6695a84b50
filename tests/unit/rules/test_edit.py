"""Each step of building a rule, by itself and in any order; no screen and no database."""

import copy
import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.rules import RuleErrors, evaluate, load
from segments.rules.edit import (
    Add,
    Drop,
    Duplicate,
    EditRefused,
    GroupKind,
    Move,
    Negate,
    Put,
    Regroup,
    Remove,
    Unwrap,
    Wrap,
    as_draft,
    at,
    blank,
    conditions,
    edit,
    group_kind,
    list_path,
    pasted,
    text_of,
)
from segments.rules.limits import MAX_LEAVES
from tests.generative.strategies import random_people, rules
from tests.spec.world import AS_OF, CATALOG

A, B, C = ({"trait": "text", "op": "equals", "value": letter} for letter in "abc")
SHOES = {"property": "category", "op": "equals", "value": "Shoes"}
BOUGHT = {"performed": "Order Completed"}
POPULATION = random_people(40, random.Random(7))


def of(*nodes: Any, **root: Any) -> dict[str, Any]:
    return {"version": 1, **(root or {"all": list(nodes)})}


# ---- One step at a time -----------------------------------------------------------------------------------------


def test_a_blank_draft_is_no_rule_of_everybody() -> None:
    with pytest.raises(RuleErrors) as refused:
        load(blank(), CATALOG)
    assert [one.code for one in refused.value.errors] == ["empty_group"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (of(**A), of(A)),
        (of(A, B), of(A, B)),
        (of(any=[A]), of(any=[A])),
        (of(**{"not": A}), of({"not": A})),
        (of(**{"not": {"any": [A]}}), of(**{"not": {"any": [A]}})),
        (of({"any": [{"not": {"not": {"not": A}}}]}), of({"any": [{"not": A}]})),
        ({"version": 1}, blank()),
    ],
)
def test_every_rule_has_a_group_at_its_root_when_it_is_built(document: Any, expected: Any) -> None:
    assert as_draft(document) == expected


def test_conditions_are_added_where_it_is_said() -> None:
    assert edit(of(A, B), Add(into=("all",), nodes=(C,))) == of(A, B, C)
    assert edit(of(A, B), Add(into=("all",), nodes=(C,), position=0)) == of(C, A, B)
    assert edit(of(A, {"any": [B]}), Add(into=("all", 1, "any"), nodes=(C, A), position=1)) == of(A, {"any": [B, C, A]})
    none = of({"not": {"any": [A]}})
    assert edit(none, Add(into=list_path(none, ("all", 0)), nodes=(B,))) == of({"not": {"any": [A, B]}})


def test_filters_begin_and_end_with_the_first_and_the_last() -> None:
    filtered = edit(of(BOUGHT), Add(into=("all", 0, "where"), nodes=(SHOES,)))
    assert filtered == of({**BOUGHT, "where": [SHOES]})
    assert edit(filtered, Remove(what=("all", 0, "where", 0))) == of(BOUGHT)


def test_a_part_of_a_condition_is_set_and_taken_away() -> None:
    assert edit(of(A), Put(at=("all", 0, "value"), value="z")) == of({**A, "value": "z"})
    within = edit(of(BOUGHT), Put(at=("all", 0, "within"), value={"days": 30}))
    assert edit(within, Put(at=("all", 0, "within", "days"), value=7)) == of({**BOUGHT, "within": {"days": 7}})
    assert edit(within, Drop(at=("all", 0, "within"))) == of(BOUGHT)
    assert edit(of(BOUGHT), Drop(at=("all", 0, "within"))) == of(BOUGHT)
    assert edit(of({"not": A}), Put(at=("all", 0, "not"), value=B)) == of({"not": B}), "it stays negated"


def test_things_move_within_a_list_and_between_lists() -> None:
    assert edit(of(A, B, C), Move(what=("all", 0), into=("all",), position=2)) == of(B, A, C)
    assert edit(of(A, B, C), Move(what=("all", 0), into=("all",), position=3)) == of(B, C, A)
    assert edit(of(A, B, C), Move(what=("all", 2), into=("all",), position=0)) == of(C, A, B)
    assert edit(of(A, B, C), Move(what=("all", 1), into=("all",), position=1)) == of(A, B, C)
    nested = of(A, {"any": [B, C]})
    assert edit(nested, Move(what=("all", 0), into=("all", 1, "any"), position=1)) == of({"any": [B, A, C]})
    assert edit(nested, Move(what=("all", 1, "any", 1), into=("all",), position=0)) == of(C, A, {"any": [B]})
    with pytest.raises(EditRefused) as refused:
        edit(nested, Move(what=("all", 1), into=("all", 1, "any"), position=0))
    assert refused.value.code == "into_itself"
    with pytest.raises(EditRefused) as refused:
        edit(of({**BOUGHT, "where": [SHOES]}, A), Move(what=("all", 1), into=("all", 0, "where"), position=0))
    assert refused.value.code == "wrong_place"


def test_groups_come_and_go() -> None:
    assert edit(of(A, B), Wrap(what=("all", 1), kind=GroupKind.ANY)) == of(A, {"any": [B]})
    assert edit(of(A, B), Wrap(what=("all", 1), kind=GroupKind.NONE)) == of(A, {"not": {"any": [B]}})
    assert edit(of(A, {"not": {"any": [B, C]}}), Unwrap(what=("all", 1))) == of(A, B, C)
    assert edit(of(A, {"any": [B]}), Regroup(what=("all", 1), kind=GroupKind.NOT_ALL)) == of(A, {"not": {"all": [B]}})
    assert edit(of(A, B), Regroup(what=(), kind=GroupKind.NONE)) == of(**{"not": {"any": [A, B]}})
    assert edit(of(A, B), Duplicate(what=("all", 0))) == of(A, A, B)


def test_the_opposite_is_said_of_conditions_groups_and_the_whole() -> None:
    assert edit(of(A), Negate(what=("all", 0))) == of({"not": A})
    assert edit(of({"not": A}), Negate(what=("all", 0))) == of(A)
    assert edit(of({"any": [A]}), Negate(what=("all", 0))) == of({"not": {"any": [A]}})
    assert edit(of(A), Negate(what=())) == of(**{"not": {"all": [A]}})


@pytest.mark.parametrize(
    "action",
    [
        Remove(what=("all", 5)),
        Remove(what=("all", -1)),
        Remove(what=()),
        Remove(what=("all", 0, "value")),
        Remove(what=("all", 0, "value", 0)),
        Put(at=(), value=1),
        Put(at=("all", 0, "value", "x"), value=1),
        Put(at=("all", 9), value=A),
        Drop(at=("all", "x")),
        Add(into=("all", 0), nodes=(A,)),
        Add(into=("any",), nodes=(A,)),
        Add(into=("version",), nodes=(A,)),
        Move(what=("all", 0), into=("version",), position=0),
        Wrap(what=(), kind=GroupKind.ALL),
        Unwrap(what=("all", 0)),
        Unwrap(what=()),
        Negate(what=("all", 3)),
        Regroup(what=("all", 0), kind=GroupKind.ANY),
        Duplicate(what=("version",)),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(action: Any) -> None:
    with pytest.raises(EditRefused) as refused:
        edit(of(A), action)
    assert refused.value.code in {"no_such_place", "no_group", "wrong_place"}
    assert refused.value.message


def test_a_rule_does_not_grow_without_end() -> None:
    full = of(*[A] * MAX_LEAVES)
    with pytest.raises(EditRefused) as refused:
        edit(full, Duplicate(what=("all", 0)))
    assert refused.value.code == "too_many_conditions"
    over = of(*[A] * (MAX_LEAVES + 5))
    assert conditions(edit(over, Remove(what=("all", 0)))) == MAX_LEAVES + 4, "what is too large already may shrink"
    with pytest.raises(EditRefused) as refused:
        edit(of(A), Put(at=("all", 0, "value"), value="x" * 600_000))
    assert refused.value.code == "too_large"


def test_conditions_are_copied_and_pasted() -> None:
    assert pasted(json.loads(text_of((A, {"any": [B]})))) == (A, {"any": [B]})
    assert pasted(of(A, B)) == ({"all": [A, B]},)
    assert pasted(A) == (A,)
    assert pasted([A, B]) == (A, B)
    for nothing in ([], {}, "x", 3, None, [1], {"version": 1}, {"conditions": []}, [{}]):
        with pytest.raises(EditRefused):
            pasted(nothing)


# ---- Any rule, any steps -----------------------------------------------------------------------------------------


def places(document: Any) -> list[tuple[Any, ...]]:
    """Of every condition and group but the root."""
    found: list[tuple[Any, ...]] = []
    ahead = [()]
    while ahead:
        path = ahead.pop()
        if group_kind(at(document, path)) is None:
            continue
        into = list_path(document, path)
        inner = [(*into, number) for number in range(len(at(document, into)))]
        found += inner
        ahead += inner
    return found


def leaves_of(node: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    ahead = [node]
    while ahead:
        one = ahead.pop()
        if group_kind(one) is not None:
            ahead += at(one, list_path(one, ()))
        elif "not" in one:
            ahead.append(one["not"])
        else:
            found[json.dumps({k: v for k, v in one.items() if k != "version"}, sort_keys=True)] += 1
    return found


def verdicts(document: Any) -> list[bool]:
    rule = load(document, CATALOG)
    return [evaluate(rule, one, AS_OF) for one in POPULATION]


@settings(max_examples=150, deadline=None)
@given(rules(), st.randoms(use_true_random=False))
def test_steps_undo_each_other_and_never_touch_what_they_were_given(
    drawn: dict[str, Any], chance: random.Random
) -> None:
    document = as_draft(drawn)
    assert verdicts(document) == verdicts(drawn)
    before = copy.deepcopy(document)
    for what in chance.sample(places(document), min(4, len(places(document)))):
        into, position = what[:-1], what[-1]
        assert edit(edit(document, Negate(what=what)), Negate(what=what)) == document
        kind = chance.choice(list(GroupKind))
        wrapped = edit(document, Wrap(what=what, kind=kind))
        assert edit(wrapped, Unwrap(what=what)) == document
        if kind in (GroupKind.ALL, GroupKind.ANY):
            assert verdicts(wrapped) == verdicts(document), "a group of one says what its condition does"
        assert edit(edit(document, Add(into=into, nodes=(A,), position=position)), Remove(what=what)) == document
        again = edit(document, Duplicate(what=what))
        assert verdicts(again) == verdicts(document), "saying a thing twice says no more"
        assert edit(again, Remove(what=(*into, position + 1))) == document
        gone = edit(document, Remove(what=what))
        assert edit(gone, Add(into=into, nodes=(at(document, what),), position=position)) == document
    assert edit(edit(document, Negate(what=())), Negate(what=())) == document
    assert [not one for one in verdicts(edit(document, Negate(what=())))] == verdicts(document)
    assert document == before


@settings(max_examples=150, deadline=None)
@given(rules(), st.randoms(use_true_random=False))
def test_moving_loses_nothing_and_finds_its_way_back(drawn: dict[str, Any], chance: random.Random) -> None:
    document = as_draft(drawn)
    for _ in range(6):
        what = chance.choice(places(document))
        groups = [(), *(path for path in places(document) if group_kind(at(document, path)) is not None)]
        into = list_path(document, chance.choice(groups))
        move = Move(what=what, into=into, position=chance.randrange(len(at(document, into)) + 1))
        if into[: len(what)] == what:
            with pytest.raises(EditRefused, match="into itself"):
                edit(document, move)
            continue
        after = edit(document, move)
        assert leaves_of(after) == leaves_of(document)
        assert conditions(after) == conditions(document)
        document = after

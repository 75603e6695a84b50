"""The form in which a rule carries who was added and removed by hand: one form, whatever was written, that means what it says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.carrying import HandLists, carried, rule_alone
from segments.models import StaticList

LISTS = HandLists(include=StaticList(key="inc"), exclude=StaticList(key="exc"))
INCLUDE, EXCLUDE = {"in_list": "inc"}, {"not": {"in_list": "exc"}}
A, B = {"in_list": "a"}, {"in_list": "b"}

CONDITIONS = st.recursive(
    st.sampled_from([A, B, {"everyone": True}]),
    lambda inner: (
        st.builds(lambda some: {"all": some}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda some: {"any": some}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda one: {"not": one}, inner)
    ),
    max_leaves=8,
)


def document(condition: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, **condition}


def holds(part: dict[str, Any], on: set[str]) -> bool:
    """What a condition says of somebody who is on these lists."""
    match part:
        case {"all": some}:
            return all(holds(one, on) for one in some)
        case {"any": some}:
            return any(holds(one, on) for one in some)
        case {"not": inner}:
            return not holds(inner, on)
        case {"in_list": key}:
            return key in on
    return True


@given(CONDITIONS, st.sets(st.sampled_from(["a", "b", "inc", "exc"])))
def test_a_carried_rule_is_true_of_whom_the_rule_takes_or_somebody_added_but_nobody_removed(
    condition: dict[str, Any], on: set[str]
) -> None:
    made = carried(document(condition), LISTS)
    assert holds(made, on) == ((holds(condition, on) or "inc" in on) and "exc" not in on)
    assert carried(made, LISTS) == made, "there is one form"
    assert rule_alone(made, LISTS) == document(condition), "and what was written comes back"


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ({"all": [{"any": [A, INCLUDE]}, EXCLUDE, B]}, {"all": [A, B]}),
        ({"any": [A, INCLUDE, B]}, {"any": [A, B]}),
        ({"all": [EXCLUDE, A]}, A),
        ({"all": [A]}, {"all": [A]}),
        ({"not": {"any": [A, INCLUDE]}}, {"not": {"any": [A, INCLUDE]}}),
        ({"all": [A, {"in_list": "exc"}]}, {"all": [A, {"in_list": "exc"}]}),
    ],
)
def test_conditions_are_taken_up_from_wherever_an_editor_put_them(written: Any, rest: Any) -> None:
    assert carried(document(written), LISTS) == document({"all": [{"any": [rest, INCLUDE]}, EXCLUDE]})


@pytest.mark.parametrize("written", [INCLUDE, {"any": [INCLUDE]}, {"all": [INCLUDE, EXCLUDE]}, EXCLUDE])
def test_a_rule_of_nothing_else_takes_in_who_was_added_and_nobody_more(written: Any) -> None:
    made = carried(document(written), LISTS)
    assert made == document({"all": [INCLUDE, EXCLUDE]}) and rule_alone(made, LISTS) is None
    assert holds(made, {"inc"}) and not holds(made, set()) and not holds(made, {"inc", "exc"})


@pytest.mark.parametrize("written", [None, [], "x", 1])
def test_what_is_no_rule_is_left_to_whoever_checks_it(written: Any) -> None:
    assert carried(written, LISTS) == rule_alone(written, LISTS) == written
    assert carried(document(A), None) == rule_alone(document(A), None) == document(A)

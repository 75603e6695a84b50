"""What a condition is made of on a screen, and that no choice there leads to what isn't in the language."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.rules import OPERATORS, RuleErrors, load
from segments.rules.drafting import begin, change, fitted, operators
from segments.rules.edit import group_kind
from segments.rules.measures import MEASURES
from segments.rules.parts import Input, Part, choose, parts, step_parts
from tests.generative.strategies import rules
from tests.spec.world import CATALOG

# What is wrong with a condition of which only something hasn't been said yet.
UNSAID = {"missing_value", "missing_key", "wrong_type", "list_length", "empty_text", "periods_do_not_fit"}
# A value that was right for another operator may not be for this one.
OF_ANOTHER = {
    "unknown_pattern",
    "bounds_reversed",
    "number_out_of_range",
    "not_whole_days",
    "mixed_list",
    "unknown_country",
    "unknown_currency",
}


def leaves_of(node: Any) -> Iterator[dict[str, Any]]:
    if "not" in node:
        yield from leaves_of(node["not"])
    elif group_kind(node) is not None:
        for one in node.get("all") or node.get("any"):
            yield from leaves_of(one)
    else:
        yield {key: value for key, value in node.items() if key != "version"}


def errors_of(leaf: dict[str, Any]) -> set[str]:
    try:
        load({"version": 1, **leaf}, CATALOG)
    except RuleErrors as errors:
        return {one.code for one in errors.errors}
    return set()


def whole(leaf: dict[str, Any]) -> list[Part]:
    return parts(leaf, CATALOG)


@settings(max_examples=80, deadline=None)
@given(rules())
def test_a_sound_condition_stays_as_it_is_and_shows_all_that_is_in_it(document: dict[str, Any]) -> None:
    for leaf in leaves_of(document):
        assert fitted(leaf, CATALOG) == leaf
        found = whole(leaf)
        assert found and all(one.label or one.input is Input.WORDS for one in found)
        for one in found:
            if one.input is Input.CHOICE:
                said = (
                    {True: "true", False: "false"}.get(one.value, one.value)
                    if isinstance(one.value, bool)
                    else one.value
                )
                assert said in dict(one.choices), (leaf, one)
                assert load({"version": 1, **choose(leaf, one, said, CATALOG)}, CATALOG) == load(
                    {"version": 1, **leaf}, CATALOG
                )


@settings(max_examples=80, deadline=None)
@given(rules(), st.randoms(use_true_random=False))
def test_any_choices_lead_to_a_condition_of_which_only_something_is_unsaid(
    document: dict[str, Any], chance: random.Random
) -> None:
    for leaf in leaves_of(document):
        for _ in range(4):
            choices = [one for one in whole(leaf) if one.input is Input.CHOICE]
            if not choices:
                break
            part = chance.choice(choices)
            choice = chance.choice(part.choices)[0]
            after = choose(leaf, part, choice, CATALOG)
            assert fitted(after, CATALOG) == after, "fitting twice changes nothing more"
            assert errors_of(after) <= UNSAID | OF_ANOTHER, (leaf, part.at, choice, after)
            leaf = after


def answered(part: Part) -> Any:
    """Something that fits."""
    match part.input:
        case Input.NUMBER:
            return 2
        case Input.MOMENT:
            return "2026-01-01" if part.at[-1] not in ("to", 1) else "2026-02-01"
        case Input.DURATION:
            return {"weeks": 4} if part.label != "Length of a period" else {"weeks": 1}
        case Input.LIST:
            return [2] if part.kind == "number" else [text_for(part)]
        case Input.TEXT:
            return text_for(part)
        case Input.FLAG:
            return True
        case Input.SUBJECT:
            return "price" if part.kind == "of" else part.value or "Product Viewed"
    return None


def text_for(part: Part) -> str:
    return "EUR" if part.about == ("trait", "currency") else "x.example" if part.about == ("trait", "email") else "DE"


SUBJECTS = [
    *(("trait", key) for key in CATALOG.traits),
    *(("performed", name) for name in CATALOG.events),
    *(("score", key) for key in CATALOG.scores),
    *(("in_segment", key) for key, info in CATALOG.segments.items() if info.usable),
    *(("in_list", key) for key in CATALOG.lists),
    *(("consented", key) for key in CATALOG.purposes),
    ("bucket", "spring"),
    ("everyone", ""),
]


@pytest.mark.parametrize(("subject", "key"), SUBJECTS)
def test_from_every_subject_every_operator_and_measure_is_reached_by_answering_what_is_asked(
    subject: str, key: str
) -> None:
    """Depth first through all choices of what it is measured by and compared with; each end is sound."""
    reached: set[str] = set()
    first = begin(subject, key, CATALOG)
    assert errors_of(first) <= UNSAID
    for leaf in measured(first):
        for chosen in compared(leaf):
            ended = filled(chosen)
            assert errors_of(ended) == set(), ended
            assert fitted(ended, CATALOG) == ended
            reached |= {chosen.get("op", ""), chosen.get("measure", "count")}
    allowed = operators(first, CATALOG)
    assert allowed.keys() <= reached
    if subject == "performed":
        assert MEASURES.keys() <= reached


def measured(leaf: dict[str, Any]) -> Iterator[dict[str, Any]]:
    part = next((one for one in whole(leaf) if one.at == ("measure",)), None)
    yield from (choose(leaf, part, key, CATALOG) for key, _ in part.choices) if part else [leaf]


def compared(leaf: dict[str, Any]) -> Iterator[dict[str, Any]]:
    part = next((one for one in whole(leaf) if one.at == ("op",)), None)
    for after in [choose(leaf, part, key, CATALOG) for key, _ in part.choices] if part else [leaf]:
        beside = next((one for one in whole(after) if one.at == ("than",)), None)
        yield from (choose(after, beside, key, CATALOG) for key, _ in beside.choices) if beside else [after]


def filled(leaf: dict[str, Any]) -> dict[str, Any]:
    for _ in range(3):
        for part in whole(leaf):
            if part.input is Input.CHOICE and part.value is None:
                leaf = choose(leaf, part, part.choices[0][0], CATALOG)
            if part.input not in (Input.CHOICE, Input.WORDS, Input.FLAG) and part.at[0] not in (
                "trait",
                "performed",
                "score",
            ):
                leaf = change(leaf, part.at, answered(part), CATALOG)
    return leaf


def test_every_window_is_reached_and_what_was_said_of_one_is_kept_for_the_next() -> None:
    leaf = {**begin("performed", "Order Completed", CATALOG), "within": {"days": 7}}
    for choice, within in (
        ("last", {"days": 7}),
        ("before", {"days": 7, "ago": {"days": 30}}),
        ("today", "today"),
        ("last_quarter", "last_quarter"),
        ("between", {"from": "", "to": ""}),
        ("ever", None),
        ("since", {"since": ""}),
    ):
        (part,) = [one for one in whole(leaf) if one.at == ("within",) and one.input is Input.CHOICE]
        assert choose(leaf, part, choice, CATALOG).get("within") == within
    spans = {**leaf, "within": {"from": "2026-01-01", "to": "2026-02-01"}}
    (part,) = [one for one in whole(spans) if one.at == ("within",) and one.input is Input.CHOICE]
    assert choose(spans, part, "from", CATALOG)["within"] == {"from": "2026-01-01"}


def test_another_operator_keeps_of_the_value_what_it_can() -> None:
    def after(chosen: str, **leaf: Any) -> Any:
        return change({"trait": "text", **leaf}, ("op",), chosen, CATALOG).get("value")

    assert after("any_of", op="equals", value="a") == ["a"]
    assert after("equals", op="any_of", value=["a", "b"]) == "a"
    assert after("exists", op="equals", value="a") is None
    assert after("any_of", op="exists") == []
    number = {"trait": "number", "op": "gte", "value": 5}
    assert change(number, ("op",), "between", CATALOG)["value"] == [5, 5]
    assert change(number, ("trait",), "text", CATALOG)["op"] in OPERATORS
    assert "exact" not in change(
        {"trait": "text", "op": "equals", "value": "a", "exact": True}, ("op",), "exists", CATALOG
    )


def test_steps_are_asked_about_by_what_happened_and_how_soon() -> None:
    first, last = {"performed": "Product Viewed"}, {"not_performed": "Order Completed", "within": {"hours": 24}}
    assert [(one.at, one.input) for one in step_parts(first)] == [(("performed",), Input.SUBJECT)]
    assert [(one.at, one.input) for one in step_parts(last)] == [
        (("not_performed",), Input.SUBJECT),
        (("within",), Input.DURATION),
    ]


def test_what_is_no_choice_is_refused() -> None:
    leaf = begin("trait", "number", CATALOG)
    (part,) = [one for one in whole(leaf) if one.at == ("op",)]
    with pytest.raises(KeyError):
        choose(leaf, part, "contains", CATALOG)


def test_parts_of_hostile_drafts_are_told_without_an_error() -> None:
    """Drafts come from JSON that somebody pasted: whatever it is, it can be shown and mended."""
    odd: list[Any] = [
        None,
        True,
        5,
        "x",
        [],
        {},
        [1],
        {"days": "x"},
        {"from": 1},
        {"percentile": None},
        {"performed": []},
    ]
    keys = ["trait", "performed", "measure", "of", "op", "value", "within", "per", "each", "than", "times", "exact", "score",
            "bucket", "in_list", "sequence", "property"]  # fmt: skip
    chance = random.Random(5)
    for _ in range(3000):
        leaf = {key: chance.choice(odd) for key in chance.sample(keys, chance.randrange(1, 5))}
        told = parts(leaf, CATALOG)
        after = fitted(leaf, CATALOG)
        assert json.dumps(after) and isinstance(told, list)
        for part in told:
            for choice, _label in part.choices[:3]:
                assert isinstance(choose(leaf, part, choice, CATALOG), dict)

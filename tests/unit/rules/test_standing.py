"""Conditions on how people stand: scores, buckets, consent and lists. What they mean stands in tests/spec/standing.py."""

import re
from dataclasses import replace
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from segments.rules import (
    Catalog,
    ConsentMode,
    Not,
    Person,
    RuleErrors,
    Span,
    Value,
    check,
    compile_counts,
    compile_edges,
    compile_rule,
    depends_on,
    describe,
    edges,
    evaluate,
    leaves,
    load,
    place,
    positive,
    takes_in_strangers,
)
from segments.rules.compare import compare
from segments.rules.explain import Explained, explain, without_history
from segments.rules.findings import Case, HintKind
from segments.rules.hashing import hundredths
from segments.rules.nodes import Rule
from tests.spec.world import AS_OF, CATALOG, document, person

FREQUENT: dict[str, Any] = {"score": "rfm.frequency", "op": "gte", "value": 4}
GROUP: dict[str, Any] = {"score": "rfm.group", "op": "equals", "value": "At risk"}
HALF: dict[str, Any] = {"bucket": "spring test", "op": "lt", "value": 50}
EMAIL: dict[str, Any] = {"consented": "marketing_email"}
ANALYSIS: dict[str, Any] = {"consented": "analysis"}
VIP: dict[str, Any] = {"in_list": "vip"}
DAY = timedelta(days=1)


def rule(condition: dict[str, Any]) -> Rule:
    return load(document(condition), CATALOG)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({**FREQUENT, "score": "rfm.recency"}, ("unpublished_score", "/score")),
        ({**FREQUENT, "score": 4}, ("wrong_type", "/score")),
        ({**FREQUENT, "value": "4"}, ("wrong_type", "/value")),
        ({**FREQUENT, "op": "equals", "value": "4"}, ("score_without_labels", "/value")),
        ({**GROUP, "value": 4}, ("score_without_numbers", "/value")),
        ({**GROUP, "op": "gt", "value": 1}, ("score_without_numbers", "/value")),
        ({**GROUP, "value": True}, ("wrong_type", "/value")),
        ({**GROUP, "op": "contains"}, ("unknown_operator", "/op")),
        ({**GROUP, "op": "exists"}, ("unknown_key", "/value")),
        ({**GROUP, "op": "any_of", "value": ["a", 1]}, ("mixed_list", "/value/1")),
        ({**GROUP, "exact": True}, ("unknown_key", "")),
        ({"score": "rfm.group"}, ("unknown_operator", "/op")),
        ({**HALF, "bucket": ""}, ("wrong_type", "/bucket")),
        ({**HALF, "bucket": "a\x00"}, ("not_storable", "/bucket")),
        ({**HALF, "value": 100.0001}, ("number_out_of_range", "/value")),
        ({**HALF, "op": "between", "value": [-1, 5]}, ("number_out_of_range", "/value")),
        ({**HALF, "op": "between", "value": [5, 1]}, ("bounds_reversed", "/value")),
        ({**HALF, "op": "any_of", "value": [1]}, ("unknown_operator", "/op")),
        ({**HALF, "within": {"days": 1}}, ("unknown_key", "")),
        ({"consented": "sms"}, ("unknown_purpose", "/consented")),
        ({"consented": True}, ("wrong_type", "/consented")),
        ({**EMAIL, "op": "exists"}, ("unknown_key", "")),
        ({"in_list": "friends"}, ("unknown_list", "/in_list")),
        ({"in_list": ["vip"]}, ("wrong_type", "/in_list")),
        ({**VIP, **EMAIL}, ("unknown_condition", "")),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_at_its_place_even_under_not(
    condition: dict[str, Any], expected: tuple[str, str]
) -> None:
    for whole, where in ((condition, ""), ({"not": condition}, "/not")):
        with pytest.raises(RuleErrors) as refused:
            rule(whole)
        code, place = expected
        assert [(one.code, one.pointer) for one in refused.value.errors] == [(code, where + place)]


def test_a_rule_that_fitted_once_is_checked_again_with_the_same_errors() -> None:
    whole = rule({"all": [{"not": FREQUENT}, GROUP, EMAIL, VIP, HALF]})
    assert [(one.code, one.pointer) for one in check(whole, Catalog())] == [
        ("unpublished_score", "/all/0/not/score"),
        ("unpublished_score", "/all/1/score"),
        ("unknown_purpose", "/all/2/consented"),
        ("unknown_list", "/all/3/in_list"),
    ]


def test_a_rule_says_what_it_depends_on() -> None:
    found = depends_on(rule({"any": [{"not": FREQUENT}, GROUP, EMAIL, VIP, HALF]}))
    assert (found.scores, found.score_kinds) == ({"rfm.frequency", "rfm.group"}, {"rfm"})
    assert (found.purposes, found.lists) == ({"marketing_email"}, {"vip"})
    assert found.is_time_dependent, "permission may end"
    assert not depends_on(rule({"any": [FREQUENT, VIP, HALF]})).is_time_dependent


def test_negations_move_out_of_leaves_and_equal_leaves_have_equal_keys() -> None:
    other = rule({**GROUP, "op": "none_of", "value": ["b", "a", "b"]})
    assert positive(other) == Not(rule({**GROUP, "op": "any_of", "value": ["a", "b"]}))
    assert positive(rule({**HALF, "op": "not_equals", "value": 5})) == Not(rule({**HALF, "op": "equals", "value": 5.0}))
    assert positive(rule({**FREQUENT, "op": "lt"})) == rule({**FREQUENT, "op": "lt"}), "of who has none it is false"


def test_leaves_that_look_at_the_same_rows_are_asked_together() -> None:
    def place_of(condition: dict[str, Any]) -> str:
        (leaf,) = leaves(rule(condition))
        return place(leaf)

    assert place_of(FREQUENT) == place_of({**FREQUENT, "op": "exists"} | {"value": 1, "op": "lt"})
    assert place_of(HALF) == place_of({**HALF, "op": "gte"}) != place_of({**HALF, "bucket": "autumn test"})
    assert len({place_of(one) for one in (FREQUENT, GROUP, HALF, EMAIL, ANALYSIS, VIP)}) == 6


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (HALF, True),
        ({"not": HALF}, True),
        ({"all": [HALF, FREQUENT]}, False),
        ({"all": [HALF, {"not": FREQUENT}]}, True),
        ({"any": [FREQUENT, VIP, EMAIL]}, False),
        ({"any": [FREQUENT, HALF]}, True),
        (ANALYSIS, True),
        ({"not": ANALYSIS}, False),
        ({"consented": "orders"}, True),
        ({"all": [EMAIL, HALF]}, False),
        ({"all": [{"not": EMAIL}, ANALYSIS]}, True),
        ({"score": "rfm.group", "op": "missing"}, True),
        ({"not": {"in_list": "vip"}}, True),
        ({"not": {"everyone": True}}, False),
    ],
    ids=str,
)
def test_whether_strangers_may_be_taken_in_is_known(condition: dict[str, Any], expected: bool) -> None:
    """People who are new are judged by the rules that may be true of them, and by no others."""
    whole = rule(condition)
    assert takes_in_strangers(whole, CATALOG) is expected
    unheard_of = {"analysis": None, "orders": None}
    strangers = [Person(id=n, uuid=UUID(int=n), permits=unheard_of) for n in range(1, 30)]
    assert any(evaluate(whole, one, AS_OF) for one in strangers) is expected


def test_what_users_wrote_is_bound() -> None:
    hostile = "'; DROP TABLE profile; -- %s %(p0)s \\ \" $x"
    whole = rule({"all": [{**HALF, "bucket": hostile}, {**GROUP, "value": hostile}]})
    for compiled in (compile_rule(whole, CATALOG, scoped=True), compile_counts([whole], CATALOG)):
        text = compiled.sql("postgres")
        assert "DROP" not in text and "rfm" not in text
        assert re.sub(r"%\(\w+\)s", "", text).count("%") == 0
        assert hostile in compiled.params.values()


def test_buckets_are_even_and_those_of_another_seed_have_nothing_to_do_with_them() -> None:
    people = [UUID(int=n) for n in range(20_000)]
    first, second = ([hundredths(seed, one) for one in people] for seed in ("spring", "autumn"))
    tenths = [sum(drawn // 1000 == tenth for drawn in first) for tenth in range(10)]
    assert max(abs(number - 2000) for number in tenths) < 200, tenths  # 4.7 standard deviations of 42.4
    both = sum(one < 5000 and other < 5000 for one, other in zip(first, second, strict=True))
    assert abs(both - 5000) < 300  # 4.9 standard deviations of 61.2
    with pytest.raises(ValueError, match="uuid"):
        hundredths("spring", None)


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (FREQUENT, "People whose rfm frequency is at least 4."),
        (GROUP, 'People whose rfm group is exactly "At risk".'),
        ({**GROUP, "op": "not_equals"}, 'People whose rfm group is not exactly "At risk" (or is not known).'),
        ({"score": "rfm.group", "op": "missing"}, "People whose rfm group is not known."),
        (HALF, 'People whose number in the draw "spring test" is less than 50.'),
        ({"all": [EMAIL, {"not": ANALYSIS}]}, 'People who permit "Marketing email" and who do not permit "Analysis".'),
        ({"any": [VIP, {"not": {"in_list": "staff"}}]}, 'People who are on the list "VIP" or who are not on the list "Staff".'),
    ],
    ids=str,
)  # fmt: skip
def test_it_reads_as_a_sentence(condition: dict[str, Any], sentence: str) -> None:
    assert describe(rule(condition), CATALOG) == sentence


def test_none_of_it_has_a_past() -> None:
    found = without_history(rule({"any": [FREQUENT, {"not": HALF}, EMAIL, VIP, {"performed": "Order Completed"}]}))
    assert [(one.code, one.pointer) for one in found] == [
        ("no_history", "/any/0/score"),
        ("no_history", "/any/1/not/bucket"),
        ("no_history", "/any/2/consented"),
        ("no_history", "/any/3/in_list"),
    ]


def test_only_a_grant_that_ends_has_an_edge_and_it_is_the_first_moment_without_it() -> None:
    (email,), (analysis,) = leaves(rule(EMAIL)), leaves(rule(ANALYSIS))
    ends = AS_OF + DAY
    granted = person(permits={"marketing_email": ends, "analysis": None})
    span = Span(after=AS_OF, until=AS_OF + 2 * DAY, zone=UTC)
    assert list(edges(email, granted, span)) == [ends]
    assert [evaluate(email, granted, at) for at in (ends - timedelta(microseconds=1), ends)] == [True, False]
    assert list(edges(analysis, granted, span)) == []
    assert compile_edges(email, CATALOG, scoped=False) is not None
    for condition in (ANALYSIS, {"consented": "orders"}, FREQUENT, HALF, VIP):
        (leaf,) = leaves(rule(condition))
        assert compile_edges(leaf, CATALOG, scoped=True) is None
        assert list(edges(leaf, granted, span)) == []


# ---- Why -----------------------------------------------------------------------------------------------------


def why(condition: dict[str, Any], someone: Person) -> Explained:
    return explain(rule(condition), Case(person=someone, as_of=AS_OF, catalog=CATALOG))


SCORED = person(
    scores={"rfm.frequency": Value(number=Decimal("3.5000")), "churn.risk": Value(number=Decimal(2), text="low")}
)
ENDING, ENDED = (person(permits={"marketing_email": AS_OF + sign * DAY}) for sign in (1, -1))


@pytest.mark.parametrize(
    ("condition", "someone", "said", "hint"),
    [
        (FREQUENT, SCORED, "rfm frequency is 3.5", (HintKind.SCORE, "rfm frequency is at least 4")),
        (GROUP, SCORED, "rfm group is not known", (HintKind.SCORE, 'rfm group is exactly "At risk"')),
        ({"not": {"score": "churn.risk", "op": "exists"}}, SCORED, 'churn risk is 2, "low"',
         (HintKind.SCORE, "churn risk is not known")),
        (EMAIL, ENDING, 'permits "Marketing email" until 2026-06-02', None),
        (EMAIL, ENDED, 'permitted "Marketing email" until 2026-05-31', (HintKind.PERMIT, 'permit "Marketing email"')),
        ({"not": ANALYSIS}, person(permits={"analysis": None}), 'permits "Analysis"',
         (HintKind.OBJECT, 'no longer permit "Analysis"')),
        (VIP, SCORED, 'is not on the list "VIP"', (HintKind.ENTER_LIST, 'be put on the list "VIP"')),
        ({"not": VIP}, person(lists=frozenset({"vip"})), 'is on the list "VIP"',
         (HintKind.LEAVE_LIST, 'be taken off the list "VIP"')),
        (HALF, person(1), '56.96 in the draw "spring test"', None),
    ],
    ids=str,
)  # fmt: skip
def test_what_was_found_and_what_would_turn_it_is_told(
    condition: dict[str, Any], someone: Person, said: str, hint: tuple[HintKind, str] | None
) -> None:
    tree = why(condition, someone)
    finding = (tree.conditions[0] if tree.conditions else tree).finding
    assert finding is not None and finding.said == said
    assert (finding.hint and (finding.hint.kind, finding.hint.sentence)) == hint


def test_when_a_permission_ends_is_told_beforehand() -> None:
    finding = why(EMAIL, ENDING).finding
    assert finding is not None and finding.turns_at == AS_OF + DAY
    finding = why(EMAIL, ENDED).finding
    assert finding is not None and finding.turns_at is None


def test_two_wordings_are_compared_by_what_they_are_about() -> None:
    before, after = {"all": [FREQUENT, VIP]}, {"all": [{**FREQUENT, "value": 5}, {"in_list": "staff"}]}
    assert [(one.kind.value, one.sentence) for one in compare(rule(before), rule(after), CATALOG)] == [
        ("changed", "Changed: People whose rfm frequency is at least 4 → People whose rfm frequency is at least 5."),
        ("removed", 'Removed: People who are on the list "VIP".'),
        ("added", 'Added: People who are on the list "Staff".'),
    ]


def test_a_purpose_that_changes_its_mode_is_compiled_anew() -> None:
    (leaf,) = leaves(rule(EMAIL))
    told = {
        **CATALOG.purposes,
        "marketing_email": replace(CATALOG.purposes["marketing_email"], mode=ConsentMode.OPT_OUT),
    }
    texts = [compile_rule(leaf, known, scoped=False).sql() for known in (CATALOG, replace(CATALOG, purposes=told))]
    assert texts[0] != texts[1]
    assert compile_edges(leaf, replace(CATALOG, purposes=told), scoped=False) is None

"""Whatever is sent as a rule is read or refused in bounded time: bombs of depth, of size, of lists and of looks."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.rules import RuleErrors, compile_counts, compile_rule, describe, load
from segments.rules.compare import compare
from segments.rules.compile import MOST_JOINED
from segments.rules.explain import nodes
from segments.rules.limits import MAX_DEPTH, MAX_FILTERS, MAX_LEAVES, MAX_LOOKS, MAX_NESTING, MAX_SIZE, MAX_VALUES
from segments.rules.reading import MAX_FILTERS as MAX_FILTERS_OF_ONE_LIST
from segments.text import placed, read
from tests.spec.world import CATALOG, document

# Of this thread's own work, as a machine may be busy with other things: far more than anything here takes, and far
# less than what is exponential would.
SECONDS = 20


def number(least: float) -> dict[str, Any]:
    return {"trait": "number", "op": "gte", "value": least}


def errors(whole: object) -> list[tuple[str, str]]:
    began = time.thread_time()
    try:
        load(whole, CATALOG)
        return []
    except RuleErrors as refused:
        return [(error.code, error.pointer) for error in refused.errors]
    finally:
        assert time.thread_time() - began < SECONDS


def groups(depth: int) -> dict[str, Any]:
    """A rule with so many groups within each other, and a condition of its own in each."""
    condition: dict[str, Any] = number(0)
    for level in range(depth - 1):
        condition = {"not": condition} if level % 3 == 0 else {("any", "all")[level % 2]: [number(level), condition]}
    return condition


def bomb(depth: int, *, of: str) -> Any:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner] if of == "list" else {of: inner}
    return inner


# ---- Depth -----------------------------------------------------------------------------------------------------


def test_the_deepest_rule_is_read_compiled_compared_and_told() -> None:
    rule, other = load(document(groups(MAX_DEPTH)), CATALOG), load(document({"any": [groups(MAX_DEPTH - 1)]}), CATALOG)
    began = time.thread_time()
    for dialect in ("postgres", "duckdb"):
        assert compile_rule(rule, CATALOG, scoped=True).sql(dialect)
    assert compile_counts([node for _, node in nodes(rule)], CATALOG).sql("postgres")
    assert describe(rule, CATALOG)
    assert compare(rule, other, CATALOG)
    assert compare(rule, rule, CATALOG) == []
    assert time.thread_time() - began < SECONDS


@pytest.mark.parametrize("of", ["not", "all", "list", "value"])
@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 500, 100_000])
def test_what_is_nested_too_deep_is_refused_before_anything_recurses(of: str, depth: int) -> None:
    for whole in (bomb(depth, of=of), document({"all": [bomb(depth, of=of)]}), document(number(bomb(depth, of=of)))):
        ((code, place),) = errors(whole)
        assert code == "too_deep"
        assert place.count("/") == MAX_NESTING


def test_what_a_rule_may_nest_is_not_taken_for_a_bomb() -> None:
    where: Any = {"property": "price", "op": "any_of", "value": [1]}
    for _ in range(5):
        where = {"all": [where]}
    condition: Any = {"sequence": [{"performed": "Order Completed"}, {"performed": "Product Viewed", "where": [where]}]}
    for _ in range(MAX_DEPTH - 1):
        condition = {"all": [condition]}
    assert errors(document(condition)) == []
    assert errors(document({"all": [condition]}))[0][0] == "too_deep"


# ---- Size ------------------------------------------------------------------------------------------------------


def test_the_largest_rule_is_read_compiled_and_compared() -> None:
    rule = load(document({"any": [number(least) for least in range(MAX_LEAVES)]}), CATALOG)
    other = load(document({"any": [{"not": number(least)} for least in range(MAX_LEAVES)]}), CATALOG)
    began = time.thread_time()
    assert compile_rule(rule, CATALOG, scoped=False).sql("postgres").count("JOIN") == 1
    assert len(compare(rule, other, CATALOG)) >= MAX_LEAVES
    assert time.thread_time() - began < SECONDS


def test_few_conditions_are_joined_and_many_are_gathered() -> None:
    def joins(many: int) -> int:
        rule = load(document({"any": [{"not": number(least)} for least in range(many)]}), CATALOG)
        return compile_rule(rule, CATALOG, scoped=False).sql("postgres").count("JOIN")

    assert joins(MOST_JOINED) == MOST_JOINED
    assert joins(MOST_JOINED + 1) == 1


@pytest.mark.parametrize(
    "whole",
    [
        document(number(0)) | {"x" * MAX_SIZE: 1},
        document({"trait": "text", "op": "equals", "value": "x" * MAX_SIZE}),
        document({"all": [{}] * MAX_SIZE}),
        document(number(10 ** (3 * MAX_SIZE))),
        [[0] * MAX_SIZE],
        "x" * MAX_SIZE,
    ],
    ids=["name", "text", "list", "number", "no object", "no rule"],
)
def test_a_document_has_a_largest_size(whole: object) -> None:
    assert errors(whole) == [("too_large", "")]


def test_filters_of_all_conditions_are_counted_together() -> None:
    def asked(conditions: int) -> dict[str, Any]:
        where = [{"property": "price", "op": "gt", "value": n} for n in range(MAX_FILTERS_OF_ONE_LIST)]
        return document({"any": [{"performed": "Order Completed", "where": where}] * conditions})

    most = MAX_FILTERS // MAX_FILTERS_OF_ONE_LIST
    assert errors(asked(most)) == []
    assert errors(asked(most + 3)) == [("too_many_filters", f"/any/{most}/where/0")]


def test_nested_filters_can_not_multiply() -> None:
    where: list[Any] = [{"property": "price", "op": "gt", "value": 1}] * 5
    for _ in range(5):
        where = [{"any": where}] * 5
    assert [code for code, _ in errors(document({"performed": "Order Completed", "where": where}))] == ["too_large"]
    filters: list[Any] = [{"any": [{"property": "price", "op": "gt", "value": 1}] * 20}] * 20
    found = errors(document({"all": [{"performed": "Order Completed", "where": filters}] * 2}))
    assert found == [("too_many_filters", "/all/1/where/5/any/0")]


def test_items_of_all_lists_are_counted_together() -> None:
    one = {"trait": "number", "op": "any_of", "value": list(range(1000))}
    most = MAX_VALUES // 1000
    assert errors(document({"all": [one] * most})) == []
    assert errors(document({"all": [one] * (most + 2)})) == [("too_many_values", f"/all/{most}/value")]


def test_looks_at_different_records_are_limited_and_conditions_on_the_same_share_one() -> None:
    def viewed(price: int, times: int) -> dict[str, Any]:
        where = [{"property": "price", "op": "gt", "value": price}]
        return {"performed": "Product Viewed", "op": "gte", "value": times, "where": where}

    different = [viewed(price, 1) for price in range(MAX_LOOKS)]
    assert errors(document({"all": different})) == []
    assert errors(document({"all": [*different, *(viewed(0, times) for times in range(2, 300))]})) == []
    assert errors(document({"all": [*different, {"not": viewed(MAX_LOOKS, 1)}]})) == [
        ("too_many_looks", f"/all/{MAX_LOOKS}/not")
    ]


# ---- Whatever else ---------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["version", "all", "any", "not", "trait", "performed", "where", "op", "value", "within", "\ud800"]
)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**4000, -(10**4000)])
    | WORDS
)
JSON = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=20
)


@settings(deadline=None)
@given(JSON, st.integers(0, 400), st.sampled_from(["not", "all", "where", "list"]), st.integers(1, 3000))
def test_any_json_gives_a_rule_or_its_errors(hostile: Any, depth: int, of: str, times: int) -> None:
    for _ in range(depth):
        hostile = [hostile] if of == "list" else {of: hostile}
    for whole in (
        hostile,
        document({"any": [hostile] * times}),
        document({"performed": "Order Completed", "where": hostile}),
    ):
        for code, place in errors(whole):
            assert code.isidentifier()
            place.encode()


@settings(deadline=None)
@given(
    st.text(st.sampled_from('[]{}",:\\ \n019-.eEtfn"\ud800'), max_size=60)
    | st.tuples(st.sampled_from(["[", '{"a":', '{"all":[']), st.integers(0, 3000)).map(lambda two: two[0] * two[1])
    | st.tuples(st.sampled_from(["[%s]", '{"not":%s}', '{"all":[%s]}']), st.integers(0, 600)).map(
        lambda two: _nest(*two)
    )
)
def test_any_text_gives_a_rule_or_errors_with_their_lines(text: str) -> None:
    found, said = read(text)
    assert said or found is not None or text.strip() == "null"
    if not said:
        try:
            load(found, CATALOG)
        except RuleErrors as refused:
            said = placed(text, refused.errors)
    assert all(1 <= one.line <= text.count("\n") + 1 and one.message for one in said)


def _nest(form: str, depth: int) -> str:
    opening, closing = form.split("%s")
    return opening * depth + "0" + closing * depth


def test_a_number_of_too_many_digits_is_refused_where_people_write() -> None:
    found, said = read('{"version": 1, "trait": "x", "op": "gt", "value": ' + "9" * 5000 + "}")
    assert found is None
    assert [one.code for one in said] == ["not_json"]

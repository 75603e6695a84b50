"""The paragraphs of the semantics that concern rules, each by its name."""

import ast
import random
import sys
import unicodedata
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import segments.rules
from cdp.profiles import values
from segments.rules import Catalog, Person, RuleErrors, Value, check, evaluate, fold, load
from segments.rules.operands import number_in_range
from tests.spec.world import AS_OF, CATALOG, document, event, person


def holds(condition: dict[str, Any], someone: Person) -> bool:
    return evaluate(load(document(condition), CATALOG), someone, AS_OF)


def test_two_valued_logic_a_condition_and_its_negation_never_agree() -> None:
    nobody = person()
    for condition in ({"trait": "number", "op": "gt", "value": 5}, {"trait": "text", "op": "not_equals", "value": "x"}):
        assert holds(condition, nobody) is not holds({"not": condition}, nobody)


def test_missing_count_and_sum_over_nothing_are_0() -> None:
    for measure in ("count", "sum"):
        condition = {"performed": "Order Completed", "measure": measure, "op": "equals", "value": 0}
        assert holds(condition, person())


def test_missing_not_equals_and_none_of_are_true_of_a_missing_trait() -> None:
    assert holds({"trait": "text", "op": "not_equals", "value": "x"}, person())
    assert holds({"trait": "text", "op": "none_of", "value": ["x"]}, person())


def test_a_trait_of_the_wrong_type_is_false_and_never_an_error() -> None:
    someone = person(traits={"number": "many", "date": True, "list": "a", "text": 5, "boolean": "true", "country": 49})
    assert not holds({"trait": "number", "op": "gte", "value": 0}, someone)
    assert not holds({"trait": "date", "op": "before", "value": "2026-01-01"}, someone)
    assert not holds({"trait": "list", "op": "contains_any", "value": ["a"]}, someone)
    assert not holds({"trait": "text", "op": "equals", "value": "5"}, someone)
    assert not holds({"trait": "boolean", "op": "equals", "value": True}, someone)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_broken_or_deleted_segment_is_an_error_even_under_not(wrapped: bool) -> None:
    for key in ("broken", "deleted"):
        condition: dict[str, Any] = {"in_segment": key}
        with pytest.raises(RuleErrors):
            load(document({"not": condition} if wrapped else condition), CATALOG)


def test_a_rule_that_was_fine_is_checked_again_when_the_catalogue_changes() -> None:
    rule = load(document({"not": {"trait": "number", "op": "gt", "value": 1}}), CATALOG)
    (error,) = check(rule, Catalog())
    assert (error.code, error.pointer) == ("unknown_trait", "/not/trait")


def test_numbers_beyond_numeric_19_4_are_never_compared() -> None:
    assert number_in_range(10**15) is None
    assert number_in_range(Decimal("999999999999999.99995")) is None
    assert number_in_range(Decimal("999999999999999.99994")) == Decimal("999999999999999.9999")
    assert number_in_range(True) is None
    assert number_in_range(float("nan")) is None


def test_numbers_are_rounded_half_away_from_zero_as_postgresql_does() -> None:
    assert [number_in_range(number) for number in (0.00005, -0.00005, 0.00004)] == [
        Decimal("0.0001"),
        Decimal("-0.0001"),
        0,
    ]


def test_text_is_folded_on_write_the_way_rules_fold_their_operands() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    assert [c for c in every if fold(c) != values.fold(c)] == []
    assert [c for c in every if fold(fold(c)) != fold(c)] == []
    chance = random.Random(1)
    for _ in range(2000):
        text = "".join(chance.choices(every, k=8))
        assert fold(text) == values.fold(text) == fold(unicodedata.normalize("NFC", text))


def test_text_of_traits_is_folded_and_text_of_events_is_not() -> None:
    assert holds({"trait": "text", "op": "equals", "value": "ZOË"}, person(traits={"text": "zoe"}))
    where = [{"property": "name", "op": "equals", "value": "ZOË"}]
    assert not holds(
        {"performed": "Order Completed", "where": where}, person(events=[event(properties={"name": "zoe"})])
    )


def test_rolling_windows_are_half_open_and_a_fixed_number_of_seconds() -> None:
    condition = {"performed": "Order Completed", "within": {"days": 30}}
    assert holds(condition, person(events=[event(ago=timedelta(days=30))]))
    assert not holds(condition, person(events=[event(ago=timedelta(0))]))


def test_a_window_longer_than_time_itself_does_not_overflow() -> None:
    rule = load(document({"performed": "Order Completed", "within": {"days": 36_525}}), CATALOG)
    early = AS_OF.replace(year=2)
    assert not evaluate(rule, person(events=[event()]), early)


def test_exists_is_true_of_a_value_of_any_type() -> None:
    someone = Person(id=1, traits={"number": Value()})
    assert holds({"trait": "number", "op": "exists"}, someone)
    assert not holds({"trait": "number", "op": "missing"}, someone)


def test_the_package_is_pure() -> None:
    allowed = {"segments", "sqlglot", *sys.stdlib_module_names}
    for module in Path(segments.rules.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed, f"{module.name} imports {name}"
                assert not name.startswith("segments") or name.startswith("segments.rules"), module.name

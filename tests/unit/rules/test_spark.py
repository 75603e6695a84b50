"""How rules are said to Spark: only in words that are known to mean the same, with all that a user wrote as an operand.

That they mean the same is shown by `tests/generative/test_rules_on_spark.py`, where Spark is found.
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from segments.rules import Compiled, compile_counts, compile_rule, compile_together, leaves, load, spark
from segments.rules.dialects import UnsupportedDialect
from segments.rules.patterns import for_java, printed
from tests.spec.world import AS_OF, CATALOG, document
from tests.unit.rules.test_compile import HOSTILE, all_conditions


def compiled(condition: dict[str, Any], *, scoped: bool = False) -> Compiled:
    return compile_rule(load(document(condition), CATALOG), CATALOG, scoped=scoped)


def sent(condition: dict[str, Any]) -> dict[str, object]:
    query = compiled(condition)
    return dict(spark.operands(query.expression, query.at(AS_OF)))


def test_every_condition_prints_as_one_statement_together_with_others_and_counted() -> None:
    for condition in all_conditions():
        rule = load(document(condition), CATALOG)
        queries = [compile_counts([rule], CATALOG)]
        queries += [compile_together([leaf], CATALOG) for leaf in leaves(rule)]
        for query in queries:
            assert isinstance(sqlglot.parse_one(query.sql("spark"), dialect="spark"), exp.Select)


def test_every_placeholder_of_the_text_has_its_operand_and_no_other() -> None:
    for condition in all_conditions():
        query = compiled(condition, scoped=True)
        given = {**query.at(AS_OF), "scope": [1, 2], "unused": 1}
        in_text = set(re.findall(r":(\w+)", query.sql("spark")))
        assert in_text == set(spark.operands(query.expression, given)) == query.placeholders


def test_nothing_a_user_wrote_is_in_the_text() -> None:
    text = compiled(
        {
            "all": [
                {"trait": "text", "op": "contains", "value": HOSTILE},
                {"trait": "text", "op": "matches", "value": "DROP"},
                {"trait": "list", "op": "contains_all", "value": [HOSTILE]},
                {
                    "performed": "Order Completed",
                    "measure": "last",
                    "of": HOSTILE,
                    "op": "any_of",
                    "value": [HOSTILE],
                    "where": [{"property": HOSTILE, "op": "equals", "value": HOSTILE}],
                },
            ]
        }
    ).sql("spark")
    assert "DROP" not in text
    assert "\\" not in text, "its meaning would hang on a setting"


@pytest.mark.parametrize(
    "unknown",
    [
        exp.func("MD5", exp.column("text", "trait_value")),
        exp.Anonymous(this="HASHINT8", expressions=[exp.column("id", "profile")]),
        exp.cast(exp.column("number", "trait_value"), "DOUBLE"),
        exp.ILike(this=exp.column("text", "trait_value"), expression=exp.Placeholder(this="p0")),
    ],
)
def test_what_nothing_is_known_of_is_refused_rather_than_printed(unknown: exp.Expr) -> None:
    query = compiled({"trait": "text", "op": "exists"})
    spoilt = Compiled(expression=query.expression.copy().where(unknown), params={})
    with pytest.raises(UnsupportedDialect, match="spark: nothing is known of"):
        spoilt.sql("spark")


def test_moments_and_lists_are_sent_as_text_and_numbers_without_an_exponent() -> None:
    moment = {"trait": "date", "op": "after", "value": "0001-01-02T00:00:00.000001Z"}
    assert "0001-01-02T00:00:00.000002+00:00" in sent(moment).values()
    assert sent({"trait": "list", "op": "contains_any", "value": ['É"', "b"]}) == {"p0": '["b","e\\""]'}
    assert sent({"trait": "number", "op": "any_of", "value": [100, 0.0001]}) == {"p0": "[100,0.0001]"}
    (number,) = sent({"trait": "number", "op": "gt", "value": 100}).values()
    assert isinstance(number, Decimal) and str(number) == "100"


def test_an_instant_of_the_first_year_keeps_its_microsecond() -> None:
    first = datetime(1, 1, 1, microsecond=1, tzinfo=UTC)
    query = compiled({"performed": "Order Completed", "within": {"days": 1}})
    assert spark.operands(query.expression, query.at(first))["as_of"] == "0001-01-01T00:00:00.000001+00:00"


@pytest.mark.parametrize(
    ("pattern", "java"),
    [
        ("a$", r"a\z"),
        (r"\$$", r"\$\z"),
        ("[$]", r"[\$]"),
        (r"\s", r"[ \t\n\r\f\x0B]"),
        ("[&&]", r"[\&\&]"),
        (r"\\v", r"\\v"),
    ],
)
def test_patterns_are_sent_as_java_writes_them(pattern: str, java: str) -> None:
    assert for_java(printed(pattern, folded=False)) == java
    assert sent({"trait": "text", "op": "matches", "value": pattern, "exact": True}) == {"p0": java}


def test_without_pyspark_the_engine_says_what_to_do() -> None:
    script = (
        "import sys; sys.modules['pyspark'] = sys.modules['pyspark.sql'] = None\n"
        "from segments.engines.spark import SparkMissing, open_session\n"
        "try: open_session('local[1]')\n"
        "except SparkMissing as missing: print(missing)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "requirements-spark.txt" in done.stdout and "Java 17" in done.stdout

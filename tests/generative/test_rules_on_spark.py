"""Apache Spark gives the same verdicts as the reference engine: a fourth engine, run where it is found (`make drill`)."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlglot import exp

from segments.engines.spark import SETTINGS, QueryFailed, SparkRules, UnsuitableSession
from segments.rules import (
    AHEAD,
    Compiled,
    Person,
    PositiveLeaf,
    Rule,
    compile_counts,
    compile_edges,
    compile_leaf,
    compile_rule,
    compile_together,
    edges,
    evaluate,
    leaves,
    load,
    patterns,
    place,
    spark,
)
from segments.rules.explain import nodes
from tests.generative.postgres import TABLES
from tests.generative.spark_engine import SparkPeople
from tests.generative.strategies import Drawn, conditions, documents, leaf_forms, random_people
from tests.spec.world import AS_OF, CATALOG, document, event, person

pytestmark = [pytest.mark.spark, pytest.mark.drill]

POPULATION = random_people(150, random.Random(20260601))
TOGETHER = 16
"""So many rules in a statement: planning one costs more than running it."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkPeople]:
    made = SparkPeople(CATALOG, tmp_path_factory.mktemp("spark"))
    yield made
    made.close()


def expected(rule: Rule, population: list[Person] = POPULATION) -> list[int]:
    return [one.id for one in population if evaluate(rule, one, AS_OF)]


def drawn_rules(drawn: Drawn, at_least: int) -> list[tuple[dict[str, Any], Rule]]:
    """Rules with every form of the language in them, each as its document and as it was read."""
    found: list[tuple[dict[str, Any], Rule]] = []
    forms, others = leaf_forms(drawn), conditions(drawn)
    often = settings(
        max_examples=-(-at_least // len(forms)),
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    for form in forms:
        often(given(documents(form, others))(lambda one: found.append((one, load(one, CATALOG)))))()
    return found


def parts(compiled: Compiled) -> Iterator[str]:
    """What the query is made of when it is said in Spark's words."""
    for node in spark.lower(compiled.expression).walk():
        yield node.name if isinstance(node, exp.Anonymous) else type(node).__name__


def test_spark_agrees_with_the_reference_engine_on_every_operator(
    people: SparkPeople, drill_scale: Callable[..., int]
) -> None:
    """Everyone, a scope, leaves alone and together, counts and edges; it fails when anything was never drawn."""
    how_many = drill_scale(full=2_000, quick=290)
    people.store(POPULATION)
    drawn = Drawn()
    found = drawn_rules(drawn, how_many)
    random.Random(20261122).shuffle(found)
    verdicts = 0
    met: set[str] = set()
    settled: Counter[str] = Counter()
    for start in range(0, len(found), TOGETHER):
        several = found[start : start + TOGETHER]
        compiled = [compile_rule(rule, CATALOG, scoped=False) for _, rule in several]
        for one in compiled:
            met.update(parts(one))
        answers = people.matching_each(compiled, AS_OF)
        for (written, rule), answer in zip(several, answers, strict=True):
            assert sorted(answer) == expected(rule), written
            verdicts += len(answer)
        written, rule = several[0]
        if start // TOGETHER % 4 == 0:
            agree_in_depth(people, rule, met, settled)
        if start // TOGETHER % 8 == 1:
            with people.as_installed():
                assert sorted(people.matching(compiled[0], AS_OF)) == expected(rule), written
            settled["as installed"] += 1

    print(f"\n{len(found)} rules on Spark, in depth: {dict(settled)}")
    assert len(found) >= how_many
    assert Drawn.everything() - set(drawn.counts) == set(), "never drawn"
    proven = {kind.__name__ for kind in spark.PROVEN} | spark.FUNCTIONS
    assert proven - met == set(), "said to be proven, and never run"
    assert min(settled[what] for what in ("scoped", "together", "counted", "edges", "as installed")) > 0
    everything = len(found) * len(POPULATION)
    assert everything / 10 < verdicts < everything * 9 / 10, "verdicts are all alike: people are too dull"


def agree_in_depth(people: SparkPeople, rule: Rule, met: set[str], settled: Counter[str]) -> None:
    scope = sorted(one.id for one in random.Random(str(rule)).sample(POPULATION, 20))
    some = [one for one in POPULATION if one.id in scope]
    scoped = compile_rule(rule, CATALOG, scoped=True)
    assert sorted(people.matching(scoped, AS_OF, scope)) == expected(rule, some)

    asked = [node for _, node in nodes(rule)]
    counted = compile_counts(asked, CATALOG)
    ((everybody, *counts),) = people.rows(counted, counted.at(AS_OF))
    assert (everybody, counts) == (len(POPULATION), [len(expected(one)) for one in asked])
    settled.update({"scoped": 1, "counted": 1})
    met.update(parts(counted), parts(scoped))
    for leaf in list(leaves(rule))[:2]:
        together = compile_together([leaf], CATALOG)
        told = dict(people.rows(together, {**together.at(AS_OF), "scope": scope}))
        alone = compile_leaf(leaf, CATALOG, scoped=True)
        assert set(people.matching(alone, AS_OF, scope)) == set(expected(leaf, some))
        assert {number for number, holds in told.items() if holds != AHEAD} <= set(expected(leaf, some)), place(leaf)
        assert set(expected(leaf, some)) <= told.keys()
        met.update(parts(together), parts(alone))
        settled["together"] += 1
        agree_on_edges(people, leaf, settled)


def agree_on_edges(people: SparkPeople, leaf: PositiveLeaf, settled: Counter[str]) -> None:
    try:
        compiled = compile_edges(leaf, CATALOG, scoped=False)
    except NotImplementedError:
        return
    t1, t2 = AS_OF - timedelta(days=1), AS_OF + timedelta(days=2)
    told = (
        set()
        if compiled is None
        else {row[0] for row in people.rows(compiled, {**compiled.params, "t1": t1, "t2": t2})}
    )
    assert told == {one.id for one in POPULATION if any(t1 < at <= t2 for at in edges(leaf, one))}
    settled["edges"] += 1


HOSTILE = ["'; DROP TABLE rule_profile; -- :p0 ${x} \\ \\u0041 \" `", "{a}", "a?b", "%_", "\u2028", "😀", "[0]", "$.a"]


def test_what_people_write_is_compared_letter_for_letter(people: SparkPeople) -> None:
    crowd = [
        person(number, traits={"text": text}, events=[event(properties={text: text})])
        for number, text in enumerate(HOSTILE, start=1)
    ]
    people.store(crowd)
    for text in HOSTILE:
        for one in (
            {"trait": "text", "op": "equals", "value": text, "exact": True},
            {"trait": "text", "op": "contains", "value": text},
            {"trait": "text", "op": "any_of", "value": [text]},
            {"performed": "Order Completed", "where": [{"property": text, "op": "equals", "value": text}]},
            {"performed": "Order Completed", "where": [{"property": text, "op": "ends_with", "value": text}]},
        ):
            rule = load(document(one), CATALOG)
            assert expected(rule, crowd)
            assert sorted(people.matching(compile_rule(rule, CATALOG, scoped=False), AS_OF)) == expected(rule, crowd)


@pytest.mark.parametrize(
    "pattern", ["a$", "^$|b$", "[a&&b]", "[&]", "\\s", "[\\s]x", "\\S", "^.$", "[\\^\\-\\]]", "a&&b", "\\$"]
)
def test_patterns_mean_in_java_what_they_mean_in_python(people: SparkPeople, pattern: str) -> None:
    texts = [
        "a",
        "a\n",
        "a\r",
        "b\u0085",
        "b\u2028",
        "&",
        "a&&b",
        "\x0b",
        "\u2028",
        "x\x0bx",
        "😀",
        "\n",
        "^",
        "-",
        "$",
        "é",
    ]
    crowd = [person(number, traits={"text": text}) for number, text in enumerate(texts, start=1)]
    crowd = [one for one in crowd if "text" in one.traits]
    people.store(crowd)
    rule = load(document({"trait": "text", "op": "matches", "value": pattern, "exact": True}), CATALOG)
    found = people.matching(compile_rule(rule, CATALOG, scoped=False), AS_OF)
    by_hand = [
        one.id for one in crowd if patterns.compiled(pattern, folded=False).search(one.traits["text"].text or "")
    ]
    assert sorted(found) == expected(rule, crowd) == by_hand


def test_amounts_are_compared_to_the_last_place(people: SparkPeople) -> None:
    """10,000.0001 x 1.0001 is 10,001.00010001: four places more than either, and one less or more decides."""
    orders = ["10001.0001", "10001.0002", "999999999999999.9999"]
    views = event("Product Viewed", value="10000.0001")
    crowd = [person(number, events=[event(value=value), views]) for number, value in enumerate(orders, start=1)]
    people.store(crowd)
    sums = {"performed": "Order Completed", "measure": "sum"}
    for op in ("gt", "gte", "lt", "lte"):
        than = {"performed": "Product Viewed", "measure": "average"}
        rule = load(document({**sums, "op": op, "than": than, "times": 1.0001}), CATALOG)
        found = people.matching(compile_rule(rule, CATALOG, scoped=False), AS_OF)
        assert sorted(found) == expected(rule, crowd) == ([2, 3] if op in ("gt", "gte") else [1])


def test_a_number_of_any_length_does_no_harm_to_the_properties_beside_it(people: SparkPeople) -> None:
    odd = {"long": 10**4000, "deep": {"a": [{"b": None}]}, "category": "Shoes", "price": 2}
    crowd = [person(1, events=[event(properties=odd)]), person(2, events=[event(properties={"category": 5})])]
    people.store(crowd)
    for where in (
        {"property": "category", "op": "equals", "value": "Shoes"},
        {"property": "long", "op": "exists"},
        {"property": "deep", "op": "exists"},
        {"property": "price", "op": "gte", "value": 2},
    ):
        rule = load(document({"performed": "Order Completed", "where": [where]}), CATALOG)
        assert people.matching(compile_rule(rule, CATALOG, scoped=False), AS_OF) == [1] == expected(rule, crowd)


def test_what_is_no_json_fails_instead_of_having_no_properties(people: SparkPeople) -> None:
    people.store([person(1, events=[event(properties={"category": "Shoes"})])])
    people.spoil_properties()
    where = [{"property": "category", "op": "missing"}]
    rule = load(document({"performed": "Order Completed", "where": where}), CATALOG)
    with pytest.raises(QueryFailed, match=r"^Spark gave the query up: [A-Z_.]*MALFORMED[A-Z_.]*$") as failed:
        people.matching(compile_rule(rule, CATALOG, scoped=False), AS_OF)
    assert failed.value.__cause__ is None and failed.value.__suppress_context__, "Spark's own text quotes the record"


def test_a_session_in_which_rules_would_mean_something_else_is_refused(people: SparkPeople) -> None:
    people.store([person(1)])
    rule = load(document({"everyone": True}), CATALOG)
    other = people.session.newSession()
    other.read.parquet(str(people.folder / "profile")).createTempView(TABLES["profile"])
    for name, value in SETTINGS.items():
        other.conf.set(name, value)
    rules = SparkRules(other, TABLES)
    assert list(rules.matching(compile_rule(rule, CATALOG, scoped=False), as_of=AS_OF)) == [1]

    other.conf.set("spark.sql.session.timeZone", "Europe/Zurich")
    with pytest.raises(UnsuitableSession, match=r"timeZone is Europe/Zurich, expected UTC"):
        list(rules.matching(compile_rule(rule, CATALOG, scoped=False), as_of=AS_OF))


def test_a_query_that_spark_refuses_says_so_without_its_operands(
    people: SparkPeople, capfd: pytest.CaptureFixture[str]
) -> None:
    rules = SparkRules(people.session, {"trait_value": "no_such_table"})
    rule = load(document({"trait": "text", "op": "equals", "value": "a secret"}), CATALOG)
    with pytest.raises(QueryFailed, match="TABLE_OR_VIEW_NOT_FOUND"):
        list(rules.matching(compile_rule(rule, CATALOG, scoped=False), as_of=AS_OF))
    assert "a secret" not in "".join(capfd.readouterr())

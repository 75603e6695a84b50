"""What a rule becomes in SQL: parameters instead of text, one sub-query a leaf, the scope in each of them."""

import re
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from segments.rules import All, Catalog, Not, RuleErrors, compile_counts, compile_leaf, compile_rule, leaves, load
from segments.rules.dialects import UnsupportedDialect
from segments.rules.nodes import Leaf, Rule
from tests.spec.operators import PROPERTIES, TRAITS
from tests.spec.performed import CASES
from tests.spec.ranks import RANKED
from tests.spec.standing import BUCKETS, CONSENTS, LISTS, SCORES, SEED
from tests.spec.world import CATALOG, document

HOSTILE = "'; DROP TABLE profile; -- %s %(p0)s \\ \" $x"
ORDERED: dict[str, Any] = {"performed": "Order Completed", "within": {"days": 30}}


def rule(condition: dict[str, Any]) -> Rule:
    return load(document(condition), CATALOG)


def all_conditions() -> list[dict[str, Any]]:
    traits = [{"trait": table.declared, **table.condition} for table in TRAITS]
    filters = [{"performed": "Order Completed", "where": [{"property": "p", **one.condition}]} for one in PROPERTIES]
    standing = [table.condition for table in (*SCORES, *CONSENTS, *LISTS)]
    buckets = [{"bucket": SEED, **condition} for condition, _ in BUCKETS]
    small = [{"in_segment": "loyal"}, {"everyone": True}]
    return [*traits, *filters, *(case.rule for case in (*CASES, *RANKED)), *standing, *buckets, *small]


def test_nothing_a_user_wrote_is_in_the_text() -> None:
    hostile = rule(
        {
            "all": [
                {"trait": "text", "op": "contains", "value": HOSTILE},
                {"trait": "list", "op": "contains_any", "value": [HOSTILE]},
                {
                    "performed": "Order Completed",
                    "measure": "sum",
                    "of": HOSTILE,
                    "op": "gt",
                    "value": 1,
                    "where": [{"property": HOSTILE, "op": "any_of", "value": [HOSTILE]}],
                },
            ]
        }
    )
    for compiled in (compile_rule(hostile, CATALOG, scoped=False), compile_counts([hostile, hostile], CATALOG)):
        text = compiled.sql("postgres")
        assert "DROP" not in text
        assert re.sub(r"%\(\w+\)s", "", text).count("%") == 0, "psycopg would take it for a placeholder"


def test_a_condition_that_several_rules_share_is_looked_up_once() -> None:
    shared, other = rule(ORDERED), rule({"trait": "text", "op": "exists"})
    rules = [All((shared, other)), Not(shared), other, shared]
    text = compile_counts(rules, CATALOG).sql("postgres")
    assert text.count('FROM "event"') == text.count('FROM "trait_value"') == 1
    assert text.count("JOIN") == 1, "people are joined to what was found once"


def test_more_conditions_than_a_number_has_bits_are_counted_too() -> None:
    many = rule({"any": [{**ORDERED, "op": "gte", "value": number} for number in range(1, 200)]})
    assert len(leaves(many)) == 199
    text = compile_counts([many, *many.rules], CATALOG).sql("postgres")  # type: ignore[union-attr]
    assert set(re.findall(r"holds_\d", text)) == {f"holds_{number}" for number in range(4)}


def test_rules_that_do_not_fit_the_catalogue_are_not_counted() -> None:
    with pytest.raises(RuleErrors):
        compile_counts([rule({"everyone": True}), rule(ORDERED)], Catalog())


@pytest.mark.parametrize("dialect", ["postgres", "duckdb", "spark"])
def test_every_condition_prints_as_one_statement_of_each_dialect(dialect: str) -> None:
    for condition in all_conditions():
        text = compile_rule(rule(condition), CATALOG, scoped=True).sql(dialect)
        readable = re.sub(r"%\((\w+)\)s", r":\1", text)
        assert isinstance(sqlglot.parse_one(readable, dialect=dialect), exp.Select)


def test_another_dialect_is_refused() -> None:
    with pytest.raises(UnsupportedDialect):
        compile_rule(rule({"everyone": True}), CATALOG, scoped=False).sql("mysql")


def test_the_scope_is_pushed_into_every_leaf() -> None:
    for condition in all_conditions():
        for leaf in leaves(rule(condition)):
            tree = compile_leaf(leaf, CATALOG, scoped=True).expression
            for select in tree.find_all(exp.Select):
                table = select.args["from_"].this
                if isinstance(table, exp.Table) and table.name != "threshold":  # which is nobody's own
                    assert "scope" in {found.name for found in select.args["where"].find_all(exp.Placeholder)}


def test_a_condition_that_occurs_twice_is_computed_once() -> None:
    twice = rule({"any": [{"all": [ORDERED, {"in_segment": "loyal"}]}, {"not": ORDERED}]})
    assert len(list(compile_rule(twice, CATALOG, scoped=False).expression.find_all(exp.Subquery))) == 2


def tables_of(condition: dict[str, Any]) -> set[str]:
    return {table.name for table in compile_rule(rule(condition), CATALOG, scoped=False).expression.find_all(exp.Table)}


def test_everybody_is_looked_at_only_where_a_rule_may_be_true_of_strangers() -> None:
    gold = {"trait": "text", "op": "equals", "value": "gold"}
    for one_must_hold in (
        gold,
        ORDERED,
        {"all": [{"not": ORDERED}, gold]},
        {"any": [ORDERED, {"all": [gold, {"not": {"performed": "Product Viewed"}}]}]},
    ):
        assert "profile" not in tables_of(one_must_hold)
    for true_of_strangers in ({"not": gold}, {"any": [gold, {"not": ORDERED}]}, {"everyone": True}):
        assert "profile" in tables_of(true_of_strangers)


def test_members_are_looked_up_among_profiles_because_a_membership_may_outlive_its_person() -> None:
    assert "profile" in tables_of({"in_segment": "loyal"})


def test_so_are_scores_and_lists_but_not_consent_which_goes_with_its_person() -> None:
    assert tables_of({"score": "rfm.frequency", "op": "gt", "value": 3}) == {"profile", "score"}
    assert tables_of({"in_list": "vip"}) == {"profile", "list_entry"}
    assert tables_of({"consented": "marketing_email"}) == {"consent", "stop"}
    assert tables_of({"consented": "analysis"}) == {"profile", "consent", "stop"}


def test_of_conditions_that_must_hold_one_that_finds_few_by_their_records_leads() -> None:
    gold = {"trait": "text", "op": "equals", "value": "gold"}
    for other in ({"bucket": SEED, "op": "lt", "value": 50}, {"consented": "marketing_email"}):
        query = compile_rule(rule({"all": [other, gold]}), CATALOG, scoped=False).expression
        leading = query.args["from_"].this.find(exp.Table)
        assert leading.name == "trait_value"


def test_whether_somebody_ever_did_it_is_asked_of_totals_alone() -> None:
    assert tables_of({"performed": "Order Completed"}) == {"event_total"}
    assert tables_of({"performed": "Order Completed", "op": "gte", "value": 2}) == {"event_total", "event"}


def test_logical_tables_get_their_physical_names() -> None:
    tables = {"profile": "profiles_profile", "event": "profiles_event", "event_total": "profiles_eventtotal"}
    text = compile_rule(rule({"any": [ORDERED, {"not": {"performed": "Order Completed"}}]}), CATALOG, scoped=False).sql(
        "postgres", tables
    )
    named = {table.name for table in sqlglot.parse_one(re.sub(r"%\((\w+)\)s", r":\1", text)).find_all(exp.Table)}
    assert named == set(tables.values())


def test_as_of_is_always_a_parameter() -> None:
    compiled = compile_rule(rule(ORDERED), CATALOG, scoped=False)
    assert "as_of" in compiled.placeholders
    assert "NOW" not in compiled.sql().upper()
    assert compiled.placeholders - {"as_of"} == set(compiled.params)


def test_a_rule_that_no_longer_fits_the_catalogue_is_not_compiled() -> None:
    with pytest.raises(RuleErrors):
        compile_rule(rule({"not": {"in_segment": "loyal"}}), Catalog(), scoped=False)


def test_only_positive_leaves_are_compiled_by_themselves() -> None:
    negative = rule({"trait": "text", "op": "missing"})
    assert isinstance(negative, Leaf)
    with pytest.raises(ValueError, match="not a positive leaf"):
        compile_leaf(negative, CATALOG, scoped=False)  # type: ignore[arg-type]


def test_a_table_may_be_named_with_its_schema() -> None:
    compiled = compile_rule(rule(ORDERED), CATALOG, scoped=False)
    assert 'FROM "lake"."cdp"."event"' in compiled.sql("postgres", {"event": "lake.cdp.event"})

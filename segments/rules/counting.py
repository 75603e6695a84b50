"""Several rules, such as the parts of one, as one query that counts of how many people each is true.

How a rule and its leaves become queries is in `segments.rules.compile`.
"""

from collections.abc import Collection

from sqlglot import exp

from segments.rules.algebra import leaves, positive
from segments.rules.catalog import Catalog
from segments.rules.compile import MOST_TOGETHER, Compiled, Compiler, condition, refuse_errors
from segments.rules.nodes import Leaf, PositiveLeaf, Rule


def compile_counts(rules: Collection[Rule], catalog: Catalog) -> Compiled:
    """One row: how many people there are, then of how many each of the rules is true, in their order.

    A leaf that several of the rules have is looked up once. Who is found by which leaves is gathered as bits, so that the
    people are joined to it once and not to each leaf: the parts of one rule cost little more than the whole.

    Raises:
        RuleErrors: one of the rules doesn't fit the catalogue (any more).
    """
    for rule in rules:
        refuse_errors(rule, catalog)
    compiler = Compiler(catalog, scoped=False)
    found = list(dict.fromkeys(leaf for rule in rules for leaf in leaves(rule)))
    query = exp.select(exp.Count(this=exp.Star())).from_("profile", copy=False)
    if found:
        partner = exp.EQ(this=exp.column("profile_id", "found"), expression=exp.column("id", "profile"))
        query.join(_gathered(found, compiler).subquery("found", copy=False), on=partner, join_type="left", copy=False)
    holds: dict[Leaf, exp.Expr] = {leaf: _bit_is_set(position) for position, leaf in enumerate(found)}
    for rule in rules:
        where = exp.Where(this=condition(positive(rule), holds))
        query.select(exp.Filter(this=exp.Count(this=exp.Star()), expression=where), copy=False)
    return Compiled(expression=query, params=compiler.bind.params)


def _gathered(found: list[PositiveLeaf], compiler: Compiler) -> exp.Select:
    """Who any of the leaves is true of, with the leaves as bits, `MOST_TOGETHER` to a column."""
    columns = [f"holds_{number}" for number in range((len(found) - 1) // MOST_TOGETHER + 1)]
    each = []
    for position, leaf in enumerate(found):
        number, bit = divmod(position, MOST_TOGETHER)
        bits = [_whole(1 << bit if one == number else 0) for one in range(len(columns))]
        each.append(compiler.leaf(leaf).select(*map(exp.alias_, bits, columns), copy=False))
    together = each[0] if len(each) == 1 else exp.union(*each, distinct=False, copy=False)
    gathered = exp.select(exp.column("profile_id", "each")).from_(together.subquery("each", copy=False), copy=False)
    for column in columns:
        bits_of_all = exp.BitwiseOrAgg(this=exp.column(column, "each"))
        gathered.select(exp.alias_(bits_of_all, column), copy=False)
    return gathered.group_by(exp.column("profile_id", "each"), copy=False)


def _bit_is_set(position: int) -> exp.Expr:
    number, bit = divmod(position, MOST_TOGETHER)
    holds = exp.func("COALESCE", exp.column(f"holds_{number}", "found"), exp.Literal.number(0))
    masked = exp.BitwiseAnd(this=holds, expression=_whole(1 << bit))
    return exp.NEQ(this=exp.Paren(this=masked), expression=exp.Literal.number(0))


def _whole(number: int) -> exp.Expr:
    return exp.cast(exp.Literal.number(number), "BIGINT")

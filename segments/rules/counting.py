"""Several rules, such as the parts of one, as one query that counts of how many people each is true.

How a rule and its leaves become queries is in `segments.rules.compile`.
"""

from collections.abc import Collection

from sqlglot import exp

from segments.rules.algebra import leaves, positive
from segments.rules.catalog import Catalog
from segments.rules.compile import (
    Compiler,
    condition,
    looks,
    refuse_errors,
)
from segments.rules.compiled import Compiled
from segments.rules.gathering import join
from segments.rules.nodes import Rule
from segments.rules.sampling import among, beside


def compile_counts(
    rules: Collection[Rule], catalog: Catalog, *, of: str | None = None, one_by_one: bool = False
) -> Compiled:
    """One row: how many people there are, then of how many each of the rules is true, in their order.

    A leaf that several of the rules have is looked up once, and the people are joined to all leaves at once
    (`segments.rules.gathering`): the parts of one rule cost little more than the whole.

    Args:
        of: count only the people whose `id` is in this table, each there once; it stands for itself, not for a logical one.
        one_by_one: ask about each of them alone (`segments.rules.sampling.beside`).

    Raises:
        RuleErrors: one of the rules doesn't fit the catalogue (any more).
    """
    for rule in rules:
        refuse_errors(rule, catalog)
    compiler = Compiler(catalog, scoped=of is not None)
    found = list(dict.fromkeys(leaf for rule in rules for leaf in leaves(rule)))
    people = exp.to_table("profile") if of is None else exp.alias_(exp.to_table(of), "profile", table=True)
    query = exp.select(exp.Count(this=exp.Star())).from_(people, copy=False)
    holds = join(compiler, query, looks(found))
    for rule in rules:
        where = exp.Where(this=condition(positive(rule), holds))
        query.select(exp.Filter(this=exp.Count(this=exp.Star()), expression=where), copy=False)
    if of is not None:
        query = beside(query) if one_by_one else among(query, of)
    return Compiled(expression=query, params=compiler.bind.params)

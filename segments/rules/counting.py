"""Several rules, such as the parts of one, as one query that counts of how many people each is true.

How a rule and its leaves become queries is in `segments.rules.compile`.
"""

from collections.abc import Collection

from sqlglot import exp

from segments.rules.algebra import leaves, positive
from segments.rules.catalog import Catalog
from segments.rules.compile import Compiled, Compiler, condition, looks, refuse_errors
from segments.rules.gathering import join
from segments.rules.nodes import Rule


def compile_counts(rules: Collection[Rule], catalog: Catalog) -> Compiled:
    """One row: how many people there are, then of how many each of the rules is true, in their order.

    A leaf that several of the rules have is looked up once, and the people are joined to all leaves at once
    (`segments.rules.gathering`): the parts of one rule cost little more than the whole.

    Raises:
        RuleErrors: one of the rules doesn't fit the catalogue (any more).
    """
    for rule in rules:
        refuse_errors(rule, catalog)
    compiler = Compiler(catalog, scoped=False)
    found = list(dict.fromkeys(leaf for rule in rules for leaf in leaves(rule)))
    query = exp.select(exp.Count(this=exp.Star())).from_("profile", copy=False)
    holds = join(compiler, query, looks(found))
    for rule in rules:
        where = exp.Where(this=condition(positive(rule), holds))
        query.select(exp.Filter(this=exp.Count(this=exp.Star()), expression=where), copy=False)
    return Compiled(expression=query, params=compiler.bind.params)

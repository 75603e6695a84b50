"""Filters on the properties of events, as conditions in SQL. What is done with the events doesn't belong here."""

from collections.abc import Collection

from sqlglot import exp

from segments.rules.binding import Bind
from segments.rules.comparisons import Filter, Joining, Where


def compile_filters(where: Collection[Where], alias: str, bind: Bind) -> list[exp.Expr]:
    """The filters on events, as conditions on the rows of a table or alias."""
    return [_filter(one, alias, bind) for one in where]


def _filter(one: Where, alias: str, bind: Bind) -> exp.Expr:
    if isinstance(one, Filter):
        value = one.comparison.kind.property_sql(exp.column("properties", alias), bind(one.property))
        return one.comparison.operator.compile(value, one.comparison.operand, bind)
    parts = compile_filters(one.parts, alias, bind)
    match one.joining:
        case Joining.ALL:
            return exp.Paren(this=exp.and_(*parts, copy=False))
        case Joining.ANY:
            return exp.Paren(this=exp.or_(*parts, copy=False))
        case Joining.NOT:
            # Two-valued: what is unknown is not so, and its negation is.
            positive = exp.Is(this=exp.Paren(this=parts[0]), expression=exp.true())
            return exp.Not(this=exp.Paren(this=positive))

"""Figures beside the thresholds of percentiles: what a percentile is, and both sides of the comparison in SQL.

Where thresholds are stored, and when they move, doesn't belong here.

An average is ranked by its first four decimals, rounded down. It is never divided out for a verdict all the same: "the
average so cut is more than 2" is "sum >= 2.0001 x count", and "at least 2" is "sum >= 2 x count".
"""

from collections.abc import Collection
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from segments.rules.compiled import logical
from segments.rules.measures import MeasuredSql
from segments.rules.nodes import Ranked
from segments.rules.operands import NUMBER_STEP, cut
from segments.rules.operators import OPERATORS

if TYPE_CHECKING:
    from segments.rules.compile import Compiler
    from segments.rules.measures import Measured

# By the order of cut averages, the one of what they are cut from, and by how many steps it is further.
_UNCUT: Final = {"gte": ("gte", 0), "lt": ("lt", 0), "gt": ("gte", 1), "lte": ("lt", 1)}


def figure_of(measured: "Measured") -> Decimal | None:
    """What is ranked of what was measured: a number with four decimals, or None."""
    if not isinstance(measured.value, Decimal):
        return None
    return measured.value if measured.times is None else cut(measured.value, measured.times)


def threshold(figures: Collection[Decimal], percentile: Decimal) -> Decimal | None:
    """The smallest of the figures that at least so many percent of them don't exceed; None of nobody's."""
    if not figures:
        return None
    rank = (len(figures) * percentile / 100).to_integral_value(ROUND_CEILING)
    return sorted(figures)[int(rank) - 1]


def compared(compiler: "Compiler", leaf: Ranked, measured: MeasuredSql) -> exp.Expr:
    """Whether what was measured of a person stands so beside the threshold; NULL, which holds of nobody, without one."""
    stored = exp.select(exp.column("value", "threshold")).from_(logical("threshold"), copy=False)
    row = exp.Literal.number(int(compiler.catalog.thresholds[leaf.ranking]))
    stored.where(exp.EQ(this=exp.column("id", "threshold"), expression=row), copy=False)
    # By a sub-select of its own, asked once for all people: what is stored may move without the text being made anew.
    bound: exp.Expr = stored.subquery(copy=False)
    operator = leaf.operator
    if measured.times is not None:
        op, steps = _UNCUT[leaf.op]
        operator = OPERATORS[op]
        if steps:
            bound = exp.Paren(this=exp.Add(this=bound, expression=exp.Literal.number(str(NUMBER_STEP))))
        bound = exp.Mul(this=bound, expression=measured.times)
    elif leaf.figure.computed.is_whole:
        # A count that somebody has is whole. Beside a numeric, every count would be cast and its index missed.
        bound = exp.cast(bound, "BIGINT")
    return operator.compile(measured.value, None, lambda _: bound)


def is_ranked(within: exp.Expr) -> exp.Expr:
    """Whether one of a person's events lies there."""
    event = exp.Case(ifs=[exp.If(this=within.copy(), true=exp.Literal.number(1))])
    return exp.GT(this=exp.Count(this=event), expression=exp.Literal.number(0))

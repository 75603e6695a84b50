"""Many leaves asked about the same people in one pass: who is found by which is gathered as bits, a row for each person.

So people are joined to it once and not to each leaf. What is asked with it (a count, a rule) doesn't belong here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlglot import exp

from segments.rules.nodes import Leaf, PositiveLeaf

if TYPE_CHECKING:
    from segments.rules.compile import Compiler

# A column is a signed number of 64 bits.
BITS: Final = 60

Look: TypeAlias = tuple[PositiveLeaf, ...]
"""Leaves that are answered together, by one look at the same records."""


def join(compiler: "Compiler", query: exp.Select, looks: Sequence[Look]) -> dict[Leaf, exp.Expr]:
    """Joins the people of the query, which reads `profile`, to what is found of them; gives what says that a leaf holds."""
    found = [leaf for look in looks for leaf in look]
    if found:
        partner = exp.EQ(this=exp.column("profile_id", "found"), expression=exp.column("id", "profile"))
        query.join(_gathered(compiler, looks).subquery("found", copy=False), on=partner, join_type="left", copy=False)
    return {leaf: _bit_is_set(position) for position, leaf in enumerate(found)}


def _gathered(compiler: "Compiler", looks: Sequence[Look]) -> exp.Select:
    """Who any of the leaves is true of, with the leaves as bits, in the order of the looks, `BITS` to a column."""
    columns = [f"holds_{number}" for number in range((sum(map(len, looks)) - 1) // BITS + 1)]
    each, position = [], 0
    for look in looks:
        each.append(_looked_up(compiler, look, position, columns))
        position += len(look)
    together = each[0] if len(each) == 1 else exp.union(*each, distinct=False, copy=False)
    gathered = exp.select(exp.column("profile_id", "each")).from_(together.subquery("each", copy=False), copy=False)
    for column in columns:
        bits_of_all = exp.BitwiseOrAgg(this=exp.column(column, "each"))
        gathered.select(exp.alias_(bits_of_all, column), copy=False)
    return gathered.group_by(exp.column("profile_id", "each"), copy=False)


def _looked_up(compiler: "Compiler", look: Look, position: int, columns: Sequence[str]) -> exp.Select:
    """The people of whom one of the leaves is true; the first of them has its bit at the position."""
    people, holds = compiler.true_of_any(look)
    bits: list[exp.Expr | None] = [None] * len(columns)
    for place, one in enumerate(holds, start=position):
        number, bit = divmod(place, BITS)
        is_set = _whole(1 << bit)
        if not isinstance(one, exp.Boolean):
            is_set = exp.Case(ifs=[exp.If(this=one.copy(), true=is_set)], default=_whole(0))
        others = bits[number]
        bits[number] = is_set if others is None else exp.BitwiseOr(this=others, expression=is_set)
    named = [exp.alias_(_whole(0) if one is None else one, column) for one, column in zip(bits, columns, strict=True)]
    return people.select(*named, copy=False)


def _bit_is_set(position: int) -> exp.Expr:
    number, bit = divmod(position, BITS)
    holds = exp.func("COALESCE", exp.column(f"holds_{number}", "found"), exp.Literal.number(0))
    masked = exp.BitwiseAnd(this=holds, expression=_whole(1 << bit))
    return exp.NEQ(this=exp.Paren(this=masked), expression=exp.Literal.number(0))


def _whole(number: int) -> exp.Expr:
    return exp.cast(exp.Literal.number(number), "BIGINT")

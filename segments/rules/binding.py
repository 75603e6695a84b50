"""Operands as named placeholders, so that nothing a user wrote ever becomes SQL text.

What the placeholders stand in doesn't belong here.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from sqlglot import exp

Bindable: TypeAlias = str | int | bool | Decimal | datetime | list[str] | list[Decimal]
Bind: TypeAlias = Callable[[Bindable], exp.Expr]

AS_OF: Final = exp.cast(exp.Placeholder(this="as_of"), "TIMESTAMPTZ")
SCOPE: Final = exp.cast(exp.Placeholder(this="scope"), "BIGINT[]")
# The two ends of a span of time of which it is asked what changed within it (`segments.rules.edges`).
T1: Final = exp.cast(exp.Placeholder(this="t1"), "TIMESTAMPTZ")
T2: Final = exp.cast(exp.Placeholder(this="t2"), "TIMESTAMPTZ")


class Binder:
    """Calling it with a value gives the placeholder that stands for it; `params` is what to send along."""

    def __init__(self) -> None:
        self.params: dict[str, Bindable] = {}

    def __call__(self, value: Bindable) -> exp.Expr:
        name = f"p{len(self.params)}"
        self.params[name] = value
        placeholder = exp.Placeholder(this=name)
        match value:
            # Drivers send text untyped, and an untyped operand leaves the choice of function to guesswork.
            case str():
                return exp.cast(placeholder, "TEXT")
            case datetime():
                return exp.cast(placeholder, "TIMESTAMPTZ")
            case [str(), *_]:
                return exp.cast(placeholder, "TEXT[]")
            case _:
                return placeholder


def is_one_of(value: exp.Expr, members: exp.Expr) -> exp.Expr:
    """`value = ANY (members)`, where members is one bound list."""
    return exp.EQ(this=value, expression=exp.Any(this=exp.Paren(this=members)))

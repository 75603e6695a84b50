"""Operands as named placeholders, so that nothing a user wrote ever becomes SQL text.

What the placeholders stand in doesn't belong here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from sqlglot import exp

Plain: TypeAlias = str | int | bool | Decimal | datetime | list[str] | list[int] | list[Decimal]


@dataclass(frozen=True, kw_only=True)
class Moving:
    """An operand that follows from `as_of`: the first of this month, the birthdays of the coming week.

    It is worked out when the query is asked, in Python, once for every engine: calendars differ between databases.
    """

    at: Callable[[datetime], Plain]
    sql_type: str


Bindable: TypeAlias = Plain | Moving
Bind: TypeAlias = Callable[[Bindable], exp.Expr]

AS_OF: Final = exp.cast(exp.Placeholder(this="as_of"), "TIMESTAMPTZ")
SCOPE: Final = exp.cast(exp.Placeholder(this="scope"), "BIGINT[]")
# The two ends of a span of time of which it is asked what changed within it (`segments.rules.edges`).
T1: Final = exp.cast(exp.Placeholder(this="t1"), "TIMESTAMPTZ")
T2: Final = exp.cast(exp.Placeholder(this="t2"), "TIMESTAMPTZ")


class Binder:
    """Calling it with a value gives the placeholder that stands for it; `params` is what to send along.

    A text that comes again, such as the name of a property, has the same placeholder: then a database sees that two
    aggregates are one.
    """

    def __init__(self) -> None:
        self.params: dict[str, Bindable] = {}
        self._texts: dict[str, str] = {}

    def __call__(self, value: Bindable) -> exp.Expr:
        name = f"p{len(self.params)}"
        if isinstance(value, str):
            name = self._texts.setdefault(value, name)
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
            case Moving():
                return exp.cast(placeholder, value.sql_type)
            case _:
                return placeholder


def at_moment(params: Mapping[str, Bindable], as_of: datetime) -> dict[str, Plain]:
    """The operands as they are at that moment, with `as_of` itself among them."""
    found = {name: value.at(as_of) if isinstance(value, Moving) else value for name, value in params.items()}
    return {**found, "as_of": as_of}


def is_one_of(value: exp.Expr, members: exp.Expr) -> exp.Expr:
    """`value = ANY (members)`, where members is one bound list."""
    return exp.EQ(this=value, expression=exp.Any(this=exp.Paren(this=members)))

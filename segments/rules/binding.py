"""Operands as named placeholders, so that nothing a user wrote ever becomes SQL text.

What the placeholders stand in doesn't belong here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
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


@dataclass(frozen=True, kw_only=True)
class Span:
    """The time `(after, until]`: a verdict as of `after` is known, the one as of `until` is wanted.

    `zone` is the workspace's, by whose calendar days and months begin. It is named by itself because moments are stored in
    UTC: were it that of one of the ends, a conversion forgotten somewhere would quietly count days in UTC.
    """

    after: datetime
    until: datetime
    zone: tzinfo | None

    def __post_init__(self) -> None:
        # Two times of one zone are compared by what its clocks show, and those go back once a year.
        object.__setattr__(self, "after", self.after.astimezone(UTC))
        object.__setattr__(self, "until", self.until.astimezone(UTC))

    def __contains__(self, moment: datetime) -> bool:
        return self.after < moment <= self.until


@dataclass(frozen=True, kw_only=True)
class Spanning:
    """An operand that follows from a span of time: the month that began in it, the birthdays that came round in it."""

    over: Callable[[Span], Plain]
    sql_type: str


Bindable: TypeAlias = Plain | Moving | Spanning
Bind: TypeAlias = Callable[[Bindable], exp.Expr]

AS_OF: Final = exp.cast(exp.Placeholder(this="as_of"), "TIMESTAMPTZ")
SCOPE: Final = exp.cast(exp.Placeholder(this="scope"), "BIGINT[]")
# The two ends of a span of time of which it is asked what changed within it (`segments.rules.edges`).
T1: Final = exp.cast(exp.Placeholder(this="t1"), "TIMESTAMPTZ")
T2: Final = exp.cast(exp.Placeholder(this="t2"), "TIMESTAMPTZ")


class Binder:
    """Calling it with a value gives the placeholder that stands for it; `params` is what to send along.

    What comes again, such as the name of a property or the beginning of a window, has the same placeholder: then a
    database sees that two aggregates are one.
    """

    def __init__(self) -> None:
        self.params: dict[str, Bindable] = {}
        self._names: dict[str | Moving | Spanning, str] = {}

    def __call__(self, value: Bindable) -> exp.Expr:
        name = f"p{len(self.params)}"
        if isinstance(value, str | Moving | Spanning):
            name = self._names.setdefault(value, name)
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
            case Moving() | Spanning():
                return exp.cast(placeholder, value.sql_type)
            case _:
                return placeholder


def at_moment(params: Mapping[str, Bindable], as_of: datetime) -> dict[str, Plain]:
    """The operands as they are at that moment, with `as_of` itself among them."""
    found: dict[str, Plain] = {"as_of": as_of}
    for name, value in params.items():
        if isinstance(value, Spanning):
            raise TypeError(f"{name} follows from a span of time, and is asked as of a moment")
        found[name] = value.at(as_of) if isinstance(value, Moving) else value
    return found


def over_span(params: Mapping[str, Bindable], span: Span) -> dict[str, Plain]:
    """The operands as they are for that span, with its ends `t1` and `t2` among them."""
    found: dict[str, Plain] = {"t1": span.after, "t2": span.until}
    for name, value in params.items():
        if isinstance(value, Moving):
            raise TypeError(f"{name} follows from a moment, and is asked over a span of time")
        found[name] = value.over(span) if isinstance(value, Spanning) else value
    return found


@cache
def before(seconds: int) -> Moving:
    """The moment so many seconds before `as_of`, or the first there is.

    Worked out before the query is planned: in SQL it isn't known until the query runs, and a planner would have to look at
    every month of events.
    """
    return Moving(at=lambda as_of: earlier(as_of.astimezone(UTC), seconds), sql_type="TIMESTAMPTZ")


def earlier(moment: datetime, seconds: int) -> datetime:
    """So many seconds before a moment in UTC; the first or the last moment there is where there is none."""
    try:
        return moment - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if seconds > 0 else datetime.max.replace(tzinfo=UTC)


def shifted(seconds: int, moment: exp.Expr = AS_OF) -> exp.Expr:
    """`as_of`, or another moment, and so many seconds more, or less."""
    if seconds == 0:
        return moment.copy()
    length = exp.Interval(this=exp.Literal.string(str(abs(seconds))), unit=exp.Var(this="SECOND"))
    return (exp.Sub if seconds < 0 else exp.Add)(this=moment.copy(), expression=length)


def is_one_of(value: exp.Expr, members: exp.Expr) -> exp.Expr:
    """`value = ANY (members)`, where members is one bound list."""
    return exp.EQ(this=value, expression=exp.Any(this=exp.Paren(this=members)))

"""Every operator of the rule language: what it accepts, what it means in Python and in SQL, how it reads in English.

All that concerns one operator stands in its class; nothing elsewhere asks which operator it has. Where a value comes
from (a trait, a property, a count) doesn't belong here.

Logic is two-valued. A positive operator is false of a missing value; its class never sees one. A negation is exactly
"not the positive one", so it is true of a missing value, and of a value of another type.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, TypeVar

from sqlglot import exp

from segments.rules.binding import AS_OF, Bind, Binder, Moving, is_one_of, shifted
from segments.rules.calendar import coming_days
from segments.rules.catalog import Type
from segments.rules.clocks import Anniversaries, Clock, Passing, month_and_day
from segments.rules.countries import COUNTRIES
from segments.rules.currencies import CURRENCIES
from segments.rules.errors import quoted
from segments.rules.folding import fold
from segments.rules.kinds import EXACT, KIND_OF_TYPE, PRESENCE, TEXT, Comparable, Kind
from segments.rules.operands import Duration, Moment, Operand
from segments.rules.patterns import compiled, printed
from segments.rules.shapes import ALL_OF, ANY_OF, LASTING, NOTHING, ONE, PAIR, REGULAR, Shape
from segments.rules.windows import Rolling

DAY: Final = 24 * 60 * 60
KNOWN_CODES: Final = {Type.COUNTRY: (frozenset(COUNTRIES), "DE"), Type.CURRENCY: (CURRENCIES, "EUR")}

NUMBERS: Final = (Type.NUMBER,)
DATES: Final = (Type.DATE,)
CODES: Final = (Type.COUNTRY, Type.CURRENCY)
TEXTS: Final = (Type.TEXT, *CODES, Type.EMAIL, Type.PHONE)
LISTS: Final = (Type.LIST,)


class Operator(ABC):
    """One operator. In `matches` and `compile` the operand has the type that `shape` and `accepts` allow."""

    key: ClassVar[str]
    label: ClassVar[str]
    accepts: ClassVar[tuple[Type, ...]]
    shape: ClassVar[Shape]
    opposite: ClassVar[str | None] = None
    amount: ClassVar[str | None] = None
    """How it qualifies a count or a sum ("at least"); None when it doesn't compare amounts."""
    negative: ClassVar[bool] = False
    looks_at_clock: ClassVar[bool] = False
    """Whether time alone can change the verdict on a value that stays as it is."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The ways in which it can read a value, without repetition."""
        if not self.shape.takes_value:
            return (PRESENCE,)
        kinds = dict.fromkeys(KIND_OF_TYPE[accepted] for accepted in self.accepts)
        return (*kinds, EXACT) if TEXT in kinds else tuple(kinds)

    def check(self, operand: Operand, declared: Type) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """What is wrong with an operand for this declared type: code, message, steps below `value`."""
        if declared in KNOWN_CODES:
            codes, example = KNOWN_CODES[declared]
            items = operand if isinstance(operand, tuple) else (operand,)
            for position, item in enumerate(items):
                if isinstance(item, str) and item.upper() not in codes:
                    steps = (position,) if isinstance(operand, tuple) else ()
                    message = f'expected a {declared} code such as "{example}"; received {quoted(item)}'
                    yield f"unknown_{declared}", message, steps

    def check_text(self, operand: Operand) -> str | None:
        """What is wrong with a text operand whatever it is compared with, or None."""
        return None

    def holds(self, value: Comparable | None, operand: Operand, as_of: datetime) -> bool:
        """The verdict on a value that may be missing."""
        return value is not None and self.matches(value, operand, as_of)

    @abstractmethod
    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        """The meaning, of a value that is there."""

    @abstractmethod
    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        """The same meaning in SQL: true, or else false or NULL."""

    def clocks(self, operand: Any) -> tuple[Clock, ...]:
        """What says, of a date, when the verdict on it may be another.

        An operator that never looks at the clock has none; one that does and doesn't say when is refused.
        """
        compiled = self.compile(exp.column("value"), operand, Binder())
        mentions_it = any(one.name == AS_OF.this.name for one in compiled.find_all(exp.Placeholder))
        if self.looks_at_clock or mentions_it:
            raise NotImplementedError(f"{self.key} looks at the clock and doesn't say when its edges pass")
        return ()

    def describe(self, said: str) -> str:
        """The predicate in English, given the operand in English."""
        return f"{self.label} {said}".rstrip()


class Negation(Operator):
    """Not the positive operator, hence true of a missing value."""

    of: ClassVar[Operator]
    negative = True

    def __init_subclass__(cls) -> None:
        cls.accepts, cls.shape, cls.opposite = cls.of.accepts, cls.of.shape, cls.of.key

    def check_text(self, operand: Operand) -> str | None:
        return self.of.check_text(operand)

    def holds(self, value: Comparable | None, operand: Operand, as_of: datetime) -> bool:
        return not self.of.holds(value, operand, as_of)

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return not self.of.matches(value, operand, as_of)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        positive = self.of.compile(value, operand, bind)
        return exp.Not(this=exp.Paren(this=exp.Is(this=exp.Paren(this=positive), expression=exp.true())))

    def clocks(self, operand: Any) -> tuple[Clock, ...]:
        return self.of.clocks(operand)


_registry: dict[str, Operator] = {}
OPERATORS: Final[Mapping[str, Operator]] = _registry
_Class = TypeVar("_Class", bound=type[Operator])


def operator(cls: _Class) -> _Class:
    """Makes the operator part of the language."""
    if cls.key in _registry:
        raise ValueError(f"two operators are called {cls.key}")
    _registry[cls.key] = cls()
    return cls


@operator
class Equals(Operator):
    key, label, shape = "equals", "is", ONE
    accepts = (*TEXTS, Type.NUMBER, Type.BOOLEAN)
    opposite, amount = "not_equals", "exactly"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value == operand)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.EQ(this=value, expression=bind(operand))


@operator
class NotEquals(Negation):
    key, label, of = "not_equals", "is not", OPERATORS["equals"]
    amount = "other than"


@operator
class AnyOf(Operator):
    key, label, shape = "any_of", "is", ANY_OF
    accepts = (*TEXTS, Type.NUMBER)
    opposite = "none_of"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return value in operand

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return is_one_of(value, bind(list(operand)))


@operator
class NoneOf(Negation):
    key, label, of = "none_of", "is none of", OPERATORS["any_of"]


def _like(value: exp.Expr, before: str, text: str, after: str, bind: Bind) -> exp.Expr:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    like = exp.Like(this=value, expression=bind(f"{before}{escaped}{after}"))
    return exp.Escape(this=like, expression=exp.Literal.string("\\"))


class LikePattern(Operator):
    """Compares text with a pattern made of the operand, in which nothing is special."""

    shape, accepts = ONE, (Type.TEXT, Type.EMAIL, Type.PHONE)
    before: ClassVar[str] = ""
    after: ClassVar[str] = ""

    def check_text(self, operand: Operand) -> str | None:
        # Every text contains the empty text: a forgotten operand would take in everybody.
        return "expected at least one character" if isinstance(operand, str) and not fold(operand) else None

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return _like(value, self.before, operand, self.after, bind)


@operator
class Contains(LikePattern):
    key, label, before, after = "contains", "contains", "%", "%"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return operand in value


@operator
class StartsWith(LikePattern):
    key, label, after = "starts_with", "starts with", "%"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value.startswith(operand))


@operator
class EndsWith(LikePattern):
    key, label, before = "ends_with", "ends with", "%"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value.endswith(operand))


@operator
class Matches(Operator):
    """A regular expression of our own small kind (see `patterns`), found anywhere in the text."""

    key, label, shape, accepts = "matches", "matches", REGULAR, (Type.TEXT, Type.EMAIL, Type.PHONE)

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return compiled(operand.text, folded=operand.folded).search(value) is not None

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.RegexpLike(this=value, expression=bind(printed(operand.text, folded=operand.folded)))


@operator
class AtDomain(Operator):
    """The part of an email address after the @, subdomains not included."""

    key, label, shape, accepts = "at_domain", "is at", ANY_OF, (Type.EMAIL,)

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return any(value.endswith(f"@{domain}") for domain in operand)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.or_(*(_like(value.copy(), "%", f"@{domain}", "", bind) for domain in operand), copy=False)


@operator
class GreaterThan(Operator):
    key, label, shape, accepts = "gt", "is more than", ONE, NUMBERS
    opposite, amount = "lte", "more than"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value > operand)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.GT(this=value, expression=bind(operand))


@operator
class AtLeast(Operator):
    key, label, shape, accepts = "gte", "is at least", ONE, NUMBERS
    opposite, amount = "lt", "at least"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value >= operand)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.GTE(this=value, expression=bind(operand))


@operator
class LessThan(Operator):
    key, label, shape, accepts = "lt", "is less than", ONE, NUMBERS
    opposite, amount = "gte", "less than"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value < operand)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.LT(this=value, expression=bind(operand))


@operator
class AtMost(Operator):
    key, label, shape, accepts = "lte", "is at most", ONE, NUMBERS
    opposite, amount = "gt", "at most"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value <= operand)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.LTE(this=value, expression=bind(operand))


@operator
class BetweenBounds(Operator):
    """Both bounds belong to it: numbers from low to high, days from the first to the last, whole."""

    key, label, shape, accepts = "between", "is between", PAIR, (*NUMBERS, *DATES)
    opposite, amount = "not_between", "between"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        low, high = operand
        if isinstance(low, Moment):
            return bool(low.start <= value < high.end)
        return bool(low <= value <= high)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        low, high = operand
        if isinstance(low, Moment):
            return exp.and_(
                exp.GTE(this=value, expression=bind(low.start)),
                exp.LT(this=value.copy(), expression=bind(high.end)),
                copy=False,
            )
        return exp.Between(this=value, low=bind(low), high=bind(high))


@operator
class NotBetween(Negation):
    key, label, of = "not_between", "is not between", OPERATORS["between"]
    amount = "not between"


@operator
class Before(Operator):
    """Before the day or the instant begins."""

    key, label, shape, accepts = "before", "is before", ONE, DATES

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value < operand.start)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.LT(this=value, expression=bind(operand.start))


@operator
class After(Operator):
    """After the day or the instant is over."""

    key, label, shape, accepts = "after", "is after", ONE, DATES

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value >= operand.end)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.GTE(this=value, expression=bind(operand.end))


@operator
class WithinLast(Operator):
    """In `[as_of - duration, as_of)`: what lies in the future is not within the last days."""

    key, label, shape, accepts, looks_at_clock = "within_last", "is within the last", LASTING, DATES, True

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return Rolling(operand).contains(value, as_of)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return Rolling(operand).compile(value, bind)

    def clocks(self, operand: Any) -> tuple[Clock, ...]:
        return Rolling(operand).clocks()


@operator
class WithinNext(Operator):
    """In `[as_of, as_of + duration)`."""

    key, label, shape, accepts, looks_at_clock = "within_next", "is within the next", LASTING, DATES, True

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(timedelta(0) <= value - as_of < operand.length)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.and_(
            exp.GTE(this=value.copy(), expression=AS_OF.copy()),
            exp.LT(this=value.copy(), expression=shifted(operand.seconds)),
            copy=False,
        )

    def clocks(self, operand: Any) -> tuple[Clock, ...]:
        return Passing(), Passing(-operand.seconds)


@operator
class Anniversary(Operator):
    """The day and month come round within so many days, today the first, by the workspace's calendar."""

    key, label, shape, accepts, looks_at_clock = "anniversary", "has its anniversary in the next", LASTING, DATES, True

    def check(self, operand: Operand, declared: Type) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        if isinstance(operand, Duration) and (operand.seconds % DAY or operand.seconds > 366 * DAY):
            yield "not_whole_days", "anniversaries are looked for in whole days, at most 366", ()

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        # A date is stored as midnight in UTC.
        day = value.astimezone(UTC)
        return day.month * 100 + day.day in coming_days(as_of, operand.seconds // DAY)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        days = Moving(at=lambda as_of: coming_days(as_of, operand.seconds // DAY), sql_type="INT[]")
        return is_one_of(month_and_day(value), bind(days))

    def clocks(self, operand: Any) -> tuple[Clock, ...]:
        return (Anniversaries(operand.seconds // DAY),)


@operator
class ContainsAny(Operator):
    key, label, shape, accepts = "contains_any", "includes", ANY_OF, LISTS
    opposite = "contains_none"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return not value.isdisjoint(operand)

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.ArrayOverlaps(this=value, expression=bind(list(operand)))


@operator
class ContainsNone(Negation):
    key, label, of = "contains_none", "includes none of", OPERATORS["contains_any"]


@operator
class ContainsAll(Operator):
    key, label, shape, accepts = "contains_all", "includes", ALL_OF, LISTS

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return bool(value.issuperset(operand))

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return exp.ArrayContainsAll(this=value, expression=bind(list(operand)))


@operator
class Exists(Operator):
    """Any value but null will do, whatever its type."""

    key, label, shape, accepts = "exists", "is known", NOTHING, tuple(Type)
    opposite = "missing"

    def matches(self, value: Any, operand: Any, as_of: datetime) -> bool:
        return True

    def compile(self, value: exp.Expr, operand: Any, bind: Bind) -> exp.Expr:
        return value


@operator
class Missing(Negation):
    key, label, of = "missing", "is not known", OPERATORS["exists"]

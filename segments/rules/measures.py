"""What can be computed over the events of one person: each measure with its meaning in Python and in SQL.

All that concerns one measure stands in its class. Which events are looked at (their name, filters and window) doesn't
belong here, nor what the result is compared with.

Counts and sums over nothing are 0; every other measure over nothing is missing, of which a positive comparison is false.
An average is never divided out: "average > 10" is "sum > 10 x count", exact on every engine.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from sqlglot import exp

from segments.rules import dialects
from segments.rules.binding import Bind, Moving
from segments.rules.clocks import Clock
from segments.rules.kinds import DATE, NUMBER, SCALARS, Comparable, Kind
from segments.rules.operands import Duration, number_in_range
from segments.rules.windows import Rolling

if TYPE_CHECKING:
    from segments.rules.evaluate import Occurrence
    from segments.rules.nodes import Performed

WEEK: Final = timedelta(weeks=1)
RATES: Final = {"day": timedelta(days=1), "week": WEEK}
MAX_PERIODS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A result in Python. What it is compared with is first multiplied by ``times``."""

    value: Comparable | None
    times: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class MeasuredSql:
    """A result in SQL, over the table `event` grouped by person; ``times`` as above."""

    value: exp.Expr
    times: exp.Expr | None = None


class Measure(ABC):
    """One measure."""

    key: ClassVar[str]
    noun: ClassVar[str]
    """How it reads before "of Order Completed"."""
    takes_property: ClassVar[bool] = False
    needs_property: ClassVar[bool] = False
    is_whole: ClassVar[bool] = False
    kinds: ClassVar[tuple[Kind, ...]] = (NUMBER,)
    over_nothing: ClassVar[Comparable | None] = None

    @abstractmethod
    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        """The result over these events, which are in the order in which they happened."""

    @abstractmethod
    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        """The same in SQL; over the events of the group, or those of them ``only`` is true of."""

    def from_total(self) -> exp.Expr | None:
        """The result for all time, from the running totals (table `event_total`); None when they don't have it."""
        return None

    def clocks(self, leaf: "Performed") -> tuple[Clock, ...]:
        """What says when an event of the leaf may make another difference to it.

        Raises:
            NotImplementedError: part of the leaf looks at the clock without saying when its edges pass.
        """
        # Only dates have clocks; a figure that was compared with the clock in another way would have to say so here.
        leaf.amount.operator.clocks(leaf.amount.operand)
        return leaf.within.clocks()


_registry: dict[str, Measure] = {}
MEASURES: Final[Mapping[str, Measure]] = _registry
_Class = TypeVar("_Class", bound=type[Measure])


def measure(cls: _Class) -> _Class:
    """Makes the measure part of the language."""
    if cls.key in _registry:
        raise ValueError(f"two measures are called {cls.key}")
    _registry[cls.key] = cls()
    return cls


@measure
class Count(Measure):
    """How many events; with a rate, per day or week of a rolling window."""

    key, noun, is_whole, over_nothing = "count", "number", True, Decimal(0)

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        if leaf.per is None:
            return Measured(value=Decimal(len(events)))
        return Measured(value=Decimal(len(events) * _seconds(RATES[leaf.per])), times=Decimal(_window(leaf)))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        count: exp.Expr = exp.Count(this=_only(only, _whole(1)) if only else exp.Star())
        if leaf.per is None:
            return MeasuredSql(value=count)
        return MeasuredSql(
            value=exp.Mul(this=count, expression=_whole(_seconds(RATES[leaf.per]))), times=_whole(_window(leaf))
        )

    def from_total(self) -> exp.Expr | None:
        return exp.column("count", "event_total")


@measure
class Sum(Measure):
    """The sum of a property, or of the events' value in the reporting currency. What isn't a number adds nothing."""

    key, noun, takes_property, over_nothing = "sum", "total", True, Decimal(0)

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        return Measured(value=sum(_numbers(leaf, events), Decimal(0)))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        return MeasuredSql(value=_or_nothing(exp.Sum(this=_number(leaf, only, bind))))

    def from_total(self) -> exp.Expr | None:
        return _or_nothing(exp.column("value_sum", "event_total"))


@measure
class Average(Measure):
    """The average over the events that have the number."""

    key, noun, takes_property = "average", "average", True

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        numbers = _numbers(leaf, events)
        return Measured(value=sum(numbers, Decimal(0)) if numbers else None, times=Decimal(len(numbers)))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        number = _number(leaf, only, bind)
        return MeasuredSql(value=exp.Sum(this=number), times=exp.Count(this=number.copy()))


@measure
class Smallest(Measure):
    key, noun, takes_property = "min", "smallest", True

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        return Measured(value=min(_numbers(leaf, events), default=None))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        return MeasuredSql(value=exp.Min(this=_number(leaf, only, bind)))


@measure
class Largest(Measure):
    key, noun, takes_property = "max", "largest", True

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        return Measured(value=max(_numbers(leaf, events), default=None))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        return MeasuredSql(value=exp.Max(this=_number(leaf, only, bind)))


@measure
class Distinct(Measure):
    """How many different values a property has: texts, numbers and booleans, each by its own equality."""

    key, noun, is_whole, over_nothing = "distinct", "number of different", True, Decimal(0)
    takes_property = needs_property = True

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        raws = [event.properties.get(leaf.of or "") for event in events]
        found = {(kind.name, value) for raw in raws for kind in SCALARS if (value := kind.of_property(raw)) is not None}
        return Measured(value=Decimal(len(found)))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        name = bind(leaf.of or "")
        counts: list[exp.Expr] = []
        for kind in SCALARS:
            value = kind.property_sql(exp.column("properties", "event"), name.copy())
            value = _only(only.copy(), value) if only else value
            counts.append(exp.Count(this=exp.Distinct(expressions=[value])))
        texts, numbers, booleans = counts
        return MeasuredSql(value=exp.Add(this=exp.Add(this=texts, expression=numbers), expression=booleans))


@measure
class Days(Measure):
    """On how many days, by the calendar of the workspace."""

    key, noun, is_whole, over_nothing = "days", "number of days", True, Decimal(0)

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        return Measured(value=Decimal(len({event.occurred_at.astimezone(as_of.tzinfo).date() for event in events})))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        local = exp.AtTimeZone(
            this=exp.column("occurred_at", "event"), zone=bind(Moving(at=zone_name, sql_type="TEXT"))
        )
        day: exp.Expr = exp.cast(local, "DATE")
        return MeasuredSql(value=exp.Count(this=exp.Distinct(expressions=[_only(only, day) if only else day])))


@measure
class Periods(Measure):
    """In how many of the equal periods that a rolling window falls into: "in at least 3 of the last 4 weeks"."""

    key, noun, is_whole, over_nothing = "periods", "number of periods", True, Decimal(0)

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        found = {
            number for number, one in enumerate(_periods(leaf)) for e in events if one.contains(e.occurred_at, as_of)
        }
        return Measured(value=Decimal(len(found)))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        total: exp.Expr | None = None
        for period in _periods(leaf):
            inside = period.compile(exp.column("occurred_at", "event"), bind)
            # Nothing else than the window can narrow it, and each period lies in the window.
            was_there = exp.Max(this=exp.Case(ifs=[exp.If(this=inside, true=_whole(1))], default=_whole(0)))
            total = was_there if total is None else exp.Add(this=total, expression=was_there)
        assert total is not None, "a window has at least one period"
        return MeasuredSql(value=total)

    def clocks(self, leaf: "Performed") -> tuple[Clock, ...]:
        # Where one period ends the next begins, which is one edge.
        return tuple(dict.fromkeys(clock for period in _periods(leaf) for clock in period.clocks()))


class _MomentAt(Measure):
    """The moment of the first or the last event."""

    kinds = (DATE,)

    def clocks(self, leaf: "Performed") -> tuple[Clock, ...]:
        # Whichever of the events is the first or the last, the comparison looks at its moment.
        return *leaf.within.clocks(), *leaf.amount.operator.clocks(leaf.amount.operand)


@measure
class FirstAt(_MomentAt):
    key, noun = "first_at", "first"

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        return Measured(value=min((event.occurred_at for event in events), default=None))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        return MeasuredSql(value=exp.Min(this=_when(only)))

    def from_total(self) -> exp.Expr | None:
        return exp.column("first_at", "event_total")


@measure
class LastAt(_MomentAt):
    key, noun = "last_at", "last"

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        return Measured(value=max((event.occurred_at for event in events), default=None))

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        return MeasuredSql(value=exp.Max(this=_when(only)))

    def from_total(self) -> exp.Expr | None:
        return exp.column("last_at", "event_total")


class _ValueAt(Measure):
    """What a property was at the first or last event that had it, with the type that is asked for."""

    takes_property = needs_property = True
    descending: ClassVar[bool]

    def of(self, leaf: "Performed", events: Sequence["Occurrence"], as_of: datetime) -> Measured:
        kind = leaf.amount.kind
        values = [value for e in events if (value := kind.of_property(e.properties.get(leaf.of or ""))) is not None]
        return Measured(value=(values[-1] if self.descending else values[0]) if values else None)

    def sql(self, leaf: "Performed", only: exp.Expr | None, bind: Bind) -> MeasuredSql:
        value = leaf.amount.kind.property_sql(exp.column("properties", "event"), bind(leaf.of or ""))
        return MeasuredSql(
            value=dialects.Earliest(
                this=_only(only, value) if only else value,
                moment=exp.column("occurred_at", "event"),
                message=exp.column("message_id", "event"),
                latest=exp.Boolean(this=self.descending),
            )
        )


@measure
class First(_ValueAt):
    key, noun, descending = "first", "first", False
    kinds = SCALARS


@measure
class Last(_ValueAt):
    key, noun, descending = "last", "last", True
    kinds = SCALARS


def zone_name(as_of: datetime) -> str:
    """The name of the time zone that a moment comes in, as databases know it."""
    zone: tzinfo | None = as_of.tzinfo
    return str(getattr(zone, "key", "UTC"))


def _periods(leaf: "Performed") -> list[Rolling]:
    assert leaf.each is not None and isinstance(leaf.within, Rolling)
    each = leaf.each.seconds
    near = leaf.within.ago.seconds if leaf.within.ago else 0
    periods = []
    for number in range(leaf.within.duration.seconds // each):
        back = near + number * each
        periods.append(Rolling(leaf.each, Duration(back // 60, "minutes") if back else None))
    return periods


def _numbers(leaf: "Performed", events: Sequence["Occurrence"]) -> list[Decimal]:
    found = (e.value if leaf.of is None else number_in_range(e.properties.get(leaf.of)) for e in events)
    return [number for number in found if number is not None]


def _number(leaf: "Performed", only: exp.Expr | None, bind: Bind) -> exp.Expr:
    number: exp.Expr = exp.column("value", "event")
    if leaf.of is not None:
        number = NUMBER.property_sql(exp.column("properties", "event"), bind(leaf.of))
    return _only(only, number) if only else number


def _when(only: exp.Expr | None) -> exp.Expr:
    moment = exp.column("occurred_at", "event")
    return _only(only, moment) if only else moment


def _window(leaf: "Performed") -> int:
    assert isinstance(leaf.within, Rolling)
    return leaf.within.duration.seconds


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())


def _only(condition: exp.Expr, value: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=value)])


def _or_nothing(amount: exp.Expr) -> exp.Expr:
    return exp.func("COALESCE", amount, exp.Literal.number(0))


def _whole(number: int) -> exp.Expr:
    return exp.cast(exp.Literal.number(number), "BIGINT")

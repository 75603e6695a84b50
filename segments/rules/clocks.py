"""How time's passing alone makes a difference to what is dated: each clock says at which moments, in Python and in SQL.

A clock knows nothing of rules. Windows and operators say which clocks run on the moments they look at, `edges` on which
records of a person. What a clock gives are candidates: too many do no harm, one too few is never noticed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import ClassVar, Final

from sqlglot import exp

from segments.rules.binding import T1, T2, Bind, Span, Spanning, earlier, is_one_of
from segments.rules.calendar import anniversary, begins, days_that_turn, midnight, today

# The smallest step of time that engines can tell apart.
STEP: Final = timedelta(microseconds=1)


class Clock(ABC):
    """One way in which a dated record makes another difference from some moment on."""

    recurs: ClassVar[bool] = False
    """Whether its edges come round for ever."""

    @abstractmethod
    def edges(self, moment: datetime, span: Span) -> Iterator[datetime]:
        """The moments in the span from which on a record of this moment may make another difference, in UTC.

        Each is the first instant of the new state.
        """

    @abstractmethod
    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        """The same in SQL: whether such an edge lies in `(t1, t2]`. A range of an index, or else skipped where none can."""

    @abstractmethod
    def canonical(self) -> list[object]:
        """JSON that equal clocks share."""


# Kept, so that windows of one length have one operand.
@cache
def _before(seconds: int, *, is_first: bool) -> Spanning:
    """The moment so many seconds before the beginning of the span, or before its end."""
    return Spanning(over=lambda span: earlier(span.after if is_first else span.until, seconds), sql_type="TIMESTAMPTZ")


@dataclass(frozen=True, slots=True)
class Passing(Clock):
    """`as_of` passes the moment, so many seconds after it. With 0 seconds that is so of what is dated ahead.

    What is passed was still to come at that very instant; where it is over ``at_once``, it is so from then on.
    """

    seconds: int = 0
    at_once: bool = False

    def edges(self, moment: datetime, span: Span) -> Iterator[datetime]:
        try:
            at = moment + timedelta(seconds=self.seconds) + (timedelta(0) if self.at_once else STEP)
        except OverflowError:  # there is no such moment
            return
        if at in span:
            yield at

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        low, high = (self._before(end, bind) for end in (T1, T2))
        if self.at_once:
            return exp.and_(
                exp.GT(this=moment.copy(), expression=low), exp.LTE(this=moment.copy(), expression=high), copy=False
            )
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=low), exp.LT(this=moment.copy(), expression=high), copy=False
        )

    def _before(self, end: exp.Expr, bind: Bind) -> exp.Expr:
        """So many seconds before the end of the span: worked out here, so that a planner knows which months to look at."""
        return bind(_before(self.seconds, is_first=end is T1)) if self.seconds else end.copy()

    def canonical(self) -> list[object]:
        return ["passing", self.seconds, self.at_once]


@dataclass(frozen=True, slots=True)
class Bounded(Clock):
    """Another clock, which runs only on moments in `[start, end)`; one of the two may be open."""

    clock: Clock
    start: datetime | None
    end: datetime | None

    def edges(self, moment: datetime, span: Span) -> Iterator[datetime]:
        if (self.start is None or self.start <= moment) and (self.end is None or moment < self.end):
            yield from self.clock.edges(moment, span)

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        conditions = [self.clock.compile(moment, bind)]
        if self.start is not None:
            conditions.append(exp.GTE(this=moment.copy(), expression=bind(self.start)))
        if self.end is not None:
            conditions.append(exp.LT(this=moment.copy(), expression=bind(self.end)))
        return exp.and_(*conditions, copy=False)

    def canonical(self) -> list[object]:
        return ["bounded", self.clock.canonical(), *(one and one.isoformat() for one in (self.start, self.end))]


@dataclass(frozen=True, slots=True)
class UnitEnds(Clock):
    """The unit of the calendar in which the moment lies ends, or the one so many units later."""

    unit: str
    later: int = 0

    def edges(self, moment: datetime, span: Span) -> Iterator[datetime]:
        try:
            local = moment.astimezone(span.zone or UTC)
        except OverflowError:
            return
        at = begins(self.unit, local, later=1 + self.later)
        if at in span:
            yield at

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        # The units that end in the span lie between the one in which it begins and the one in which it ends.
        low = Spanning(over=lambda span: self._begins(span, span.after), sql_type="TIMESTAMPTZ")
        high = Spanning(over=lambda span: self._begins(span, span.until), sql_type="TIMESTAMPTZ")
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=bind(low)),
            exp.LT(this=moment.copy(), expression=bind(high)),
            copy=False,
        )

    def _begins(self, span: Span, end: datetime) -> datetime:
        return begins(self.unit, end.astimezone(span.zone or UTC), later=-self.later)

    def canonical(self) -> list[object]:
        return ["unit ends", self.unit, self.later]


@dataclass(frozen=True, slots=True)
class Anniversaries(Clock):
    """The day and month of the moment, in UTC, come into the days that lie ahead, or have been.

    Both happen at midnights of the workspace. A look at every record each midnight finds whom it concerns; between two
    midnights there is none.
    """

    days: int
    recurs = True

    def edges(self, moment: datetime, span: Span) -> Iterator[datetime]:
        birthday = moment.astimezone(UTC).date()
        first, last = _first_and_last_day(span)
        for year in range(max(first.year - 1, 1), min(last.year + 2, 9999)):
            day = anniversary(birthday, year)
            for night in (day - timedelta(days=min(self.days, 366) - 1), day + timedelta(days=1)):
                if first < night <= last:
                    yield midnight(night, span.zone)

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        # Free of any column: a planner doesn't begin to read where it is false.
        passed = Spanning(over=lambda span: len(set(_first_and_last_day(span))) > 1, sql_type="BOOLEAN")
        turning = Spanning(over=lambda span: days_that_turn(*_first_and_last_day(span), self.days), sql_type="INT[]")
        return exp.and_(bind(passed), is_one_of(month_and_day(moment), bind(turning)), copy=False)

    def canonical(self) -> list[object]:
        return ["anniversaries", self.days]


def month_and_day(moment: exp.Expr) -> exp.Expr:
    """Month * 100 + day of a moment, in UTC: a date is stored as midnight there."""
    local = exp.AtTimeZone(this=moment.copy(), zone=exp.Literal.string("UTC"))
    month, day = (exp.Extract(this=exp.Var(this=part), expression=local.copy()) for part in ("MONTH", "DAY"))
    return exp.cast(exp.Add(this=exp.Mul(this=month, expression=exp.Literal.number(100)), expression=day), "INT")


def _first_and_last_day(span: Span) -> tuple[date, date]:
    first, last = (today(one.astimezone(span.zone or UTC)) for one in (span.after, span.until))
    return first, last

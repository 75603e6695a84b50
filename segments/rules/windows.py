"""When an event must have happened to count: ever, in a rolling window, between two moments, or in a calendar period.

Every window ends at `as_of`: what is dated later has not happened yet.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final

from sqlglot import exp

from segments.rules.binding import AS_OF, T1, T2, Bind, Moving
from segments.rules.calendar import bounds
from segments.rules.operands import Duration, Moment

# The smallest step of time that engines can tell apart.
STEP: Final = timedelta(microseconds=1)


class Window(ABC):
    """A half-open span of time, given `as_of`."""

    since: ClassVar[str | None] = None
    """The name of the event with which it begins for each person, where it does."""

    @abstractmethod
    def contains(self, moment: datetime, as_of: datetime) -> bool:
        """Whether the moment lies in the window."""

    @abstractmethod
    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        """The same meaning, in SQL."""

    def edges(self, moment: datetime) -> tuple[datetime, ...]:
        """The values of `as_of` from which on an event of this moment is in the window, or no longer in it.

        Each is the first instant of the new state. A window that doesn't say when its edges pass is refused: taken for
        one without any, its people would stay members for ever.
        """
        raise NotImplementedError(f"{type(self).__name__} doesn't say when its edges pass")

    def compile_edges(self, moment: exp.Expr, bind: Bind) -> tuple[exp.Expr, ...]:
        """The same in SQL: conditions, one range of moments each, of which one holds when an edge is in `(t1, t2]`."""
        raise NotImplementedError(f"{type(self).__name__} doesn't say when its edges pass")

    @abstractmethod
    def describe(self) -> str:
        """How the window ends a sentence."""

    @abstractmethod
    def canonical(self) -> object:
        """JSON that equal windows share."""


@dataclass(frozen=True, slots=True)
class Ever(Window):
    """Any time before `as_of`, as far back as data is retained."""

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        return moment < as_of

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        return exp.LT(this=moment, expression=AS_OF.copy())

    def edges(self, moment: datetime) -> tuple[datetime, ...]:
        return later(moment, STEP)

    def compile_edges(self, moment: exp.Expr, bind: Bind) -> tuple[exp.Expr, ...]:
        return (passing(moment),)

    def describe(self) -> str:
        return "ever"

    def canonical(self) -> object:
        return None


@dataclass(frozen=True, slots=True)
class Rolling(Window):
    """`[as_of - ago - duration, as_of - ago)`: the last 30 days, or the 30 days before those."""

    duration: Duration
    ago: Duration | None = None

    @property
    def reach(self) -> int:
        """How far back it goes, in seconds."""
        return self.duration.seconds + (self.ago.seconds if self.ago else 0)

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        # Differences of datetimes can't overflow; `as_of - length` could.
        near = self.ago.length if self.ago else timedelta(0)
        return near < as_of - moment <= near + self.duration.length

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        end = shifted(-self.ago.seconds) if self.ago else AS_OF.copy()
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=shifted(-self.reach)),
            exp.LT(this=moment.copy(), expression=end),
        )

    def edges(self, moment: datetime) -> tuple[datetime, ...]:
        near = self.ago.length if self.ago else timedelta(0)
        return later(moment, near + STEP) + later(moment, near + self.duration.length + STEP)

    def compile_edges(self, moment: exp.Expr, bind: Bind) -> tuple[exp.Expr, ...]:
        return passing(moment, self.ago.seconds if self.ago else 0), passing(moment, self.reach)

    def describe(self) -> str:
        return f"in the {self.duration} before the last {self.ago}" if self.ago else f"in the last {self.duration}"

    def canonical(self) -> object:
        return [self.duration.seconds, self.ago.seconds] if self.ago else self.duration.seconds


@dataclass(frozen=True, slots=True)
class Between(Window):
    """`[start, end)`, both the first instant of what was written, and before `as_of`; one of them may be open."""

    start: Moment | None
    end: Moment | None

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        return (
            moment < as_of
            and (self.start is None or self.start.start <= moment)
            and (self.end is None or moment < self.end.start)
        )

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        return exp.and_(*self._bounds(moment, bind), exp.LT(this=moment.copy(), expression=AS_OF.copy()))

    def edges(self, moment: datetime) -> tuple[datetime, ...]:
        is_within = (self.start is None or self.start.start <= moment) and (self.end is None or moment < self.end.start)
        return later(moment, STEP) if is_within else ()

    def compile_edges(self, moment: exp.Expr, bind: Bind) -> tuple[exp.Expr, ...]:
        return (exp.and_(*self._bounds(moment, bind), passing(moment)),)

    def _bounds(self, moment: exp.Expr, bind: Bind) -> list[exp.Expr]:
        found: list[exp.Expr] = []
        if self.start is not None:
            found.append(exp.GTE(this=moment.copy(), expression=bind(self.start.start)))
        if self.end is not None:
            found.append(exp.LT(this=moment.copy(), expression=bind(self.end.start)))
        return found

    def describe(self) -> str:
        start = f"from {self.start.text}" if self.start else ""
        end = f"until before {self.end.text}" if self.end else "on"
        return f"{start} {end}".strip() if self.start else f"before {self.end.text}" if self.end else "ever"

    def canonical(self) -> object:
        return [moment and moment.start.isoformat() for moment in (self.start, self.end)]


@dataclass(frozen=True, slots=True)
class Calendar(Window):
    """A day, week, month, quarter or year by the calendar of the time zone that `as_of` comes in."""

    period: str

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        start, end = bounds(self.period, as_of)
        return start <= moment < min(end, as_of)

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        start = Moving(at=lambda as_of: bounds(self.period, as_of)[0], sql_type="TIMESTAMPTZ")
        end = Moving(at=lambda as_of: min(bounds(self.period, as_of)[1], as_of), sql_type="TIMESTAMPTZ")
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=bind(start)),
            exp.LT(this=moment.copy(), expression=bind(end)),
        )

    def describe(self) -> str:
        return self.period.replace("_", " ")

    def canonical(self) -> object:
        return self.period


@dataclass(frozen=True, slots=True)
class Since(Window):
    """After each person's last event of a name, and before `as_of`. Who never did that one has no such time.

    When it began is looked up per person; `contains` and `compile` say only that it ends now.
    """

    event: str

    @property
    def since(self) -> str:  # type: ignore[override]
        return self.event

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        return moment < as_of

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        return exp.LT(this=moment, expression=AS_OF.copy())

    def describe(self) -> str:
        return f"since they last did {self.event}"

    def canonical(self) -> object:
        return {"since": self.event}


def shifted(seconds: int, moment: exp.Expr = AS_OF) -> exp.Expr:
    """`as_of`, or another moment, and so many seconds more, or less."""
    if seconds == 0:
        return moment.copy()
    length = exp.Interval(this=exp.Literal.string(str(abs(seconds))), unit=exp.Var(this="SECOND"))
    return (exp.Sub if seconds < 0 else exp.Add)(this=moment.copy(), expression=length)


def later(moment: datetime, length: timedelta) -> tuple[datetime, ...]:
    """The moment so much later; none where there is no such moment."""
    try:
        return (moment + length,)
    except OverflowError:
        return ()


def passing(moment: exp.Expr, seconds: int = 0) -> exp.Expr:
    """Whether `as_of` passes the moment, so many seconds after it, between `t1` and `t2`.

    With 0 seconds that is so of events dated ahead, which count from then on.
    """
    return exp.and_(
        exp.GTE(this=moment.copy(), expression=shifted(-seconds, T1)),
        exp.LT(this=moment.copy(), expression=shifted(-seconds, T2)),
    )

"""When an event must have happened to count: ever, in a rolling window, or between two moments.

Every window ends at `as_of`: what is dated later has not happened yet. Calendar windows (this month, yesterday)
need a time zone and don't belong here.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlglot import exp

from segments.rules.binding import AS_OF, T1, T2, Bind
from segments.rules.operands import Duration, Moment

# The smallest step of time that engines can tell apart.
STEP: Final = timedelta(microseconds=1)


class Window(ABC):
    """A half-open span of time, given `as_of`."""

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
        return (_passed_since(moment),)

    def describe(self) -> str:
        return "ever"

    def canonical(self) -> object:
        return None


@dataclass(frozen=True, slots=True)
class Rolling(Window):
    """`[as_of - duration, as_of)`."""

    duration: Duration

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        # Differences of datetimes can't overflow; `as_of - length` could.
        return moment < as_of and as_of - moment <= self.duration.length

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=self._before(AS_OF)),
            exp.LT(this=moment.copy(), expression=AS_OF.copy()),
        )

    def edges(self, moment: datetime) -> tuple[datetime, ...]:
        return later(moment, STEP) + later(moment, self.duration.length + STEP)

    def compile_edges(self, moment: exp.Expr, bind: Bind) -> tuple[exp.Expr, ...]:
        leaving = exp.and_(
            exp.GTE(this=moment.copy(), expression=self._before(T1)),
            exp.LT(this=moment.copy(), expression=self._before(T2)),
        )
        return _passed_since(moment), leaving

    def _before(self, moment: exp.Expr) -> exp.Expr:
        length = exp.Interval(this=exp.Literal.string(str(self.duration.seconds)), unit=exp.Var(this="SECOND"))
        return exp.Sub(this=moment.copy(), expression=length)

    def describe(self) -> str:
        return f"in the last {self.duration}"

    def canonical(self) -> object:
        return self.duration.seconds


@dataclass(frozen=True, slots=True)
class Between(Window):
    """`[start, end)`, both the first instant of what was written, and before `as_of`."""

    start: Moment
    end: Moment

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        return self.start.start <= moment < self.end.start and moment < as_of

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=bind(self.start.start)),
            exp.LT(this=moment.copy(), expression=bind(self.end.start)),
            exp.LT(this=moment.copy(), expression=AS_OF.copy()),
        )

    def edges(self, moment: datetime) -> tuple[datetime, ...]:
        return later(moment, STEP) if self.start.start <= moment < self.end.start else ()

    def compile_edges(self, moment: exp.Expr, bind: Bind) -> tuple[exp.Expr, ...]:
        is_within = (
            exp.GTE(this=moment.copy(), expression=bind(self.start.start)),
            exp.LT(this=moment.copy(), expression=bind(self.end.start)),
        )
        return (exp.and_(*is_within, _passed_since(moment)),)

    def describe(self) -> str:
        return f"from {self.start.text} until before {self.end.text}"

    def canonical(self) -> object:
        return [self.start.start.isoformat(), self.end.start.isoformat()]


def later(moment: datetime, length: timedelta) -> tuple[datetime, ...]:
    """The moment so much later; none where there is no such moment."""
    try:
        return (moment + length,)
    except OverflowError:
        return ()


def _passed_since(moment: exp.Expr) -> exp.Expr:
    """Whether the moment itself was passed: of events dated ahead, which count from then on."""
    return exp.and_(
        exp.GTE(this=moment.copy(), expression=T1.copy()),
        exp.LT(this=moment.copy(), expression=T2.copy()),
    )

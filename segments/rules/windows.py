"""When an event must have happened to count: ever, in a rolling window, or between two moments.

Every window ends at `as_of`: what is dated later has not happened yet. Calendar windows (this month, yesterday)
need a time zone and don't belong here.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from segments.rules.binding import AS_OF, Bind
from segments.rules.operands import Duration, Moment


class Window(ABC):
    """A half-open span of time, given `as_of`."""

    @abstractmethod
    def contains(self, moment: datetime, as_of: datetime) -> bool:
        """Whether the moment lies in the window."""

    @abstractmethod
    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        """The same meaning, in SQL."""

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
        length = exp.Interval(this=exp.Literal.string(str(self.duration.seconds)), unit=exp.Var(this="SECOND"))
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=exp.Sub(this=AS_OF.copy(), expression=length)),
            exp.LT(this=moment.copy(), expression=AS_OF.copy()),
        )

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

    def describe(self) -> str:
        return f"from {self.start.text} until before {self.end.text}"

    def canonical(self) -> object:
        return [self.start.start.isoformat(), self.end.start.isoformat()]

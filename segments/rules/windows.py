"""When an event must have happened to count: ever, in a rolling window, between two moments, or in a calendar period.

Every window ends at `as_of`: what is dated later has not happened yet.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from sqlglot import exp

from segments.rules.binding import AS_OF, Bind, Moving, before
from segments.rules.calendar import PERIODS, bounds
from segments.rules.clocks import Bounded, Clock, Passing, UnitEnds
from segments.rules.operands import Duration, Moment


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

    def begins(self, bind: Bind) -> exp.Expr | None:
        """The first moment that can lie in it, in SQL; None where there is none."""
        return None

    def clocks(self) -> tuple[Clock, ...]:
        """What says when an event comes into the window, and when it is no longer in it.

        A window that doesn't say so is refused: taken for one without edges, its people would stay members for ever.
        """
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

    def clocks(self) -> tuple[Clock, ...]:
        return (Passing(),)

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
        end = bind(before(self.ago.seconds)) if self.ago else AS_OF.copy()
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=bind(before(self.reach))),
            exp.LT(this=moment.copy(), expression=end),
            copy=False,
        )

    def begins(self, bind: Bind) -> exp.Expr | None:
        return bind(before(self.reach))

    def clocks(self) -> tuple[Clock, ...]:
        return Passing(self.ago.seconds if self.ago else 0), Passing(self.reach)

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
        found: list[exp.Expr] = []
        if self.start is not None:
            found.append(exp.GTE(this=moment.copy(), expression=bind(self.start.start)))
        if self.end is not None:
            found.append(exp.LT(this=moment.copy(), expression=bind(self.end.start)))
        return exp.and_(*found, exp.LT(this=moment.copy(), expression=AS_OF.copy()), copy=False)

    def begins(self, bind: Bind) -> exp.Expr | None:
        return None if self.start is None else bind(self.start.start)

    def clocks(self) -> tuple[Clock, ...]:
        start, end = (None if one is None else one.start for one in (self.start, self.end))
        return (Bounded(Passing(), start, end),)

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
        end = Moving(at=lambda as_of: min(bounds(self.period, as_of)[1], as_of), sql_type="TIMESTAMPTZ")
        return exp.and_(
            exp.GTE(this=moment.copy(), expression=self.begins(bind)),
            exp.LT(this=moment.copy(), expression=bind(end)),
            copy=False,
        )

    def begins(self, bind: Bind) -> exp.Expr | None:
        return bind(Moving(at=lambda as_of: bounds(self.period, as_of)[0], sql_type="TIMESTAMPTZ"))

    def clocks(self) -> tuple[Clock, ...]:
        unit, back = PERIODS[self.period]
        return UnitEnds(unit, back - 1) if back else Passing(), UnitEnds(unit, back)

    def describe(self) -> str:
        return self.period.replace("_", " ")

    def canonical(self) -> object:
        return self.period


@dataclass(frozen=True, slots=True)
class Since(Window):
    """After each person's last event of a name, and before `as_of`. Who never did that one has no such time.

    When it began is looked up per person; `contains`, `compile` and `clocks` say only that it ends now.
    """

    event: str

    @property
    def since(self) -> str:  # type: ignore[override]
        return self.event

    def contains(self, moment: datetime, as_of: datetime) -> bool:
        return moment < as_of

    def compile(self, moment: exp.Expr, bind: Bind) -> exp.Expr:
        return exp.LT(this=moment, expression=AS_OF.copy())

    def clocks(self) -> tuple[Clock, ...]:
        return (Passing(),)

    def describe(self) -> str:
        return f"since they last did {self.event}"

    def canonical(self) -> object:
        return {"since": self.event}

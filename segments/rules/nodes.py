"""A rule as a tree of frozen values: groups over leaves. A tree that makes no sense can't be built.

Reading JSON, asking the catalogue and running a rule don't belong here.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Final, TypeAlias

from segments.rules.comparisons import Comparison, Where
from segments.rules.kinds import EXACT, NUMBER, PRESENCE
from segments.rules.measures import MEASURES, Measure
from segments.rules.operands import Duration, canonical
from segments.rules.operators import OPERATORS, Operator
from segments.rules.windows import Ever, Rolling, Window

VERSION: Final = 1
EVER: Final = Ever()
ORDERS: Final = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, eq=False)
class Leaf:
    """A condition that is evaluated by itself. Leaves that mean the same have the same `key`, and are equal."""

    @cached_property
    def key(self) -> str:
        """A stable name, equal for equal conditions: fit for a dictionary, a log line or a stored cache."""
        return json.dumps(self.canonical(), separators=(",", ":"))

    def canonical(self) -> list[object]:
        raise NotImplementedError

    @property
    def traits(self) -> frozenset[str]:
        """The traits whose change may change the verdict."""
        return frozenset()

    @property
    def events(self) -> frozenset[str]:
        """The names of the events whose coming may change the verdict."""
        return frozenset()

    @property
    def segments(self) -> frozenset[str]:
        """The segments whose members the verdict goes by."""
        return frozenset()

    @property
    def rankings(self) -> frozenset[str]:
        """The rankings whose thresholds the verdict goes by."""
        return frozenset()

    @property
    def scores(self) -> frozenset[str]:
        """The scores, by "kind.key", whose change may change the verdict."""
        return frozenset()

    @property
    def lists(self) -> frozenset[str]:
        """The static lists whose people the verdict goes by."""
        return frozenset()

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes that the verdict asks for permission of."""
        return frozenset()

    @property
    def is_time_dependent(self) -> bool:
        """Whether time alone can change the verdict."""
        return bool(self.events)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leaf) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trait(Leaf):
    """A condition on the value of a trait."""

    trait: str
    comparison: Comparison

    def canonical(self) -> list[object]:
        return ["trait", self.trait, *self.comparison.stored.canonical()]

    @property
    def traits(self) -> frozenset[str]:
        return frozenset((self.trait,))

    @property
    def is_time_dependent(self) -> bool:
        return self.comparison.operator.looks_at_clock


@dataclass(frozen=True, kw_only=True, eq=False)
class Performed(Leaf):
    """A condition on what is measured over the events of a name that a person has in a window.

    Attributes:
        measure: a key of `MEASURES`.
        of: the property that is measured; None for the events' value in the reporting currency.
        where: all of it must hold of an event for it to be counted.
        per: "day" or "week": the count is compared as a rate over the rolling window.
        each: the length of the periods that are counted.
    """

    event: str
    amount: Comparison
    measure: str = "count"
    of: str | None = None
    where: tuple[Where, ...] = ()
    within: Window = EVER
    per: str | None = None
    each: Duration | None = None

    def __post_init__(self) -> None:
        measure = self.computed
        if self.amount.kind not in measure.kinds:
            raise ValueError(f"{self.amount.op} doesn't compare what {self.measure} gives")
        if (self.of is not None and not measure.takes_property) or (self.of is None and measure.needs_property):
            raise ValueError(f"{self.measure} is of a property only where it takes one")
        if (self.per is not None) and (self.measure != "count" or not isinstance(self.within, Rolling)):
            raise ValueError("only a count in a rolling window has a rate")
        if (self.measure == "periods") != (self.each is not None):
            raise ValueError("periods have a length")

    @property
    def computed(self) -> Measure:
        return MEASURES[self.measure]

    @property
    def holds_of_nothing(self) -> bool:
        """Whether it is true of a person without any such event. (What is missing has no time.)"""
        return self.amount.holds(self.computed.over_nothing, datetime.min.replace(tzinfo=UTC))

    @property
    def events(self) -> frozenset[str]:
        return frozenset(name for name in (self.event, self.within.since) if name is not None)

    def canonical(self) -> list[object]:
        filters = sorted((one.canonical() for one in self.where), key=json.dumps)
        more = [one for one in (self.per, self.each and self.each.seconds) if one is not None]
        return [
            "performed",
            self.event,
            self.measure,
            self.of,
            *self.amount.canonical(),
            filters,
            self.within.canonical(),
            *more,
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared(Leaf):
    """What is measured over one kind of event, compared with what is measured over another.

    Attributes:
        left: its amount says nothing; neither does that of ``right``.
        op: one of `ORDERS`.
        times: ``right`` counts so many times.
    """

    left: Performed
    op: str
    right: Performed
    times: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        if self.op not in ORDERS or any(side.computed.kinds != (NUMBER,) for side in (self.left, self.right)):
            raise ValueError("only numbers are compared with each other, by their order")

    @property
    def operator(self) -> Operator:
        return OPERATORS[self.op]

    @property
    def opposite(self) -> "Compared":
        assert self.operator.opposite is not None, "each order has one"
        return replace(self, op=self.operator.opposite)

    @property
    def holds_of_nothing(self) -> bool:
        """Whether it is true of a person with none of the events."""
        left, right = (side.computed.over_nothing for side in (self.left, self.right))
        return (
            left is not None
            and right is not None
            and self.operator.matches(left, right, datetime.min.replace(tzinfo=UTC))
        )

    @property
    def events(self) -> frozenset[str]:
        return self.left.events | self.right.events

    def canonical(self) -> list[object]:
        return ["compared", self.left.canonical(), self.op, self.right.canonical(), canonical(self.times)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked(Leaf):
    """What is measured over a person's events, beside the threshold of a percentile: "among the top 10 %".

    Ranked is who has at least one such event, and a figure. It is false of everybody else, whatever the order: "less than"
    is not the opposite of "at least". The threshold is a figure that somebody had when the ranked were last compared.

    Attributes:
        figure: its amount says nothing.
        op: one of `ORDERS`.
        percentile: more than 0 and less than 100, with at most 2 decimals.
    """

    figure: Performed
    op: str
    percentile: Decimal

    def __post_init__(self) -> None:
        if self.op not in ORDERS or self.figure.computed.kinds != (NUMBER,) or self.figure.per is not None:
            raise ValueError("only figures that are numbers are ranked, and compared by their order")
        if not 0 < self.percentile < 100 or self.percentile % Decimal("0.01"):
            raise ValueError("a percentile lies between 0 and 100 and has at most 2 decimals")

    @property
    def operator(self) -> Operator:
        return OPERATORS[self.op]

    @cached_property
    def ranking(self) -> str:
        """A stable name of what has a threshold: figure and percentile, however they are compared."""
        return json.dumps(["ranking", self.figure.canonical(), canonical(self.percentile)], separators=(",", ":"))

    @property
    def events(self) -> frozenset[str]:
        return self.figure.events

    @property
    def rankings(self) -> frozenset[str]:
        return frozenset((self.ranking,))

    def canonical(self) -> list[object]:
        return ["ranked", self.figure.canonical(), self.op, canonical(self.percentile)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One step of a sequence: an event, at most so long after the step before it."""

    event: str
    where: tuple[Where, ...] = ()
    within: Duration | None = None

    def canonical(self) -> list[object]:
        filters = sorted((one.canonical() for one in self.where), key=json.dumps)
        return [self.event, filters, self.within and self.within.seconds]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequence(Leaf):
    """Events one after the other, perhaps with one that did not follow.

    Attributes:
        steps: in their order; each comes after the one before it, by moment and then by message id.
        missing: what did not come after the last step within its time. Until that time is over the sequence isn't true.
        same: a property that has the same value in all steps.
        within: the window in which the first step lies.
    """

    steps: tuple[Step, ...]
    missing: Step | None = None
    same: str | None = None
    within: Window = EVER

    def __post_init__(self) -> None:
        if not self.steps or len(self.steps) + (self.missing is not None) < 2:
            raise ValueError("a sequence has at least two steps")
        if self.missing is not None and self.missing.within is None:
            raise ValueError("that something did not follow is known only after a time")

    @property
    def events(self) -> frozenset[str]:
        missing = (self.missing,) if self.missing else ()
        return frozenset(step.event for step in (*self.steps, *missing))

    def canonical(self) -> list[object]:
        steps = [step.canonical() for step in self.steps]
        missing = self.missing.canonical() if self.missing else None
        return ["sequence", steps, missing, self.same, self.within.canonical()]


@dataclass(frozen=True, kw_only=True, eq=False)
class InSegment(Leaf):
    """Membership of another segment, as it stands."""

    segment: str

    def canonical(self) -> list[object]:
        return ["in_segment", self.segment]

    @property
    def segments(self) -> frozenset[str]:
        return frozenset((self.segment,))


@dataclass(frozen=True, kw_only=True, eq=False)
class Score(Leaf):
    """A condition on what the published run of a model says of the person: a number, or a label letter for letter.

    Attributes:
        score: "kind.key"; a kind has no full stop in it.
    """

    score: str
    comparison: Comparison

    def __post_init__(self) -> None:
        if self.comparison.kind not in (NUMBER, EXACT, PRESENCE):
            raise ValueError("a score is a number or a label")

    def canonical(self) -> list[object]:
        return ["score", self.score, *self.comparison.stored.canonical()]

    @property
    def scores(self) -> frozenset[str]:
        return frozenset((self.score,))


@dataclass(frozen=True, kw_only=True, eq=False)
class Bucket(Leaf):
    """A condition on the person's number in [0, 100) for a seed (`segments.rules.hashing`); everybody has one."""

    bucket: str
    comparison: Comparison

    def __post_init__(self) -> None:
        if self.comparison.kind is not NUMBER:
            raise ValueError("a bucket is a number")

    @property
    def in_hundredths(self) -> Comparison:
        """The same of whole hundredths, so that no engine need divide."""
        return self.comparison.scaled(Decimal(100))

    def canonical(self) -> list[object]:
        return ["bucket", self.bucket, *self.comparison.canonical()]


@dataclass(frozen=True, kw_only=True, eq=False)
class Consented(Leaf):
    """Whether the person permits a purpose now. Who never said anything permits what one may only object to."""

    purpose: str

    def canonical(self) -> list[object]:
        return ["consented", self.purpose]

    @property
    def purposes(self) -> frozenset[str]:
        return frozenset((self.purpose,))

    @property
    def is_time_dependent(self) -> bool:
        return True  # a permission may end


@dataclass(frozen=True, kw_only=True, eq=False)
class InList(Leaf):
    """Whether somebody put the person on a static list."""

    list_key: str

    def canonical(self) -> list[object]:
        return ["in_list", self.list_key]

    @property
    def lists(self) -> frozenset[str]:
        return frozenset((self.list_key,))


@dataclass(frozen=True)
class Everyone:
    """Every profile."""


@dataclass(frozen=True)
class _Group:
    rules: tuple["Rule", ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("a group without conditions has no meaning")


class All(_Group):
    """Every one of the rules holds."""


class Any(_Group):
    """At least one of the rules holds."""


@dataclass(frozen=True)
class Not:
    """The rule doesn't hold."""

    rule: "Rule"


PositiveLeaf: TypeAlias = (
    Trait | Performed | Compared | Sequence | Ranked | InSegment | Score | Bucket | Consented | InList
)
"""Every kind of condition. Of those that a verdict is computed by, each is false of a person of whom nothing is recorded,
but for a `Bucket`, and for `Consented` to what one may only object to: these look at every profile."""

Rule: TypeAlias = All | Any | Not | Everyone | PositiveLeaf

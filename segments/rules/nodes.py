"""A rule as a tree of frozen values: groups over leaves. A tree that makes no sense can't be built.

Reading JSON, asking the catalogue and running a rule don't belong here.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeAlias

from segments.rules.kinds import Comparable, Kind
from segments.rules.operands import Operand, canonical
from segments.rules.operators import OPERATORS, Operator
from segments.rules.windows import Ever, Window

VERSION: Final = 1
EVER: Final = Ever()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An operator with its operand, and the kind of value they are about."""

    op: str
    kind: Kind
    operand: Operand = None

    def __post_init__(self) -> None:
        if self.kind not in self.operator.kinds:
            raise ValueError(f"{self.op} doesn't compare {self.kind.name}")

    @property
    def operator(self) -> Operator:
        return OPERATORS[self.op]

    @property
    def stored(self) -> "Comparison":
        """The same with the operand in the form in which traits are stored."""
        return Comparison(op=self.op, kind=self.kind, operand=self.kind.as_stored(self.operand))

    @property
    def opposite(self) -> "Comparison":
        """True of exactly the values, missing or not, of which this one is false; needs an operator that has one."""
        if self.operator.opposite is None:
            raise ValueError(f"{self.op} has no opposite")
        return Comparison(op=self.operator.opposite, kind=self.kind, operand=self.operand)

    def holds(self, value: Comparable | None, as_of: datetime) -> bool:
        return self.operator.holds(value, self.operand, as_of)

    def said(self) -> str:
        return self.operator.shape.say(self.kind, self.operand)

    def canonical(self) -> list[object]:
        return [self.op, self.kind.name, canonical(self.operand)]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A condition on one property of an event."""

    property: str
    comparison: Comparison

    def __post_init__(self) -> None:
        if not self.property or not self.comparison.kind.in_properties:
            raise ValueError("a filter needs the name of a property, and a kind that properties have")

    def canonical(self) -> list[object]:
        return [self.property, *self.comparison.canonical()]


class Measure(StrEnum):
    """What is computed over the events of one person. Over no events both are 0."""

    COUNT = "count"
    SUM = "sum"


@dataclass(frozen=True, eq=False)
class Leaf:
    """A condition that is evaluated by itself. Leaves that mean the same have the same `key`, and are equal."""

    @cached_property
    def key(self) -> str:
        """A stable name, equal for equal conditions: fit for a dictionary, a log line or a stored cache."""
        return json.dumps(self.canonical(), separators=(",", ":"))

    def canonical(self) -> list[object]:
        raise NotImplementedError

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Performed(Leaf):
    """A condition on how many events of a name a person has in a window, or on what they add up to.

    `of` is the property that is summed; None sums the events' value in the reporting currency.
    All of the filters in `where` must hold of an event for it to be counted.
    """

    event: str
    amount: Comparison
    measure: Measure = Measure.COUNT
    of: str | None = None
    where: tuple[Filter, ...] = ()
    within: Window = EVER

    def __post_init__(self) -> None:
        if self.amount.operator.amount is None:
            raise ValueError(f"{self.amount.op} doesn't compare amounts")
        if self.of is not None and self.measure is Measure.COUNT:
            raise ValueError("a count is not of a property")

    @property
    def holds_of_nothing(self) -> bool:
        """Whether it is true of a person without any such event. (No amount looks at the clock.)"""
        return self.amount.holds(Decimal(0), datetime.min.replace(tzinfo=UTC))

    def canonical(self) -> list[object]:
        filters = sorted((one.canonical() for one in self.where), key=json.dumps)
        return [
            "performed",
            self.event,
            self.measure,
            self.of,
            *self.amount.canonical(),
            filters,
            self.within.canonical(),
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class InSegment(Leaf):
    """Membership of another segment, as it stands."""

    segment: str

    def canonical(self) -> list[object]:
        return ["in_segment", self.segment]


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


Rule: TypeAlias = All | Any | Not | Everyone | Trait | Performed | InSegment

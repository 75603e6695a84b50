"""A value beside an operand, and filters on the properties of events that are made of such comparisons.

Which conditions they stand in is in `segments.rules.nodes`, what operators mean in `segments.rules.operators`.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from segments.rules.kinds import Comparable, Kind
from segments.rules.operands import Operand, canonical, times
from segments.rules.operators import OPERATORS, Operator


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

    def scaled(self, factor: Decimal) -> "Comparison":
        """The same with its numbers multiplied."""
        return Comparison(op=self.op, kind=self.kind, operand=times(self.operand, factor))

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


class Joining(StrEnum):
    """How the filters of a group come together."""

    ALL = "all"
    ANY = "any"
    NOT = "not"


@dataclass(frozen=True, kw_only=True)
class FilterGroup:
    """Filters of which all must hold, or one, or (a single one, negated) none."""

    joining: Joining
    parts: tuple["Where", ...]

    def __post_init__(self) -> None:
        if not self.parts or (self.joining is Joining.NOT and len(self.parts) != 1):
            raise ValueError("a group of filters has at least one, a negation exactly one")

    def canonical(self) -> list[object]:
        return [self.joining, *sorted((one.canonical() for one in self.parts), key=json.dumps)]


Where: TypeAlias = Filter | FilterGroup

"""The reference engine: the verdict of a rule on one person, in plain Python.

It is what the rule language means, written to be read. Every other engine must agree with it; it looks at one person
at a time, so it serves tests and explanations. Speed doesn't belong here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from segments.rules.kinds import Value
from segments.rules.nodes import All, Any, Everyone, InSegment, Measure, Not, Performed, Rule, Trait
from segments.rules.operands import number_in_range


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """An event of a person. `value` is money in the reporting currency, None when there is none or no rate."""

    name: str
    occurred_at: datetime
    message_id: str = ""
    value: Decimal | None = None
    properties: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Person:
    """All that a rule can ask about a person. A trait that is absent or null isn't in `traits`."""

    id: int
    traits: Mapping[str, Value] = field(default_factory=dict)
    events: Sequence[Occurrence] = ()
    segments: frozenset[str] = frozenset()


def evaluate(rule: Rule, person: Person, as_of: datetime) -> bool:
    """Whether the rule is true of the person at that moment."""
    match rule:
        case All(rules):
            return all(evaluate(one, person, as_of) for one in rules)
        case Any(rules):
            return any(evaluate(one, person, as_of) for one in rules)
        case Not(inner):
            return not evaluate(inner, person, as_of)
        case Everyone():
            return True
        case InSegment(segment=segment):
            return segment in person.segments
        case Trait(trait=trait, comparison=comparison):
            value = person.traits.get(trait)
            readable = None if value is None else comparison.kind.of_trait(value)
            return comparison.stored.holds(readable, as_of)
        case Performed():
            return rule.amount.holds(measured(rule, person, as_of), as_of)


def measured(rule: Performed, person: Person, as_of: datetime) -> Decimal:
    """The count or the sum that the condition compares."""
    counted = [event for event in person.events if counts(event, rule, as_of)]
    if rule.measure is Measure.COUNT:
        return Decimal(len(counted))
    amounts = (event.value if rule.of is None else number_in_range(event.properties.get(rule.of)) for event in counted)
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def counts(event: Occurrence, rule: Performed, as_of: datetime) -> bool:
    """Whether the event is one of those that the condition counts or sums."""
    return (
        event.name == rule.event
        and rule.within.contains(event.occurred_at, as_of)
        and all(
            one.comparison.holds(one.comparison.kind.of_property(event.properties.get(one.property)), as_of)
            for one in rule.where
        )
    )

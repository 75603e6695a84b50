"""The reference engine: the verdict of a rule on one person, in plain Python.

It is what the rule language means, written to be read. Every other engine must agree with it; it looks at one person
at a time, so it serves tests and explanations. Speed doesn't belong here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from segments.rules.comparisons import Filter, Joining, Where
from segments.rules.hashing import hundredths
from segments.rules.kinds import SCALARS, Value
from segments.rules.nodes import (
    All,
    Any,
    Bucket,
    Compared,
    Consented,
    Everyone,
    InList,
    InSegment,
    Not,
    Performed,
    Ranked,
    Rule,
    Score,
    Step,
    Trait,
)
from segments.rules.nodes import Sequence as SequenceLeaf
from segments.rules.operands import product
from segments.rules.ranks import figure_of


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
    """All that a rule can ask about a person. A trait that is absent or null isn't in `traits`.

    `scores` are by "kind.key", with labels as texts. `permits` has the purposes that the person permits, each with the
    moment from which on they no longer do; None where no such moment is known. Only buckets ask for the `uuid`.
    `thresholds` has that of each ranking the rule names, None where nobody is ranked: they are the same for everybody.
    """

    id: int
    traits: Mapping[str, Value] = field(default_factory=dict)
    events: Sequence[Occurrence] = ()
    segments: frozenset[str] = frozenset()
    thresholds: Mapping[str, Decimal | None] = field(default_factory=dict)
    uuid: UUID | None = None
    scores: Mapping[str, Value] = field(default_factory=dict)
    permits: Mapping[str, datetime | None] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()


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
            measured = rule.computed.of(rule, counted(rule, person, as_of), as_of)
            amount = rule.amount if measured.times is None else rule.amount.scaled(measured.times)
            return amount.holds(measured.value, as_of)
        case Compared():
            left, right = (
                side.computed.of(side, counted(side, person, as_of), as_of) for side in (rule.left, rule.right)
            )
            if left.value is None or right.value is None:
                return False
            # Numbers by __post_init__; an average stays undivided on both sides.
            ours = product(left.value, right.times or Decimal(1))  # type: ignore[arg-type]
            theirs = product(product(right.value, left.times or Decimal(1)), rule.times)  # type: ignore[arg-type]
            return rule.operator.matches(ours, theirs, as_of)
        case SequenceLeaf():
            return _happened(rule, person, as_of)
        case Ranked():
            threshold, figure = person.thresholds[rule.ranking], ranked(rule, person, as_of)
            return threshold is not None and figure is not None and rule.operator.matches(figure, threshold, as_of)
        case Score(score=score, comparison=comparison):
            said = person.scores.get(score)
            return comparison.stored.holds(None if said is None else comparison.kind.of_trait(said), as_of)
        case Bucket(bucket=seed):
            return rule.in_hundredths.holds(Decimal(hundredths(seed, person.uuid)), as_of)
        case Consented(purpose=purpose):
            until = person.permits.get(purpose)
            return purpose in person.permits and (until is None or as_of < until)
        case InList(list_key=key):
            return key in person.lists


def ranked(leaf: Ranked, person: Person, as_of: datetime) -> Decimal | None:
    """The figure by which the person is ranked; None when they aren't: they have no such event, or no figure."""
    events = counted(leaf.figure, person, as_of)
    return figure_of(leaf.figure.computed.of(leaf.figure, events, as_of)) if events else None


def counted(leaf: Performed, person: Person, as_of: datetime) -> list[Occurrence]:
    """The person's events that the leaf looks at, in the order in which they happened."""
    began: datetime | None = None
    if leaf.within.since is not None:
        anchors = [e.occurred_at for e in person.events if e.name == leaf.within.since and e.occurred_at < as_of]
        if not anchors:
            return []
        began = max(anchors)
    found = [
        event
        for event in person.events
        if event.name == leaf.event
        and leaf.within.contains(event.occurred_at, as_of)
        and (began is None or event.occurred_at > began)
        and matches(leaf.where, event, as_of)
    ]
    return sorted(found, key=_order)


def matches(where: Sequence[Where], event: Occurrence, as_of: datetime) -> bool:
    """Whether all of the filters hold of the event."""
    return all(_matches(one, event, as_of) for one in where)


def _matches(one: Where, event: Occurrence, as_of: datetime) -> bool:
    if isinstance(one, Filter):
        comparison = one.comparison
        return comparison.holds(comparison.kind.of_property(event.properties.get(one.property)), as_of)
    verdicts = (_matches(part, event, as_of) for part in one.parts)
    match one.joining:
        case Joining.ALL:
            return all(verdicts)
        case Joining.ANY:
            return any(verdicts)
        case Joining.NOT:
            return not any(verdicts)


def _happened(leaf: SequenceLeaf, person: Person, as_of: datetime) -> bool:
    events = sorted((e for e in person.events if e.occurred_at < as_of), key=_order)
    first, *others = leaf.steps

    def fits(step: Step, event: Occurrence) -> bool:
        return event.name == step.event and matches(step.where, event, as_of)

    def follows(step: Step, event: Occurrence, previous: Occurrence) -> bool:
        in_time = step.within is None or event.occurred_at - previous.occurred_at < step.within.length
        return _order(event) > _order(previous) and in_time and fits(step, event) and _same(leaf.same, previous, event)

    reached = [e for e in events if leaf.within.contains(e.occurred_at, as_of) and fits(first, e)]
    if leaf.same is not None:
        reached = [e for e in reached if _same(leaf.same, e, e)]
    for step in others:
        reached = [e for e in events if any(follows(step, e, previous) for previous in reached)]
    if leaf.missing is None:
        return bool(reached)
    missing = leaf.missing
    assert missing.within is not None, "checked when the leaf was built"
    return any(
        last.occurred_at + missing.within.length <= as_of and not any(follows(missing, e, last) for e in events)
        for last in reached
    )


def _same(name: str | None, one: Occurrence, other: Occurrence) -> bool:
    if name is None:
        return True
    return any(
        (value := kind.of_property(one.properties.get(name))) is not None
        and value == kind.of_property(other.properties.get(name))
        for kind in SCALARS
    )


def _order(event: Occurrence) -> tuple[datetime, bytes]:
    return event.occurred_at, event.message_id.encode()

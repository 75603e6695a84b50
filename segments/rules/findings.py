"""What was found of a person where a condition of a rule looks, and what would change the verdict on it.

All that explaining knows of one kind of leaf stands here: a new one plugs in with `look` (what was found), `turn` (what
would change it) and `has_history`; without them it has just a verdict. When time will change it is in `foresight`. The tree
of a rule doesn't belong here.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import singledispatch
from typing import Any, Final

from segments.rules.catalog import Catalog
from segments.rules.evaluate import Occurrence, Person, counted, evaluate, matches
from segments.rules.foresight import adds_up
from segments.rules.kinds import NUMBER, Comparable, Kind, Number
from segments.rules.nodes import Compared, InSegment, Leaf, Performed, Sequence, Trait
from segments.rules.operands import Scalar, plain

MOST_EVIDENCE: Final = 20
# Of the measures that add up, the smallest step by which they grow.
_SMALLEST: Final[Mapping[str, Decimal]] = {"count": Decimal(1), "sum": Decimal("0.0001")}


class HintKind(StrEnum):
    """What kind of thing would turn a condition."""

    MORE_EVENTS = "more_events"
    FEWER_EVENTS = "fewer_events"
    MORE_VALUE = "more_value"
    LESS_VALUE = "less_value"
    FIGURE = "figure"
    TRAIT = "trait"
    ENTER_SEGMENT = "enter_segment"
    LEAVE_SEGMENT = "leave_segment"
    SCORE = "score"
    PERMIT = "permit"
    OBJECT = "object"
    ENTER_LIST = "enter_list"
    LEAVE_LIST = "leave_list"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """What would turn a condition into what the rule wants of it; `amount` is how many events, or how much value."""

    kind: HintKind
    sentence: str
    amount: Decimal | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was found of the person where a condition looks, beside what the condition wants.

    `actual` is a count (`is_count`), a sum, a trait's value, or whether the person is in a segment; None when nothing
    was found, and when it `is_hidden` from the reader. `events` are the newest of the `event_count` events that count,
    newest first. `turns_at` is when time alone will change the verdict, if nothing else happens until then; None: not before
    `looked_until`, and never where that is None too, unless it `is_hidden`.
    """

    said: str
    actual: object = None
    wanted: str = ""
    is_hidden: bool = False
    is_count: bool = False
    events: tuple[Occurrence, ...] = ()
    event_count: int = 0
    hint: Hint | None = None
    turns_at: datetime | None = None
    looked_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Whom and when a condition is looked at, and what the reader may see of it.

    `shown` has the JSON value of each trait as the reader may see it. `hidden` names traits and properties whose
    values they may not, `hidden_segments` the keys of segments of which they may not know who is in. `mask`
    gives text from events as the reader may see it.
    """

    person: Person
    as_of: datetime
    catalog: Catalog
    shown: Mapping[str, object] = field(default_factory=dict)
    hidden: Collection[str] = frozenset()
    hidden_segments: Collection[str] = frozenset()
    mask: Callable[[str], str] = str


@singledispatch
def has_history(leaf: Leaf) -> bool:
    """Whether what the condition looks at is known of past moments, too. Unknown is no."""
    return False


@has_history.register(Performed)
@has_history.register(Compared)
@has_history.register(Sequence)
def _(leaf: Leaf) -> bool:
    return True


# ---- What was found ------------------------------------------------------------------------------------------


@singledispatch
def look(leaf: Leaf, case: Case) -> Finding:
    """What was found of the person where the condition looks."""
    return Finding(said="")


@look.register
def _(leaf: Trait, case: Case) -> Finding:
    label = _label(leaf, case)
    comparison = leaf.comparison
    wanted = comparison.operator.describe(comparison.said())
    value = case.person.traits.get(leaf.trait)
    if value is None:
        return Finding(said=f"{label} is not known", wanted=wanted)
    if leaf.trait in case.hidden:
        return Finding(said=f"{label} is known, but hidden from you", wanted=wanted, is_hidden=True)
    actual = case.shown.get(leaf.trait)
    said = f"{label} is {_in_words(actual)}"
    if comparison.kind.of_trait(value) is None:
        said += f", which can't be read as {comparison.kind.noun}"
    return Finding(said=said, actual=actual, wanted=wanted)


@look.register
def _(leaf: Performed, case: Case) -> Finding:
    events = counted(leaf, case.person, case.as_of)
    wanted, is_hidden = _amount_said(leaf), leaf.of in case.hidden
    actual = _shown(_figure(leaf, events, case), case)
    return Finding(
        said=f"{'hidden from you' if is_hidden else _said(leaf, actual)} of {wanted}",
        actual=None if is_hidden else actual,
        wanted=wanted,
        is_hidden=is_hidden,
        is_count=leaf.computed.is_whole and leaf.per is None,
        **_evidence(events),
    )


@look.register
def _(leaf: Compared, case: Case) -> Finding:
    sides = [(side, counted(side, case.person, case.as_of)) for side in (leaf.left, leaf.right)]
    is_hidden = any(side.of in case.hidden for side, _ in sides)
    left, right = (_said(side, _figure(side, events, case)) for side, events in sides)
    times = "" if leaf.times == 1 else f"{plain(leaf.times)} times "
    together = sorted((event for _, events in sides for event in events), key=lambda event: event.occurred_at)
    return Finding(
        said="hidden from you" if is_hidden else f"{left} beside {times}{right}",
        wanted=f"{leaf.operator.label} {times}the other",
        is_hidden=is_hidden,
        **_evidence(together),
    )


@look.register
def _(leaf: Sequence, case: Case) -> Finding:
    steps = (*leaf.steps, *((leaf.missing,) if leaf.missing else ()))
    events = sorted(
        (
            event
            for event in case.person.events
            if event.occurred_at < case.as_of
            and any(event.name == step.event and matches(step.where, event, case.as_of) for step in steps)
        ),
        key=lambda event: (event.occurred_at, event.message_id),
    )
    happened = evaluate(leaf, case.person, case.as_of)
    return Finding(
        said="happened in this order" if happened else "did not happen in this order",
        actual=happened,
        **_evidence(events),
    )


def _evidence(events: list[Occurrence]) -> Any:
    """What a finding tells of these events, which are in the order in which they happened."""
    return {"events": tuple(reversed(events[-MOST_EVIDENCE:])), "event_count": len(events)}


def _figure(leaf: Performed, events: list[Occurrence], case: Case) -> Comparable | None:
    """What the condition compares: a count, an average, a moment; None over nothing where that is missing."""
    measured = leaf.computed.of(leaf, events, case.as_of)
    if isinstance(measured.value, Decimal) and measured.times is not None:
        # Verdicts never divide; here a figure is shown, to the decimals that numbers have.
        return (measured.value / measured.times).quantize(_SMALLEST["sum"]) if measured.times else None
    return measured.value


def _shown(value: Comparable | None, case: Case) -> Comparable | None:
    return case.mask(value) if isinstance(value, str) else value


@look.register
def _(leaf: InSegment, case: Case) -> Finding:
    if leaf.segment in case.hidden_segments:
        return Finding(said=f'the segment "{leaf.segment}" is hidden from you', wanted="is in it", is_hidden=True)
    is_in = leaf.segment in case.person.segments
    return Finding(
        said=f'{"is" if is_in else "is not"} in the segment "{_segment(leaf, case)}"', actual=is_in, wanted="is in it"
    )


# ---- What would turn it --------------------------------------------------------------------------------------


@singledispatch
def turn(leaf: Leaf, case: Case, *, wanted: bool) -> Hint | None:
    """What would give the condition the verdict that is wanted and that it doesn't have; None when that isn't known."""
    return None


@turn.register
def _(leaf: Trait, case: Case, *, wanted: bool) -> Hint | None:
    comparison = leaf.comparison
    prefix = ""
    if not wanted and comparison.operator.opposite is not None:
        comparison = comparison.opposite
    elif not wanted:
        prefix = "not: "
    predicate = comparison.operator.describe(comparison.said())
    return Hint(kind=HintKind.TRAIT, sentence=f"{prefix}{_label(leaf, case)} {predicate}")


@turn.register
def _(leaf: InSegment, case: Case, *, wanted: bool) -> Hint | None:
    kind = HintKind.ENTER_SEGMENT if wanted else HintKind.LEAVE_SEGMENT
    return Hint(kind=kind, sentence=f'{"enter" if wanted else "leave"} the segment "{_segment(leaf, case)}"')


@turn.register
def _(leaf: Performed, case: Case, *, wanted: bool) -> Hint | None:
    if leaf.of in case.hidden:
        return None
    actual = _figure(leaf, counted(leaf, case.person, case.as_of), case)
    events, when = _event(leaf, case), leaf.within.describe()
    of = f' "{leaf.of}"' if leaf.of is not None else " value" if leaf.computed.takes_property else ""
    if not adds_up(leaf) or not isinstance(actual, Decimal):
        said = f"{leaf.computed.noun}{of} of {events} {when}: {_amount_said(leaf)}"
        return Hint(kind=HintKind.FIGURE, sentence=said if wanted else f"not: {said}")
    nearest = _nearest(leaf, actual, case.as_of, wanted=wanted)
    if nearest is None:
        return None
    more, amount = nearest > actual, abs(nearest - actual)
    if leaf.measure == "count":
        kind = HintKind.MORE_EVENTS if more else HintKind.FEWER_EVENTS
        sentence = f"{plain(amount)} {'more' if more else 'fewer'} {events} {when}"
    else:
        kind = HintKind.MORE_VALUE if more else HintKind.LESS_VALUE
        sentence = f"{_kind_of(leaf).say(amount)} {'more' if more else 'less'}{of} of {events} {when}"
    return Hint(kind=kind, amount=amount, sentence=sentence)


def _nearest(leaf: Performed, actual: Decimal, as_of: datetime, *, wanted: bool) -> Decimal | None:
    """The count or sum, nearest to the actual one, that would have the verdict.

    Every comparison of amounts changes its mind at its operands only, so one of them, or what is next to one, is it:
    no operator need be known here.
    """
    step, operand = _SMALLEST[leaf.measure], leaf.amount.operand
    bounds = [one for one in (operand if isinstance(operand, tuple) else (operand,)) if isinstance(one, Decimal)]
    candidates = {bound + shift for bound in bounds for shift in (-step, Decimal(0), step)}
    if leaf.measure == "count":
        candidates = {one for one in candidates if one >= 0}
    fitting = [one for one in candidates if leaf.amount.holds(one, as_of) is wanted]
    # Of two that are equally near, the larger: people can do more, and can't undo.
    return min(fitting, key=lambda one: (abs(one - actual), -one), default=None)


# ---- In words ------------------------------------------------------------------------------------------------


class _Money(Number):
    """An amount in the reporting currency: two decimals, or as many as it has."""

    def say(self, item: Scalar) -> str:
        said = super().say(item)
        whole, _, decimals = said.partition(".")
        return f"{whole}.{decimals:0<2}"


_MONEY: Final = _Money()


def _kind_of(leaf: Performed) -> Kind:
    """How its figure is said; value in the reporting currency with its decimals."""
    is_value = leaf.of is None and leaf.computed.takes_property and leaf.amount.kind is NUMBER
    return _MONEY if is_value else leaf.amount.kind


def _said(leaf: Performed, figure: Comparable | None) -> str:
    if figure is None:
        return "nothing"
    return _kind_of(leaf).say(figure) if isinstance(figure, Decimal) else _in_words(figure)


def _amount_said(leaf: Performed) -> str:
    amount = leaf.amount
    operand = amount.operator.shape.say(_kind_of(leaf), amount.operand)
    if amount.operator.amount is None or amount.kind is not NUMBER:
        return amount.operator.describe(operand)
    said = f"{amount.operator.amount} {operand}"
    if leaf.per is not None:
        return f"{said} a {leaf.per}"
    return f"{said} {'time' if amount.said() == '1' else 'times'}" if leaf.measure == "count" else said


def _event(leaf: Performed, case: Case) -> str:
    info = case.catalog.events.get(leaf.event)
    label = info.label if info else leaf.event
    return f"{label} that count" if leaf.where else label


def _label(leaf: Trait, case: Case) -> str:
    info = case.catalog.traits.get(leaf.trait)
    return info.label if info else leaf.trait


def _segment(leaf: InSegment, case: Case) -> str:
    info = case.catalog.segments.get(leaf.segment)
    return info.name if info else leaf.segment


def _in_words(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case list():
            return ", ".join(_in_words(one) for one in value) or "an empty list"
        case datetime():
            return value.isoformat()
        case _:
            return str(value)

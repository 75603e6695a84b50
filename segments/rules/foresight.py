"""When time alone will turn the verdict on one condition, if nothing else happens to the person until then.

The reference engine is asked at each edge that lies ahead, the nearest first. What becomes of several rules that read each
other doesn't belong here.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from segments.rules.binding import Span
from segments.rules.edges import LAST, Source, edges_ahead, sources
from segments.rules.evaluate import Occurrence, Person, evaluate, matches
from segments.rules.nodes import InSegment, Performed, PositiveLeaf, Sequence

MOST_MOMENTS: Final = 500
# Of how many events, over all moments, a condition may be asked. In a sequence each may be held beside each other.
MOST_LOOKS: Final = 300_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreseen:
    """When the verdict turns. None: it doesn't before ``looked_until``, and never where that is None too."""

    turns_at: datetime | None
    looked_until: datetime | None = None


def foresee(leaf: PositiveLeaf, person: Person, as_of: datetime) -> Foreseen:
    """The first moment after `as_of`, in UTC, at which the verdict on the person is another one.

    `person` has no other events than those of which the condition speaks: how far it is looked depends on how many.
    """
    if isinstance(leaf, InSegment):
        return Foreseen(turns_at=None, looked_until=as_of)  # it hangs on that segment's rule
    try:
        clocked = sources(leaf)
    except NotImplementedError:  # a new kind of condition that doesn't say when
        return Foreseen(turns_at=None, looked_until=as_of)
    if isinstance(leaf, Performed) and adds_up(leaf) and len(clocked) == 1:
        return Foreseen(turns_at=_first_turn_of_total(leaf, clocked[0], person, as_of))
    how_many = len(person.events) + 1
    looks = how_many**2 if isinstance(leaf, Sequence) else how_many
    ahead = edges_ahead((leaf,), person, as_of=as_of, most=max(1, min(MOST_MOMENTS, MOST_LOOKS // looks)))
    holds = evaluate(leaf, person, as_of)
    for at in ahead.moments:
        if evaluate(leaf, person, at.astimezone(as_of.tzinfo)) is not holds:
            return Foreseen(turns_at=at)
    return Foreseen(turns_at=None, looked_until=ahead.until)


def adds_up(leaf: Performed) -> bool:
    """Whether each event adds its own share to the figure, whatever the others are."""
    return leaf.measure in ("count", "sum") and leaf.per is None


def _first_turn_of_total(leaf: Performed, source: Source, person: Person, as_of: datetime) -> datetime | None:
    """The same where shares come and go: each event is looked at when its own edges pass, however many there are."""
    span = Span(after=as_of, until=LAST, zone=as_of.tzinfo)
    total = Decimal(0)
    coming: dict[datetime, list[Occurrence]] = {}
    counts: set[int] = set()
    for event in person.events:
        if event.name != leaf.event or not matches(leaf.where, event, as_of):
            continue
        if leaf.within.contains(event.occurred_at, as_of):
            total += _share(leaf, event, as_of)
            counts.add(id(event))
        for at in {at for clock in source.clocks for at in clock.edges(event.occurred_at, span)}:
            coming.setdefault(at, []).append(event)
    holds = leaf.amount.holds(total, as_of)
    for at in sorted(coming):
        local = at.astimezone(as_of.tzinfo)
        for event in coming[at]:
            if leaf.within.contains(event.occurred_at, local) is not (id(event) in counts):
                counts ^= {id(event)}
                share = _share(leaf, event, as_of)
                total += share if id(event) in counts else -share
        if leaf.amount.holds(total, local) is not holds:
            return at
    return None


def _share(leaf: Performed, event: Occurrence, as_of: datetime) -> Decimal:
    share = leaf.computed.of(leaf, [event], as_of).value
    assert isinstance(share, Decimal), "counts and sums are numbers, over nothing too"
    return share

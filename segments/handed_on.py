"""Who hands a segment on to other systems. The apps above say it; this one can't know them."""

from collections.abc import Callable

from cdp.errors import Conflict
from segments.models import Segment

# Names, as people know them, of whatever would have nothing to hand on without this segment.
Reliant = Callable[[Segment], list[str]]
_reliant: list[Reliant] = []


def ask_before_ending(reliant: Reliant) -> None:
    """Has segments neither archived nor deleted as long as this names anything."""
    _reliant.append(reliant)


def refuse_while_handed_on(segment: Segment) -> None:
    """
    Raises:
        Conflict: other systems are handed this segment, by what the message names.
    """
    if names := [name for reliant in _reliant for name in reliant(segment)]:
        raise Conflict(
            "segment_handed_on", f"“{segment.name}” is handed on by {', '.join(names)}. Delete or change that first."
        )

"""Whether a rule would be saved over one that somebody else saved since it was drafted.

Versions are numbered, so the number of the newest one at the time of drafting says all that was known then. The check belongs
under the lock on the segment's row, where `segments.services` makes it.
"""

from typing import Any

from cdp.errors import Conflict
from segments.carrying import HandLists, carried
from segments.models import Segment, SegmentVersion


class SavedMeanwhile(Conflict):
    """Somebody saved another rule since this one was drafted; ``newest`` is theirs, ``base`` the number it was drafted from."""

    def __init__(self, base: int, newest: SegmentVersion) -> None:
        self.base, self.newest = base, newest
        super().__init__(
            "saved_meanwhile",
            f"The rule was drafted from version {base}, and version {newest.number} has been saved since. Look at that one,"
            f" and send base_version {newest.number} to save this one on top of it.",
            "/base_version",
        )


def refuse_saved_meanwhile(
    segment: Segment, rule: Any | None, *, base: int, newest: SegmentVersion | None, lists: HandLists | None
) -> None:
    """Nothing is refused where the newest version says what the base says, but for people added by hand, or says the rule itself.

    Args:
        rule: as it would be saved; None where none is, and whoever goes on takes the newest for the one they know.

    Raises:
        SavedMeanwhile: another rule would be overwritten.
    """
    if newest is None or newest.number == base or newest.rule == rule:
        return
    drafted_from = segment.versions.filter(number=base).first()
    if drafted_from is None or carried(drafted_from.rule, lists) != carried(newest.rule, lists):
        raise SavedMeanwhile(base, newest)

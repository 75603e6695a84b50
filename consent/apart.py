"""A no that comes late may be of somebody who was another person by then, as far as anybody knew: older than the yes that holds, and
not taken back by it.

Had it been known when the two became one, the stricter answer would have held. So it does now, and the difference is kept for
somebody to look into. Who was who is known to the app above, which says it here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from consent.models import ConsentConflict, ConsentState, Decision, Method, Reach
from consent.replay import newest_of

if TYPE_CHECKING:
    from consent.services import Said

NOES: Final = frozenset({Decision.DENIED, Decision.WITHDRAWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A no that is older than the yes that holds for a profile.

    Args:
        said_by: number of the identifier by which whoever said it was named; None where nobody can say.
        yes_at: when the yes was said, or last said again.
        yes_recorded_at: when it was learned.
        yes_said_by: as ``said_by``, of the yes.
        yes_came_with: the profile it came with, where it is a merge that brought it.
    """

    profile_id: int
    said_by: int | None
    yes_at: datetime
    yes_recorded_at: datetime
    yes_said_by: int | None
    yes_came_with: int | None


@dataclass(frozen=True, slots=True)
class Other:
    """Whose absorption made one of whoever said no and whoever said yes, and whether it is the absorbed who said no."""

    absorbed_id: int
    is_absorbed: bool


Ledger = Callable[[Sequence[Late]], Mapping[int, Other]]
"""By the place in the row, of those noes that another one said."""
_ledgers: list[Ledger] = []


def ask_who_was_who(ledger: Ledger) -> None:
    """Has this asked of every no that comes late."""
    _ledgers.append(ledger)


def said_by_others(said: Sequence["Said"], yeses: Mapping[tuple[int, int], ConsentState]) -> dict[int, Other]:
    """Of the noes that come late, by their place, those that whoever said the yes didn't take back by it. They are kept as
    conflicts, as if they had been known when the two became one.

    Args:
        yeses: what holds, by profile id and purpose id.
    """
    late: dict[int, Late] = {}
    for place, one in enumerate(said):
        yes = yeses.get((one.profile_id, one.purpose_id))
        if (
            one.reach == Reach.PERSON
            and one.decision in NOES
            and yes is not None
            and one.collected_at < yes.collected_at
        ):
            late[place] = Late(
                profile_id=one.profile_id,
                said_by=one.said_by,
                yes_at=newest_of(yes.record, yes.collected_at),
                yes_recorded_at=yes.record.recorded_at,
                yes_said_by=yes.record.said_by,
                yes_came_with=yes.record.evidence.get("absorbed") if yes.record.method == Method.MERGE else None,
            )
    if not late:
        return {}
    places, told = list(late), list(late.values())
    others = {places[number]: other for ledger in _ledgers for number, other in ledger(told).items()}
    ConsentConflict.objects.bulk_create(
        ConsentConflict(
            profile_id=said[place].profile_id,
            absorbed_id=other.absorbed_id,
            purpose_id=said[place].purpose_id,
            theirs=Decision.GRANTED if other.is_absorbed else said[place].decision,
            absorbed=said[place].decision if other.is_absorbed else Decision.GRANTED,
        )
        for place, other in others.items()
    )
    return others

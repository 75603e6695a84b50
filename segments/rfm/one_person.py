"""How one person stands by RFM: their scores and group in the run that is read, and since when they are in that group.

Who may look at a person, and that it is on record, is the caller's part.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from cdp.profiles.models import Score
from segments.rfm.models import RfmMove, RfmRun
from segments.rfm.services import SCORE_KIND


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Args:
    since: as of which run they came into the group; None when they are in it for as long as is known.
    before: the group that they came from; "" had none.
    """

    group: str
    description: str
    action: str
    scores: list[tuple[str, int]]
    r: int
    fm: int
    as_of: datetime
    since: datetime | None
    before: str


LABELS = {"recency": "Recency", "frequency": "Frequency", "monetary": "Spend"}


def standing_by_rfm(profile_id: int, scores: Iterable[Score]) -> Standing | None:
    """None for who isn't scored.

    Args:
        scores: theirs in the runs that are read.
    """
    mine = {one.key: one for one in scores if one.run.kind == SCORE_KIND}
    group = mine["group"].label if "group" in mine else None
    if not group:
        return None
    run = RfmRun.objects.published().filter(score_run_id=mine["group"].run_id).first()
    if run is None or run.as_of is None:
        return None
    row = next((one for one in run.as_scheme.groups if one.name == group), None)
    move = (
        RfmMove.objects.filter(profile_id=profile_id, run__published_at__lte=run.published_at)
        .select_related("run")
        .only("before", "after", "run__as_of")
        .order_by("-run__published_at", "-run_id")
        .first()
    )
    is_into = move is not None and move.after == group
    return Standing(
        group=group,
        description=row.description if row else "",
        action=row.action if row else "",
        scores=[(label, _whole(mine[key].number)) for key, label in LABELS.items() if key in mine],
        r=_whole(mine["recency"].number) if "recency" in mine else 0,
        fm=_whole(mine["fm"].number) if "fm" in mine else 0,
        as_of=run.as_of,
        since=move.run.as_of if move and is_into else None,
        before=move.before if move and is_into else "",
    )


def _whole(number: Decimal | None) -> int:
    return int(number or 0)

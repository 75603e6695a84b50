"""Which merge made one of two who had said different things, for words that come late (`consent.apart`)."""

from collections import defaultdict
from collections.abc import Sequence

from cdp.identity.ledger import insides
from cdp.identity.models import Merge
from consent.apart import Late, Other


def brought_together(late: Sequence[Late]) -> dict[int, Other]:
    """By place, the profile whose absorption made one of whoever said no and whoever said yes.

    Only what was said before counts as said by two: whoever says yes as one person says it for all they were.
    """
    merges: dict[int, list[Merge]] = defaultdict(list)
    person = insides({one.profile_id for one in late})
    for merge in Merge.objects.filter(survivor_id__in=person, undone_at__isnull=True).order_by("merged_at", "pk"):
        merges[person[merge.survivor_id]].append(merge)
    found: dict[int, Other] = {}
    for place, one in enumerate(late):
        after = (merge for merge in merges[one.profile_id] if merge.merged_at > one.yes_at)
        between = next((merge for merge in after if _stands_between(merge, one)), None)
        if between is not None:
            is_absorbed = one.said_by is None or one.said_by in between.identifier_ids
            found[place] = Other(between.absorbed_id, is_absorbed)
    return found


def _stands_between(merge: Merge, late: Late) -> bool:
    """Whether the one came along with this merge and the other didn't. Where nobody can say, it is so: the stricter answer holds."""
    came_along = set(merge.identifier_ids)
    if late.said_by is None:
        return True
    is_no = late.said_by in came_along
    if late.yes_said_by is not None:
        return is_no != (late.yes_said_by in came_along)
    if late.yes_came_with is not None:
        # What came with another merge is judged by that one, unless the no came along with this.
        return is_no != (late.yes_came_with == merge.absorbed_id)
    # Learned by then, it is the survivor's own. Learned later and said before, it may be either's.
    return is_no or late.yes_recorded_at >= merge.merged_at

"""Who moved from which group to which, as whoever may be looked at now; and forgetting people in it.

The numbers of a run's moves stand in its `flows`.
"""

from collections.abc import Collection

from django.db.models import QuerySet

from cdp.database import bound_cursor
from cdp.profiles.models import Profile
from consent.querysets import purpose_or_error
from segments.features.people import profiled
from segments.rfm.models import RfmMove, RfmRun


def movers(run: RfmRun, *, before: str | None = None, after: str | None = None) -> QuerySet[RfmMove]:
    """Those who changed group with the run, by their number: who permits it still, has not objected to profiling, and exists.

    Args:
        before, after: only from, or to, the group of this name; "" is no group; None is any.
    """
    people = profiled(Profile.objects.all(), purpose_or_error(run.purpose))
    found = RfmMove.objects.filter(run=run, profile_id__in=people.values("pk"))
    if before is not None:
        found = found.filter(before=before)
    if after is not None:
        found = found.filter(after=after)
    return found.order_by("profile_id")


def forget_moves(profile_ids: Collection[int]) -> None:
    """Takes people who are erased out of all moves; the numbers of them stay."""
    with bound_cursor() as cursor:
        cursor.execute("DELETE FROM segments_rfmmove WHERE profile_id = ANY(%s::bigint[])", [sorted(profile_ids)])

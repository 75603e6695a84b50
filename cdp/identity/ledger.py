"""Reading the ledger of merges for all who became one person, and taking its rows away with the person.

Merging and parting, which write it, are in `cdp.identity.merging`.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from cdp.database import bound_cursor
from cdp.identity.models import Merge

INSIDE = """
    WITH RECURSIVE inside(id) AS (
        SELECT %s::bigint UNION
        SELECT m.absorbed_id FROM inside i JOIN identity_merge m ON m.survivor_id = i.id AND m.undone_at IS NULL
    )
    SELECT id FROM inside
"""


INSIDES = """
    WITH RECURSIVE inside(root, id) AS (
        SELECT g.id, g.id FROM unnest(%s::bigint[]) AS g(id) UNION
        SELECT i.root, m.absorbed_id FROM inside i JOIN identity_merge m ON m.survivor_id = i.id AND m.undone_at IS NULL
    )
    SELECT id, root FROM inside
"""


def insides(profile_ids: Collection[int]) -> dict[int, int]:
    """Number of each profile that is one of these people now, themselves included -> which of them."""
    with bound_cursor() as cursor:
        cursor.execute(INSIDES, [sorted(set(profile_ids))])
        return dict(cursor.fetchall())


def all_inside(profile_id: int) -> set[int]:
    """Numbers of all profiles that are this person now: itself, those it absorbed, and those whom these had absorbed."""
    with bound_cursor() as cursor:
        cursor.execute(INSIDE, [profile_id])
        return {row[0] for row in cursor.fetchall()}


def uuids_inside(profile_ids: Collection[int]) -> set[UUID]:
    """Public ids of those of these profiles that were absorbed; whoever asks by one of them means the survivor."""
    absorbed = Merge.objects.filter(absorbed_id__in=profile_ids, undone_at__isnull=True)
    return set(absorbed.values_list("absorbed_uuid", flat=True))


NOW = """
    WITH RECURSIVE became(id) AS (
        SELECT %s::bigint UNION
        SELECT m.survivor_id FROM became b JOIN identity_merge m ON m.absorbed_id = b.id AND m.undone_at IS NULL
    )
    SELECT p.id FROM became b JOIN profiles_profile p ON p.id = b.id
"""


def now_known_as(profile_id: int) -> int | None:
    """The number of the profile that this one is by now: its own, or that of whoever absorbed it; None when they are gone."""
    with bound_cursor() as cursor:
        cursor.execute(NOW, [profile_id])
        row = cursor.fetchone()
    return row[0] if row else None


def merged_away(profile_id: int, *, at: datetime) -> datetime | None:
    """When the profile ended in another one, where it had by the moment and wasn't back by then."""
    undone_later = Q(undone_at__isnull=True) | Q(undone_at__gt=at)
    merges = Merge.objects.filter(undone_later, absorbed_id=profile_id, merged_at__lte=at)
    return merges.order_by("-merged_at").values_list("merged_at", flat=True).first()


def merges_of(profile_ids: Collection[int], *, lock: bool = False) -> set[int]:
    """Keys of the rows that speak of any of these profiles, whether undone or not.

    Args:
        lock: until the transaction ends. Whoever undoes a merge locks its row first and the people after it; so must
            whoever wants both.
    """
    of_them = Merge.objects.filter(Q(survivor_id__in=profile_ids) | Q(absorbed_id__in=profile_ids)).order_by("pk")
    return set((of_them.select_for_update() if lock else of_them).values_list("pk", flat=True))


def forget_merges(keys: Collection[int]) -> None:
    """Takes the rows away. Of one that was undone, whoever it parted from the person goes on without it."""
    Merge.objects.filter(pk__in=keys).delete()

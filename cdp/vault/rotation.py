"""Going over to another master key: everybody's key is wrapped anew, what they sealed stays as it is.

Every step may be killed and run again: the ring holds both keys from the first moment to the last.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import transaction
from django.db.models import Count

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict
from cdp.vault import sealing
from cdp.vault.models import SubjectKey
from cdp.vault.ring import Ring, alone, load_ring, replace_ring

AT_ONCE = 5_000


def rotate(path: Path, *, by: Actor) -> int:
    """How many people's keys are wrapped by a new master key now. The old one stays on the ring until `retire`.

    Raises:
        cdp.vault.ring.VaultUnusable: there is no ring.
    """
    with _alone(path):
        ring = load_ring(path).with_new_master()
        replace_ring(path, ring)
        with transaction.atomic():
            record(by=by, action="vault.key_rotated", detail={"to": ring.current})
        return rewrap(ring)


def rewrap(ring: Ring) -> int:
    """How many keys were still wrapped by another master key than the current one.

    Until none is found: a process that had read the ring a moment before may have added one meanwhile.
    """
    done = 0
    while count := _rewrap_some(ring):
        done += count
    return done


@transaction.atomic
def _rewrap_some(ring: Ring) -> int:
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT subject_id, wrapped, wrapped_by FROM vault_subjectkey WHERE wrapped IS NOT NULL AND wrapped_by <> %s"
            " ORDER BY subject_id LIMIT %s FOR UPDATE",
            [ring.current, AT_ONCE],
        )
        rows = cursor.fetchall()
        master = ring.masters[ring.current]
        anew = [
            sealing.wrap(
                sealing.unwrap(bytes(wrapped), master=ring.master(key_id), subject_id=subject_id),
                master=master,
                subject_id=subject_id,
            )
            for subject_id, wrapped, key_id in rows
        ]
        cursor.execute(
            "UPDATE vault_subjectkey k SET wrapped = g.w, wrapped_by = %s"
            "  FROM unnest(%s::bigint[], %s::bytea[]) AS g(s, w) WHERE k.subject_id = g.s AND k.wrapped IS NOT NULL",
            [ring.current, [row[0] for row in rows], anew],
        )
    return len(rows)


def wrapped_by_each() -> dict[str, int]:
    """Master key -> how many people's keys it wraps."""
    rows = SubjectKey.objects.filter(wrapped__isnull=False).values_list("wrapped_by").annotate(count=Count("pk"))
    return dict(rows)


def retire(path: Path, *, by: Actor) -> list[str]:
    """Takes the keys off the ring that wrap nothing any more, and says which: what backups of before hold can't be opened again.

    Raises:
        Conflict: something is still wrapped by one of them; rotate first.
        cdp.vault.ring.VaultUnusable: there is no ring.
    """
    with _alone(path), transaction.atomic():
        ring = load_ring(path)
        old = set(ring.masters) - {ring.current}
        if not old:
            return []
        with bound_cursor() as cursor:
            # Whoever is just making a key may have wrapped it by an old one; until they commit nobody sees that.
            cursor.execute("LOCK TABLE vault_subjectkey IN SHARE ROW EXCLUSIVE MODE")
        if still := old & wrapped_by_each().keys():
            raise Conflict("master_key_in_use", f"Keys are still wrapped by {', '.join(sorted(still))}; rotate first.")
        record(by=by, action="vault.key_retired", detail={"keys": sorted(old)})
        replace_ring(path, ring.without(old))
    return sorted(old)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    if not path.parent.is_dir():
        load_ring(path)  # which says what is wrong
    with alone(path):
        yield

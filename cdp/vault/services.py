"""Sealing for many people at once, opening, and destroying their keys for good.

`seal` belongs into the transaction that writes what it gave; within one transaction it is called once, or for people in the
order of their numbers, since whoever makes somebody's first key lets the others wait until that is decided.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict
from cdp.vault import sealing
from cdp.vault.ring import Ring, VaultUnusable, load_ring


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be sealed: whose it is, the id of the entry that will hold it, and the bytes."""

    subject_id: int
    entry_id: UUID
    payload: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was sealed: the fields are those of `Item`, with the bytes that `seal` gave."""

    subject_id: int
    entry_id: UUID
    sealed: bytes


class SubjectShredded(Conflict):
    """These people were erased, and nothing can be sealed for them any more; nothing was sealed for the others either."""

    def __init__(self, subject_ids: Iterable[int]) -> None:
        self.subject_ids = frozenset(subject_ids)
        super().__init__("subject_shredded", f"{len(self.subject_ids)} of these people were erased; leave them out.")


def ring_of_settings() -> Ring:
    """The ring that CDP_VAULT_KEY_FILE names, read anew whenever the file is another one.

    Raises:
        VaultUnusable: there is none.
    """
    if not settings.VAULT_KEY_FILE:
        raise VaultUnusable("CDP_VAULT_KEY_FILE names no file; `manage.py vault_key --new FILE` makes one.")
    path = Path(settings.VAULT_KEY_FILE)
    try:
        stat = path.stat()
    except OSError:
        return load_ring(path)  # which says what is wrong
    return _ring(path, stat.st_ino, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _ring(path: Path, inode: int, mtime_ns: int) -> Ring:
    return load_ring(path)


def seal(items: Sequence[Item]) -> list[bytes]:
    """The payloads sealed, in their order. Keys that are missing are made, all in one statement.

    Raises:
        SubjectShredded: some of the people were erased.
        VaultUnusable: there are no master keys.
        RuntimeError: outside a transaction, since a key must stand or fall with what it sealed.
    """
    if not items:
        return []
    if not connection.in_atomic_block:
        raise RuntimeError("what is sealed must be sealed in the transaction that writes it")
    keys = _keys_made({item.subject_id for item in items})
    return [sealing.seal_with(keys[item.subject_id], entry_id=item.entry_id, payload=item.payload) for item in items]


def open_sealed(*, subject_id: int, entry_id: UUID, sealed: bytes) -> bytes | None:
    """The payload; None when the person's key was destroyed, or never made where this database was set back.

    Raises:
        cdp.vault.sealing.Unopenable: the bytes are not what was sealed for this entry.
        VaultUnusable: the master key that wraps the person's is not there.
    """
    return open_all([Sealed(subject_id, entry_id, sealed)])[0]


def open_all(items: Sequence[Sealed]) -> list[bytes | None]:
    """`open_sealed` for many, in their order, by one statement."""
    if not items:
        return []
    keys = _keys({item.subject_id for item in items})
    return [
        sealing.open_with(key, entry_id=item.entry_id, sealed=bytes(item.sealed))
        if (key := keys.get(item.subject_id)) is not None
        else None
        for item in items
    ]


@transaction.atomic
def destroy(*, subject_ids: Collection[int], by: Actor) -> int:
    """How many keys were destroyed by this: people who had none are marked too, so that none is ever made for them.

    The bytes are gone from the live rows. How long the server's own log and backups keep them stands in the guide.
    """
    if not subject_ids:
        return 0
    with bound_cursor() as cursor:
        cursor.execute(DESTROY, {"subjects": sorted(set(subject_ids))})
        destroyed, marked = cursor.fetchall()[0]
    if destroyed or marked:
        record(by=by, action="vault.keys_destroyed", detail={"destroyed": destroyed, "marked": marked})
    return int(destroyed)


DESTROY = """
    WITH asked AS (SELECT unnest(%(subjects)s::bigint[]) AS subject_id),
         written AS (
             INSERT INTO vault_subjectkey AS k (subject_id, wrapped, wrapped_by, destroyed_at)
             SELECT subject_id, NULL, '', now() FROM asked ORDER BY subject_id
             ON CONFLICT (subject_id) DO UPDATE SET wrapped = NULL, wrapped_by = '', destroyed_at = now()
              WHERE k.wrapped IS NOT NULL
             RETURNING xmax <> 0 AS had_one
         )
    SELECT count(*) FILTER (WHERE had_one), count(*) FILTER (WHERE NOT had_one) FROM written
"""


def _keys_made(subject_ids: Collection[int]) -> dict[int, bytes]:
    """The key of each, made where there was none.

    Raises:
        SubjectShredded: some have lost theirs.
    """
    ring = ring_of_settings()
    found = _rows(subject_ids)
    missing = sorted(set(subject_ids) - found.keys())
    if missing:
        master = ring.masters[ring.current]
        wrapped = [sealing.wrap(sealing.new_key(), master=master, subject_id=one) for one in missing]
        with bound_cursor() as cursor:
            # In the order of their numbers: two who make keys for the same people wait for each other, never in a circle.
            cursor.execute(
                "INSERT INTO vault_subjectkey (subject_id, wrapped, wrapped_by)"
                " SELECT s, w, %s FROM unnest(%s::bigint[], %s::bytea[]) AS g(s, w) ORDER BY s ON CONFLICT DO NOTHING",
                [ring.current, missing, wrapped],
            )
        # Whoever was quicker made the key that counts.
        found |= _rows(missing)
    if shredded := [one for one, (wrapped, _) in found.items() if wrapped is None]:
        raise SubjectShredded(shredded)
    return _unwrapped(found)


def _keys(subject_ids: Collection[int]) -> dict[int, bytes]:
    return _unwrapped(_rows(subject_ids))


def _unwrapped(rows: Mapping[int, tuple[bytes | None, str]]) -> dict[int, bytes]:
    if not any(wrapped is not None for wrapped, _ in rows.values()):
        return {}
    ring = ring_of_settings()
    return {
        subject_id: sealing.unwrap(wrapped, master=ring.master(key_id), subject_id=subject_id)
        for subject_id, (wrapped, key_id) in rows.items()
        if wrapped is not None
    }


def _rows(subject_ids: Collection[int]) -> dict[int, tuple[bytes | None, str]]:
    """Subject -> the wrapped key, None once destroyed, and which master key wraps it."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT subject_id, wrapped, wrapped_by FROM vault_subjectkey WHERE subject_id = ANY(%s::bigint[])",
            [list(subject_ids)],
        )
        return {
            subject_id: (None if wrapped is None else bytes(wrapped), key_id)
            for subject_id, wrapped, key_id in cursor.fetchall()
        }

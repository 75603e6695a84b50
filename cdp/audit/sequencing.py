"""Gives entries their place in the tree, and signs what the log is then: one round is one transaction.

Writers never wait for each other, nor for this: an entry is queued by the transaction of its act, and what is queued is
visible once that is committed. Nothing is looked for "after the last one", since transactions don't commit in the order in
which they draw numbers. One sequencer at a time, by an advisory lock; one that dies leaves a round undone, and the
next begins it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from cdp.audit.models import Checkpoint, Head, Leaf, Node
from cdp.audit.signing import Signer
from cdp.audit.tree import full_nodes
from cdp.audit.verify import Frontier, leaf_hash, open_note
from cdp.database import bound_cursor

LOCK: Final = 7305020
# So many entries are held in memory, their envelopes with them.
CHUNK: Final = 5_000
# How often a checkpoint is kept for good; all others make way for the next one.
KEEP_EVERY: Final = timedelta(minutes=1)


class LogBroken(Exception):
    """The tree isn't what was signed last, so nothing may be built on it; the text says where it differs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """How many entries were given a place, how many there are now, and whether more may wait."""

    placed: int
    size: int
    is_full: bool


# By ctid: to a table that is empty most of the time any plan looks good. Nobody else takes rows away while the lock is held.
# An entry of a transaction that was undone is gone with it, and so is its place in the queue.
TAKE: Final = """
    WITH taken AS (
        DELETE FROM audit_pending WHERE ctid = ANY(ARRAY(SELECT ctid FROM audit_pending ORDER BY id LIMIT %s))
        RETURNING id, entry_id
    )
    SELECT e.id, e.envelope FROM taken JOIN audit_auditentry e ON e.id = taken.entry_id ORDER BY taken.id
"""


def sequence(signer: Signer) -> int:
    """How many of the entries that wait were given their place; none when another process is at it.

    Raises:
        LogBroken: the end of the tree isn't what was signed last.
    """
    placed = 0
    while (done := sequence_once(signer)) is not None:
        placed += done.placed
        if not done.is_full:
            break
    return placed


@transaction.atomic
def sequence_once(signer: Signer) -> Round | None:
    """One round of it; None when another process is at it.

    Raises:
        LogBroken: the end of the tree isn't what was signed last.
    """
    with bound_cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:  # type: ignore[index]
            return None
        cursor.execute(TAKE, [CHUNK])
        taken = [(entry_id, bytes(envelope)) for entry_id, envelope in cursor.fetchall()]
    head = Head.objects.get()
    if not taken:
        return Round(placed=0, size=head.size, is_full=False)
    frontier = _frontier_of(head, signer)
    leaves = [leaf_hash(envelope) for _, envelope in taken]
    nodes = list(full_nodes(size=head.size, leaves=leaves, hashes=stored_hashes))
    for leaf in leaves:
        frontier.append(leaf)
    with bound_cursor() as cursor:
        cursor.execute(
            'INSERT INTO audit_leaf ("index", entry_id, hash)'
            " SELECT %s + g.n - 1, g.entry_id, g.hash"
            "   FROM unnest(%s::uuid[], %s::bytea[]) WITH ORDINALITY AS g(entry_id, hash, n)",
            [head.size, [str(entry_id) for entry_id, _ in taken], _hex(leaves)],
        )
        if nodes:
            cursor.execute(
                'INSERT INTO audit_node (level, "index", hash)'
                " SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])",
                [[node.level for node in nodes], [node.index for node in nodes], _hex([node.hash for node in nodes])],
            )
    _sign(head, frontier, signer, timezone.now())
    return Round(placed=len(taken), size=frontier.size, is_full=len(taken) == CHUNK)


def _frontier_of(head: Head, signer: Signer) -> Frontier:
    raw = bytes(head.frontier)
    try:
        frontier = Frontier(head.size, [raw[place : place + 32] for place in range(0, len(raw), 32)])
    except ValueError as error:
        raise LogBroken(f"The end of the audit log was changed: {error}.") from None
    if head.size == 0 and not head.note:
        return frontier
    try:
        signed = open_note(head.note, [signer.key])
    except ValueError as error:
        raise LogBroken(f"The audit log's last checkpoint isn't one of this key: {error}.") from None
    if (signed.size, signed.root) != (frontier.size, frontier.root()):
        raise LogBroken(f"The audit log ends otherwise than it was signed to, at {signed.size} entries.")
    return frontier


def _sign(head: Head, frontier: Frontier, signer: Signer, now: datetime) -> None:
    note = signer.checkpoint(size=frontier.size, root=frontier.root())
    Head.objects.filter(pk=head.pk).update(
        size=frontier.size, frontier=b"".join(frontier.nodes), note=note, signed_at=now
    )
    newest = Checkpoint.objects.values_list("signed_at", flat=True).first()
    if newest is None or now - newest >= KEEP_EVERY:
        keep(size=frontier.size, root=frontier.root(), note=note, key_id=signer.key.id.hex(), at=now)


def keep(*, size: int, root: bytes, note: str, key_id: str, at: datetime) -> None:
    """Keeps the checkpoint for good, once."""
    Checkpoint.objects.bulk_create(
        [Checkpoint(size=size, root=root, note=note, key_id=key_id, signed_at=at)], ignore_conflicts=True
    )


def stored_hashes(*, level: int, first: int, count: int) -> Sequence[bytes]:
    """The stored hashes of the tree; see `cdp.audit.tree.Hashes`.

    Raises:
        LogBroken: one of them is missing.
    """
    rows = Leaf.objects.all() if level == 0 else Node.objects.filter(level=level)
    places = rows.filter(index__gte=first, index__lt=first + count).order_by("index")
    found = [bytes(one) for one in places.values_list("hash", flat=True)]
    if len(found) != count:
        raise LogBroken(
            f"Of the tree's hashes {first} to {first + count - 1} of level {level}, {count - len(found)} are missing."
        )
    return found


def _hex(hashes: Sequence[bytes]) -> list[str]:
    return ["\\x" + one.hex() for one in hashes]

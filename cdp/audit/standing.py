"""How the audit log stands: how far it is sealed and anchored, and the place of one entry with its proof."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from cdp.audit.anchors import configured
from cdp.audit.models import Anchor, AnchorKind, AuditEntry, Head, Leaf, Pending
from cdp.audit.sequencing import stored_hashes
from cdp.audit.tree import inclusion_proof
from cdp.audit.verify import Frontier, leaf_hash, root_of_inclusion


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchored:
    """The last try of one kind of anchor, and up to which entry it ever reached; None where it was never tried."""

    kind: AnchorKind
    last: Anchor | None
    reached: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """``signed_at`` None: nothing was ever signed. ``waiting_since`` is of the entry that waits longest."""

    size: int
    signed_at: datetime | None
    note: str
    waiting: int
    waiting_since: datetime | None
    anchors: Sequence[Anchored]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealing:
    """An entry's place. ``holds`` when its envelope, by the proof, leads to the root that was signed last."""

    index: int
    size: int
    leaf: bytes
    proof: Sequence[bytes]
    holds: bool


def standing() -> Standing:
    head = Head.objects.get()
    oldest = Pending.objects.order_by("pk").values_list("queued_at", flat=True).first()
    return Standing(
        size=head.size,
        signed_at=head.signed_at,
        note=head.note,
        waiting=Pending.objects.count(),
        waiting_since=oldest,
        anchors=[_anchored(kind) for kind in configured()],
    )


def _anchored(kind: AnchorKind) -> Anchored:
    tries = Anchor.objects.filter(kind=kind)
    reached = tries.filter(error="").order_by("-size").values_list("size", flat=True).first()
    return Anchored(kind=kind, last=tries.first(), reached=reached or 0)


def sealing(entry: AuditEntry) -> Sealing | None:
    """The entry's place, looked up and proved anew; None while it waits for one."""
    place = Leaf.objects.filter(entry_id=entry.pk).first()
    if place is None:
        return None
    head = Head.objects.get()
    raw = bytes(head.frontier)
    signed = Frontier(head.size, [raw[start : start + 32] for start in range(0, len(raw), 32)])
    proof = inclusion_proof(index=place.index, size=head.size, hashes=stored_hashes)
    leaf = leaf_hash(bytes(entry.envelope))
    leads_to = partial(root_of_inclusion, index=place.index, size=head.size, proof=proof)
    return Sealing(
        index=place.index, size=head.size, leaf=leaf, proof=proof, holds=leads_to(leaf=leaf) == signed.root()
    )

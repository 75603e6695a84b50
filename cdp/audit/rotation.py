"""Going over from one signing key to another, so that whoever trusts the old one can trust the new."""

from typing import Final

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM
from cdp.audit.models import AuditEntry, Head
from cdp.audit.sequencing import LOCK, LogBroken, keep, sequence
from cdp.audit.services import record
from cdp.audit.signing import Signer
from cdp.audit.verify import Key, open_note
from cdp.database import bound_cursor

CHANGED: Final = "audit.key_changed"


def rotate(*, old: Signer, new: Signer) -> None:
    """The old key signs the entry that names the new one; from there on the new one signs.

    Raises:
        LogBroken: the log isn't what the old key signed last, or another process sequences.
        ValueError: it is the same key, or another log's.
    """
    if old.key == new.key or old.name != new.name:
        raise ValueError("expected another key of the same name")
    with transaction.atomic():
        record(by=SYSTEM, action=CHANGED, detail={"from": str(old.key), "to": str(new.key)})
    sequence(old)
    with transaction.atomic():
        with bound_cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            is_ours = cursor.fetchone()
        if is_ours != (True,):
            raise LogBroken("A sequencer is running; stop all of them first.")
        head = Head.objects.get()
        try:
            last = open_note(head.note, [old.key])
        except ValueError as error:
            raise LogBroken(f"The last checkpoint isn't one of the old key: {error}.") from None
        now = timezone.now()
        keep(size=last.size, root=last.root, note=head.note, key_id=old.key.id.hex(), at=now)
        note = new.checkpoint(size=last.size, root=last.root)
        Head.objects.filter(pk=head.pk).update(note=note, signed_at=now)


def keys_until(key: Key) -> list[Key]:
    """The key, and those that signed before it, as the log has it."""
    keys = [key]
    while (change := AuditEntry.objects.filter(action=CHANGED, detail__to=str(keys[-1])).first()) is not None:
        before = Key.read(change.detail["from"])
        if before in keys:
            break
        keys.append(before)
    return keys

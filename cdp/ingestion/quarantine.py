"""Messages that could not be used: kept with the reason, given another chance, or let go."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict
from cdp.ingestion import inbox
from cdp.ingestion.limits import Refusal
from cdp.ingestion.models import Quarantined
from cdp.ingestion.wire import rejoin


@dataclass(frozen=True, slots=True)
class Refused:
    source_id: int
    received_at: datetime
    endpoint: str
    refusal: Refusal
    raw: bytes
    shared: bytes = b""
    asks: int = 0


def keep(refused: Iterable[Refused]) -> int:
    """How many were put into quarantine. Runs inside the caller's transaction."""
    rows = [
        Quarantined(
            source_id=r.source_id,
            received_at=r.received_at,
            endpoint=r.endpoint,
            code=r.refusal.code,
            pointer=r.refusal.pointer[:200],
            detail=r.refusal.detail[:300],
            body=r.raw,
            shared=r.shared,
            asks=r.asks,
        )
        for r in refused
    ]
    Quarantined.objects.bulk_create(rows, batch_size=500)
    return len(rows)


@transaction.atomic
def replay(*, message: Quarantined, by: Actor) -> None:
    """Puts the message back into the inbox, to be read as if it had just come, but at the moment it really came.

    Here its body is emptied: should it be refused again, it is back in quarantine as a message of its own.

    Raises:
        Conflict: it was replayed or discarded before.
    """
    message = _open(message)
    inbox.put(
        source_id=message.source_id,
        endpoint=message.endpoint,
        body=rejoin(bytes(message.body), bytes(message.shared)) if message.endpoint == "batch" else bytes(message.body),
        message_count=1,
        received_at=message.received_at,
        asks=message.asks,
    )
    message.replayed_at, message.body, message.shared = timezone.now(), b"", b""
    message.save(update_fields=["replayed_at", "body", "shared"])
    record(by=by, action="quarantined.replayed", object=message, detail={"code": message.code})


@transaction.atomic
def discard(*, message: Quarantined, by: Actor) -> None:
    """Lets the message go; its body is emptied, since it may hold personal data that nobody needs any more.

    Raises:
        Conflict: it was replayed or discarded before.
    """
    message = _open(message)
    message.discarded_at, message.body, message.shared = timezone.now(), b"", b""
    message.save(update_fields=["discarded_at", "body", "shared"])
    record(by=by, action="quarantined.discarded", object=message, detail={"code": message.code})


def _open(message: Quarantined) -> Quarantined:
    message = Quarantined.objects.select_for_update().get(pk=message.pk)
    if message.replayed_at or message.discarded_at:
        raise Conflict("quarantined_closed", "This message was replayed or discarded already.")
    return message

"""Looking at what a source sends at this moment: switched on for some minutes, a note for each message, and taking notes away again.

Notes have names of traits and properties, never values, and nobody's identifier. How it is decided to look is in `cdp.ingestion.live`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.ingestion.models import Outcome, Source, Watch, WatchedMessage
from cdp.ingestion.quarantine import Refused
from cdp.ingestion.wire import Message

MINUTES: Final = 5
# Of one batch, and of one source at all: enough to see what comes, too little to fill a disk.
PER_BATCH: Final = 100
PER_SOURCE: Final = 300
KEYS: Final = 40
KEEP: Final = timedelta(minutes=30)
# A name may be somebody's itself: {"ann@example.com": true}, or a number that leads to them.
PERSONAL: Final = re.compile(r"@|\d{5,}|[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)
HIDDEN: Final = "(hidden)"
TRIM: Final = f"""
    DELETE FROM ingestion_watchedmessage WHERE id IN (
        SELECT w.id FROM ingestion_watchedmessage AS w
         WHERE w.source_id = %s
           AND w.id <= (SELECT x.id FROM ingestion_watchedmessage AS x WHERE x.source_id = %s
                         ORDER BY x.id DESC OFFSET {PER_SOURCE} LIMIT 1)
           FOR UPDATE SKIP LOCKED)
"""  # noqa: S608  (a number of ours)


@dataclass(frozen=True, slots=True)
class Seen:
    """One message of a watched source, and what became of it."""

    source_id: int
    received_at: datetime
    type: str
    name: str
    outcome: Outcome
    code: str = ""
    pointer: str = ""
    keys: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def watched() -> frozenset[int]:
    """Sources that somebody looks at now: one look at a table of a few rows, once a batch."""
    with bound_cursor() as cursor:
        cursor.execute("SELECT source_id FROM ingestion_watch WHERE until > now()")
        return frozenset(row[0] for row in cursor.fetchall())


def seen_message(message: Message, outcome: Outcome, code: str = "", pointer: str = "") -> Seen:
    names = [*message.traits, *(name for name in message.properties if name not in message.traits)]
    return Seen(
        source_id=message.source_id,
        received_at=message.received_at,
        type=message.type.name.lower(),
        name=_shown(message.name),
        outcome=outcome,
        code=code,
        pointer=_shown(pointer),
        keys=tuple(_shown(name)[:80] for name in names[:KEYS]),
        flags=tuple(message.flags),
    )


def seen_refused(refused: Refused, outcome: Outcome) -> Seen:
    """What can't be used says nothing that could be relied on, but how it came and why it was refused."""
    why = refused.refusal
    return Seen(
        refused.source_id, refused.received_at, refused.endpoint, "", outcome, why.code, _shown(why.pointer[:200])
    )


def _shown(name: str) -> str:
    return HIDDEN if PERSONAL.search(name) else name[:200]


def note(seen: Sequence[Seen]) -> None:
    """Keeps the newest of a batch, and of each source. In the caller's transaction."""
    by_source: dict[int, list[Seen]] = {}
    for one in seen:
        by_source.setdefault(one.source_id, []).append(one)
    now = timezone.now()
    for source_id in sorted(by_source):
        WatchedMessage.objects.bulk_create(
            WatchedMessage(
                source_id=source_id,
                noted_at=now,
                received_at=one.received_at,
                type=one.type,
                name=one.name,
                outcome=one.outcome,
                code=one.code,
                pointer=one.pointer,
                keys=list(one.keys),
                flags=list(one.flags),
            )
            for one in by_source[source_id][-PER_BATCH:]
        )
        with bound_cursor() as cursor:
            cursor.execute(TRIM, [source_id, source_id])


@transaction.atomic
def watch(*, source: Source, by: Actor) -> datetime:
    """Until when the source's messages leave notes."""
    until = timezone.now() + timedelta(minutes=MINUTES)
    Watch.objects.update_or_create(source_id=source.pk, defaults={"until": until})
    record(by=by, action="source.watched", object=source, detail={"minutes": MINUTES})
    return until


@transaction.atomic
def stop(*, source: Source, by: Actor) -> None:
    """Looks no more, and takes the notes away."""
    if Watch.objects.filter(source_id=source.pk).delete()[0]:
        record(by=by, action="source.watch_ended", object=source)
    WatchedMessage.objects.filter(source_id=source.pk).delete()


def until_when(source_id: int) -> datetime | None:
    """Until when it is looked at; None when nobody looks."""
    return Watch.objects.filter(source_id=source_id, until__gt=timezone.now()).values_list("until", flat=True).first()


def notes(source_id: int, *, limit: int = 50) -> Iterable[WatchedMessage]:
    """The newest first."""
    return WatchedMessage.objects.filter(source_id=source_id).order_by("-id")[:limit]


def purge() -> int:
    """How many notes that nobody looks at any more were taken away."""
    now = timezone.now()
    Watch.objects.filter(until__lt=now).delete()
    return WatchedMessage.objects.filter(noted_at__lt=now - KEEP).delete()[0]

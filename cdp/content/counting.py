"""How often people are looked up, told to the audit log once a minute for each caller and purpose.

An entry for each of thousands of reads a second would cost more than the reads. So before the first answer to a caller in a
minute a row is committed that says it is being counted; then each answer costs an addition, and when the minute is over the row
gets its number and the log its entry. A process that dies owes its numbers, and the rows without one say so
(`tell_of_lost_counts`): what is lost is how often, never that (`docs/adr/0046-a-look-up-is-one-statement.md`).
"""

import atexit
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from cdp.audit.actors import Actor, ActorKind
from cdp.audit.services import record
from cdp.content.models import LookupCount
from cdp.logs import get_logger

log = get_logger(__name__)

# How long after its minute a row may wait for its number before its process is taken for dead.
OVERDUE: Final = timedelta(minutes=5)
LOOK_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Count:
    process: UUID
    actor: Actor
    purpose: str
    minute: datetime
    reads: int = 0

    @property
    def key(self) -> "_Key":
        return (self.minute, self.actor.kind, self.actor.id, self.purpose)

    @property
    def named(self) -> dict[str, Any]:
        """What finds its row."""
        return {
            "minute": self.minute,
            "process": self.process,
            "actor_kind": str(self.actor.kind),
            "actor_id": self.actor.id,
            "purpose": self.purpose,
        }


_Key = tuple[datetime, ActorKind, str, str]


class Counter:
    """The counts of one process. Its rows bear the process's own id, so that no two ever write to the same."""

    def __init__(self) -> None:
        self.process: UUID = uuid4()
        self._counts: dict[_Key, _Count] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def count(self, *, by: Actor, purpose: str, now: datetime | None = None, reads: int = 1) -> None:
        """So many more reads. Only the first of a minute asks the database: when this returns, it is on record that it is counted.

        Raises:
            DatabaseError: it couldn't be put on record, so nothing may be answered.
        """
        minute = (now or timezone.now()).replace(second=0, microsecond=0)
        key = (minute, by.kind, by.id, purpose)
        with self._lock:
            counted = self._counts.get(key)
            if counted is not None:
                counted.reads += reads
                return
        fresh = _Count(self.process, by, purpose, minute)
        LookupCount.objects.get_or_create(**fresh.named, defaults={"actor_label": by.label[:150]})
        with self._lock:
            counted = self._counts.setdefault(key, fresh)
            counted.reads += reads

    @property
    def writes_by_itself(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Has numbers written by themselves when their minute is over, and when the process ends. For processes that serve."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="counts of look-ups", daemon=True)
            self._thread.start()
            atexit.register(self.flush)

    def forget(self) -> None:
        """Drops what isn't written yet, for a process that turns to another database: its rows aren't there."""
        with self._lock:
            self._counts.clear()

    def flush(self, *, before: datetime | None = None) -> int:
        """How many counts were written: of all minutes, or of those before this one."""
        with self._lock:
            over = [key for key in self._counts if before is None or key[0] < before]
            taken = [self._counts.pop(key) for key in over]
        for place, one in enumerate(taken):
            try:
                _write(one)
            except DatabaseError:
                with self._lock:
                    for left in taken[place:]:
                        held = self._counts.setdefault(left.key, left)
                        if held is not left:
                            held.reads += left.reads
                raise
        return len(taken)

    def _run(self) -> None:
        while True:
            threading.Event().wait(LOOK_SECONDS)
            try:
                self.flush(before=timezone.now().replace(second=0, microsecond=0))
            except DatabaseError as error:
                log.warning("look_ups_not_written", reason=type(error).__name__)
            finally:
                connection.close()


def _write(one: _Count) -> None:
    with transaction.atomic():
        row, _ = LookupCount.objects.select_for_update().get_or_create(
            **one.named, defaults={"actor_label": one.actor.label[:150]}
        )
        row.reads = (row.reads or 0) + one.reads
        row.save(update_fields=["reads"])
        _tell(one.actor, one.purpose, one.minute, reads=one.reads)


def tell_of_lost_counts(*, now: datetime) -> int:
    """How many counts were lost with their process. Each gets its entry in the log, which says that its number isn't known."""
    told = 0
    while True:
        with transaction.atomic():
            overdue = LookupCount.objects.select_for_update(skip_locked=True).filter(
                reads=None, minute__lt=now - OVERDUE - timedelta(minutes=1)
            )[:500]
            rows = list(overdue)
            for row in rows:
                actor = Actor(kind=ActorKind(row.actor_kind), id=row.actor_id, label=row.actor_label)
                _tell(actor, row.purpose, row.minute, reads=None)
            LookupCount.objects.filter(pk__in=[row.pk for row in rows]).delete()
        told += len(rows)
        if not rows:
            return told


def purge_counts(*, before: datetime) -> int:
    """How many rows went that the log has told of."""
    return LookupCount.objects.filter(minute__lt=before, reads__isnull=False).delete()[0]


def _tell(actor: Actor, purpose: str, minute: datetime, *, reads: int | None) -> None:
    detail: dict[str, Any] = {"minute": minute.isoformat(), "count": reads, "fields": ["uuid", "segments", "scores"]}
    if reads is None:
        detail["lost"] = "The process that counted ended before it could write how many."
    record(by=actor, action="profiles.read", purpose=purpose, detail=detail)


counter = Counter()

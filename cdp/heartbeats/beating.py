"""Processes tell that they live, from the loop in which they work: one that hangs falls silent, which a thread of its own would hide.

What is made of it is shown in `cdp.health` and on the health page.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from django.db import connection

EVERY_SECONDS: Final = 10.0
KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of process: what it does, how it is started, and after how long a silence it is missed."""

    does: str
    start: str
    missed_after: timedelta = timedelta(minutes=2)


KINDS: Final[Mapping[str, Kind]] = {
    "consumer": Kind(does="takes in what came", start="manage.py consume", missed_after=timedelta(minutes=5)),
    "sweeper": Kind(does="keeps members in line with time", start="manage.py sweep", missed_after=timedelta(minutes=30)),
    "sequencer": Kind(does="signs the audit log", start="manage.py sequence_audit"),
    "keeper": Kind(does="keeps audiences", start="manage.py keep_audiences", missed_after=timedelta(minutes=10)),
    "deliverer": Kind(does="sends webhooks", start="manage.py deliver"),
    "celery": Kind(
        does="clock and worker: long work, and what is due", start="celery -A cdp worker, celery -A cdp beat",
        missed_after=timedelta(minutes=15),
    ),
}  # fmt: skip
"""Those that must run. A round of some may take long when there is much to do, so they are missed later."""


STANDINGS: Final = """
    SELECT k.process, n.heard_at, n.started_at, extract(epoch FROM clock_timestamp() - n.heard_at)::float8,
           (SELECT count(*) FROM heartbeats_heartbeat a WHERE a.process = k.process AND a.heard_at >= clock_timestamp() - k.missed_after)
      FROM unnest(%s::text[], %s::interval[]) AS k (process, missed_after)
      LEFT JOIN LATERAL (SELECT * FROM heartbeats_heartbeat h WHERE h.process = k.process ORDER BY h.heard_at DESC LIMIT 1) n ON true
"""


class Heart:
    """One process's. `beat` may be called as often as it turns, by any of its threads."""

    def __init__(self, process: str) -> None:
        self.process, self.instance = process, uuid4()
        self._next = 0.0
        self._lock = threading.Lock()

    def beat(self) -> None:
        """Tells at most every ten seconds that it lives.

        Raises:
            django.db.DatabaseError: the database is away, which whoever works must see to anyway.
        """
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + EVERY_SECONDS
        heard(self)


def heard(heart: Heart) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO heartbeats_heartbeat (instance, process, started_at, heard_at) VALUES (%s, %s, now(), now())"
            " ON CONFLICT (instance) DO UPDATE SET heard_at = now()",
            [heart.instance, heart.process],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a kind of process stands; ``heard_at`` None: it was never heard."""

    process: str
    kind: Kind
    heard_at: datetime | None
    started_at: datetime | None
    seconds: float | None
    """Since it was last heard, by the database's clock, as which the rows were written."""
    instances: int

    @property
    def is_missed(self) -> bool:
        """It ran once, and is silent for too long. What never ran may not be wanted here yet."""
        return self.seconds is not None and self.seconds > self.kind.missed_after.total_seconds()


def standings() -> list[Standing]:
    """Of every kind, in the order in which they are named."""
    limits = [f"{kind.missed_after.total_seconds()} seconds" for kind in KINDS.values()]
    with connection.cursor() as cursor:
        cursor.execute(STANDINGS, [list(KINDS), limits])
        rows = {process: rest for process, *rest in cursor.fetchall()}
    return [
        Standing(
            process=process, kind=kind, heard_at=heard_at, started_at=started_at, seconds=seconds, instances=instances
        )
        for process, kind in KINDS.items()
        for heard_at, started_at, seconds, instances in [rows[process]]
    ]


def forget_old() -> int:
    """How many rows of processes that ended were deleted; the newest of each kind stays."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM heartbeats_heartbeat h WHERE h.heard_at < now() - %s::interval"
            " AND EXISTS (SELECT FROM heartbeats_heartbeat n WHERE n.process = h.process AND n.heard_at > h.heard_at)",
            [f"{KEPT.total_seconds()} seconds"],
        )
        return int(cursor.rowcount)

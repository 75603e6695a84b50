"""The inbox: requests wait here, as they came, from their answer until the transaction that processes them.

Claiming is safe for any number of consumers: each takes rows that nobody else holds and deletes them in the
transaction that stores what they say. A consumer that dies gives its rows back by dying.
"""

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db import OperationalError, close_old_connections, connection

from cdp.logs import get_logger

log = get_logger(__name__)

CHANNEL = "cdp_inbox"
# NOTIFY takes a database-wide lock at commit, so a process sends at most one per interval, never one per request.
NOTIFY_INTERVAL = 0.005


class Waiting(NamedTuple):
    id: int
    source_id: int
    is_trusted: bool
    received_at: datetime
    endpoint: str
    body: bytes


def put(*, source_id: int, endpoint: str, body: bytes, message_count: int, received_at: datetime) -> None:
    """Makes the request durable: when this returns (in autocommit), it will be processed, whatever happens."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingestion_inboxmessage (source_id, received_at, endpoint, message_count, body) VALUES (%s, %s, %s, %s, %s)",
            [source_id, received_at, endpoint, message_count, body],
        )
    bell.ring()


def claim(*, messages: int) -> Iterator[Waiting]:
    """Requests nobody else holds, oldest first, until they carry this many messages; locked and to be deleted."""
    taken, last_id = 0, 0
    while taken < messages:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT i.id, i.source_id, s.kind <> 'browser', i.received_at, i.endpoint, i.body, i.message_count"
                "  FROM ingestion_inboxmessage i JOIN ingestion_source s ON s.id = i.source_id"
                " WHERE i.id > %s ORDER BY i.id LIMIT %s FOR UPDATE OF i SKIP LOCKED",
                [last_id, 20 if not taken else max(1, min(200, (messages - taken) * 20 // taken))],
            )
            rows = cursor.fetchall()
        if not rows:
            return
        for *waiting, count in rows:
            taken += count
            last_id = waiting[0]
            yield Waiting(*waiting[:-1], bytes(waiting[-1]))


def delete(ids: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ingestion_inboxmessage WHERE id = ANY(%s)", [ids])


class Bell:
    """Wakes the consumers from one thread per web process, however many requests came in."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ring(self) -> None:
        self._wanted.set()
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="inbox-bell", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        idle_since = time.monotonic()
        try:
            while True:
                if not self._wanted.wait(timeout=1.0):
                    if time.monotonic() - idle_since > 30:
                        return  # gives its connection back; the next request starts it again
                    continue
                idle_since = time.monotonic()
                self._wanted.clear()
                try:
                    close_old_connections()
                    with connection.cursor() as cursor:
                        cursor.execute(f"NOTIFY {CHANNEL}")
                except OperationalError as error:
                    # Consumers poll too; a lost note costs them one polling interval.
                    log.warning("inbox_note_lost", reason=type(error).__name__)
                time.sleep(NOTIFY_INTERVAL)
        finally:
            connection.close()


bell = Bell()

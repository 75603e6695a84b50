"""The inbox: requests wait here, as they came, from their answer until the transaction that processes them.

Claiming is safe for any number of consumers: each takes rows that nobody else holds and deletes them in the
transaction that stores what they say. A consumer that dies gives its rows back by dying.
"""

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import OperationalError, close_old_connections, connection, transaction

from cdp.database import bound_cursor
from cdp.logs import get_logger

log = get_logger(__name__)

CHANNEL = "cdp_inbox"
# NOTIFY takes a database-wide lock at commit, so a process sends at most one per interval, never one per request.
NOTIFY_INTERVAL = 0.005
GAUGE_SECONDS = 1.0
GAUGE_PAGES = 500


class Waiting(NamedTuple):
    id: int
    source_id: int
    is_trusted: bool
    received_at: datetime
    endpoint: str
    body: bytes
    asks: int = 0


def put(
    *, source_id: int, endpoint: str, body: bytes, message_count: int, received_at: datetime, asks: int = 0
) -> None:
    """Makes the request durable: when this returns (in autocommit), it will be processed, whatever happens.

    Raises:
        django.db.OperationalError: it may not be. A connection that was lost meanwhile is not looked for beforehand,
            which would cost half as much again; the next request of the thread opens a new one.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingestion_inboxmessage (source_id, received_at, endpoint, message_count, body, asks)"
            " VALUES (%s, %s, %s, %s, %b, %s)",
            [source_id, received_at, endpoint, message_count, body, asks],
        )
    transaction.on_commit(bell.ring)  # a consumer that is woken sooner finds nothing


def claim(*, messages: int) -> Iterator[Waiting]:
    """Requests nobody else holds, oldest first, until they carry this many messages; locked and to be deleted."""
    taken, requests, last_id = 0, 0, 0
    while taken < messages:
        # A request carries one message or thousands: the first two say how many more will do.
        more = max(1, min(1000, (messages - taken) * requests // taken)) if taken else 2
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT i.id, i.source_id, s.kind <> 'browser', i.received_at, i.endpoint, i.body, i.asks, i.message_count"
                "  FROM ingestion_inboxmessage i JOIN ingestion_source s ON s.id = i.source_id"
                " WHERE i.id > %s ORDER BY i.id LIMIT %s FOR UPDATE OF i SKIP LOCKED",
                [last_id, more],
            )
            rows = cursor.fetchall()
        if not rows:
            return
        for last_id, source_id, is_trusted, received_at, endpoint, body, asks, count in rows:
            taken += count
            requests += 1
            yield Waiting(last_id, source_id, is_trusted, received_at, endpoint, bytes(body), asks)


def delete(ids: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ingestion_inboxmessage WHERE id = ANY(%s)", [ids])


class Gauge:
    """Whether the inbox holds as much as it may, as of a second ago.

    A full disk would stop the consumers as well; refusing in time loses nothing, since libraries keep and send again.
    """

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._is_full = False
        self._looking = threading.Lock()

    def is_full(self) -> bool:
        # One thread looks, the others go by what it last saw.
        if time.monotonic() - self._looked_at > GAUGE_SECONDS and self._looking.acquire(blocking=False):
            try:
                self._is_full = waiting_bytes() >= settings.INBOX_LIMIT_BYTES
                self._looked_at = time.monotonic()
            finally:
                self._looking.release()
        return self._is_full

    def forget(self) -> None:
        """Looks anew at the next question; for tests, and for a process that moves to another database."""
        self._looked_at = float("-inf")


def waiting_bytes() -> int:
    """How much waits: exact for a small inbox, estimated from a sample of its pages for a large one.

    The table's size on disk would not do: it stays after a backlog was worked off.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH sample AS (SELECT least(100, 100.0 * %s * 8192 / greatest(pg_relation_size('ingestion_inboxmessage'), 1)) AS percent)"
            " SELECT (SELECT percent FROM sample), coalesce(sum(octet_length(body) + 64), 0) FROM ingestion_inboxmessage"
            " TABLESAMPLE SYSTEM ((SELECT percent FROM sample)::real)",
            [GAUGE_PAGES],
        )
        percent, sampled = cursor.fetchone()
    return int(float(sampled) * 100 / float(percent))


class Bell:
    """Wakes the consumers from one thread per web process, however many requests came in."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._resting = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ring(self) -> None:
        self._wanted.set()
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="inbox-bell", daemon=True)
                    self._thread.start()

    def rest(self) -> None:
        """Ends the thread, which gives its connection back; the next ring starts another.

        For a process that moves to another database: what was rung for belongs to the one it leaves.
        """
        with self._starting:
            if self._thread is not None:
                self._resting = True
                self._wanted.set()
                self._thread.join()
                self._thread, self._resting = None, False
                self._wanted.clear()

    def _run(self) -> None:
        idle_since = time.monotonic()
        try:
            while True:
                if not self._wanted.wait(timeout=1.0):
                    if time.monotonic() - idle_since > 30:
                        return  # gives its connection back; the next request starts it again
                    continue
                if self._resting:
                    return
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
gauge = Gauge()

"""How many previews run at once, and which of them is the newest: a caller's newer one ends the older in the database.

All of it is advisory locks of the connection that runs the preview, so what a process that dies leaves behind is nothing.
What a preview does belongs in `segments.previews`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from cdp.errors import Conflict, DomainError

# The first halves of the locks on places; the second is the number of the place.
EXACT_PLACES: Final = 7305010
QUICK_PLACES: Final = 7305011
WAIT_SECONDS: Final = 3
RETRY_SECONDS: Final = 5
LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """Whose preview it is, and by which name a newer one takes its place."""

    caller: int
    token: UUID

    @property
    def running(self) -> int:
        """The lock that a connection has while it runs the preview."""
        return _number(f"running {self.caller} {self.token}")

    @property
    def gate(self) -> int:
        """The lock of whoever ends the preview, from looking who runs it until having told them; and of who leaves."""
        return _number(f"gate {self.caller} {self.token}")


class Superseded(Conflict):
    """A newer preview of the same caller took its place, or the caller cancelled it."""

    def __init__(self) -> None:
        super().__init__("superseded", "A newer request with the same preview took the place of this one.")


class PreviewsBusy(DomainError):
    """As many previews run already as may."""

    status = 503
    wait = RETRY_SECONDS

    def __init__(self) -> None:
        super().__init__(
            "previews_busy",
            "As many previews are being counted as the database has room for; try again in a few seconds.",
        )


@contextmanager
def place(*, ticket: Ticket | None, seconds: int, is_quick: bool = False) -> Iterator[None]:
    """A place among the previews that run; the older one of the same ticket is ended first.

    Args:
        seconds: how long a statement of it may take: one that is cut off sooner was cut off by somebody.
        is_quick: it takes milliseconds, so it doesn't queue up with those that take seconds.

    Raises:
        PreviewsBusy: there was no place, after some waiting.
        Superseded: a newer one came.
    """
    pool, began = QUICK_PLACES if is_quick else EXACT_PLACES, time.monotonic()
    try:
        try:
            if ticket is not None:
                _take_over(ticket)
            _take_place(pool)
            began = time.monotonic()
            yield
        finally:
            _leave(pool, ticket)
    except OperationalError as error:
        if ticket is not None and isinstance(error.__cause__, QueryCanceled) and time.monotonic() - began < seconds:
            raise Superseded from None
        raise


def cancel(ticket: Ticket) -> bool:
    """Whether there was a preview of this ticket running, which is ended now.

    The query that ends is the preview's for certain: who runs it can't go on to anything else while the gate is ours,
    and by the time it is theirs, the word to stop has reached them.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ticket.gate])
        cursor.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_backend_pid()"
            "   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            "   AND classid::bigint = (%(lock)s::bigint >> 32) & 4294967295 AND objid::bigint = %(lock)s::bigint & 4294967295",
            {"lock": ticket.running},
        )
        return bool(cursor.fetchall())


def _take_over(ticket: Ticket) -> None:
    patience = time.monotonic() + WAIT_SECONDS
    while not _asked("SELECT pg_try_advisory_lock(%s)", ticket.running):
        if time.monotonic() > patience:
            raise PreviewsBusy
        cancel(ticket)
        time.sleep(LOOK_SECONDS)


def _take_place(pool: int) -> None:
    patience = time.monotonic() + WAIT_SECONDS
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT number FROM generate_series(1, %s) AS number WHERE pg_try_advisory_lock(%s, number) LIMIT 1",
                [settings.PREVIEW_PLACES, pool],
            )
            if cursor.fetchone():
                return
            if time.monotonic() > patience:
                raise PreviewsBusy
            # Waiting in the database, because there it can be told to stop.
            cursor.execute("SELECT pg_sleep(%s)", [LOOK_SECONDS])


def _leave(pool: int, ticket: Ticket | None) -> None:
    """Gives back what was taken. A lost connection has lost it already."""
    if connection.connection is None or connection.connection.closed:
        return
    if ticket is not None:
        _leave_by_the_gate(ticket)
    # Whatever place it has: the word to stop may have come when it had just been given one, and had not been told.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_unlock(classid::int, objid::int) FROM pg_locks"
            " WHERE locktype = 'advisory' AND objsubid = 2 AND classid = %s AND pid = pg_backend_pid()",
            [pool],
        )


def _leave_by_the_gate(ticket: Ticket) -> None:
    while True:
        try:
            with transaction.atomic():
                _asked("SELECT pg_advisory_xact_lock(%s) IS NULL", ticket.gate)
                if _asked(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted"
                    " AND objsubid = 1 AND classid::bigint = (%s::bigint >> 32) & 4294967295"
                    " AND objid::bigint = %s::bigint & 4294967295)",
                    ticket.running,
                    ticket.running,
                ):
                    _asked("SELECT pg_advisory_unlock(%s)", ticket.running)
            return
        except OperationalError as error:
            # The word to stop came when there was nothing left to stop.
            if not isinstance(error.__cause__, QueryCanceled):
                raise


def _asked(question: str, *operands: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(question, operands)
        return bool(cursor.fetchone()[0])


def _number(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)

"""The sweeper's life: look every few seconds what time's passing has made due, outlive the loss of the database.

It is the platform's one scheduler of segments: sweeps it does itself, full refreshes (nightly, and where nothing else
can bring members in line) it asks of the workers. Any number may run; each segment is swept by one at a time. What a
sweep is stands in `segments.sweep`.
"""

import threading

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from cdp.heartbeats.beating import Heart
from cdp.logs import get_logger
from segments.feed import number_changes
from segments.refresh import request_due_refreshes
from segments.sweep import run_once

log = get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Sweeper:
    """Sweeps until it is stopped."""

    def __init__(self, *, seconds: float | None = None) -> None:
        self.seconds = settings.SWEEP_SECONDS if seconds is None else seconds
        self._stopping = threading.Event()
        self.heart = Heart("sweeper")

    def stop(self) -> None:
        """Lets it finish the people it has locked; what is left of the slice is found due again."""
        self._stopping.set()

    def run(self) -> None:
        """Returns once stopped; raises what no pause can mend."""
        log.info("sweeper_started", seconds=self.seconds)
        pause = SHORTEST_PAUSE
        try:
            while not self._stopping.is_set():
                try:
                    self.heart.beat()
                    self._once()
                    pause = SHORTEST_PAUSE
                except (DatabaseError, InterfaceError, psycopg.Error) as error:
                    connection.close()
                    if isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                        log.warning("sweep_collided")  # nothing of the chunk was done; it is due as before
                        continue
                    # A server that went, or a schema that is being migrated: it waits, loudly, and loses nothing.
                    log.warning("sweeper_waits_for_database", reason=type(error).__name__, seconds=pause)
                    self._stopping.wait(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                self._stopping.wait(self.seconds)
        finally:
            connection.close()

    def _once(self) -> None:
        swept = run_once(is_stopping=self._stopping.is_set)
        if swept.entered or swept.exited:
            number_changes()
        if not self._stopping.is_set():
            request_due_refreshes()

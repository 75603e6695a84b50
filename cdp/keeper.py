"""The keeper's life: ten times a second bring audiences in line with segments, decisions and time; outlive the loss of the database.

Any number may run; one at a time works. What a round is stands in `cdp.activation.keeping`.
"""

import threading

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from cdp.activation.keeping import keep_once
from cdp.heartbeats.beating import Heart
from cdp.logs import get_logger

log = get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class AudienceKeeper:
    """Keeps audiences until it is stopped."""

    def __init__(self, *, seconds: float | None = None) -> None:
        self.seconds = settings.KEEPER_SECONDS if seconds is None else seconds
        self._stopping = threading.Event()
        self.heart = Heart("keeper")

    def stop(self) -> None:
        """Lets it finish its round."""
        self._stopping.set()

    def run(self) -> None:
        """Returns once stopped; raises what no pause can mend."""
        log.info("keeper_started", seconds=self.seconds)
        pause = SHORTEST_PAUSE
        try:
            while not self._stopping.is_set():
                try:
                    self.heart.beat()
                    kept = keep_once()
                    pause = SHORTEST_PAUSE
                except (DatabaseError, InterfaceError, psycopg.Error) as error:
                    connection.close()
                    log.warning("keeper_waits_for_database", reason=type(error).__name__, seconds=pause)
                    self._stopping.wait(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                if kept is None or not kept.is_behind:
                    self._stopping.wait(self.seconds)
        finally:
            connection.close()

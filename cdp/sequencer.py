"""The sequencer's life: each second give the audit log's new entries their place, every few minutes anchor what was signed.

Any number may run; one at a time works. A log that isn't what was signed is built on by none of them: they say so, loudly and
again and again, while acts go on being recorded and wait. What a round is stands in `cdp.audit.sequencing`.
"""

import threading
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from cdp.audit.anchors import anchor_due, check_against_files
from cdp.audit.rotation import keys_until
from cdp.audit.sequencing import LogBroken, sequence
from cdp.audit.signing import Signer, load_signer
from cdp.heartbeats.beating import Heart
from cdp.logs import get_logger

log = get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
# How often it says that the log is broken, and looks whether somebody has mended it.
BROKEN_SECONDS = 60.0


def signer_of_settings() -> Signer:
    """
    Raises:
        KeyUnusable: there is no such key.
    """
    return load_signer(Path(settings.AUDIT_KEY), name=settings.AUDIT_ORIGIN)


class Sequencer:
    """Sequences until it is stopped."""

    def __init__(self, signer: Signer, *, seconds: float | None = None) -> None:
        self.signer = signer
        self.seconds = settings.AUDIT_SECONDS if seconds is None else seconds
        self._stopping = threading.Event()
        self.heart = Heart("sequencer")
        self._is_checked = False

    def stop(self) -> None:
        """Lets it finish its round."""
        self._stopping.set()

    def run(self) -> None:
        """Returns once stopped; raises what no pause can mend."""
        log.info("sequencer_started", seconds=self.seconds, key=str(self.signer.key))
        pause = SHORTEST_PAUSE
        try:
            while not self._stopping.is_set():
                try:
                    self.heart.beat()
                    self.once()
                    pause = SHORTEST_PAUSE
                except LogBroken as broken:
                    self._is_checked = False
                    log.error("audit_log_broken", reason=str(broken))
                    self._stopping.wait(BROKEN_SECONDS)
                    continue
                except (DatabaseError, InterfaceError, psycopg.Error) as error:
                    connection.close()
                    log.warning("sequencer_waits_for_database", reason=type(error).__name__, seconds=pause)
                    self._stopping.wait(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                self._stopping.wait(self.seconds)
        finally:
            connection.close()

    def once(self) -> int:
        """How many entries were given their place.

        Raises:
            LogBroken: the log isn't what was signed or anchored.
        """
        if not self._is_checked:
            # A database that was set back goes on as if nothing were: what lies outside of it knows better.
            check_against_files(keys_until(self.signer.key))
            self._is_checked = True
        placed = sequence(self.signer)
        anchor_due(self.signer.key)
        return placed

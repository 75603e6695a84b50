"""The event consumer: waits for requests in the inbox and has the pipeline process them. Any number may run at once."""

import gc
import signal
import time
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from cdp.ingestion.inbox import CHANNEL
from cdp.logs import get_logger
from cdp.pipeline import drain_dirty, process_batch
from segments.feed import number_changes

log = get_logger(__name__)

POLL_SECONDS = 0.05
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Command(BaseCommand):
    help = "Processes tracking requests until it is told to stop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--until-empty", action="store_true", help="Stop once nothing waits.")

    def handle(self, *, until_empty: bool, **_: Any) -> None:
        self.stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        self.pause = SHORTEST_PAUSE
        while not self.stopping:
            try:
                self.work(until_empty)
                if until_empty:
                    return
            except (DatabaseError, InterfaceError, psycopg.Error) as error:
                if isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                    log.warning("batch_collided")  # nothing of it was done; it waits as before, for the next turn
                    continue
                if until_empty and not isinstance(error, OperationalError | psycopg.OperationalError):
                    raise
                # A server that went, or a schema that is being migrated: it waits, loudly, and loses nothing.
                log.warning("consumer_waits_for_database", reason=type(error).__name__, seconds=self.pause)
                connection.close()
                time.sleep(self.pause)
                self.pause = min(LONGEST_PAUSE, self.pause * 2)

    def stop(self, *_: Any) -> None:
        self.stopping = True

    def work(self, until_empty: bool) -> None:
        # A batch makes a hundred thousand short-lived objects; looking through all of them every few hundred for
        # cycles that are never there took a third of the consumer's time.
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        log.info("consumer_started")
        while not self.stopping:
            report = process_batch()
            self.pause = SHORTEST_PAUSE
            changed = drain_dirty()
            if report.entered or report.exited or changed or not report.requests:
                number_changes()
            if report.messages:
                log.info(
                    "batch",
                    messages=report.messages,
                    stored=report.stored,
                    repeats=report.repeats,
                    quarantined=report.quarantined,
                    entered=report.entered,
                    exited=report.exited,
                )
            elif not changed:
                if until_empty:
                    return
                self.wait()

    def wait(self) -> None:
        """Returns when the bell rings, or after a polling interval: a note may be lost, a request may not."""
        for _ in connection.connection.notifies(timeout=POLL_SECONDS, stop_after=1):
            return

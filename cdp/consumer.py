"""The event consumer's life: wait for requests, have the pipeline process them, outlive the loss of the database.

What is done with a batch stands in `cdp.pipeline`. Any number of consumers may run at once, in one process or several.
"""

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from cdp.heartbeats.beating import Heart
from cdp.ingestion.inbox import CHANNEL
from cdp.logs import get_logger
from cdp.pipeline import Report, drain_dirty, process_batch
from segments.feed import number_changes

log = get_logger(__name__)

POLL_SECONDS = 0.05
SEQUENCE_SECONDS = 0.1
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Consumer:
    """Processes what comes until it is stopped, or until nothing waits.

    With two threads one batch is read and looked up while the other's statements run: a batch is half ours, half the
    database's work. Where both touch one person, the later waits for the earlier, as two processes would. A further
    thread numbers the membership changes, so that no batch waits for that.
    """

    def __init__(self, *, threads: int = 2, until_empty: bool = False) -> None:
        self.threads, self.until_empty = threads, until_empty
        self._stopping = threading.Event()
        self.heart = Heart("consumer")
        # Set after each batch that moved somebody, and now and then: other processes write changes, too.
        self._changes_wait = threading.Event()
        self._batches_done = threading.Event()

    def stop(self) -> None:
        """Lets each thread finish its batch."""
        self._stopping.set()

    def run(self) -> None:
        """Returns once stopped; raises what no pause can mend."""
        # A batch makes a hundred thousand short-lived objects; looking through all of them every few hundred for
        # cycles that are never there took a third of the consumer's time.
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)
        with ThreadPoolExecutor(self.threads + 1, thread_name_prefix="consumer") as pool:
            sequencing = pool.submit(self._sequence)
            processing = [pool.submit(self._process) for _ in range(self.threads)]
            # Each of them stops the others when it fails, so all of them end.
            wait(processing)
            self._batches_done.set()
            self._changes_wait.set()
            for one in [*processing, sequencing]:
                one.result()

    def _sequence(self) -> None:
        """Numbers changes beside the batches, within a tenth of a second, and what is left once the last batch is done."""
        try:
            while True:
                last_round = self._batches_done.is_set()
                try:
                    number_changes()
                except (OperationalError, InterfaceError) as error:
                    log.warning("sequencer_waits_for_database", reason=type(error).__name__)
                    connection.close()
                    self._batches_done.wait(LONGEST_PAUSE / 5)
                if last_round:
                    return
                self._changes_wait.wait(SEQUENCE_SECONDS)
                self._changes_wait.clear()
        except BaseException:
            self.stop()
            raise
        finally:
            connection.close()

    def _process(self) -> None:
        try:
            pause = SHORTEST_PAUSE
            while not self._stopping.is_set():
                try:
                    self._listen()
                    while not self._stopping.is_set():
                        if not self.until_empty:
                            self.heart.beat()
                        worked = self._once()
                        pause = SHORTEST_PAUSE
                        if not worked and self.until_empty:
                            return
                        if not worked:
                            self._wait()
                except (DatabaseError, InterfaceError, psycopg.Error) as error:
                    if isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                        log.warning("batch_collided")  # nothing of it was done; it waits as before, for the next turn
                        continue
                    if self.until_empty and not isinstance(error, OperationalError | psycopg.OperationalError):
                        raise
                    # A server that went, or a schema that is being migrated: it waits, loudly, and loses nothing.
                    log.warning("consumer_waits_for_database", reason=type(error).__name__, seconds=pause)
                    connection.close()
                    self._stopping.wait(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
        except BaseException:
            self.stop()
            raise
        finally:
            connection.close()

    def _listen(self) -> None:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        log.info("consumer_started")

    def _once(self) -> bool:
        """Whether there was anything to do."""
        started = time.monotonic()
        report = process_batch()
        changed = drain_dirty()
        if report.entered or report.exited or changed:
            self._changes_wait.set()
        if report.requests:
            self._tell(report, time.monotonic() - started)
        return bool(report.requests or changed)

    def _tell(self, report: Report, seconds: float) -> None:
        log.info(
            "batch",
            messages=report.messages,
            stored=report.stored,
            repeats=report.repeats,
            quarantined=report.quarantined,
            suppressed=report.suppressed,
            entered=report.entered,
            exited=report.exited,
            milliseconds=round(seconds * 1000),
        )

    def _wait(self) -> None:
        """Returns when the bell rings, or after a polling interval: a note may be lost, a request may not."""
        for _ in connection.connection.notifies(timeout=POLL_SECONDS, stop_after=1):
            return

"""The deliverer's life: hear what happened, send it with many threads, write down what came of it; outlive the loss of the database.

Any number may run; a delivery is sent by one at a time. The loop alone talks to the database, the threads alone to receivers, so a
receiver that is slow holds up nothing but its own places. What is sent is decided in `cdp.webhooks`.
"""

import queue
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from cdp.logs import get_logger
from cdp.outbound import Outbound, Refused, Unreachable
from cdp.vault.ring import VaultUnusable
from cdp.vault.sealing import Unopenable
from cdp.webhooks import signing
from cdp.webhooks.hearing import hear_once, look_after
from cdp.webhooks.keeping import record_sent
from cdp.webhooks.models import FailureWord
from cdp.webhooks.outcomes import Outcome, write_down
from cdp.webhooks.sending import Outgoing, claim, webhooks_to_serve

log = get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
POLL_SECONDS: Final = 0.05
BETWEEN_ROUNDS: Final = 0.01
"""While much comes back, a round waits this long for more, and writes it down together."""
MOST_AT_ONCE: Final = 16
"""Requests open to one receiver."""
LOOK_AFTER_SECONDS: Final = 5.0
RECORD_SECONDS: Final = 60.0


class Deliverer:
    """Delivers until it is stopped."""

    def __init__(self, *, threads: int | None = None, outbound: Outbound | None = None) -> None:
        self.threads = threads or settings.WEBHOOK_THREADS
        self.outbound = outbound or Outbound(connections=self.threads)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="webhook")
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._open: Counter[int] = Counter()
        self._unwritten: list[Outcome] = []
        self._stopping = threading.Event()
        self._looked_at, self._recorded_at = -LOOK_AFTER_SECONDS, time.monotonic()
        self._full: frozenset[int] = frozenset()
        self._chance = random.Random()

    def stop(self) -> None:
        """Lets it finish what is open."""
        self._stopping.set()

    def run(self) -> None:
        """Returns once stopped; raises what no pause can mend."""
        log.info("deliverer_started", threads=self.threads)
        pause = SHORTEST_PAUSE
        try:
            while not self._stopping.is_set():
                try:
                    is_busy = self.once()
                    pause = SHORTEST_PAUSE
                except (DatabaseError, InterfaceError, psycopg.Error) as error:
                    connection.close()
                    log.warning("deliverer_waits_for_database", reason=type(error).__name__, seconds=pause)
                    self._stopping.wait(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                except (VaultUnusable, Unopenable) as error:
                    log.error("deliverer_cannot_sign", reason=type(error).__name__)
                    self._stopping.wait(LONGEST_PAUSE)
                    continue
                if not is_busy:
                    self._wait(POLL_SECONDS)
                elif self._open:
                    self._wait(BETWEEN_ROUNDS)
            self.finish()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self.outbound.close()
            connection.close()

    def once(self) -> bool:
        """One round; whether there is more to do at once."""
        self._write()
        if time.monotonic() - self._looked_at >= LOOK_AFTER_SECONDS:
            self._full, self._looked_at = look_after(now=timezone.now()), time.monotonic()
        if time.monotonic() - self._recorded_at >= RECORD_SECONDS:
            record_sent(now=timezone.now())
            self._recorded_at = time.monotonic()
        heard = hear_once(full=self._full)
        sent = self._send()
        return bool(sent or (heard and (heard[0] or heard[1])) or not self._done.empty())

    def finish(self) -> None:
        """Waits for what is open, as long as requests may take, and writes it down."""
        patience = time.monotonic() + settings.WEBHOOK_SECONDS + 1
        while self._open and time.monotonic() < patience:
            self._wait(POLL_SECONDS)
            self._write()

    # ---- One round ----

    def _wait(self, seconds: float) -> None:
        try:
            self._unwritten.append(self._done.get(timeout=seconds))
        except queue.Empty:
            return

    def _write(self) -> None:
        while not self._done.empty():
            self._unwritten.append(self._done.get())
        if self._unwritten:
            write_down(self._unwritten, chance=self._chance)
            for one in self._unwritten:
                self._open[one.outgoing.webhook_id] -= 1
            self._open = +self._open
            self._unwritten = []

    def _send(self) -> int:
        free = self.threads - sum(self._open.values())
        if free <= 0:
            return 0
        serving = webhooks_to_serve()
        if not serving:
            return 0
        # No receiver takes more than its share of the threads: one that never answers leaves the others theirs.
        share = min(MOST_AT_ONCE, max(1, self.threads // len(serving)))
        self._chance.shuffle(serving)
        places = {}
        for webhook, is_tried in serving:
            places[webhook] = min(free, (1 if is_tried else share) - self._open[webhook])
            free -= max(0, places[webhook])
        outgoing = claim(places)
        for one in outgoing:
            self._open[one.webhook_id] += 1
            self._pool.submit(self._request, one)
        return len(outgoing)

    def _request(self, outgoing: Outgoing) -> None:
        """In a thread: no database here."""
        try:
            self._done.put(self._asked(outgoing))
        except Exception:
            # Its place must become free, and it will be tried again; the log says what nobody expected.
            log.exception("webhook_request_failed")
            self._done.put(Outcome(outgoing=outgoing, answer=None, why=FailureWord.BROKEN))

    def _asked(self, outgoing: Outgoing) -> Outcome:
        stamp = int(time.time())
        headers = signing.headers(
            event_id=outgoing.event_id, timestamp=stamp, body=outgoing.body, keys=outgoing.keys
        ) | {"Content-Type": "application/json"}
        try:
            answer = self.outbound.send(
                "POST", outgoing.url, content=outgoing.body, headers=headers, seconds=settings.WEBHOOK_SECONDS
            )
        except Refused:
            return Outcome(outgoing=outgoing, answer=None, why=FailureWord.REFUSED)
        except Unreachable as error:
            return Outcome(outgoing=outgoing, answer=None, why=FailureWord(error.why))
        return Outcome(outgoing=outgoing, answer=answer)

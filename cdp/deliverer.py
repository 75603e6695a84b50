"""The deliverer's life: hear what happened, send it with many threads, write down what came of it; outlive the loss of the database.

Any number may run; a delivery is sent by one at a time. The loop alone talks to the database, the threads alone to receivers, so a
receiver that is slow holds up nothing but its own places. What is sent is decided in `cdp.webhooks`.
"""

import queue
import random
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from cdp.heartbeats.beating import Heart
from cdp.logs import get_logger
from cdp.outbound import Outbound, Refused, Unreachable
from cdp.vault.ring import VaultUnusable
from cdp.vault.sealing import Unopenable
from cdp.webhooks import signing
from cdp.webhooks.hearing import hear_once, look_after
from cdp.webhooks.keeping import record_sent
from cdp.webhooks.models import FailureWord
from cdp.webhooks.outcomes import GONE, Outcome, write_down
from cdp.webhooks.sending import Outgoing, claim, give_back, webhooks_to_serve

log = get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
POLL_SECONDS: Final = 0.05
BETWEEN_ROUNDS: Final = 0.02
"""While much comes back, a round waits this long for more, and writes it down together."""
MOST_AT_ONCE: Final = 16
"""Requests open to one receiver."""
AHEAD: Final = 4
"""Of a receiver that answers quickly, so many times as much is taken at once: a round costs much the same for few and for many."""
QUICK_MS: Final = 100
READY_SECONDS: Final = 2.0
"""What was taken and judged so long ago isn't sent any more but given back, and judged anew."""
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
        self._ready: dict[int, deque[tuple[float, Outgoing]]] = {}
        self._places: dict[int, int] = {}
        self._ms: dict[int, float] = {}
        self._unwritten: list[Outcome] = []
        self._left: list[Outgoing] = []
        self._stopping = threading.Event()
        self.heart = Heart("deliverer")
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
                    self.heart.beat()
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
                    self._gather(BETWEEN_ROUNDS)
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
        """Waits for what is open, as long as requests may take, and writes it down. What was only taken is left to others."""
        for webhook in list(self._ready):
            self._leave(webhook)
        patience = time.monotonic() + settings.WEBHOOK_SECONDS + 1
        self._write()
        while self._open and time.monotonic() < patience:
            self._wait(POLL_SECONDS)
            self._write()

    # ---- One round ----

    def _wait(self, seconds: float) -> None:
        try:
            self._came(self._done.get(timeout=seconds))
        except queue.Empty:
            return

    def _gather(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._open and (left := until - time.monotonic()) > 0:
            self._wait(left)

    def _came(self, outcome: Outcome) -> None:
        """Frees its place for the next one that is ready."""
        webhook = outcome.outgoing.webhook_id
        took = outcome.answer.ms if outcome.answer is not None and outcome.is_taken else 10 * QUICK_MS
        self._ms[webhook] = (self._ms.get(webhook, float(took)) * 3 + took) / 4
        self._unwritten.append(outcome)
        self._open[webhook] -= 1
        self._open = +self._open
        if outcome.answer is not None and outcome.answer.status == GONE:
            self._leave(webhook)
        self._start(webhook)

    def _leave(self, webhook: int) -> None:
        self._left += [outgoing for _, outgoing in self._ready.pop(webhook, ())]

    def _write(self) -> None:
        while not self._done.empty():
            self._came(self._done.get())
        if self._unwritten:
            write_down(self._unwritten, chance=self._chance)
            self._unwritten = []
        if self._left:
            give_back(self._left)
            self._left = []

    def _send(self) -> int:
        serving = webhooks_to_serve()
        if not serving:
            return 0
        # No receiver takes more than its share of the threads: one that never answers leaves the others theirs.
        share = min(MOST_AT_ONCE, max(1, self.threads // len(serving)))
        self._chance.shuffle(serving)
        self._places = {webhook: 1 if is_tried else share for webhook, is_tried in serving}
        wanted = {}
        for webhook, places in self._places.items():
            quick = places > 1 and self._ms.get(webhook, QUICK_MS) < QUICK_MS
            wanted[webhook] = places * (AHEAD if quick else 1) - self._open[webhook] - len(self._ready.get(webhook, ()))
        outgoing = claim(wanted)
        now = time.monotonic()
        for one in outgoing:
            self._ready.setdefault(one.webhook_id, deque()).append((now, one))
        for webhook in {one.webhook_id for one in outgoing}:
            self._start(webhook)
        return len(outgoing)

    def _start(self, webhook: int) -> None:
        """Sends what is ready, as far as there are places."""
        ready = self._ready.get(webhook)
        while ready and self._open[webhook] < self._places.get(webhook, 1):
            taken_at, outgoing = ready.popleft()
            if time.monotonic() - taken_at < READY_SECONDS:
                self._open[webhook] += 1
                self._pool.submit(self._request, outgoing)
            else:
                self._left.append(outgoing)
        if not ready:
            self._ready.pop(webhook, None)

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

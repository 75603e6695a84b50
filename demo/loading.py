"""Sends a stream of messages through the tracking API's own code path, once, and goes on where a killed load stopped.

What the messages say is `shop`'s and `cdnow`'s business; what is set up around them is the commands'.
"""

from __future__ import annotations

import base64
import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import connection, connections, transaction
from django.db.models import Sum
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from cdp.ingestion.accept import accept
from cdp.ingestion.models import InboxMessage, Quarantined
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import Lease, lease
from demo.batches import batches
from demo.consumers import running_consumers
from demo.world import Sent

LOADER = Actor.system("demo data")
LOAD_LOCK = 7305101
# How far sending may run ahead of processing. Enough to keep all consumers busy; small, so that progress is honest.
MOST_WAITING = 40_000
REPORT_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load came to; `sent` leaves out what an earlier, interrupted load had sent."""

    messages: int
    sent: int
    seconds: float


@contextmanager
def once(kind: str, params: Mapping[str, Any]) -> Iterator[Lease | None]:
    """The hold on the one job of this kind, or None when it is done. `params` are those of the first start.

    Raises:
        Conflict: it is being done by another process.
        DomainError: what was done in the block failed, or somebody cancelled the job.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOAD_LOCK])
        if not cursor.fetchone()[0]:
            raise Conflict("load_running", "Another process is loading data into this database.")
    try:
        job = Job.objects.filter(kind=kind).order_by("-pk").first()
        if job is not None and job.state == JobState.SUCCEEDED:
            yield None
            return
        if job is None:
            with transaction.atomic():
                job = Job.objects.create(kind=kind, params=dict(params))
                record(by=LOADER, action="job.enqueued", object=job, detail={"kind": kind})
        else:
            # We hold the lock, so whoever is said to hold the job is dead.
            Job.objects.filter(pk=job.pk).update(
                state=JobState.QUEUED,
                lease_token=None,
                lease_until=None,
                finished_at=None,
                error_code="",
                error_message="",
            )
        with lease(job.pk, worker=f"process {os.getpid()}") as held:
            yield held
        job.refresh_from_db()
        if job.state != JobState.SUCCEEDED:  # the lease keeps the reason in the job and goes on
            raise DomainError(job.error_code or job.state, job.error_message or f"The load was {job.state}.")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOAD_LOCK])


def send(
    stream: Iterable[Sent],
    *,
    hold: Lease,
    about: int,
    write_keys: Mapping[str, str],
    say: Callable[[str], None],
    consumers: int | None = None,
) -> Loaded:
    """Everything of the stream, accepted and processed. What the job says was sent before is not sent again.

    Args:
        about: how many messages to expect; only the progress shown depends on it.
        write_keys: the key by the name of the source in the stream.
        consumers: how many processes work the inbox off; each has two batches at work, so by default half as many as
            there are processors.
    """
    began, skip = time.monotonic(), hold.job.done
    reported, read = began, skip
    authorizations = {source: _basic(key) for source, key in write_keys.items()}
    with _fewer_collections(), running_consumers(consumers or max(1, (os.cpu_count() or 1) // 2)) as working:
        for group in batches(stream, skip=skip):
            for batch in group:
                accept(
                    endpoint="batch",
                    body=batch.body,
                    authorization=authorizations[batch.source],
                    received_at=timezone.now(),
                )
            read, day = group[0].read, group[0].reached[:10]
            hold.progress(read, max(about, read), f"sent up to {day}")
            if time.monotonic() - reported >= REPORT_EVERY_SECONDS:
                reported = time.monotonic()
                pace = (read - skip) / (reported - began)
                say(f"  {read:>9,} messages, up to {day}, {pace:,.0f} a second")
            _wait_until(lambda: _waiting() < MOST_WAITING, working)
        hold.progress(read, read, "processing the last of them")
        _wait_until(lambda: not InboxMessage.objects.exists(), working)
    return Loaded(messages=read, sent=read - skip, seconds=time.monotonic() - began)


def refuse_if_in_use(*, kinds: Iterable[str]) -> None:
    """Made-up people must never mix with others.

    Raises:
        DomainError: there are people in this database that no load of these kinds has brought.
    """
    from cdp.profiles.models import Profile

    if Profile.objects.exists() and not Job.objects.filter(kind__in=list(kinds)).exists():
        raise DomainError("database_in_use", "This database holds other people; load into an empty one.")


def quarantined() -> int:
    """How many messages of a load could not be used. None should be."""
    return Quarantined.objects.filter(replayed_at__isnull=True, discarded_at__isnull=True).count()


def gather_statistics() -> None:
    """Tells the planner what a load has changed, without waiting for autovacuum to notice."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    connections["owner"].close()


def _waiting() -> int:
    return InboxMessage.objects.aggregate(waiting=Sum("message_count"))["waiting"] or 0


def _wait_until(ready: Callable[[], bool], working: list[BaseProcess]) -> None:
    while not ready():
        if not all(process.is_alive() for process in working):
            raise DomainError(
                "consumer_ended", "A consumer ended before its work was done; its last lines stand above."
            )
        time.sleep(0.02)


def _basic(write_key: str) -> str:
    return "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()


@contextmanager
def _fewer_collections() -> Iterator[None]:
    # The stream makes many small, short-lived dictionaries and no cycles: looking for these takes a third of its time.
    usual = gc.get_threshold()
    gc.set_threshold(200_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)

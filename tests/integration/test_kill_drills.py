"""Processes die, collide and lose their server at the worst moments; nothing is lost, doubled or left half done."""

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import pytest
from django.db import connection, connections, transaction

from cdp.ingestion.models import InboxMessage, Quarantined
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import send_stranded
from cdp.pipeline import drain_dirty
from cdp.profiles.models import DirtyProfile, Event
from segments import tasks
from segments.feed import number_changes
from segments.models import MembershipChange
from segments.services import publish, request_refresh, save_version
from tests.factories import BY, Call, Tracker, identify, live, performed, person, process_all, rule, track, tracker
from tests.harness.processes import Processes
from tests.integration.books import assert_books_balance

pytestmark = pytest.mark.drill

LEASE_SECONDS = 2


def until(what: str, true: Callable[[], bool], *, seconds: float = 60) -> None:
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience, f"waited {seconds} seconds until {what}"
        time.sleep(0.05)


class Background(threading.Thread):
    """Does a step again and again until told to end; what it raised is raised then."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.step, self.stopping, self.failure = step, threading.Event(), None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
        except BaseException as failure:  # noqa: BLE001  (raised again by `end`)
            self.failure = failure
        finally:
            connections.close_all()

    def end(self) -> None:
        self.stopping.set()
        self.join(60)
        if self.failure is not None:
            raise self.failure


@contextmanager
def background(*steps: Callable[[], None]) -> Iterator[None]:
    threads = [Background(step) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stopping.set()
    for thread in threads:
        thread.end()


class Visitors:
    """People who come, look, buy and log in, over the accept path; and a client that sends some requests twice."""

    def __init__(self, shop: Tracker, chance: random.Random) -> None:
        self.shop, self.chance = shop, chance
        self.accepted: set[str] = set()
        self.numbers = itertools.count()

    def step(self) -> None:
        if InboxMessage.objects.count() > 60:  # enough waits for whoever is killed next; more would only take longer
            time.sleep(0.02)
            return
        calls = [self.call() for _ in range(self.chance.randint(1, 10))]
        for _ in range(2 if self.chance.random() < 0.2 else 1):
            self.shop.send(*calls)
        self.accepted |= {call["messageId"] for call in calls}

    def call(self) -> Call:
        number = self.chance.randrange(12 + next(self.numbers) // 4)
        user, device = f"user {number}", f"device {number} {self.chance.randrange(3)}"
        match self.chance.randrange(5):
            case 0:
                return track("Looked", anonymousId=device)
            case 1:
                return identify(user, anonymousId=device, traits={"city": self.chance.choice(["Bern", "Rome", None])})
            case _:
                return track("Bought", user, properties={"revenue": self.chance.randint(1, 90)})


def test_nothing_is_lost_or_doubled_when_consumers_and_workers_are_killed(
    processes: Processes, settings: Any, drill_scale: Callable[..., int]
) -> None:
    seed = os.environ.get("DRILL_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"DRILL_SEED={seed} chooses the same people, victims and pauses again")
    chance = random.Random(seed)
    settings.JOB_LEASE_SECONDS = settings.JOB_RESEND_SECONDS = LEASE_SECONDS
    processes.environ |= {
        "CDP_JOB_LEASE_SECONDS": str(LEASE_SECONDS),
        "CDP_JOB_RESEND_SECONDS": str(LEASE_SECONDS),
        "CDP_BATCH_MESSAGES": "40",
    }
    shop = tracker()
    shop.send(track("Bought", "first"), track("Looked", "first"), identify("first", traits={"city": "Bern"}))
    process_all()
    segments = [
        live("buyers", performed("Bought")),
        live("loyal", performed("Bought", 5)),
        live("never", {"not": performed("Bought")}),
        live("big", {"performed": "Bought", "measure": "sum", "op": "gte", "value": 300}),
        live("swiss", {"trait": "city", "op": "equals", "value": "Bern"}),
        live("recent", performed("Looked", 2, within={"days": 2})),
        live("rest", {"all": [{"in_segment": "buyers"}, {"not": {"in_segment": "loyal"}}]}),
    ]
    visitors = Visitors(shop, random.Random(seed))

    def office() -> None:
        """Somebody who asks for refreshes, words rules anew, and edits people."""
        segment = chance.choice(segments)
        if segment.key == "loyal" and chance.random() < 0.5:
            version = save_version(segment=segment, rule=rule(performed("Bought", chance.randint(2, 9))), by=BY)
            publish(segment=segment, version=version, by=BY)
        else:
            request_refresh(segment=segment, by=BY)
        DirtyProfile.objects.create(profile_id=person("first").pk, facts={"why": "edit"})
        time.sleep(0.05)

    def beat() -> None:
        send_stranded()
        time.sleep(0.5)

    starters: dict[str, Callable[[], Popen[bytes]]] = {
        "consumer 1": processes.consumer,
        "consumer 2": processes.consumer,
        "worker": lambda: processes.celery_worker(concurrency=2),
    }
    running = {name: start() for name, start in starters.items()}
    killed: Counter[str] = Counter()
    with background(visitors.step, office, beat):
        for _ in range(drill_scale(full=30, quick=3)):
            stored = Event.objects.count()
            until("the consumers have stored something new", lambda: Event.objects.count() > stored)  # noqa: B023
            time.sleep(chance.random() * 0.4)
            victim = chance.choice(list(running))
            processes.kill(running[victim])
            killed[victim] += 1
            running[victim] = starters[victim]()
    try:
        until("the inbox is empty", lambda: not InboxMessage.objects.exists())
        with background(beat):
            until("every job has ended", lambda: not Job.objects.unfinished().exists())
        until("every edit was judged", lambda: not DirtyProfile.objects.exists())
        for name in ("consumer 1", "consumer 2"):
            processes.stop(running[name])
        number_changes()
    finally:
        died = Job.objects.filter(attempts__gt=1).count()
        print(
            f"killed {dict(killed)}; {len(visitors.accepted)} messages, {Job.objects.count()} jobs, {died} of them taken twice"
        )

    stored = Counter(Event.objects.exclude(profile_id=person("first").pk).values_list("message_id", flat=True))
    assert stored == Counter(visitors.accepted), "every accepted message is stored once"
    assert not Quarantined.objects.exists()
    assert set(Job.objects.values_list("state", "error_code")) == {(JobState.SUCCEEDED, "")}
    assert_books_balance()
    assert_a_done_job_does_nothing()


def assert_a_done_job_does_nothing() -> None:
    before = list(Job.objects.order_by("pk").values()), MembershipChange.objects.count()
    for pk in Job.objects.order_by("-pk").values_list("pk", flat=True)[:20]:
        tasks.refresh.apply(args=[pk], throw=True)
    assert (list(Job.objects.order_by("pk").values()), MembershipChange.objects.count()) == before


def test_a_consumer_that_loses_its_server_comes_back_soon_every_time(processes: Processes) -> None:
    shop = tracker()
    consumer = processes.consumer()
    for number in range(5):
        shop.send(track("Bought", f"u{number}"))
        until("the event is stored", lambda number=number: Event.objects.count() == number + 1)  # type: ignore[misc]
        _end_sessions_of_others()
    assert consumer.poll() is None
    shop.send(track("Bought", "last"))
    until("the last event is stored", lambda: Event.objects.count() == 6)
    pauses = [
        float(line.split(" seconds=")[1].split()[0]) for line in processes.output().splitlines() if " seconds=" in line
    ]
    # Twice as long once in a while: a thread may lose its server again before it has done a batch.
    assert pauses and max(pauses) <= 0.4, "each pause is a new one, not the next of a row"


def test_a_batch_that_collides_is_simply_done_again(processes: Processes) -> None:
    """The consumer waits for our lock, we for its; the server ends the one that waited longest, and that is the consumer."""
    shop = tracker()
    shop.send(track("Looked", "ann"), track("Looked", "bob"))
    process_all()
    first, second = sorted([person("ann").pk, person("bob").pk])
    processes.consumer()
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        lock = "SELECT 1 FROM profiles_profile WHERE id = %s FOR NO KEY UPDATE"
        cursor.execute(lock, [second])
        shop.send(track("Bought", "ann"), track("Bought", "bob"))
        until("the consumer waits for us", _somebody_waits)
        cursor.execute(lock, [first])  # we get it: the consumer gives way
    until("the batch is stored", lambda: Event.objects.count() == 4, seconds=10)
    assert "batch_collided" in processes.output()
    assert "consumer_waits_for_database" not in processes.output()
    until("nothing is left", lambda: not InboxMessage.objects.exists())
    drain_dirty()
    assert_books_balance()


def _end_sessions_of_others() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchall()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND locktype = 'transactionid' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])

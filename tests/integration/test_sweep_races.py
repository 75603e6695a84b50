"""Sweepers beside consumers, refreshes and each other: no verdict is lost between two writers, nor with a process."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import DatabaseError, connection, connections, transaction
from psycopg.errors import TransactionTimeout

from cdp.pipeline import process_batch
from cdp.profiles import store
from cdp.profiles.models import Event, Workspace
from cdp.sweeper import Sweeper
from segments.feed import number_changes
from segments.models import (
    ChangeKind,
    ChangeWhy,
    DriftCheck,
    MembershipChange,
    Segment,
    SweepState,
)
from segments.moments import moment_of_writing
from segments.sweep import SWEEP_LOCK, Swept, sweep_due
from tests.factories import (
    Tracker,
    live,
    members,
    performed,
    person,
    process_all,
    refresh_now,
    track,
    tracker,
)
from tests.harness.processes import Processes
from tests.integration.books import assert_books_balance, member_ids, truth
from tests.integration.crew import crew, seeded

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
LAST_MINUTE = performed("Bought", within={"minutes": 1})


@pytest.fixture
def own_shop(own_database: Any, settings: LazySettings) -> Tracker:
    settings.BATCH_SECONDS = 30
    shop = tracker()
    shop.send(track("Bought", "first", ago=DAY), track("Looked", "first", ago=DAY))
    process_all()
    return shop


def sweep_all() -> Swept:
    swept = sweep_due(everything=True)
    number_changes()
    return swept


def newest_change(segment: Segment) -> MembershipChange:
    return MembershipChange.objects.filter(segment=segment).latest("position")


def swept_to(segment: Segment) -> datetime:
    return SweepState.objects.get(pk=segment.pk).swept_to


# ---- Two writers -------------------------------------------------------------------------------------------------


def until_edge(at: datetime) -> None:
    time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()) + 0.05)


def test_a_batch_that_commits_after_a_sweep_is_looked_at_by_the_next(own_shop: Tracker) -> None:
    """It judged as of a moment before the edge, and its event was not to be seen when the sweep passed that edge."""
    segment = live("recent", LAST_MINUTE, cadence="real_time")
    edge = datetime.now(UTC) + timedelta(seconds=1.5)
    own_shop.send(track("Bought", "ann", timestamp=(edge - MINUTE).isoformat()))
    judged, may_commit = threading.Event(), threading.Event()

    def slow_batch() -> None:
        with transaction.atomic():
            assert process_batch().entered == 1
            judged.set()
            assert may_commit.wait(20)

    with crew(2) as workers:

        def sweeps() -> None:
            assert judged.wait(20)
            until_edge(edge)
            assert sweep_due().exited == 0
            assert swept_to(segment) > edge
            may_commit.set()

        workers.race([slow_batch, sweeps])
    assert members(segment) == {"ann"}, "as of when it was judged"
    sweep_all()
    assert members(segment) == set()
    assert_books_balance()


def test_a_verdict_may_not_wait_for_its_commit_longer_than_sweeps_look_back(
    own_shop: Tracker, settings: LazySettings
) -> None:
    def too_slow() -> None:
        with transaction.atomic():
            moment_of_writing()
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(3)")

    settings.BATCH_SECONDS = 1
    with pytest.raises(DatabaseError) as ended:
        too_slow()
    assert isinstance(ended.value.__cause__, TransactionTimeout)
    connection.close()
    assert Event.objects.exists(), "the next transaction is as good as ever"


def test_whoever_agrees_with_their_membership_keeps_nobody_waiting(own_shop: Tracker) -> None:
    own_shop.send(track("Bought", "ann", ago=timedelta(seconds=1)))
    process_all()
    segment = live("recent", performed("Bought", within={"days": 30}), cadence="real_time")
    ann = person("ann")
    swept = threading.Event()

    def hold() -> None:
        with transaction.atomic():
            store.lock_profiles([ann.pk])
            assert swept.wait(20), "the sweep waited for a lock it didn't need"

    def sweep() -> None:
        assert sweep_due().candidates >= 1
        swept.set()

    with crew(2) as workers:
        workers.race([hold, sweep])
    assert members(segment) == {"ann", "first"}


def test_a_segment_is_swept_by_one_process_at_a_time(own_shop: Tracker) -> None:
    mine, other = live("mine", LAST_MINUTE), live("other", LAST_MINUTE)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [SWEEP_LOCK, other.pk])
        held.set()
        assert done.wait(20)
        connection.close()

    def sweep() -> None:
        assert held.wait(20)
        before = {one.pk: swept_to(one) for one in (mine, other)}
        try:
            assert sweep_due(everything=True).segments == 1
            assert swept_to(mine) > before[mine.pk] and swept_to(other) == before[other.pk]
        finally:
            done.set()

    with crew(2) as workers:
        workers.race([hold, sweep])
    assert sweep_due(everything=True).segments == 2


@pytest.mark.drill
def test_consumers_sweepers_and_a_refresh_race_over_the_edges(own_shop: Tracker, drill_scale: Any) -> None:
    """Edges pass while batches with just those events are under way; at the end nobody is where time has left them."""
    segments = [
        live("once", LAST_MINUTE, cadence="real_time"),
        live("twice", performed("Bought", 2, within={"minutes": 1}), cadence="real_time"),
        live("quiet", {"not": LAST_MINUTE}, cadence="real_time"),
        live("ever", performed("Bought", 3), cadence="real_time"),
        live("both", {"all": [{"in_segment": "once"}, {"not": {"in_segment": "twice"}}]}, cadence="real_time"),
    ]
    exits = 0
    with crew(5) as workers:
        for number in range(drill_scale(full=300, quick=6)):
            chance = seeded("sweep", number)
            users = [f"u{number // 3}-{one}" for one in range(4)]
            began = datetime.now(UTC)
            for _ in range(chance.randint(4, 10)):
                edge = began + timedelta(milliseconds=chance.randint(0, 600))
                at = edge if chance.random() < 0.25 else edge - MINUTE  # ahead of our clock, or about to leave
                own_shop.send(track("Bought", chance.choice(users), timestamp=at.isoformat()))

            def consume(chance: Any = chance) -> None:
                while process_batch(messages=chance.randint(1, 3)).requests:
                    number_changes()

            def sweep(began: datetime = began) -> None:
                while datetime.now(UTC) < began + timedelta(milliseconds=700):
                    sweep_due()
                    number_changes()

            refreshed = chance.choice(segments)
            workers.race([consume, consume, sweep, sweep, lambda one=refreshed: refresh_now(one)])  # type: ignore[misc]
            until_edge(began + timedelta(milliseconds=700))
            # Time stands still while it is checked: what was dated ahead in this round or an earlier one leaves any moment.
            now = datetime.now(UTC)
            Workspace.objects.update(frozen_at=now)
            sweep_all()
            for segment in segments:
                assert member_ids(segment) == truth(segment, now), f"{segment.key}, round {number}"
            exits = MembershipChange.objects.filter(why=ChangeWhy.TIME, kind=ChangeKind.EXITED).count()
            Workspace.objects.update(frozen_at=None)
    assert exits, "nobody left while it raced"
    Workspace.objects.update(frozen_at=now)
    assert_books_balance()
    assert not DriftCheck.objects.exclude(missing=0, extra=0).exists(), "nothing was ever put right but by time"


# ---- The process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sweeper(own_shop: Tracker) -> Iterator[Sweeper]:
    one = Sweeper(seconds=0.1)
    running = threading.Thread(target=one.run)
    running.start()
    yield one
    one.stop()
    running.join(timeout=5)
    assert not running.is_alive(), "told to stop, it goes on"


def until(what: str, true: Callable[[], bool], *, seconds: float = 20) -> None:
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience, f"waited {seconds} seconds until {what}"
        time.sleep(0.05)


def test_the_sweeper_notices_by_itself_and_outlives_a_lost_database(own_shop: Tracker, sweeper: Sweeper) -> None:
    segment = live("recent", LAST_MINUTE, cadence="real_time")
    own_shop.send(track("Bought", "ann", ago=MINUTE - timedelta(seconds=1.5)))
    process_all()
    assert members(segment) == {"ann"}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
        )
        assert cursor.fetchone()[0] >= 1
    until("ann has left", lambda: members(segment) == set())
    until("her leaving is numbered", lambda: newest_change(segment).kind == ChangeKind.EXITED)


@pytest.mark.drill
def test_killed_at_any_moment_a_sweeper_leaves_nothing_half_done(
    own_shop: Tracker, processes: Processes, drill_scale: Any
) -> None:
    processes.environ["CDP_SWEEP_SECONDS"] = "1"
    segment = live("recent", LAST_MINUTE, cadence="real_time")
    for number in range(drill_scale(full=20, quick=2)):
        chance = seeded("kill sweeper", number)
        edge = datetime.now(UTC) + timedelta(seconds=3)
        own_shop.send(
            *(track("Bought", f"{number}-{one}", timestamp=(edge - MINUTE).isoformat()) for one in range(200))
        )
        process_all()
        sweeper = processes.manage("sweep")
        time.sleep(chance.uniform(2.5, 4.5))
        sweeper.kill()
        sweeper.wait()
        until_edge(edge)
        until("its locks are gone", lambda: sweep_due().segments == 1)
        number_changes()
        assert members(segment) == set()
    assert_books_balance()


def test_a_sweeper_that_is_told_to_stop_ends_at_once_and_closes_its_connection(own_shop: Tracker) -> None:
    def others() -> int:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
            )
            return int(cursor.fetchone()[0])

    before = others()
    one = Sweeper(seconds=60)
    running = threading.Thread(target=one.run)
    running.start()
    until("it is connected", lambda: others() == before + 1)
    one.stop()
    running.join(5)
    assert not running.is_alive()
    until("its connection is gone", lambda: others() == before)

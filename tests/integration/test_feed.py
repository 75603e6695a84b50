"""The feed of membership changes: whoever follows its numbers misses nothing, whatever commits in which order."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, InternalError, ProgrammingError, connection, connections, transaction

from segments.feed import SEQUENCER_LOCK, number_changes
from segments.models import ChangeKind, MembershipChange, Segment
from segments.services import archive, delete_segment
from tests.factories import BY, Tracker, live, performed, process_all, track, tracker
from tests.integration.books import assert_feed_has_no_gaps, rows
from tests.integration.crew import crew

BUYERS = performed("Bought")


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(track("Bought", "ann"), track("Bought", "bob"), track("Looked", "cyd"))
    process_all()
    return shop


def positions() -> list[int]:
    return list(MembershipChange.objects.order_by("position").values_list("position", flat=True))


def test_changes_are_numbered_in_the_order_in_which_they_were_written(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    live("strangers", {"not": BUYERS})
    shop.send(track("Bought", "cyd"))
    process_all()
    written = list(MembershipChange.objects.order_by("position").values_list("recorded_at", flat=True))
    assert len(written) == 5 and written == sorted(written)
    assert_feed_has_no_gaps()
    segment.refresh_from_db()
    assert segment.member_count == 3


def test_a_numbered_change_is_never_written_again(shop: Tracker) -> None:
    live("buyers", BUYERS)
    for edit in ({"position": 99}, {"kind": ChangeKind.EXITED}, {"profile_id": 0}):
        with pytest.raises((InternalError, ProgrammingError, IntegrityError)), transaction.atomic():
            MembershipChange.objects.filter(position=1).update(**edit)


def test_a_deleted_segment_s_numbers_are_not_given_out_again(shop: Tracker) -> None:
    live("lookers", performed("Looked"))
    newest = live("buyers", BUYERS)
    reader_has_seen = max(positions())
    delete_segment(segment=newest, by=BY)
    live("others", {"not": BUYERS})
    assert min(p for p in positions() if p > 1) > reader_has_seen


def test_an_archived_segment_s_changes_stay_in_the_feed(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    archive(segment=segment, by=BY)
    assert positions() == [1, 2]


def test_a_change_that_commits_late_is_numbered_after_those_that_were_seen(own_database: Any) -> None:
    """Two writers commit in the other order than they wrote; a reader who has seen number n never misses a lower one."""
    shop = tracker()
    shop.send(track("Bought", "ann"), track("Looked", "bob"))
    process_all()
    segment = live("buyers", BUYERS)
    written, may_commit = threading.Event(), threading.Event()

    def slow_writer() -> None:
        try:
            with transaction.atomic():
                _write(segment.pk, profile_id=1001)
                written.set()
                assert may_commit.wait(20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=slow_writer)
    thread.start()
    assert written.wait(20)
    _write(segment.pk, profile_id=1002)
    assert number_changes() == 1
    seen = MembershipChange.objects.get(profile_id=1002).position
    may_commit.set()
    thread.join()
    assert number_changes() == 1
    assert MembershipChange.objects.get(profile_id=1001).position == seen + 1
    assert_feed_has_no_gaps()


@pytest.mark.drill
def test_sequencers_that_race_number_each_change_once(own_database: Any, drill_scale: Any) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"))
    process_all()
    segment = live("buyers", BUYERS)
    rounds = drill_scale(full=300, quick=15)
    start = threading.Barrier(3)
    failures: list[BaseException] = []

    def work(writes: bool) -> None:
        try:
            start.wait(20)
            for number in range(rounds):
                if writes:
                    with transaction.atomic():
                        for one in range(7):
                            _write(segment.pk, profile_id=10_000 + 10 * number + one)
                number_changes()
        except BaseException as failure:  # noqa: BLE001  (raised again by the test)
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(writes,)) for writes in (True, False, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    number_changes()
    assert len(positions()) == 1 + 7 * rounds
    assert_feed_has_no_gaps()
    segment.refresh_from_db()
    assert segment.member_count == 1 + 7 * rounds


def _write(segment_id: int, *, profile_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO segments_pendingchange (segment_id, profile_id, profile_uuid, kind, effective_at, why, recorded_at)"
            " VALUES (%s, %s, gen_random_uuid(), 'entered', now(), 'event', clock_timestamp())",
            [segment_id, profile_id],
        )


def test_a_segment_is_deleted_while_its_changes_are_numbered(own_database: Any) -> None:
    """The sequencer goes from changes to their segment, deleting from the segment to its changes: neither may hold up the other."""
    shop = tracker()
    shop.send(track("Bought", "ann"))
    process_all()
    segment = live("buyers", performed("Bought"))
    with crew(1) as hands:
        with transaction.atomic():
            numbering = rows(f"SELECT pg_try_advisory_xact_lock({SEQUENCER_LOCK})")
            assert numbering == [(True,)]
            rows("SELECT position FROM segments_membershipchange FOR UPDATE")
            deleted = hands.pool.submit(delete_segment, segment=segment, by=BY)
            while not rows("SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"):
                assert not deleted.done(), "it waits for the numbering"
            Segment.objects.update(member_count=1)
        deleted.result(30)
    assert not Segment.objects.exists()

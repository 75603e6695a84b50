"""The life of a job: the row is the truth, a queue message only says "look at job 7", and may be lost or come twice."""

import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone
from structlog.contextvars import get_contextvars

from cdp.audit.actors import SYSTEM
from cdp.audit.context import request_id_var
from cdp.audit.models import AuditEntry
from cdp.audit.services import record
from cdp.celery import app
from cdp.errors import Conflict, DomainError
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import MAX_ATTEMPTS, cancel, enqueue, lease, send_stranded
from cdp.profiles.models import Profile
from segments import tasks
from segments.models import MembershipChange
from segments.refresh import refresh
from segments.services import delete_segment, publish
from tests.factories import BY, draft, members, performed, process_all, track, tracker

KIND = "tests.nothing"


def job(**more: Any) -> Job:
    return enqueue(kind=KIND, params={}, by=BY, **more)


def state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def died(job: Job) -> None:
    """As if its worker had been killed a while ago."""
    Job.objects.filter(pk=job.pk).update(
        state=JobState.RUNNING,
        created_at=timezone.now() - timedelta(minutes=2),
        lease_token=uuid.uuid4(),
        lease_until=timezone.now() - timedelta(seconds=1),
    )


# ---- One worker at a time ------------------------------------------------------------------------------------


def test_a_job_that_ran_through_has_succeeded_with_its_result(db: None) -> None:
    one = job()
    with lease(one.pk, worker="w1") as held:
        assert held is not None
        assert state(one) == JobState.RUNNING
        held.job.result = {"entered": 3}
    assert state(one) == JobState.SUCCEEDED
    assert (one.result, one.worker, one.attempts, one.lease_token) == ({"entered": 3}, "w1", 1, None)
    assert one.share_done == 1.0 and one.finished_at is not None


def test_a_message_that_comes_twice_runs_the_job_once(db: None) -> None:
    one = job()
    with lease(one.pk, worker="w1") as held:
        assert held is not None
        with lease(one.pk, worker="w2") as second:
            assert second is None, "another worker holds it"
    with lease(one.pk, worker="w2") as again:
        assert again is None, "it is done"
    one.refresh_from_db()
    assert (one.worker, one.attempts) == ("w1", 1)


@pytest.mark.parametrize("finished", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_a_finished_job_is_never_taken_again(db: None, finished: JobState) -> None:
    one = job()
    Job.objects.filter(pk=one.pk).update(state=finished)
    with lease(one.pk, worker="w1") as held:
        assert held is None
    assert state(one) == finished


def test_who_lost_the_lease_can_write_nothing_more(db: None) -> None:
    one = job()
    with lease(one.pk, worker="slow") as slow:
        assert slow is not None
        Job.objects.filter(pk=one.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        with lease(one.pk, worker="quick") as quick:
            assert quick is not None
            quick.progress(5, 10)
            quick.job.result = {"by": "quick"}
        slow.job.result = {"by": "slow"}
        slow.progress(1, 10)
        pytest.fail("progress must not return once the lease is lost")
    one.refresh_from_db()
    assert (one.state, one.worker, one.result, one.done) == (JobState.SUCCEEDED, "quick", {"by": "quick"}, 5)


def test_a_heartbeat_keeps_the_lease_while_one_statement_takes_long(own_database: Any, settings: Any) -> None:
    settings.JOB_LEASE_SECONDS = 0.6
    one = job()
    with lease(one.pk, worker="w1") as held:
        assert held is not None
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(1.5)")
        assert send_stranded() == 0
        with lease(one.pk, worker="w2") as second:
            assert second is None
    assert state(one) == JobState.SUCCEEDED
    assert one.attempts == 1


# ---- Lost messages and dead workers --------------------------------------------------------------------------


def test_a_job_whose_message_was_lost_is_sent_again(db: None, settings: Any) -> None:
    one = job()
    late = timezone.now() - timedelta(seconds=settings.JOB_RESEND_SECONDS + 1)
    Job.objects.filter(pk=one.pk).update(created_at=late, sent_at=None)
    assert send_stranded() == 1
    one.refresh_from_db()
    assert one.sent_at is not None
    assert send_stranded() == 0, "it was sent just now"
    Job.objects.filter(pk=one.pk).update(sent_at=late)
    assert send_stranded() == 1, "nobody has taken it"


def test_a_job_whose_worker_died_is_taken_by_another(db: None) -> None:
    one = job()
    died(one)
    assert send_stranded() == 1
    assert state(one) == JobState.QUEUED
    with lease(one.pk, worker="w2") as held:
        assert held is not None
    assert state(one) == JobState.SUCCEEDED


def test_a_job_that_kills_its_workers_is_given_up(db: None) -> None:
    one = job()
    died(one)
    Job.objects.filter(pk=one.pk).update(attempts=MAX_ATTEMPTS)
    assert send_stranded() == 0
    assert state(one) == JobState.FAILED
    assert one.error_code == "worker_died"


def test_a_worker_that_is_told_to_end_gives_its_job_back(db: None) -> None:
    one = job()
    with pytest.raises(SystemExit), lease(one.pk, worker="w1"):
        raise SystemExit(0)
    assert state(one) == JobState.QUEUED
    assert one.lease_token is None and one.error_code == ""


def test_a_collision_in_the_database_gives_the_job_back_for_the_retry(db: None) -> None:
    one = job()
    with pytest.raises(OperationalError), lease(one.pk, worker="w1"):
        raise OperationalError("deadlock detected")
    assert state(one) == JobState.QUEUED
    with lease(one.pk, worker="w1") as held:
        assert held is not None
    assert state(one) == JobState.SUCCEEDED


# ---- Cancelling, asking twice, failing -----------------------------------------------------------------------


def test_a_waiting_job_is_cancelled_at_once(db: None) -> None:
    one = cancel(job=job(), by=BY)
    assert one.state == JobState.CANCELLED
    with lease(one.pk, worker="w1") as held:
        assert held is None
    with pytest.raises(Conflict):
        cancel(job=one, by=BY)
    assert AuditEntry.objects.filter(action="job.cancelled", object_id=str(one.uuid)).count() == 1


def test_a_running_job_stops_at_its_next_step(db: None) -> None:
    one = job()
    with lease(one.pk, worker="w1") as held:
        assert held is not None
        held.progress(1, 3)
        assert cancel(job=one, by=BY).state == JobState.RUNNING
        held.progress(2, 3)
        pytest.fail("progress must hear the cancel")
    assert state(one) == JobState.CANCELLED


def test_whoever_asks_twice_waits_for_the_same_job(db: None) -> None:
    one = job(dedupe_key="refresh:1")
    assert job(dedupe_key="refresh:1").pk == one.pk
    assert job(dedupe_key="refresh:2").pk != one.pk
    with lease(one.pk, worker="w1"):
        assert job(dedupe_key="refresh:1").pk == one.pk
    assert job(dedupe_key="refresh:1").pk != one.pk, "the first is done: this is a new wish"


def test_two_who_ask_at_once_get_one_job(own_database: Any) -> None:
    found: list[int] = []
    start = threading.Barrier(4)

    def ask() -> None:
        try:
            start.wait(20)
            found.append(job(dedupe_key="refresh:1").pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert Job.objects.count() == 1


def test_a_domain_error_is_kept_in_its_own_words(db: None) -> None:
    one = job()
    with lease(one.pk, worker="w1"):
        raise DomainError("segment_not_live", "“Buyers” is not live.")
    assert state(one) == JobState.FAILED
    assert (one.error_code, one.error_message) == ("segment_not_live", "“Buyers” is not live.")


def test_an_unexpected_error_leaves_no_personal_data_in_the_row(db: None) -> None:
    one = job()
    with pytest.raises(ValueError), lease(one.pk, worker="w1"):
        raise ValueError("could not convert ann@example.com")
    assert state(one) == JobState.FAILED
    assert (one.error_code, one.error_message) == ("internal", "ValueError")


def test_progress_tells_share_and_time_left(db: None) -> None:
    one = job()
    with lease(one.pk, worker="w1") as held:
        assert held is not None
        one.refresh_from_db()
        assert one.share_done is None and one.seconds_left is None
        Job.objects.filter(pk=one.pk).update(started_at=timezone.now() - timedelta(seconds=30))
        held.progress(1, 4, "entering and leaving")
        one.refresh_from_db()
        assert (one.share_done, one.phase) == (0.25, "entering and leaving")
        assert one.seconds_left == pytest.approx(90, abs=2)


# ---- A refresh as a job --------------------------------------------------------------------------------------


def test_a_refresh_says_how_far_it_is(db: None) -> None:
    shop = tracker()
    shop.send(*(track("Bought", f"u{n}") for n in range(12)))
    process_all()
    segment = draft("buyers", performed("Bought"))
    publish(segment=segment, version=segment.versions.get(), by=BY)
    seen: list[tuple[int, int, str]] = []
    assert refresh(segment=segment, progress=lambda *step: seen.append(step)).entered == 12
    assert seen == [(0, 0, "finding who enters and who leaves"), (0, 12, "entering and leaving"), (12, 12, "done")]


def test_a_refresh_of_a_deleted_segment_says_so(db: None) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"))
    process_all()
    segment = draft("buyers", performed("Bought"))
    one = publish(segment=segment, version=segment.versions.get(), by=BY)
    delete_segment(segment=segment, by=BY)
    tasks.refresh.apply(args=[one.pk], throw=True)
    assert state(one) == JobState.FAILED
    assert one.error_code == "segment_deleted"


def test_a_second_refresh_waits_for_its_turn_and_hears_a_cancel_meanwhile(own_database: Any) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"))
    process_all()
    segment = draft("buyers", performed("Bought"))
    publish(segment=segment, version=segment.versions.get(), by=BY)
    is_running, may_end = threading.Event(), threading.Event()

    def first(done: int, total: int, phase: str) -> None:
        is_running.set()
        assert may_end.wait(20)

    def work() -> None:
        try:
            refresh(segment=segment, progress=first)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert is_running.wait(20)
    second = job()
    with lease(second.pk, worker="w2") as held:
        assert held is not None

        def cancelled_while_it_waits(done: int, total: int, phase: str) -> None:
            assert phase == "waiting for another refresh"
            cancel(job=second, by=BY)
            held.progress(done, total, phase)

        refresh(segment=segment, progress=cancelled_while_it_waits)
    assert state(second) == JobState.CANCELLED

    seen: list[str] = []

    def waits_its_turn(done: int, total: int, phase: str) -> None:
        seen.append(phase)
        may_end.set()

    assert refresh(segment=segment, progress=waits_its_turn).members == 1
    thread.join()
    assert seen[0] == "waiting for another refresh" and seen[-1] == "done"


def test_the_worker_brings_a_published_segment_in_line_and_a_second_message_does_nothing(processes: Any) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"), track("Looked", "bob"))
    process_all()
    processes.celery_worker(pool="solo")
    segment = draft("buyers", performed("Bought"))
    one = publish(segment=segment, version=segment.versions.get(), by=BY)
    _until_finished(one)
    assert one.state == JobState.SUCCEEDED, (one.error_code, one.error_message)
    assert (one.result["entered"], one.result["members"]) == (1, 1)
    assert members(segment) == {"ann"}

    changes, finished_at = MembershipChange.objects.count(), one.finished_at
    app.send_task(one.kind, args=[one.pk], retry=False)
    two = publish(segment=segment, version=segment.versions.get(), by=BY)
    _until_finished(two)  # behind the second message in the queue
    one.refresh_from_db()
    assert (one.attempts, one.finished_at) == (1, finished_at)
    assert MembershipChange.objects.count() == changes
    assert Profile.objects.count() == 2


def _until_finished(one: Job) -> None:
    patience = time.monotonic() + 20
    while not one.is_finished:
        assert time.monotonic() < patience, one.state
        time.sleep(0.05)
        one.refresh_from_db()


def test_work_speaks_in_the_name_of_the_request_that_asked_for_it(db: None) -> None:
    """Hours later and in another process its log lines and audit entries name the same request."""
    token = request_id_var.set("asked-for-it")
    try:
        asked = enqueue(kind=KIND, params={}, by=BY)
    finally:
        request_id_var.reset(token)
    with lease(asked.pk, worker="w") as held:
        assert held is not None
        assert get_contextvars()["request_id"] == "asked-for-it"
        with transaction.atomic():
            assert record(by=SYSTEM, action="thing.made").request_id == "asked-for-it"
    assert "request_id" not in get_contextvars()
    assert request_id_var.get() == ""

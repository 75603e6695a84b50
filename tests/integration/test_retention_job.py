"""The job that applies retention: asked for once a night, killed, cancelled, or overtaken by a longer rule; and on record."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from cdp.accountability import applying, running
from cdp.accountability.models import RetentionRun
from cdp.accountability.tasks import apply_retention as apply_by_job
from cdp.audit.models import AuditEntry
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import cancel
from cdp.profiles.models import Event, EventName
from tests.factories import BY, Tracker, person, process_all, track, tracker
from tests.integration.books import assert_books_balance
from tests.integration.test_retention import DAY, apply, rule

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Tracker:
    return tracker()


@pytest.fixture
def backlog(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve people with an event that is over, of whom a transaction takes few."""
    monkeypatch.setattr(applying, "CHUNK", 3)
    shop.send(*(track("Bought", f"u{number}", ago=50 * DAY) for number in range(12)))
    process_all()
    rule(30, "Bought")


def work(job: Job) -> Job:
    apply_by_job.apply(args=[job.pk]).get()
    job.refresh_from_db()
    return job


def test_the_nightly_job_is_asked_for_once_and_says_what_it_did(backlog: None) -> None:
    job = running.request_due_application()
    assert job is not None and running.request_due_application() is None
    assert work(job).state == JobState.SUCCEEDED and job.result is not None
    assert job.result["events"] == 12 and job.result["people"] == 12
    [entry] = AuditEntry.objects.filter(action="retention.applied")
    month = (datetime.now(UTC) - 50 * DAY).strftime("%Y-%m")
    assert entry.detail["deleted"] == {"events": {f"Bought {month}": "12"}} or entry.detail["deleted"] == {
        "events": {f"Bought {month}": 12}
    }
    assert running.request_due_application() is None, "until the next night"
    assert_books_balance()


def test_without_rules_no_job_is_asked_for(db: None) -> None:
    assert running.request_due_application() is None


def test_a_killed_job_goes_on_and_counts_nothing_twice(backlog: None, monkeypatch: pytest.MonkeyPatch) -> None:
    job = running.request_due_application()
    assert job is not None
    delete, calls = applying._delete_events, []

    def killed(*arguments: Any) -> int:
        calls.append(1)
        if len(calls) == 3:
            with transaction.atomic():
                delete(*arguments)
                raise SystemExit  # within the transaction: nothing of this step is done
        return delete(*arguments)

    monkeypatch.setattr(applying, "_delete_events", killed)
    with pytest.raises(SystemExit):
        apply_by_job.apply(args=[job.pk]).get()
    assert Event.objects.filter(type=1).count() == 6
    assert_books_balance()
    monkeypatch.setattr(applying, "_delete_events", delete)
    assert work(job).state == JobState.SUCCEEDED and job.result is not None
    assert job.result["events"] == 12
    assert work(job).result["events"] == 12, "a done job does nothing"  # type: ignore[index]
    assert AuditEntry.objects.filter(action="retention.applied").count() == 1


def test_a_cancelled_job_stops_between_two_steps_and_is_on_record(
    backlog: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running.request_due_application()
    assert job is not None
    delete = applying._delete_events

    def and_cancel(*arguments: Any) -> int:
        deleted = delete(*arguments)
        cancel(job=job, by=BY)
        return deleted

    monkeypatch.setattr(applying, "_delete_events", and_cancel)
    assert work(job).state == JobState.CANCELLED
    assert Event.objects.filter(type=1).count() == 9
    [entry] = AuditEntry.objects.filter(action="retention.applied")
    assert entry.detail["complete"] is False
    assert_books_balance()


def test_a_rule_that_is_lengthened_meanwhile_keeps_what_has_not_gone(
    backlog: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = applying._delete_events

    def and_lengthen(*arguments: Any) -> int:
        deleted = delete(*arguments)
        rule(100, "Bought")
        return deleted

    monkeypatch.setattr(applying, "_delete_events", and_lengthen)
    apply()
    assert Event.objects.filter(type=1).count() == 9


def test_what_was_deleted_by_a_run_that_never_came_back_is_told_by_the_next(backlog: None) -> None:
    left = RetentionRun.objects.create(job_uuid=uuid4(), as_of=datetime.now(UTC))
    applying._delete_events(left, [person("u1").pk])
    job = running.request_due_application()
    assert job is not None
    work(job)
    assert [
        e.detail["complete"] for e in AuditEntry.objects.filter(action="retention.applied").order_by("recorded_at")
    ] == [False, True]


def test_each_step_looks_at_an_index(backlog: None) -> None:
    with connection.cursor() as cursor:
        # A handful of rows is read and sorted in no time: the question is whether there is an order to read by.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        params = {
            "name": EventName.objects.get(name="Bought").pk,
            "after": datetime(2000, 1, 1, tzinfo=UTC),
            "until": datetime.now(UTC),
            "limit": 10,
        }
        cursor.execute(f"EXPLAIN {applying.NEXT}", params)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    # One range of each month's index, in order: nothing that was passed is read again, and nothing is sorted.
    assert plan.count("Index Scan") == len(partitions_read := re.findall(r"on profiles_event_\w+", plan)) > 0, plan
    assert "Seq Scan" not in plan and "Sort  (" not in plan and partitions_read, plan

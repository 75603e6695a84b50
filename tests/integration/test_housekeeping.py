"""What is kept for a while only: finished jobs, and messages that could not be used."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from guardian.models import UserObjectPermission

from cdp.audit.actors import Actor, ActorKind
from cdp.audit.models import AuditEntry
from cdp.celery import app
from cdp.ingestion.models import Quarantined
from cdp.jobs import services as jobs
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import enqueue, let_follow
from segments.models import Segment
from segments.refresh import request_due_refreshes
from segments.services import REFRESH_KIND
from tests.factories import BY, live, performed, process_all, track, tracker

DAY = timedelta(days=1)


def finished(state: JobState, days_ago: float) -> Job:
    job = enqueue(kind="tests.nothing", params={}, by=BY)
    Job.objects.filter(pk=job.pk).update(state=state, finished_at=timezone.now() - days_ago * DAY)
    return job


def run(task: str) -> Any:
    """By the name that the clock calls it."""
    assert task in {entry["task"] for entry in app.conf.beat_schedule.values()}
    app.loader.import_default_modules()
    return app.tasks[task]()


def test_jobs_are_forgotten_a_month_after_they_finished(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "CHUNK", 2)
    old = [finished(state, 31) for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)]
    young = [finished(JobState.SUCCEEDED, 29), enqueue(kind="tests.nothing", params={}, by=BY)]
    Job.objects.filter(pk=young[1].pk).update(created_at=timezone.now() - 90 * DAY)
    follower = User.objects.create_user("follower")
    for job in (old[0], young[0]):
        let_follow(job=job, user=follower)
    assert run("jobs.purge_finished") == 3
    assert set(Job.objects.all()) == set(young)
    assert [grant.object_pk for grant in UserObjectPermission.objects.all()] == [str(young[0].pk)]


def test_what_nobody_came_for_leaves_quarantine_after_three_months(db: None) -> None:
    shop = tracker()
    for _ in range(2):
        shop.send({"type": "buy"})
        process_all()
    old, young = Quarantined.objects.order_by("pk")
    for message, days in ((old, 91), (young, 89)):
        Quarantined.objects.filter(pk=message.pk).update(quarantined_at=timezone.now() - days * DAY)
    assert run("ingestion.purge_quarantine") == 1
    assert list(Quarantined.objects.all()) == [young]


def test_refreshes_by_the_clock_are_no_acts_of_anybody(db: None) -> None:
    tracker().send(track("Bought", "ann"))
    process_all()
    segment = live("buyers", performed("Bought"))
    Job.objects.update(state=JobState.SUCCEEDED)
    Segment.objects.update(last_refreshed_at=None)
    before = AuditEntry.objects.count()
    assert request_due_refreshes() == 1
    assert AuditEntry.objects.count() == before
    enqueue(kind=REFRESH_KIND, params={"segment": segment.pk}, by=Actor(kind=ActorKind.USER, id="1", label="ann"))
    assert AuditEntry.objects.latest("recorded_at").action == "job.enqueued"


def test_the_newest_job_of_a_segment_is_found_by_index(db: None) -> None:
    newest = Job.objects.filter(kind=REFRESH_KIND, params__segment=7).order_by("-created_at")[:1]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_job (uuid, kind, params, state, phase, done, total, worker, attempts, cancel_requested,"
            " dedupe_key, error_code, error_message, created_at)"
            " SELECT gen_random_uuid(), %s, jsonb_build_object('segment', n %% 500), 'succeeded', '', 0, 0, '', 1, false,"
            " '', '', '', now() - n * interval '1 minute' FROM generate_series(1, 5000) n",
            [REFRESH_KIND],
        )
        cursor.execute("ANALYZE jobs_job")
    assert "jobs_of_segment" in newest.explain()

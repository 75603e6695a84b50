"""Real workers are killed in the middle of clusterings, RFM and portraits: others begin anew, and results are there once."""

import time
from collections.abc import Callable
from datetime import timedelta
from threading import Thread

import pytest
from django.db import connection, transaction

from cdp.jobs.models import Job, JobState
from cdp.jobs.services import send_stranded
from cdp.profiles.models import Score, ScoreRun
from cdp.profiles.score_arrays import add_score_arrays
from cdp.profiles.score_changes import forget_run
from cdp.profiles.score_services import start_run
from segments.clustering.models import Clustering, ClusterRun, Outcome
from segments.clustering.services import create_clustering, request_run
from segments.clustering.settings import ClusteringSettings, FeatureChoice
from segments.personas.models import PersonaPortrait
from segments.personas.services import create_persona, request_portraits
from segments.personas.sources import group_of_segment
from segments.rfm import services as rfm
from segments.rfm.models import RfmRun
from tests.conftest import OwnDatabase
from tests.factories import BY, identify, live, performed, process_all, track, tracker
from tests.harness.processes import Processes

PEOPLE = 150


@pytest.fixture
def process_environ() -> dict[str, str]:
    return {"CDP_JOB_LEASE_SECONDS": "2"}


def until(what: str, true: Callable[[], bool], *, seconds: float = 90) -> None:
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience, f"waited {seconds} seconds until {what}"
        time.sleep(0.01)


def finished(pk: int | None) -> None:
    """Another worker has made it, on its second attempt."""

    def is_done() -> bool:
        send_stranded()  # as beat does
        time.sleep(0.2)
        return Job.objects.get(pk=pk).is_finished

    until("another worker has made it", is_done)
    job = Job.objects.get(pk=pk)
    assert job.state == JobState.SUCCEEDED and job.attempts == 2, job.error_message


def killed_while_it_writes(processes: Processes, pk: int | None) -> None:
    """A worker that has come to write scores, which this process doesn't let it do, is killed and then let go on."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE profiles_score IN SHARE MODE")
        worker = processes.celery_worker()

        def waits() -> bool:
            assert not (job := Job.objects.get(pk=pk)).is_finished, job.error_message
            cursor.execute("SELECT FROM pg_locks WHERE relation = 'profiles_score'::regclass AND NOT granted")
            return cursor.rowcount > 0

        until("scores are about to be written", waits)
        processes.kill(worker)
        assert Job.objects.get(pk=pk).state == JobState.RUNNING
    processes.celery_worker()


def test_rfm_whose_worker_is_killed_is_made_by_the_next_one(processes: Processes) -> None:
    for n in range(PEOPLE):
        said = {"order_id": f"o{n}", "revenue": n + 1, "currency": "USD"}
        tracker().send(track("Order Completed", f"u{n}", ago=timedelta(days=n % 30 + 1), properties=said))
    process_all()
    asked = rfm.request_run(by=BY)
    killed_while_it_writes(processes, asked.job_id)
    assert RfmRun.objects.current() is None
    finished(asked.job_id)
    run = RfmRun.objects.current()
    assert run == asked and run.people == PEOPLE
    assert ScoreRun.objects.count() == 1 and Score.objects.count() == 5 * PEOPLE


def test_portraits_whose_worker_is_killed_are_drawn_by_the_next_one(processes: Processes) -> None:
    for n in range(PEOPLE):
        tracker().send(track("Reader", f"u{n}"))
    process_all()
    create_persona(name="Readers", group=group_of_segment(live("readers", performed("Reader"))), by=BY)
    asked = request_portraits(by=BY)
    killed_while_it_writes(processes, asked.pk)
    assert not PersonaPortrait.objects.exists()
    finished(asked.pk)
    assert PersonaPortrait.objects.get().people == PEOPLE
    assert ScoreRun.objects.count() == 1 and Score.objects.count() == 2 * PEOPLE


def test_a_run_whose_worker_is_killed_is_made_by_the_next_one(processes: Processes) -> None:
    traits = [{"x": 10 * (n % 3) + n / 1000, "y": 7 * (n % 2) + n / 1000} for n in range(PEOPLE)]
    tracker().send(*(identify(f"u{n}", traits=one) for n, one in enumerate(traits)))
    process_all()
    features = tuple(FeatureChoice(key=key) for key in ("trait:x", "trait:y"))
    made = create_clustering(name="Kinds", settings=ClusteringSettings(features=features, most=25), by=BY)
    worker = processes.celery_worker()
    run = request_run(clustering=made, by=BY)

    def job() -> Job:
        return Job.objects.get(pk=run.job_id)

    until("figures are looked at", lambda: job().done >= 20)
    processes.kill(worker)
    assert job().state == JobState.RUNNING and not ClusterRun.objects.get(pk=run.pk).outcome
    processes.celery_worker()
    finished(run.job_id)
    run = ClusterRun.objects.get(pk=run.pk)
    assert run.outcome == Outcome.LIVE and run.clusters.count() == 6 and job().attempts == 2
    assert Clustering.objects.get(pk=made.pk).live_run == run
    assert ScoreRun.objects.count() == 1 and Score.objects.count() == PEOPLE


def test_deleting_a_run_waits_for_who_writes_into_it(own_database: OwnDatabase) -> None:
    run = start_run(kind="rfm", version="1", by=BY)

    def forget() -> None:
        forget_run(run_id=run.pk)
        connection.close()

    thread = Thread(target=forget)
    with transaction.atomic():
        add_score_arrays(run=run, key="k", profile_ids=[1], numbers=[1])
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive() and not Score.objects.exists() and not ScoreRun.objects.exists()

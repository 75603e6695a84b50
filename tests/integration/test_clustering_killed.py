"""A real worker is killed in the middle of a clustering run: another one begins it anew, and its results are there once."""

import time
from collections.abc import Callable

import pytest

from cdp.jobs.models import Job, JobState
from cdp.jobs.services import send_stranded
from cdp.profiles.models import Score, ScoreRun
from segments.clustering.models import Clustering, ClusterRun, Outcome
from segments.clustering.services import create_clustering, request_run
from segments.clustering.settings import ClusteringSettings, FeatureChoice
from tests.factories import BY, identify, process_all, tracker
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

    def is_done() -> bool:
        send_stranded()  # as beat does
        time.sleep(0.2)
        return job().is_finished

    until("another worker has made it", is_done)
    assert job().state == JobState.SUCCEEDED, job().error_message
    run = ClusterRun.objects.get(pk=run.pk)
    assert run.outcome == Outcome.LIVE and run.clusters.count() == 6 and job().attempts == 2
    assert Clustering.objects.get(pk=made.pk).live_run == run
    assert ScoreRun.objects.count() == 1 and Score.objects.count() == PEOPLE

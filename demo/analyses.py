"""The demo's analyses: RFM, a clustering and personas, as a marketer of the shop would keep them, run once after the load.

What they compute is no business of this module.
"""

from __future__ import annotations

from typing import Final

from celery import Task
from django.contrib.auth.models import User

from cdp.errors import DomainError
from cdp.jobs.models import Job, JobState
from demo.loading import LOADER
from segments.analytics.preparing import OutlierAction, OutlierTest, Transform
from segments.clustering.models import Clustering
from segments.clustering.services import create_clustering
from segments.clustering.services import request_run as request_clusters
from segments.clustering.settings import ClusteringSettings, FeatureChoice
from segments.personas.models import Persona
from segments.personas.services import create_persona, request_portraits
from segments.personas.sources import groups_of_scores
from segments.rfm.models import RfmRun
from segments.rfm.services import request_run as request_rfm
from segments.tasks import portray, run_clustering, run_rfm

MOST_PERSONAS: Final = 4
HABITS: Final = ClusteringSettings(
    features=(
        FeatureChoice(key="orders_per_month", transform=Transform.LOG1P),
        FeatureChoice(key="average_order_value", transform=Transform.LOG1P),
        FeatureChoice(key="discount_share"),
        FeatureChoice(key="sessions", transform=Transform.LOG1P),
        FeatureChoice(key="recency_days", transform=Transform.LOG1P),
    ),
    outliers=OutlierTest.IQR,
    outlier_action=OutlierAction.CLIP,
)


def make_analyses(*, owner: User) -> None:
    """RFM and one clustering, run, and personas of them; what is there already stays as somebody may have changed it."""
    if not RfmRun.objects.exists():
        run_here(run_rfm, request_rfm(by=LOADER, user=owner).job)
    if not Clustering.objects.exists():
        habits = create_clustering(
            name="Shopping habits",
            description="How often, how much, how lately, with how many visits and discounts.",
            settings=HABITS,
            is_nightly=True,
            by=LOADER,
        )
        run_here(run_clustering, request_clusters(clustering=habits, by=LOADER, user=owner).job)
    if not Persona.objects.exists():
        make_personas(owner=owner)


def make_personas(*, owner: User) -> None:
    """One of the champions, and one of each cluster there is."""
    rfm, clusters = groups_of_scores()
    for group in [*(one for one in rfm if one.name.endswith("Champions")), *clusters][:MOST_PERSONAS]:
        name = group.name.rpartition(": ")[2]
        create_persona(name=name[:100], group=group, owner=owner, by=LOADER)
    if Persona.objects.exists():
        run_here(portray, request_portraits(by=LOADER, user=owner))


def run_here(task: Task, job: Job | None) -> None:
    """Does the job at once: no worker runs during a load. What can't be analysed says why on its own screen.

    Raises:
        DomainError: it failed unforeseen.
    """
    assert job is not None, "it was just asked for"
    task.run(job.pk)
    job.refresh_from_db()
    if job.state == JobState.FAILED and job.error_code == "internal":
        raise DomainError(job.error_code, job.error_message)

"""Celery's doors to segments: thin, safe to run twice."""

from dataclasses import asdict

from celery import Task, shared_task
from django.db import OperationalError

from cdp.audit.actors import Actor
from cdp.errors import NotFound
from cdp.jobs.services import lease
from segments import refresh as refreshing
from segments import thresholds
from segments.clustering import assigning
from segments.clustering import services as clusterings
from segments.clustering.models import ClusterRun
from segments.feed import number_changes
from segments.fields import measuring
from segments.models import ChangeWhy, Segment
from segments.personas import running as personas
from segments.rfm import running as rfm_running
from segments.rfm import services as rfm
from segments.rfm.models import RfmRun
from segments.uploads import services as uploading
from segments.uploads.models import ListUpload


@shared_task(
    bind=True,
    name="segments.refresh",
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def refresh(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is None:
            return
        segment = Segment.objects.filter(pk=held.params["segment"]).first()
        if segment is None:
            raise NotFound("segment_deleted", "The segment was deleted before its refresh began.")
        done = refreshing.refresh(
            segment=segment,
            progress=held.progress,
            why=ChangeWhy(held.params.get("why", ChangeWhy.TIME)),
        )
        number_changes(wait=True)  # whoever sees the job done sees the new counts
        held.job.result = {
            "as_of": done.as_of.isoformat(),
            "entered": done.entered,
            "exited": done.exited,
            "members": done.members,
        }


@shared_task(name="segments.request_recomputation", ignore_result=True)
def request_recomputation() -> None:
    thresholds.request_due_recomputation()


@shared_task(
    bind=True,
    name=thresholds.RECOMPUTE_KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def recompute_thresholds(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            held.job.result = asdict(thresholds.recompute(progress=held.progress))


@shared_task(name="fields.request_measurement", ignore_result=True)
def request_measurement() -> None:
    measuring.request_due_measurement()


@shared_task(
    bind=True,
    name=measuring.MEASURE_KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def measure_fields(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            held.job.result = asdict(measuring.measure(progress=held.progress))


@shared_task(
    bind=True,
    name=uploading.APPLY_KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def apply_upload(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is None:
            return
        file = ListUpload.objects.filter(uuid=held.params["upload"]).first()
        if file is None:
            raise NotFound("upload_not_found", "The file was discarded before it was applied.")
        by = Actor.system(f"{file.uploaded_by} (file)")
        done = uploading.apply(file=file, by=by, progress=held.progress)
        held.job.result = {"matched": done.matched, "added": done.added, "removed": done.removed}


@shared_task(name="personas.request_portraits", ignore_result=True)
def request_portraits() -> None:
    personas.request_due_portraits()


@shared_task(
    bind=True,
    name=personas.PORTRAY_KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def portray(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            held.job.result = asdict(personas.portray(job=held.job, progress=held.progress))


@shared_task(name="rfm.request_run", ignore_result=True)
def request_rfm() -> None:
    rfm.request_due_run()


@shared_task(
    bind=True,
    name=rfm.RUN_KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def run_rfm(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is None:
            return
        run = RfmRun.objects.filter(pk=held.params["run"]).first()
        if run is None:
            raise NotFound("run_not_found", "The run was forgotten before it began.")
        held.job.result = asdict(rfm_running.run(rfm=run, progress=held.progress, by=Actor.system(run.requested_by)))


@shared_task(name="segments.request_cluster_runs", ignore_result=True)
def request_cluster_runs() -> None:
    clusterings.request_due_runs()


@shared_task(
    bind=True,
    name=clusterings.RUN_KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def run_clustering(self: Task, job_id: int) -> None:
    # It brings scikit-learn along, which only a worker that clusters needs.
    from segments.clustering import running

    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is None:
            return
        run = ClusterRun.objects.select_related("clustering__purpose").filter(pk=held.params["run"]).first()
        if run is None:
            raise NotFound("clustering_deleted", "The clustering was deleted before its run began.")
        done = running.run_clustering(run=run, progress=held.progress)
        held.job.result = {
            "run": done.number,
            "outcome": done.outcome,
            "people": done.people,
            "clustered": done.clustered,
        }


@shared_task(name="clusters.assign_arrived", ignore_result=True)
def assign_arrived() -> None:
    assigning.assign_arrived()

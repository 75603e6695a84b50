"""Celery's doors to retention: thin, safe to run twice."""

from celery import Task, shared_task
from django.db import OperationalError

from cdp.accountability import running
from cdp.jobs.services import lease


@shared_task(name="retention.request", ignore_result=True)
def request_application() -> None:
    running.request_due_application()


@shared_task(
    bind=True,
    name=running.APPLY,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def apply_retention(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            held.job.result = running.run_job(job=held.job, progress=held.progress)

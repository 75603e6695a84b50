"""Celery's doors to what no single app owns: thin, safe to run twice."""

from celery import Task, shared_task
from django.db import OperationalError

from cdp import verification
from cdp.jobs.services import lease


@shared_task(name="audit.request_verification", ignore_result=True)
def request_verification() -> None:
    verification.request_due()


@shared_task(
    bind=True,
    name=verification.KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def verify(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            held.job.result = verification.verify_now(held.progress)

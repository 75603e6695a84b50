"""Celery's doors to privacy requests: thin, safe to run twice."""

from celery import Task, shared_task
from django.db import OperationalError

from cdp.jobs.services import lease
from cdp.privacy import exporting, running
from cdp.privacy.models import PrivacyRequest


@shared_task(
    bind=True,
    name=running.KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def carry_out(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            request = PrivacyRequest.objects.get(pk=held.params["request"])
            running.carry_out(request, progress=held.progress)
            held.job.result = {"targets": request.targets.count()}


@shared_task(name="privacy.purge", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge() -> dict[str, int]:
    done = {"exports": exporting.purge_exports(), "changes": running.drop_tombstones()}
    return {**done, "statistics": int(running.forget_statistics())}

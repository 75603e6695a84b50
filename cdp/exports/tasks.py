"""Celery's doors to exports: thin, safe to run twice."""

from celery import Task, shared_task
from django.db import OperationalError

from cdp.exports import keeping, planning, running
from cdp.exports.models import Export
from cdp.exports.services import KIND
from cdp.jobs.services import lease


@shared_task(bind=True, name=KIND, autoretry_for=(OperationalError,), retry_backoff=True, max_retries=5, acks_late=True)
def make(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            found = Export.objects.select_related(
                "audience__segment", "audience__purpose", "destination", "since", "schedule", "user"
            )
            held.job.result = running.make(found.get(job=job_id), progress=held.progress)


@shared_task(name="exports.request_due", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def request_due() -> dict[str, int]:
    return {"asked": planning.request_due(), "deleted": keeping.purge()}

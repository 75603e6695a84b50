"""Celery's door to the housekeeping of ingestion."""

from celery import Task, shared_task
from django.db import OperationalError

from cdp.ingestion import bulk, counting, services, watching
from cdp.jobs.services import lease


@shared_task(name="ingestion.purge_seen_messages", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_seen_messages() -> int:
    return services.purge_seen_messages()


@shared_task(name="ingestion.purge_quarantine", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_quarantine() -> int:
    return services.purge_quarantine()


@shared_task(name="ingestion.purge_figures", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_figures() -> int:
    return counting.purge() + watching.purge()


@shared_task(
    bind=True, name=bulk.KIND, autoretry_for=(OperationalError,), retry_backoff=True, max_retries=5, acks_late=True
)
def settle_quarantine(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is not None:
            by = bulk.actor_in(held.params)
            held.job.result = bulk.settle(params=held.params, by=by, progress=held.progress)

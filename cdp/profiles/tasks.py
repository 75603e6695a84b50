"""Celery's doors to events: their housekeeping, and converting amounts again."""

from datetime import date

from celery import Task, shared_task
from django.db import OperationalError

from cdp.jobs.services import lease
from cdp.profiles import rate_services, services


@shared_task(name="profiles.maintain_partitions", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def maintain_partitions() -> int:
    return services.maintain_partitions()


@shared_task(
    bind=True,
    name=rate_services.CONVERT_AGAIN,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def convert_again(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is None:
            return
        spans = [
            rate_services.Span(currency, date.fromisoformat(first), date.fromisoformat(last))
            for currency, first, last in held.params["spans"]
        ]
        held.job.result = {"events": rate_services.convert_again(spans=spans, progress=held.progress)}

"""Celery's door to the housekeeping of ingestion."""

from celery import shared_task
from django.db import OperationalError

from cdp.ingestion import counting, services, watching


@shared_task(name="ingestion.purge_seen_messages", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_seen_messages() -> int:
    return services.purge_seen_messages()


@shared_task(name="ingestion.purge_quarantine", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_quarantine() -> int:
    return services.purge_quarantine()


@shared_task(name="ingestion.purge_figures", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_figures() -> int:
    return counting.purge() + watching.purge()

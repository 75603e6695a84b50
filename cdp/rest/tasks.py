"""Celery's door to the housekeeping of the API."""

from celery import shared_task
from django.db import OperationalError

from cdp.rest import idempotency


@shared_task(name="rest.purge_done_requests", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_done_requests() -> int:
    return idempotency.purge()

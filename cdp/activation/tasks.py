"""Celery's door to the housekeeping of audiences."""

from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from cdp.activation import keeping


@shared_task(name="activation.purge_changes", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_changes() -> int:
    return keeping.purge_changes(now=timezone.now())

"""Celery's door to the housekeeping of events."""

from celery import shared_task
from django.db import OperationalError

from cdp.profiles import services


@shared_task(name="profiles.maintain_partitions", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def maintain_partitions() -> int:
    return services.maintain_partitions()

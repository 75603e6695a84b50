"""Celery's door to webhooks: thin, safe to run twice."""

from celery import shared_task
from django.db import OperationalError

from cdp.webhooks import keeping


@shared_task(name="webhooks.purge", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge() -> dict[str, int]:
    return keeping.purge()

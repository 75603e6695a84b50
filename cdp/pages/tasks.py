"""Celery's door to the mail that waits."""

from celery import shared_task
from django.db import OperationalError

from cdp.pages import sending


@shared_task(name="pages.send_confirmations", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def send_confirmations() -> int:
    return sending.send_waiting().sent

"""Takes away sessions and lockouts that nobody asks for any more."""

from celery import shared_task
from django.db import OperationalError

from cdp.log_in import brake, sessions


@shared_task(name="log_in.purge", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge() -> int:
    return sessions.purge() + brake.purge()

"""The sweeper that finds lost messages and dead workers, and the one that takes away what is long done."""

from celery import shared_task
from django.db import OperationalError

from cdp.jobs import services


@shared_task(name="jobs.send_stranded", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def send_stranded() -> int:
    return services.send_stranded()


@shared_task(name="jobs.purge_finished", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def purge_finished() -> int:
    return services.purge_finished()

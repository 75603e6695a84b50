"""Celery tells that it lives: the clock asked for this, and a worker did it."""

from functools import lru_cache

from celery import shared_task
from django.db import OperationalError

from cdp.heartbeats.beating import Heart, forget_old, heard


@lru_cache(maxsize=1)
def _heart() -> Heart:
    return Heart("celery")


@shared_task(
    name="heartbeats.beat", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3, ignore_result=True
)
def beat() -> None:
    heard(_heart())
    forget_old()

"""Celery's door to the counts of look-ups: thin, safe to run twice."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from cdp.content import counting

# The log has told of them; they stay for a while for whoever compares the two.
KEPT = timedelta(days=7)


@shared_task(name="content.tell_of_lost_counts", ignore_result=True)
def tell_of_lost_counts() -> None:
    counting.tell_of_lost_counts(now=timezone.now())
    counting.purge_counts(before=timezone.now() - KEPT)

"""Reads of jobs that screens and the API share."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

UNFINISHED_STATES = ("queued", "running")


class JobQuerySet(models.QuerySet):  # type: ignore[type-arg]
    def unfinished(self) -> "JobQuerySet":
        return self.filter(state__in=UNFINISHED_STATES)

    def failed_lately(self, *, days: int = 7) -> "JobQuerySet":
        """Failed within the last days: old failures no longer need anybody."""
        return self.filter(state="failed", finished_at__gte=timezone.now() - timedelta(days=days))

"""That processes live: a row for each that runs or ran."""

from django.db import models
from django.utils import timezone


class Heartbeat(models.Model):
    """A process as it was last heard. Of each kind at least the newest row stays, so that a kind that ran once is missed."""

    instance = models.UUIDField(primary_key=True)
    process = models.CharField(max_length=32)
    started_at = models.DateTimeField(default=timezone.now)
    heard_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["process", "-heard_at"], name="heartbeats_newest")]

    def __str__(self) -> str:
        return self.process

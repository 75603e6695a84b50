"""Long pieces of work as rows: the database is the truth, a queue message only says "look at job 7"."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KeyTransform
from django.utils import timezone

from cdp.jobs.querysets import JobQuerySet


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


FINISHED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Job(models.Model):
    """One long piece of work: what, how far, by whom, and what came of it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=64, help_text="Which work; names the task that does it.")
    params = models.JSONField(default=dict)
    state = models.CharField(max_length=16, choices=JobState.choices, default=JobState.QUEUED)
    phase = models.CharField(max_length=100, blank=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    # While running: who holds it and until when. A holder that dies lets the lease run out.
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=200, blank=True)
    attempts = models.IntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    # At most one unfinished job per key: asking twice for the same refresh gives the same job.
    dedupe_key = models.CharField(max_length=200, blank=True)
    result = models.JSONField(null=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    request_id = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Of the request that asked for it."
    )
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, help_text="When a message for it was last given to the queue.")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    # Set by `cdp.jobs.naming` for one reader.
    about: str = ""
    is_withheld: bool = False

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="jobs_created"),
            models.Index(fields=["kind", "-created_at"], name="jobs_kind"),
            # The screen of a segment asks for its newest job every few seconds.
            models.Index(KeyTransform("segment", "params"), models.F("created_at").desc(), name="jobs_of_segment"),
            models.Index(fields=["state"], name="jobs_unfinished", condition=Q(state__in=["queued", "running"])),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["dedupe_key"],
                condition=Q(state__in=["queued", "running"]) & ~Q(dedupe_key=""),
                name="jobs_one_unfinished_per_key",
            ),
            models.CheckConstraint(condition=Q(done__gte=0) & Q(total__gte=0), name="jobs_progress_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    @property
    def share_done(self) -> float | None:
        """Between 0 and 1, or None while the total is not known."""
        if self.state == JobState.SUCCEEDED:
            return 1.0
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace so far, in seconds; None when there is no pace yet."""
        share = self.share_done
        if self.state != JobState.RUNNING or not share or not self.started_at or share >= 1:
            return None
        spent = (timezone.now() - self.started_at).total_seconds()
        return spent * (1 - share) / share

    @property
    def seconds_taken(self) -> float | None:
        """From its start to its end, or to now while it runs."""
        if not self.started_at:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

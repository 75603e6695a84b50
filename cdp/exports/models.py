"""Exports: an audience's people as a file, once or by a schedule, kept here for some days or handed over to a destination.

What is in a file is asked in `cdp.exports.asking`; how it is written, kept and handed over is in `cdp.exports.running`.
"""

import uuid
from typing import Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from cdp.activation.models import Audience
from cdp.jobs.models import Job, JobState


class Format(models.TextChoices):
    CSV = "csv", "CSV"
    NDJSON = "ndjson", "NDJSON: a line of JSON for each person"
    PARQUET = "parquet", "Parquet"


MEDIA_TYPES: Final = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.NDJSON: "application/x-ndjson",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class Place(models.TextChoices):
    """What kind of place a destination is."""

    S3 = "s3", "Bucket of an S3-compatible store"
    SFTP = "sftp", "SFTP server"
    HTTP = "http", "Address that takes uploads (HTTPS)"
    FOLDER = "folder", "Folder on the platform's own machine"


class Destination(models.Model):
    """Where files are handed over to. ``address`` holds nothing that must stay secret; what must is sealed for this row."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100, unique=True)
    place = models.CharField(max_length=8, choices=Place.choices)
    address = models.JSONField(default=dict)
    sealed = models.BinaryField(default=bytes)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    tried_at = models.DateTimeField(null=True, editable=False, help_text="When it was last tried or handed something.")
    failure = models.CharField(
        max_length=200, blank=True, editable=False, help_text="What went wrong then; empty: nothing."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Wanted(models.Model):
    """What a file is to be: of which audience, in which format, with which fields, and where it goes."""

    audience = models.ForeignKey(Audience, on_delete=models.CASCADE, related_name="+")
    format = models.CharField(max_length=8, choices=Format.choices, default=Format.CSV)
    is_gzipped = models.BooleanField("compressed (gzip)", default=False)
    is_for_spreadsheets = models.BooleanField(
        "safe to open in a spreadsheet",
        default=True,
        help_text="In CSV, text that a spreadsheet would run as a formula begins with an apostrophe.",
    )
    fields = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    destination = models.ForeignKey(Destination, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        abstract = True

    @property
    def ending(self) -> str:
        return f"{self.format}.gz" if self.is_gzipped else self.format


class Every(models.TextChoices):
    HOUR = "hour", "Every hour"
    DAY = "day", "Every day"
    WEEK = "week", "Every week"


class OffReason(models.TextChoices):
    """Why a schedule makes nothing."""

    NONE = "", ""
    ASKED = "asked", "Somebody turned it off"
    NO_ACCESS = "no_access", "Whoever it belongs to may not take these people out any more"


class Schedule(Wanted):
    """An export made again and again, as whoever it belongs to may read people. ``planned_to`` is the last planned
    moment that was seen to."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=150)
    is_delta = models.BooleanField(
        "only what changed",
        default=False,
        help_text="Who entered and who left since the file before; the first one is full.",
    )
    every = models.CharField(max_length=4, choices=Every.choices, default=Every.DAY)
    hour = models.SmallIntegerField(default=6, help_text="In the workspace's time zone.")
    weekday = models.SmallIntegerField(default=0, help_text="0 is Monday.")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", editable=False)
    off_reason = models.CharField(
        max_length=16, choices=OffReason.choices, blank=True, default=OffReason.NONE, editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    planned_to = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(hour__gte=0, hour__lte=23), name="exports_hour_of_day"),
            models.CheckConstraint(condition=Q(weekday__gte=0, weekday__lte=6), name="exports_day_of_week"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_on(self) -> bool:
        return not self.off_reason


class Gone(models.TextChoices):
    """Why a file isn't kept any more."""

    NONE = "", ""
    OVER = "over", "Its days are over"
    ASKED = "asked", "Somebody deleted it"
    ERASED = "erased", "Somebody who may be in it was erased"


class Export(Wanted):
    """One file. Once it is written: how many rows and bytes, its SHA-256, as of which moment and position of the audience.

    Of a delta, ``after`` is the position whose file it continues. ``withheld`` numbers the people who were in the audience and
    didn't permit the purpose just then, before anybody had judged them: the next delta looks at them again.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    schedule = models.ForeignKey(Schedule, null=True, on_delete=models.SET_NULL, related_name="exports", editable=False)
    planned_for = models.DateTimeField(null=True, editable=False)
    since = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    after = models.BigIntegerField(null=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    as_of = models.DateTimeField(null=True, editable=False)
    position = models.BigIntegerField(null=True, editable=False)
    withheld = ArrayField(models.BigIntegerField(), default=list, editable=False)
    rows = models.BigIntegerField(null=True, editable=False)
    bytes = models.BigIntegerField(null=True, editable=False)
    sha256 = models.CharField(max_length=64, blank=True, editable=False)
    file = models.CharField(
        max_length=100, blank=True, editable=False, help_text="Its name in our folder while it is kept."
    )
    finished_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)
    gone = models.CharField(max_length=8, choices=Gone.choices, blank=True, default=Gone.NONE, editable=False)
    has_personal = models.BooleanField(
        default=False, editable=False, help_text="Whether a field of it is personal data."
    )
    downloads = models.IntegerField(default=0, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "planned_for"], name="exports_planned_once"),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="exports_newest_first"),
            models.Index(fields=["audience", "-id"], name="exports_of_an_audience"),
            models.Index(fields=["expires_at"], condition=~Q(file=""), name="exports_kept"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """What the file is called where it arrives."""
        kind = "full" if self.after is None else "changes"
        return f"{self.audience.key}-{kind}-{self.created_at:%Y%m%dT%H%M%SZ}-{str(self.uuid)[:8]}.{self.ending}"

    @property
    def is_kept(self) -> bool:
        """Whether the file can be had here."""
        return (
            bool(self.file)
            and self.finished_at is not None
            and self.expires_at is not None
            and self.expires_at > timezone.now()
        )

    @property
    def state(self) -> str:
        """As of a job; what is finished stays so when its job is forgotten."""
        if self.finished_at is not None:
            return JobState.SUCCEEDED
        return JobState(self.job.state) if self.job is not None else JobState.FAILED

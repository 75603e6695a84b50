"""Files of people that wait to be put on a list or taken off it, and what came of them."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from cdp.jobs.models import Job


class UploadMode(models.TextChoices):
    """What becomes of the people of a file."""

    APPEND = "append", "Put them on the list"
    REPLACE = "replace", "Have just them on the list"
    REMOVE = "remove", "Take them off the list"


class UploadState(models.TextChoices):
    READY = "ready", "To be looked at"
    APPLYING = "applying", "Being applied"
    APPLIED = "applied", "Applied"


class Problem(models.TextChoices):
    """Why a row of a file is nobody's, or nobody's once more."""

    UNMATCHED = "unmatched", "Leads to nobody"
    AMBIGUOUS = "ambiguous", "Its columns lead to different people"
    REPEATED = "repeated", "The same person as in a row above"
    EMPTY = "empty", "Has nothing in the chosen columns"
    ERASED = "erased", "Of somebody who was erased meanwhile"


class ListUpload(models.Model):
    """One file. Its rows hold personal data and go as soon as they are applied, or are not wanted any more."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    static_list = models.ForeignKey(
        "segments.StaticList", on_delete=models.CASCADE, related_name="uploads", db_index=False
    )
    mode = models.CharField(max_length=8, choices=UploadMode.choices)
    reason = models.CharField(max_length=200, blank=True, help_text="Kept with each entry.")
    name = models.CharField(max_length=150, help_text="Of the file.")
    sha256 = models.CharField(max_length=64, help_text="Of the file, so that it can be told which one it was.")
    state = models.CharField(max_length=16, choices=UploadState.choices, default=UploadState.READY)
    # Headings as they stand in the file, and beside each the namespace of its identifiers, or "" where it isn't read.
    headings = ArrayField(models.CharField(max_length=100), default=list)
    namespaces = ArrayField(models.CharField(max_length=50, blank=True), default=list)
    rows = models.IntegerField(default=0)
    matched = models.IntegerField(default=0)
    added = models.IntegerField(default=0)
    removed = models.IntegerField(default=0)
    # Line and code each; never what stood there.
    problems = models.JSONField(default=list)
    problem_counts = models.JSONField(default=dict)
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="+")
    uploaded_by = models.CharField(max_length=150)
    uploaded_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "segments"
        ordering = ["-uploaded_at"]
        verbose_name = "upload to a list"
        indexes = [models.Index(fields=["static_list", "-uploaded_at"], name="segments_uploads_of_a_list")]

    def __str__(self) -> str:
        return self.name


class UploadRow(models.Model):
    """One row of a file until it is applied: its cells until it is known whose it is, then whose."""

    upload = models.ForeignKey(ListUpload, on_delete=models.CASCADE, related_name="waiting", db_index=False)
    line = models.IntegerField(help_text="In the file; its heading is line 1.")
    cells = ArrayField(models.TextField(), null=True)
    profile_id = models.BigIntegerField(null=True)
    problem = models.CharField(max_length=16, choices=Problem.choices, blank=True)

    class Meta:
        app_label = "segments"
        constraints = [models.UniqueConstraint(fields=["upload", "line"], name="segments_upload_row_once")]

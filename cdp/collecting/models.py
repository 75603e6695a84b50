"""Files of decisions that were uploaded: what was found in them, and the rows that wait to be applied."""

from uuid import uuid4

from django.db import models
from django.utils import timezone

from cdp.jobs.models import Job


class ImportState(models.TextChoices):
    REFUSED = "refused", "Needs mending"
    READY = "ready", "Ready to apply"
    APPLYING = "applying", "Being applied"
    APPLIED = "applied", "Applied"


class ConsentImport(models.Model):
    """One file. Its rows hold personal data and go as soon as they are applied, or are not wanted any more."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(max_length=150, help_text="Of the file.")
    sha256 = models.CharField(max_length=64, help_text="Of the file, so that it can be told which one it was.")
    state = models.CharField(max_length=16, choices=ImportState.choices)
    creates_people = models.BooleanField(default=False, help_text="Profiles are made for people who aren't known.")
    rows = models.IntegerField(default=0)
    # Row, column, code and message each; never what stood there.
    errors = models.JSONField(default=list)
    error_count = models.IntegerField(default=0)
    # What it came to so far: see `cdp.collecting.files`.
    recorded = models.IntegerField(default=0)
    repeated = models.IntegerField(default=0)
    unknown = models.IntegerField(default=0)
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="+")
    uploaded_by = models.CharField(max_length=150)
    uploaded_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-uploaded_at"]
        verbose_name = "import of consent"
        verbose_name_plural = "imports of consent"

    def __str__(self) -> str:
        return self.name


class ImportRow(models.Model):
    """One decision of a file, read and found to be right, until it is applied."""

    file = models.ForeignKey(ConsentImport, on_delete=models.CASCADE, related_name="waiting", db_index=False)
    number = models.IntegerField(help_text="In the file; its heading is row 1.")
    namespace = models.CharField(max_length=50)
    value = models.CharField(max_length=512)
    purpose_id = models.BigIntegerField()
    is_granted = models.BooleanField()
    collected_at = models.DateTimeField()
    said = models.JSONField(help_text="The rest.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file", "number"], name="collecting_row_once")]

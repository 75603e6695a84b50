"""The ledger of merges: enough to tell why two profiles became one, and to undo it. And by what nobody comes back."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Merge(models.Model):
    """One profile absorbed by another."""

    survivor_id = models.BigIntegerField(db_index=True)
    absorbed_id = models.BigIntegerField(db_index=True)
    absorbed_uuid = models.UUIDField(db_index=True, help_text="Look-ups by it are answered with the survivor.")
    absorbed_first_seen_at = models.DateTimeField()
    absorbed_last_seen_at = models.DateTimeField()
    absorbed_created_at = models.DateTimeField()
    identifier_ids = models.JSONField(help_text="The identifiers that came along.")
    reason = models.CharField(max_length=200, help_text="Which identifiers proved it; namespaces, no values.")
    source_id = models.IntegerField(null=True)
    merged_at = models.DateTimeField()
    merged_by = models.CharField(max_length=150)
    undone_at = models.DateTimeField(null=True)
    undone_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-merged_at", "-id"]
        permissions = [("undo_merge", "Can undo a merge")]
        constraints = [
            models.CheckConstraint(condition=~Q(survivor_id=models.F("absorbed_id")), name="identity_merge_of_two"),
            models.UniqueConstraint(
                fields=["absorbed_id"], condition=Q(undone_at__isnull=True), name="identity_absorbed_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["survivor_id", "absorbed_id"], condition=Q(undone_at__isnull=False), name="identity_kept_apart"
            )
        ]

    def __str__(self) -> str:
        return f"merge {self.pk}"


class Suppression(models.Model):
    """An identifier of somebody who was erased, as `cdp.identity.suppression` knows it again: a keyed digest and no more."""

    digest = models.BinaryField(primary_key=True, max_length=32, editable=False)
    entered_at = models.DateTimeField(db_default=Now())

    class Meta:
        permissions = [("lift_suppression", "Can let somebody who was erased come back")]


class SuppressionMark(models.Model):
    """One row, once anybody is suppressed: a digest of nothing, by which the key of the digests is known again. Under another key
    everybody would look as if they had never been erased."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    digest = models.BinaryField(max_length=32, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="identity_one_suppression_mark")]


class SuppressedCount(models.Model):
    """How many messages of a source were dropped in a day, because they named nobody but people who were erased."""

    pk = models.CompositePrimaryKey("source_id", "day")
    source_id = models.IntegerField()
    day = models.DateField(help_text="In UTC.")
    messages = models.BigIntegerField()

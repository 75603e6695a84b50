"""The audit log: entries, which are written only through `cdp.audit.services.record` and never changed, and the tree over them.

An insert queues the entry (by a trigger, in the transaction of the act); one sequencer gives it a place in the tree, and signs
what the log is now (`cdp.audit.sequencing`). What all this proves, and what not, stands in the guide for compliance staff.
"""

import uuid

from django.db import models
from django.db.models.functions import Now

from cdp.audit.actors import ActorKind


class AuditEntry(models.Model):
    """One act. Append-only by privilege and by trigger."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recorded_at = models.DateTimeField()
    actor_kind = models.CharField(
        max_length=16, choices=[(k.value, k.name.replace("_", " ").title()) for k in ActorKind]
    )
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=150)
    action = models.CharField(max_length=64, help_text="Stable code, such as segment.created.")
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    purpose = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    ip_prefix = models.CharField(max_length=64, blank=True)
    detail = models.JSONField(default=dict)
    envelope = models.BinaryField(
        editable=False, help_text="All of the above as canonical JSON: what is hashed; the columns are for searching."
    )

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["-recorded_at"]
        indexes = [
            models.Index(fields=["-recorded_at"], name="audit_recorded_at"),
            models.Index(fields=["object_type", "object_id", "-recorded_at"], name="audit_object_life"),
            models.Index(fields=["action", "-recorded_at"], name="audit_action"),
            models.Index(fields=["actor_kind", "actor_id", "-recorded_at"], name="audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_label}"


class Leaf(models.Model):
    """An entry's place in the tree. Places are contiguous from 0."""

    index = models.BigIntegerField(primary_key=True)
    entry_id = models.UUIDField(unique=True)
    hash = models.BinaryField(help_text="SHA-256(0x00, envelope), RFC 9162.")

    class Meta:
        db_table = "audit_leaf"


class Node(models.Model):
    """The root over 256 ** level leaves, so that a proof needn't read all of them."""

    pk = models.CompositePrimaryKey("level", "index")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        db_table = "audit_node"


class Pending(models.Model):
    """An entry that waits for its place; filled by a trigger on entries."""

    entry_id = models.UUIDField()
    queued_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "audit_pending"


class Head(models.Model):
    """Where the tree ends: the one row that a sequencer goes on from."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    size = models.BigIntegerField(default=0)
    frontier = models.BinaryField(default=b"", help_text="Roots of the perfect subtrees, widest first, 32 bytes each.")
    note = models.TextField(blank=True, default="", help_text="The newest signed checkpoint.")
    signed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_head"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="audit_one_head")]


class Checkpoint(models.Model):
    """A signed checkpoint that is kept: about one a minute, and each that was anchored."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField()
    key_id = models.CharField(max_length=8)
    note = models.TextField()
    signed_at = models.DateTimeField()

    class Meta:
        db_table = "audit_checkpoint"
        ordering = ["-size"]


class AnchorKind(models.TextChoices):
    FILE = "file", "File"
    EMAIL = "email", "Email"
    STAMP = "stamp", "Time stamp"


class Anchor(models.Model):
    """A checkpoint that was put where the database's owner can't change it, or that couldn't be."""

    kind = models.CharField(max_length=8, choices=AnchorKind.choices)
    size = models.BigIntegerField()
    anchored_at = models.DateTimeField()
    error = models.CharField(max_length=200, blank=True, help_text="Why it couldn't be; empty when it was.")
    stamp = models.BinaryField(null=True, help_text="Of a time stamp: the authority's answer (RFC 3161, DER).")

    class Meta:
        ordering = ["-anchored_at"]
        indexes = [models.Index(fields=["kind", "-anchored_at"], name="audit_anchors")]

"""Slots on pages, each with variants of content in versions; how often people were looked up.

What a document of variants may say is in `cdp.content.documents`; changing slots is in `cdp.content.services`.
"""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Slot(models.Model):
    """A place on pages, and what is said there to whom: its newest version's document says it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key = models.SlugField(max_length=64, unique=True, help_text="How pages and the API name it; can't change.")
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    is_live = models.BooleanField("live", default=False, help_text="A draft is served to nobody.")
    is_public = models.BooleanField(
        "public", default=False, help_text="Browsers may ask for it; so everybody can read what it says to them."
    )
    starts_at = models.DateTimeField(null=True, blank=True, help_text="Served from then on.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Served until then.")
    document = models.JSONField(help_text="Variants in the order in which they are tried, and what is said else.")
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(starts_at=None) | Q(ends_at=None) | Q(starts_at__lt=F("ends_at")),
                name="content_slot_ends_after_it_began",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def is_served(self, at: datetime) -> bool:
        """Whether anybody is given something at the moment."""
        begun = self.starts_at is None or self.starts_at <= at
        return self.is_live and begun and (self.ends_at is None or at < self.ends_at)


class SlotVersion(models.Model):
    """What a slot said, to whom and when, as it was saved. Never edited."""

    slot = models.ForeignKey(Slot, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    body = models.JSONField(help_text="Name, times, whether it was live and public, and its document.")
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["slot", "number"], name="content_version_unique")]

    def __str__(self) -> str:
        return f"version {self.number}"


class LookupCount(models.Model):
    """How often one caller looked people up for one purpose in one minute, as one process counted it.

    The row is there before the first of its answers leaves, and the number comes when the minute is over: so a process that died
    leaves a row without a number, and never a minute without a row.
    """

    minute = models.DateTimeField()
    process = models.UUIDField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    actor_label = models.CharField(max_length=150)
    purpose = models.CharField(max_length=64)
    reads = models.BigIntegerField(null=True, help_text="NULL until it is known; it never is where a process died.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "process", "actor_kind", "actor_id", "purpose"], name="content_count_once"
            )
        ]
        indexes = [models.Index(fields=["minute"], condition=Q(reads=None), name="content_count_open")]

    def __str__(self) -> str:
        return f"{self.reads} reads"

"""Personas and their newest portraits. Making and changing them is in `segments.personas.services`, drawing them in `.portraying`."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from cdp.jobs.models import Job

COLOURS = 6


class PersonaSource(models.TextChoices):
    """Of which kind the group of people is that a persona portrays."""

    CLUSTER = "cluster", "Cluster"
    RFM = "rfm", "RFM group"
    SEGMENT = "segment", "Segment"


class Persona(models.Model):
    """A group of people with a name: who belongs follows from a cluster, an RFM group or a segment.

    Clusters and RFM groups are named as scores name them, so a persona outlives each of their runs.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key = models.SlugField(max_length=56, unique=True, help_text="How rules name it, after `persona.`; can't change.")
    name = models.CharField(max_length=100, unique=True)
    description = models.TextField(blank=True)
    source = models.CharField(max_length=8, choices=PersonaSource.choices)
    score_kind = models.CharField(
        max_length=64, blank=True, help_text="Of a cluster or RFM group: the scores that say who is in it."
    )
    cluster = models.IntegerField(null=True, help_text="Of a cluster, its number, which it keeps from run to run.")
    rfm_group = models.CharField(max_length=128, blank=True, help_text="Of an RFM group, its key.")
    segment = models.ForeignKey(
        "segments.Segment", null=True, on_delete=models.SET_NULL, related_name="personas", help_text="Of a segment."
    )
    source_name = models.CharField(max_length=200, help_text="What the group was called when the persona was made.")
    position = models.IntegerField(
        help_text="Where it stands among the others: who belongs to several has the first as theirs."
    )
    colour = models.PositiveSmallIntegerField(default=1)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    is_active = models.BooleanField(default=True, help_text="Portrayed each night, and readable by rules.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        app_label = "segments"
        ordering = ["position", "pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(key="persona"), name="segments_persona_key_not_taken"),
            models.CheckConstraint(condition=Q(colour__gte=1, colour__lte=COLOURS), name="segments_persona_colour"),
            # A segment may have been deleted since; what the other two are named by stays.
            models.CheckConstraint(
                condition=Q(source="segment", score_kind="", cluster=None, rfm_group="")
                | Q(source="cluster", cluster__isnull=False, rfm_group="", segment=None) & ~Q(score_kind="")
                | Q(source="rfm", cluster=None, segment=None) & ~Q(rfm_group="") & ~Q(score_kind=""),
                name="segments_persona_has_one_source",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PersonaPortrait(models.Model):
    """What a group is like, in figures, as they were last taken. Nothing in it stands for fewer than five people."""

    persona = models.OneToOneField(Persona, on_delete=models.CASCADE, related_name="portrait", primary_key=True)
    as_of = models.DateTimeField()
    people = models.BigIntegerField(null=True, help_text="How many permit it; NULL if they are fewer than five.")
    # Each as `segments.analytics` writes it: plain values that its `from_json` reads.
    figures = models.JSONField(default=dict)
    attributes = models.JSONField(default=dict)
    factors = models.JSONField(default=dict)
    sentences = models.JSONField(default=list)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    drawn_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "segments"
        constraints = [
            models.CheckConstraint(
                condition=Q(people__isnull=True) | Q(people__gte=5), name="segments_portrait_of_five_people"
            )
        ]

    def __str__(self) -> str:
        return f"portrait of {self.persona_id}"

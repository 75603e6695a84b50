"""Audiences: whom of a segment another system may have for a purpose, who is in, and who came and went, in order.

Rows of members and changes are written by one process at a time, the keeper (`cdp.activation.keeping`).
"""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from consent.models import Purpose
from segments.models import Segment


class Channel(models.TextChoices):
    """By what a system reaches people: who has no such identifier is not in the audience. The values are namespaces of identifiers."""

    ANY = "", "Any"
    EMAIL = "email", "Email"
    PHONE = "phone", "Phone"
    USER = "user_id", "User id"
    DEVICE = "anonymous_id", "Browser or device"


class Audience(models.Model):
    """A segment, for a purpose, by a channel: what activation reads. Its members permit the purpose, or they leave.

    ``size`` and ``checksum`` are of the members after ``position``, its newest change. ``kept_after`` is the position up to which its
    changes are no longer kept: who stands before it must load the members anew.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key = models.SlugField(max_length=64, unique=True, help_text="How the API names it; can't change.")
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="audiences")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+")
    channel = models.CharField(max_length=16, choices=Channel.choices, blank=True, default=Channel.ANY)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    size = models.BigIntegerField(default=0, editable=False)
    checksum = models.BigIntegerField(default=0, editable=False)
    position = models.BigIntegerField(default=0, editable=False)
    kept_after = models.BigIntegerField(default=0, editable=False)
    # What permission followed from when everybody was last judged; something else now: everybody is judged again.
    terms = models.CharField(max_length=200, default="", editable=False)
    # Transactions that wrote before this could be seen, so that nobody heard whom they touched: nobody is judged until they are over.
    # NULL: nobody has looked yet which there are.
    awaited = ArrayField(models.CharField(max_length=32), null=True, editable=False)
    # Where judging everybody stands: people up to this number are judged; NULL when nobody waits for it.
    judged_to = models.BigIntegerField(null=True, default=0, editable=False)
    compared_at = models.DateTimeField(null=True, editable=False, help_text="When everybody was last judged.")
    drift = models.BigIntegerField(
        default=0, editable=False, help_text="How many the last nightly comparison found in or out by mistake."
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["segment", "purpose", "channel"], name="activation_one_audience_of_a_kind"),
            models.CheckConstraint(condition=Q(size__gte=0), name="activation_size_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class AudienceMember(models.Model):
    """A person is in an audience, since the change at ``position``."""

    pk = models.CompositePrimaryKey("audience_id", "profile_id")
    # No constraints, as with memberships: one process writes, and a merge does away with the absorbed profile first.
    audience = models.ForeignKey(
        Audience, on_delete=models.CASCADE, related_name="members", db_constraint=False, db_index=False
    )
    profile_id = models.BigIntegerField()
    profile_uuid = models.UUIDField()
    entered_at = models.DateTimeField()
    position = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["profile_id"], name="activation_of_a_person")]


class Kind(models.TextChoices):
    ENTERED = "entered", "Entered"
    EXITED = "exited", "Exited"


class Why(models.TextChoices):
    """Why somebody came or went: what moved them in the segment, or what else an audience asks for."""

    EVENT = "event", "An event or trait"
    TIME = "time", "Time passing"
    RULE = "rule", "The rule changed"
    MERGE = "merge", "Two profiles became one"
    UNMERGE = "unmerge", "A merge was undone"
    EDIT = "edit", "A change by hand"
    RANK = "rank", "A percentile moved"
    ERASURE = "erasure", "The person was erased"
    CONSENT = "consent", "A decision about the purpose"
    EXPIRED = "expired", "A consent ended"
    CHANNEL = "channel", "An identifier came or went"
    TERMS = "terms", "The audience or its purpose changed"


class AudienceChange(models.Model):
    """Somebody came or went. Positions have no gaps over all audiences, and appear in order; never edited."""

    position = models.BigIntegerField(primary_key=True)
    audience = models.ForeignKey(
        Audience, on_delete=models.CASCADE, related_name="changes", db_constraint=False, db_index=False
    )
    profile_id = models.BigIntegerField()
    profile_uuid = models.UUIDField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    why = models.CharField(max_length=8, choices=Why.choices)
    effective_at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=timezone.now)
    # Of the audience after this change.
    size = models.BigIntegerField()
    checksum = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["audience", "position"], name="activation_changes_in_order"),
            models.Index(fields=["profile_id", "position"], name="activation_changes_of_person"),
            models.Index(fields=["recorded_at"], name="activation_changes_by_time"),
        ]


class Touched(models.Model):
    """Something that an audience asks for may hold otherwise of this person; the keeper takes these rows.

    Written by triggers on what people decided, on what is halted for them, and on their identifiers, so that no writer can forget it.
    ``purpose_id`` says for which purpose; none: for all.
    """

    profile_id = models.BigIntegerField()
    purpose_id = models.BigIntegerField(null=True)
    why = models.CharField(max_length=8, choices=Why.choices)
    at = models.DateTimeField()


class Keeper(models.Model):
    """How far the keeper has come: one row.

    ``numbered`` is the newest position given; ``segments_to`` up to where it has read the feed of segments; ``looked_to`` up to
    which moment it has seen consents end; ``kept_after`` up to which position changes are no longer kept.
    """

    numbered = models.BigIntegerField(default=0)
    segments_to = models.BigIntegerField(default=0)
    looked_to = models.DateTimeField()
    kept_after = models.BigIntegerField(default=0)
    heard_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="activation_one_keeper")]

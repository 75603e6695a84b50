"""Webhooks, what they hear, by which secrets they sign, and what was sent to whom.

What an audience's change says is never copied here: a delivery names its position, and its body is made when it is sent.
"""

import uuid
from typing import Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from cdp.activation.models import Audience
from cdp.webhooks import signing
from consent.models import Purpose


class EventType(models.TextChoices):
    """What a webhook can hear. The values are what a body says as its ``type``."""

    ENTERED = "audience.entered", "Somebody entered an audience"
    EXITED = "audience.exited", "Somebody left an audience"
    UPDATED = "profile.updated", "Traits of somebody in an audience changed"
    CONSENT = "consent.changed", "Somebody decided about the purpose"
    TEST = "webhook.test", "A test"


OF_AUDIENCES: Final = (EventType.ENTERED, EventType.EXITED)
ABOUT_MEMBERS: Final = (*OF_AUDIENCES, EventType.UPDATED)
"""What says something of people only because they are, or were, in an audience."""


class WebhookState(models.TextChoices):
    ENABLED = "enabled", "On"
    DISABLED = "disabled", "Off"


class OffReason(models.TextChoices):
    """Why a webhook is off."""

    NONE = "", ""
    ASKED = "asked", "Somebody turned it off"
    GONE = "gone", "The receiver answered 410: it wants nothing more"
    FAILING = "failing", "Nothing got through for days"
    NO_ACCESS = "no_access", "Whoever it belongs to may not read these people any more"


class Webhook(models.Model):
    """An address that is told of what happens. It hears for one purpose, as whoever it belongs to may read people.

    ``position`` is up to where audiences' changes have become deliveries. ``failures`` counts those in a row; while there are
    many, it is left alone until ``quiet_until`` and then tried with one delivery at a time.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    url = models.CharField(max_length=2000)
    description = models.CharField(max_length=200, blank=True)
    events = ArrayField(models.CharField(max_length=32, choices=EventType.choices))
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", help_text="A person, or a key's account."
    )
    state = models.CharField(max_length=8, choices=WebhookState.choices, default=WebhookState.ENABLED)
    off_reason = models.CharField(max_length=16, choices=OffReason.choices, blank=True, default=OffReason.NONE)
    off_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    position = models.BigIntegerField(default=0)
    failures = models.IntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    quiet_until = models.DateTimeField(null=True)
    # Up to when the audit log tells what it sent.
    recorded_to = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="enabled", off_reason="") | (Q(state="disabled") & ~Q(off_reason="")),
                name="webhooks_off_for_a_reason",
            )
        ]

    def __str__(self) -> str:
        return self.description or self.url.split("?")[0]


class HeardAudience(models.Model):
    """A webhook hears this audience's changes after ``after``."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="heard")
    audience = models.ForeignKey(Audience, on_delete=models.CASCADE, related_name="+")
    after = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["webhook", "audience"], name="webhooks_hears_once")]


class SecretKind(models.TextChoices):
    HMAC = signing.HMAC, "Shared secret (HMAC-SHA256)"
    ED25519 = signing.ED25519, "Key pair (Ed25519)"


class WebhookSecret(models.Model):
    """What a webhook signs by, sealed. An old one signs beside the new one until it ends."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="secrets")
    kind = models.CharField(max_length=3, choices=SecretKind.choices)
    sealed = models.BinaryField()
    public = models.CharField(max_length=80, blank=True, help_text="Of a key pair: by what the receiver verifies.")
    created_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "kind"], condition=Q(ends_at=None), name="webhooks_one_current_secret"
            )
        ]


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    SKIPPED = "skipped", "Not sent"
    DEAD = "dead", "Given up"


class FailureWord(models.TextChoices):
    """Why nothing was sent or taken; shown, and counted."""

    NONE = "", ""
    NOT_PERMITTED = "not_permitted", "The person doesn't permit the purpose any more"
    NOT_MEMBER = "not_member", "The person isn't in the audience any more"
    FORGOTTEN = "forgotten", "What it was about isn't kept any more"
    REFUSED = "refused", "Nothing is sent to this address"
    CONNECTION = "not_connected", "No connection"
    CERTIFICATE = "certificate", "The certificate proves nothing"
    SLOW = "took_too_long", "No answer in time"
    BROKEN = "broke_off", "The connection broke off"
    STATUS = "status", "Another status than 2xx"


class Delivery(models.Model):
    """Something a webhook is to be told. ``event_id`` stays the same however often it is sent.

    Of one person, the deliveries of a webhook are sent in the order of their numbers, one after another.
    """

    id = models.BigAutoField(primary_key=True)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    event_id = models.UUIDField()
    type = models.CharField(max_length=32, choices=EventType.choices)
    # Not foreign keys: of who was erased, and of an audience that was deleted, an end may still have to be told.
    profile_id = models.BigIntegerField(null=True)
    profile_uuid = models.UUIDField(null=True)
    audience_id = models.BigIntegerField(null=True)
    position = models.BigIntegerField(null=True)
    keys = ArrayField(models.CharField(max_length=200), default=list)
    happened_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.IntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    # Who sends it just now, and until when that is believed.
    lease = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    status = models.IntegerField(null=True)
    why = models.CharField(max_length=16, choices=FailureWord.choices, blank=True, default=FailureWord.NONE)
    ms = models.IntegerField(null=True)
    excerpt = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["webhook", "event_id"], name="webhooks_told_once")]
        indexes = [
            models.Index(fields=["webhook", "-id"], name="webhooks_deliveries_of"),
            models.Index(fields=["webhook", "next_at"], condition=Q(state="waiting"), name="webhooks_due"),
            models.Index(
                fields=["webhook", "profile_id", "id"], condition=Q(state="waiting"), name="webhooks_in_order"
            ),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="webhooks_finished"),
            models.Index(
                fields=["webhook", "finished_at"], condition=Q(state="delivered"), name="webhooks_delivered_of"
            ),
            models.Index(fields=["profile_id"], name="webhooks_of_a_person"),
            models.Index(fields=["webhook"], condition=Q(state="dead"), name="webhooks_dead"),
        ]


class Attempt(models.Model):
    """One try to send something."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    number = models.IntegerField()
    at = models.DateTimeField(default=timezone.now)
    status = models.IntegerField(null=True)
    why = models.CharField(max_length=16, choices=FailureWord.choices, blank=True, default=FailureWord.NONE)
    ms = models.IntegerField(null=True)

    class Meta:
        ordering = ["delivery", "number", "id"]


class Happened(models.Model):
    """Something that isn't an audience's change and that some webhook hears; written by triggers, so that no writer can forget it."""

    uuid = models.UUIDField(default=uuid.uuid4)
    type = models.CharField(max_length=32, choices=EventType.choices)
    profile_id = models.BigIntegerField()
    purpose_id = models.BigIntegerField(null=True)
    keys = ArrayField(models.CharField(max_length=200), default=list)
    at = models.DateTimeField()

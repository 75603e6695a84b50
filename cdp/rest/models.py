"""API keys: hashed, prefixed, scoped, revocable. Each has a service account of its own, so that object permissions
(django-guardian) are granted to a key just as to a person."""

import hashlib
import secrets
from typing import Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone


class Scope(models.TextChoices):
    SEGMENTS_READ = "segments:read", "Read segments"
    SEGMENTS_WRITE = "segments:write", "Change segments"
    MEMBERS_READ = "members:read", "Read the members of segments"
    ANALYSES_READ = "analyses:read", "Read RFM, clusterings and personas: figures of groups, nobody in particular"
    ANALYSES_WRITE = "analyses:write", "Run and change RFM, clusterings and personas"
    AUDIENCES_READ = "audiences:read", "Read audiences: their members, and who comes and goes"
    AUDIENCES_WRITE = "audiences:write", "Make and change audiences"
    PROFILES_READ = "profiles:read", "Look people up, with personal data masked"
    PROFILES_REVEAL = "profiles:reveal", "See personal data of people unmasked"
    PRIVACY_READ = "privacy:read", "Follow privacy requests"
    PRIVACY_WRITE = "privacy:write", "Enter privacy requests, and have them carried out"
    CONSENTS_READ = "consents:read", "Read what single people decided, with personal evidence hidden"
    CONSENTS_WRITE = "consents:write", "Report what people decided"
    JOBS_READ = "jobs:read", "Follow jobs"
    JOBS_WRITE = "jobs:write", "Stop jobs"
    WEBHOOKS_READ = "webhooks:read", "See webhooks, and what they sent"
    WEBHOOKS_WRITE = "webhooks:write", "Make, change and try webhooks"


# What somebody must be allowed to do themselves to hand it to a key.
HANDED_ON_BY: Final[dict[str, str]] = {
    Scope.SEGMENTS_READ: "segments.view_segment",
    Scope.SEGMENTS_WRITE: "segments.change_segment",
    Scope.MEMBERS_READ: "segments.view_members",
    Scope.ANALYSES_READ: "segments.view_clustering",
    Scope.ANALYSES_WRITE: "segments.change_clustering",
    Scope.AUDIENCES_READ: "segments.view_members",
    Scope.AUDIENCES_WRITE: "activation.change_audience",
    Scope.PROFILES_READ: "profiles.view_profile",
    Scope.PROFILES_REVEAL: "profiles.reveal_pii",
    Scope.PRIVACY_READ: "privacy.view_privacyrequest",
    Scope.PRIVACY_WRITE: "privacy.change_privacyrequest",
    Scope.CONSENTS_READ: "consent.view_consentrecord",
    Scope.CONSENTS_WRITE: "consent.add_consentrecord",
    Scope.JOBS_READ: "jobs.view_job",
    Scope.JOBS_WRITE: "jobs.change_job",
    Scope.WEBHOOKS_READ: "webhooks.view_webhook",
    Scope.WEBHOOKS_WRITE: "webhooks.change_webhook",
}


def digest(secret: str) -> bytes:
    """SHA-256 is enough for 32 random bytes: there is nothing to guess, unlike with a password."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> tuple[str, str]:
    """(prefix, whole key): the prefix is shown in lists, the key only once."""
    prefix = f"cdp_{secrets.token_hex(4)}"
    return prefix, f"{prefix}_{secrets.token_urlsafe(32)}"


class ApiKey(models.Model):
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    # Without choices: which scopes there are is the services' to check, and a new one needs no migration.
    scopes = ArrayField(models.CharField(max_length=32), default=list)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="api_key", editable=False
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

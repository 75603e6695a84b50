"""API keys: hashed, prefixed, limited, revocable; and which of their requests were already carried out.

Each line of keys has a service account of its own, so that object permissions (django-guardian) are granted to a key just
as to a person, and hold for the key that takes its place.
"""

import hashlib
import secrets
from datetime import timedelta
from functools import cache
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import Q
from django.utils import timezone

from cdp.database import ask_for_one

ENDS_SOON: Final = timedelta(days=30)


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
    PROFILES_LOOKUP = "profiles:lookup", "Ask how one person stands: segments, scores, persona, content"
    CONTENT_READ = "content:read", "Read what is said to whom in slots"
    CONTENT_WRITE = "content:write", "Change what is said to whom in slots"
    PRIVACY_READ = "privacy:read", "Follow privacy requests"
    PRIVACY_WRITE = "privacy:write", "Enter privacy requests, and have them carried out"
    CONSENTS_READ = "consents:read", "Read what single people decided, with personal evidence hidden"
    CONSENTS_WRITE = "consents:write", "Report what people decided"
    SOURCES_READ = "sources:read", "Read sources, the tracking plan and why messages could not be used"
    CATALOGUE_READ = (
        "catalogue:read",
        "Read the catalogues of traits and events, with figures that stand for five people at least",
    )
    CATALOGUE_WRITE = "catalogue:write", "Call and describe traits and events, and mark personal data"
    SOURCES_WRITE = "sources:write", "Replay messages from quarantine"
    JOBS_READ = "jobs:read", "Follow jobs"
    JOBS_WRITE = "jobs:write", "Stop jobs"
    EXPORTS_READ = "exports:read", "See exports, their schedules and destinations"
    EXPORTS_WRITE = "exports:write", "Take the members of audiences out as files"
    WEBHOOKS_READ = "webhooks:read", "See webhooks, and what they sent"
    WEBHOOKS_WRITE = "webhooks:write", "Make, change and try webhooks"
    KEYS_READ = "keys:read", "List API keys and what they may do"
    KEYS_WRITE = "keys:write", "Make and revoke API keys that may no more than itself, and take its own place anew"
    AUDIT_READ = "audit:read", "Read the audit log"


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
    Scope.PROFILES_LOOKUP: "profiles.view_profile",
    Scope.CONTENT_READ: "content.view_slot",
    Scope.CONTENT_WRITE: "content.change_slot",
    Scope.PRIVACY_READ: "privacy.view_privacyrequest",
    Scope.PRIVACY_WRITE: "privacy.change_privacyrequest",
    Scope.CONSENTS_READ: "consent.view_consentrecord",
    Scope.CONSENTS_WRITE: "consent.add_consentrecord",
    Scope.SOURCES_READ: "ingestion.view_source",
    Scope.CATALOGUE_READ: "profiles.view_trait",
    Scope.CATALOGUE_WRITE: "profiles.change_trait",
    Scope.SOURCES_WRITE: "ingestion.replay_quarantined",
    Scope.JOBS_READ: "jobs.view_job",
    Scope.JOBS_WRITE: "jobs.change_job",
    Scope.EXPORTS_READ: "exports.view_export",
    Scope.EXPORTS_WRITE: "exports.add_export",
    Scope.WEBHOOKS_READ: "webhooks.view_webhook",
    Scope.WEBHOOKS_WRITE: "webhooks.change_webhook",
    Scope.KEYS_READ: "rest.view_apikey",
    Scope.KEYS_WRITE: "rest.add_apikey",
    Scope.AUDIT_READ: "audit.view_auditentry",
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
    # For what it may read people. Without any it reads nobody.
    purposes = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    all_purposes = models.BooleanField(default=False, help_text="Those that are added later too.")
    # From where it may be used; from anywhere without any.
    networks = ArrayField(models.CharField(max_length=43), default=list, blank=True)
    # Of the whole line: a key and those that took its place after one another.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="api_keys", editable=False
    )
    replaces = models.OneToOneField(
        "self", null=True, on_delete=models.SET_NULL, related_name="replaced_by", editable=False
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
        constraints = [
            models.CheckConstraint(
                condition=~Q(all_purposes=True) | Q(purposes=[]), name="rest_key_all_or_some_purposes"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def ends_soon(self) -> bool:
        """Whether whoever uses it should be told to take a new one."""
        return self.expires_at is not None and self.is_usable and self.expires_at <= timezone.now() + ENDS_SOON

    def may_read_for(self, purpose: str) -> bool:
        return self.all_purposes or purpose in self.purposes


@cache
def _by_digest() -> tuple[str, list[str], list[str]]:
    """The statement that finds a key with its account, and the names of the fields of both, in the order of its columns."""
    of_key = [field.attname for field in ApiKey._meta.concrete_fields]
    of_user = [field.attname for field in User._meta.concrete_fields]
    found = ApiKey.objects.filter(digest=b"").order_by().values_list(*of_key, *(f"user__{name}" for name in of_user))
    text, (_,) = found.query.sql_with_params()
    return text.replace("%s", "%(digest)s"), of_key, of_user


def find_key(secret: str) -> ApiKey | None:
    """The key with its account, usable or not. Every request begins with it, so the connection keeps its plan and nothing
    puts the statement together anew."""
    sql, of_key, of_user = _by_digest()
    row = ask_for_one(sql, {"digest": digest(secret)})
    if row is None:
        return None
    key = ApiKey.from_db(connection.alias, of_key, row[: len(of_key)])
    key.user = User.from_db(connection.alias, of_user, row[len(of_key) :])
    return key


def key_of(user: object) -> ApiKey | None:
    """The key whose service account this is, of a line the newest that can be used; None for a person."""
    if not isinstance(user, User):
        return None
    keys = sorted(user.api_keys.all(), key=lambda key: (key.is_usable, key.created_at))
    return keys[-1] if keys else None


class DoneRequest(models.Model):
    """A write that was carried out, by the Idempotency-Key it was sent with; see `cdp.rest.idempotency`."""

    caller = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.BinaryField(max_length=32, help_text="A digest of the Idempotency-Key.")
    asked = models.BinaryField(max_length=32, help_text="A digest of method, address and body.")
    status = models.PositiveSmallIntegerField()
    # Sealed with what only the caller has; null where it held a secret and was not kept.
    answer = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        db_table = "rest_idempotentrequest"
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="rest_request_done_once")]

    def __str__(self) -> str:
        return f"done at {self.created_at.isoformat()}"

"""Where data comes from and what waits: sources, write keys, the inbox, repeats already seen, quarantine."""

import secrets

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from cdp.ingestion.querysets import QuarantinedQuerySet


class SourceKind(models.TextChoices):
    BROWSER = "browser", "Browser or app (public key)"
    SERVER = "server", "Server (secret key)"
    IMPORT = "import", "Import"


class Source(models.Model):
    """One site, app or system that sends data."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=SourceKind.choices)
    allowed_origins = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="Origins whose pages may send with its browser key.",
    )
    is_enabled = models.BooleanField(default=True)
    place = models.CharField(
        "its people are in",
        max_length=8,
        blank=True,
        db_default="",
        help_text="A country (DE), a region (US-CA) or EU: whose law protects those of its people of whom nobody knows where they"
        " live. Empty: the workspace's, or else the strictest.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_trusted(self) -> bool:
        """Whether its key is secret, so that what it says about people can be believed."""
        return self.kind != SourceKind.BROWSER


class WriteKey(models.Model):
    """A key to send events with. A browser's key is public by nature and kept readable, a server's only as its hash."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="write_keys")
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    public_value = models.CharField(
        max_length=64, blank=True, editable=False, help_text="The key itself, for browser sources."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class InboxMessage(models.Model):
    """A request as it was received, from the moment it was answered until the transaction that processes it deletes it."""

    source_id = models.IntegerField()
    received_at = models.DateTimeField()
    endpoint = models.CharField(max_length=10, help_text="Which call: track, batch...")
    message_count = models.IntegerField()
    body = models.BinaryField()
    asks = models.SmallIntegerField(db_default=0, help_text="What the browser asked for: 1 Sec-GPC, 2 DNT.")

    class Meta:
        ordering = ["id"]


class SeenMessage(models.Model):
    """A message already stored, by the hash of its id: a repeat is known for as long as this row is kept."""

    pk = models.CompositePrimaryKey("source_id", "digest")
    source_id = models.IntegerField()
    digest = models.BinaryField(max_length=32)
    seen_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["seen_at"], name="ingestion_seen_at")]


class Quarantined(models.Model):
    """A message that could not be used, kept with the reason, until it is replayed or discarded."""

    source_id = models.IntegerField()
    received_at = models.DateTimeField()
    endpoint = models.CharField(max_length=10)
    code = models.CharField(max_length=40)
    pointer = models.CharField(max_length=200, blank=True)
    detail = models.CharField(max_length=300, help_text="What was expected and what came; never the value.")
    body = models.BinaryField(help_text="The one message, as it came.")
    shared = models.BinaryField(
        default=b"", blank=True, help_text="What its batch said of all its messages, as it came."
    )
    asks = models.SmallIntegerField(db_default=0, help_text="What the browser asked for: 1 Sec-GPC, 2 DNT.")
    quarantined_at = models.DateTimeField(default=timezone.now)
    replayed_at = models.DateTimeField(null=True)
    discarded_at = models.DateTimeField(null=True)

    objects = QuarantinedQuerySet.as_manager()

    class Meta:
        verbose_name = "quarantined message"
        ordering = ["-quarantined_at", "-id"]
        indexes = [
            models.Index(
                fields=["-quarantined_at"],
                name="ingestion_quarantine_open",
                condition=models.Q(replayed_at__isnull=True, discarded_at__isnull=True),
            )
        ]
        permissions = [("replay_quarantined", "Can replay or discard quarantined messages")]

    def __str__(self) -> str:
        return f"{self.code} {self.pk}"


class MinuteCount(models.Model):
    """How many messages of a source were taken up in a minute, and what became of them.

    Kept `counting.DAYS` days. Each consumer's connection has rows of its own (``shard``), so that none waits for another's batch.
    """

    pk = models.CompositePrimaryKey("source_id", "minute", "shard")
    source_id = models.IntegerField()
    minute = models.DateTimeField()
    shard = models.SmallIntegerField()
    messages = models.IntegerField()
    repeated = models.IntegerField(default=0)
    quarantined = models.IntegerField(default=0)
    dropped = models.IntegerField(default=0, help_text="About nobody but people who were erased.")

    class Meta:
        indexes = [models.Index(fields=["minute"], name="ingestion_minute")]


class Watch(models.Model):
    """That somebody looks at what a source sends: until then each message leaves a note."""

    source_id = models.IntegerField(primary_key=True)
    until = models.DateTimeField()


class Outcome(models.TextChoices):
    ACCEPTED = "accepted", "Accepted"
    REPEATED = "repeated", "Repeated"
    QUARANTINED = "quarantined", "Quarantined"
    DROPPED = "dropped", "Dropped"


class WatchedMessage(models.Model):
    """A note on one message while somebody looked: names of what it carried, never a value, and nobody's identifier."""

    source_id = models.IntegerField()
    noted_at = models.DateTimeField()
    received_at = models.DateTimeField()
    type = models.CharField(max_length=16)
    name = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    code = models.CharField(max_length=40, blank=True, help_text="Why it is in quarantine.")
    pointer = models.CharField(max_length=200, blank=True)
    keys = ArrayField(models.CharField(max_length=80), help_text="Names of its traits and properties.")
    flags = ArrayField(models.CharField(max_length=60), help_text="What was odd about it.")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["source_id", "-id"], name="ingestion_watched")]


def new_write_key() -> str:
    return f"wk_{secrets.token_urlsafe(24)}"

"""People and what is known of them: profiles, identifiers, typed traits, events and their totals, and the catalogues.

How two profiles become one is in `cdp.identity`; how events arrive is in `cdp.ingestion`.
"""

import zoneinfo
from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Func, Value
from django.utils import timezone

from cdp.profiles.ids import uuid7
from cdp.profiles.querysets import EventQuerySet, ProfileQuerySet


def validate_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"{name!r} is not a time zone of the IANA database.")


class Workspace(models.Model):
    """The one shop or organisation this database belongs to."""

    name = models.CharField(max_length=100, default="My organisation")
    reporting_currency = models.CharField(max_length=3, default="USD")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    frozen_at = models.DateTimeField(
        null=True, blank=True, help_text="Rules are evaluated as of this moment instead of now."
    )
    is_simulated = models.BooleanField(default=False, help_text="Its people are made up; every screen says so.")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="profiles_one_workspace")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def current(cls) -> "Workspace":
        return cls.objects.get_or_create(pk=1)[0]

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """By whose calendar days and months are counted."""
        return zoneinfo.ZoneInfo(self.time_zone)

    def now(self) -> datetime:
        """The moment rules are asked about."""
        return self.frozen_at or timezone.now()


class Profile(models.Model):
    """One person, or one device not yet known to be anybody's. Absorbed profiles are deleted; the merge ledger keeps them."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    # Read model for look-ups, derived from TraitValue. Rules read TraitValue.
    traits = models.JSONField(default=dict)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    objects = ProfileQuerySet.as_manager()

    class Meta:
        ordering = ["-last_seen_at"]
        indexes = [
            models.Index(fields=["-last_seen_at"], name="profiles_last_seen"),
            # A sample of people is a stretch of this one.
            models.Index(Func("id", Value(0), function="hashint8extended"), include=["id"], name="profiles_at_random"),
        ]
        permissions = [("reveal_pii", "Can see personal data unmasked")]

    def __str__(self) -> str:
        return str(self.uuid)


class Identifier(models.Model):
    """A name by which some source knows a person: unique, so it belongs to exactly one profile."""

    namespace = models.CharField(max_length=50)
    value = models.CharField(max_length=512, help_text="Normalised.")
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="identifiers")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    source_id = models.IntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["namespace", "value"], name="profiles_identifier_unique")]

    def __str__(self) -> str:
        return f"{self.namespace} {self.pk}"


class TraitType(models.TextChoices):
    TEXT = "text", "Text"
    NUMBER = "number", "Number"
    BOOLEAN = "boolean", "Yes or no"
    DATE = "date", "Date"
    LIST = "list", "List"
    COUNTRY = "country", "Country"
    CURRENCY = "currency", "Currency"
    EMAIL = "email", "Email address"
    PHONE = "phone", "Phone number"


class TraitCategory(models.TextChoices):
    DEMOGRAPHIC = "demographic", "Demographic"
    BEHAVIOURAL = "behavioural", "Behavioural"
    PSYCHOGRAPHIC = "psychographic", "Psychographic"
    TECHNOGRAPHIC = "technographic", "Technographic"
    COMPUTED = "computed", "Computed"


class Trait(models.Model):
    """An entry of the trait catalogue. A trait first seen in an event enters by itself, with the type of its first value."""

    id = models.AutoField(primary_key=True)
    key = models.CharField(max_length=128, unique=True)
    label = models.CharField(max_length=128)
    type = models.CharField(max_length=16, choices=TraitType.choices)
    category = models.CharField(max_length=16, choices=TraitCategory.choices, default=TraitCategory.BEHAVIOURAL)
    is_pii = models.BooleanField("personal data", default=False, help_text="Masked unless the reader may reveal it.")
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["label"]

    def __str__(self) -> str:
        return self.label


class TraitValue(models.Model):
    """The newest value of one trait of one person, in each type it can be read as, and where it came from.

    The typed columns are not exclusive: "2024-01-01" is text and a moment. A value that no rule can compare
    (a nested object, a text over 512 characters, a number beyond numeric(19,4)) has only ``raw``.

    There are millions: the columns go from wide to narrow and of fixed length first, so that nothing is lost to padding.
    """

    pk = models.CompositePrimaryKey("trait_id", "profile_id")
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="trait_values")
    moment = models.DateTimeField(null=True)
    occurred_at = models.DateTimeField()
    trait = models.ForeignKey(Trait, on_delete=models.PROTECT, related_name="+", db_index=False)
    source_id = models.IntegerField(null=True)
    boolean = models.BooleanField(null=True)
    number = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    text = models.CharField(max_length=512, null=True)
    text_folded = models.TextField(null=True)
    items = ArrayField(models.TextField(), null=True)
    raw = models.JSONField()
    message_id = models.CharField(max_length=100)


class EventType(models.IntegerChoices):
    TRACK = 1, "Track"
    PAGE = 2, "Page"
    SCREEN = 3, "Screen"
    IDENTIFY = 4, "Identify"
    GROUP = 5, "Group"
    ALIAS = 6, "Alias"
    DERIVED = 7, "Derived"


class EventName(models.Model):
    """An entry of the event catalogue; events carry its small number instead of the name."""

    name = models.CharField(max_length=200, unique=True)
    label = models.CharField(max_length=200)
    type = models.SmallIntegerField(choices=EventType.choices, default=EventType.TRACK)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.label


class Event(models.Model):
    """Something a person did, or said of themself. Partitioned by month of ``occurred_at``.

    Identify calls are events too: traits can be rebuilt from them, so that a merge can be undone exactly.
    What follows from events (`cdp.profiles.settling`) stands beside them as events of type DERIVED, which nobody sent.
    Foreign keys are plain numbers: a constraint check per row would cost more than the row.
    """

    pk = models.CompositePrimaryKey("occurred_at", "id")
    id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    profile_id = models.BigIntegerField()
    identifier_id = models.BigIntegerField(
        null=True, help_text="By which identifier it found the person; lets a merge be undone."
    )
    name_id = models.IntegerField(
        help_text="Of its name. Superseded events have it with the sign turned: what asks for a name never finds them."
    )
    type = models.SmallIntegerField(choices=EventType.choices)
    message_id = models.CharField(max_length=100)
    source_id = models.IntegerField()
    received_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    original_timestamp = models.DateTimeField(null=True)
    amount = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    currency = models.CharField(max_length=3, null=True)
    value = models.DecimalField(
        max_digits=19, decimal_places=4, null=True, help_text="The amount in the reporting currency."
    )
    properties = models.JSONField()
    context = models.JSONField()
    flags = ArrayField(models.CharField(max_length=40), null=True, help_text="What could not be taken as it came.")
    order_key = models.CharField(max_length=250, null=True, help_text="Which order of the person it speaks of.")
    from_device = models.BooleanField(
        default=False, help_text="Something was done on a site or in an app: it is part of a session."
    )

    objects = EventQuerySet.as_manager()

    class Meta:
        managed = False  # created as a partitioned table by the migration
        db_table = "profiles_event"
        ordering = ["-occurred_at", "-message_id"]

    @property
    def is_superseded(self) -> bool:
        """A newer version of the same order came; this one is history and no longer counts."""
        return self.name_id < 0

    @property
    def named(self) -> int:
        """The number of its name, whether it counts or not."""
        return abs(self.name_id)


class EventTotal(models.Model):
    """How often, how much, first and last, per person and event name. Kept in the transaction that stores the events."""

    pk = models.CompositePrimaryKey("profile_id", "name_id")
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="event_totals", db_index=False)
    name = models.ForeignKey(EventName, on_delete=models.PROTECT, related_name="+", db_index=False)
    count = models.BigIntegerField()
    value_sum = models.DecimalField(max_digits=30, decimal_places=4)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        # Only columns that (nearly) never change: then counting on rewrites the row in place (HOT) and touches no index.
        # With the first moment in it, who did something at all is answered by the index alone.
        indexes = [models.Index(fields=["name", "profile"], include=["first_at"], name="profiles_total_by_name")]


class Session(models.Model):
    """One visit to a site or an app: events of the person's devices without more than half an hour between them.

    Derived from events, and kept in line in the transaction that stores them.
    """

    pk = models.CompositePrimaryKey("profile_id", "started_at")
    profile_id = models.BigIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(help_text="Of its last event.")
    events = models.IntegerField()
    message_id = models.CharField(max_length=100, help_text="Of its first event.")
    source_id = models.IntegerField()
    identifier_id = models.BigIntegerField(null=True)
    entry_page = models.CharField(max_length=512, blank=True)
    utm_source = models.CharField(max_length=512, blank=True)
    utm_medium = models.CharField(max_length=512, blank=True)
    utm_campaign = models.CharField(max_length=512, blank=True)

    class Meta:
        # New events belong to the newest sessions; those that ended long ago needn't be read.
        indexes = [models.Index(fields=["profile_id", "ended_at"], name="profiles_session_end")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ended_at__gte=models.F("started_at"), events__gt=0), name="profiles_session_whole"
            )
        ]


class ExchangeRate(models.Model):
    """What one unit of a currency is worth in the reporting currency, from this day on until the next rate's."""

    currency = models.CharField(
        max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, as ISO 4217 has them.")]
    )
    day = models.DateField(help_text="In UTC, as the days of events are.")
    rate = models.DecimalField(max_digits=19, decimal_places=10)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-day", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["currency", "day"], name="profiles_one_rate_per_day"),
            models.CheckConstraint(condition=models.Q(rate__gt=0), name="profiles_rate_above_nothing"),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.day}"


class ScoreRun(models.Model):
    """One run of a model over people: its scores can be read once it is published, until the next of its kind is."""

    kind = models.CharField(max_length=64, help_text="Which model: rfm, clusters, propensity.")
    version = models.CharField(max_length=64, help_text="Of the model, as its makers number it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    is_current = models.BooleanField(default=False, editable=False, help_text="The one that is read.")
    keys = models.JSONField(
        default=dict,
        editable=False,
        help_text="Once it is published, its keys and what it says under each: {'group': ['labels']}.",
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            # "kind.key" names a score, and the first full stop parts the two.
            models.CheckConstraint(
                condition=~models.Q(kind__contains=".") & ~models.Q(kind=""), name="profiles_run_kind_without_stop"
            ),
            models.UniqueConstraint(
                fields=["kind"], condition=models.Q(is_current=True), name="profiles_one_current_run_per_kind"
            ),
            models.CheckConstraint(
                condition=models.Q(is_current=False) | models.Q(published_at__isnull=False),
                name="profiles_current_run_is_published",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"


class Score(models.Model):
    """What a run says of a person under one key: a number, a label, or both."""

    pk = models.CompositePrimaryKey("run_id", "key", "profile_id")
    # Without a constraint, whose check of each of millions of rows takes longer than writing them: who writes scores holds the run
    # (`score_services.hold_run`), and runs are deleted by `delete_runs` alone.
    run = models.ForeignKey(
        ScoreRun, on_delete=models.DO_NOTHING, related_name="scores", db_index=False, db_constraint=False
    )
    profile_id = models.BigIntegerField()
    key = models.CharField(max_length=64)
    number = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    label = models.CharField(max_length=128, null=True)

    class Meta:
        # The primary key finds everybody's score of a key; this one finds all scores of a person.
        indexes = [models.Index(fields=["profile_id", "run"], name="profiles_score_of_person")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(number__isnull=False) | models.Q(label__isnull=False),
                name="profiles_score_says_something",
            )
        ]


class DirtyProfile(models.Model):
    """A person changed from outside the pipeline; the evaluator drains these rows."""

    profile_id = models.BigIntegerField()
    facts = models.JSONField(
        default=dict,
        help_text="What changed: {'scores': [kinds], 'consents': [purposes]}; anything, where it doesn't say.",
    )
    created_at = models.DateTimeField(default=timezone.now)


class TraitRemoval(models.Model):
    """A trait was taken away (an explicit null) at this moment; an older value that comes later stays away."""

    pk = models.CompositePrimaryKey("trait_id", "profile_id")
    trait = models.ForeignKey(Trait, on_delete=models.PROTECT, related_name="+", db_index=False)
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="+")
    occurred_at = models.DateTimeField()
    message_id = models.CharField(max_length=100)

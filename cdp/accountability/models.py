"""What whoever runs the platform must be able to show: how long data is kept, what became of it, and the published record.

How a period follows from rules and purposes is in `cdp.accountability.periods`; rules are changed by
`cdp.accountability.rules` and applied by `cdp.accountability.applying`; the record is put together in
`cdp.accountability.record`.
"""

from django.db import models
from django.utils import timezone

from cdp.profiles.models import EventName, TraitCategory
from consent.models import Purpose

LONGEST_DAYS = 36_525  # a hundred years


class Kind(models.TextChoices):
    """What a rule can be about. Whatever else is kept follows from these, or can't be deleted at all."""

    EVENTS = "events", "Events"
    TRAITS = "traits", "Traits"
    SCORES = "scores", "Scores no longer read"
    QUARANTINE = "quarantine", "Quarantined messages"


class RetentionRule(models.Model):
    """How long data of one kind is kept: its own days, and as long as each of its purposes needs it; the longest counts.

    Of events a rule is about one name, or about all names that have none of their own; of traits about one category, or all
    others.
    """

    kind = models.CharField(max_length=16, choices=Kind.choices)
    event_name = models.ForeignKey(EventName, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    category = models.CharField(max_length=16, choices=TraitCategory.choices, blank=True)
    days = models.PositiveIntegerField(null=True, blank=True)
    purposes = models.ManyToManyField(Purpose, through="KeptFor", related_name="+", blank=True)
    reason = models.CharField(max_length=300, blank=True, help_text="Why so long: the law or the need it rests on.")
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["kind", "event_name__name", "category"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "event_name", "category"],
                nulls_distinct=False,
                name="accountability_one_rule_each",
            ),
            models.CheckConstraint(
                condition=(models.Q(event_name__isnull=True) | models.Q(kind="events"))
                & (models.Q(category="") | models.Q(kind="traits")),
                name="accountability_rule_of_its_kind",
            ),
            models.CheckConstraint(
                condition=models.Q(days__isnull=True) | models.Q(days__gte=1, days__lte=LONGEST_DAYS),
                name="accountability_days_of_a_life",
            ),
        ]
        permissions = [("apply_retention", "Can have data deleted whose time is over")]

    def __str__(self) -> str:
        if self.event_name is not None:
            return self.event_name.name
        if self.category:
            return f"{self.get_category_display()} traits"
        return {Kind.EVENTS: "All other events", Kind.TRAITS: "All other traits"}.get(
            Kind(self.kind), self.get_kind_display()
        )


class KeptFor(models.Model):
    """A rule names a purpose. A purpose that keeps data can't be deleted: the data would go before its time."""

    pk = models.CompositePrimaryKey("rule_id", "purpose_id")
    rule = models.ForeignKey(RetentionRule, on_delete=models.CASCADE, related_name="kept_for", db_index=False)
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+")


class PurposeLifetime(models.Model):
    """For how long data may be used for a purpose. Without a row there is no end to it, and the screen says so."""

    purpose = models.OneToOneField(Purpose, on_delete=models.CASCADE, primary_key=True, related_name="data_lifetime")
    retention_days = models.PositiveIntegerField()
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(retention_days__gte=1, retention_days__lte=LONGEST_DAYS),
                name="accountability_purpose_days",
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose}: {self.retention_days} days"


class RetentionRun(models.Model):
    """One application of the rules, with what it deleted. A run that was killed goes on with the same row."""

    job_uuid = models.UUIDField(unique=True)
    as_of = models.DateTimeField()
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, help_text="Once it stands in the audit log.")
    is_complete = models.BooleanField(default=False, help_text="Nothing was left to do.")
    people = models.BigIntegerField(default=0)
    months = models.JSONField(default=list, help_text="Whose partitions held nothing any more and were dropped.")

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"as of {self.as_of.isoformat()}"


class Deleted(models.Model):
    """How many rows of one kind, name and month a run deleted; counted in the transaction that deleted them."""

    pk = models.CompositePrimaryKey("run_id", "kind", "what", "month")
    run = models.ForeignKey(RetentionRun, on_delete=models.CASCADE, related_name="deleted", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    what = models.CharField(max_length=200, help_text="An event's name, a category of traits, a kind of score.")
    month = models.DateField(help_text="Its first day; of what lies in no month, the day of the run.")
    count = models.BigIntegerField()


class Controller(models.Model):
    """Who answers for the processing, and what only they can say of it. Empty is shown as missing."""

    name = models.CharField(max_length=200, blank=True)
    address = models.TextField(max_length=1000, blank=True)
    contact = models.CharField(max_length=300, blank=True, help_text="Email address or phone number.")
    representative = models.TextField(
        max_length=1000, blank=True, help_text="In the Union, where the controller is outside of it (Art. 27)."
    )
    joint_controllers = models.TextField(max_length=1000, blank=True)
    officer = models.TextField(
        "data protection officer", max_length=1000, blank=True, help_text="Name and contact details."
    )
    authority = models.CharField(
        "supervisory authority", max_length=300, blank=True, help_text="To which a breach is notified."
    )
    subjects = models.TextField(
        "categories of data subjects",
        max_length=1000,
        blank=True,
        help_text="Such as customers, subscribers, visitors.",
    )
    measures = models.TextField(
        "security measures",
        max_length=4000,
        blank=True,
        help_text="Technical and organisational ones (Art. 32(1)). What the platform does by itself is stated beside it.",
    )
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "controller"
        permissions = [("investigate_breach", "Can find out who was read, by whom")]
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="accountability_one_controller")]

    def __str__(self) -> str:
        return self.name or "Controller"

    @classmethod
    def current(cls) -> "Controller":
        return cls.objects.get_or_create(pk=1)[0]


class PurposeEntry(models.Model):
    """What only the controller can say of the processing for one purpose."""

    purpose = models.OneToOneField(Purpose, on_delete=models.CASCADE, primary_key=True, related_name="record_entry")
    subjects = models.TextField(
        "categories of data subjects", max_length=1000, blank=True, help_text="Empty: those named for all purposes."
    )
    recipients = models.TextField(
        max_length=2000, blank=True, help_text="To whom data is disclosed outside this platform, such as processors."
    )
    transfers = models.TextField(
        "transfers to third countries", max_length=2000, blank=True, help_text="To which; “none”, if there are none."
    )
    safeguards = models.TextField(
        max_length=2000, blank=True, help_text="What a transfer rests on: a decision of adequacy, standard clauses."
    )
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"Record of {self.purpose}"


class PublishedRecord(models.Model):
    """The record of processing as it stood on a day: canonical JSON, kept as bytes, with its hash. Append-only."""

    number = models.PositiveIntegerField(unique=True)
    content = models.BinaryField(editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    missing = models.PositiveIntegerField(help_text="How many entries were missing.")
    published_at = models.DateTimeField(default=timezone.now)
    published_by = models.CharField(max_length=150)

    class Meta:
        verbose_name = "record of processing"
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"version {self.number}"

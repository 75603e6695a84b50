"""Purposes, the append-only record of what people decided, and the state projected from it.

Reading people for a purpose is in `consent.querysets`; writing decisions is in `consent.services`.
"""

from django.db import models
from django.utils import timezone

from cdp.profiles.models import Profile


class LawfulBasis(models.TextChoices):
    """GDPR Art. 6(1)(a-f)."""

    CONSENT = "consent", "Consent (a)"
    CONTRACT = "contract", "Contract (b)"
    LEGAL_OBLIGATION = "legal_obligation", "Legal obligation (c)"
    VITAL_INTERESTS = "vital_interests", "Vital interests (d)"
    PUBLIC_TASK = "public_task", "Public task (e)"
    LEGITIMATE_INTERESTS = "legitimate_interests", "Legitimate interests (f)"


class Mode(models.TextChoices):
    OPT_IN = "opt_in", "Only who said yes"
    OPT_OUT = "opt_out", "All but who said no"
    NOTICE_ONLY = "notice_only", "Everybody; they are told"


class Purpose(models.Model):
    """Why people's data is read. Every read of members names one."""

    key = models.SlugField(max_length=64, unique=True)
    label = models.CharField(max_length=100)
    text = models.TextField(help_text="What people are told, in plain language.")
    lawful_basis = models.CharField(max_length=32, choices=LawfulBasis.choices)
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.OPT_IN)
    lifetime_days = models.PositiveIntegerField(
        "lifetime in days",
        null=True,
        blank=True,
        help_text="How long a yes holds, from when it was said; forever, if empty. Counts for what is said from now on.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["label"]
        constraints = [
            # Silence can't be consent (GDPR Art. 4(11)): a purpose that rests on consent must ask first.
            models.CheckConstraint(
                condition=~models.Q(lawful_basis="consent") | models.Q(mode="opt_in"), name="consent_is_asked_first"
            ),
            # Where people may withdraw or object (Art. 7(3), 21), their no must be able to count.
            models.CheckConstraint(
                condition=~models.Q(mode="notice_only")
                | models.Q(lawful_basis__in=["contract", "legal_obligation", "vital_interests"]),
                name="objections_are_heard",
                violation_error_message="People can object to this lawful basis, so the mode can't be “everybody”.",
            ),
            models.CheckConstraint(
                condition=models.Q(lifetime_days__isnull=True)
                | models.Q(lifetime_days__gte=1, lifetime_days__lte=36_525),
                name="consent_lasts_days",
                violation_error_message="A lifetime is at least 1 day, and at most 100 years.",
            ),
        ]

    def __str__(self) -> str:
        return self.label


class Decision(models.TextChoices):
    GRANTED = "granted", "Granted"
    DENIED = "denied", "Denied"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Method(models.TextChoices):
    BANNER = "banner", "Banner"
    PREFERENCE_CENTRE = "preference_centre", "Preference centre"
    FORM = "form", "Form"
    API = "api", "API"
    EVENT = "event", "Event"
    IMPORT = "import", "Import"
    MERGE = "merge", "Merge"
    # What came along with something else repeated it. Kept once an older word arrives that would seem to be newer else.
    REPEATED = "repeated", "Repeated"


class Reach(models.TextChoices):
    """Whom a decision speaks for. A browser's key is public, so what it says holds for the device only."""

    PERSON = "person", "The person"
    DEVICE = "device", "One device"


class ConsentRecord(models.Model):
    """One decision, as it was made and as it was learned. Append-only by privilege and by trigger."""

    profile_id = models.BigIntegerField(db_index=True, help_text="A plain number: the record outlives a merge.")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="records")
    reach = models.CharField(max_length=8, choices=Reach.choices, default=Reach.PERSON)
    decision = models.CharField(max_length=16, choices=Decision.choices)
    method = models.CharField(max_length=24, choices=Method.choices)
    source_id = models.IntegerField(null=True)
    message_id = models.CharField(max_length=100, blank=True)
    evidence = models.JSONField(default=dict)
    collected_at = models.DateTimeField(help_text="When the person decided.")
    expires_at = models.DateTimeField(
        null=True, help_text="Until when a yes holds, by what was valid when it was said."
    )
    recorded_at = models.DateTimeField(default=timezone.now, help_text="When we learned it.")

    class Meta:
        ordering = ["-collected_at", "-id"]
        indexes = [models.Index(fields=["profile_id", "purpose", "-collected_at"], name="consent_record_life")]


class ConsentState(models.Model):
    """What holds now: the newest decision per person and purpose. Device decisions never enter it.

    A grant holds before ``expires_at``; from then on it is as if the person had said nothing. A no never ends.
    """

    pk = models.CompositePrimaryKey("purpose_id", "profile_id")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="states", db_index=False)
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="consent_states")
    decision = models.CharField(max_length=16, choices=Decision.choices)
    collected_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    record = models.ForeignKey(ConsentRecord, on_delete=models.PROTECT, related_name="+", db_index=False)

    class Meta:
        indexes = [
            models.Index(
                fields=["purpose", "decision", "profile"], include=["expires_at"], name="consent_state_by_decision"
            ),
            # For sweeps, which ask whose grant has just ended.
            models.Index(
                fields=["purpose", "expires_at"],
                include=["profile"],
                condition=models.Q(expires_at__isnull=False),
                name="consent_state_by_end",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(expires_at__isnull=True) | models.Q(decision="granted"), name="consent_only_yes_ends"
            )
        ]

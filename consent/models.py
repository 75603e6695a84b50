"""Purposes, what people were told of them, the append-only record of what they decided, and the state projected from it.

Reading people for a purpose is in `consent.querysets`; writing decisions is in `consent.services`, and what people are told
in `consent.notices`.
"""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from cdp.profiles.models import Profile
from consent.signals.meaning import Capability
from consent.signals.strings import Kind


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


class Channel(models.TextChoices):
    """By which way people are reached for a purpose."""

    ANY = "", "None in particular"
    EMAIL = "email", "Email"
    SMS = "sms", "SMS"
    PHONE = "phone", "Phone calls"
    POST = "post", "Post"
    PUSH = "push", "Push messages"
    ONSITE = "onsite", "Our pages and apps"
    ADS = "ads", "Ads elsewhere"


class Reach(models.TextChoices):
    """Whom a decision speaks for. A browser's key is public, so what it says holds for the device only."""

    PERSON = "person", "The person"
    DEVICE = "device", "One device"


CAPABILITIES = [(one.value, one.value.replace("_", " ").capitalize()) for one in Capability]


def capabilities(verbose_name: str, help_text: str) -> "ArrayField[list[str], list[str]]":
    field = models.CharField(max_length=32, choices=CAPABILITIES)
    return ArrayField(field, default=list, blank=True, verbose_name=verbose_name, help_text=help_text)


class Purpose(models.Model):
    """Why people's data is read. Every read of members names one."""

    key = models.SlugField(max_length=64, unique=True)
    label = models.CharField(max_length=100)
    text = models.TextField(help_text="What people are told, in plain language.")
    lawful_basis = models.CharField(max_length=32, choices=LawfulBasis.choices)
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.OPT_IN)
    channel = models.CharField(max_length=8, choices=Channel.choices, default=Channel.ANY, blank=True)
    parent = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        help_text="Who says no to it says no to this one too. A yes is asked for each by itself.",
    )
    reach = models.CharField(
        "holds for",
        max_length=8,
        choices=Reach.choices,
        default=Reach.PERSON,
        help_text="What is kept on a device is decided there, and never passes to the person.",
    )
    needs_double_opt_in = models.BooleanField(
        "needs double opt-in",
        default=False,
        help_text="A yes counts once it is confirmed by a link that was sent to them.",
    )
    covers_profiling = models.BooleanField(
        default=False, help_text="People are sorted or predicted for it; who objects to profiling is left out."
    )
    needs_granted = capabilities(
        "granted by signals of",
        "A consent string that grants all of these is a yes; one that denies any of them is a no.",
    )
    needs_undenied = capabilities("also ended by signals against", "A browser that denies any of these says no.")
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
                condition=~models.Q(lawful_basis="consent") | models.Q(mode="opt_in"),
                name="consent_is_asked_first",
                violation_error_message="Silence is no consent: a purpose that rests on consent takes in only who said yes.",
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
            models.CheckConstraint(
                condition=models.Q(needs_double_opt_in=False) | models.Q(mode="opt_in", reach="person"),
                name="only_a_persons_yes_is_confirmed",
                violation_error_message="Only a yes that people are asked for can need a double opt-in.",
            ),
            # What a device says never passes to the person, so where silence lets people in, its no would count for nothing.
            models.CheckConstraint(
                condition=~models.Q(reach="device") | ~models.Q(mode="opt_out"),
                name="devices_are_asked_first",
                violation_error_message="What each device is asked by itself can't take in all but who said no.",
            ),
            models.CheckConstraint(
                condition=models.Q(parent__isnull=True) | ~models.Q(parent=models.F("id")),
                name="no_purpose_is_its_own_parent",
                violation_error_message="A purpose can't lie beneath itself.",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def is_theirs(self) -> bool:
        """Whether each person says yes or no to it: not where the law decides, nor what every device is asked by itself."""
        return self.mode != Mode.NOTICE_ONLY and self.reach == Reach.PERSON


class Decision(models.TextChoices):
    GRANTED = "granted", "Granted"
    DENIED = "denied", "Denied"
    WITHDRAWN = "withdrawn", "Withdrawn"
    # A yes that isn't confirmed yet, by themselves or by a guardian: on record, and without effect.
    PENDING = "pending", "Pending"


class Method(models.TextChoices):
    BANNER = "banner", "Banner"
    PREFERENCE_CENTRE = "preference_centre", "Preference centre"
    FORM = "form", "Form"
    UNSUBSCRIBE = "unsubscribe", "One-click unsubscribe"
    DOUBLE_OPT_IN = "double_opt_in", "Double opt-in"
    GPC = "gpc", "Global Privacy Control"
    SIGNAL = "signal", "Consent string"
    PRIVACY_REQUEST = "privacy_request", "Privacy request"
    API = "api", "API"
    EVENT = "event", "Event"
    IMPORT = "import", "Import"
    MERGE = "merge", "Merge"
    INHERITED = "inherited", "A no to what it lies beneath"
    # What came along with something else repeated it. Kept once an older word arrives that would seem to be newer else.
    REPEATED = "repeated", "Repeated"


class Notice(models.Model):
    """Something people are shown before they decide: a banner, a form, a preference centre."""

    key = models.SlugField(max_length=64, unique=True)
    label = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["label"]

    def __str__(self) -> str:
        return self.label


class NoticeVersion(models.Model):
    """What a notice says in one language, for ever: by privilege and by trigger no version can be changed.

    ``content`` is the exact text that is shown, RFC 8785 bytes of `consent.notices.Content`; ``sha256`` is the hash of those
    bytes. Versions are counted per notice and language.
    """

    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    locale = models.CharField(max_length=35, help_text="BCP 47, such as en or de-CH.")
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    published_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["notice", "locale", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["notice", "locale", "number"], name="notice_version_is_counted_once")
        ]

    def __str__(self) -> str:
        return f"{self.notice} {self.number} ({self.locale})"


class ServedNotice(models.Model):
    """That a version was shown, and where. Whoever then decides names it, so that what was chosen leads to what was shown.

    Nothing here tells who it was, unless they were known already.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, db_default=RandomUUID())
    version = models.ForeignKey(NoticeVersion, on_delete=models.PROTECT, related_name="served", db_index=False)
    profile_id = models.BigIntegerField(null=True, db_index=True)
    source_id = models.IntegerField(null=True)
    place = models.CharField(max_length=500, blank=True, help_text="The page or screen, without its query.")
    jurisdiction = models.CharField(max_length=16, blank=True)
    served_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["version", "served_at"], name="consent_served_by_version")]


class ConsentRecord(models.Model):
    """One decision, as it was made and as it was learned. Append-only by privilege and by trigger."""

    profile_id = models.BigIntegerField(db_index=True, help_text="A plain number: the record outlives a merge.")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="records", db_index=False)
    reach = models.CharField(max_length=8, choices=Reach.choices, default=Reach.PERSON)
    decision = models.CharField(max_length=16, choices=Decision.choices)
    method = models.CharField(max_length=24, choices=Method.choices)
    source_id = models.IntegerField(null=True)
    message_id = models.CharField(max_length=100, blank=True)
    uuid = models.UUIDField(db_default=RandomUUID(), unique=True, editable=False)
    notice_version = models.ForeignKey(
        NoticeVersion, on_delete=models.PROTECT, null=True, related_name="records", db_index=False
    )
    served = models.ForeignKey(ServedNotice, on_delete=models.PROTECT, null=True, related_name="records")
    jurisdiction = models.CharField(max_length=16, blank=True, db_default="", help_text="Whose law applied: EU, US-CA.")
    evidence = models.JSONField(default=dict, help_text="Facts that tell nothing personal.")
    sealed_evidence = models.BinaryField(null=True, help_text="The personal rest, under the person's own key.")
    collected_at = models.DateTimeField(help_text="When the person decided.")
    expires_at = models.DateTimeField(
        null=True, help_text="Until when a yes holds, by what was valid when it was said."
    )
    recorded_at = models.DateTimeField(default=timezone.now, help_text="When we learned it.")

    class Meta:
        ordering = ["-collected_at", "-id"]
        indexes = [
            models.Index(fields=["profile_id", "purpose", "-collected_at"], name="consent_record_life"),
            # The trail walks backwards, in the order in which records were made.
            models.Index(fields=["purpose", "-id"], name="consent_record_by_purpose"),
            models.Index(
                fields=["notice_version", "-id"],
                condition=models.Q(notice_version__isnull=False),
                name="consent_record_by_version",
            ),
            # Both clocks run with the table, but for what comes late: a summary of each block is enough.
            BrinIndex(fields=["collected_at", "recorded_at"], autosummarize=True, name="consent_record_by_time"),
        ]


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


class SignalHeard(models.Model):
    """What a device last said by one kind of signal. It says the same with every request, which is worth a record once.

    Forgotten with the identifier that the device is known by: the database sees to it.
    """

    pk = models.CompositePrimaryKey("device_id", "kind")
    device_id = models.BigIntegerField(help_text="The identifier's number.")
    kind = models.CharField(max_length=3, choices=[(one.value, one.value.upper()) for one in Kind])
    digest = models.BinaryField(max_length=32, help_text="Of what it said, and of what purposes make of it.")
    stances = models.JSONField(help_text="Purpose to granted or denied.")
    heard_at = models.DateTimeField()


class Confirmation(models.Model):
    """A link by which somebody confirms a yes (double opt-in). It works once, for a while, and not after a no."""

    id = models.UUIDField(primary_key=True, default=uuid4, db_default=RandomUUID())
    record = models.OneToOneField(ConsentRecord, on_delete=models.PROTECT, related_name="confirmation")
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    # Whoever takes it up to send it moves this on before: should they die of it, somebody else tries again then.
    due_at = models.DateTimeField(db_default=Now(), help_text="When sending it is tried next.")
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    # A code such as no_address or refused, never an address.
    error = models.CharField(max_length=32, blank=True, db_default="")
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(sent_at__isnull=True, used_at__isnull=True),
                name="consent_confirmation_due",
            )
        ]


class ConsentConflict(models.Model):
    """Two profiles that became one had answered differently. The stricter answer holds; somebody may look into it."""

    profile_id = models.BigIntegerField(db_index=True, help_text="Who survived the merge.")
    absorbed_id = models.BigIntegerField()
    purpose = models.ForeignKey(Purpose, on_delete=models.CASCADE, related_name="conflicts")
    theirs = models.CharField(max_length=16, choices=Decision.choices)
    absorbed = models.CharField(max_length=16, choices=Decision.choices)
    raised_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=150, blank=True, db_default="")
    note = models.CharField(max_length=500, blank=True, db_default="")

    class Meta:
        ordering = ["raised_at"]
        indexes = [
            models.Index(
                fields=["raised_at"], condition=models.Q(settled_at__isnull=True), name="consent_conflict_open"
            )
        ]


class StopKind(models.TextChoices):
    RESTRICTION = "restriction", "Everything but their own rights"
    PROFILING = "profiling", "Profiling"
    LEGITIMATE_INTERESTS = "legitimate_interests", "What rests on legitimate interests"


class ConsentStop(models.Model):
    """Something about one person is halted until it is lifted, whatever they have decided: it overwrites none of that.

    Which purposes that reaches is worked out by the view behind `ConsentStopped`, for those of tomorrow as well.
    """

    uuid = models.UUIDField(default=uuid4, db_default=RandomUUID(), unique=True, editable=False)
    profile_id = models.BigIntegerField(help_text="A plain number, as in records.")
    kind = models.CharField(max_length=24, choices=StopKind.choices)
    since = models.DateTimeField(default=timezone.now)
    lifted_at = models.DateTimeField(null=True)
    why = models.CharField(max_length=100, blank=True, help_text="The number of a request, say, and nobody's name.")

    class Meta:
        db_table = "consent_stop"
        constraints = [
            models.UniqueConstraint(
                fields=["profile_id", "kind"],
                condition=models.Q(lifted_at__isnull=True),
                name="consent_one_stop_of_kind",
            ),
            models.CheckConstraint(
                condition=models.Q(lifted_at__isnull=True) | models.Q(lifted_at__gte=models.F("since")),
                name="consent_stop_ends_after_it_began",
            ),
        ]
        indexes = [models.Index(fields=["profile_id", "since"], name="consent_stop_of_person")]


class ConsentStopped(models.Model):
    """Who is stopped for which purpose now. A view, for compiled rules, which know a purpose by its number; readers who have it at
    hand ask the stops themselves (`consent.querysets.permitted`)."""

    pk = models.CompositePrimaryKey("purpose_id", "profile_id")
    purpose = models.ForeignKey(Purpose, on_delete=models.DO_NOTHING, related_name="+")
    profile_id = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "consent_stopped"

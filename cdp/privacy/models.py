"""Requests of people about their own data, what each has to reach, and the exports made for them.

How a request goes on is in `cdp.privacy.services`; what is done for each target, in `cdp.privacy.targets`.
"""

from datetime import date
from uuid import UUID, uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from consent.models import Purpose


class RequestKind(models.TextChoices):
    ACCESS = "access", "Access"
    PORTABILITY = "portability", "Portability"
    RECTIFICATION = "rectification", "Rectification"
    ERASURE = "erasure", "Erasure"
    RESTRICTION = "restriction", "Restriction"
    OBJECTION = "objection", "Objection"


class CameBy(models.TextChoices):
    PAGE = "page", "Their page"
    EMAIL = "email", "Email"
    PHONE = "phone", "Phone"
    LETTER = "letter", "Letter"
    API = "api", "API"
    STAFF = "staff", "Staff"


class RequestState(models.TextChoices):
    RECEIVED = "received", "Received"
    IDENTITY_NEEDED = "identity_needed", "Identity needed"
    IN_PROGRESS = "in_progress", "In progress"
    DONE = "done", "Done"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


CLOSED = (RequestState.DONE, RequestState.REFUSED, RequestState.WITHDRAWN)


class ObjectsTo(models.TextChoices):
    """GDPR Art. 21."""

    PURPOSE = "purpose", "One purpose"
    PROFILING = "profiling", "Profiling"
    LEGITIMATE_INTERESTS = "legitimate_interests", "All that rests on legitimate interests"


class IdentityMethod(models.TextChoices):
    LOGGED_IN = "logged_in", "They were logged in"
    SIGNED_LINK = "signed_link", "A signed link to their address"
    CALL_BACK = "call_back", "Called back at a known number"
    DOCUMENT = "document", "A document was shown"
    KNOWN = "known", "Known in person"


class PrivacyRequest(models.Model):
    """What one person asked for. Nothing of it names them once they are erased, but an id that leads to nobody."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=16, choices=RequestKind.choices)
    state = models.CharField(max_length=16, choices=RequestState.choices, default=RequestState.RECEIVED)
    came_by = models.CharField(max_length=8, choices=CameBy.choices)
    profile_uuid = models.UUIDField(null=True, db_index=True, help_text="Who asks; empty until it is known.")
    # Numbers of all profiles that were this person when it began: what is sealed or listed elsewhere goes by them.
    subject_ids = ArrayField(models.BigIntegerField(), default=list)
    # And their public ids: what was asked for by one of them is theirs, also once nobody knows any more who absorbed whom.
    subject_uuids = ArrayField(models.UUIDField(), default=list)
    # In which namespaces they had identifiers: what is left of these in rules is found by digests, which don't say.
    namespaces = ArrayField(models.CharField(max_length=50), default=list)
    # Where rules compare a personal trait with what was said of them: places (see `cdp.privacy.trait_literals`), no values.
    literals = models.JSONField(default=list)
    country = models.CharField(max_length=2, blank=True)
    region = models.CharField(max_length=6, blank=True)
    law = models.CharField(max_length=150, help_text="By which the last day was counted.")
    received_at = models.DateTimeField(default=timezone.now)
    due_on = models.DateField(help_text="The last day on which it is answered in time.")
    was_due_on = models.DateField(null=True, help_text="Before it was extended.")
    extension_reason = models.CharField(max_length=500, blank=True)
    objects_to = models.CharField(max_length=24, choices=ObjectsTo.choices, blank=True)
    purpose = models.ForeignKey(Purpose, null=True, on_delete=models.PROTECT, related_name="+")
    corrections = models.JSONField(default=dict, help_text="Trait -> what it should be; emptied once it is done.")
    wrong_identifiers = models.JSONField(
        default=list, help_text="Namespace and value of each that isn't theirs; emptied once they are removed."
    )
    identity_method = models.CharField(max_length=16, choices=IdentityMethod.choices, blank=True)
    identity_by = models.CharField(max_length=150, blank=True)
    identity_at = models.DateTimeField(null=True)
    identity_note = models.CharField(max_length=500, blank=True, help_text="Emptied when the person is erased.")
    refusal_reason = models.CharField(max_length=500, blank=True)
    closed_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=150)
    job_uuid = models.UUIDField(null=True, help_text="The work that was begun last.")

    class Meta:
        ordering = ["due_on", "id"]
        verbose_name = "privacy request"
        indexes = [
            models.Index(fields=["due_on", "id"], name="privacy_open", condition=Q(closed_at__isnull=True)),
            models.Index(fields=["-received_at", "-id"], name="privacy_by_receipt"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, state__in=["received", "identity_needed", "in_progress"])
                | Q(closed_at__isnull=False, state__in=CLOSED),
                name="privacy_closed_when_over",
            ),
            models.CheckConstraint(
                condition=~Q(state="refused") | ~Q(refusal_reason=""), name="privacy_no_without_why"
            ),
            # Nobody's data is touched for somebody who hasn't shown who they are.
            models.CheckConstraint(
                condition=~Q(state__in=["in_progress", "done"])
                | Q(identity_at__isnull=False, profile_uuid__isnull=False),
                name="privacy_identity_first",
            ),
        ]
        permissions = [
            ("download_export", "Can download the export of a person's data"),
            ("issue_link", "Can take a link to a person's own page, to hand it to them"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number}"

    @property
    def number(self) -> str:
        """How people speak of it, and what reasons elsewhere refer to."""
        return f"PR-{self.pk}"

    @property
    def asker(self) -> UUID:
        """Who asks; of a request that has begun it is always known."""
        if self.profile_uuid is None:
            raise ValueError(f"{self.number} was begun for nobody")
        return self.profile_uuid

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    def days_left(self, today: date) -> int:
        """Below zero once it is overdue."""
        return (self.due_on - today).days


class TargetState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class PrivacyTarget(models.Model):
    """One place that a request has to reach, and how far that is. One that fails hides none of the others."""

    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="targets")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=24)
    label = models.CharField(max_length=100, help_text="What it is; of a system outside, its name.")
    is_outside = models.BooleanField(default=False, help_text="Somebody does it by hand, and ticks it off.")
    state = models.CharField(max_length=8, choices=TargetState.choices, default=TargetState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=64, blank=True)
    counts = models.JSONField(default=dict, help_text="What came of it, in figures.")
    changed_at = models.DateTimeField(default=timezone.now)
    done_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["request_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["request", "position"], name="privacy_target_place"),
            models.CheckConstraint(condition=Q(state="failed") | Q(error_code=""), name="privacy_error_of_failures"),
        ]

    def __str__(self) -> str:
        return self.label


class PrivacyExport(models.Model):
    """A file with all that is known of a person, in a folder that no web server shows. It is deleted after some days."""

    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="exports")
    profile_uuid = models.UUIDField(db_index=True)
    file = models.UUIDField(default=uuid4, unique=True, editable=False, help_text="The name of the file.")
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    made_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-made_at"]
        indexes = [models.Index(fields=["expires_at"], name="privacy_export_end", condition=Q(deleted_at__isnull=True))]

    def __str__(self) -> str:
        return str(self.file)


class Tombstone(models.Model):
    """Somebody who was erased: until when change feeds go on saying that this id has left."""

    profile_id = models.BigIntegerField(primary_key=True)
    drop_after = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "privacy_tombstone"

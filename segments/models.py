"""Segments, their versions, who is in them, and who came and went.

Changing any of it is in `segments.services`; the meaning of a rule is in `segments.rules`.
"""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Func, Q
from django.utils import timezone

from cdp.profiles.models import Profile
from consent.models import Purpose
from segments.clustering.models import Cluster as Cluster
from segments.clustering.models import Clustering as Clustering
from segments.clustering.models import ClusterRun as ClusterRun
from segments.fields.models import FieldStatistics  # noqa: F401  (of this app too: Django finds it here)
from segments.grants import SegmentGroupPermission as SegmentGroupPermission
from segments.grants import SegmentUserPermission as SegmentUserPermission
from segments.personas.models import Persona as Persona
from segments.personas.models import PersonaPortrait as PersonaPortrait
from segments.rfm.models import RfmMove as RfmMove
from segments.rfm.models import RfmRun as RfmRun
from segments.rfm.models import RfmSettings as RfmSettings
from segments.uploads.models import ListUpload as ListUpload
from segments.uploads.models import UploadRow as UploadRow


class SegmentStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    LIVE = "live", "Live"
    PAUSED = "paused", "Paused"
    ARCHIVED = "archived", "Archived"


# Its members are there to be read: kept in line, or as they were when it was paused.
READABLE = (SegmentStatus.LIVE, SegmentStatus.PAUSED)


class Cadence(models.TextChoices):
    """How soon it is noticed that time alone took somebody in or out. Events count at once in any case."""

    REAL_TIME = "real_time", "Every few seconds"
    MINUTES = "minutes", "Every so many minutes"
    DAILY = "daily", "Once a day"


class Segment(models.Model):
    """A named audience: its live version's rule says who belongs."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key = models.SlugField(max_length=64, unique=True, help_text="How rules and the API name it; can't change.")
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Words and no rows of their own: nothing hangs on a tag but the segments that bear it, and a list reads them with the
    # segment. They are written by `segments.details`, which folds them.
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    folder = models.CharField(max_length=100, blank=True)
    purposes = models.ManyToManyField(
        Purpose, blank=True, related_name="+", help_text="What it is meant for. Whoever reads it still names one."
    )
    is_public = models.BooleanField(
        "public",
        default=False,
        db_default=False,
        help_text="Browsers may ask whether their own visitor is in it; so visitors can find out.",
    )
    # By what it is found: all that somebody may remember of it.
    words = models.GeneratedField(
        expression=Func(F("name"), F("key"), F("folder"), F("tags"), function="segments_words"),
        output_field=models.TextField(),
        db_persist=True,
    )
    status = models.CharField(max_length=16, choices=SegmentStatus.choices, default=SegmentStatus.DRAFT)
    status_since = models.DateTimeField(
        default=timezone.now, editable=False, help_text="When it was set live, paused or put away."
    )
    live_version = models.OneToOneField("SegmentVersion", null=True, on_delete=models.PROTECT, related_name="live_of")
    cadence = models.CharField(
        max_length=16,
        choices=Cadence.choices,
        default=Cadence.MINUTES,
        help_text="When time's passing is taken into account.",
    )
    refresh_minutes = models.PositiveIntegerField(default=15, help_text="Every so many minutes, where minutes count.")
    daily_hour = models.PositiveSmallIntegerField(
        default=5, help_text="The hour of the workspace's day, where once a day will do."
    )
    # Read models of Membership, kept by the services that change it.
    member_count = models.BigIntegerField(default=0)
    last_refreshed_at = models.DateTimeField(null=True)
    # Set when its rule can't be evaluated any more: members freeze as they are until it is mended.
    broken_reason = models.CharField(max_length=300, blank=True)
    waits_for_scores = models.BooleanField(
        default=False, help_text="It is broken only until a run is published that has the scores it asks for."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        permissions = [
            ("refresh_segment", "Can refresh segments"),
            ("view_members", "Can read the members of segments"),
            ("edit_members", "Can add people to segments and remove them by hand"),
            ("activate_segment", "Can use segments for audiences and webhooks"),
            ("export_members", "Can take the members of segments out as a file"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status__in=["live", "paused"]) | Q(live_version__isnull=False),
                name="segments_live_has_a_version",
            ),
            models.CheckConstraint(condition=Q(refresh_minutes__gte=1), name="segments_refresh_minutes_positive"),
            models.CheckConstraint(condition=Q(daily_hour__lte=23), name="segments_daily_hour_of_a_day"),
            models.CheckConstraint(
                condition=Q(waits_for_scores=False) | ~Q(broken_reason=""), name="segments_waiting_is_broken"
            ),
        ]
        # None on sizes and moments of refreshes: they change all the time, and without one a row is rewritten in place.
        indexes = [
            models.Index(fields=["name", "id"], name="segments_by_name"),
            GinIndex(fields=["tags"], name="segments_by_tag"),
            GinIndex(OpClass(F("words"), name="gin_trgm_ops"), name="segments_by_words"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_usable(self) -> bool:
        """Whether other rules may read its members."""
        return self.status == SegmentStatus.LIVE and not self.broken_reason


class SegmentVersion(models.Model):
    """One wording of a segment's rule. Never edited: changing a rule makes a new version."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    rule = models.JSONField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["segment", "number"], name="segments_version_unique")]

    def __str__(self) -> str:
        return f"version {self.number}"


class SweepState(models.Model):
    """Up to when time's passing has been taken into account. Without a row only a full refresh can say who belongs.

    Nor does a row help of another version than the live one, or by another time zone than the workspace's: days that began
    and ended anew have no edge. A table of its own: the sequencer counts members in the segments' rows, and neither should
    wait for the other.
    """

    segment = models.OneToOneField(Segment, on_delete=models.CASCADE, primary_key=True, related_name="sweep_state")
    version = models.ForeignKey(SegmentVersion, on_delete=models.CASCADE, related_name="+", db_index=False)
    time_zone = models.CharField(max_length=64)
    swept_to = models.DateTimeField()

    def __str__(self) -> str:
        return f"swept to {self.swept_to.isoformat()}"


class RefreshStart(models.Model):
    """A full refresh has begun, and nothing came since that it could not see.

    Whatever ends sweeps deletes this too: a refresh that began before a pause saw nobody who changed during it, so sweeps
    can't go on from where it began.
    """

    segment = models.OneToOneField(Segment, on_delete=models.CASCADE, primary_key=True, related_name="+")
    token = models.UUIDField(default=uuid.uuid4)

    def __str__(self) -> str:
        return f"refresh {self.token}"


class DriftCheck(models.Model):
    """What a full refresh found amiss with members that events and sweeps should have kept in line: nothing, it should be."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="drift_checks", db_index=False)
    version = models.ForeignKey(SegmentVersion, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    as_of = models.DateTimeField()
    checked_at = models.DateTimeField(default=timezone.now)
    missing = models.BigIntegerField(help_text="Who belonged and was no member.")
    extra = models.BigIntegerField(help_text="Who was a member and did not belong.")

    class Meta:
        indexes = [models.Index(fields=["segment", "-checked_at"], name="segments_drift_by_time")]

    def __str__(self) -> str:
        return f"{self.missing} missing, {self.extra} too many"


class SegmentUse(models.Model):
    """One live rule reads another segment. Projected from the live versions; what blocks an archive or a delete."""

    pk = models.CompositePrimaryKey("user_id", "used_id")
    user = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="uses", db_index=False)
    used = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="used_by")


class ByHand(models.TextChoices):
    """What a list of a segment's own is for; "" for one that is nobody's."""

    INCLUDE = "include", "Added by hand"
    EXCLUDE = "exclude", "Removed by hand"


class StaticList(models.Model):
    """People whom somebody put together, by hand or from another system. Only who is put on it is on it.

    Of the lists of a ``segment`` one holds who was added to it by hand, the other who was removed from it
    (`segments.by_hand`); their names are the segment's.
    """

    key = models.SlugField(max_length=64, unique=True, help_text="How rules and the API name it; can't change.")
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    segment = models.ForeignKey(Segment, null=True, on_delete=models.PROTECT, related_name="hand_lists", db_index=False)
    by_hand = models.CharField(max_length=8, choices=ByHand.choices, blank=True)

    class Meta:
        verbose_name = "list"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["segment", "by_hand"], name="segments_one_list_each_way", condition=~Q(by_hand="")
            ),
            models.CheckConstraint(
                condition=Q(segment=None, by_hand="") | (Q(segment__isnull=False) & ~Q(by_hand="")),
                name="segments_list_by_hand_of_a_segment",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.segment}: {self.get_by_hand_display().lower()}" if self.segment else self.name


class ListEntry(models.Model):
    """Somebody is on a list. Written by `segments.lists`.

    It keeps to whom it was given, so that of two who part again each has their own: ``profile`` is who that is now.
    """

    pk = models.CompositePrimaryKey("list_id", "origin_id")
    # No constraints in the database, as with memberships: rows are written with their list locked, and a merge does away
    # with the absorbed profile before the evaluator moves its entries.
    list = models.ForeignKey(
        StaticList, on_delete=models.CASCADE, related_name="entries", db_constraint=False, db_index=False
    )
    profile = models.ForeignKey(
        Profile, on_delete=models.CASCADE, related_name="list_entries", db_constraint=False, db_index=False
    )
    origin_id = models.BigIntegerField()
    added_at = models.DateTimeField(default=timezone.now)
    added_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["list", "profile"], name="segments_people_of_a_list"),
            models.Index(fields=["profile", "list"], name="segments_lists_of_a_person"),
            # The screen of a list has the newest first.
            models.Index(fields=["list", "-added_at", "-origin_id"], name="segments_list_by_time"),
        ]


class ListUse(models.Model):
    """A live rule reads a list. Projected from the live versions; what keeps a list from being deleted."""

    pk = models.CompositePrimaryKey("user_id", "used_id")
    user = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="list_uses", db_index=False)
    used = models.ForeignKey(StaticList, on_delete=models.PROTECT, related_name="used_by")


class Membership(models.Model):
    """A person is in a segment."""

    pk = models.CompositePrimaryKey("segment_id", "profile_id")
    # No constraints in the database. Rows are written under `rules_lock`, which whoever deletes a segment holds alone, so
    # a check of the segment per row would cost as much as the row and find nothing. And a merge deletes the absorbed
    # profile first; the evaluator then ends its memberships one by one, so that each end is announced.
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="memberships", db_constraint=False, db_index=False
    )
    profile = models.ForeignKey(
        Profile, on_delete=models.CASCADE, related_name="memberships", db_constraint=False, db_index=False
    )
    entered_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["profile", "segment"], name="segments_of_a_person"),
            # Pages of members go by when they came, in either direction.
            models.Index(fields=["segment", "entered_at", "profile"], name="segments_members_by_entry"),
        ]


class PercentileThreshold(models.Model):
    """What a percentile of a figure comes to, of all who have one, when they were last compared.

    Every verdict reads this row, so that people are judged alike until it moves. A rule of a segment counts on it being
    there; what no rule asks for any more is purged.
    """

    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the ranking: that may be long.")
    ranking = models.TextField(help_text="Figure and percentile, as rules name them.")
    percentile = models.DecimalField(max_digits=4, decimal_places=2)
    value = models.DecimalField(max_digits=30, decimal_places=4, null=True, help_text="None while nobody is ranked.")
    people = models.BigIntegerField(help_text="How many are ranked.")
    as_of = models.DateTimeField()
    computed_at = models.DateTimeField(default=timezone.now)
    # Counts the moves. Those whom a move concerns are marked after it; until then `marked_version` lags behind.
    version = models.PositiveIntegerField(default=1)
    marked_version = models.PositiveIntegerField(default=1)
    asked_at = models.DateTimeField(default=timezone.now, help_text="When a rule was last loaded that reads it.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(marked_version__lte=models.F("version")), name="segments_threshold_marked_after_it_moved"
            )
        ]

    def __str__(self) -> str:
        return f"percentile {self.percentile}: {self.value}"


class PastThreshold(models.Model):
    """What a threshold was before it moved."""

    threshold = models.ForeignKey(PercentileThreshold, on_delete=models.CASCADE, related_name="past", db_index=False)
    version = models.PositiveIntegerField()
    value = models.DecimalField(max_digits=30, decimal_places=4, null=True)
    people = models.BigIntegerField()
    as_of = models.DateTimeField()
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["threshold", "version"], name="segments_past_threshold_unique")]

    def __str__(self) -> str:
        return f"version {self.version}: {self.value}"


class ChangeKind(models.TextChoices):
    ENTERED = "entered", "Entered"
    EXITED = "exited", "Exited"


class ChangeWhy(models.TextChoices):
    EVENT = "event", "An event or trait"
    TIME = "time", "Time passing"
    RULE = "rule", "The rule changed"
    MERGE = "merge", "Two profiles became one"
    UNMERGE = "unmerge", "A merge was undone"
    EDIT = "edit", "A change by hand"
    RANK = "rank", "A percentile moved"
    ERASURE = "erasure", "The person was erased"


class Change(models.Model):
    """Somebody came or went."""

    profile_id = models.BigIntegerField()
    profile_uuid = models.UUIDField(help_text="Kept so that a feed can name a person who was since merged away.")
    kind = models.CharField(max_length=8, choices=ChangeKind.choices)
    effective_at = models.DateTimeField()
    why = models.CharField(max_length=8, choices=ChangeWhy.choices)
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class PendingChange(Change):
    """A change as whoever made it wrote it. The sequencer takes it from here once it is committed, and numbers it.

    It lives for a tenth of a second, so it has no index but its key: the numbered one has them.
    """

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    version = models.ForeignKey(
        SegmentVersion, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False, db_constraint=False
    )


class MembershipChange(Change):
    """A change with its place in the feed: numbers without gaps, given in the order in which readers can see them."""

    position = models.BigIntegerField(primary_key=True)
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="changes", db_constraint=False, db_index=False
    )
    version = models.ForeignKey(
        SegmentVersion, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False, db_index=False
    )

    class Meta:
        indexes = [
            # With the kind in it, a list sums up a week of many segments from the index alone.
            models.Index(fields=["segment", "-recorded_at"], include=["kind"], name="segments_change_by_time"),
            models.Index(fields=["profile_id", "-effective_at"], name="segments_change_by_person"),
        ]


class Feed(models.Model):
    """How far the feed of changes is numbered: one row. A deleted segment takes its changes along; should they be the
    newest, their numbers must not come again, or readers who have passed them would miss what bears them next."""

    numbered = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="segments_one_feed")]

    def __str__(self) -> str:
        return f"numbered up to {self.numbered}"

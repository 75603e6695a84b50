"""The settings of RFM, its runs, and who changed group in which.

Changing and asking are in `segments.rfm.services`, running in `segments.rfm.running`.
"""

from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone

from cdp.jobs.models import Job, JobState
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS
from segments.analytics.rfm import Drift, Scheme, Spread, Thresholds
from segments.analytics.rfm_groups import DEFAULT_SCHEME


def default_scheme() -> dict[str, object]:
    return DEFAULT_SCHEME.as_json()


class RfmSettings(models.Model):
    """How the next run scores: the only row there is."""

    scheme = models.JSONField(default=default_scheme, help_text="`Scheme.as_json`.")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+", help_text="Who permits it is in.")
    is_nightly = models.BooleanField("run each night", default=True)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        app_label = "segments"
        default_permissions = ("change",)
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="segments_one_rfmsettings")]

    def __str__(self) -> str:
        return "RFM settings"

    @classmethod
    def current(cls) -> "RfmSettings":
        found = cls.objects.select_related("purpose").filter(pk=1).first()
        if found is None:
            found, _ = cls.objects.get_or_create(pk=1, defaults={"purpose": Purpose.objects.get(key=INTERNAL_ANALYSIS)})
        return found

    @property
    def as_scheme(self) -> Scheme:
        return Scheme.from_json(self.scheme)


class RfmRunQuerySet(models.QuerySet["RfmRun"]):
    def published(self) -> "RfmRunQuerySet":
        """Those that were complete and read, the newest first."""
        return self.filter(published_at__isnull=False).order_by("-published_at", "-pk")

    def current(self) -> "RfmRun | None":
        """The one whose scores are read."""
        return self.published().first()


class RfmRun(models.Model):
    """One run: by which rules, as of when, what it found, and what changed since the one before.

    Until it is published or has a ``problem``, its ``job`` says how far it is. Amounts are in `currency`; in JSON they are texts, as
    they are decimals.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    scheme = models.JSONField(help_text="As it was when it was asked for.")
    purpose = models.CharField(max_length=64, help_text="Key of the purpose that people permitted.")
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(default=timezone.now)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    problem = models.TextField(blank=True, help_text="Why it came to nothing, in a sentence for whoever asked.")
    notes = models.JSONField(default=list, help_text="Sentences on what is to be known when it is read.")
    as_of = models.DateTimeField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    people = models.BigIntegerField(default=0, help_text="Who bought within the window, and is scored.")
    orders = models.BigIntegerField(default=0)
    unpriced_orders = models.BigIntegerField(default=0, help_text="Without an amount in the reporting currency.")
    revenue = models.DecimalField(max_digits=30, decimal_places=4, null=True, help_text="Net of refunds.")
    thresholds = models.JSONField(null=True, help_text="`Thresholds.as_json`.")
    cells = models.JSONField(
        default=list, help_text="25 of {r, fm, group, people, orders, revenue, recency_days}: sums over their people."
    )
    groups = models.JSONField(
        default=list,
        help_text="In the scheme's order: {name, people, orders, revenue, recency_mean, frequency_mean, monetary_mean}.",
    )
    spreads = models.JSONField(default=list, help_text="`Spread.as_json` of each measure.")
    flows = models.JSONField(
        default=list, help_text="{before, after, people}, those who stayed too; '' is who had, or has, no scores."
    )
    drift = models.JSONField(default=list, help_text="`Drift.as_json`, twelve of them; none in the first run.")
    previous = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    is_same_scheme = models.BooleanField(default=True, help_text="Whether the run before went by the same rules.")
    # Scores are forgotten after some runs, without the rows that speak of them: hence no constraint in the database.
    score_run_id = models.BigIntegerField(null=True, editable=False)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    published_at = models.DateTimeField(null=True)

    objects = RfmRunQuerySet.as_manager()

    class Meta:
        app_label = "segments"
        ordering = ["-requested_at", "-pk"]
        default_permissions = ("view",)
        permissions = [("run_rfm", "Can run RFM")]
        indexes = [models.Index(fields=["-published_at"], name="segments_rfm_published")]

    def __str__(self) -> str:
        return f"RFM of {self.requested_at:%Y-%m-%d %H:%M}"

    @property
    def state(self) -> str:
        """ "published", "failed", or its job's state; "ended" when it ended without telling why."""
        if self.published_at is not None:
            return "published"
        if self.problem:
            return "failed"
        if self.job is None or self.job.state == JobState.SUCCEEDED:
            return "ended"
        return str(self.job.state)

    @property
    def as_scheme(self) -> Scheme:
        return Scheme.from_json(self.scheme)

    @property
    def as_thresholds(self) -> Thresholds | None:
        return Thresholds.from_json(self.thresholds) if self.thresholds else None

    @property
    def as_spreads(self) -> list[Spread]:
        return [Spread.from_json(one) for one in self.spreads]

    @property
    def as_drift(self) -> list[Drift]:
        return [Drift.from_json(one) for one in self.drift]


class RfmMove(models.Model):
    """Somebody whose group changed with a run. Read it through `segments.rfm.history.movers`, which asks who may be looked at."""

    pk = models.CompositePrimaryKey("run_id", "profile_id")
    run = models.ForeignKey(RfmRun, on_delete=models.CASCADE, related_name="moves", db_index=False)
    profile_id = models.BigIntegerField(db_index=True)
    before = models.CharField(max_length=128, help_text="Name of the group; '' had none.")
    after = models.CharField(max_length=128, help_text="Name of the group; '' has none.")

    class Meta:
        app_label = "segments"
        default_permissions = ()
        indexes = [models.Index(fields=["run", "before", "after"], name="segments_rfm_moves")]

"""Clusterings, their runs, and the clusters each run found.

Making and changing them is in `segments.clustering.services`, running them in `segments.clustering.running`.
"""

from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone

from cdp.jobs.models import Job, JobState
from consent.models import Purpose
from segments.analytics.methods import NOISE
from segments.analytics.outcomes import Choice, Matched, Meaning, Picture, Quality, Tree
from segments.analytics.preparing import Prepared
from segments.clustering.settings import ClusteringSettings

KIND_PREFIX = "clusters-"
KEY_LIMIT = 64 - len(KIND_PREFIX)  # of the kind that its scores have
NOT_IN_ANY = "Not in any cluster"


class Clustering(models.Model):
    """What is to be clustered and how. Its live run is what rules and screens read."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    key = models.SlugField(max_length=KEY_LIMIT, unique=True, help_text="How rules name it; can't change.")
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    settings = models.JSONField(default=dict, help_text="`ClusteringSettings.as_json`.")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+", help_text="Who permits it is in.")
    is_nightly = models.BooleanField("run each night", default=False)
    live_run = models.ForeignKey(
        "segments.ClusterRun", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        app_label = "segments"
        ordering = ["name"]
        permissions = [("run_clustering", "Can run clusterings and accept their runs")]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> str:
        """Of its scores: rules ask for "clusters-<key>.cluster"."""
        return f"{KIND_PREFIX}{self.key}"

    @property
    def as_settings(self) -> ClusteringSettings:
        return ClusteringSettings.from_json(self.settings)


class Outcome(models.TextChoices):
    """What became of a run that has found its clusters; "" before it has."""

    LIVE = "live", "Live"
    PAST = "past", "Was live"
    HELD = "held", "Waits for your decision"
    DECLINED = "declined", "Declined"
    OVERTAKEN = "overtaken", "Overtaken by a newer run"
    FAILED = "failed", "Failed"


class ClusterRun(models.Model):
    """One fit: with which settings, of whom as of when, what was found, and what became of it.

    Until it has an outcome, its ``job`` says how far it is; a run that was cancelled, or failed unforeseen, never gets one but
    FAILED with a ``problem``, or stays without (`state`).
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    clustering = models.ForeignKey(Clustering, on_delete=models.CASCADE, related_name="runs", db_index=False)
    number = models.PositiveIntegerField(help_text="Counts the runs of a clustering.")
    settings = models.JSONField(help_text="As they were when it was asked for.")
    seed = models.PositiveIntegerField()
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(default=timezone.now)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True)
    problem = models.TextField(blank=True, help_text="Why it failed, in a sentence for whoever asked.")
    as_of = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    assigned_until = models.DateTimeField(
        null=True, editable=False, help_text="Whoever did something before was assigned; None: since it was asked for."
    )
    decided_by = models.CharField(max_length=150, blank=True, help_text="Who accepted or declined it, if it was held.")
    # Scores are forgotten after some runs, without the rows that speak of them: hence no constraint in the database.
    score_run_id = models.BigIntegerField(null=True, editable=False)
    people = models.BigIntegerField(default=0, help_text="Who may be in it and was looked at.")
    clustered = models.BigIntegerField(default=0, help_text="Who is in a cluster.")
    noise = models.BigIntegerField(default=0, help_text="Who is in none: noise, or set aside as an outlier.")
    left_out = models.BigIntegerField(default=0, help_text="Who lacks a feature, where that leaves out.")
    revenue = models.DecimalField(max_digits=30, decimal_places=4, null=True, help_text="Of all of them in the window.")
    # Each as its class in `segments.analytics` documents it; None before it is known, or where the method has none.
    prepared = models.JSONField(null=True, help_text="`Prepared`: how figures were made fit, with notes.")
    fitted = models.JSONField(null=True, help_text="`Fitted`: centroids or core points. Large: defer it in lists.")
    choice = models.JSONField(null=True, help_text="`Choice`: numbers of clusters tried, elbow, silhouettes, reason.")
    quality = models.JSONField(null=True, help_text="`Quality`.")
    tree = models.JSONField(null=True, help_text="`Tree`: the dendrogram, of hierarchical methods.")
    picture = models.JSONField(null=True, help_text="`Picture`: two principal components of a sample.")
    matched = models.JSONField(null=True, help_text="`Matched`: identities, who moved, drift.")
    versions = models.JSONField(default=dict, help_text="Of numpy and scikit-learn.")

    class Meta:
        app_label = "segments"
        ordering = ["-number"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["clustering", "number"], name="segments_cluster_run_number"),
            models.UniqueConstraint(
                fields=["clustering"], condition=Q(outcome="live"), name="segments_one_live_cluster_run"
            ),
            models.UniqueConstraint(
                fields=["clustering"], condition=Q(outcome="held"), name="segments_one_held_cluster_run"
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.number}"

    @property
    def state(self) -> str:
        """Its outcome; before it has one, its job's state; "ended" when it ended without telling why."""
        if self.outcome:
            return self.outcome
        if self.job is None or self.job.state == JobState.SUCCEEDED:
            return "ended"
        return str(self.job.state)

    @property
    def state_label(self) -> str:
        if self.outcome:
            return Outcome(self.outcome).label
        return "Ended" if self.job is None or self.state == "ended" else JobState(self.job.state).label

    @property
    def as_settings(self) -> ClusteringSettings:
        return ClusteringSettings.from_json(self.settings)

    @property
    def as_prepared(self) -> Prepared | None:
        return Prepared.from_json(self.prepared) if self.prepared else None

    @property
    def rule(self) -> str:
        """How many people the clusters were found on, and how everybody else is put into one: a sentence."""
        return str(self.fitted["rule"]) if self.fitted else ""

    @property
    def as_choice(self) -> Choice | None:
        return Choice.from_json(self.choice) if self.choice else None

    @property
    def as_quality(self) -> Quality | None:
        """Clusters in it are named by their number in the fit: `Cluster.fit_number`."""
        return Quality.from_json(self.quality) if self.quality else None

    @property
    def as_tree(self) -> Tree | None:
        return Tree.from_json(self.tree) if self.tree else None

    @property
    def as_picture(self) -> Picture | None:
        return Picture.from_json(self.picture) if self.picture else None

    @property
    def as_matched(self) -> Matched | None:
        return Matched.from_json(self.matched) if self.matched else None


class Cluster(models.Model):
    """One cluster of one run. Its ``number`` is its identity: the same in each run of the clustering that finds it again."""

    run = models.ForeignKey(ClusterRun, on_delete=models.CASCADE, related_name="clusters", db_index=False)
    number = models.IntegerField(help_text="From 1; -1 is who is in none.")
    fit_number = models.IntegerField(help_text="In the fit, in quality and in pictures of this run.")
    label = models.CharField(max_length=128)
    suggested_label = models.CharField(max_length=128, blank=True)
    is_label_own = models.BooleanField(default=False, help_text="Somebody named it; otherwise it is as suggested.")
    size = models.BigIntegerField()
    revenue = models.DecimalField(max_digits=30, decimal_places=4, help_text="Net of refunds, in the window.")
    meaning = models.JSONField(null=True, help_text="`Meaning`; None of who is in no cluster.")

    class Meta:
        app_label = "segments"
        ordering = ["number"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="segments_cluster_number")]

    def __str__(self) -> str:
        return self.label

    @property
    def is_noise(self) -> bool:
        return self.number == NOISE

    @property
    def as_meaning(self) -> Meaning | None:
        return Meaning.from_json(self.meaning) if self.meaning else None

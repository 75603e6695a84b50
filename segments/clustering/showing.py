"""What the screens of clusterings say of a run and of each cluster, as plain values: a verdict in words, shares, what sets apart.

Pictures are in `segments.clustering.pictures`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.contrib.auth.models import User

from cdp.jobs.models import FINISHED, Job, JobState
from segments.analytics.outcomes import Quality, Structure
from segments.clustering.models import Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.reading import ALGORITHMS

VERDICTS = {
    Structure.CLEAR: ("clear", "ok", "check"),
    Structure.OVERLAPPING: ("overlapping", "wait", "merge"),
    Structure.NONE: ("no groups found", "no", "alert"),
}
COLOURS = 6
# What the mean silhouette is said to mean, after Kaufman and Rousseeuw (1990), Finding Groups in Data, table 4.
SILHOUETTES = ((0.70, "strong"), (0.50, "reasonable"), (0.25, "weak"), (-1.0, "none to speak of"))
STABILITIES = (
    (0.90, "much the same each time"),
    (0.75, "mostly the same"),
    (0.5, "often others"),
    (-1.0, "others each time"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One clustering in the list."""

    clustering: Clustering
    features: str
    method: str
    newest: ClusterRun | None
    is_running: bool
    is_held: bool
    failed: bool
    clusters: int | None
    people: int | None
    verdict: str
    verdict_kind: str
    verdict_icon: str


def row_of(clustering: Clustering, newest: ClusterRun | None, live: ClusterRun | None) -> Row:
    settings = clustering.as_settings
    count = len(settings.features)
    quality = live.as_quality if live else None
    verdict, kind, icon = VERDICTS[quality.structure] if quality else ("", "", "")
    state = newest.state if newest else ""
    return Row(
        clustering=clustering,
        features=f"{count} feature{'' if count == 1 else 's'}",
        method=ALGORITHMS[settings.algorithm].partition(":")[0],
        newest=newest,
        is_running=state in (JobState.QUEUED, JobState.RUNNING),
        is_held=state == Outcome.HELD,
        failed=state in (Outcome.FAILED, JobState.FAILED),
        clusters=None if live is None else sum(not one.is_noise for one in live.clusters.all()),
        people=None if live is None else live.clustered,
        verdict=verdict,
        verdict_kind=kind,
        verdict_icon=icon,
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the newest run is: under way, or why it came to nothing."""

    run: ClusterRun
    job: Job | None
    is_running: bool
    is_cancelled: bool
    problem: str


def standing_of(newest: ClusterRun | None) -> Standing | None:
    """None where no run was ever asked for."""
    if newest is None:
        return None
    job = newest.job
    running = not newest.outcome and job is not None and job.state not in FINISHED
    problem = newest.problem
    if not problem and job is not None and job.state == JobState.FAILED:
        problem = (
            job.error_message if job.error_code != "internal" else "Something went wrong on our side; it is in the log."
        )
    return Standing(
        run=newest,
        job=job,
        is_running=running,
        is_cancelled=not newest.outcome and job is not None and job.state == JobState.CANCELLED,
        problem=problem,
    )


def names_of_runs(user: User, jobs: Sequence[Job]) -> dict[int, str]:
    """The names of the clusterings these jobs run, by job; none for who may not see clusterings."""
    if not user.has_perm("segments.view_clustering"):
        return {}
    keys = {job.pk: job.params.get("clustering") for job in jobs}
    names = dict(Clustering.objects.filter(pk__in=set(keys.values()) - {None}).values_list("pk", "name"))
    return {job: names[clustering] for job, clustering in keys.items() if clustering in names}


@dataclass(frozen=True, kw_only=True)
class Trait:
    """A feature that sets a cluster apart: its mean, and everybody else's."""

    name: str
    mean: str
    others: str
    is_more: bool


@dataclass(frozen=True, kw_only=True)
class Card:
    """One cluster as its card says it; `share` and `revenue_share` from 0 to 1, None where there is nothing to share."""

    cluster: Cluster
    colour: str
    share: float
    revenue_share: float | None
    per_person: Decimal | None
    silhouette: float | None
    fit: str
    apart: tuple[Trait, ...]
    sentences: tuple[str, ...]


def figure(value: float | None) -> str:
    """A mean, with as many digits as somebody takes in at a glance."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if size >= 10 else f"{value:,.2f}"


def cards_of(run: ClusterRun, clusters: Sequence[Cluster], quality: Quality | None) -> list[Card]:
    fits = {one.cluster: one.silhouette for one in quality.clusters} if quality else {}
    total = run.clustered + run.noise
    return [_card(run, one, fits.get(one.fit_number), total) for one in clusters]


def _card(run: ClusterRun, cluster: Cluster, silhouette: float | None, total: int) -> Card:
    meaning = cluster.as_meaning
    features = {one.key: one for one in meaning.features} if meaning else {}
    apart = tuple(
        Trait(name=one.name, mean=figure(one.mean), others=figure(one.others), is_more=one.effect > 0)
        for key in (meaning.apart[:5] if meaning else ())
        if (one := features.get(key)) is not None
    )
    return Card(
        cluster=cluster,
        colour="none" if cluster.is_noise else str((cluster.number - 1) % COLOURS),
        share=cluster.size / total if total else 0.0,
        revenue_share=float(cluster.revenue / run.revenue) if run.revenue and run.revenue > 0 else None,
        per_person=cluster.revenue / cluster.size if cluster.size else None,
        silhouette=silhouette,
        fit="" if silhouette is None else told(silhouette, SILHOUETTES),
        apart=apart,
        sentences=meaning.sentences if meaning else (),
    )


def told(value: float, scale: Sequence[tuple[float, str]]) -> str:
    """The words of the first step that the value reaches."""
    return next(words for least, words in scale if value >= least)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of quality: its figure, what it is, and what this figure says."""

    name: str
    figure: str
    meaning: str


def measures_of(quality: Quality) -> list[Measure]:
    """Those that are known of the run."""
    return [one for one in (_silhouette(quality), _stability(quality), *_indices(quality)) if one is not None]


def _silhouette(quality: Quality) -> Measure | None:
    if quality.silhouette is None:
        return None
    chance = quality.silhouette_without_clusters
    meaning = (
        "How much closer people are to their own cluster than to the next, from -1 to 1: "
        f"{told(quality.silhouette, SILHOUETTES)}."
    )
    if chance is not None:
        meaning += f" The same method reaches {chance:.2f} on made-up people without any groups."
    return Measure(name="Silhouette", figure=f"{quality.silhouette:.2f}", meaning=meaning)


def _stability(quality: Quality) -> Measure | None:
    stability = quality.stability
    if stability is None:
        return None
    meaning = (
        f"Adjusted Rand index over {len(stability.bootstraps)} redrawn samples and {len(stability.seeds)} other seeds, "
        f"1 for the same clusters: {told(stability.mean, STABILITIES)}; {stability.lowest:.2f} at the lowest."
    )
    return Measure(name="Stability", figure=f"{stability.mean:.2f}", meaning=meaning)


def _indices(quality: Quality) -> Iterator[Measure]:
    if quality.davies_bouldin is not None:
        yield Measure(
            name="Davies-Bouldin",
            figure=f"{quality.davies_bouldin:.2f}",
            meaning="Spread within clusters against the distance between them, of each with its most similar one. "
            "The lower the better; below 1 they stand apart.",
        )
    if quality.calinski_harabasz is not None:
        yield Measure(
            name="Calinski-Harabasz",
            figure=f"{quality.calinski_harabasz:,.0f}",
            meaning="Spread between clusters against spread within. The higher the better; "
            "only runs on the same people and features compare.",
        )
    if quality.noise:
        yield Measure(name="In no cluster", figure=f"{quality.noise:.0%}", meaning="Of all who were looked at.")

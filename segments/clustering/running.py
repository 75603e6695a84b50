"""One run of a clustering, from figures of people to scores: killed anywhere it begins anew, and what was live stays so until
everything is there.

The maths of each phase is in `segments.analytics`; what may be decided about a run that waits is in `segments.clustering.services`.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.jobs.services import JobCancelled, Progress
from cdp.profiles.models import ScoreRun, Workspace
from segments.analytics import preparing
from segments.analytics.choosing import choose
from segments.analytics.clustering import Fit, fit, refuse_too_few, sample
from segments.analytics.hierarchy import Merges, drawn, merges_of
from segments.analytics.matching import match
from segments.analytics.meaning import Words, meanings, picture
from segments.analytics.methods import MOST_LOOKED_AT, NOISE, Algorithm, Method
from segments.analytics.outcomes import Choice, Matched, Meaning
from segments.analytics.plain import CannotAnalyse
from segments.analytics.preparing import Floats, Prepared
from segments.analytics.quality import measure
from segments.clustering.models import NOT_IN_ANY, Cluster, Clustering, ClusterRun
from segments.clustering.services import SCORE_KEY
from segments.clustering.settings import ClusteringSettings
from segments.clustering.storing import Found, drop_leftovers, fail, finish, live_of, write_scores
from segments.features.catalogue import FeatureKind
from segments.features.discovery import features_named
from segments.features.loading import load_features
from segments.features.matrix import FeatureMatrix
from segments.moments import moment_of_judgement

Ids = NDArray[np.int64]

REVENUE: Final = "net_revenue"
MOST_THREADS: Final = 4  # other work of the machine goes on beside it
MANY: Final = 50_000
LONGEST_LABEL: Final = 128

BEFORE: Final = """
    COPY (SELECT profile_id, number::bigint FROM profiles_score WHERE run_id = %(run)s AND key = %(key)s
           ORDER BY profile_id) TO STDOUT (FORMAT BINARY)
"""
_ROW: Final = np.dtype(
    [("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8"), ("number_bytes", ">i4"), ("number", ">i8")]
)
_HEADER_BYTES: Final = 19


class _Bar:
    """The bar of a run in hundredths: each phase has its part of it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phase, self._first, self._last = "", 0, 0

    def phase(self, name: str, first: int, last: int) -> None:
        """Raises JobCancelled when asked to stop, LeaseLost when another worker took over; so does `at`."""
        self._phase, self._first, self._last = name, first, last
        self._progress(first, 100, name)

    def at(self, done: int, total: int) -> None:
        part = self._first + (self._last - self._first) * min(done, total) // max(1, total)
        self._progress(part, 100, self._phase)


class _Steps:
    """Counts steps of a phase whose number is about known."""

    def __init__(self, bar: _Bar, total: int) -> None:
        self._bar, self._total, self._done = bar, total, 0

    def __call__(self) -> None:
        self._bar.at(self._done, self._total)
        self._done += 1


def run_clustering(*, run: ClusterRun, progress: Progress) -> ClusterRun:
    """The run with what it found: live, or held for a person's decision where it drifted from the run that is live.

    Safe to stop anywhere and to run again: what a run before this one left is dropped first, and scores can be read only once
    all of it is there.

    Raises:
        DomainError: a sentence for whoever asked, where these people can't be clustered so.
    """
    run.refresh_from_db()
    if run.outcome:
        return run
    drop_leftovers(run)
    try:
        return _run(run, _Bar(progress))
    except CannotAnalyse as error:
        fail(run, error.message)
        raise DomainError(error.code, error.message) from None
    except DomainError as error:
        fail(run, error.message)
        raise
    except JobCancelled:
        drop_leftovers(run)
        raise


def threads(people: int) -> AbstractContextManager[Any]:
    """Bounds the threads of what is computed inside: one for few people, who take longer to share out than to look at."""
    # Only libraries that are loaded by now are bounded.
    import sklearn.cluster
    from threadpoolctl import threadpool_limits

    assert sklearn.cluster
    limits: AbstractContextManager[Any] = threadpool_limits(
        limits=min(MOST_THREADS, os.cpu_count() or 1) if people >= MANY else 1
    )
    return limits


def _run(run: ClusterRun, bar: _Bar) -> ClusterRun:
    settings = run.as_settings
    bar.phase("reading figures of people", 0, 15)
    as_of = moment_of_judgement()
    loaded = _loaded(run, settings, as_of)
    bar.phase("preparing figures", 15, 20)
    words = _words(settings)
    prepared = preparing.fit(
        loaded.values[:, : len(settings.keys)],
        keys=settings.keys,
        how=settings.preparation,
        transforms={one.key: one.transform for one in settings.features},
        names={key: one.name for key, one in words.items()},
    )
    applied = preparing.apply(loaded.values, prepared, keys=loaded.keys)
    usable = applied.usable
    values = applied.values if usable.all() else applied.values[usable]
    left_out = applied.left_out
    del applied
    with threads(1):
        choice, method, tree = _chosen(settings, values, bar)
    bar.phase("finding clusters", 42, 58)
    with threads(len(values)):
        made = fit(values, method, features=prepared.keys, progress=bar.at, merges=tree)
    with threads(1):
        found = _found(settings, prepared, choice, made, loaded, usable, values, words, bar)
    labels = np.full(len(loaded), NOISE, dtype=np.int64)
    labels[usable] = found.made.labels
    scored = ~left_out
    bar.phase("comparing with the live run", 82, 86)
    ids, labels = loaded.ids[scored], labels[scored]
    matched = _matched(run, settings, ids, labels)
    names = _labels(run, matched, found.meanings)
    bar.phase("writing scores", 86, 97)
    write_scores(run, matched, names, ids, labels)
    bar.phase("putting it live", 97, 100)
    counts = {
        "people": len(loaded),
        "clustered": int((labels != NOISE).sum()),
        "noise": int((labels == NOISE).sum()),
        "left_out": int(left_out.sum()),
    }
    revenue = loaded.column(REVENUE)[scored]
    run.as_of, run.people, run.clustered = as_of, counts["people"], counts["clustered"]
    run.noise, run.left_out = counts["noise"], counts["left_out"]
    return finish(run, found, matched, names, labels, revenue)


def _loaded(run: ClusterRun, settings: ClusteringSettings, as_of: datetime) -> FeatureMatrix:
    """Figures of the features, and revenue as the last column where it isn't one of them: all in one look."""
    keys = [*settings.keys, *([] if REVENUE in settings.keys else [REVENUE])]
    loaded = load_features(keys, as_of=as_of, window_days=settings.window_days, purpose=run.clustering.purpose)
    if not len(loaded):
        raise CannotAnalyse(
            "nobody",
            f"There is nobody to be clustered: of those seen in the last {settings.window_days} days nobody permits "
            f"“{run.clustering.purpose.label}”.",
        )
    return loaded


def _words(settings: ClusteringSettings) -> dict[str, Words]:
    currency = Workspace.current().reporting_currency
    return {
        one.key: Words(
            name=one.label,
            unit=currency if one.kind == FeatureKind.AMOUNT else one.unit,
            high=one.high,
            low=one.low,
            is_share=one.kind in (FeatureKind.SHARE, FeatureKind.FLAG),
        )
        for one in features_named(settings.keys)
    }


def _found(
    settings: ClusteringSettings,
    prepared: Prepared,
    choice: Choice | None,
    made: Fit,
    loaded: FeatureMatrix,
    usable: NDArray[np.bool_],
    values: Floats,
    words: Mapping[str, Words],
    bar: _Bar,
) -> Found:
    bar.phase("measuring quality", 58, 76)
    method = settings.method(made.fitted.count)
    raw = loaded.only(prepared.keys).values
    told = meanings(raw if usable.all() else raw[usable], values, made.labels, keys=prepared.keys, words=words)
    del raw
    quality = measure(
        values,
        made,
        method,
        names={one.cluster: one.label for one in told},
        recommended=choice.recommended if choice else None,
        step=_Steps(bar, 20),
    )
    bar.phase("drawing", 76, 82)
    tree = None
    if made.merges is not None:
        looked_at = made.labels if made.looked_at is None else made.labels[made.looked_at]
        tree = drawn(made.merges, looked_at, made.fitted.count)
    return Found(
        prepared=prepared,
        choice=choice,
        made=made,
        quality=quality,
        meanings=told,
        tree=tree,
        picture=picture(values, made, names=[words[key].name for key in prepared.keys], seed=settings.seed),
    )


def _chosen(
    settings: ClusteringSettings, values: Floats, bar: _Bar
) -> tuple[Choice | None, Method, tuple[Ids | None, Merges] | None]:
    """How many clusters, and the method that makes them; of a hierarchical one who was looked at, and their tree."""
    bar.phase("choosing how many clusters", 20, 42)
    if settings.counts_itself:
        return None, settings.method(None), None
    looked_at, tree = values, None
    if settings.algorithm == Algorithm.HIERARCHICAL:
        chosen = sample(len(values), MOST_LOOKED_AT[settings.algorithm], settings.seed)
        looked_at = values if chosen is None else values[chosen]
        refuse_too_few(looked_at, settings.clusters)
        tree = (chosen, merges_of(looked_at, settings.linkage))
    choice = choose(
        looked_at,
        settings.method(settings.clusters),
        fewest=settings.fewest,
        most=settings.most,
        given=settings.clusters,
        merges=tree[1] if tree else None,
        step=_Steps(bar, settings.most - settings.fewest + 1),
    )
    return choice, settings.method(choice.used), tree


# ---- Identities and names --------------------------------------------------------------------------------------------


def _matched(run: ClusterRun, settings: ClusteringSettings, ids: Ids, labels: Ids) -> Matched:
    live = live_of(run)
    before_ids, before = _before(run.clustering) if live else (np.empty(0, dtype=np.int64),) * 2
    newest = (
        Cluster.objects.filter(run__clustering=run.clustering)
        .order_by("-number")
        .values_list("number", flat=True)
        .first()
    )
    return match(
        ids,
        labels,
        before_ids=before_ids,
        before=before,
        next_number=max(0, newest or 0) + 1,
        hold_share=settings.hold_share,
        clusters_before=live.clusters.exclude(number=NOISE).count() if live else None,
    )


def _before(clustering: Clustering) -> tuple[Ids, Ids]:
    """Ids, ascending, and the cluster of each in the scores that are read now: people assigned since the run are in them."""
    current = ScoreRun.objects.filter(kind=clustering.kind, is_current=True).first()
    if current is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    held = bytearray()
    with bound_cursor() as cursor, cursor.copy(BEFORE, {"run": current.pk, "key": SCORE_KEY}) as copy:
        for block in copy:
            held += block
    rows = np.frombuffer(bytes(held[_HEADER_BYTES:-2]), dtype=_ROW)
    return rows["id"].astype(np.int64), rows["number"].astype(np.int64)


def _labels(run: ClusterRun, matched: Matched, told: tuple[Meaning, ...]) -> dict[int, tuple[str, bool]]:
    """By identity the name, and whether somebody gave it: a cluster that is found again keeps its name."""
    live = live_of(run)
    kept = {one.number: (one.label, one.is_label_own) for one in live.clusters.all()} if live else {}
    identities = dict(matched.numbers)
    names = {number: kept[number] for number in identities.values() if number in kept and number != NOISE}
    taken = {NOT_IN_ANY} | {label for label, _ in names.values()}
    for one in told:
        number = identities[one.cluster]
        if number not in names:
            names[number] = (_free(one.label, taken), False)
            taken.add(names[number][0])
    return names


def _free(label: str, taken: set[str]) -> str:
    free, number = label, 2
    while free in taken:
        free, number = f"{label[: LONGEST_LABEL - 6]} ({number})", number + 1
    return free

"""What a run found, written: scores that nobody reads yet, then in one transaction clusters, figures and what becomes of the run.

Also what is dropped: what a run that was killed left, and what old runs needn't keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import NotFound
from cdp.profiles.score_arrays import add_score_arrays
from cdp.profiles.score_changes import forget_run, relabel
from cdp.profiles.score_services import start_run
from segments.analytics.clustering import Fit, versions
from segments.analytics.methods import NOISE
from segments.analytics.outcomes import Choice, Matched, Meaning, Picture, Quality, Tree
from segments.analytics.preparing import Floats, Prepared
from segments.clustering.models import NOT_IN_ANY, Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.services import KEPT_RUNS, KEPT_WHOLE, SCORE_KEY, make_live, overtake

Ids = NDArray[np.int64]

DELETED: Final = "The clustering was deleted before its run was done."


@dataclass(frozen=True)
class Found:
    """All that a run found, before it is written."""

    prepared: Prepared
    choice: Choice | None
    made: Fit
    quality: Quality
    meanings: tuple[Meaning, ...]
    tree: Tree | None
    picture: Picture | None


def live_of(run: ClusterRun) -> ClusterRun | None:
    return ClusterRun.objects.filter(clustering=run.clustering, outcome=Outcome.LIVE).defer("fitted", "picture").first()


def write_scores(
    run: ClusterRun,
    matched: Matched,
    names: Mapping[int, tuple[str, bool]],
    ids: Ids,
    labels: Ids,
) -> None:
    by = _actor(run)
    with transaction.atomic():
        scores = start_run(kind=run.clustering.kind, version=str(run.number), by=by)
        # Kept with the run at once, so that whoever begins anew finds what to drop.
        if not ClusterRun.objects.filter(pk=run.pk).update(score_run_id=scores.pk):
            raise NotFound("clustering_deleted", DELETED)
    run.score_run_id = scores.pk
    identities = dict(matched.numbers)
    order = sorted(identities)
    # The last place is NOISE's own, which counts from the end.
    numbers = np.array([*(identities[one] for one in order), NOISE], dtype=np.float64)
    words = [*(names[identities[one]][0] for one in order), NOT_IN_ANY]
    codes = np.where(labels == NOISE, len(order), labels)
    add_score_arrays(run=scores, key=SCORE_KEY, profile_ids=ids, numbers=numbers[codes], codes=codes, labels=words)


@transaction.atomic
def finish(
    run: ClusterRun,
    found: Found,
    matched: Matched,
    names: Mapping[int, tuple[str, bool]],
    labels: Ids,
    revenue: Floats,
) -> ClusterRun:
    clustering = (
        Clustering.objects.select_for_update(of=("self",))
        .select_related("purpose")
        .filter(pk=run.clustering_id)
        .first()
    )
    if clustering is None:
        raise NotFound("clustering_deleted", DELETED)
    if ClusterRun.objects.get(pk=run.pk).outcome:
        return run
    run.clustering = clustering
    run.finished_at = timezone.now()
    run.revenue = _money(float(revenue.sum()))
    run.prepared, run.fitted = found.prepared.as_json(), found.made.fitted.as_json()
    run.choice = found.choice.as_json() if found.choice else None
    run.quality, run.matched = found.quality.as_json(), matched.as_json()
    run.tree = found.tree.as_json() if found.tree else None
    run.picture = found.picture.as_json() if found.picture else None
    run.versions = versions()
    run.clusters.all().delete()
    Cluster.objects.bulk_create(_rows(run, found, matched, _names_now(run, names), labels, revenue))
    by = _actor(run)
    if matched.drifted:
        overtake(clustering=clustering, run=run)
        run.outcome = Outcome.HELD
        run.save()
    else:
        make_live(clustering=clustering, run=run, by=by)
    _forget_old(clustering)
    detail = {
        "run": run.number,
        "people": run.people,
        "clusters": found.made.fitted.count,
        "outcome": str(run.outcome),
        "settings": run.settings,
    }
    record(by=by, action="clustering.run_finished", object=clustering, purpose=clustering.purpose.key, detail=detail)
    return run


def _rows(
    run: ClusterRun,
    found: Found,
    matched: Matched,
    names: Mapping[int, tuple[str, bool]],
    labels: Ids,
    revenue: Floats,
) -> list[Cluster]:
    rows = []
    identities = dict(matched.numbers)
    for one in found.meanings:
        mine = labels == one.cluster
        label, is_own = names[identities[one.cluster]]
        rows.append(
            Cluster(
                run=run,
                number=identities[one.cluster],
                fit_number=one.cluster,
                label=label,
                suggested_label=one.label,
                is_label_own=is_own,
                size=int(mine.sum()),
                revenue=_money(float(revenue[mine].sum())),
                meaning=one.as_json(),
            )
        )
    if (nobodys := labels == NOISE).any():
        money = _money(float(revenue[nobodys].sum()))
        size = int(nobodys.sum())
        rows.append(Cluster(run=run, number=NOISE, fit_number=NOISE, label=NOT_IN_ANY, size=size, revenue=money))
    return rows


def _names_now(run: ClusterRun, names: Mapping[int, tuple[str, bool]]) -> dict[int, tuple[str, bool]]:
    """The names once more, with the clustering locked: somebody may have named a cluster while scores were written."""
    live = live_of(run)
    now = dict(names)
    for one in live.clusters.exclude(number=NOISE) if live else ():
        if one.number in now and now[one.number] != (one.label, one.is_label_own):
            now[one.number] = (one.label, one.is_label_own)
            relabel(kind=run.clustering.kind, key=SCORE_KEY, number=one.number, label=one.label)
    return now


def _money(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(Decimal("0.0001"))


def _actor(run: ClusterRun) -> Actor:
    return Actor.system(f"{run.requested_by} (clustering)")


# ---- What is left behind ---------------------------------------------------------------------------------------------


@transaction.atomic
def drop_leftovers(run: ClusterRun) -> None:
    """Forgets scores of runs of the clustering that came to nothing: this one before it was killed, and others like it."""
    unread = ClusterRun.objects.filter(
        clustering_id=run.clustering_id, outcome__in=["", Outcome.FAILED], score_run_id__isnull=False
    )
    # Of a clustering that is deleted by now no row tells any more which scores were its own.
    for score_run_id in {run.score_run_id, *unread.values_list("score_run_id", flat=True)} - {None}:
        forget_run(run_id=score_run_id or 0)
    unread.update(score_run_id=None)
    run.score_run_id = None


@transaction.atomic
def fail(run: ClusterRun, why: str) -> None:
    drop_leftovers(run)
    ClusterRun.objects.filter(pk=run.pk, outcome="").update(
        outcome=Outcome.FAILED, problem=why, finished_at=timezone.now()
    )


def _forget_old(clustering: Clustering) -> None:
    """Of old runs the model and the picture, of very old ones everything; never of those that are live or wait."""
    old = ClusterRun.objects.filter(clustering=clustering).exclude(outcome__in=[Outcome.LIVE, Outcome.HELD])
    numbers = list(old.order_by("-number").values_list("number", flat=True)[: KEPT_RUNS + 1])
    if len(numbers) > KEPT_WHOLE:
        old.filter(number__lt=numbers[KEPT_WHOLE - 1], fitted__isnull=False).update(
            fitted=None, picture=None, tree=None
        )
    if len(numbers) > KEPT_RUNS:
        old.filter(number__lte=numbers[KEPT_RUNS]).delete()

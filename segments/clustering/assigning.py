"""Puts people who are new, or did something, into the clusters that are live, without running them again.

They are prepared by the numbers the live run was prepared by, and go to its nearest centroid or core point. How clusters are
found is in `segments.clustering.running`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final
from uuid import UUID

import numpy as np
from django.db import connection, transaction
from django.db.models import Min

from cdp.audit.actors import SYSTEM, Actor
from cdp.database import bound_cursor
from cdp.errors import Conflict, DomainErrors
from cdp.ingestion.models import InboxMessage
from cdp.logs import get_logger
from cdp.profiles.models import ScoreRun
from cdp.profiles.score_changes import replace_scores_of
from cdp.profiles.score_services import Scored
from cdp.profiles.store import lock_profiles
from segments.analytics.clustering import Assigner, Fitted
from segments.analytics.methods import NOISE
from segments.analytics.preparing import Prepared, apply
from segments.clustering.models import NOT_IN_ANY, Cluster, Clustering, ClusterRun
from segments.clustering.services import SCORE_KEY
from segments.features.leaving import forget_the_stopped_again
from segments.features.loading import load_features
from segments.features.matrix import FeatureMatrix
from segments.moments import moment_of_judgement

log = get_logger(__name__)

AT_ONCE: Final = 200  # people in one transaction, who are locked as long as it lasts
# Events that came later than this after they happened count from the next run on: finding them would mean reading all there are.
LATEST: Final = timedelta(days=2)
# A request is in the inbox a moment after it came; what came so shortly before is looked at twice.
OVERLAP: Final = timedelta(minutes=1)

# By the primary key of each partition, which begins with the moment: a stretch of it, and of that what came since.
ARRIVED: Final = """
    SELECT DISTINCT profile_id FROM profiles_event
     WHERE occurred_at >= %(happened)s AND received_at >= %(since)s AND received_at < %(until)s
     ORDER BY profile_id
"""


@dataclass(frozen=True)
class Model:
    """A live run made ready: how figures are prepared, and where they belong. Never changes once a run has found its clusters."""

    prepared: Prepared
    assigner: Assigner
    keys: tuple[str, ...]

    def cluster_of(self, matrix: FeatureMatrix) -> list[int | None]:
        """Of each person the number in the fit; NOISE for who is in none, None for who lacks a figure and is left out for it."""
        applied = apply(matrix.values, self.prepared, keys=matrix.keys)
        found = np.full(len(matrix), NOISE, dtype=np.int64)
        found[applied.usable] = self.assigner.assign(applied.values[applied.usable])
        return [
            None if left else number for left, number in zip(applied.left_out.tolist(), found.tolist(), strict=True)
        ]


@lru_cache(maxsize=16)
def model_of(uuid: UUID) -> Model:
    """The model of a run that has found its clusters; read once in the life of a process."""
    run = ClusterRun.objects.get(uuid=uuid)
    prepared, fitted = Prepared.from_json(run.prepared), Fitted.from_json(run.fitted)
    return Model(prepared, Assigner(fitted), prepared.keys)


@dataclass(frozen=True, slots=True)
class Assigned:
    """Of how many people it was asked where they belong, and how many belong elsewhere than before."""

    people: int = 0
    changed: int = 0


def assign(profile_ids: Collection[int], *, clustering: Clustering, by: Actor = SYSTEM) -> Assigned:
    """Puts these people where they belong now, by the clusters that are live; who may not be profiled is in none.

    Safe to run again, and at the same time as others: each batch of people is locked, judged and written in one transaction.

    Raises:
        Conflict: another run went live meanwhile, or none is live.
        DomainErrors: a feature of the live run is gone.
    """
    changed = 0
    ids = sorted(set(profile_ids))
    for start in range(0, len(ids), AT_ONCE):
        changed += _assign_some(ids[start : start + AT_ONCE], clustering=clustering, by=by)
    return Assigned(len(ids), changed)


@transaction.atomic
def _assign_some(ids: Sequence[int], *, clustering: Clustering, by: Actor) -> int:
    # People first, as everybody locks them: who objects from here on waits, and then finds what is written here.
    present = lock_profiles(ids)
    clustering = Clustering.objects.select_for_update(of=("self",)).select_related("purpose").get(pk=clustering.pk)
    # Not the whole row: what a run found is large.
    run = ClusterRun.objects.only("uuid", "settings", "score_run_id").filter(pk=clustering.live_run_id or 0).first()
    scores = ScoreRun.objects.filter(pk=run.score_run_id or 0).first() if run else None
    if run is None or scores is None:
        raise Conflict("nothing_live", f"“{clustering.name}” has no clusters that are live.")
    model = model_of(run.uuid)
    matrix = load_features(
        model.keys,
        as_of=moment_of_judgement(),
        window_days=run.as_settings.window_days,
        purpose=clustering.purpose,
        profile_ids=present,
    )
    clusters = Cluster.objects.filter(run=run).values_list("fit_number", "number", "label")
    named = {fit_number: (number, label) for fit_number, number, label in clusters}
    named.setdefault(NOISE, (NOISE, NOT_IN_ANY))
    said = [
        Scored(profile_id, SCORE_KEY, Decimal(named[number][0]), named[number][1])
        for profile_id, number in zip(matrix.ids.tolist(), model.cluster_of(matrix), strict=True)
        if number is not None
    ]
    return replace_scores_of(run=scores, profile_ids=present, scores=said, by=by)


def assign_arrived() -> Assigned:
    """Puts everybody of whom events have come since last time where they belong, in all clusterings that are live.

    Up to when that was done stands in the live run, and moves on when it is done: what is killed is done again. Two at once do
    the same twice.
    """
    forget_the_stopped_again(by=SYSTEM)
    people = changed = 0
    live = ClusterRun.objects.filter(pk__in=Clustering.objects.filter(live_run__isnull=False).values("live_run"))
    for run in live.only("assigned_until", "requested_at", "clustering").select_related("clustering").order_by("pk"):
        clustering = run.clustering
        # By the clock at which things come, also where the workspace stands still.
        since = run.assigned_until or run.requested_at
        until = _all_stored_until()
        try:
            done = assign(arrived(since=since, until=until), clustering=clustering)
        except (Conflict, DomainErrors) as error:
            # Another run went live, which begins anew; or a feature is gone, which its screen and its next run say.
            log.warning("not_assigned", clustering=clustering.key, code=error.code)
            continue
        ClusterRun.objects.filter(pk=run.pk).update(assigned_until=max(since, until))
        people, changed = people + done.people, changed + done.changed
    return Assigned(people, changed)


def arrived(*, since: datetime, until: datetime) -> list[int]:
    """Ids of the people of whom events came in [since, until), or shortly before, in rising order."""
    with bound_cursor() as cursor:
        cursor.execute(ARRIVED, {"happened": since - LATEST, "since": since - OVERLAP, "until": until})
        return [row[0] for row in cursor.fetchall()]


def _all_stored_until() -> datetime:
    """The moment before which all that came is stored: what still waits, or is being written, came later."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    waiting = InboxMessage.objects.aggregate(first=Min("received_at"))["first"]
    return min(now, waiting) if waiting else now

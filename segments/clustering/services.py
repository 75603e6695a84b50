"""Making clusterings, asking for their runs, deciding on those that wait, and naming clusters.

What a run does is in `segments.clustering.running`; who is put where between runs, in `segments.clustering.assigning`.
"""

from datetime import timedelta
from typing import Any, Final

from django.conf import settings as platform
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, DomainError, DomainErrors
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import cancel, enqueue, let_follow
from cdp.profiles.models import ScoreRun, Workspace
from cdp.profiles.score_changes import forget_kind, forget_run, relabel
from cdp.profiles.score_services import LABEL_LIMIT, purge_runs
from cdp.profiles.score_services import publish_run as publish_scores
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error
from segments.clustering.models import KEY_LIMIT, Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.settings import ClusteringSettings, check
from segments.features.people import who_may_be_profiled
from segments.features.resolving import resolve
from segments.lists import storable
from segments.live import rules_lock
from segments.relying import segments_reading_scores
from segments.schedule import last_time_of_day
from segments.services import KEY, key_for

RUN_KIND: Final = "segments.cluster"
SCORE_KEY: Final = "cluster"
PAUSE_AFTER_FAILURE: Final = timedelta(hours=1)
KEPT_SCORES: Final = 2  # earlier runs one can go back to
KEPT_RUNS: Final = 100
KEPT_WHOLE: Final = 10  # of older ones the model and the picture are forgotten, the figures stay
LONGEST_NAME: Final = 150

KEEP_ONLY: Final = """
    DELETE FROM profiles_score s WHERE s.run_id = %(run)s
       AND NOT EXISTS (SELECT FROM ({query}) AS permitted(id) WHERE permitted.id = s.profile_id)
"""


# ---- What is to be clustered -----------------------------------------------------------------------------------------


@transaction.atomic
def create_clustering(
    *,
    name: str,
    settings: ClusteringSettings,
    by: Actor,
    key: str = "",
    description: str = "",
    purpose: str = INTERNAL_ANALYSIS,
    is_nightly: bool = False,
) -> Clustering:
    """The new clustering; `request_run` has it run.

    Args:
        purpose: key of the one that people must permit to be in it.

    Raises:
        DomainErrors: all that is wrong with the settings, each with its pointer.
        DomainError: no name, a key that can't be, or an unknown purpose.
        Conflict: the key is taken.
    """
    name = _named(name)
    key = key or key_for(name, among=Clustering.objects.all(), otherwise="clustering")[:KEY_LIMIT].rstrip("-")
    if not KEY.fullmatch(key) or len(key) > KEY_LIMIT:
        raise DomainError(
            "key_malformed", f"A key has small letters, digits and single hyphens, {KEY_LIMIT} at most.", "/key"
        )
    if Clustering.objects.filter(key=key).exists():
        raise Conflict("key_taken", f"There is a clustering with the key {key!r} already.", "/key")
    _refuse(settings)
    made = Clustering.objects.create(
        key=key,
        name=name,
        description=storable(description, "/description"),
        settings=settings.as_json(),
        purpose=_purpose(purpose),
        is_nightly=is_nightly,
    )
    detail = {"key": key, "name": name, "settings": made.settings, "is_nightly": is_nightly}
    record(by=by, action="clustering.created", object=made, purpose=purpose, detail=detail)
    return made


@transaction.atomic
def change_clustering(
    *,
    clustering: Clustering,
    by: Actor,
    name: str | None = None,
    description: str | None = None,
    settings: ClusteringSettings | None = None,
    purpose: str | None = None,
    is_nightly: bool | None = None,
) -> Clustering:
    """The clustering with what was given; what is None stays. Its clusters are as they were until it runs again.

    Raises:
        DomainErrors, DomainError: as `create_clustering`.
    """
    clustering = _locked(clustering)
    wanted: dict[str, Any] = {}
    if name is not None:
        wanted["name"] = _named(name)
    if description is not None:
        wanted["description"] = storable(description, "/description")
    if settings is not None:
        _refuse(settings)
        wanted["settings"] = settings.as_json()
    if purpose is not None:
        wanted["purpose"] = _purpose(purpose)
    if is_nightly is not None:
        wanted["is_nightly"] = is_nightly
    before = {field: getattr(clustering, field) for field in wanted if getattr(clustering, field) != wanted[field]}
    if not before:
        return clustering
    for field in before:
        setattr(clustering, field, wanted[field])
    clustering.changed_at = timezone.now()
    clustering.save(update_fields=[*before, "changed_at"])
    detail = {
        "before": {field: _told(value) for field, value in before.items()},
        "after": {field: _told(wanted[field]) for field in before},
    }
    record(by=by, action="clustering.changed", object=clustering, detail=detail)
    return clustering


@transaction.atomic
def delete_clustering(*, clustering: Clustering, by: Actor) -> None:
    """Forgets the clustering with its runs and scores; a run that is under way is stopped.

    Raises:
        Conflict: a live segment asks for its clusters.
    """
    rules_lock(exclusive=True)
    clustering = _locked(clustering)
    if users := segments_reading_scores(clustering.kind):
        names = ", ".join(f"“{one.name}”" for one in users)
        raise Conflict("clustering_in_use", f"“{clustering.name}” is used by {names}. Change them first.")
    for job in Job.objects.unfinished().filter(dedupe_key=_dedupe_key(clustering)):
        cancel(job=job, by=by)
    forget_kind(kind=clustering.kind, by=by)
    record(by=by, action="clustering.deleted", object=clustering, detail={"key": clustering.key})
    Clustering.objects.filter(pk=clustering.pk).update(live_run=None)
    clustering.delete()


# ---- Runs ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def request_run(*, clustering: Clustering, by: Actor, user: User | None = None) -> ClusterRun:
    """The run that will be made with the settings as they are now; the one that is under way, if there is one."""
    clustering = _locked(clustering)
    _refuse(clustering.as_settings)
    under_way = Job.objects.unfinished().filter(dedupe_key=_dedupe_key(clustering)).first()
    if under_way is not None and (run := ClusterRun.objects.filter(job=under_way).first()) is not None:
        if user is not None:
            let_follow(job=under_way, user=user)
        return run
    run = _new_run(clustering, by)
    run.job = enqueue(
        kind=RUN_KIND,
        params={"clustering": clustering.pk, "run": run.pk},
        by=by,
        user=user,
        dedupe_key=_dedupe_key(clustering),
    )
    run.save(update_fields=["job"])
    detail = {"run": run.number, "settings": run.settings}
    record(by=by, action="clustering.run_requested", object=clustering, purpose=clustering.purpose.key, detail=detail)
    return run


def _new_run(clustering: Clustering, by: Actor) -> ClusterRun:
    newest = ClusterRun.objects.filter(clustering=clustering).aggregate(newest=Max("number"))["newest"] or 0
    return ClusterRun.objects.create(
        clustering=clustering,
        number=newest + 1,
        settings=clustering.settings,
        seed=clustering.as_settings.seed,
        requested_by=by.label[:150],
    )


@transaction.atomic
def _refused(clustering: Clustering, error: DomainError) -> None:
    run = _new_run(_locked(clustering), SYSTEM)
    run.outcome, run.problem, run.finished_at = Outcome.FAILED, error.message, timezone.now()
    run.save(update_fields=["outcome", "problem", "finished_at"])


def request_due_runs() -> list[ClusterRun]:
    """The runs asked for, once a night, of the clusterings that run by night; of one whose run broke, again after an hour."""
    now = timezone.now()
    night = last_time_of_day(now, hour=platform.NIGHTLY_HOUR, zone=Workspace.current().time_zone)
    asked = []
    for clustering in Clustering.objects.filter(is_nightly=True).order_by("pk"):
        newest = ClusterRun.objects.filter(clustering=clustering).select_related("job").order_by("-number").first()
        if newest is not None:
            # What broke is tried again within the night; what told why it can't be, or was cancelled, is not.
            broke = not newest.outcome and newest.state == JobState.FAILED
            if newest.requested_at >= (now - PAUSE_AFTER_FAILURE if broke else night):
                continue
        try:
            asked.append(request_run(clustering=clustering, by=SYSTEM))
        except DomainError as error:
            # A feature of it is gone. The others run, and this one's screen says why it didn't.
            _refused(clustering, error)
    return asked


@transaction.atomic
def publish_run(*, run: ClusterRun, by: Actor) -> ClusterRun:
    """The run, live: one that waited for a decision, or an earlier one whose scores are still kept.

    Who has objected, or permits it no longer, since the run was made is left out of it.

    Raises:
        Conflict: it is live already, has found nothing, or its scores are forgotten.
    """
    clustering = _locked(run.clustering)
    run = ClusterRun.objects.select_for_update().get(pk=run.pk)
    if run.outcome not in (Outcome.HELD, Outcome.PAST):
        raise Conflict("run_not_held", f"Run {run.number} doesn't wait for a decision: {run.state_label.lower()}.")
    run.decided_by = by.label[:150]
    make_live(clustering=clustering, run=run, by=by)
    record(by=by, action="clustering.run_accepted", object=clustering, detail={"run": run.number})
    return run


@transaction.atomic
def decline_run(*, run: ClusterRun, by: Actor) -> ClusterRun:
    """The run, declined: what is live stays, and its scores are forgotten.

    Raises:
        Conflict: it doesn't wait for a decision.
    """
    clustering = _locked(run.clustering)
    run = ClusterRun.objects.select_for_update().get(pk=run.pk)
    if run.outcome != Outcome.HELD:
        raise Conflict("run_not_held", f"Run {run.number} doesn't wait for a decision: {run.state_label.lower()}.")
    if run.score_run_id is not None:
        forget_run(run_id=run.score_run_id)
    run.outcome, run.decided_by, run.score_run_id = Outcome.DECLINED, by.label[:150], None
    run.save(update_fields=["outcome", "decided_by", "score_run_id"])
    record(by=by, action="clustering.run_declined", object=clustering, detail={"run": run.number})
    return run


def make_live(*, clustering: Clustering, run: ClusterRun, by: Actor) -> None:
    """Sets the run live, in the caller's transaction, with the clustering locked; what waited or was live makes way.

    Raises:
        Conflict: its scores are forgotten.
    """
    scores = ScoreRun.objects.filter(pk=run.score_run_id or 0).first()
    if scores is None:
        raise Conflict("scores_forgotten", f"The scores of run {run.number} are kept no longer; run it again.")
    permitted = who_may_be_profiled(clustering.purpose).of(KEEP_ONLY)
    with bound_cursor() as cursor:
        cursor.execute(f"{permitted.before} {permitted.sql}", {**permitted.params, "run": scores.pk})
    publish_scores(run=scores, by=by)
    others = ClusterRun.objects.filter(clustering=clustering).exclude(pk=run.pk)
    others.filter(outcome=Outcome.LIVE).update(outcome=Outcome.PAST)
    overtake(clustering=clustering, run=run)
    run.outcome = Outcome.LIVE
    run.save()
    Clustering.objects.filter(pk=clustering.pk).update(live_run=run)
    clustering.live_run = run
    purge_runs(kind=clustering.kind, keep=KEPT_SCORES, by=by)


def overtake(*, clustering: Clustering, run: ClusterRun) -> None:
    """Ends the wait of runs older than this one, in the caller's transaction."""
    for waiting in ClusterRun.objects.filter(clustering=clustering, outcome=Outcome.HELD).exclude(pk=run.pk):
        if waiting.score_run_id is not None:
            forget_run(run_id=waiting.score_run_id)
        ClusterRun.objects.filter(pk=waiting.pk).update(outcome=Outcome.OVERTAKEN, score_run_id=None)


# ---- Clusters --------------------------------------------------------------------------------------------------------


@transaction.atomic
def rename_cluster(*, cluster: Cluster, label: str, by: Actor) -> Cluster:
    """The cluster under another name, in all runs that found it, and at once in the scores that rules read.

    Args:
        label: "" gives it back the name that is suggested.

    Raises:
        DomainError: a name that is too long, or that another cluster of the run has.
        Conflict: it is who is in no cluster.
    """
    clustering = _locked(cluster.run.clustering)
    cluster = Cluster.objects.select_related("run").get(pk=cluster.pk)
    if cluster.is_noise:
        raise Conflict("not_a_cluster", "Who is in no cluster is no cluster, and can't be named.")
    is_own = bool(label := storable(label.strip(), "/label"))
    label = label or cluster.suggested_label
    if len(label) > LABEL_LIMIT:
        raise DomainError("label_too_long", f"A cluster's name has at most {LABEL_LIMIT} characters.", "/label")
    alive = (Outcome.LIVE, Outcome.HELD)
    same = Cluster.objects.filter(run__clustering=clustering).exclude(number=cluster.number)
    if same.filter(run__outcome__in=alive, label=label).exists() or same.filter(run=cluster.run, label=label).exists():
        raise DomainError("label_taken", f"Another cluster is called “{label}” already.", "/label")
    before = cluster.label
    found = Cluster.objects.filter(run__clustering=clustering, number=cluster.number)
    found.update(label=label, is_label_own=is_own)
    relabel(kind=clustering.kind, key=SCORE_KEY, number=cluster.number, label=label)
    detail = {"cluster": cluster.number, "before": before, "after": label}
    record(by=by, action="clustering.cluster_renamed", object=clustering, detail=detail)
    cluster.refresh_from_db()
    return cluster


def segment_rule_for(clustering: Clustering, number: int) -> dict[str, Any]:
    """The rule of a segment of one cluster's people: by its number, so that it outlives its name and each run."""
    return {"version": 1, "score": f"{clustering.kind}.{SCORE_KEY}", "op": "equals", "value": number}


# ---- What is checked -------------------------------------------------------------------------------------------------


def _refuse(settings: ClusteringSettings) -> None:
    """
    Raises:
        DomainErrors: settings that can't be run, or features that aren't there or that no analysis may read.
    """
    check(settings)
    try:
        resolve(settings.keys, as_of=timezone.now(), window_days=settings.window_days)
    except DomainErrors as error:
        mended = [DomainError(one.code, one.message, f"/settings{one.pointer}") for one in error.errors]
        raise DomainErrors(mended, code=error.code, message=error.message) from None


def _locked(clustering: Clustering) -> Clustering:
    return Clustering.objects.select_for_update(of=("self",)).select_related("purpose").get(pk=clustering.pk)


def _dedupe_key(clustering: Clustering) -> str:
    return f"{RUN_KIND}:{clustering.pk}"


def _named(given: str) -> str:
    if not (name := storable(given.strip(), "/name")):
        raise DomainError("name_missing", "A clustering needs a name.", "/name")
    return name[:LONGEST_NAME]


def _purpose(key: str) -> Purpose:
    return purpose_or_error(key)


def _told(value: Any) -> Any:
    return value.key if isinstance(value, Purpose) else value

"""Scores of model runs: written in bulk into a run, and read by rules once the run is published.

What a model computes is no business of this module, nor is how a rule asks for a score.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, DomainError, NotFound
from cdp.profiles.models import Profile, ScoreRun

CHUNK = 10_000
KEY_LIMIT, LABEL_LIMIT = 64, 128  # characters, as the columns have them


@dataclass(frozen=True, slots=True)
class Scored:
    """What a run says of a person under one key: a number to four places, a label, or both."""

    profile_id: int
    key: str
    number: Decimal | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """How many people a publication changed something for, of how many scores."""

    scores: int
    people_changed: int


@transaction.atomic
def start_run(*, kind: str, version: str, by: Actor) -> ScoreRun:
    """A run that nobody reads yet.

    Raises:
        DomainError: a kind that is missing, too long, or has a full stop in it: that parts it from the keys.
    """
    if not 0 < len(kind) <= KEY_LIMIT or "." in kind:
        raise DomainError(
            "kind_malformed", f"A kind has 1 to {KEY_LIMIT} characters and no full stop: {kind[:80]!r}", "/kind"
        )
    run = ScoreRun.objects.create(kind=kind, version=version)
    record(by=by, action="scores.run_started", object=run, detail={"kind": kind, "version": version})
    return run


@transaction.atomic
def add_scores(*, run: ScoreRun, scores: Iterable[Scored]) -> int:
    """How many scores the run has more. Read in chunks, so that millions need little memory.

    Raises:
        Conflict: the run is published; what is read must not change under its readers.
        DomainError: a score that says nothing, or whose key or label is missing or too long.
        IntegrityError: a person has two scores of one key.
    """
    refuse_if_published(run)
    added = 0
    columns = "run_id, profile_id, key, number, label"
    given = iter(scores)
    with bound_cursor() as cursor:
        while chunk := list(islice(given, CHUNK)):
            with cursor.copy(f"COPY profiles_score ({columns}) FROM STDIN") as copy:
                for one in checked(chunk):
                    copy.write_row((run.pk, one.profile_id, one.key, one.number, one.label))
            added += len(chunk)
    return added


def hold_run(run_id: int) -> None:
    """Keeps a run from being deleted until the transaction ends, so that what is written into it belongs to something.

    Raises:
        NotFound: it is deleted already.
    """
    with bound_cursor() as cursor:
        cursor.execute("SELECT FROM profiles_scorerun WHERE id = %s FOR KEY SHARE", [run_id])
        if not cursor.rowcount:
            raise NotFound("run_forgotten", f"Run {run_id} was forgotten before it was complete.")


def delete_runs(run_ids: Sequence[int]) -> int:
    """How many scores were deleted, with their runs. Waits for whoever writes into one of them."""
    with transaction.atomic(), bound_cursor() as cursor:
        cursor.execute("SELECT FROM profiles_scorerun WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE", [run_ids])
        # Not through the ORM, which would read the scores to delete them.
        cursor.execute("DELETE FROM profiles_score WHERE run_id = ANY(%s::bigint[])", [run_ids])
        scores = cursor.rowcount
        cursor.execute("DELETE FROM profiles_scorerun WHERE id = ANY(%s::bigint[])", [run_ids])
    return scores


def refuse_if_published(run: ScoreRun) -> None:
    """Locks a run that nobody reads yet, until the transaction ends.

    Raises:
        Conflict: it is published.
    """
    if ScoreRun.objects.select_for_update().get(pk=run.pk).published_at is not None:
        raise Conflict("run_published", f"Run {run} is published; start another one.")


def checked(scores: Iterable[Scored]) -> Iterator[Scored]:
    """The same scores, as long as each can be written.

    Raises:
        DomainError: one says nothing, or its key or label is missing or too long.
    """
    for one in scores:
        if not 0 < len(one.key) <= KEY_LIMIT or len(one.label or "") > LABEL_LIMIT:
            raise DomainError(
                "score_too_long",
                f"A key has 1 to {KEY_LIMIT} characters, a label at most {LABEL_LIMIT}: {one.key[:80]!r}",
            )
        if one.number is None and one.label is None:
            raise DomainError("score_says_nothing", f"A score has a number or a label: {one.key!r}")
        yield one


@transaction.atomic
def publish_run(*, run: ScoreRun, by: Actor) -> Published:
    """Makes this run the one of its kind that is read; who is scored otherwise now is evaluated anew soon after.

    Publishing an earlier run again is the way back from a bad one.
    """
    # All runs of the kind, in order: of two publications at once the later sees what the earlier made current.
    runs = list(ScoreRun.objects.select_for_update().filter(kind=run.kind).order_by("pk"))
    before = next((one for one in runs if one.is_current), None)
    run = next(one for one in runs if one.pk == run.pk)
    if before and before.pk == run.pk:
        raise Conflict("run_is_current", f"Run {run} is the one that is read already.")
    with bound_cursor() as cursor:
        # Those who were merged away since they were scored are nobody now.
        cursor.execute(
            """
            INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
            SELECT DISTINCT profile_id, jsonb_build_object('why', 'edit', 'scores', jsonb_build_array(%(kind)s::text)), now()
              FROM (SELECT profile_id, key, number, label FROM profiles_score WHERE run_id = %(new)s) AS n
              FULL JOIN (SELECT profile_id, key, number, label FROM profiles_score WHERE run_id = %(old)s) AS o
             USING (profile_id, key)
             WHERE (n.number, n.label) IS DISTINCT FROM (o.number, o.label)
               AND EXISTS (SELECT FROM profiles_profile p WHERE p.id = profile_id)
            """,
            {"kind": run.kind, "new": run.pk, "old": before.pk if before else None},
        )
        people = cursor.rowcount
    if before:
        ScoreRun.objects.filter(pk=before.pk).update(is_current=False)
    ScoreRun.objects.filter(pk=run.pk).update(is_current=True, published_at=timezone.now(), keys=_keys_of(run))
    scores = run.scores.count()
    detail = {"kind": run.kind, "version": run.version, "scores": scores, "people_changed": people}
    record(by=by, action="scores.published", object=run, detail=detail)
    return Published(scores, people)


def _keys_of(run: ScoreRun) -> dict[str, list[str]]:
    """By key, whether the run says numbers, labels, or both under it."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT key, bool_or(number IS NOT NULL), bool_or(label IS NOT NULL) FROM profiles_score"
            " WHERE run_id = %s GROUP BY key ORDER BY key",
            [run.pk],
        )
        said = cursor.fetchall()
    return {key: ["numbers"] * numbers + ["labels"] * labels for key, numbers, labels in said}


def published_scores(kinds: Iterable[str] | None = None) -> Mapping[str, Mapping[str, list[str]]]:
    """By kind (of these, or of all), the keys of the run that is read, each with what it says: numbers, labels, or both."""
    current = ScoreRun.objects.filter(is_current=True)
    found = current if kinds is None else current.filter(kind__in=list(kinds))
    return dict(found.values_list("kind", "keys"))


def scores_of(profile: Profile) -> dict[str, dict[str, Decimal | str | None]]:
    """By "kind.key", what the published runs say of a person."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT r.kind, s.key, s.number, s.label FROM profiles_score s JOIN profiles_scorerun r ON r.id = s.run_id"
            " WHERE s.profile_id = %s AND r.is_current ORDER BY 1, 2",
            [profile.pk],
        )
        return {f"{kind}.{key}": {"number": number, "label": label} for kind, key, number, label in cursor.fetchall()}


@transaction.atomic
def purge_runs(*, kind: str, keep: int, by: Actor) -> int:
    """How many old runs were forgotten with their scores; the published one and the newest ``keep`` others stay."""
    old = ScoreRun.objects.filter(kind=kind, is_current=False).order_by("-created_at", "-pk")[keep:]
    ids = list(old.values_list("pk", flat=True))
    if not ids:
        return 0
    delete_runs(ids)
    record(by=by, action="scores.purged", detail={"kind": kind, "runs": len(ids)})
    return len(ids)

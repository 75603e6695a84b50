"""Scores after their run: people who are scored anew, a label that is worded anew, and scores that are forgotten.

Writing and publishing them is in `cdp.profiles.score_services`.
"""

from collections.abc import Collection, Iterable
from typing import Final

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record, record_all
from cdp.database import bound_cursor
from cdp.errors import Conflict
from cdp.profiles.models import ScoreRun
from cdp.profiles.score_services import Scored, checked, delete_runs

RELABEL: Final = """
    WITH reworded AS (
        UPDATE profiles_score s SET label = %(label)s FROM profiles_scorerun r
         WHERE r.id = s.run_id AND r.kind = %(kind)s AND s.key = %(key)s AND s.number = %(number)s
           AND s.label IS DISTINCT FROM %(label)s
        RETURNING s.profile_id, r.is_current
    ), told AS (
        INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
        SELECT p.id, jsonb_build_object('why', 'edit', 'scores', jsonb_build_array(%(kind)s::text)), now()
          FROM reworded JOIN profiles_profile p ON p.id = reworded.profile_id WHERE reworded.is_current
    )
    SELECT count(*) FILTER (WHERE is_current) FROM reworded
"""
TELL: Final = """
    INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
    SELECT p.id, jsonb_build_object('why', 'edit', 'scores', jsonb_build_array(%(kind)s::text)), now()
      FROM profiles_profile p
     WHERE EXISTS (SELECT FROM profiles_score s JOIN profiles_scorerun r ON r.id = s.run_id
                    WHERE s.profile_id = p.id AND r.kind = %(kind)s AND r.is_current)
"""
REPLACE: Final = """
    WITH given AS (
        SELECT profile_id, key, round(number, 4) AS number, label
          FROM unnest(%(people)s::bigint[], %(keys)s::text[], %(numbers)s::numeric[], %(labels)s::text[])
               AS g(profile_id, key, number, label)
    ), before AS (
        SELECT profile_id, key, number, label FROM profiles_score WHERE run_id = %(run)s AND profile_id = ANY(%(ids)s::bigint[])
    ), differing AS (
        SELECT profile_id, key, g.number, g.label, g.profile_id IS NULL AS is_gone
          FROM given AS g FULL JOIN before AS b USING (profile_id, key)
         WHERE (g.number, g.label) IS DISTINCT FROM (b.number, b.label)
    ), gone AS (
        DELETE FROM profiles_score s USING differing d
         WHERE d.is_gone AND s.run_id = %(run)s AND s.profile_id = d.profile_id AND s.key = d.key
    ), written AS (
        INSERT INTO profiles_score (run_id, profile_id, key, number, label)
        SELECT %(run)s, profile_id, key, number, label FROM differing WHERE NOT is_gone
        ON CONFLICT (run_id, key, profile_id) DO UPDATE SET number = excluded.number, label = excluded.label
    ), told AS (
        INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
        SELECT DISTINCT profile_id, jsonb_build_object('why', 'edit', 'scores', jsonb_build_array(%(kind)s::text)), now()
          FROM differing
        RETURNING profile_id
    )
    SELECT count(*) FROM told
"""
FORGET_PEOPLE: Final = """
    WITH gone AS (
        DELETE FROM profiles_score s USING profiles_scorerun r
         WHERE r.id = s.run_id AND s.profile_id = ANY(%(people)s::bigint[]) AND r.kind = ANY(%(kinds)s::text[])
        RETURNING s.profile_id, r.kind, r.is_current
    ), told AS (
        INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
        SELECT profile_id, jsonb_build_object('why', 'edit', 'scores', jsonb_agg(DISTINCT kind)), now()
          FROM gone WHERE is_current GROUP BY profile_id
    )
    SELECT DISTINCT p.id, p.uuid FROM gone JOIN profiles_profile p ON p.id = gone.profile_id ORDER BY p.id
"""


@transaction.atomic
def replace_scores_of(*, run: ScoreRun, profile_ids: Collection[int], scores: Iterable[Scored], by: Actor) -> int:
    """How many of these people are scored otherwise now, in the run that is read; they are evaluated soon after.

    What the run says of them is exactly these scores: of whom none is given, it says nothing any more. The caller has locked the
    people, so that two who score them at once do so one after the other.

    Raises:
        Conflict: the run isn't read, or no longer.
        DomainError: as `add_scores`.
        ValueError: a score of somebody else.
    """
    run = ScoreRun.objects.select_for_update(no_key=True).get(pk=run.pk)
    if not run.is_current:
        raise Conflict("run_not_current", f"Run {run} isn't the one that is read.")
    rows, ids = list(checked(scores)), sorted(set(profile_ids))
    if not {one.profile_id for one in rows} <= set(ids):
        raise ValueError("scores are of the people who were named")
    with bound_cursor() as cursor:
        cursor.execute(
            REPLACE,
            {
                "run": run.pk,
                "kind": run.kind,
                "ids": ids,
                "people": [one.profile_id for one in rows],
                "keys": [one.key for one in rows],
                "numbers": [one.number for one in rows],
                "labels": [one.label for one in rows],
            },
        )
        ((people,),) = cursor.fetchall()
    if people:
        record(by=by, action="scores.replaced", object=run, detail={"kind": run.kind, "people_changed": people})
    return int(people)


@transaction.atomic
def forget_scores_of(*, profile_ids: Collection[int], kinds: Collection[str], by: Actor, why: str) -> int:
    """Of how many of these people scores were forgotten: in all runs of these kinds, read or not. They are evaluated soon after."""
    if not profile_ids or not kinds:
        return 0
    with bound_cursor() as cursor:
        cursor.execute(FORGET_PEOPLE, {"people": sorted(set(profile_ids)), "kinds": sorted(set(kinds))})
        people = cursor.fetchall()
    detail = {"kinds": sorted(set(kinds)), "why": why}
    record_all(
        by=by,
        acts=[Act("scores.forgotten_of", "profiles.profile", str(uuid), detail=detail) for _, uuid in people],
    )
    return len(people)


@transaction.atomic
def relabel(*, kind: str, key: str, number: int, label: str) -> int:
    """How many people's label, as it is read, says something else now; those who ask for labels are evaluated soon after.

    It is worded anew in all runs of the kind, so that going back to one doesn't bring back an old word. Whoever words it keeps
    the audit entry.
    """
    with bound_cursor() as cursor:
        cursor.execute(RELABEL, {"kind": kind, "key": key, "number": number, "label": label})
        ((people,),) = cursor.fetchall()
    return int(people)


@transaction.atomic
def forget_run(*, run_id: int) -> None:
    """Forgets a run that nobody reads, with its scores.

    Raises:
        Conflict: it is the one that is read.
    """
    if ScoreRun.objects.filter(pk=run_id, is_current=True).exists():
        raise Conflict("run_is_current", f"Run {run_id} is the one that is read.")
    delete_runs([run_id])


@transaction.atomic
def forget_kind(*, kind: str, by: Actor) -> None:
    """Forgets all runs of the kind, also the one that is read: nobody has such a score any more."""
    runs = list(ScoreRun.objects.select_for_update().filter(kind=kind).order_by("pk").values_list("pk", flat=True))
    with bound_cursor() as cursor:
        cursor.execute(TELL, {"kind": kind})
    scores = delete_runs(runs)
    record(by=by, action="scores.forgotten", detail={"kind": kind, "scores": scores})

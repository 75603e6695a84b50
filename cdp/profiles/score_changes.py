"""Scores after their run: a label that is worded anew, and scores that are forgotten.

Writing and publishing them is in `cdp.profiles.score_services`.
"""

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict
from cdp.profiles.models import ScoreRun

RELABEL = """
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
FORGET = """
    WITH told AS (
        INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
        SELECT p.id, jsonb_build_object('why', 'edit', 'scores', jsonb_build_array(%(kind)s::text)), now()
          FROM profiles_profile p
         WHERE EXISTS (SELECT FROM profiles_score s JOIN profiles_scorerun r ON r.id = s.run_id
                        WHERE s.profile_id = p.id AND r.kind = %(kind)s AND r.is_current)
    )
    DELETE FROM profiles_score s USING profiles_scorerun r WHERE r.id = s.run_id AND r.kind = %(kind)s
"""


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
    with bound_cursor() as cursor:
        cursor.execute("DELETE FROM profiles_score WHERE run_id = %s", [run_id])
        cursor.execute("DELETE FROM profiles_scorerun WHERE id = %s", [run_id])


@transaction.atomic
def forget_kind(*, kind: str, by: Actor) -> None:
    """Forgets all runs of the kind, also the one that is read: nobody has such a score any more."""
    with bound_cursor() as cursor:
        cursor.execute(FORGET, {"kind": kind})
        scores = cursor.rowcount
        cursor.execute("DELETE FROM profiles_scorerun WHERE kind = %s", [kind])
    record(by=by, action="scores.forgotten", detail={"kind": kind, "scores": scores})

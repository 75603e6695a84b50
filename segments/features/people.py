"""Whom an analysis may sort into groups, and that whoever objects is in none of them from then on.

What it counts of them is in `segments.features.counting`.
"""

from collections.abc import Collection
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from cdp.audit.actors import Actor
from cdp.database import bound_cursor
from cdp.errors import Forbidden
from cdp.profiles.models import Profile, ScoreRun
from cdp.profiles.score_changes import forget_scores_of
from consent.models import ConsentStop, Purpose, StopKind
from consent.querysets import PRIVACY_RIGHTS, permitted
from segments.queries import Query, ids_of

# Whoever has one of these is in no analysis, even where its purpose doesn't say that people are profiled for it.
UNPROFILED: Final = frozenset({StopKind.PROFILING, StopKind.RESTRICTION})


def profiled(people: QuerySet[Profile], purpose: Purpose) -> QuerySet[Profile]:
    """Those of the people who permit the purpose now, and have neither objected to profiling nor are under restriction.

    Raises:
        Forbidden: nobody is sorted into groups to answer what they ask about their own data.
    """
    if purpose.key == PRIVACY_RIGHTS:
        raise Forbidden(
            "purpose_not_open", f"{PRIVACY_RIGHTS} opens single people who ask, and no analysis.", "/purpose"
        )
    stopped = ConsentStop.objects.filter(profile_id=OuterRef("pk"), lifted_at=None, kind__in=sorted(UNPROFILED))
    return permitted(people, purpose).exclude(Exists(stopped))


def who_may_be_profiled(purpose: Purpose) -> Query:
    """One column, `id`: the people whom an analysis for this purpose may take in now, by the database's clock."""
    return ids_of(profiled(Profile.objects.all(), purpose))


# The kinds of the scores that analyses give: each of these, and whatever begins so.
KINDS: Final = ("rfm", "persona")
PREFIXES: Final = ("clusters-",)


def forget_the_stopped(profile_ids: Collection[int], kind: str, by: Actor) -> None:
    """Takes away what analyses said of people who object, or are under restriction; segments that ask for it are judged anew.

    Of all runs, also of one that waits to be read: it would say it again.
    """
    if kind in UNPROFILED:
        forget_scores_of(profile_ids=profile_ids, kinds=_kinds(), by=by, why=kind)


def forget_the_stopped_again(*, by: Actor) -> int:
    """Of how many who are stopped something was said all the same, by a run that had looked at them before they were; it is forgotten."""
    with bound_cursor() as cursor:
        cursor.execute(SAID_OF_STOPPED, {"stops": sorted(UNPROFILED), "kinds": (kinds := _kinds())})
        people = [row[0] for row in cursor.fetchall()]
    return forget_scores_of(profile_ids=people, kinds=kinds, by=by, why="stopped")


SAID_OF_STOPPED: Final = """
    SELECT DISTINCT s.profile_id FROM consent_stop AS s
      JOIN profiles_score AS said ON said.profile_id = s.profile_id
      JOIN profiles_scorerun AS r ON r.id = said.run_id
     WHERE s.lifted_at IS NULL AND s.kind = ANY(%(stops)s::text[]) AND r.kind = ANY(%(kinds)s::text[])
"""


def _kinds() -> list[str]:
    """The kinds of scores that there are of analyses."""
    named = Q(kind__in=KINDS)
    for prefix in PREFIXES:
        named |= Q(kind__startswith=prefix)
    return list(ScoreRun.objects.filter(named).order_by().values_list("kind", flat=True).distinct())

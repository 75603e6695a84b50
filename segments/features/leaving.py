"""Whoever may not be profiled any more loses what analyses said of them, in the transaction in which they say so.

Who that is, is in `segments.features.people`; members of segments follow in `segments.decisions`.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from django.db.models import Q

from cdp.audit.actors import SYSTEM, Actor
from cdp.database import bound_cursor
from cdp.profiles.models import Profile, ScoreRun
from cdp.profiles.score_changes import forget_scores_of
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS, PRIVACY_RIGHTS
from segments.clustering.models import KIND_PREFIX, Clustering
from segments.features.people import UNPROFILED, profiled
from segments.rfm.models import RfmSettings

RFM, PERSONA = "rfm", "persona"

# A run that had looked at somebody before they were stopped may say something of them all the same.
SAID_OF_STOPPED: Final = """
    SELECT DISTINCT s.profile_id FROM consent_stop AS s
      JOIN profiles_score AS said ON said.profile_id = s.profile_id
      JOIN profiles_scorerun AS r ON r.id = said.run_id
     WHERE s.lifted_at IS NULL AND s.kind = ANY(%(stops)s::text[]) AND r.kind = ANY(%(kinds)s::text[])
"""


def forget_the_stopped(profile_ids: Collection[int], kind: str, by: Actor) -> None:
    """Takes away what analyses said of people who object, or are under restriction; segments that ask for it are judged anew.

    Of all runs, also of one that waits to be read: it would say it again.
    """
    if kind in UNPROFILED:
        forget_scores_of(profile_ids=profile_ids, kinds=_kinds(), by=by, why=kind)


def forget_the_stopped_again(*, by: Actor) -> int:
    """Of how many who are stopped something was said all the same; it is forgotten."""
    with bound_cursor() as cursor:
        cursor.execute(SAID_OF_STOPPED, {"stops": sorted(UNPROFILED), "kinds": (kinds := _kinds())})
        people = [row[0] for row in cursor.fetchall()]
    return forget_scores_of(profile_ids=people, kinds=kinds, by=by, why="stopped")


def forget_who_withdrew(changed: Collection[tuple[int, int]]) -> None:
    """Takes away what analyses for a purpose said of those of these (profile id, purpose id) who don't permit it now.

    What comes in with events is found by `segments.clustering.assigning`, and by the next run.
    """
    by_purpose: dict[int, set[int]] = defaultdict(set)
    for profile_id, purpose_id in changed:
        by_purpose[purpose_id].add(profile_id)
    for purpose in Purpose.objects.filter(pk__in=by_purpose).exclude(key=PRIVACY_RIGHTS):
        if not (kinds := _kinds_for(purpose)):
            continue
        asked = by_purpose[purpose.pk]
        still = set(profiled(Profile.objects.filter(pk__in=asked), purpose).values_list("pk", flat=True))
        forget_scores_of(profile_ids=asked - still, kinds=kinds, by=SYSTEM, why=purpose.key)


def _kinds() -> list[str]:
    """The kinds of scores that there are of analyses."""
    named = Q(kind__in=(RFM, PERSONA)) | Q(kind__startswith=KIND_PREFIX)
    return list(ScoreRun.objects.filter(named).order_by().values_list("kind", flat=True).distinct())


def _kinds_for(purpose: Purpose) -> list[str]:
    """The kinds of scores of analyses that people are in for this purpose."""
    found = [one.kind for one in Clustering.objects.filter(purpose=purpose)]
    if RfmSettings.objects.filter(purpose=purpose).exists():
        found.append(RFM)
    return [*found, PERSONA] if purpose.key == INTERNAL_ANALYSIS else found

"""Whom an analysis may sort into groups.

What it counts of them is in `segments.features.counting`; that who may not be sorted any more is forgotten, in `.leaving`.
"""

from typing import Final

from django.db.models import Exists, OuterRef, QuerySet

from cdp.errors import Forbidden
from cdp.profiles.models import Profile
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

"""Halting what is done with one person's data: under restriction (GDPR Art. 18) nothing but answering them, after an objection
(Art. 21) no profiling, or nothing that rests on legitimate interests. A stop holds beside what the person decided.

What is decided for one purpose is no stop but a decision (`consent.services`).
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, NotFound
from cdp.profiles.models import Profile
from consent.models import ConsentStop, LawfulBasis, Purpose, StopKind
from consent.querysets import PRIVACY_RIGHTS
from consent.reliance import tell_of_decisions


def reached_by(kind: StopKind) -> Q:
    """Which purposes a stop of this kind reaches, as the view says it (`consent_stopped`)."""
    not_rights = ~Q(key=PRIVACY_RIGHTS)
    match kind:
        case StopKind.RESTRICTION:
            return not_rights
        case StopKind.PROFILING:
            return not_rights & Q(covers_profiling=True)
        case StopKind.LEGITIMATE_INTERESTS:
            bases = [LawfulBasis.LEGITIMATE_INTERESTS, LawfulBasis.PUBLIC_TASK]
            return not_rights & Q(lawful_basis__in=bases)


@transaction.atomic
def stop(*, profile: Profile, kind: StopKind, by: Actor, why: str = "") -> ConsentStop:
    """Holds from the next read on, and their segments follow at once. The one that holds already, if there is one.

    Raises:
        NotFound: the profile was merged away meanwhile.
    """
    _lock(profile)
    held, is_new = ConsentStop.objects.get_or_create(
        profile_id=profile.pk, kind=kind, lifted_at=None, defaults={"why": why[:100]}
    )
    if is_new:
        record(by=by, action="consent.stopped", object=profile, detail={"kind": kind, "why": why[:100]})
        _tell(profile.pk, kind)
    return held


@transaction.atomic
def lift(*, profile: Profile, kind: StopKind, by: Actor, why: str = "") -> None:
    """What the person had decided holds again.

    Raises:
        Conflict: no such stop holds.
        NotFound: the profile was merged away meanwhile.
    """
    _lock(profile)
    held = ConsentStop.objects.filter(profile_id=profile.pk, kind=kind, lifted_at=None)
    if not held.update(lifted_at=timezone.now()):
        raise Conflict("not_stopped", "This was lifted already, or never held.")
    record(by=by, action="consent.stop_lifted", object=profile, detail={"kind": kind, "why": why[:100]})
    _tell(profile.pk, kind)


def held_then(profile_id: int, *, at: datetime, known_at: datetime | None) -> set[int]:
    """Purposes that were stopped for this profile at the moment, counting what we knew by then. A stop is known as it begins."""
    held = ConsentStop.objects.filter(
        Q(lifted_at__isnull=True) | Q(lifted_at__gt=at), profile_id=profile_id, since__lte=at
    )
    if known_at is not None:
        held = held.filter(since__lte=known_at)
    kinds = {StopKind(kind) for kind in held.values_list("kind", flat=True)}
    return {pk for kind in kinds for pk in Purpose.objects.filter(reached_by(kind)).values_list("pk", flat=True)}


def carry_stops(follows: Mapping[int, int]) -> None:
    """Absorbed -> survivor: what halted either of two who prove to be one halts that one."""
    pairs = {"absorbed": list(follows), "survivors": list(follows.values())}
    with bound_cursor() as cursor:
        for statement in CARRY:
            cursor.execute(statement, pairs)


def share_stops(*, survivor_id: int, restored_id: int) -> None:
    """Of two who part again nobody can say whom it was meant for, so it goes on to hold for both."""
    with bound_cursor() as cursor:
        cursor.execute(
            "INSERT INTO consent_stop (profile_id, kind, since, why)"
            " SELECT %s, kind, since, why FROM consent_stop WHERE profile_id = %s AND lifted_at IS NULL"
            " ON CONFLICT DO NOTHING",
            [restored_id, survivor_id],
        )


def forget_stops(profile_ids: Collection[int]) -> None:
    """Takes them away with people who are erased, of whom nothing is left to stop."""
    ConsentStop.objects.filter(profile_id__in=list(profile_ids)).delete()


# Of several of one kind that of the earliest goes on. In two statements: rows are told apart one by one as they change.
CARRY = (
    """
    UPDATE consent_stop s SET lifted_at = greatest(now(), s.since)
      FROM (SELECT s.id, row_number() OVER (PARTITION BY coalesce(f.survivor, s.profile_id), s.kind ORDER BY s.since, s.id) AS place
              FROM consent_stop s
              LEFT JOIN unnest(%(absorbed)s::bigint[], %(survivors)s::bigint[]) AS f(absorbed, survivor)
                     ON f.absorbed = s.profile_id
             WHERE s.profile_id = ANY(%(absorbed)s::bigint[] || %(survivors)s::bigint[]) AND s.lifted_at IS NULL) AS ranked
     WHERE s.id = ranked.id AND ranked.place > 1
    """,
    """
    UPDATE consent_stop s SET profile_id = f.survivor
      FROM unnest(%(absorbed)s::bigint[], %(survivors)s::bigint[]) AS f(absorbed, survivor)
     WHERE s.profile_id = f.absorbed AND s.profile_id = ANY(%(absorbed)s::bigint[])
    """,
)


def _lock(profile: Profile) -> None:
    if not Profile.objects.select_for_update(no_key=True).filter(pk=profile.pk).exists():
        raise NotFound("profile_not_found", "This profile was merged into another one meanwhile.")


def _tell(profile_id: int, kind: StopKind) -> None:
    reached = Purpose.objects.filter(reached_by(kind)).values_list("pk", flat=True)
    tell_of_decisions({(profile_id, purpose_id) for purpose_id in reached})

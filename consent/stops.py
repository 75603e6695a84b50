"""Halting what is done with one person's data: under restriction (GDPR Art. 18) nothing but answering them, after an objection
(Art. 21) no profiling, or nothing that rests on legitimate interests. A stop holds beside what the person decided.

What is decided for one purpose is no stop but a decision (`consent.services`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record, record_all
from cdp.audit.verify import moment_text
from cdp.database import bound_cursor
from cdp.errors import Conflict, NotFound
from cdp.profiles.models import Profile
from consent.models import ConsentStop, Purpose, StopKind
from consent.querysets import stopped_by
from consent.reliance import tell_of_decisions, tell_of_stop

# How the audit log calls that one began, that it was lifted, and that it ended because its profile was merged away.
STOPPED, LIFTED, FOLLOWED = "consent.stopped", "consent.stop_lifted", "consent.stop_followed"


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
        record(by=by, action=STOPPED, object=profile, detail=_told(held.uuid, kind, held.since, why=held.why))
        tell_of_stop([profile.pk], kind, by=by)
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
    held = ConsentStop.objects.filter(profile_id=profile.pk, kind=kind, lifted_at=None).first()
    if held is None:
        raise Conflict("not_stopped", "This was lifted already, or never held.")
    held.lifted_at = max(timezone.now(), held.since)
    held.save(update_fields=["lifted_at"])
    record(
        by=by, action=LIFTED, object=profile, detail=_told(held.uuid, kind, held.since, held.lifted_at, why=why[:100])
    )
    _tell(profile.pk, kind)


def stops_then(profile_ids: Collection[int], *, at: datetime, known_at: datetime | None = None) -> list[ConsentStop]:
    """The stops that held for these profiles at the moment, by all we know; or by what we knew at another.

    A stop is known as it begins, and that it was lifted as it is.
    """
    goes_on = Q(lifted_at__isnull=True) | Q(lifted_at__gt=at)
    held = ConsentStop.objects.filter(profile_id__in=profile_ids, since__lte=at).order_by("since", "pk")
    if known_at is not None:
        held, goes_on = held.filter(since__lte=known_at), goes_on | Q(lifted_at__gt=known_at)
    return list(held.filter(goes_on))


def held_then(profile_id: int, *, at: datetime, known_at: datetime | None) -> set[int]:
    """The purposes that were stopped for this profile then, as they are set up today."""
    kinds = {held.kind for held in stops_then([profile_id], at=at, known_at=known_at)}
    return {purpose.pk for purpose in Purpose.objects.all() if kinds & stopped_by(purpose)} if kinds else set()


def carry_stops(follows: Mapping[int, int], *, gone: Mapping[int, UUID], by: Actor) -> None:
    """What halted either of two who prove to be one halts that one, from now on; until now it was each one's own.

    Args:
        follows: absorbed -> survivor.
        gone: the public ids of the absorbed.
    """
    with bound_cursor() as cursor:
        cursor.execute(CARRY, {"absorbed": list(follows), "survivors": list(follows.values())})
        moved = cursor.fetchall()
    _tell_of_moves(moved, gone=gone, by=by)


def share_stops(*, survivor_id: int, restored_id: int, by: Actor) -> None:
    """Of two who part again nobody can say whom it was meant for, so it goes on to hold for both."""
    with bound_cursor() as cursor:
        cursor.execute(SHARE, {"survivor": survivor_id, "restored": restored_id})
        moved = cursor.fetchall()
    _tell_of_moves(moved, gone={}, by=by)


def forget_reasons(profile_ids: Collection[int]) -> None:
    """Of people who are erased it stays on record from when till when what was halted for a number, as their decisions do: it proves
    what had to be left alone. Why, which leads to their request, is gone."""
    ConsentStop.objects.filter(profile_id__in=list(profile_ids)).update(why="")


# Each row says for whom and from when till when, so what held for either of two before they became one stays what it was.
CARRY: Final = """
    WITH ended AS (
        UPDATE consent_stop s SET lifted_at = greatest(clock_timestamp(), s.since)
          FROM unnest(%(absorbed)s::bigint[], %(survivors)s::bigint[]) AS f(absorbed, survivor)
         WHERE s.profile_id = f.absorbed AND s.profile_id = ANY(%(absorbed)s::bigint[]) AND s.lifted_at IS NULL
        RETURNING s.uuid, s.profile_id, f.survivor, s.kind, s.since, s.lifted_at, s.why
    ), begun AS (
        INSERT INTO consent_stop (profile_id, kind, since, why)
        SELECT DISTINCT ON (survivor, kind) survivor, kind, lifted_at, why FROM ended ORDER BY survivor, kind, since, uuid
        ON CONFLICT DO NOTHING
        RETURNING uuid, profile_id, kind, since, why
    )
    SELECT uuid, profile_id, kind, since, lifted_at, why FROM ended
     UNION ALL SELECT uuid, profile_id, kind, since, NULL, why FROM begun
"""
SHARE: Final = """
    INSERT INTO consent_stop (profile_id, kind, since, why)
    SELECT %(restored)s, kind, greatest(clock_timestamp(), since), why FROM consent_stop
     WHERE profile_id = %(survivor)s AND lifted_at IS NULL
    ON CONFLICT DO NOTHING
    RETURNING uuid, profile_id, kind, since, lifted_at, why
"""


def _told(uuid: UUID, kind: str, since: datetime, lifted_at: datetime | None = None, *, why: str) -> dict[str, str]:
    """A stop as its audit entry tells of it: all that proves, years later, for whom and when it held."""
    said = {"stop": str(uuid), "kind": str(kind), "since": moment_text(since), "why": why}
    return said | ({"lifted_at": moment_text(lifted_at)} if lifted_at else {})


def _tell_of_moves(moved: Sequence[tuple[Any, ...]], *, gone: Mapping[int, UUID], by: Actor) -> None:
    """Tells of stops that ended with a profile that was merged away, and of those that began in their place."""
    if not moved:
        return
    people = dict(gone) | dict(Profile.objects.filter(pk__in={row[1] for row in moved}).values_list("pk", "uuid"))
    record_all(
        by=by,
        acts=[
            Act(
                FOLLOWED if lifted_at else STOPPED,
                "profiles.profile",
                str(people[profile_id]),
                detail=_told(uuid, kind, since, lifted_at, why=why),
            )
            for uuid, profile_id, kind, since, lifted_at, why in moved
        ],
    )
    begun: dict[str, set[int]] = defaultdict(set)
    for _, profile_id, kind, _, lifted_at, _ in moved:
        if lifted_at is None:
            begun[kind].add(profile_id)
    for kind, profile_ids in begun.items():
        tell_of_stop(profile_ids, kind, by=by)


def _lock(profile: Profile) -> None:
    if not Profile.objects.select_for_update(no_key=True).filter(pk=profile.pk).exists():
        raise NotFound("profile_not_found", "This profile was merged into another one meanwhile.")


def _tell(profile_id: int, kind: StopKind) -> None:
    tell_of_decisions({(profile_id, one.pk) for one in Purpose.objects.all() if kind in stopped_by(one)})

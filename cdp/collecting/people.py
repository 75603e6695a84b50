"""Whom decisions are about: found by their identifiers, made where that is asked for, and locked until the transaction ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.identity.normalise import Identifier, Unusable, normalise
from cdp.identity.resolve import Claim
from cdp.identity.services import MovedMeanwhileError, Sighting, resolve_people
from cdp.profiles import store
from cdp.profiles.models import DirtyProfile
from segments.list_people import PUBLIC_ID, who_is


@dataclass(frozen=True, slots=True)
class People:
    """Profile by identifier, written as namespace:value; None where nobody is known by it. ``made`` were not known before."""

    by_name: Mapping[str, int | None]
    made: frozenset[int] = frozenset()


def locked(names: Sequence[str], *, create: bool, now: datetime, by: Actor) -> People:
    """Runs inside the caller's transaction, which locks nobody more.

    Args:
        create: make a profile for each identifier by which nobody is known. Who was erased and is kept from coming back, isn't
            made, and can't be told from somebody unknown.
    """
    while True:
        try:
            with transaction.atomic():
                return _locked(names, create=create, now=now, by=by)
        except MovedMeanwhileError:
            continue


def _locked(names: Sequence[str], *, create: bool, now: datetime, by: Actor) -> People:
    found = who_is(names)
    made: dict[str, int] = {}
    if create and (missing := [name for name, profile_id in found.items() if profile_id is None]):
        made = _made(missing, now)
    known = sorted({profile_id for profile_id in found.values() if profile_id is not None})
    # Those just made are nobody else's to lock yet.
    if len(store.lock_profiles(known)) < len(known) or who_is(names) != {**found, **made}:
        raise MovedMeanwhileError
    if made:
        new = sorted(set(made.values()))
        DirtyProfile.objects.bulk_create(DirtyProfile(profile_id=one, facts={"why": "edit"}) for one in new)
        record(by=by, action="profiles.made", detail={"count": len(new), "for": "consent"})
    return People({**found, **made}, frozenset(made.values()))


def _made(names: Sequence[str], now: datetime) -> dict[str, int]:
    """Name -> the profile made for it.

    Raises:
        MovedMeanwhileError: somebody else has made one of them by now.
    """
    identifiers = {name: one for name in names if (one := _identifier(name)) is not None}
    if not identifiers:
        return {}
    people = resolve_people(
        sightings=[Sighting(Claim((one,), is_trusted=True), now, None) for one in identifiers.values()], by=MAKER
    )
    kept = [name for number, name in enumerate(identifiers) if number not in people.dropped]
    made = dict(zip(kept, people.profile_ids, strict=True))
    if not people.new.issuperset(made.values()):
        raise MovedMeanwhileError
    return made


# Resolving names who merges people; alone, an identifier merges nobody.
MAKER = Actor.system("consent")


def _identifier(name: str) -> Identifier | None:
    namespace, _, value = name.partition(":")
    if namespace == PUBLIC_ID:
        return None
    try:
        return normalise(namespace, value)
    except Unusable:
        return None

"""Carrying out what `cdp.identity.resolve` decides: identifiers, new profiles, and the merges it asks for.

Order of locks, here and everywhere: messages seen, identifiers, profiles by id. Nobody who holds a later one waits
for an earlier one, so consumers can't deadlock.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.database import bound_cursor
from cdp.identity.merging import Absorption, absorb
from cdp.identity.models import Merge
from cdp.identity.normalise import Identifier
from cdp.identity.resolve import Claim, MergeDecision, Resolution, must_wait, possible, resolve
from cdp.identity.suppression import sift
from cdp.profiles import store
from cdp.profiles.ids import uuid7

HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Sighting:
    """A claim with the moment it was made and the source that made it."""

    claim: Claim
    at: datetime
    source_id: int | None


@dataclass(slots=True)
class Resolved:
    """Who each sighting is about, by row; every profile in it is locked until the transaction ends.

    ``waiting`` numbers the sightings that were left out: they are to be told after what these say has been written. The rows are
    of the sightings that are neither among these nor ``dropped``.
    """

    profile_ids: list[int]
    identifier_ids: list[int]
    flags: list[list[str]]
    new: set[int]
    merges: list[Merge]
    waiting: set[int]
    # Sightings of nobody but people who were erased; and of the others, by number, which identifiers were left out.
    dropped: set[int] = field(default_factory=set)
    silenced: dict[int, set[Identifier]] = field(default_factory=dict)


class MovedMeanwhileError(Exception):
    """Another consumer linked or merged what this one had read; reading again will see it."""


def resolve_people(*, sightings: Sequence[Sighting], by: Actor) -> Resolved:
    """Finds, makes and merges the profiles of a batch, and locks them in id order. Runs inside the caller's transaction.

    Those of sightings that must wait are locked too, so that the order of locks holds when their turn comes.
    """
    while True:
        try:
            with transaction.atomic():
                return _resolve_once(sightings, by)
        except MovedMeanwhileError:
            continue


def _resolve_once(sightings: Sequence[Sighting], by: Actor) -> Resolved:
    wanted = sorted({i for s in sightings for i in possible(s.claim.identifiers)})
    known = _read(wanted)
    locked = _lock({found.profile_id for found in known.values()})
    if len(locked) < len({found.profile_id for found in known.values()}) or _moved(known):
        raise MovedMeanwhileError  # merged or parted while we waited for the locks
    # Only now: whoever was erased while we waited for the locks is suppressed by this moment.
    sifted = sift([s.claim for s in sightings], known=known)
    if sifted.dropped or sifted.silenced:
        told = zip(sifted.numbers, sifted.claims, strict=True)
        sightings = [replace(sightings[number], claim=claim) for number, claim in told]
    claims = sifted.claims
    owners = {identifier: found.profile_id for identifier, found in known.items()}
    held = _held(_contested(sightings, known))
    out = resolve(claims, known=owners, held=held)
    apart: set[frozenset[int]] = set()
    if out.merges and (apart := _apart(locked.keys())):
        out = resolve(claims, known=owners, held=held, apart=apart)
    waiting: set[int] = set()
    if out.joins and any(claim.decides for claim in claims) and (waiting := must_wait(out, claims)):
        sightings = [sighting for number, sighting in enumerate(sightings) if number not in waiting]
        out = resolve([s.claim for s in sightings], known=owners, held=held, apart=apart)
    seen = _seen(sightings, out)
    profile_of = _make_profiles(out, seen, locked)
    new = {profile_of[n] for n in profile_of if out.nodes[n].profile_id is None}
    identifier_ids = {identifier: found.id for identifier, found in known.items()}
    identifier_ids |= _link(out, profile_of, sightings)
    merges = absorb([_absorption(out, decision, sightings[decision.claim]) for decision in out.merges], by=by)
    _touch_identifiers(sightings, known)
    return Resolved(
        profile_ids=[profile_of[out.root(node)] for node in out.person],
        identifier_ids=[identifier_ids[origin] for origin in out.origin],
        flags=out.flags,
        new=new,
        merges=merges,
        waiting={sifted.numbers[number] for number in waiting},
        dropped=sifted.dropped,
        silenced=sifted.silenced,
    )


class Found(NamedTuple):
    """An identifier's row."""

    id: int
    profile_id: int
    last_seen: int


Moments = tuple[datetime, datetime]
# First (rounded up) and last (rounded down) in seconds since 1970: whole numbers, since thousands are read in a batch and
# a moment takes the driver ten times as long. What they let through is compared exactly where it is written.
Seconds = tuple[int, int]


def _read(wanted: Sequence[Identifier]) -> dict[Identifier, Found]:
    """The rows of those that are known. One look-up per namespace: joined to a list, the planner may read everybody's."""
    known: dict[Identifier, Found] = {}
    with bound_cursor() as cursor:
        for namespace, group in groupby(wanted, key=attrgetter("namespace")):
            cursor.execute(
                "SELECT value, id, profile_id, floor(extract(epoch FROM last_seen_at))::bigint FROM profiles_identifier"
                " WHERE namespace = %s AND value = ANY(%s::text[])",
                [namespace, [identifier.value for identifier in group]],
            )
            known |= {Identifier(namespace, value): Found(*found) for value, *found in cursor.fetchall()}
    return known


def _moved(known: dict[Identifier, Found]) -> bool:
    """Whether one of the identifiers belongs to somebody else by now."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id, profile_id FROM profiles_identifier WHERE id = ANY(%s::bigint[])",
            [[found.id for found in known.values()]],
        )
        now = dict(cursor.fetchall())
    return any(now.get(found.id) != found.profile_id for found in known.values())


def _lock(profile_ids: set[int]) -> dict[int, Seconds]:
    """When the profiles were seen first and last; those that still exist, locked."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id, ceil(extract(epoch FROM first_seen_at))::bigint, floor(extract(epoch FROM last_seen_at))::bigint"
            "  FROM profiles_profile WHERE id = ANY(%s::bigint[])"
            " ORDER BY id FOR NO KEY UPDATE",
            [sorted(profile_ids)],
        )
        return {profile_id: (first, last) for profile_id, first, last in cursor.fetchall()}


def _contested(sightings: Sequence[Sighting], known: dict[Identifier, Found]) -> set[int]:
    """Profiles that may gain an identifier or a merge: only of these it matters how many they hold."""
    contested: set[int] = set()
    for sighting in sightings:
        owners = {known[i].profile_id if i in known else None for i in possible(sighting.claim.identifiers)}
        if len(owners) > 1:
            contested |= {owner for owner in owners if owner is not None}
    return contested


def _held(profile_ids: set[int]) -> dict[int, dict[str, int]]:
    held: dict[int, dict[str, int]] = defaultdict(dict)
    if profile_ids:
        with bound_cursor() as cursor:
            cursor.execute(
                "SELECT profile_id, namespace, count(*) FROM profiles_identifier WHERE profile_id = ANY(%s) GROUP BY 1, 2",
                [sorted(profile_ids)],
            )
            for profile_id, namespace, count in cursor.fetchall():
                held[profile_id][namespace] = count
    return held


def _apart(profile_ids: Collection[int]) -> set[frozenset[int]]:
    """Pairs whose merge somebody undid: what was wrong once is not done again by a machine.

    A profile stands for all that it has absorbed, so that the two don't come together by way of a third either.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE inside(root, id) AS (
                SELECT id, id FROM unnest(%s::bigint[]) AS g(id)
                UNION ALL
                SELECT i.root, m.absorbed_id FROM inside i
                  JOIN identity_merge m ON m.survivor_id = i.id AND m.undone_at IS NULL
            )
            SELECT DISTINCT one.root, other.root FROM identity_merge u
              JOIN inside one ON one.id = u.survivor_id
              JOIN inside other ON other.id = u.absorbed_id
             WHERE u.undone_at IS NOT NULL AND one.root <> other.root
            """,
            [sorted(profile_ids)],
        )
        return {frozenset(pair) for pair in cursor.fetchall()}


def _seen(sightings: Sequence[Sighting], out: Resolution) -> dict[int, Moments]:
    """First and last moment per root node."""
    seen: dict[int, Moments] = {}
    for sighting, node in zip(sightings, out.person, strict=True):
        root = out.root(node)
        first, last = seen.get(root, (sighting.at, sighting.at))
        seen[root] = min(first, sighting.at), max(last, sighting.at)
    return seen


def _widens(first: datetime, last: datetime, known: Seconds) -> bool:
    return first.timestamp() < known[0] or last.timestamp() > known[1]


def _make_profiles(out: Resolution, seen: dict[int, Moments], locked: dict[int, Seconds]) -> dict[int, int]:
    """Node -> profile id, for every root; new profiles made in one statement, known ones' moments widened."""
    profile_of = {n: node.profile_id for n, node in enumerate(out.nodes) if node.profile_id is not None}
    store.touch_profiles(
        {
            profile_of[n]: (first, last)
            for n, (first, last) in seen.items()
            if n in profile_of and _widens(first, last, locked[profile_of[n]])
        }
    )
    new = [n for n in seen if n not in profile_of]
    if new:
        uuids = [uuid7() for _ in new]
        with bound_cursor() as cursor:
            cursor.execute(
                "INSERT INTO profiles_profile (uuid, traits, first_seen_at, last_seen_at, created_at)"
                " SELECT uuid, '{}', first, last, now() FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[])"
                "   AS g(uuid, first, last) RETURNING uuid, id",
                [uuids, [seen[n][0] for n in new], [seen[n][1] for n in new]],
            )
            made: dict[UUID, int] = dict(cursor.fetchall())
        profile_of |= {n: made[uuid] for n, uuid in zip(new, uuids, strict=True)}
    return profile_of


def _link(out: Resolution, profile_of: dict[int, int], sightings: Sequence[Sighting]) -> dict[Identifier, int]:
    """Ids of the identifiers just linked.

    Raises:
        MovedMeanwhileError: another consumer linked one of them first.
    """
    if not out.links:
        return {}
    first: dict[Identifier, Sighting] = {}
    for sighting in sightings:
        for identifier in possible(sighting.claim.identifiers):
            if identifier in out.links and (identifier not in first or sighting.at < first[identifier].at):
                first[identifier] = sighting
    links = sorted(out.links)
    with bound_cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO profiles_identifier (namespace, value, profile_id, first_seen_at, last_seen_at, source_id)
            SELECT namespace, value, profile_id, at, at, source_id
              FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::int[])
                   AS g(namespace, value, profile_id, at, source_id)
            ON CONFLICT (namespace, value) DO NOTHING RETURNING namespace, value, id
            """,
            [
                [i.namespace for i in links],
                [i.value for i in links],
                [profile_of[out.links[i]] for i in links],
                [first[i].at for i in links],
                [first[i].source_id for i in links],
            ],
        )
        made = {Identifier(namespace, value): identifier_id for namespace, value, identifier_id in cursor.fetchall()}
    if len(made) < len(links):
        raise MovedMeanwhileError
    return made


def _touch_identifiers(sightings: Sequence[Sighting], known: dict[Identifier, Found]) -> None:
    """Moves last seen on, to the hour: a row version per event would cost more than the knowledge is worth."""
    last: dict[int, datetime] = {}
    for sighting in sightings:
        for identifier in sighting.claim.identifiers:
            found = known.get(identifier)
            if found is None or sighting.at.timestamp() - found.last_seen < HOUR_SECONDS:
                continue
            if found.id not in last or sighting.at > last[found.id]:
                last[found.id] = sighting.at
    if not last:
        return
    ids = sorted(last)
    with bound_cursor() as cursor:
        cursor.execute(
            "UPDATE profiles_identifier i SET last_seen_at = greatest(i.last_seen_at, g.at)"
            "  FROM unnest(%s::bigint[], %s::timestamptz[]) AS g(id, at) WHERE i.id = g.id",
            [ids, [last[i] for i in ids]],
        )


def _absorption(out: Resolution, decision: MergeDecision, sighting: Sighting) -> Absorption:
    survivor, absorbed = out.nodes[decision.survivor].profile_id, out.nodes[decision.absorbed].profile_id
    if survivor is None or absorbed is None:
        raise ValueError("only profiles that exist are merged; a new one is simply linked")
    return Absorption(survivor, absorbed, decision.reason, sighting.source_id)

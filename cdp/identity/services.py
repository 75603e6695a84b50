"""Carrying out what `cdp.identity.resolve` decides: identifiers, new profiles, merges and their undoing.

Order of locks, here and everywhere: messages seen, identifiers, profiles by id. Nobody who holds a later one waits
for an earlier one, so consumers can't deadlock.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, NotFound
from cdp.identity.models import Merge
from cdp.identity.normalise import ANONYMOUS_ID, USER_ID, Identifier
from cdp.identity.resolve import Claim, MergeDecision, Resolution, resolve
from cdp.profiles import store
from cdp.profiles.ids import uuid7
from cdp.profiles.models import DirtyProfile, Profile
from consent.services import part_consent, reconcile_consent

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A claim with the moment it was made and the source that made it."""

    claim: Claim
    at: datetime
    source_id: int


@dataclass(slots=True)
class Resolved:
    """Who each sighting is about, by row; every profile in it is locked until the transaction ends."""

    profile_ids: list[int]
    identifier_ids: list[int]
    flags: list[list[str]]
    new: set[int]
    merges: list[Merge]


class MovedMeanwhileError(Exception):
    """Another consumer linked or merged what this one had read; reading again will see it."""


def resolve_people(*, sightings: Sequence[Sighting], by: Actor) -> Resolved:
    """Finds, makes and merges the profiles of a batch, and locks them in id order. Runs inside the caller's transaction."""
    while True:
        try:
            with transaction.atomic():
                return _resolve_once(sightings, by)
        except MovedMeanwhileError:
            continue


def _resolve_once(sightings: Sequence[Sighting], by: Actor) -> Resolved:
    wanted = sorted({i for s in sightings for i in _possible(s.claim.identifiers)})
    known = _read(wanted)
    locked = _lock({found.profile_id for found in known.values()})
    if len(locked) < len({found.profile_id for found in known.values()}) or _moved(known):
        raise MovedMeanwhileError  # merged or parted while we waited for the locks
    claims = [s.claim for s in sightings]
    owners = {identifier: found.profile_id for identifier, found in known.items()}
    held = _held(_contested(sightings, known))
    out = resolve(claims, known=owners, held=held)
    if out.merges and (apart := _apart(locked.keys())):
        out = resolve(claims, known=owners, held=held, apart=apart)
    seen = _seen(sightings, out)
    profile_of = _make_profiles(out, seen, locked)
    new = {profile_of[n] for n in profile_of if out.nodes[n].profile_id is None}
    identifier_ids = {identifier: found.id for identifier, found in known.items()}
    identifier_ids |= _link(out, profile_of, sightings)
    merges = [_carry_out(out, decision, sightings[decision.claim], by) for decision in out.merges]
    _touch_identifiers(sightings, known)
    return Resolved(
        profile_ids=[profile_of[out.root(node)] for node in out.person],
        identifier_ids=[identifier_ids[origin] for origin in out.origin],
        flags=out.flags,
        new=new,
        merges=merges,
    )


def _possible(identifiers: Sequence[Identifier]) -> list[Identifier]:
    """An alias's previous id may stand in either namespace; both are looked up."""
    return [
        actual
        for i in identifiers
        for actual in (
            (Identifier(USER_ID, i.value), Identifier(ANONYMOUS_ID, i.value)) if i.namespace == "previous_id" else (i,)
        )
    ]


class Found(NamedTuple):
    """An identifier's row."""

    id: int
    profile_id: int
    last_seen_at: datetime


Moments = tuple[datetime, datetime]


def _read(wanted: Sequence[Identifier]) -> dict[Identifier, Found]:
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT i.namespace, i.value, i.id, i.profile_id, i.last_seen_at FROM profiles_identifier i"
            "  JOIN unnest(%s::text[], %s::text[]) AS w(namespace, value) ON i.namespace = w.namespace AND i.value = w.value",
            [[i.namespace for i in wanted], [i.value for i in wanted]],
        )
        return {Identifier(namespace, value): Found(*found) for namespace, value, *found in cursor.fetchall()}


def _moved(known: dict[Identifier, Found]) -> bool:
    """Whether one of the identifiers belongs to somebody else by now."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM unnest(%s::bigint[], %s::bigint[]) AS g(id, profile_id)"
            "  LEFT JOIN profiles_identifier i ON i.id = g.id WHERE i.profile_id IS DISTINCT FROM g.profile_id)",
            [[found.id for found in known.values()], [found.profile_id for found in known.values()]],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def _lock(profile_ids: set[int]) -> dict[int, Moments]:
    """When the profiles were seen first and last; those that still exist, locked."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id, first_seen_at, last_seen_at FROM profiles_profile WHERE id = ANY(%s::bigint[])"
            " ORDER BY id FOR NO KEY UPDATE",
            [sorted(profile_ids)],
        )
        return {profile_id: (first, last) for profile_id, first, last in cursor.fetchall()}


def _contested(sightings: Sequence[Sighting], known: dict[Identifier, Found]) -> set[int]:
    """Profiles that may gain an identifier or a merge: only of these it matters how many they hold."""
    contested: set[int] = set()
    for sighting in sightings:
        owners = {known[i].profile_id if i in known else None for i in _possible(sighting.claim.identifiers)}
        if len(owners) > 1:
            contested |= {owner for owner in owners if owner is not None}
    return contested


def lock_profiles(profile_ids: Sequence[int]) -> list[int]:
    """Those of the profiles that exist, locked in id order until the transaction ends."""
    if not profile_ids:
        return []
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id FROM profiles_profile WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [list(profile_ids)]
        )
        return [row[0] for row in cursor.fetchall()]


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


def _make_profiles(out: Resolution, seen: dict[int, Moments], locked: dict[int, Moments]) -> dict[int, int]:
    """Node -> profile id, for every root; new profiles made in one statement, known ones' moments widened."""
    profile_of = {n: node.profile_id for n, node in enumerate(out.nodes) if node.profile_id is not None}
    store.touch_profiles(
        {
            profile_of[n]: (first, last)
            for n, (first, last) in seen.items()
            if n in profile_of and (first < locked[profile_of[n]][0] or last > locked[profile_of[n]][1])
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
        for identifier in _possible(sighting.claim.identifiers):
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
            if (
                found is not None
                and sighting.at - found.last_seen_at > HOUR
                and sighting.at > last.get(found.id, found.last_seen_at)
            ):
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


def _carry_out(out: Resolution, decision: MergeDecision, sighting: Sighting, by: Actor) -> Merge:
    survivor, absorbed = out.nodes[decision.survivor].profile_id, out.nodes[decision.absorbed].profile_id
    if survivor is None or absorbed is None:
        raise ValueError("only profiles that exist are merged; a new one is simply linked")
    return _merge(survivor, absorbed, reason=decision.reason, source_id=sighting.source_id, by=by)


@transaction.atomic
def merge_profiles(*, survivor: Profile, absorbed: Profile, reason: str, by: Actor) -> Merge:
    """The ledger's entry of the merge; the survivor is evaluated anew soon after.

    Raises:
        Conflict: they are the same, or one of them was merged away meanwhile.
    """
    if survivor.pk == absorbed.pk or len(lock_profiles(sorted([survivor.pk, absorbed.pk]))) < 2:
        raise Conflict("not_two_profiles", "A merge needs two different profiles that both still exist.")
    merge = _merge(survivor.pk, absorbed.pk, reason=reason, source_id=None, by=by)
    DirtyProfile.objects.create(profile_id=survivor.pk, facts={"why": "merge"})
    DirtyProfile.objects.create(profile_id=absorbed.pk, facts={"why": "merge", "absorbed_uuid": str(absorbed.uuid)})
    return merge


def _merge(survivor: int, absorbed: int, *, reason: str, source_id: int | None, by: Actor) -> Merge:
    """Both are locked. Everything of the absorbed follows to the survivor; its segments are left to the evaluator."""
    gone = Profile.objects.get(pk=absorbed)
    pair = {"survivor": survivor, "absorbed": absorbed}
    with bound_cursor() as cursor:
        cursor.execute(
            "UPDATE profiles_identifier SET profile_id = %(survivor)s WHERE profile_id = %(absorbed)s RETURNING id",
            pair,
        )
        identifier_ids = sorted(row[0] for row in cursor.fetchall())
        cursor.execute("UPDATE profiles_event SET profile_id = %(survivor)s WHERE profile_id = %(absorbed)s", pair)
        for statement in MOVE_NEWEST:
            cursor.execute(statement, pair)
        # By the database's clock, which also says when a consent was recorded: before the merge or after.
        cursor.execute("SELECT clock_timestamp()")
        merged_at: datetime = cursor.fetchall()[0][0]
    reconcile_consent(survivor_id=survivor, absorbed_id=absorbed)
    store.rebuild_totals([survivor, absorbed])
    store.rebuild_read_model([survivor])
    store.touch_profiles({survivor: (gone.first_seen_at, gone.last_seen_at)})
    merge = Merge.objects.create(
        survivor_id=survivor,
        absorbed_id=absorbed,
        absorbed_uuid=gone.uuid,
        absorbed_first_seen_at=gone.first_seen_at,
        absorbed_last_seen_at=gone.last_seen_at,
        absorbed_created_at=gone.created_at,
        identifier_ids=identifier_ids,
        reason=reason[:200],
        source_id=source_id,
        merged_at=merged_at,
        merged_by=by.label[:150],
    )
    record(by=by, action="profile.merged", object=merge, detail={"absorbed": str(gone.uuid), "reason": reason})
    with bound_cursor() as cursor:
        # Not through the ORM, whose cascade would take memberships along before the evaluator has announced their end.
        cursor.execute("DELETE FROM profiles_profile WHERE id = %(absorbed)s", pair)
    return merge


# Newest wins per trait, as if all had been said of one person from the start.
MOVE_NEWEST = [
    statement.format(table=table)
    for table in ("profiles_traitvalue", "profiles_traitremoval")
    for statement in (
        """
        DELETE FROM {table} s USING {table} a
         WHERE s.profile_id = %(survivor)s AND a.profile_id = %(absorbed)s AND a.trait_id = s.trait_id
           AND (a.occurred_at, a.message_id COLLATE "C") > (s.occurred_at, s.message_id COLLATE "C")
        """,
        """
        DELETE FROM {table} a USING {table} s
         WHERE a.profile_id = %(absorbed)s AND s.profile_id = %(survivor)s AND a.trait_id = s.trait_id
        """,
        "UPDATE {table} SET profile_id = %(survivor)s WHERE profile_id = %(absorbed)s",
    )
] + [
    """
    DELETE FROM profiles_traitvalue v USING profiles_traitremoval r
     WHERE v.profile_id = %(survivor)s AND r.profile_id = v.profile_id AND r.trait_id = v.trait_id
       AND (r.occurred_at, r.message_id COLLATE "C") > (v.occurred_at, v.message_id COLLATE "C")
    """
]


@transaction.atomic
def undo_merge(*, merge: Merge, by: Actor) -> Profile:
    """The absorbed profile, back with the identifiers it brought and the events that came by them.

    What was said of both at once stays with the survivor. The two won't be merged again by themselves. Of consent
    both keep the stricter answer until it is renewed.

    Raises:
        Conflict: it was undone before, or the survivor was itself absorbed later (undo that one first).
    """
    merge = Merge.objects.select_for_update().get(pk=merge.pk)
    if merge.undone_at is not None:
        raise Conflict("merge_undone", "This merge has been undone already.")
    if not lock_profiles([merge.survivor_id]):
        raise Conflict(
            "survivor_absorbed", "The surviving profile was merged into another one later; undo that merge first."
        )
    restored = Profile(
        pk=merge.absorbed_id,
        uuid=merge.absorbed_uuid,
        first_seen_at=merge.absorbed_first_seen_at,
        last_seen_at=merge.absorbed_last_seen_at,
        created_at=merge.absorbed_created_at,
    )
    restored.save(force_insert=True)
    back = {"survivor": merge.survivor_id, "absorbed": merge.absorbed_id, "identifiers": merge.identifier_ids}
    with bound_cursor() as cursor:
        cursor.execute(
            "UPDATE profiles_identifier SET profile_id = %(absorbed)s"
            " WHERE id = ANY(%(identifiers)s) AND profile_id = %(survivor)s",
            back,
        )
        cursor.execute(
            "UPDATE profiles_event SET profile_id = %(absorbed)s"
            " WHERE profile_id = %(survivor)s AND identifier_id = ANY(%(identifiers)s)",
            back,
        )
    both = [merge.survivor_id, merge.absorbed_id]
    store.rebuild_totals(both)
    store.rebuild_traits(both)
    store.rebuild_moments(both)
    part_consent(survivor_id=merge.survivor_id, restored_id=merge.absorbed_id, merged_at=merge.merged_at)
    merge.undone_at, merge.undone_by = timezone.now(), by.label[:150]
    merge.save(update_fields=["undone_at", "undone_by"])
    for profile_id in both:
        DirtyProfile.objects.create(profile_id=profile_id, facts={"why": "unmerge"})
    record(by=by, action="profile.unmerged", object=merge, detail={"restored": str(merge.absorbed_uuid)})
    return restored


def survivor_of(uuid: UUID) -> Profile:
    """The profile that answers to this uuid: itself, or whoever absorbed it, however long ago.

    Raises:
        NotFound: nobody ever had it.
    """
    followed: set[UUID] = set()
    while uuid not in followed:
        followed.add(uuid)
        profile = Profile.objects.filter(uuid=uuid).first()
        if profile:
            return profile
        merge = Merge.objects.filter(absorbed_uuid=uuid, undone_at__isnull=True).first()
        if merge is None:
            break
        later = Merge.objects.filter(absorbed_id=merge.survivor_id, undone_at__isnull=True).first()
        survivor = Profile.objects.filter(pk=merge.survivor_id).first()
        if survivor:
            return survivor
        if later is None:
            break
        uuid = later.absorbed_uuid
    raise NotFound("profile_not_found", "Nobody is known by this id.")

"""Two profiles become one, and part again: the ledger, what follows to the survivor, and the way back.

Which profiles a message proves to be one is decided in `cdp.identity.resolve`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record, record_all
from cdp.database import bound_cursor
from cdp.errors import Conflict, NotFound
from cdp.identity.models import Merge
from cdp.profiles import rates, session_store, settling, store, totals
from cdp.profiles.models import DirtyProfile, Identifier, Profile
from consent.merging import reconcile_consents
from consent.parting import part_consent
from consent.stops import carry_stops, share_stops


@transaction.atomic
def merge_profiles(*, survivor: Profile, absorbed: Profile, reason: str, by: Actor) -> Merge:
    """The ledger's entry of the merge; the survivor is evaluated anew soon after.

    Raises:
        Conflict: they are the same, or one of them was merged away meanwhile.
    """
    if survivor.pk == absorbed.pk or len(store.lock_profiles(sorted([survivor.pk, absorbed.pk]))) < 2:
        raise Conflict("not_two_profiles", "A merge needs two different profiles that both still exist.")
    [merge] = absorb([Absorption(survivor.pk, absorbed.pk, reason)], by=by)
    DirtyProfile.objects.create(profile_id=survivor.pk, facts={"why": "merge"})
    DirtyProfile.objects.create(profile_id=absorbed.pk, facts={"why": "merge", "absorbed_uuid": str(absorbed.uuid)})
    return merge


@dataclass(frozen=True, slots=True)
class Absorption:
    """One profile is to follow into another, and why."""

    survivor: int
    absorbed: int
    reason: str
    source_id: int | None = None


def absorb(absorptions: Sequence[Absorption], *, by: Actor) -> list[Merge]:
    """The ledger's entries. All profiles are locked; a survivor may be absorbed by a later one, never by an earlier.

    Everything of the absorbed follows to whoever survives in the end, in one statement for all of them; their segments
    are left to the evaluator.
    """
    if not absorptions:
        return []
    follows = _ends_with(absorptions)
    gone = Profile.objects.in_bulk(list(follows))
    orders = {(follows[profile_id], order_key) for profile_id, order_key in settling.orders_of(follows)}
    brought = _brought(absorptions)
    everybody = {**follows, **{survivor: survivor for survivor in follows.values()}}
    arguments = {
        "absorbed": list(follows),
        "survivors": list(follows.values()),
        "all": list(everybody),
        "ends": list(everybody.values()),
    }
    with bound_cursor() as cursor:
        for statement in FOLLOW:
            cursor.execute(statement, arguments)
        # By the database's clock, which also says when a consent was recorded: before the merge or after.
        cursor.execute("SELECT clock_timestamp()")
        merged_at: datetime = cursor.fetchall()[0][0]
    reconcile_consents(
        pairs=[(one.survivor, one.absorbed) for one in absorptions],
        gone={pk: profile.uuid for pk, profile in gone.items()},
        by=by,
    )
    carry_stops(follows, gone={pk: profile.uuid for pk, profile in gone.items()}, by=by)
    totals.add_totals_of(absorbed=list(follows), survivors=list(follows.values()))
    # One order may have been told of both.
    settling.settle_orders(orders, convert=rates.Converter())
    session_store.join_sessions(follows)
    store.rebuild_read_model(sorted(set(follows.values())))
    store.touch_profiles(_moments(follows, gone))
    merges = Merge.objects.bulk_create(
        Merge(
            survivor_id=one.survivor,
            absorbed_id=one.absorbed,
            absorbed_uuid=gone[one.absorbed].uuid,
            absorbed_first_seen_at=gone[one.absorbed].first_seen_at,
            absorbed_last_seen_at=gone[one.absorbed].last_seen_at,
            absorbed_created_at=gone[one.absorbed].created_at,
            identifier_ids=brought[one.absorbed],
            reason=one.reason[:200],
            source_id=one.source_id,
            merged_at=merged_at,
            merged_by=by.label[:150],
        )
        for one in absorptions
    )
    record_all(
        by=by,
        acts=[
            Act(
                "profile.merged",
                "identity.merge",
                str(m.pk),
                detail={"absorbed": str(m.absorbed_uuid), "reason": m.reason},
            )
            for m in merges
        ],
    )
    with bound_cursor() as cursor:
        # Not through the ORM, whose cascade would take memberships along before the evaluator has announced their end.
        cursor.execute("DELETE FROM profiles_profile WHERE id = ANY(%(absorbed)s::bigint[])", arguments)
    return merges


def _ends_with(absorptions: Sequence[Absorption]) -> dict[int, int]:
    """Absorbed -> who survives in the end."""
    into = {one.absorbed: one.survivor for one in absorptions}
    ends: dict[int, int] = {}
    for absorbed in into:
        end = into[absorbed]
        while end in into:
            end = into[end]
        ends[absorbed] = end
    return ends


def _brought(absorptions: Sequence[Absorption]) -> dict[int, list[int]]:
    """Absorbed -> the identifiers it had when its turn came, those of whom it had absorbed itself among them."""
    held: dict[int, set[int]] = defaultdict(set)
    absorbed = [one.absorbed for one in absorptions]
    for identifier_id, profile_id in Identifier.objects.filter(profile_id__in=absorbed).values_list("pk", "profile_id"):
        held[profile_id].add(identifier_id)
    for one in absorptions:
        held[one.survivor] |= held[one.absorbed]
    return {one: sorted(held[one]) for one in absorbed}


def _moments(follows: Mapping[int, int], gone: Mapping[int, Profile]) -> dict[int, tuple[datetime, datetime]]:
    """Survivor -> first and last moment of all whom it absorbed."""
    moments: dict[int, tuple[datetime, datetime]] = {}
    for absorbed, survivor in follows.items():
        first, last = gone[absorbed].first_seen_at, gone[absorbed].last_seen_at
        if survivor in moments:
            first, last = min(first, moments[survivor][0]), max(last, moments[survivor][1])
        moments[survivor] = first, last
    return moments


FOLLOW = [
    """
    UPDATE profiles_identifier i SET profile_id = g.survivor
      FROM unnest(%(absorbed)s::bigint[], %(survivors)s::bigint[]) AS g(absorbed, survivor)
     WHERE i.profile_id = g.absorbed AND i.profile_id = ANY(%(absorbed)s::bigint[])
    """,
    """
    UPDATE profiles_event e SET profile_id = g.survivor
      FROM unnest(%(absorbed)s::bigint[], %(survivors)s::bigint[]) AS g(absorbed, survivor)
     WHERE e.profile_id = g.absorbed AND e.profile_id = ANY(%(absorbed)s::bigint[])
    """,
    # A model scored two people; of the one they proved to be it knows what it said of the survivor, until its next run.
    "DELETE FROM profiles_score WHERE profile_id = ANY(%(absorbed)s::bigint[])",
    # Newest wins per trait, as if all had been said of one person from the start.
    *(
        statement.format(table=table)
        for table in ("profiles_traitvalue", "profiles_traitremoval")
        for statement in (
            """
            DELETE FROM {table} t USING (
                SELECT x.trait_id, x.profile_id, row_number() OVER (
                           PARTITION BY g.survivor, x.trait_id
                           ORDER BY x.occurred_at DESC, x.message_id COLLATE "C" DESC, x.profile_id = g.survivor DESC) AS place
                  FROM {table} x JOIN unnest(%(all)s::bigint[], %(ends)s::bigint[]) AS g(profile_id, survivor) USING (profile_id)
                 WHERE x.profile_id = ANY(%(all)s::bigint[])
            ) AS ranked
             WHERE ranked.place > 1 AND t.trait_id = ranked.trait_id AND t.profile_id = ranked.profile_id
            """,
            """
            UPDATE {table} t SET profile_id = g.survivor
              FROM unnest(%(absorbed)s::bigint[], %(survivors)s::bigint[]) AS g(absorbed, survivor)
             WHERE t.profile_id = g.absorbed AND t.profile_id = ANY(%(absorbed)s::bigint[])
            """,
        )
    ),
    """
    DELETE FROM profiles_traitvalue v USING profiles_traitremoval r
     WHERE v.profile_id = ANY(%(survivors)s::bigint[]) AND r.profile_id = v.profile_id AND r.trait_id = v.trait_id
       AND (r.occurred_at, r.message_id COLLATE "C") > (v.occurred_at, v.message_id COLLATE "C")
    """,
]


@transaction.atomic
def undo_merge(*, merge: Merge, by: Actor) -> Profile:
    """The absorbed profile, back with the identifiers it brought and the events that came by them.

    What was said of both at once stays with the survivor. The two won't be merged again by themselves. Of consent
    both keep the stricter answer until it is renewed.

    Raises:
        NotFound: the person was erased meanwhile, and what the ledger knew of them.
        Conflict: it was undone before, or the survivor was itself absorbed later (undo that one first).
    """
    found = Merge.objects.select_for_update().filter(pk=merge.pk).first()
    if found is None:
        raise NotFound("merge_not_found", "The person was erased, and this merge with them.")
    merge = found
    if merge.undone_at is not None:
        raise Conflict("merge_undone", "This merge has been undone already.")
    if not store.lock_profiles([merge.survivor_id]):
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
    # An order of which each told a version is two orders again.
    orders = {
        (profile_id, order_key) for _, order_key in settling.orders_of([merge.absorbed_id]) for profile_id in both
    }
    settling.settle_orders(orders, convert=rates.Converter())
    session_store.rebuild_sessions(both)
    totals.rebuild_totals(both)
    store.rebuild_traits(both)
    store.rebuild_moments(both)
    share_stops(survivor_id=merge.survivor_id, restored_id=merge.absorbed_id, by=by)
    part_consent(survivor_id=merge.survivor_id, restored_id=merge.absorbed_id, merged_at=merge.merged_at, by=by)
    merge.undone_at, merge.undone_by = timezone.now(), by.label[:150]
    merge.save(update_fields=["undone_at", "undone_by"])
    for profile_id in both:
        DirtyProfile.objects.create(profile_id=profile_id, facts={"why": "unmerge"})
    record(by=by, action="profile.unmerged", object=merge, detail={"restored": str(merge.absorbed_uuid)})
    return restored


def survivors_of(uuids: Iterable[UUID]) -> dict[UUID, int]:
    """The numbers of the profiles that answer to these uuids; without those that nobody ever had. Those that were merged are followed
    one by one."""
    wanted = set(uuids)
    found = dict(Profile.objects.filter(uuid__in=wanted).order_by().values_list("uuid", "pk")) if wanted else {}
    for uuid in wanted - found.keys():
        with suppress(NotFound):
            found[uuid] = survivor_of(uuid).pk
    return found


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

"""Two profiles become one, and part again: the ledger, what follows to the survivor, and the way back.

Which profiles a message proves to be one is decided in `cdp.identity.resolve`.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, NotFound
from cdp.identity.models import Merge
from cdp.profiles import store
from cdp.profiles.models import DirtyProfile, Profile
from consent.services import part_consent, reconcile_consent


@transaction.atomic
def merge_profiles(*, survivor: Profile, absorbed: Profile, reason: str, by: Actor) -> Merge:
    """The ledger's entry of the merge; the survivor is evaluated anew soon after.

    Raises:
        Conflict: they are the same, or one of them was merged away meanwhile.
    """
    if survivor.pk == absorbed.pk or len(store.lock_profiles(sorted([survivor.pk, absorbed.pk]))) < 2:
        raise Conflict("not_two_profiles", "A merge needs two different profiles that both still exist.")
    merge = absorb(survivor.pk, absorbed.pk, reason=reason, source_id=None, by=by)
    DirtyProfile.objects.create(profile_id=survivor.pk, facts={"why": "merge"})
    DirtyProfile.objects.create(profile_id=absorbed.pk, facts={"why": "merge", "absorbed_uuid": str(absorbed.uuid)})
    return merge


def absorb(survivor: int, absorbed: int, *, reason: str, source_id: int | None, by: Actor) -> Merge:
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

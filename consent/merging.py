"""What holds when profiles prove to be one: never more than either of them permitted. When they part again: `consent.parting`.

No record is neutral: it neither grants nor takes away. Where two had answered differently the stricter answer holds, and the
difference is kept for somebody to look into.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record, record_all
from cdp.database import bound_cursor
from cdp.errors import Conflict
from cdp.profiles import store
from cdp.profiles.models import Profile
from consent.models import ConsentConflict, ConsentRecord, ConsentState, Decision, Method, Purpose, Reach
from consent.reliance import tell_of_decisions
from consent.replay import NEWEST
from consent.services import Said, append_consents, told_of


def reconcile_consents(*, pairs: Sequence[tuple[int, int]], gone: Mapping[int, UUID], by: Actor) -> None:
    """Reconciles (survivor, absorbed) after (survivor, absorbed), in the order given; most people never said anything.

    Args:
        gone: the public ids of the absorbed, whose rows may be gone already; one of them may be a survivor, too.
    """
    speaking = set(
        ConsentState.objects.filter(profile_id__in=[absorbed for _, absorbed in pairs]).values_list(
            "profile_id", flat=True
        )
    )
    records: list[int] = []
    for survivor, absorbed in pairs:
        if absorbed in speaking:
            records += reconcile_consent(survivor_id=survivor, absorbed_id=absorbed)
            speaking.add(survivor)
    tell_of_records(records, by=by, gone=gone)


def reconcile_consent(*, survivor_id: int, absorbed_id: int) -> list[int]:
    """Gives the survivor, for each purpose, the stricter of both answers, and takes the absorbed's state away.

    The result is a record of its own. A no is dated at the later of both: only something newer than both can widen it. Of two
    grants it ends with the one that ends first, and is dated at the earlier: a no of that one which is newer, and comes late,
    must still count; only a yes newer than both takes its place (`consent.replay.Holding`).

    Returns:
        The keys of the new records.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH theirs AS (
                DELETE FROM consent_consentstate WHERE profile_id = %(absorbed)s
                RETURNING purpose_id, decision, collected_at, expires_at, record_id
            ), both_of AS (
                SELECT t.purpose_id, s.decision AS own, t.decision AS other, t.collected_at AS other_at, s.collected_at AS own_at,
                       least(t.expires_at, s.expires_at) AS expires_at,
                       -- As consent.replay.newest_of.
                       greatest(t.collected_at, s.collected_at,
                                CASE WHEN tr.method = 'merge' THEN (tr.evidence->>'newest')::timestamptz END,
                                CASE WHEN sr.method = 'merge' THEN (sr.evidence->>'newest')::timestamptz END) AS newest
                  FROM theirs t JOIN consent_consentrecord tr ON tr.id = t.record_id
                  LEFT JOIN consent_consentstate s ON s.purpose_id = t.purpose_id AND s.profile_id = %(survivor)s
                  LEFT JOIN consent_consentrecord sr ON sr.id = s.record_id
            ), decided AS (
                SELECT purpose_id, own, other, expires_at, newest,
                       CASE WHEN own IS NULL THEN other WHEN own <> 'granted' THEN own ELSE other END AS decision,
                       CASE WHEN own IS NULL THEN other_at WHEN own = 'granted' AND other = 'granted' THEN least(own_at, other_at)
                            ELSE newest END AS collected_at
                  FROM both_of
            ), conflicts AS (
                INSERT INTO consent_consentconflict (profile_id, absorbed_id, purpose_id, theirs, absorbed)
                SELECT %(survivor)s, %(absorbed)s, purpose_id, own, other FROM decided
                 WHERE (own = 'granted') <> (other = 'granted')
            ), appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, expires_at, recorded_at)
                SELECT %(survivor)s, purpose_id, 'person', decision, 'merge', '',
                       jsonb_build_object('absorbed', %(absorbed)s::bigint, 'newest', newest),
                       collected_at, CASE WHEN decision = 'granted' THEN expires_at END, clock_timestamp() FROM decided
                RETURNING id, purpose_id, decision, collected_at, expires_at
            )
            INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, expires_at, record_id)
            SELECT purpose_id, %(survivor)s, decision, collected_at, expires_at, id FROM appended
            ON CONFLICT (purpose_id, profile_id) DO UPDATE
               SET decision = excluded.decision, collected_at = excluded.collected_at,
                   expires_at = excluded.expires_at, record_id = excluded.record_id
            RETURNING record_id
            """,
            {"survivor": survivor_id, "absorbed": absorbed_id},
        )
        return [row[0] for row in cursor.fetchall()]


def tell_of_records(record_ids: Sequence[int], *, by: Actor, gone: Mapping[int, UUID]) -> None:
    """Tells of records that a merge made, each by itself, as of any other decision."""
    records = ConsentRecord.objects.filter(pk__in=record_ids).select_related("purpose").order_by("pk")
    people = dict(gone) | dict(
        Profile.objects.filter(pk__in={one.profile_id for one in records}).values_list("pk", "uuid")
    )
    record_all(
        by=by,
        acts=[
            told_of(
                decision=one.decision,
                person=people[one.profile_id],
                purpose=one.purpose.key,
                record=one.uuid,
                reach=one.reach,
                method=one.method,
                collected_at=one.collected_at,
                recorded_at=one.recorded_at,
                expires_at=one.expires_at,
                jurisdiction=one.jurisdiction,
                newest=one.evidence.get(NEWEST),
            )
            for one in records
        ],
    )


def forget_states(profile_ids: Collection[int]) -> None:
    """Takes away what holds for people who are erased, and what was noted of their differences; the records it was projected
    from stay, since nothing can change them."""
    ids = list(profile_ids)
    ConsentState.objects.filter(profile_id__in=ids).delete()
    ConsentConflict.objects.filter(Q(profile_id__in=ids) | Q(absorbed_id__in=ids)).delete()


@transaction.atomic
def settle_conflict(*, conflict: ConsentConflict, note: str, by: Actor) -> None:
    """Closes it: somebody has looked, and says what they found. It permits nothing: only the person's own word can.

    Raises:
        Conflict: somebody else has settled it meanwhile.
    """
    now = timezone.now()
    open_ones = ConsentConflict.objects.filter(pk=conflict.pk, settled_at__isnull=True)
    if not open_ones.update(settled_at=now, settled_by=by.label[:150], note=note[:500]):
        raise Conflict("conflict_settled", "Somebody else has settled this one meanwhile.")
    record(by=by, action="consent.conflict_settled", object=conflict, purpose=conflict.purpose.key)


def stops_to_inherit(*, purpose: Purpose, parent: Purpose | None) -> QuerySet[ConsentState]:
    """What people said who said no to the parent and, since then, nothing to the purpose; nobody where neither is told."""
    if parent is None or purpose.reach == Reach.DEVICE:
        return ConsentState.objects.none()
    since = ConsentState.objects.filter(purpose=purpose, profile=OuterRef("profile"))
    heard = since.filter(~Q(decision=Decision.GRANTED) | Q(collected_at__gt=OuterRef("collected_at")))
    return ConsentState.objects.filter(~Exists(heard), purpose=parent).exclude(decision=Decision.GRANTED)


def inherit_stops(*, purpose: Purpose, by: Actor) -> int:
    """How many people had said no to what the purpose lies beneath now, and so have said no to it as well.

    Runs in the transaction that gives the purpose its parent.
    """
    parent = purpose.parent
    if parent is None:
        return 0
    stops = stops_to_inherit(purpose=purpose, parent=parent)
    since = dict(stops.values_list("profile_id", "collected_at"))
    evidence = {"beneath": parent.key}
    said = [
        Said(one, purpose.pk, Decision.DENIED, since[one], Method.INHERITED, evidence=evidence)
        for one in store.lock_profiles(sorted(since))
    ]
    tell_of_decisions(append_consents(said=said, by=by))
    return len(said)

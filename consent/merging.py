"""What holds when profiles prove to be one, or part again: never more than either of them permitted.

No record is neutral: it neither grants nor takes away. Where two had answered differently the stricter answer holds, and the
difference is kept for somebody to look into.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
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
    _audit(records, by=by, gone=gone)


def reconcile_consent(*, survivor_id: int, absorbed_id: int) -> list[int]:
    """Gives the survivor, for each purpose, the stricter of both answers, and takes the absorbed's state away.

    The result is a record of its own, dated at the later of both: only something newer than both can widen it. Of two
    grants it ends with the one that ends first.

    Returns:
        The keys of the new records.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH theirs AS (
                DELETE FROM consent_consentstate WHERE profile_id = %(absorbed)s
                RETURNING purpose_id, decision, collected_at, expires_at
            ), decided AS (
                SELECT t.purpose_id, s.decision AS own, t.decision AS other,
                       CASE WHEN s.decision IS NULL THEN t.decision
                            WHEN s.decision <> 'granted' THEN s.decision ELSE t.decision END AS decision,
                       greatest(t.collected_at, s.collected_at) AS collected_at,
                       least(t.expires_at, s.expires_at) AS expires_at
                  FROM theirs t LEFT JOIN consent_consentstate s ON s.purpose_id = t.purpose_id AND s.profile_id = %(survivor)s
            ), conflicts AS (
                INSERT INTO consent_consentconflict (profile_id, absorbed_id, purpose_id, theirs, absorbed)
                SELECT %(survivor)s, %(absorbed)s, purpose_id, own, other FROM decided
                 WHERE (own = 'granted') <> (other = 'granted')
            ), appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, expires_at, recorded_at)
                SELECT %(survivor)s, purpose_id, 'person', decision, 'merge', '', jsonb_build_object('absorbed', %(absorbed)s::bigint),
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


def part_consent(*, survivor_id: int, restored_id: int, merged_at: datetime, by: Actor) -> None:
    """Gives two profiles that part the stricter answer each: the denials of both, and a grant only to who gave it.

    A grant that one of them held only through the other ends: to merge and part again must not widen anything. Whose
    word came with an event is told by the event, which has gone to its person already; of a grant given meanwhile
    without one nobody can say whose it is, so it ends for both. What remains of a grant ends no later than it would
    have for the two together.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH said AS (
                SELECT coalesce(e.profile_id, r.profile_id) AS profile_id, r.purpose_id, r.decision, r.collected_at, r.id
                  FROM consent_consentrecord r
                  LEFT JOIN profiles_event e ON e.profile_id IN (%(survivor)s, %(restored)s) AND r.message_id <> ''
                       AND e.message_id = r.message_id AND e.source_id = r.source_id
                 WHERE r.profile_id IN (%(survivor)s, %(restored)s) AND r.reach = 'person' AND r.method <> 'merge'
                   AND r.decision <> 'pending'
                   AND (r.decision <> 'granted' OR e.profile_id IS NOT NULL OR r.recorded_at < %(merged_at)s)
            ), own AS (
                SELECT DISTINCT ON (profile_id, purpose_id) profile_id, purpose_id, decision, collected_at FROM said
                 ORDER BY profile_id, purpose_id, collected_at DESC, (decision = 'granted'), id DESC
            ), ended AS (
                DELETE FROM consent_consentstate s WHERE s.profile_id = %(survivor)s
                RETURNING purpose_id, decision, collected_at, expires_at
            ), decided AS (
                SELECT p.id, e.purpose_id, e.collected_at,
                       CASE WHEN e.decision <> 'granted' THEN e.decision ELSE o.decision END AS decision,
                       least(e.expires_at, o.collected_at + r.lifetime_days * interval '1 day') AS expires_at
                  FROM ended e CROSS JOIN (VALUES (%(survivor)s::bigint), (%(restored)s::bigint)) AS p(id)
                  JOIN consent_purpose r ON r.id = e.purpose_id
                  LEFT JOIN own o ON o.profile_id = p.id AND o.purpose_id = e.purpose_id
            ), appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, expires_at, recorded_at)
                SELECT id, purpose_id, 'person', decision, 'merge', '',
                       jsonb_build_object('parted', jsonb_build_array(%(survivor)s::bigint, %(restored)s::bigint)), collected_at,
                       CASE WHEN decision = 'granted' THEN expires_at END, clock_timestamp()
                  FROM decided WHERE decision IS NOT NULL
                RETURNING id, profile_id, purpose_id, decision, collected_at, expires_at
            )
            SELECT purpose_id, profile_id, decision, collected_at, expires_at, id FROM appended
            """,
            {"survivor": survivor_id, "restored": restored_id, "merged_at": merged_at},
        )
        # Not in the statement above: it could not see its own deletion, and would collide with what it replaces.
        cursor.executemany(
            "INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, expires_at, record_id)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            appended := cursor.fetchall(),
        )
    _audit([row[-1] for row in appended], by=by, gone={})


def _audit(record_ids: Sequence[int], *, by: Actor, gone: Mapping[int, UUID]) -> None:
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
            )
            for one in records
        ],
    )


def forget_states(profile_ids: Collection[int]) -> None:
    """Takes away what holds for people who are erased; the records it was projected from stay, since nothing can change them."""
    ConsentState.objects.filter(profile_id__in=list(profile_ids)).delete()


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

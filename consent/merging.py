"""What holds when profiles prove to be one, or part again: never more than either of them permitted.

No record is neutral: it neither grants nor takes away. Where two had answered differently the stricter answer holds, and the
difference is kept for somebody to look into.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict
from cdp.profiles import store
from consent.models import ConsentConflict, ConsentRecord, ConsentState, Decision, Method, Purpose, Reach
from consent.reliance import tell_of_decisions
from consent.replay import after
from consent.services import NOES, Said, append_consents


def reconcile_consents(*, pairs: Sequence[tuple[int, int]]) -> None:
    """Reconciles (survivor, absorbed) after (survivor, absorbed), in the order given; most people never said anything."""
    speaking = set(
        ConsentState.objects.filter(profile_id__in=[absorbed for _, absorbed in pairs]).values_list(
            "profile_id", flat=True
        )
    )
    for survivor, absorbed in pairs:
        if absorbed in speaking:
            reconcile_consent(survivor_id=survivor, absorbed_id=absorbed)
            speaking.add(survivor)


def reconcile_consent(*, survivor_id: int, absorbed_id: int) -> None:
    """Gives the survivor, for each purpose, the stricter of both answers, and takes the absorbed's state away.

    The result is a record of its own. A no is dated at the later of both: only something newer than both can widen it. Of two
    grants it ends with the one that ends first, and is dated at the earlier: a no of that one which is newer, and comes late,
    must still count.
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
                       CASE WHEN s.decision = 'granted' AND t.decision = 'granted' THEN least(t.collected_at, s.collected_at)
                            ELSE greatest(t.collected_at, s.collected_at) END AS collected_at,
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
            """,
            {"survivor": survivor_id, "absorbed": absorbed_id},
        )


def part_consent(*, survivor_id: int, restored_id: int, merged_at: datetime) -> None:
    """Gives two profiles that part the stricter answer each: the denials of both, and a grant only to who gave it.

    A grant that one of them held only through the other ends: to merge and part again must not widen anything. Whose
    word came with an event is told by the event, which has gone to its person already; of a word given meanwhile
    without one nobody can say whose it is, so a no is of both and a grant of nobody. What remains of a grant ends no later
    than it would have for the two together.

    Each of them has a record of it, also where nothing remains: then it is pending, and stands for no word of their own.
    """
    both = survivor_id, restored_id
    states = {state.purpose_id: state for state in ConsentState.objects.filter(profile_id=survivor_id)}
    records = _by_purpose(ConsentRecord.objects.filter(profile_id__in=both, reach=Reach.PERSON).order_by("pk"))
    speakers = _speakers(both, merged_at)
    rows = [
        (one, purpose_id, *_parted(state, _own(one, both, records.get(purpose_id, ()), speakers, merged_at)))
        for purpose_id, state in states.items()
        for one in both
    ]
    ConsentState.objects.filter(profile_id=survivor_id).delete()
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, expires_at, recorded_at)
                SELECT g.profile_id, g.purpose_id, 'person', g.decision, 'merge', '',
                       jsonb_build_object('parted', to_jsonb(%s::bigint[])), g.collected_at, g.expires_at, clock_timestamp()
                  FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[])
                       AS g(profile_id, purpose_id, decision, collected_at, expires_at)
                RETURNING id, profile_id, purpose_id, decision, collected_at, expires_at
            )
            INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, expires_at, record_id)
            SELECT purpose_id, profile_id, decision, collected_at, expires_at, id FROM appended WHERE decision <> 'pending'
            """,
            [list(both), *map(list, zip(*rows, strict=True))] if rows else [list(both), [], [], [], [], []],
        )


Parted = tuple[Decision, datetime, datetime | None]


def _by_purpose(records: Iterable[ConsentRecord]) -> dict[int, list[ConsentRecord]]:
    found: dict[int, list[ConsentRecord]] = {}
    for record in records:
        found.setdefault(record.purpose_id, []).append(record)
    return found


def _speakers(both: tuple[int, int], merged_at: datetime) -> dict[int, int]:
    """Record -> whose word it was of those recorded since the merge, as far as the events say."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT r.id, e.profile_id FROM consent_consentrecord r JOIN profiles_event e"
            "    ON e.profile_id = ANY(%(both)s::bigint[]) AND e.message_id = r.message_id AND e.source_id = r.source_id"
            " WHERE r.profile_id = %(survivor)s AND r.message_id <> '' AND r.recorded_at >= %(merged_at)s",
            {"both": list(both), "survivor": both[0], "merged_at": merged_at},
        )
        return dict(cursor.fetchall())


def _own(
    profile_id: int,
    both: tuple[int, int],
    records: Sequence[ConsentRecord],
    speakers: Mapping[int, int],
    merged_at: datetime,
) -> ConsentRecord | None:
    """What one of the two holds by their own word: what they held before the merge, and what they have said since."""
    survivor_id, restored_id = both
    held: ConsentRecord | None = None
    for record in records:
        if record.recorded_at < merged_at:
            if record.profile_id == profile_id:
                held = after(held, record)
        elif record.method == Method.MERGE:
            # Whoever else was merged into the survivor meanwhile: their no is the survivor's, their yes isn't.
            is_this_one = record.evidence.get("absorbed") == restored_id
            if profile_id == survivor_id and not is_this_one and record.decision in NOES:
                held = record
        elif record.pk in speakers:
            if speakers[record.pk] == profile_id:
                held = after(held, record)
        elif record.decision in NOES:
            held = after(held, record)
    return held


def _parted(state: ConsentState, own: ConsentRecord | None) -> Parted:
    """What holds for one of them from now on. The end of both together bounds each one's yes."""
    if state.decision != Decision.GRANTED:
        return Decision(state.decision), state.collected_at, None
    if own is None:
        return Decision.PENDING, state.collected_at, None
    if own.decision != Decision.GRANTED:
        return Decision(own.decision), max(own.collected_at, state.collected_at), None
    ends = [end for end in (state.expires_at, own.expires_at) if end is not None]
    return Decision.GRANTED, own.collected_at, min(ends, default=None)


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


def inherit_stops(*, purpose: Purpose, by: Actor) -> int:
    """How many people had said no to what the purpose lies beneath now, and so have said no to it as well.

    Runs in the transaction that gives the purpose its parent.
    """
    if purpose.parent_id is None or purpose.reach == Reach.DEVICE:
        return 0
    stops = ConsentState.objects.filter(purpose_id=purpose.parent_id).exclude(decision=Decision.GRANTED)
    said_so = ConsentState.objects.filter(purpose=purpose).exclude(decision=Decision.GRANTED)
    since = dict(stops.exclude(profile_id__in=said_so.values("profile_id")).values_list("profile_id", "collected_at"))
    evidence = {"beneath": purpose.parent.key}
    said = [
        Said(one, purpose.pk, Decision.DENIED, since[one], Method.INHERITED, evidence=evidence)
        for one in store.lock_profiles(sorted(since))
    ]
    tell_of_decisions(append_consents(said=said, by=by))
    return len(said)

"""What holds when profiles that had become one part again: each one's own word, and of what both said the stricter.

Whose word is whose is worked out from the records (`consent.replay`).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from cdp.audit.actors import Actor
from cdp.database import bound_cursor
from consent.merging import tell_of_records
from consent.models import ConsentRecord, ConsentState, Decision, Method, Reach
from consent.replay import Holding, after, replayed
from consent.services import NOES


def part_consent(*, survivor_id: int, restored_id: int, merged_at: datetime, by: Actor) -> None:
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
    rows = []
    for purpose_id, state in states.items():
        said = records.get(purpose_id, ())
        restored = _own(restored_id, both, said, speakers, merged_at)
        survivor = _own(survivor_id, both, said, speakers, merged_at, restored)
        rows += [
            (survivor_id, purpose_id, *_parted(state, survivor)),
            (restored_id, purpose_id, *_parted(state, restored)),
        ]
    for purpose_id, said in records.items():
        before = replayed(one for one in said if one.profile_id == restored_id)
        if purpose_id not in states and before is not None:  # they had lost it as one
            rows.append((restored_id, purpose_id, Decision.PENDING, before.newest, None, before.newest))
    ConsentState.objects.filter(profile_id=survivor_id).delete()
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, expires_at, recorded_at)
                SELECT g.profile_id, g.purpose_id, 'person', g.decision, 'merge', '',
                       jsonb_build_object('parted', to_jsonb(%s::bigint[]), 'newest', g.newest),
                       g.collected_at, g.expires_at, clock_timestamp()
                  FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
                       AS g(profile_id, purpose_id, decision, collected_at, expires_at, newest)
                RETURNING id, profile_id, purpose_id, decision, collected_at, expires_at
            ), projected AS (
                INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, expires_at, record_id)
                SELECT purpose_id, profile_id, decision, collected_at, expires_at, id FROM appended WHERE decision <> 'pending'
            )
            SELECT id FROM appended ORDER BY id
            """,
            [list(both), *map(list, zip(*rows, strict=True))] if rows else [list(both), [], [], [], [], [], []],
        )
        appended = [row[0] for row in cursor.fetchall()]
    tell_of_records(appended, by=by, gone={})


PARTED = "parted"
# Decision, since when, until when, and when the newest word was said.
Parted = tuple[Decision, datetime, datetime | None, datetime]


def _by_purpose(records: Iterable[ConsentRecord]) -> dict[int, list[ConsentRecord]]:
    found: dict[int, list[ConsentRecord]] = {}
    for one in records:
        found.setdefault(one.purpose_id, []).append(one)
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
    others: Holding | None = None,
) -> Holding | None:
    """What one of the two holds by their own word: what they held before the merge, and what they have said since.

    Args:
        others: of the survivor, what the other one holds.
    """
    survivor_id, restored_id = both
    held: Holding | None = None
    for record in records:
        if record.recorded_at < merged_at:
            if record.profile_id == profile_id:
                held = after(held, record)
        elif record.method == Method.MERGE:
            # The no they had as one is kept by both until each says something newer; whoever else was merged into the survivor
            # meanwhile, their no is the survivor's. A yes by merging is nobody's own.
            is_parting, is_survivor = PARTED in record.evidence, profile_id == survivor_id
            is_of_both = is_parting or record.evidence.get("absorbed") == restored_id
            if record.decision in NOES and (is_of_both or is_survivor):
                held = after(held, record)
            elif is_parting and is_survivor and not _is_left(held, record, others):
                held = None
        elif record.pk in speakers:
            if speakers[record.pk] == profile_id:
                held = after(held, record)
        elif record.decision in NOES:
            held = after(held, record)
    return held


def _is_left(held: Holding | None, parting: ConsentRecord, others: Holding | None) -> bool:
    """Whether a yes of the survivor's is its own also after somebody else has parted from it, whose word it may have been: it is if
    what was left was this very yes, and can't have been the yes of who parts now."""
    is_granted = held is not None and parting.decision == Decision.GRANTED and held.since == parting.collected_at
    return is_granted and not (others is not None and others.is_yes)


def _parted(state: ConsentState, own: Holding | None) -> Parted:
    """What holds for one of them from now on. The end of both together bounds each one's yes."""
    if state.decision != Decision.GRANTED:
        return Decision(state.decision), state.collected_at, None, state.collected_at
    if own is None:
        return Decision.PENDING, state.collected_at, None, state.collected_at
    if not own.is_yes:
        since = max(own.since, state.collected_at)
        return Decision(own.record.decision), since, None, since
    ends = [end for end in (state.expires_at, own.until) if end is not None]
    return Decision.GRANTED, own.since, min(ends, default=None), own.newest

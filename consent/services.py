"""Writing decisions, and what becomes of them when profiles merge or part.

The newest decision holds; of two made at the same moment, and of two people who prove to be one, the stricter.
No record is neutral: it neither grants nor takes away.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record_all
from cdp.database import bound_cursor
from cdp.errors import DomainError, NotFound
from cdp.profiles.models import DirtyProfile, Profile
from consent.models import ConsentState, Decision, Method, Purpose, Reach


@dataclass(frozen=True, slots=True)
class Said:
    """One decision of one person, or of one device, as a source reported it."""

    profile_id: int
    purpose_id: int
    decision: Decision
    collected_at: datetime
    method: Method
    reach: Reach = Reach.PERSON
    source_id: int | None = None
    message_id: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    # It came along with something else, so it is worth a record only where it says something new.
    is_stamp: bool = False
    # Of a repetition: until when the yes it repeats holds. It lengthens none.
    until: datetime | None = None


def append_consents(*, said: Iterable[Said], by: Actor) -> set[tuple[int, int]]:
    """Appends the decisions, projects what holds, and audits each. Runs inside the caller's transaction, which evaluates.

    Decisions for a device are recorded and go no further: a browser's key is public, so they prove nothing of a person.

    Returns:
        (profile id, purpose id) for which something else may hold now.
    """
    rows, confirmed = _worth_a_record(sorted(said, key=_by_time))
    changed = _append(rows, by) if rows else set[tuple[int, int]]()
    _confirm(confirmed)  # what was appended just now, too
    return changed


def _append(rows: Sequence[Said], by: Actor) -> set[tuple[int, int]]:
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, source_id, message_id, evidence, collected_at,
                        expires_at, recorded_at)
                SELECT g.profile_id, g.purpose_id, g.reach, g.decision, g.method, g.source_id, g.message_id, g.evidence,
                       g.collected_at,
                       CASE WHEN g.method = 'repeated' THEN g.until
                            WHEN g.decision = 'granted' THEN g.collected_at + p.lifetime_days * interval '1 day' END,
                       clock_timestamp()
                  FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::int[], %s::text[],
                              %s::jsonb[], %s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY
                       AS g(profile_id, purpose_id, reach, decision, method, source_id, message_id, evidence, collected_at, until, n)
                  JOIN consent_purpose p ON p.id = g.purpose_id
                 ORDER BY g.n
                RETURNING id, profile_id, purpose_id, reach, method, decision, collected_at, expires_at
            ), newest AS (
                SELECT DISTINCT ON (profile_id, purpose_id) * FROM appended WHERE reach = 'person' AND method <> 'repeated'
                 ORDER BY profile_id, purpose_id, collected_at DESC, (decision = 'granted'), id DESC
            ), projected AS (
                INSERT INTO consent_consentstate AS s (purpose_id, profile_id, decision, collected_at, expires_at, record_id)
                SELECT purpose_id, profile_id, decision, collected_at, expires_at, id FROM newest
                ON CONFLICT (purpose_id, profile_id) DO UPDATE
                   SET decision = excluded.decision, collected_at = excluded.collected_at,
                       expires_at = excluded.expires_at, record_id = excluded.record_id
                 WHERE excluded.collected_at > s.collected_at
                    OR (excluded.collected_at = s.collected_at AND excluded.decision <> 'granted')
                RETURNING purpose_id, profile_id
            )
            SELECT a.decision, f.uuid, p.key, a.reach, a.method, a.profile_id, a.purpose_id, j.profile_id IS NOT NULL
              FROM appended a JOIN profiles_profile f ON f.id = a.profile_id JOIN consent_purpose p ON p.id = a.purpose_id
              LEFT JOIN projected j ON j.profile_id = a.profile_id AND j.purpose_id = a.purpose_id
             ORDER BY a.id
            """,
            [
                [r.profile_id for r in rows],
                [r.purpose_id for r in rows],
                [r.reach for r in rows],
                [r.decision for r in rows],
                [r.method for r in rows],
                [r.source_id for r in rows],
                [r.message_id for r in rows],
                [msgspec.json.encode(r.evidence).decode() for r in rows],
                [r.collected_at for r in rows],
                [r.until for r in rows],
            ],
        )
        appended = cursor.fetchall()
    record_all(
        by=by,
        acts=[
            Act(f"consent.{decision}", "profiles.profile", str(uuid), purpose, {"reach": reach, "method": method})
            for decision, uuid, purpose, reach, method, *_ in appended
        ],
    )
    return {(profile_id, purpose_id) for *_, profile_id, purpose_id, is_projected in appended if is_projected}


def _by_time(said: Said) -> tuple[Any, ...]:
    return said.profile_id, said.purpose_id, said.collected_at, said.decision != Decision.GRANTED, said.message_id


def _worth_a_record(said: Sequence[Said]) -> tuple[list[Said], dict[tuple[int, int], Said]]:
    """What is recorded, and per person and purpose the newest stamp that only repeats what holds by then.

    Told in the order in which it was decided, whatever the order of arrival: a late stamp is compared with what held then.
    """
    holds: dict[tuple[int, int], tuple[datetime, bool]] = {}
    # What holds by a stamp alone, which has no record of its own.
    stamped: dict[tuple[int, int], Said] = {}
    for state in ConsentState.objects.filter(
        profile_id__in={s.profile_id for s in said if s.reach == Reach.PERSON}
    ).select_related("record"):
        key, decision = (state.profile_id, state.purpose_id), Decision(state.decision)
        holds[key] = state.collected_at, decision != Decision.GRANTED
        if state.collected_at > state.record.collected_at:
            stamped[key] = Said(*key, decision, state.collected_at, Method.REPEATED, until=state.expires_at)
    rows: list[Said] = []
    confirmed: dict[tuple[int, int], Said] = {}
    for one in said:
        if one.reach != Reach.PERSON:
            rows.append(one)
            continue
        key, now = (one.profile_id, one.purpose_id), (one.collected_at, one.decision != Decision.GRANTED)
        before = holds.get(key)
        is_new = before is None or now > before
        if one.is_stamp and before is not None and before[1] == now[1]:
            if is_new:
                confirmed[key] = one
                holds[key] = now
            continue
        if not is_new and key in stamped:
            # It comes between what was said and its repetition: without a record of that, this would seem to be the newest.
            rows.append(stamped.pop(key))
        if one.decision == Decision.DENIED and before is not None and not before[1]:
            one = replace(one, decision=Decision.WITHDRAWN)
        rows.append(one)
        if is_new:
            holds[key] = now
            stamped.pop(key, None)
    return rows, confirmed


def _confirm(confirmed: Mapping[tuple[int, int], Said]) -> None:
    """Moves on since when it is known that these still hold, so that an older word that comes late can't undo them.

    It lengthens no grant: what comes along with something else repeats what was decided, and isn't a new yes.
    """
    if not confirmed:
        return
    rows = [confirmed[key] for key in sorted(confirmed)]
    with bound_cursor() as cursor:
        cursor.execute(
            """
            UPDATE consent_consentstate s SET collected_at = g.at
              FROM unnest(%s::bigint[], %s::bigint[], %s::boolean[], %s::timestamptz[]) AS g(profile_id, purpose_id, granted, at)
             WHERE s.profile_id = g.profile_id AND s.purpose_id = g.purpose_id
               AND (s.decision = 'granted') = g.granted AND s.collected_at < g.at
            """,
            [
                [r.profile_id for r in rows],
                [r.purpose_id for r in rows],
                [r.decision == Decision.GRANTED for r in rows],
                [r.collected_at for r in rows],
            ],
        )


@transaction.atomic
def record_decision(
    *,
    profile: Profile,
    purpose: Purpose,
    decision: Decision,
    method: Method,
    at: datetime,
    by: Actor,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Appends one decision; it holds from the next read on.

    Raises:
        DomainError: the moment lies in the future.
        NotFound: the profile was merged away meanwhile.
    """
    if at > timezone.now():
        raise DomainError("decided_in_the_future", "A decision can't have been made after now.", "/collected_at")
    if not Profile.objects.select_for_update(no_key=True).filter(pk=profile.pk).exists():
        raise NotFound("profile_not_found", "This profile was merged into another one meanwhile.")
    append_consents(
        said=[Said(profile.pk, purpose.pk, decision, at, method, evidence=evidence or {})],
        by=by,
    )
    DirtyProfile.objects.create(profile_id=profile.pk, facts={"why": "edit", "consents": [purpose.key]})


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

    The result is a record of its own, dated at the later of both: only something newer than both can widen it. Of two
    grants it ends with the one that ends first.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH theirs AS (
                DELETE FROM consent_consentstate WHERE profile_id = %(absorbed)s
                RETURNING purpose_id, decision, collected_at, expires_at
            ), decided AS (
                SELECT t.purpose_id,
                       CASE WHEN s.decision IS NULL THEN t.decision
                            WHEN s.decision <> 'granted' THEN s.decision ELSE t.decision END AS decision,
                       greatest(t.collected_at, s.collected_at) AS collected_at,
                       least(t.expires_at, s.expires_at) AS expires_at
                  FROM theirs t LEFT JOIN consent_consentstate s ON s.purpose_id = t.purpose_id AND s.profile_id = %(survivor)s
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
            cursor.fetchall(),
        )


def forget_states(profile_ids: Collection[int]) -> None:
    """Takes away what holds for people who are erased; the records it was projected from stay, since nothing can change them."""
    ConsentState.objects.filter(profile_id__in=list(profile_ids)).delete()

"""Writing decisions, and what becomes of them when profiles merge or part.

The newest decision holds; of two made at the same moment, and of two people who prove to be one, the stricter.
No record is neutral: it neither grants nor takes away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.profiles.models import DirtyProfile, Profile
from consent.models import Decision, Method, Purpose, Reach


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


def append_consents(*, said: Iterable[Said]) -> set[int]:
    """Ids of the people whose state changed. Runs inside the caller's transaction, which audits and evaluates.

    Decisions for a device are recorded and go no further: a browser's key is public, so they prove nothing of a person.
    """
    rows = sorted(said, key=lambda s: (s.profile_id, s.purpose_id, s.collected_at))
    if not rows:
        return set()
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, source_id, message_id, evidence, collected_at, recorded_at)
                SELECT g.profile_id, g.purpose_id, g.reach, g.decision, g.method, g.source_id, g.message_id, g.evidence, g.collected_at, now()
                  FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::jsonb[], %s::timestamptz[])
                       AS g(profile_id, purpose_id, reach, decision, method, source_id, message_id, evidence, collected_at)
                RETURNING id, profile_id, purpose_id, reach, decision, collected_at
            ), newest AS (
                SELECT DISTINCT ON (profile_id, purpose_id) * FROM appended WHERE reach = 'person'
                 ORDER BY profile_id, purpose_id, collected_at DESC, (decision = 'granted'), id DESC
            )
            INSERT INTO consent_consentstate AS s (purpose_id, profile_id, decision, collected_at, record_id)
            SELECT purpose_id, profile_id, decision, collected_at, id FROM newest
            ON CONFLICT (purpose_id, profile_id) DO UPDATE
               SET decision = excluded.decision, collected_at = excluded.collected_at, record_id = excluded.record_id
             WHERE excluded.collected_at > s.collected_at
                OR (excluded.collected_at = s.collected_at AND excluded.decision <> 'granted')
            RETURNING profile_id
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
            ],
        )
        return {row[0] for row in cursor.fetchall()}


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
    """
    if at > timezone.now():
        raise DomainError("decided_in_the_future", "A decision can't have been made after now.", "/collected_at")
    append_consents(
        said=[Said(profile.pk, purpose.pk, decision, at, method, evidence=evidence or {})],
    )
    DirtyProfile.objects.create(profile_id=profile.pk, facts={"why": "edit", "consents": [purpose.key]})
    record(by=by, action=f"consent.{decision}", object=profile, purpose=purpose.key, detail={"method": method})


def reconcile_consent(*, survivor_id: int, absorbed_id: int) -> None:
    """Gives the survivor, for each purpose, the stricter of both answers, and takes the absorbed's state away.

    The result is a record of its own, dated at the later of both: only something newer than both can widen it.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH theirs AS (
                DELETE FROM consent_consentstate WHERE profile_id = %(absorbed)s
                RETURNING purpose_id, decision, collected_at
            ), decided AS (
                SELECT t.purpose_id,
                       CASE WHEN s.decision IS NULL THEN t.decision
                            WHEN s.decision <> 'granted' THEN s.decision ELSE t.decision END AS decision,
                       greatest(t.collected_at, s.collected_at) AS collected_at
                  FROM theirs t LEFT JOIN consent_consentstate s ON s.purpose_id = t.purpose_id AND s.profile_id = %(survivor)s
            ), appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, recorded_at)
                SELECT %(survivor)s, purpose_id, 'person', decision, 'merge', '', jsonb_build_object('absorbed', %(absorbed)s::bigint),
                       collected_at, now() FROM decided
                RETURNING id, purpose_id, decision, collected_at
            )
            INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, record_id)
            SELECT purpose_id, %(survivor)s, decision, collected_at, id FROM appended
            ON CONFLICT (purpose_id, profile_id) DO UPDATE
               SET decision = excluded.decision, collected_at = excluded.collected_at, record_id = excluded.record_id
            """,
            {"survivor": survivor_id, "absorbed": absorbed_id},
        )


def part_consent(*, survivor_id: int, restored_id: int) -> None:
    """Gives two profiles that part the stricter answer each: the denials of both, and a grant only to who gave it.

    A grant that one of them held only through the other ends: to merge and part again must not widen anything.
    """
    pair = {"survivor": survivor_id, "restored": restored_id}
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH own AS (
                SELECT DISTINCT ON (profile_id, purpose_id) profile_id, purpose_id, decision
                  FROM consent_consentrecord
                 WHERE profile_id IN (%(survivor)s, %(restored)s) AND reach = 'person' AND method <> 'merge'
                 ORDER BY profile_id, purpose_id, collected_at DESC, (decision = 'granted'), id DESC
            ), ended AS (
                DELETE FROM consent_consentstate s WHERE s.profile_id = %(survivor)s RETURNING purpose_id, decision, collected_at
            ), appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, recorded_at)
                SELECT p.id, e.purpose_id, 'person', e.decision, 'merge', '',
                       jsonb_build_object('parted', jsonb_build_array(%(survivor)s::bigint, %(restored)s::bigint)), e.collected_at, now()
                  FROM ended e CROSS JOIN (VALUES (%(survivor)s::bigint), (%(restored)s::bigint)) AS p(id)
                  LEFT JOIN own o ON o.profile_id = p.id AND o.purpose_id = e.purpose_id
                 WHERE e.decision <> 'granted' OR o.decision = 'granted'
                RETURNING id, profile_id, purpose_id, decision, collected_at
            )
            SELECT purpose_id, profile_id, decision, collected_at, id FROM appended
            """,
            pair,
        )
        # Not in the statement above: it could not see its own deletion, and would collide with what it replaces.
        cursor.executemany(
            "INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, record_id) VALUES (%s, %s, %s, %s, %s)",
            cursor.fetchall(),
        )

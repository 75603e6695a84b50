"""How many of a segment's members, or of whom a rule would give, a purpose permits, and why the others are left out: everybody counts
once.

Who the members are is read in `segments.querysets`, for a purpose; here nobody is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from django.db import OperationalError, transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor, limit_statements, snapshot
from cdp.errors import DomainError
from consent.models import Mode, Purpose
from segments.catalogue import catalog
from segments.engines import estimating, postgres
from segments.guard import refuse_too_dear
from segments.models import Segment
from segments.moments import moment_of_judgement
from segments.personal import without_values
from segments.previews import PREVIEW_SECONDS
from segments.rules import load
from segments.running import Ticket, place
from segments.thresholds import with_thresholds

SECONDS: Final = 10


class Why(StrEnum):
    """Why somebody is left out, the strongest reason first: whoever is halted stays so whatever they say."""

    HALTED = "halted"
    WITHDRAWN = "withdrawn"
    DENIED = "denied"
    ENDED = "ended"
    UNCONFIRMED = "unconfirmed"
    NEVER_ASKED = "never_asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """``members`` is ``permitted`` and all of ``left_out`` together; reasons that concern nobody aren't in it."""

    members: int
    permitted: int
    left_out: dict[Why, int]


# The same question as `consent.querysets.permitted`, asked of why: a test holds the two together.
STANDINGS: Final = """
SELECT asked.purpose,
       CASE WHEN stopped.profile_id IS NOT NULL THEN 'halted'
            WHEN s.decision = 'granted' AND (s.expires_at IS NULL OR s.expires_at > now()) THEN 'granted'
            WHEN s.decision = 'granted' THEN 'ended'
            WHEN s.decision IS NOT NULL THEN s.decision
            WHEN EXISTS (SELECT FROM consent_consentrecord r WHERE r.profile_id = m.profile_id
                            AND r.purpose_id = asked.purpose AND r.decision = 'pending') THEN 'unconfirmed'
            ELSE 'never_asked' END AS standing, count(*)
  FROM ({people}) AS m
  JOIN profiles_profile p ON p.id = m.profile_id
 CROSS JOIN unnest(%(purposes)s::bigint[]) AS asked(purpose)
  LEFT JOIN consent_consentstate s ON s.profile_id = m.profile_id AND s.purpose_id = asked.purpose
       AND s.purpose_id = ANY(%(purposes)s::bigint[])
  LEFT JOIN (SELECT DISTINCT profile_id, purpose_id FROM consent_stopped WHERE purpose_id = ANY(%(purposes)s::bigint[])) AS stopped
         ON stopped.profile_id = m.profile_id AND stopped.purpose_id = asked.purpose
 GROUP BY 1, 2
"""
MEMBERS: Final = "SELECT profile_id FROM segments_membership WHERE segment_id = %(segment)s"


@transaction.atomic
def permission_of(*, segment: Segment, purpose: Purpose, by: Actor) -> Permission:
    """Figures of now. That they were asked for is on record: of few members they would tell what one of them said.

    Raises:
        DomainError: counting took too long.
    """
    try:
        limit_statements(seconds=SECONDS)
        counted = _counted(MEMBERS, {"segment": segment.pk}, [purpose])
    except OperationalError as slow:
        raise DomainError("permission_too_slow", "Counting took too long just now. Try again in a minute.") from slow
    found = _permission(purpose, counted[purpose.pk])
    detail = {"members": found.members, "permitted": found.permitted}
    record(by=by, action="segment.permission_counted", object=segment, purpose=purpose.key, detail=detail)
    return found


def permissions_of_rule(
    *, rule: Any, purposes: Sequence[Purpose], segment: Segment | None, by: Actor, ticket: Ticket | None = None
) -> list[tuple[Purpose, Permission]]:
    """The same of whom a rule would give now, saved or not, for each of the purposes; of one moment, so their members are equal.

    Args:
        rule: its document; the caller has made sure that ``by`` may name what it names.
        segment: whose rule it would be; None of a new one.
        ticket: by which a newer preview takes the place of this.

    Raises:
        RuleErrors: all that is wrong with the rule, or that it would cost too much.
        PreviewsBusy: too many are being counted already.
        Superseded: a newer one came.
        django.db.OperationalError: a statement took longer than `PREVIEW_SECONDS`.
    """
    known = catalog()
    loaded = load(rule, known)
    known = with_thresholds(known, loaded, seconds=PREVIEW_SECONDS)
    with place(ticket=ticket, seconds=PREVIEW_SECONDS), snapshot(seconds=PREVIEW_SECONDS):
        now = moment_of_judgement()
        refuse_too_dear(estimating.count_of(loaded, known, as_of=now), [loaded], known, as_of=now)
        sql, operands = postgres.people_of(loaded, known, as_of=now)
        counted = _counted(sql, operands, purposes)
        found = [(one, _permission(one, counted[one.pk])) for one in purposes]
        for purpose, permission in found:
            detail = {
                "rule": without_values(rule),
                "members": permission.members,
                "permitted": permission.permitted,
            }
            record(by=by, action="segment.draft_permission_counted", object=segment, purpose=purpose.key, detail=detail)
    return found


def _counted(people: str, operands: Mapping[str, Any], purposes: Sequence[Purpose]) -> dict[int, dict[str, int]]:
    """By purpose, how many of the people of a statement of ours stand how."""
    counted: dict[int, dict[str, int]] = {one.pk: {} for one in purposes}
    with bound_cursor() as cursor:
        cursor.execute(STANDINGS.format(people=people), {**operands, "purposes": list(counted)})
        for purpose, standing, count in cursor.fetchall():
            counted[purpose][standing] = count
    return counted


def _permission(purpose: Purpose, standings: Mapping[str, int]) -> Permission:
    silent = {"granted"} if purpose.mode == Mode.OPT_IN else {"granted", "ended", "unconfirmed", "never_asked"}
    permitting = silent if purpose.mode != Mode.NOTICE_ONLY else set(standings) - {Why.HALTED}
    return Permission(
        members=sum(standings.values()),
        permitted=sum(count for standing, count in standings.items() if standing in permitting),
        left_out={why: standings[why] for why in Why if why in standings and why not in permitting},
    )

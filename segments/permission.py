"""How many of a segment's members a purpose permits, and why the others are left out: every member counts once.

Who the members are is read in `segments.querysets`, for a purpose; here nobody is named.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.db import OperationalError, transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor, limit_statements
from cdp.errors import DomainError
from consent.models import Mode, Purpose
from segments.models import Segment

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
COUNT: Final = """
SELECT CASE WHEN stopped.profile_id IS NOT NULL THEN 'halted'
            WHEN s.decision = 'granted' AND (s.expires_at IS NULL OR s.expires_at > now()) THEN 'granted'
            WHEN s.decision = 'granted' THEN 'ended'
            WHEN s.decision IS NOT NULL THEN s.decision
            WHEN EXISTS (SELECT FROM consent_consentrecord r WHERE r.profile_id = m.profile_id
                            AND r.purpose_id = %(purpose)s AND r.decision = 'pending') THEN 'unconfirmed'
            ELSE 'never_asked' END AS standing, count(*)
  FROM segments_membership m
  JOIN profiles_profile p ON p.id = m.profile_id
  LEFT JOIN consent_consentstate s ON s.profile_id = m.profile_id AND s.purpose_id = %(purpose)s
  LEFT JOIN (SELECT DISTINCT profile_id FROM consent_stopped WHERE purpose_id = %(purpose)s) AS stopped
         ON stopped.profile_id = m.profile_id
 WHERE m.segment_id = %(segment)s
 GROUP BY 1
"""


@transaction.atomic
def permission_of(*, segment: Segment, purpose: Purpose, by: Actor) -> Permission:
    """Figures of now. That they were asked for is on record: of few members they would tell what one of them said.

    Raises:
        DomainError: counting took too long.
    """
    try:
        limit_statements(seconds=SECONDS)
        with bound_cursor() as cursor:
            cursor.execute(COUNT, {"segment": segment.pk, "purpose": purpose.pk})
            standings: dict[str, int] = dict(cursor.fetchall())
    except OperationalError as slow:
        raise DomainError("permission_too_slow", "Counting took too long just now. Try again in a minute.") from slow
    silent = {"granted"} if purpose.mode == Mode.OPT_IN else {"granted", "ended", "unconfirmed", "never_asked"}
    permitting = silent if purpose.mode != Mode.NOTICE_ONLY else set(standings) - {Why.HALTED}
    members = sum(standings.values())
    permitted = sum(count for standing, count in standings.items() if standing in permitting)
    detail = {"members": members, "permitted": permitted}
    record(by=by, action="segment.permission_counted", object=segment, purpose=purpose.key, detail=detail)
    left_out = {why: standings[why] for why in Why if why in standings and why not in permitting}
    return Permission(members=members, permitted=permitted, left_out=left_out)

"""Whom a page of a segment's members held when it was read: worked out from who is in now, undoing who came and went since.

The log keeps of each page its segment, purpose, cursor and how many it held, not the people: that would be a copy of them. A
page goes by profile number from its cursor on, and holds who permitted the purpose then and wasn't stopped for it; what is on
record of consent tells that for any moment. What changed in the very minute in which the page was read can't be told to have been
before or after, so it is told as possible, and so is everybody where the sum doesn't come out. Nothing here reads a person's data.
"""

import base64
import binascii
import json
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from django.conf import settings

from cdp.audit.models import AuditEntry
from cdp.database import bound_cursor
from consent.models import Purpose
from consent.moments import held_by_many, unsettled
from segments.models import ChangeKind, Segment

SLICE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Page:
    """Profile ids that were surely on the page, and those that may have been. ``adds_up``: as many as the log says."""

    sure: frozenset[int]
    possible: frozenset[int]
    adds_up: bool


@dataclass(slots=True)
class Then:
    """A segment's past, as far back as ``since``: its members of now, and everybody's changes since."""

    segment: Segment
    now: "array[int]" = field(default_factory=lambda: array("q"))
    changes: dict[int, list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    everybody: list[int] = field(default_factory=list)

    @classmethod
    def load(cls, segment: Segment, *, since: datetime) -> "Then":
        """Reads members and changes; numbers only, 8 bytes for each member."""
        found = cls(segment)
        with bound_cursor() as cursor:
            cursor.execute(
                "SELECT profile_id FROM segments_membership WHERE segment_id = %s ORDER BY profile_id", [segment.pk]
            )
            found.now = array("q", (row[0] for row in cursor))
            cursor.execute(
                """
                SELECT profile_id, recorded_at, kind FROM (
                       SELECT profile_id, recorded_at, kind, position FROM segments_membershipchange
                        WHERE segment_id = %(segment)s AND recorded_at > %(since)s
                       UNION ALL
                       SELECT profile_id, recorded_at, kind, NULL FROM segments_pendingchange WHERE segment_id = %(segment)s
                ) AS c ORDER BY position NULLS LAST, recorded_at
                """,
                {"segment": segment.pk, "since": since - minute()},
            )
            for profile_id, recorded_at, kind in cursor:
                found.changes[profile_id].append((recorded_at, kind))
        found.everybody = sorted(set(found.now) | found.changes.keys())
        return found

    def was_in(self, profile_id: int, at: datetime) -> bool | None:
        """Whether the person was a member at the moment; None: they came or went in its very minute."""
        changes = self.changes.get(profile_id)
        if changes is None:
            return True  # in now, and nothing has changed
        if any(abs(recorded_at - at) <= minute() for recorded_at, _ in changes):
            return None
        later = next((kind for recorded_at, kind in changes if recorded_at > at), None)
        if later is not None:
            return later == ChangeKind.EXITED
        return changes[-1][1] == ChangeKind.ENTERED


def minute() -> timedelta:
    """How long an act may take from when it notes its moment until others see it."""
    return timedelta(seconds=settings.BATCH_SECONDS)


def page_of(entry: AuditEntry, then: Then, purpose: Purpose | None) -> Page:
    """Whom the page held that this entry of `members.read` tells of.

    Args:
        purpose: as it was set up then; None where that isn't known any more, so that nobody's permission can be told.
    """
    count = entry.detail.get("count")
    wanted = count if isinstance(count, int) else int(count or 0)
    if not wanted:
        return Page(frozenset(), frozenset(), adds_up=True)
    after = position_of(str(entry.detail.get("cursor", "")))
    if after is None:
        return Page(frozenset(), frozenset(then.everybody), adds_up=False)
    sure: list[int] = []
    maybe: list[int] = []
    for profile_id, is_sure in _candidates(then, after, entry.recorded_at, purpose):
        (sure if is_sure else maybe).append(profile_id)
        if len(sure) == wanted:
            break
    if len(sure) + len(maybe) < wanted:
        past = then.everybody[bisect_right(then.everybody, after) :]
        return Page(frozenset(), frozenset(past), adds_up=False)
    # The page holds the first so many who qualify. Each of the uncertain may have pushed one of the sure off its end.
    certain = sure[: max(0, wanted - len(maybe))]
    return Page(frozenset(certain), frozenset([*sure[len(certain) :], *maybe]), adds_up=True)


def position_of(cursor: str) -> int | None:
    """The profile number after which a page begins: 0 for the first. None: the cursor can't be read.

    Its signature isn't looked at. Nobody but the platform wrote it into the log, and only then when it was in order.
    """
    if not cursor:
        return 0
    payload = cursor.rpartition(":")[0]
    try:
        [position] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return int(position)
    except (binascii.Error, ValueError, TypeError):
        return None


def _candidates(then: Then, after: int, at: datetime, purpose: Purpose | None) -> Iterator[tuple[int, bool]]:
    """In the order of pages: who may have been in and permitted, and whether both are sure."""
    everybody = then.everybody
    inside = (
        (everybody[place], was_in)
        for place in range(bisect_right(everybody, after), len(everybody))
        if (was_in := then.was_in(everybody[place], at)) is not False
    )
    while some := list(islice(inside, SLICE)):
        permits = _permitted([profile_id for profile_id, _ in some], purpose, at)
        for profile_id, was_in in some:
            permitted = permits.get(profile_id)
            if permitted is not False:
                yield profile_id, bool(was_in and permitted)


def _permitted(profile_ids: Sequence[int], purpose: Purpose | None, at: datetime) -> dict[int, bool | None]:
    """Whether each permitted the purpose then and wasn't stopped for it, by what was known then; None: it can't be told."""
    if purpose is None:
        return {}
    near = minute()
    unsure = unsettled(profile_ids, purpose, since=at - near, until=at + near)
    held = held_by_many(profile_ids, purpose, at=at, known_at=at)
    return {
        profile_id: None if profile_id in unsure or (one.until and abs(one.until - at) <= near) else one.permits
        for profile_id, one in held.items()
    }

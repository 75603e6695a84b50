"""What people chose, by the words they were shown: counted in the database, set by set.

Of what was shown, how much was decided, and how much of that was a yes: `Funnel`. What the figures mean is said by the console;
what chance could have made is in `segments.estimates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from cdp.database import bound_cursor


@dataclass(frozen=True, kw_only=True, slots=True)
class Funnel:
    """How often a version was shown in a span, after how many of these something was decided for the purpose, and a yes."""

    version_id: int
    shown: int
    decided: int
    granted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Week:
    """Decisions of people in the week that begins on this Monday."""

    begins: date
    granted: int
    refused: int
    withdrawn: int

    @property
    def answered(self) -> int:
        """Yes or no to a question; a withdrawal is none."""
        return self.granted + self.refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """Decisions that came by one way from one source (None: from the platform's own pages)."""

    method: str
    source_id: int | None
    granted: int
    refused: int
    withdrawn: int

    @property
    def answered(self) -> int:
        return self.granted + self.refused


# One decision for each time it was shown: the last, of several; a yes that waits for its confirmation is decided.
FUNNELS: Final = """
    WITH shown AS (
        SELECT id, version_id FROM consent_servednotice
         WHERE version_id = ANY(%(versions)s::bigint[]) AND served_at >= %(since)s AND served_at < %(until)s
    ), decided AS (
        SELECT DISTINCT ON (r.served_id) r.served_id, r.decision
          FROM consent_consentrecord r JOIN shown s ON s.id = r.served_id
         WHERE r.purpose_id = %(purpose)s
         ORDER BY r.served_id, r.id DESC
    )
    SELECT s.version_id, count(*), count(d.served_id), count(*) FILTER (WHERE d.decision IN ('granted', 'pending'))
      FROM shown s LEFT JOIN decided d ON d.served_id = s.id GROUP BY s.version_id
"""
# What merges and repetitions write down was decided before, and by other words; a pending yes is one once it is confirmed.
ANSWERS: Final = """
      FROM consent_consentrecord r
     WHERE r.purpose_id = %(purpose)s AND r.collected_at >= %(since)s AND r.collected_at < %(until)s
       AND r.decision <> 'pending' AND r.method NOT IN ('merge', 'repeated', 'inherited')
"""
COUNTS: Final = """
    count(*) FILTER (WHERE r.decision = 'granted'), count(*) FILTER (WHERE r.decision = 'denied'),
    count(*) FILTER (WHERE r.decision = 'withdrawn')
"""


def funnels(*, purpose_id: int, version_ids: Sequence[int], since: datetime, until: datetime) -> list[Funnel]:
    """One for each of the versions that was shown in the span at all."""
    with bound_cursor() as cursor:
        cursor.execute(FUNNELS, {"purpose": purpose_id, "versions": list(version_ids), "since": since, "until": until})
        rows = cursor.fetchall()
    return [Funnel(version_id=one, shown=shown, decided=d, granted=g) for one, shown, d, g in rows]


def weeks(*, purpose_id: int, since: datetime, until: datetime, time_zone: str) -> dict[date, Week]:
    """By the Monday on which each begins, in this time zone; weeks without any decision are absent."""
    with bound_cursor() as cursor:
        cursor.execute(
            f"SELECT date_trunc('week', r.collected_at AT TIME ZONE %(zone)s)::date, {COUNTS} {ANSWERS} GROUP BY 1",
            {"purpose": purpose_id, "since": since, "until": until, "zone": time_zone},
        )
        rows = cursor.fetchall()
    return {day: Week(begins=day, granted=g, refused=d, withdrawn=w) for day, g, d, w in rows}


def ways(*, purpose_id: int, since: datetime, until: datetime) -> list[Way]:
    """Those by which most answers came first."""
    with bound_cursor() as cursor:
        cursor.execute(
            f"SELECT r.method, r.source_id, {COUNTS} {ANSWERS} GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2",
            {"purpose": purpose_id, "since": since, "until": until},
        )
        rows = cursor.fetchall()
    return [Way(method=m, source_id=source, granted=g, refused=d, withdrawn=w) for m, source, g, d, w in rows]

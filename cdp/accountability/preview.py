"""What would be deleted if these periods were applied now: rows by event name and month, and of the other kinds.

Nothing is locked and nothing is written. What is derived isn't counted: it goes with what it follows from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from django.db import OperationalError, transaction

from cdp.accountability import periods
from cdp.accountability.models import Kind
from cdp.accountability.periods import Periods
from cdp.database import bound_cursor, limit_statements
from cdp.errors import DomainError

SECONDS = 20

# Superseded events bear their name's number with the sign turned. One range of the index by name for each of them.
EVENTS = """
    SELECT n.name, e.month::date, sum(e.count)::bigint, max(g.until)
      FROM unnest(%(names)s::int[], %(until)s::timestamptz[]) AS g(name_id, until)
      JOIN profiles_eventname n ON n.id = g.name_id
     CROSS JOIN LATERAL (
           SELECT date_trunc('month', occurred_at AT TIME ZONE 'UTC') AS month, count(*) AS count FROM profiles_event
            WHERE name_id IN (g.name_id, -g.name_id) AND occurred_at < g.until AND type <> 7 GROUP BY 1) AS e
     GROUP BY 1, 2 ORDER BY 1, 2
"""
TRAITS = """
    SELECT t.category, sum(v.count)::bigint
      FROM unnest(%(traits)s::int[], %(until)s::timestamptz[]) AS g(trait_id, until)
      JOIN profiles_trait t ON t.id = g.trait_id
     CROSS JOIN LATERAL (
           SELECT count(*) AS count FROM profiles_traitvalue
            WHERE trait_id = g.trait_id AND occurred_at < g.until) AS v
     GROUP BY 1 HAVING sum(v.count) > 0 ORDER BY 1
"""
RUNS = """
    SELECT r.kind, count(*) FROM profiles_scorerun r
     WHERE NOT r.is_current AND coalesce(r.published_at, r.created_at) < %(until)s GROUP BY 1 ORDER BY 1
"""
QUARANTINE = "SELECT count(*) FROM ingestion_quarantined WHERE quarantined_at < %(until)s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """So many rows; ``month`` (its first day) of events, None of what lies in no month."""

    kind: Kind
    what: str
    month: date | None
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What is over as of a moment."""

    as_of: datetime
    rows: list[Row]

    @property
    def total(self) -> int:
        return sum(row.count for row in self.rows)

    @property
    def events(self) -> int:
        return sum(row.count for row in self.rows if row.kind == Kind.EVENTS)


def preview(given: Periods, *, as_of: datetime, seconds: float = SECONDS) -> Preview:
    """What these periods would delete as of this moment.

    Raises:
        DomainError: counting took too long.
    """
    try:
        with transaction.atomic():
            limit_statements(seconds=seconds)
            return Preview(as_of=as_of, rows=_rows(given, as_of))
    except OperationalError as slow:
        raise DomainError(
            "preview_too_slow",
            f"Counting what would go took longer than {seconds:g} seconds. Try at a quieter time, or have a narrower rule first.",
        ) from slow


def _rows(given: Periods, as_of: datetime) -> list[Row]:
    rows: list[Row] = []
    events = periods.event_cutoffs(given, as_of)
    for name, month, count, _ in _asked(EVENTS, {"names": list(events), "until": list(events.values())}):
        rows.append(Row(kind=Kind.EVENTS, what=name, month=month, count=count))
    traits = periods.trait_cutoffs(given, as_of)
    for category, count in _asked(TRAITS, {"traits": list(traits), "until": list(traits.values())}):
        rows.append(Row(kind=Kind.TRAITS, what=category, month=None, count=count))
    if (days := given.days_for(Kind.SCORES)) is not None:
        for kind, count in _asked(RUNS, {"until": periods.cutoff(as_of, days)}):
            rows.append(Row(kind=Kind.SCORES, what=kind, month=None, count=count))
    days = given.days_for(Kind.QUARANTINE)
    [(count,)] = _asked(QUARANTINE, {"until": None if days is None else periods.cutoff(as_of, days)})
    if count:
        rows.append(Row(kind=Kind.QUARANTINE, what="", month=None, count=count))
    return rows


def _asked(statement: str, params: Mapping[str, object]) -> list[tuple]:  # type: ignore[type-arg]
    with bound_cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall()

"""How often, how much, first and last, per person and event name: kept with each batch, and counted anew where need be.

What counts under a name is said by the events themselves; a superseded one has none that is asked for.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

from cdp.database import bound_cursor
from cdp.profiles.store import EventRow

ZERO = Decimal(0)


def add_to_totals(rows: Iterable[EventRow]) -> None:
    """Adds the events to the running totals of their people."""
    totals: dict[tuple[int, int], list[Any]] = {}
    for row in rows:
        value = row.value or ZERO
        total = totals.get((row.profile_id, row.name_id))
        if total is None:
            totals[row.profile_id, row.name_id] = [1, value, row.occurred_at, row.occurred_at]
        else:
            total[0] += 1
            total[1] += value
            total[2] = min(total[2], row.occurred_at)
            total[3] = max(total[3], row.occurred_at)
    keys = sorted(totals)
    with bound_cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO profiles_eventtotal AS t (profile_id, name_id, count, value_sum, first_at, last_at)
            SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[], %s::timestamptz[], %s::timestamptz[])
            ON CONFLICT (profile_id, name_id) DO UPDATE SET
                count = t.count + excluded.count,
                value_sum = t.value_sum + excluded.value_sum,
                first_at = least(t.first_at, excluded.first_at),
                last_at = greatest(t.last_at, excluded.last_at)
            """,
            [
                [k[0] for k in keys],
                [k[1] for k in keys],
                *([totals[k][column] for k in keys] for column in range(4)),
            ],
        )


def add_totals_of(*, absorbed: Sequence[int], survivors: Sequence[int]) -> None:
    """Adds the totals of the absorbed to those of whom they follow into, and takes them away: sums are sums of sums."""
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH gone AS (
                DELETE FROM profiles_eventtotal t
                 USING unnest(%(absorbed)s::bigint[], %(survivors)s::bigint[]) AS g(absorbed, survivor)
                 WHERE t.profile_id = g.absorbed AND t.profile_id = ANY(%(absorbed)s::bigint[])
                RETURNING g.survivor, t.name_id, t.count, t.value_sum, t.first_at, t.last_at
            )
            INSERT INTO profiles_eventtotal AS t (profile_id, name_id, count, value_sum, first_at, last_at)
            SELECT survivor, name_id, sum(count), sum(value_sum), min(first_at), max(last_at) FROM gone GROUP BY 1, 2
            ON CONFLICT (profile_id, name_id) DO UPDATE SET
                count = t.count + excluded.count,
                value_sum = t.value_sum + excluded.value_sum,
                first_at = least(t.first_at, excluded.first_at),
                last_at = greatest(t.last_at, excluded.last_at)
            """,
            {"absorbed": list(absorbed), "survivors": list(survivors)},
        )


def rebuild_totals(profile_ids: Sequence[int]) -> None:
    """Derives the totals of these people anew from their events; for merges, their undoing, and erasure."""
    with bound_cursor() as cursor:
        cursor.execute("DELETE FROM profiles_eventtotal WHERE profile_id = ANY(%s)", [list(profile_ids)])
        cursor.execute(
            """
            INSERT INTO profiles_eventtotal (profile_id, name_id, count, value_sum, first_at, last_at)
            SELECT profile_id, name_id, count(*), coalesce(sum(value), 0), min(occurred_at), max(occurred_at)
              FROM profiles_event WHERE profile_id = ANY(%s) AND name_id > 0 GROUP BY profile_id, name_id
            """,
            [list(profile_ids)],
        )


def recount(pairs: Collection[tuple[int, int]]) -> None:
    """Counts these (profile id, event name's number) anew from the events: what was taken away can't be subtracted.

    A sum could be, but the first and the last moment can only be looked up.
    """
    if not pairs:
        return
    ordered = sorted(pairs)
    arguments = [[profile_id for profile_id, _ in ordered], [name_id for _, name_id in ordered]]
    with bound_cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM profiles_eventtotal t USING unnest(%s::bigint[], %s::int[]) AS g(profile_id, name_id)
             WHERE t.profile_id = g.profile_id AND t.name_id = g.name_id
            """,
            arguments,
        )
        cursor.execute(
            """
            INSERT INTO profiles_eventtotal (profile_id, name_id, count, value_sum, first_at, last_at)
            SELECT g.profile_id, g.name_id, count(*), coalesce(sum(e.value), 0), min(e.occurred_at), max(e.occurred_at)
              FROM unnest(%s::bigint[], %s::int[]) AS g(profile_id, name_id)
              JOIN profiles_event e ON e.profile_id = g.profile_id AND e.name_id = g.name_id
             GROUP BY g.profile_id, g.name_id
            """,
            arguments,
        )

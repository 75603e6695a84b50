"""Keeps sessions, and the derived event `Session Started` of each, in line with what people's devices sent.

How pieces become sessions is in `cdp.profiles.sessions`. The caller has locked the people.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from cdp.database import bound_cursor
from cdp.profiles import catalogue
from cdp.profiles.models import EventType
from cdp.profiles.sessions import GAP, SESSION_STARTED, Entry, Visit, joined, where_from
from cdp.profiles.store import EventRow, copy_events
from cdp.profiles.totals import add_to_totals, recount

COLUMNS = (
    "profile_id, started_at, ended_at, events, message_id, source_id, identifier_id,"
    " entry_page, utm_source, utm_medium, utm_campaign"
)


def extend_sessions(rows: Iterable[EventRow]) -> set[int]:
    """The people of whom a session began, or two became one, with these events. Each event may be given once only."""
    pieces: dict[int, list[Visit]] = defaultdict(list)
    for row in rows:
        if row.from_device:
            pieces[row.profile_id].append(_piece(row))
    if not pieces:
        return set()
    near = _sessions_near(pieces)
    return _bring_in_line(
        before=near, after={profile_id: joined([*near[profile_id], *new]) for profile_id, new in pieces.items()}
    )


def join_sessions(follows: Mapping[int, int]) -> None:
    """Joins the sessions of absorbed people (absorbed -> survivor) with the survivors'; their events have followed."""
    with bound_cursor() as cursor:
        cursor.execute(
            f"DELETE FROM profiles_session WHERE profile_id = ANY(%s::bigint[]) RETURNING {COLUMNS}",  # noqa: S608  # the columns are written above
            [list(follows)],
        )
        brought: dict[int, list[Visit]] = defaultdict(list)
        for absorbed, visit in map(_visit, cursor.fetchall()):
            brought[follows[absorbed]].append(visit)
        if not brought:
            return
        cursor.execute(
            f"SELECT {COLUMNS} FROM profiles_session WHERE profile_id = ANY(%s::bigint[])",  # noqa: S608  # the columns are written above
            [sorted(brought)],
        )
        own: dict[int, list[Visit]] = defaultdict(list)
        for survivor, visit in map(_visit, cursor.fetchall()):
            own[survivor].append(visit)
    _bring_in_line(
        before={survivor: [*own[survivor], *visits] for survivor, visits in brought.items()},
        after={survivor: joined([*own[survivor], *visits]) for survivor, visits in brought.items()},
        stored=own,
    )


def rebuild_sessions(profile_ids: Sequence[int]) -> None:
    """Derives the sessions of these people anew from their events; when a merge is undone, sessions part as well."""
    name_id = catalogue.known_event_names()[SESSION_STARTED]
    ids = list(profile_ids)
    with bound_cursor() as cursor:
        cursor.execute("DELETE FROM profiles_session WHERE profile_id = ANY(%s::bigint[])", [ids])
        cursor.execute(
            "DELETE FROM profiles_event WHERE profile_id = ANY(%s::bigint[]) AND name_id = %s AND type = %s",
            [ids, name_id, int(EventType.DERIVED)],
        )
        cursor.execute(ISLANDS, {"ids": ids, "gap": GAP})
        after: dict[int, list[Visit]] = defaultdict(list)
        for profile_id, started_at, ended_at, events, message, source, identifier, received_at, said, context in cursor:
            entry = Entry(message, source, identifier, received_at, *where_from(_decoded(said), _decoded(context)))
            after[profile_id].append(Visit(started_at, ended_at, events, entry))
    _bring_in_line(before={profile_id: [] for profile_id in after}, after=after)
    recount([(profile_id, name_id) for profile_id in ids])


def shrink_sessions(gone: Mapping[int, Collection[datetime]]) -> set[int]:
    """The people of whom a session ended up in another, or in none, after their devices' events at these moments were deleted.

    Each such event lay inside one session. What is left of that session is cut anew; it can't reach another one, since more
    than `GAP` lies between.
    """
    if not gone:
        return set()
    people = [profile_id for profile_id, moments in gone.items() for _ in moments]
    moments = [moment for of_person in gone.values() for moment in of_person]
    before: dict[int, list[Visit]] = defaultdict(list)
    with bound_cursor() as cursor:
        cursor.execute(
            f"""
            SELECT DISTINCT s.* FROM unnest(%s::bigint[], %s::timestamptz[]) AS g(profile_id, at)
             CROSS JOIN LATERAL (
                   SELECT {COLUMNS} FROM profiles_session
                    WHERE profile_id = g.profile_id AND ended_at >= g.at ORDER BY ended_at LIMIT 1) AS s
             WHERE s.started_at <= g.at
            """,  # noqa: S608  # the columns are written above
            [people, moments],
        )
        for profile_id, visit in map(_visit, cursor.fetchall()):
            before[profile_id].append(visit)
        spans = [(profile_id, visit) for profile_id, visits in before.items() for visit in visits]
        cursor.execute(
            LEFT_OF,
            [
                [profile_id for profile_id, _ in spans],
                [visit.started_at for _, visit in spans],
                [visit.ended_at for _, visit in spans],
            ],
        )
        left: dict[int, list[Visit]] = {profile_id: [] for profile_id in before}
        for profile_id, at, message, source, identifier, received_at, said, context in cursor:
            entry = Entry(message, source, identifier, received_at, *where_from(_decoded(said), _decoded(context)))
            left[profile_id].append(Visit(at, at, 1, entry))
    return _bring_in_line(before=before, after={profile_id: joined(pieces) for profile_id, pieces in left.items()})


LEFT_OF = """
SELECT e.profile_id, e.occurred_at, e.message_id, e.source_id, e.identifier_id, e.received_at, e.properties, e.context
  FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS g(profile_id, since, until)
  JOIN profiles_event e ON e.profile_id = g.profile_id AND e.occurred_at BETWEEN g.since AND g.until AND e.from_device
"""


ISLANDS = """
WITH sent AS (
    SELECT *, row_number() OVER person AS place, occurred_at - lag(occurred_at) OVER person <= %(gap)s IS NOT TRUE AS starts
      FROM profiles_event WHERE profile_id = ANY(%(ids)s::bigint[]) AND from_device
    WINDOW person AS (PARTITION BY profile_id ORDER BY occurred_at, message_id COLLATE "C", source_id)
), numbered AS (
    SELECT *, count(*) FILTER (WHERE starts) OVER (PARTITION BY profile_id ORDER BY place) AS number FROM sent
), whole AS (
    SELECT profile_id, number, max(occurred_at) AS ended_at, count(*) AS events FROM numbered GROUP BY profile_id, number
)
SELECT f.profile_id, f.occurred_at, w.ended_at, w.events, f.message_id, f.source_id, f.identifier_id, f.received_at,
       f.properties, f.context
  FROM numbered f JOIN whole w USING (profile_id, number) WHERE f.starts
"""


def _piece(row: EventRow) -> Visit:
    entry = Entry(
        row.message_id, row.source_id, row.identifier_id, row.received_at, *where_from(row.properties, row.context)
    )
    return Visit(row.occurred_at, row.occurred_at, 1, entry)


def _sessions_near(pieces: Mapping[int, Sequence[Visit]]) -> dict[int, list[Visit]]:
    """The stored sessions that new pieces may belong to, of each of these people."""
    ids = sorted(pieces)
    with bound_cursor() as cursor:
        cursor.execute(
            f"""
            SELECT {COLUMNS} FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS g(profile_id, since, until)
              JOIN profiles_session s USING (profile_id) WHERE s.ended_at >= g.since AND s.started_at <= g.until
            """,  # noqa: S608  # the columns are written above
            [
                ids,
                [min(one.started_at for one in pieces[i]) - GAP for i in ids],
                [max(one.ended_at for one in pieces[i]) + GAP for i in ids],
            ],
        )
        near: dict[int, list[Visit]] = {profile_id: [] for profile_id in ids}
        for profile_id, visit in map(_visit, cursor.fetchall()):
            near[profile_id].append(visit)
    return near


def _visit(row: tuple) -> tuple[int, Visit]:  # type: ignore[type-arg]
    profile_id, started_at, ended_at, events, message_id, source_id, identifier_id, *where = row
    # When its event came is no longer asked: the derived event that needs it is there already.
    return profile_id, Visit(started_at, ended_at, events, Entry(message_id, source_id, identifier_id, None, *where))


def _bring_in_line(
    *,
    before: Mapping[int, Sequence[Visit]],
    after: Mapping[int, Sequence[Visit]],
    stored: Mapping[int, Sequence[Visit]] | None = None,
) -> set[int]:
    """Writes the differences; the people of whom a session began or ended up in another.

    Args:
        stored: what the table has, where that is less than the derived events tell (``before``).
    """
    gone: list[tuple[int, datetime]] = []
    changed: list[tuple[int, Visit]] = []
    begun: list[EventRow] = []
    over: list[tuple[int, datetime, str, int]] = []
    name_id = catalogue.known_event_names()[SESSION_STARTED]
    for profile_id, now in after.items():
        had = before[profile_id]
        kept = {visit.started_at: visit for visit in (stored or before).get(profile_id, ())}
        starts = {visit.started_at for visit in now}
        gone += [(profile_id, start) for start in kept if start not in starts]
        changed += [(profile_id, visit) for visit in now if kept.get(visit.started_at) != visit]
        keys, keys_now = {visit.key for visit in had}, {visit.key for visit in now}
        over += [(profile_id, *key) for key in keys - keys_now]
        begun += [_started(profile_id, name_id, visit) for visit in now if visit.key not in keys]
    _write(gone, changed)
    if over:
        with bound_cursor() as cursor:
            cursor.execute(
                "DELETE FROM profiles_event e USING unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::int[])"
                " AS g(profile_id, occurred_at, message_id, source_id)"
                " WHERE e.profile_id = g.profile_id AND e.name_id = %s AND e.type = %s AND e.occurred_at = g.occurred_at"
                " AND e.message_id = g.message_id AND e.source_id = g.source_id",
                [*(list(column) for column in zip(*over, strict=True)), name_id, int(EventType.DERIVED)],
            )
    moved = {profile_id for profile_id, *_ in over}
    if begun:
        copy_events(begun)
        add_to_totals(row for row in begun if row.profile_id not in moved)
    recount([(profile_id, name_id) for profile_id in moved])
    return moved | {row.profile_id for row in begun}


def _started(profile_id: int, name_id: int, visit: Visit) -> EventRow:
    return EventRow(
        occurred_at=visit.started_at,
        profile_id=profile_id,
        identifier_id=visit.entry.identifier_id,
        name_id=name_id,
        type=EventType.DERIVED,
        message_id=visit.entry.message_id,
        source_id=visit.entry.source_id,
        received_at=visit.entry.received_at or visit.started_at,
        sent_at=None,
        original_timestamp=None,
        amount=None,
        currency=None,
        value=None,
        properties=visit.entry.said,
        context={},
        flags=None,
    )


def _write(gone: Sequence[tuple[int, datetime]], changed: Sequence[tuple[int, Visit]]) -> None:
    with bound_cursor() as cursor:
        if gone:
            cursor.execute(
                "DELETE FROM profiles_session s USING unnest(%s::bigint[], %s::timestamptz[]) AS g(profile_id, started_at)"
                " WHERE s.profile_id = g.profile_id AND s.started_at = g.started_at",
                [list(column) for column in zip(*gone, strict=True)],
            )
        if changed:
            cursor.execute(
                f"""
                INSERT INTO profiles_session AS s ({COLUMNS})
                SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::text[], %s::int[],
                                     %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
                ON CONFLICT (profile_id, started_at) DO UPDATE SET
                    ended_at = excluded.ended_at, events = excluded.events, message_id = excluded.message_id,
                    source_id = excluded.source_id, identifier_id = excluded.identifier_id, entry_page = excluded.entry_page,
                    utm_source = excluded.utm_source, utm_medium = excluded.utm_medium, utm_campaign = excluded.utm_campaign
                """,  # noqa: S608  # the columns are written above
                [
                    [profile_id for profile_id, _ in changed],
                    *([getattr(visit, name) for _, visit in changed] for name in ("started_at", "ended_at", "events")),
                    *(
                        [getattr(visit.entry, name) for _, visit in changed]
                        for name in (
                            "message_id", "source_id", "identifier_id", "page", "utm_source", "utm_medium", "utm_campaign",
                        )
                    ),
                ],
            )  # fmt: skip


def _decoded(text: str) -> dict[str, object]:
    found = msgspec.json.decode(text)
    return found if isinstance(found, dict) else {}

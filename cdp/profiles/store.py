"""Writing events and traits: whole sets at a time, inside the caller's transaction.

Who an event belongs to is decided before (`cdp.identity`); totals are in `cdp.profiles.totals`, what follows comes after.
Every function here may be called again with the same input only if the caller has dropped repeats first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from cdp.database import bound_cursor
from cdp.profiles.values import typed

MISSING: Any = object()

encode = msgspec.json.Encoder(order=None).encode


@dataclass(slots=True)
class EventRow:
    """One event as it is stored; every id is resolved."""

    occurred_at: datetime
    profile_id: int
    identifier_id: int | None
    name_id: int
    type: int
    message_id: str
    source_id: int
    received_at: datetime
    sent_at: datetime | None
    original_timestamp: datetime | None
    amount: Decimal | None
    currency: str | None
    value: Decimal | None
    properties: Mapping[str, Any]
    context: Mapping[str, Any]
    flags: list[str] | None
    order_key: str | None = None
    from_device: bool = False


@dataclass(slots=True)
class TraitRow:
    """What one message says of one trait; ``raw`` None takes the trait away."""

    profile_id: int
    trait_id: int
    key: str
    raw: Any
    occurred_at: datetime
    message_id: str
    source_id: int


def lock_profiles(profile_ids: Sequence[int]) -> list[int]:
    """Those of the profiles that exist, locked in id order until the transaction ends."""
    if not profile_ids:
        return []
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id FROM profiles_profile WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [list(profile_ids)]
        )
        return [row[0] for row in cursor.fetchall()]


COPY_EVENTS = (
    "COPY profiles_event (occurred_at, profile_id, identifier_id, name_id, type, message_id, source_id, received_at, sent_at,"
    " original_timestamp, amount, currency, value, properties, context, flags, order_key, from_device) FROM STDIN"
)


def copy_events(rows: Sequence[EventRow]) -> None:
    """Appends the events, in one COPY."""
    with bound_cursor() as cursor, cursor.copy(COPY_EVENTS) as copy:
        for row in rows:
            copy.write_row(
                (
                    row.occurred_at,
                    row.profile_id,
                    row.identifier_id,
                    row.name_id,
                    row.type,
                    row.message_id,
                    row.source_id,
                    row.received_at,
                    row.sent_at,
                    row.original_timestamp,
                    row.amount,
                    row.currency,
                    row.value,
                    encode(row.properties).decode(),
                    encode(row.context).decode(),
                    row.flags or None,
                    row.order_key,
                    row.from_device,
                )
            )


def apply_traits(rows: Iterable[TraitRow]) -> set[tuple[int, str]]:
    """The (profile id, trait key) pairs whose value is another now. The newest word on each trait wins, whenever it arrives.

    Equal moments are ordered by messageId, so that the order of arrival never matters.
    """
    newest: dict[tuple[int, int], TraitRow] = {}
    for row in rows:
        other = newest.get((row.trait_id, row.profile_id))
        if other is None or (row.occurred_at, row.message_id) > (other.occurred_at, other.message_id):
            newest[row.trait_id, row.profile_id] = row
    if not newest:
        return set()
    ordered = [newest[key] for key in sorted(newest)]
    changed: dict[tuple[int, str], Any] = {}
    kept = _without_older_than_removal([row for row in ordered if row.raw is not None])
    for profile_id, trait_id in _upsert(kept):
        row = newest[trait_id, profile_id]
        changed[profile_id, row.key] = row.raw
    for row in _remove([row for row in ordered if row.raw is None]):
        changed[row.profile_id, row.key] = MISSING
    _refresh_read_model(changed)
    return set(changed)


def _upsert(rows: Sequence[TraitRow]) -> list[tuple[int, int]]:
    """(profile id, trait id) of the rows whose value changed; a repeated value only moves its time."""
    if not rows:
        return []
    readings = [typed(row.raw) for row in rows]
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH given AS (
                SELECT trait_id, profile_id, number, text, text_folded, moment, boolean,
                       CASE WHEN items IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(items)) END AS items,
                       raw, occurred_at, message_id, source_id
                  FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[], %s::text[], %s::text[], %s::timestamptz[], %s::boolean[],
                              %s::jsonb[], %s::jsonb[], %s::timestamptz[], %s::text[], %s::int[])
                       AS g(trait_id, profile_id, number, text, text_folded, moment, boolean, items,
                            raw, occurred_at, message_id, source_id)
            ), before AS (
                SELECT v.trait_id, v.profile_id, v.raw FROM profiles_traitvalue v
                  JOIN given USING (trait_id, profile_id)
            ), written AS (
                INSERT INTO profiles_traitvalue AS v
                       (trait_id, profile_id, number, text, text_folded, moment, boolean, items, raw, occurred_at, message_id, source_id)
                SELECT * FROM given
                ON CONFLICT (trait_id, profile_id) DO UPDATE SET
                    number = excluded.number, text = excluded.text, text_folded = excluded.text_folded, moment = excluded.moment,
                    boolean = excluded.boolean, items = excluded.items, raw = excluded.raw,
                    occurred_at = excluded.occurred_at, message_id = excluded.message_id, source_id = excluded.source_id
                  WHERE (excluded.occurred_at, excluded.message_id COLLATE "C") > (v.occurred_at, v.message_id COLLATE "C")
                RETURNING trait_id, profile_id, raw
            )
            SELECT w.profile_id, w.trait_id FROM written w LEFT JOIN before b USING (trait_id, profile_id)
             WHERE b.raw IS DISTINCT FROM w.raw
            """,
            [
                [row.trait_id for row in rows],
                [row.profile_id for row in rows],
                [r.number for r in readings],
                [r.text for r in readings],
                [r.text_folded for r in readings],
                [r.moment for r in readings],
                [r.boolean for r in readings],
                [None if r.items is None else encode(r.items).decode() for r in readings],
                [encode(row.raw).decode() for row in rows],
                [row.occurred_at for row in rows],
                [row.message_id for row in rows],
                [row.source_id for row in rows],
            ],
        )
        return cursor.fetchall()


def _without_older_than_removal(rows: Sequence[TraitRow]) -> list[TraitRow]:
    """The rows that no newer removal has overtaken; a newer value takes the removal's place."""
    if not rows:
        return []
    with bound_cursor() as cursor:
        cursor.execute(
            """
            SELECT r.trait_id, r.profile_id, r.occurred_at, r.message_id FROM profiles_traitremoval r
              JOIN unnest(%s::bigint[], %s::bigint[]) AS g(trait_id, profile_id) USING (trait_id, profile_id)
            """,
            [[row.trait_id for row in rows], [row.profile_id for row in rows]],
        )
        removed = {(t, p): (at, message) for t, p, at, message in cursor.fetchall()}
    if not removed:
        return list(rows)
    return [
        row
        for row in rows
        if (row.trait_id, row.profile_id) not in removed
        or (row.occurred_at, row.message_id) > removed[row.trait_id, row.profile_id]
    ]


def _remove(rows: Sequence[TraitRow]) -> list[TraitRow]:
    """The rows that took a value away; each removal is remembered, so that an older value that comes late stays away."""
    if not rows:
        return []
    arguments = [
        [row.trait_id for row in rows],
        [row.profile_id for row in rows],
        [row.occurred_at for row in rows],
        [row.message_id for row in rows],
    ]
    with bound_cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO profiles_traitremoval AS r (trait_id, profile_id, occurred_at, message_id)
            SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::text[])
            ON CONFLICT (trait_id, profile_id) DO UPDATE SET occurred_at = excluded.occurred_at, message_id = excluded.message_id
              WHERE (excluded.occurred_at, excluded.message_id COLLATE "C") > (r.occurred_at, r.message_id COLLATE "C")
            """,
            arguments,
        )
        cursor.execute(
            """
            DELETE FROM profiles_traitvalue v
             USING unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::text[]) AS g(trait_id, profile_id, occurred_at, message_id)
             WHERE v.trait_id = g.trait_id AND v.profile_id = g.profile_id
               AND (g.occurred_at, g.message_id COLLATE "C") > (v.occurred_at, v.message_id COLLATE "C")
            RETURNING v.trait_id, v.profile_id
            """,
            arguments,
        )
        gone = set(cursor.fetchall())
    return [row for row in rows if (row.trait_id, row.profile_id) in gone]


def _refresh_read_model(changed: Mapping[tuple[int, str], Any]) -> None:
    patches: dict[int, tuple[dict[str, Any], list[str]]] = {}
    for (profile_id, key), raw in changed.items():
        given, gone = patches.setdefault(profile_id, ({}, []))
        if raw is MISSING:
            gone.append(key)
        else:
            given[key] = raw
    if not patches:
        return
    ids = sorted(patches)
    with bound_cursor() as cursor:
        cursor.execute(
            """
            UPDATE profiles_profile p
               SET traits = (p.traits || g.given) - ARRAY(SELECT jsonb_array_elements_text(g.gone))
              FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[]) AS g(id, given, gone)
             WHERE p.id = g.id
            """,
            [ids, [encode(patches[i][0]).decode() for i in ids], [encode(patches[i][1]).decode() for i in ids]],
        )


def rebuild_read_model(profile_ids: Sequence[int]) -> None:
    """Derives ``Profile.traits`` anew from the typed values."""
    with bound_cursor() as cursor:
        cursor.execute(
            """
            UPDATE profiles_profile p SET traits = coalesce(
                (SELECT jsonb_object_agg(t.key, v.raw) FROM profiles_traitvalue v JOIN profiles_trait t ON t.id = v.trait_id
                  WHERE v.profile_id = p.id), '{}')
             WHERE p.id = ANY(%s)
            """,
            [list(profile_ids)],
        )


def rebuild_moments(profile_ids: Sequence[int]) -> None:
    """Derives when these people were seen first and last anew from their events; who has none keeps what is known."""
    with bound_cursor() as cursor:
        cursor.execute(
            """
            UPDATE profiles_profile p SET first_seen_at = e.first, last_seen_at = e.last
              FROM (SELECT profile_id, min(occurred_at) AS first, max(occurred_at) AS last
                      FROM profiles_event WHERE profile_id = ANY(%s) GROUP BY profile_id) e
             WHERE p.id = e.profile_id
            """,
            [list(profile_ids)],
        )


def rebuild_traits(profile_ids: Sequence[int]) -> None:
    """Derives the trait values of these people anew from what their identify events said.

    A value whose event was deleted when its time was over can't be told to be another's: it stays with whom it is.
    """
    ids = list(profile_ids)
    with bound_cursor() as cursor:
        for table in ("profiles_traitvalue", "profiles_traitremoval"):
            cursor.execute(
                f"DELETE FROM {table} v WHERE v.profile_id = ANY(%(ids)s) AND EXISTS ("  # noqa: S608  # named above
                " SELECT FROM profiles_event e WHERE e.profile_id = ANY(%(ids)s)"
                "    AND e.message_id = v.message_id AND e.occurred_at = v.occurred_at)",
                {"ids": ids},
            )
        cursor.execute(
            """
            SELECT DISTINCT ON (e.profile_id, t.id) e.profile_id, t.id, t.key, said.value::text, e.occurred_at, e.message_id, e.source_id
              FROM profiles_event e
             CROSS JOIN LATERAL jsonb_each(e.properties) AS said
              JOIN profiles_trait t ON t.key = said.key
             WHERE e.profile_id = ANY(%s) AND e.type = 4
             ORDER BY e.profile_id, t.id, e.occurred_at DESC, e.message_id COLLATE "C" DESC
            """,
            [ids],
        )
        rows = [
            TraitRow(
                profile_id=p,
                trait_id=t,
                key=key,
                raw=msgspec.json.decode(raw),
                occurred_at=at,
                message_id=message,
                source_id=source,
            )
            for p, t, key, raw, at, message, source in cursor.fetchall()
        ]
    apply_traits(rows)
    rebuild_read_model(ids)


def touch_profiles(seen: Mapping[int, tuple[datetime, datetime]]) -> None:
    """Widens first and last seen of these people, to the minute: an exact moment would cost a row version per event."""
    if not seen:
        return
    ids = sorted(seen)
    with bound_cursor() as cursor:
        cursor.execute(
            """
            UPDATE profiles_profile p
               SET first_seen_at = least(p.first_seen_at, g.first), last_seen_at = greatest(p.last_seen_at, g.last)
              FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS g(id, first, last)
             WHERE p.id = g.id AND (p.first_seen_at > g.first OR p.last_seen_at < g.last - interval '1 minute')
            """,
            [ids, [seen[i][0] for i in ids], [seen[i][1] for i in ids]],
        )

"""Brings what follows from people's orders in line with the events that were sent: which of them count, and the facts.

What follows is decided in `cdp.profiles.orders`, out of the events alone; so it can be asked again at any time (after a
late event, a merge, its undoing, a new rate), and writes only what differs. The caller has locked the people.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from cdp.database import bound_cursor
from cdp.profiles import catalogue
from cdp.profiles.models import EventType
from cdp.profiles.orders import OrderEvent, settled
from cdp.profiles.rates import Converter
from cdp.profiles.store import EventRow, copy_events
from cdp.profiles.totals import add_to_totals, recount

# One order of one person.
OrderOf = tuple[int, str]

encode = msgspec.json.Encoder(order="deterministic").encode


class Stored(NamedTuple):
    """A row of an order as it is read; a superseded one has its name's number with the sign turned."""

    profile_id: int
    order_key: str
    id: int
    occurred_at: datetime
    name_id: int
    type: int
    message_id: str
    source_id: int
    identifier_id: int | None
    received_at: datetime
    amount: Decimal | None
    currency: str | None
    value: Decimal | None
    flags: list[str] | None
    properties: dict[str, Any]


@dataclass(slots=True)
class _Differences:
    """What is to be written."""

    renamed: list[tuple[datetime, int, int]] = field(default_factory=list)  # occurred_at, id, name_id
    removed: list[tuple[datetime, int]] = field(default_factory=list)  # occurred_at, id
    added: list[EventRow] = field(default_factory=list)
    # (profile id, event name's number) of which something was taken away, or given back.
    moved: set[tuple[int, int]] = field(default_factory=set)

    @property
    def touched(self) -> set[tuple[int, int]]:
        """(profile id, event name's number) of whatever counts otherwise now."""
        return self.moved | {(row.profile_id, row.name_id) for row in self.added}


def settle_orders(orders: Collection[OrderOf], *, convert: Converter) -> dict[str, set[int]]:
    """Event name -> the people of whom what counts under this name has changed; totals are in line when it returns."""
    if not orders:
        return {}
    rows = _read(orders)
    if not rows:
        return {}
    convert.learn((row.currency, row.occurred_at.date()) for of_order in rows.values() for row in of_order)
    numbers = catalogue.known_event_names()
    names = {number: name for name, number in numbers.items()}
    found = _Differences()
    for (profile_id, order_key), of_order in rows.items():
        _compare(profile_id, order_key, of_order, found, names=names, numbers=numbers, convert=convert)
    _write(found)
    changed: dict[str, set[int]] = defaultdict(set)
    for profile_id, name_id in found.touched:
        changed[names[name_id]].add(profile_id)
    return changed


def orders_of(profile_ids: Iterable[int]) -> list[OrderOf]:
    """All orders of these people."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT profile_id, order_key FROM profiles_event"
            " WHERE profile_id = ANY(%s::bigint[]) AND order_key IS NOT NULL",
            [list(profile_ids)],
        )
        return cursor.fetchall()


def _read(orders: Collection[OrderOf]) -> dict[OrderOf, list[Stored]]:
    wanted = set(orders)
    rows: dict[OrderOf, list[Stored]] = defaultdict(list)
    with bound_cursor() as cursor:
        # Both lists bound the scan of the index; that each key goes with its own person is looked at here.
        cursor.execute(
            """
            SELECT profile_id, order_key, id, occurred_at, name_id, type, message_id, source_id, identifier_id, received_at,
                   amount, currency, value, flags, properties
              FROM profiles_event WHERE profile_id = ANY(%s::bigint[]) AND order_key = ANY(%s::text[])
            """,
            [sorted({profile_id for profile_id, _ in wanted}), sorted({key for _, key in wanted})],
        )
        for *columns, properties in cursor.fetchall():
            if (columns[0], columns[1]) in wanted:
                rows[columns[0], columns[1]].append(Stored._make([*columns, msgspec.json.decode(properties)]))
    return rows


def _compare(
    profile_id: int,
    order_key: str,
    rows: Sequence[Stored],
    found: _Differences,
    *,
    names: dict[int, str],
    numbers: dict[str, int],
    convert: Converter,
) -> None:
    """Notes how what is stored of one order differs from what its events come to."""
    sent = [row for row in rows if row.type != EventType.DERIVED]
    outcome = settled([_event(row, names) for row in sent], convert)
    for row in sent:
        name_id = abs(row.name_id)
        now = -name_id if row.id in outcome.superseded else name_id
        if now != row.name_id:
            found.renamed.append((row.occurred_at, row.id, now))
            found.moved.add((profile_id, name_id))
    wanted = [
        EventRow(
            occurred_at=fact.of.occurred_at,
            profile_id=profile_id,
            identifier_id=fact.of.identifier_id,
            name_id=numbers[fact.name],
            type=EventType.DERIVED,
            message_id=fact.of.message_id,
            source_id=fact.of.source_id,
            received_at=fact.of.received_at,
            sent_at=None,
            original_timestamp=None,
            amount=fact.amount,
            currency=fact.currency,
            value=fact.value,
            properties=fact.properties,
            context={},
            flags=list(fact.flags) or None,
            order_key=order_key,
        )
        for fact in outcome.facts
    ]
    missing = Counter(map(_said, wanted))
    for row in rows:
        if row.type != EventType.DERIVED:
            continue
        if missing[_said(row)] > 0:
            missing[_said(row)] -= 1
        else:
            found.removed.append((row.occurred_at, row.id))
            found.moved.add((profile_id, row.name_id))
    for fact_row in wanted:
        if missing[_said(fact_row)] > 0:
            missing[_said(fact_row)] -= 1
            found.added.append(fact_row)


def _event(row: Stored, names: dict[int, str]) -> OrderEvent:
    return OrderEvent(
        id=row.id,
        name=names.get(abs(row.name_id), ""),
        occurred_at=row.occurred_at,
        message_id=row.message_id,
        source_id=row.source_id,
        identifier_id=row.identifier_id,
        received_at=row.received_at,
        amount=row.amount,
        currency=row.currency,
        value=row.value,
        properties=row.properties,
    )


def _said(row: Stored | EventRow) -> tuple[Any, ...]:
    """All that a derived row says, for telling whether it is still right."""
    return (
        row.occurred_at,
        row.name_id,
        row.message_id,
        row.source_id,
        row.identifier_id,
        row.amount,
        row.currency,
        row.value,
        encode(row.properties),
        tuple(row.flags or ()),
    )


def _write(found: _Differences) -> None:
    with bound_cursor() as cursor:
        if found.renamed:
            cursor.execute(
                "UPDATE profiles_event e SET name_id = g.name_id"
                "  FROM unnest(%s::timestamptz[], %s::bigint[], %s::int[]) AS g(occurred_at, id, name_id)"
                " WHERE e.occurred_at = g.occurred_at AND e.id = g.id",
                [list(column) for column in zip(*found.renamed, strict=True)],
            )
        if found.removed:
            cursor.execute(
                "DELETE FROM profiles_event e USING unnest(%s::timestamptz[], %s::bigint[]) AS g(occurred_at, id)"
                " WHERE e.occurred_at = g.occurred_at AND e.id = g.id",
                [list(column) for column in zip(*found.removed, strict=True)],
            )
    if found.added:
        copy_events(found.added)
        add_to_totals(row for row in found.added if (row.profile_id, row.name_id) not in found.moved)
    recount(found.moved)

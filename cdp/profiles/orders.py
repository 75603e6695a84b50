"""What the events that speak of one order come to: which of its versions counts, and the facts that follow from them.

By the public e-commerce spec: `Order Completed` and `Order Updated` are versions of an order, of which the newest holds.
Pure: no database here. Finding the events and writing what follows is in `cdp.profiles.settling`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

ORDER_COMPLETED: Final = "Order Completed"
ORDER_UPDATED: Final = "Order Updated"
ORDER_EVENTS: Final = frozenset({ORDER_COMPLETED, ORDER_UPDATED})

ORDER_ID_LIMIT: Final = 200

Convert = Callable[[Decimal, str | None, date], Decimal | None]
"""`convert(amount, currency, day)`: the amount in the reporting currency, None when no rate is known."""


def order_key(name: str, properties: Mapping[str, Any], *, own: str, flags: list[str]) -> str | None:
    """Which order an event speaks of: the `order_id` it names, else itself; None when it is about no order.

    Args:
        own: what tells this event from all others.
        flags: takes a note when the id can't be used.
    """
    if name not in ORDER_EVENTS:
        return None
    said = properties.get("order_id")
    key = str(said).strip() if isinstance(said, str | int) and not isinstance(said, bool) else ""
    if 0 < len(key) <= ORDER_ID_LIMIT:
        return key
    if said is not None:
        flags.append("order_id_unusable")
    # Without an id nothing can replace it, and an update has nothing to update.
    return f"~{own}" if name != ORDER_UPDATED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent:
    """One event that speaks of an order, as it is stored."""

    id: int
    name: str
    occurred_at: datetime
    message_id: str
    source_id: int
    identifier_id: int | None
    received_at: datetime
    amount: Decimal | None
    currency: str | None
    value: Decimal | None
    properties: Mapping[str, Any]

    @property
    def place(self) -> tuple[datetime, str, int]:
        """Where it stands in time; at one moment the greater message id is the newer."""
        return self.occurred_at, self.message_id, self.source_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """An event that nobody sent: it follows from one that somebody did, and happened when that one did."""

    name: str
    of: OrderEvent
    amount: Decimal | None
    currency: str | None
    value: Decimal | None
    properties: Mapping[str, Any] = field(hash=False)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """What the events of one order come to."""

    superseded: frozenset[int]
    facts: tuple[Fact, ...]


def settled(events: Sequence[OrderEvent], convert: Convert) -> Settled:
    """Of the events of one order of one person, which no longer count, and what follows from the others.

    The order of arrival never matters: only the events do.
    """
    versions = sorted((event for event in events if event.name in ORDER_EVENTS), key=lambda event: event.place)
    if not versions:
        return Settled(frozenset(), ())
    newest = versions[-1]
    superseded = frozenset(event.id for event in versions[:-1])
    is_placed = any(event.name == ORDER_COMPLETED for event in versions)
    facts = [_stands_in(newest)] if is_placed and newest.name != ORDER_COMPLETED else []
    return Settled(superseded, tuple(facts))


def _stands_in(newest: OrderEvent) -> Fact:
    """An order stays completed when it is updated, with what the update says of it."""
    return Fact(
        name=ORDER_COMPLETED,
        of=newest,
        amount=newest.amount,
        currency=newest.currency,
        value=newest.value,
        properties=newest.properties,
    )

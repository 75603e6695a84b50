"""What the events that speak of one order come to: which of its versions counts, and the facts that follow from them.

By the public e-commerce spec: `Order Completed` and `Order Updated` are versions of an order, of which the newest holds.
Pure: no database here. Finding the events and writing what follows is in `cdp.profiles.settling`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from cdp.profiles.values import as_currency, as_number

ORDER_COMPLETED: Final = "Order Completed"
ORDER_UPDATED: Final = "Order Updated"
PRODUCT_PURCHASED: Final = "Product Purchased"
ORDER_EVENTS: Final = frozenset({ORDER_COMPLETED, ORDER_UPDATED})

# What follows from orders under names of its own.
DERIVED_EVENTS: Final = frozenset({PRODUCT_PURCHASED})

ORDER_ID_LIMIT: Final = 200
NO_RATE = "no_rate_for_currency"

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
    products = properties.get("products")
    if products is not None and (not isinstance(products, list) or not all(isinstance(one, dict) for one in products)):
        flags.append("products_malformed")
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
    facts: list[Fact] = []
    if is_placed:
        facts += _lines(newest, convert)
        if newest.name != ORDER_COMPLETED:
            facts.append(_stands_in(newest))
    return Settled(superseded, tuple(facts))


def _lines(order: OrderEvent, convert: Convert) -> list[Fact]:
    """One fact for each line of the order that can be read as one."""
    products = order.properties.get("products")
    lines = [line for line in products if isinstance(line, dict)] if isinstance(products, list) else []
    return [_line(order, line, position, convert) for position, line in enumerate(lines, start=1)]


def _line(order: OrderEvent, line: Mapping[str, Any], position: int, convert: Convert) -> Fact:
    """A line is worth price x quantity; one that says no quantity is of one piece."""
    flags = []
    price, quantity = line.get("price"), line.get("quantity")
    one, times = as_number(price), Decimal(1) if quantity is None else as_number(quantity)
    amount = as_number(one * times) if one is not None and times is not None else None
    if amount is None and price is not None:
        flags.append("amount_not_a_number")
    currency = as_currency(line.get("currency")) or as_currency(order.properties.get("currency"))
    value = None if amount is None else convert(amount, currency, order.occurred_at.date())
    if amount is not None and value is None:
        flags.append(NO_RATE)
    said = {key: value for key, value in line.items() if isinstance(value, str | int | float)}
    about = {"position": position, "order_id": order.properties.get("order_id")}
    return Fact(
        name=PRODUCT_PURCHASED,
        of=order,
        amount=amount,
        currency=currency if amount is not None else None,
        value=value,
        properties=said
        | {"quantity": 1 if quantity is None else quantity}
        | {k: v for k, v in about.items() if v is not None},
        flags=tuple(flags),
    )


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

"""What the events that speak of one order come to: which of its versions counts, and the facts that follow from them.

By the public e-commerce spec: `Order Completed` and `Order Updated` are versions of an order, of which the newest holds;
`Order Refunded` gives some of it back. What orders bring and refunds take is booked under one name, `Revenue Booked`.
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
ORDER_REFUNDED: Final = "Order Refunded"
PRODUCT_PURCHASED: Final = "Product Purchased"
REVENUE_BOOKED: Final = "Revenue Booked"
VERSIONS: Final = frozenset({ORDER_COMPLETED, ORDER_UPDATED})
ORDER_EVENTS: Final = VERSIONS | {ORDER_REFUNDED}

# What follows from orders under names of its own.
DERIVED_EVENTS: Final = frozenset({PRODUCT_PURCHASED, REVENUE_BOOKED})

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
    versions = sorted((event for event in events if event.name in VERSIONS), key=lambda event: event.place)
    refunds = sorted((event for event in events if event.name == ORDER_REFUNDED), key=lambda event: event.place)
    superseded = frozenset(event.id for event in versions[:-1])
    is_placed = any(event.name == ORDER_COMPLETED for event in versions)
    order = versions[-1] if is_placed else None
    facts: list[Fact] = []
    if order:
        facts += _lines(order, convert)
        if order.name != ORDER_COMPLETED:
            facts.append(_copy(order, ORDER_COMPLETED))
        if order.amount is not None:
            facts.append(_copy(order, REVENUE_BOOKED, properties=_about(order), flags=_flags(order.value)))
    return Settled(superseded, (*facts, *_refunds(order, refunds)))


def _refunds(order: OrderEvent | None, refunds: Sequence[OrderEvent]) -> list[Fact]:
    """What each refund takes back: its amount, or else what is left of its order after earlier refunds.

    So an order that is refunded as a whole comes to nothing, also when a part of it had gone back before.
    """
    facts: list[Fact] = []
    taken = Decimal(0)
    for refund in refunds:
        amount, currency, value = refund.amount, refund.currency, refund.value
        if amount is None:
            if order is None or order.amount is None:
                continue  # of an order that isn't known nothing can be taken back, until it is
            value = None if order.value is None else max(Decimal(0), order.value - taken)
            amount, currency = (order.amount, order.currency) if value is None else (value, None)
        # Some senders write what goes back as a negative number.
        value = None if value is None else abs(value)
        taken += value or 0
        facts.append(
            Fact(
                name=REVENUE_BOOKED,
                of=refund,
                amount=-abs(amount),
                currency=currency,
                value=None if value is None else -value,
                properties=_about(refund),
                flags=_flags(value),
            )
        )
    return facts


def _flags(value: Decimal | None) -> tuple[str, ...]:
    return (NO_RATE,) if value is None else ()


def _about(event: OrderEvent) -> dict[str, Any]:
    order_id = event.properties.get("order_id")
    return {"event": event.name} | ({} if order_id is None else {"order_id": order_id})


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
    order_id = order.properties.get("order_id")
    about = {"position": position} | ({} if order_id is None else {"order_id": order_id})
    return Fact(
        name=PRODUCT_PURCHASED,
        of=order,
        amount=amount,
        currency=currency if amount is not None else None,
        value=value,
        properties=said | {"quantity": 1 if quantity is None else quantity} | about,
        flags=tuple(flags),
    )


def _copy(
    order: OrderEvent, name: str, *, properties: Mapping[str, Any] | None = None, flags: tuple[str, ...] = ()
) -> Fact:
    """A fact that is worth as much as the order."""
    return Fact(
        name=name,
        of=order,
        amount=order.amount,
        currency=order.currency,
        value=order.value,
        properties=order.properties if properties is None else properties,
        flags=flags,
    )

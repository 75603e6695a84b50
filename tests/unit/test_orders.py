"""What the events of an order come to is told by the events alone, never by the order in which they are looked at."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdp.profiles.orders import OrderEvent, settled

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ["Order Completed", "Order Updated", "Order Refunded"]


def as_it_is(amount: Decimal, currency: str | None, day: date) -> Decimal | None:
    return amount if currency in (None, "USD") else None


def event(
    number: int, name: str, minute: int, amount: int | None, currency: str | None, prices: list[int]
) -> OrderEvent:
    worth = None if amount is None else Decimal(amount)
    moment = START + timedelta(minutes=minute)
    return OrderEvent(
        id=number,
        name=name,
        occurred_at=moment,
        message_id=f"m{number:02}",
        source_id=1,
        identifier_id=None,
        received_at=moment,
        amount=worth,
        currency=currency,
        value=None if worth is None else as_it_is(worth, currency, moment.date()),
        properties={"order_id": "o1", "products": [{"price": price} for price in prices]},
    )


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.integers(0, 3),
        st.none() | st.integers(0, 20),
        st.sampled_from([None, "USD", "EUR"]),
        st.lists(st.integers(1, 5), max_size=2),
    ),
    max_size=6,
)


@given(told=EVENTS, data=st.data())
def test_only_the_events_matter_and_the_books_add_up(told: list[Any], data: st.DataObject) -> None:
    events = [event(number, *one) for number, one in enumerate(told)]
    outcome = settled(events, as_it_is)
    assert settled(data.draw(st.permutations(events)), as_it_is) == outcome

    versions = [one for one in events if one.name != "Order Refunded"]
    counting = [one for one in versions if one.id not in outcome.superseded]
    assert len(counting) == min(1, len(versions))
    is_placed = any(one.name == "Order Completed" for one in versions)
    facts: dict[str, list[Any]] = {name: [] for name in ("Order Completed", "Product Purchased", "Revenue Booked")}
    for fact in outcome.facts:
        facts[fact.name].append(fact)
    completed = [one for one in counting if one.name == "Order Completed"] + facts["Order Completed"]
    assert len(completed) == is_placed
    assert len(facts["Product Purchased"]) == (len(counting[0].properties["products"]) if is_placed else 0)

    brought = sum((one.value or 0 for one in completed), Decimal(0))
    refunds = [one for one in events if one.name == "Order Refunded"]
    named = sum((one.value or 0 for one in refunds), Decimal(0))
    booked = sum((fact.value or 0 for fact in facts["Revenue Booked"]), Decimal(0))
    if all(one.amount is not None for one in refunds):
        assert booked == brought - named
    else:
        assert booked <= max(brought - named, Decimal(0)), "refunded as a whole, after what had gone back before"

"""What the shop's own backend says of its customers: accounts, consents, orders, refunds, support, newsletters.

Told with the server write key. What happens on the site itself stands in `journeys`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from demo.catalogue import CURRENCY, PRODUCTS, Product
from demo.people import Kind, Person
from demo.seasons import Promotion
from demo.world import BACKEND, DAY, HOUR, MINUTE, SECOND, Message, World

FREE_SHIPPING_FROM: Final = 75.0
SHIPPING: Final = 6.95
ORDERS_PER_GIFT_WRAP: Final = 25  # of so many one is wrapped afterwards
GIFT_WRAP: Final = next(product for product in PRODUCTS if product.name.endswith("Gift Wrap"))
TIERS: Final = ((900.0, "gold"), (400.0, "silver"), (150.0, "bronze"))
_TOPICS: Final = ("Where is my order", "Wrong size", "Damaged in transit", "Invoice", "Discount code")
_CONTEXT: Final = {"library": {"name": "paper-boat-backend", "version": "2.4.1"}}
# Chance of a yes at the account form. Some people are never asked, and have no record at all.
_YES: Final = {
    "personalisation": 0.62,
    "analytics": 0.7,
    "targeted_ads": 0.3,
    "partner_offers": 0.14,
}
_NEVER_ASKED: Final = 0.1
_OBJECTS: Final = 0.012


def _say(world: World, person: Person, at_ms: int, message: Message) -> None:
    if world.standings[person.index].has_account:
        message["userId"] = person.user_id
    else:
        message["anonymousId"] = person.devices[0].anonymous_id
    message.setdefault("context", _CONTEXT)
    world.outbox.post(at_ms, BACKEND, message)


def _track(world: World, person: Person, at_ms: int, event: str, properties: Message) -> None:
    _say(world, person, at_ms, {"type": "track", "event": event, "properties": properties})


def import_customer(world: World, person: Person, *, at_ms: int) -> None:
    """A customer from before the simulated time, as the shop's first import tells of them."""
    standing = world.standings[person.index]
    standing.has_account = True
    introduce(world, person, at_ms=at_ms)
    if person.reads_news and world.dice.random() < 0.7:
        subscribe(world, person, at_ms=at_ms + SECOND)


def introduce(world: World, person: Person, *, at_ms: int) -> None:
    """Everything the customer file holds of a person with an account, and their answers on the account form."""
    since = datetime.fromtimestamp(at_ms // 1000, UTC)
    if person.is_customer_already:
        since += timedelta(days=person.first_day)
    traits: Message = {
        "email": person.email,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "country": person.country.code,
        "language": person.country.language,
        "postal_code": person.postal_code,
        "customer_since": f"{since:%Y-%m-%d}",
        "preferred_device": person.devices[0].kind,
        "loyalty_tier": world.standings[person.index].tier,
    }
    if person.city:
        traits["city"] = person.city
    if person.gender:
        traits["gender"] = person.gender
    if person.birthday:
        traits["birthday"] = person.birthday.isoformat()
    _say(world, person, at_ms, {"type": "identify", "traits": traits})
    dice = world.dice.random
    if dice() < _NEVER_ASKED:
        return
    answers = {purpose: dice() < chance for purpose, chance in _YES.items() if dice() < 0.9}
    if dice() < 0.3:
        answers["sms"] = dice() < 0.25
    answers["marketing_email"] = world.standings[person.index].subscribed or (person.reads_news and dice() < 0.3)
    if dice() < _OBJECTS:
        answers["internal_analysis"] = False
    record_consent(world, person, at_ms=at_ms + 2 * SECOND, answers=answers)


def record_consent(world: World, person: Person, *, at_ms: int, answers: dict[str, bool]) -> None:
    """The person's own answers by purpose, as the reserved consent event carries them."""
    context = {**_CONTEXT, "consent": {"categoryPreferences": answers}}
    message = {"type": "track", "event": "Segment Consent Preference Updated", "properties": {}, "context": context}
    _say(world, person, at_ms, message)


def subscribe(world: World, person: Person, *, at_ms: int) -> None:
    world.standings[person.index].subscribed = True
    world.subscribers[person.index] = person
    confirmed_ms = at_ms + world.between(20 * SECOND, 20 * MINUTE)
    record_consent(world, person, at_ms=confirmed_ms, answers={"marketing_email": True})


def unsubscribe(world: World, person: Person, *, at_ms: int) -> None:
    """For good: nobody is asked again."""
    world.subscribers.pop(person.index, None)
    _track(world, person, at_ms, "Newsletter Unsubscribed", {"list": "fortnightly"})
    record_consent(world, person, at_ms=at_ms + SECOND, answers={"marketing_email": False})


def read_newsletter(world: World, person: Person, *, sent_ms: int, issue: str, is_gone: bool) -> int | None:
    """The moment of a click, if it comes to one. `is_gone`: their time as a customer is over."""
    dice = world.dice.random
    if dice() > person.news_interest * (0.15 if is_gone else 0.75):
        return None
    # Half of the mail is read in the first hours, the rest over days.
    opened_ms = sent_ms + int(dice() ** 4 * 3 * DAY) + MINUTE
    _track(world, person, opened_ms, "Newsletter Opened", {"list": "fortnightly", "issue": issue})
    if dice() < (0.05 if is_gone else 0.006):
        unsubscribe(world, person, at_ms=opened_ms + MINUTE)
        return None
    if is_gone or dice() > 0.1:
        return None
    clicked_ms = opened_ms + world.between(5 * SECOND, 4 * MINUTE)
    _track(world, person, clicked_ms, "Newsletter Clicked", {"list": "fortnightly", "issue": issue})
    return clicked_ms


def place_order(world: World, person: Person, *, at_ms: int, promotion: Promotion | None) -> None:
    """The cart becomes an order; refund, support ticket and review may follow in the days after."""
    standing, dice = world.standings[person.index], world.dice.random
    cart = list(standing.cart)
    standing.cart.clear()
    world.orders += 1
    order_id = f"PB-{world.orders:06d}"
    subtotal = round(sum(product.price * quantity for product, quantity in cart), 2)
    discount = round(subtotal * promotion.discount, 2) if promotion else 0.0
    revenue = round(subtotal - discount, 2)
    shipping = 0.0 if revenue >= FREE_SHIPPING_FROM else SHIPPING
    order: Message = {
        "order_id": order_id,
        "revenue": revenue,
        "shipping": shipping,
        "total": round(revenue + shipping, 2),
        "currency": CURRENCY,
        "products": [product.line(price=product.price, quantity=quantity) for product, quantity in cart],
    }
    if promotion:
        order |= {"discount": discount, "coupon": promotion.coupon}
    at_ms += world.between(SECOND, MINUTE)
    _track(world, person, at_ms, "Order Completed", order)
    if world.orders % ORDERS_PER_GIFT_WRAP == 0:
        _wrap_as_gift(world, person, order, at_ms=at_ms + 2 * HOUR)
    _raise_tier(world, person, at_ms=at_ms, spent=revenue)
    touchy = any(product.category in ("Shoes", "Jackets") for product, _ in cart)
    refunded = dice() < person.habits.sends_back * (1.5 if touchy else 0.8)
    if refunded:
        back_ms = at_ms + world.between(4 * DAY, 20 * DAY)
        _refund(world, person, order_id, cart, paid_share=revenue / subtotal, at_ms=back_ms)
    if dice() < person.habits.asks + (0.15 if refunded else 0):
        _ask_support(world, person, order_id, at_ms=at_ms + world.between(HOUR, 9 * DAY))
    if dice() < 0.12:
        _review(world, person, cart[0][0], at_ms=at_ms + world.between(8 * DAY, 30 * DAY))


def _wrap_as_gift(world: World, person: Person, order: Message, *, at_ms: int) -> None:
    """Somebody rings up to have it wrapped: the shop tells the whole order again, with one line more."""
    wrapped = {
        **order,
        "revenue": round(order["revenue"] + GIFT_WRAP.price, 2),
        "total": round(order["total"] + GIFT_WRAP.price, 2),
        "products": [*order["products"], GIFT_WRAP.line(price=GIFT_WRAP.price, quantity=1)],
    }
    _track(world, person, at_ms, "Order Updated", wrapped)


def _raise_tier(world: World, person: Person, *, at_ms: int, spent: float) -> None:
    standing = world.standings[person.index]
    standing.spent += spent
    tier = next((name for least, name in TIERS if standing.spent >= least), standing.tier)
    if tier != standing.tier:
        standing.tier = tier
        _say(world, person, at_ms + SECOND, {"type": "identify", "traits": {"loyalty_tier": tier}})


def _refund(
    world: World, person: Person, order_id: str, cart: list[tuple[Product, int]], *, paid_share: float, at_ms: int
) -> None:
    """Everything or one line goes back; `paid_share` is the part of the list price that was paid."""
    back = cart if world.dice.random() < 0.4 else [cart[int(world.dice.random() * len(cart))]]
    total = round(sum(product.price * quantity for product, quantity in back) * paid_share, 2)
    lines = [product.line(price=product.price, quantity=quantity) for product, quantity in back]
    refund: Message = {"order_id": order_id, "total": total, "currency": CURRENCY, "products": lines}
    _track(world, person, at_ms, "Order Refunded", refund)


def _ask_support(world: World, person: Person, order_id: str, *, at_ms: int) -> None:
    world.tickets += 1
    ticket: Message = {
        "ticket_id": f"T-{world.tickets:05d}",
        "order_id": order_id,
        "topic": _TOPICS[int(world.dice.random() * len(_TOPICS))],
        "channel": "email" if world.dice.random() < 0.6 else "chat",
    }
    _track(world, person, at_ms, "Support Ticket Opened", ticket)
    hours = 1 + int(world.dice.random() ** 2 * 96)
    mood = 2.2 if person.kind is Kind.LAPSED else 4.1
    satisfaction = min(5, max(1, round(world.dice.gauss(mood - hours / 90, 0.9))))
    closed = {**ticket, "hours_open": hours, "satisfaction": satisfaction}
    _track(world, person, at_ms + hours * HOUR, "Support Ticket Closed", closed)


def _review(world: World, person: Person, product: Product, *, at_ms: int) -> None:
    disappointment = max(0.0, person.taste - product.quality) * 5
    rating = min(5, max(1, round(world.dice.gauss(4.5 - disappointment, 0.7))))
    review = {"product_id": product.product_id, "category": product.category, "rating": rating}
    _track(world, person, at_ms, "Product Reviewed", review)

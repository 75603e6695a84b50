"""One visit to the shop's site: pages, lists, products, the cart, the checkout, told as the browser library tells it.

Who comes when stands in `shop`; what the shop's own backend says afterwards stands in `relations`.
"""

from __future__ import annotations

from typing import Final

from demo import relations
from demo.catalogue import CATEGORIES, CURRENCY, SEASON, Product
from demo.people import Kind, Person
from demo.seasons import Promotion
from demo.world import BROWSER, DAY, MINUTE, SECOND, Message, World

_CART_KEPT_MS: Final = 14 * DAY
_SEARCHES: Final = {
    "Shoes": ("waterproof shoes", "white sneaker", "boots"),
    "Bags": ("laptop backpack", "tote", "travel bag"),
    "Jackets": ("rain jacket", "warm jacket", "parka"),
    "Accessories": ("wool beanie", "gift for him", "watch"),
    "Outdoor": ("camping", "light tent", "hammock"),
    "Home": ("blanket", "candle set", "gift for her"),
    "Paper": ("notebook a5", "calendar", "gift wrap"),
}
_CAMPAIGNS: Final[tuple[tuple[float, dict[str, str] | None], ...]] = (
    (0.62, None),
    (0.76, {"source": "search", "medium": "cpc", "name": "brand"}),
    (0.88, {"source": "social", "medium": "paid", "name": "new-arrivals"}),
    (1.0, {"source": "partner-blog", "medium": "referral", "name": "reviews"}),
)
_STYLES: Final = {"Outdoor": "outdoor", "Jackets": "outdoor", "Home": "cosy", "Paper": "creative"}
NEWSLETTER: Final = {"source": "newsletter", "medium": "email", "name": "fortnightly"}


class Visit:
    """A visit in progress: who, on which device, and the moment it has got to."""

    __slots__ = ("context", "device", "dice", "ids", "month", "now_ms", "person", "promotion", "standing", "world")

    def __init__(
        self,
        world: World,
        person: Person,
        *,
        at_ms: int,
        month: int,
        promotion: Promotion | None,
        campaign: dict[str, str] | None = None,
    ) -> None:
        self.world, self.person, self.now_ms, self.month, self.promotion = world, person, at_ms, month, promotion
        self.dice = world.dice.random
        self.standing = world.standings[person.index]
        # The first device is the favourite one.
        self.device = min(int(self.dice() ** 1.9 * len(person.devices)), len(person.devices) - 1)
        self.context = person.devices[self.device].context
        campaign = campaign or next(found for limit, found in _CAMPAIGNS if self.dice() < limit)
        if campaign:
            self.context = {**self.context, "campaign": campaign}
        self.ids = {"anonymousId": person.devices[self.device].anonymous_id}
        if self.is_logged_in:
            self.ids["userId"] = person.user_id

    @property
    def is_logged_in(self) -> bool:
        return bool(self.standing.known_on >> self.device & 1)

    def run(self) -> None:
        """All of it, from landing to leaving."""
        category = self._category()
        self.page("Home" if self.dice() < 0.4 else category, "/" if self.dice() < 0.4 else f"/{category.lower()}")
        if self.standing.has_account and not self.is_logged_in and self.dice() < 0.4:
            self.log_in()
        self._find(category)
        self._look_around(category)
        if self.person.has_account and not self.standing.has_account and self.dice() < 0.3:
            self.open_account()
        self._side_steps()
        if self.standing.cart:
            self._checkout()

    def page(self, name: str, path: str) -> None:
        self._say({"type": "page", "name": name, "properties": {"path": path}}, path)

    def track(self, event: str, properties: Message, path: str) -> None:
        self._say({"type": "track", "event": event, "properties": properties}, path)

    def identify(self, traits: Message, path: str) -> None:
        self._say({"type": "identify", "traits": traits}, path)

    def _say(self, message: Message, path: str) -> None:
        message.update(self.ids)
        message["context"] = {**self.context, "page": {"path": path}}
        self.world.outbox.post(self.now_ms, BROWSER, message)
        self.now_ms += 4 * SECOND + int(self.dice() ** 2 * 2 * MINUTE)

    def log_in(self) -> None:
        """The browser learns who this is: from here on the device's anonymous id belongs to a user id."""
        self.ids["userId"] = self.person.user_id
        self.standing.known_on |= 1 << self.device
        self.identify({"email": self.person.email}, "/login")
        self.track("Signed In", {}, "/login")

    def open_account(self) -> None:
        person = self.person
        self.ids["userId"] = person.user_id
        self.standing.known_on |= 1 << self.device
        self.standing.has_account = True
        names = {"first_name": person.first_name, "last_name": person.last_name}
        self.identify({**names, "email": person.email, "language": person.country.language}, "/account/new")
        self.track("Signed Up", {"method": "email"}, "/account/new")
        relations.introduce(self.world, person, at_ms=self.now_ms)

    def _category(self) -> str:
        """Drawn by the person's taste, kept with the chance that it is in season."""
        for _ in range(4):
            category = self.world.dice.choices(CATEGORIES, self.person.category_weights)[0]
            if self.dice() < SEASON[category][self.month - 1]:
                return category
        return category

    def _find(self, category: str) -> None:
        chance = self.dice()
        if chance < 0.3:
            place = category.lower()
            self.track("Product List Viewed", {"list_id": place, "category": category}, f"/{place}")
        elif chance < 0.45:
            words = _SEARCHES[category]
            self.track("Products Searched", {"query": words[int(self.dice() * len(words))]}, "/search")

    def _look_around(self, category: str) -> None:
        person, standing, habits = self.person, self.standing, self.person.habits
        if standing.cart and self.now_ms - standing.cart_at_ms > _CART_KEPT_MS:
            standing.cart.clear()
        keener = 1.35 if self.promotion and person.kind is Kind.BARGAIN_HUNTER else 1.0
        shelf = self.world.shelves[category][person.taste_step]
        views = 1
        while self.dice() < habits.views / (1 + habits.views) and views < 12:
            views += 1
        for _ in range(views):
            if self.dice() < 0.12:
                shelf = self.world.shelves[self._category()][person.taste_step]
            product = standing.cart[-1][0] if standing.cart and self.dice() < 0.15 else shelf.pick(self.dice())
            self.track("Product Viewed", _seen(product), product.path)
            if self.dice() < habits.adds * keener:
                self._add(product)
            elif person.kind is Kind.WINDOW_SHOPPER and self.dice() < 0.07:
                self.track("Product Added to Wishlist", _seen(product), product.path)

    def _add(self, product: Product) -> None:
        quantity = 1 if product.price > 60 or self.dice() < 0.8 else 2
        cart = self.standing.cart
        if len(cart) >= 6 or any(product is already for already, _ in cart):
            return
        cart.append((product, quantity))
        self.standing.cart_at_ms = self.now_ms
        self.track("Product Added", {**_seen(product), "quantity": quantity}, product.path)

    def _side_steps(self) -> None:
        person, standing = self.person, self.standing
        if person.reads_news and not standing.subscribed and self.dice() < 0.35:
            self.identify({"email": person.email}, "/newsletter")
            self.track("Newsletter Subscribed", {"list": "fortnightly"}, "/newsletter")
            relations.subscribe(self.world, person, at_ms=self.now_ms)
        if standing.has_account and self.is_logged_in and not standing.took_quiz and self.dice() < 0.12:
            standing.took_quiz = True
            answers = _quiz_answers(person)
            self.track("Style Quiz Completed", answers, "/quiz")
            self.identify(answers, "/quiz")

    def _checkout(self) -> None:
        habits, standing = self.person.habits, self.standing
        keenness = 1.0
        if self.person.kind is Kind.BARGAIN_HUNTER:
            keenness = 1.4 if self.promotion else 0.45
        if self.dice() > habits.checks_out * keenness:
            if self.dice() < 0.15:
                product, _ = standing.cart.pop()
                self.track("Product Removed", _seen(product), "/cart")
            return
        lines = [product.line(price=product.price, quantity=quantity) for product, quantity in standing.cart]
        value = round(sum(product.price * quantity for product, quantity in standing.cart), 2)
        self.track("Checkout Started", {"value": value, "currency": CURRENCY, "products": lines}, "/checkout")
        if not self.person.has_account:
            return
        if not standing.has_account:
            self.open_account()
        elif not self.is_logged_in:
            self.log_in()
        if self.dice() < habits.pays:
            relations.place_order(self.world, self.person, at_ms=self.now_ms, promotion=self.promotion)
            self.now_ms += 2 * SECOND
            self.page("Thank you", "/checkout/done")


def _seen(product: Product) -> Message:
    return {
        "product_id": product.product_id,
        "name": product.name,
        "category": product.category,
        "brand": product.brand,
        "price": product.price,
        "currency": CURRENCY,
    }


def _quiz_answers(person: Person) -> Message:
    ranked = sorted(zip(person.category_weights, CATEGORIES, strict=True), reverse=True)
    interests = [category.lower() for weight, category in ranked[:3] if weight > 0.12]
    sensitivity = "low" if person.taste > 0.66 else "medium" if person.taste > 0.4 else "high"
    return {"price_sensitivity": sensitivity, "style": _STYLES.get(ranked[0][1], "classic"), "interests": interests}

"""What the simulated shop sells: 147 products in seven categories and three tiers, and who is drawn to which.

Who buys, and when, stands in `people` and `journeys`. The shop and its brands are invented.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

SHOP_NAME: Final = "Paper Boat Goods"
SHOP_URL: Final = "https://shop.example.com"
CURRENCY: Final = "USD"

# Kinds of goods with the list price of the middle tier, most popular first.
KINDS: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "Shoes": (
        ("Sneaker", 79),
        ("Deck Shoe", 95),
        ("Rain Boot", 68),
        ("Trail Shoe", 119),
        ("Loafer", 110),
        ("Sandal", 54),
        ("Slipper", 39),
    ),
    "Bags": (
        ("Backpack", 89),
        ("Tote", 45),
        ("Weekender", 139),
        ("Messenger Bag", 98),
        ("Pouch", 24),
        ("Dry Bag", 59),
        ("Camera Bag", 129),
    ),
    "Jackets": (
        ("Rain Jacket", 129),
        ("Down Jacket", 199),
        ("Fleece", 79),
        ("Parka", 219),
        ("Windbreaker", 92),
        ("Peacoat", 189),
        ("Vest", 69),
    ),
    "Accessories": (
        ("Beanie", 24),
        ("Scarf", 35),
        ("Belt", 39),
        ("Watch", 149),
        ("Sunglasses", 85),
        ("Gloves", 32),
        ("Socks", 14),
    ),
    "Outdoor": (
        ("Water Bottle", 29),
        ("Tent", 249),
        ("Sleeping Bag", 139),
        ("Head Torch", 45),
        ("Camping Stove", 65),
        ("Hammock", 72),
        ("Pocket Knife", 38),
    ),
    "Home": (
        ("Mug", 16),
        ("Blanket", 75),
        ("Candle", 22),
        ("Lantern", 55),
        ("Cushion", 34),
        ("Vase", 42),
        ("Wall Clock", 64),
    ),
    "Paper": (
        ("Notebook", 15),
        ("Calendar", 21),
        ("Letter Set", 18),
        ("Origami Kit", 26),
        ("Art Print", 48),
        ("Sketchbook", 23),
        ("Gift Wrap", 9),
    ),
}
CATEGORIES: Final = tuple(KINDS)

# (tier, brand, price relative to the middle tier, quality 0..1)
TIERS: Final = (
    ("budget", "Puddle", 0.58, 0.26),
    ("classic", "Regatta", 1.0, 0.56),
    ("premium", "Admiralty", 1.95, 0.88),
)

# Wanted more in some months than in others, January first; 1 is the height of the season.
_WINTER = (0.95, 0.75, 0.5, 0.35, 0.25, 0.2, 0.2, 0.3, 0.6, 0.9, 1.0, 0.95)
_SUMMER = (0.25, 0.3, 0.45, 0.7, 0.95, 1.0, 1.0, 0.85, 0.6, 0.4, 0.35, 0.45)
_GIFTS = (0.4, 0.45, 0.4, 0.4, 0.45, 0.4, 0.4, 0.4, 0.5, 0.6, 0.95, 1.0)
_STEADY = (0.7,) * 12
SEASON: Final = {
    "Shoes": _STEADY,
    "Bags": _STEADY,
    "Jackets": _WINTER,
    "Accessories": _GIFTS,
    "Outdoor": _SUMMER,
    "Home": _GIFTS,
    "Paper": _GIFTS,
}

TASTE_STEPS: Final = 10
_TASTE_WIDTH = 0.2  # how far from the own taste in quality a product may be before interest falls off


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One article; `price` is its list price in the shop's currency, `quality` is 0..1."""

    product_id: str
    name: str
    brand: str
    category: str
    tier: str
    price: float
    quality: float

    @property
    def path(self) -> str:
        return f"/products/{self.product_id.lower()}"

    def line(self, *, price: float, quantity: int) -> dict[str, object]:
        """The product as a line of a cart or an order, as the e-commerce spec has it."""
        return {
            "product_id": self.product_id,
            "name": self.name,
            "brand": self.brand,
            "category": self.category,
            "price": price,
            "quantity": quantity,
        }


def _products() -> tuple[Product, ...]:
    found = []
    for category, kinds in KINDS.items():
        for rank, (kind, middle_price) in enumerate(kinds):
            for tier_rank, (tier, brand, price_factor, quality) in enumerate(TIERS):
                # Price and quality go together but not in step, so that there are bargains and overpriced goods.
                drift = ((rank * 5 + tier_rank * 3) % 7 - 3) / 30
                found.append(
                    Product(
                        product_id=f"{category[:3].upper()}-{rank + 1}{tier_rank + 1}",
                        name=f"{brand} {kind}",
                        brand=brand,
                        category=category,
                        tier=tier,
                        price=max(math.floor(middle_price * price_factor * (1 - drift)), 4) + 0.95,
                        quality=round(quality + drift, 3),
                    )
                )
    return tuple(found)


PRODUCTS: Final = _products()


class Shelf:
    """The products of one category, weighted by popularity and by nearness to one taste in quality (0..1)."""

    __slots__ = ("_cumulative", "_products")

    def __init__(self, category: str, taste: float) -> None:
        self._products = [product for product in PRODUCTS if product.category == category]
        per_kind = len(TIERS)
        self._cumulative = list(
            accumulate(
                math.exp(-(((product.quality - taste) / _TASTE_WIDTH) ** 2) / 2) / (1 + position // per_kind)
                for position, product in enumerate(self._products)
            )
        )

    def pick(self, chance: float) -> Product:
        """The product that `chance`, uniform in [0, 1), falls on."""
        return self._products[bisect_left(self._cumulative, chance * self._cumulative[-1])]


def shelves() -> dict[str, list[Shelf]]:
    """For each category its shelves by taste, from 0 to `TASTE_STEPS`."""
    return {
        category: [Shelf(category, step / TASTE_STEPS) for step in range(TASTE_STEPS + 1)] for category in CATEGORIES
    }

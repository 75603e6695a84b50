"""The catalogue has tiers, and taste draws people to them."""

import random
from collections import Counter

import pytest

from demo.catalogue import CATEGORIES, PRODUCTS, SEASON, Shelf


def test_every_category_has_all_tiers_and_prices_rise_with_them() -> None:
    assert len(PRODUCTS) == 147
    assert len({product.product_id for product in PRODUCTS}) == len({product.name for product in PRODUCTS}) == 147
    for category in CATEGORIES:
        prices = {
            tier: [product.price for product in PRODUCTS if (product.category, product.tier) == (category, tier)]
            for tier in ("budget", "classic", "premium")
        }
        means = [sum(found) / len(found) for found in prices.values()]
        assert means == sorted(means)
        assert min(means) > 0
    assert all(0 < product.quality < 1 for product in PRODUCTS)


@pytest.mark.parametrize(("taste", "tier"), [(0.2, "budget"), (0.55, "classic"), (0.9, "premium")])
def test_a_taste_picks_its_own_tier_most_often(taste: float, tier: str) -> None:
    shelf, dice = Shelf("Shoes", taste), random.Random(1)
    picked = Counter(shelf.pick(dice.random()).tier for _ in range(2000))
    assert picked.most_common(1)[0][0] == tier
    assert len(picked) >= 2, "taste leans, it doesn't forbid"


def test_every_category_has_a_season_of_twelve_months() -> None:
    assert set(SEASON) == set(CATEGORIES)
    assert all(len(months) == 12 and max(months) <= 1 and min(months) > 0 for months in SEASON.values())

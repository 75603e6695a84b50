"""The simulated people: their kind, home, taste, devices and habits, all drawn from one seeded generator.

What they then do stands in `journeys` and `relations`. The kind is a hidden cause: it is never sent as a trait.
"""

from __future__ import annotations

import unicodedata
import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

import numpy as np

from demo.catalogue import CATEGORIES, TASTE_STEPS
from demo.places import COUNTRIES, MEN, SURNAMES, WOMEN, Country


class Kind(StrEnum):
    """Why somebody behaves as they do."""

    LOYAL = "loyal"
    BARGAIN_HUNTER = "bargain hunter"
    CART_ABANDONER = "cart abandoner"
    WINDOW_SHOPPER = "window shopper"
    LAPSED = "lapsed"
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How one kind behaves on average; chances are 0..1."""

    share: float
    visits: float  # in the time they are around; people of a kind differ (gamma), as in the NBD model
    views: float  # products looked at in a visit, beyond the first
    adds: float  # a product looked at goes into the cart
    checks_out: float  # a visit with something in the cart gets to the checkout
    pays: float  # a checkout is paid
    sends_back: float  # an order is refunded, in part or in whole
    asks: float  # an order leads to a support ticket
    promotion_pull: float  # how much more a sale draws them than others
    has_account: float  # ever opens one
    reads_news: float  # ever subscribes
    taste: float  # weight of the quality-minded among them; the others mind the price


HABITS: Final[dict[Kind, Habits]] = {
    Kind.LOYAL: Habits(
        share=0.12, visits=8.2, views=1.9, adds=0.34, checks_out=0.86, pays=0.92, sends_back=0.05, asks=0.04,
        promotion_pull=1.0, has_account=1.0, reads_news=0.62, taste=0.66,
    ),
    Kind.BARGAIN_HUNTER: Habits(
        share=0.15, visits=3.5, views=2.4, adds=0.3, checks_out=0.62, pays=0.82, sends_back=0.13, asks=0.06,
        promotion_pull=5.0, has_account=1.0, reads_news=0.7, taste=0.12,
    ),
    Kind.CART_ABANDONER: Habits(
        share=0.15, visits=3.3, views=2.2, adds=0.42, checks_out=0.6, pays=0.16, sends_back=0.1, asks=0.05,
        promotion_pull=1.2, has_account=0.85, reads_news=0.25, taste=0.5,
    ),
    Kind.WINDOW_SHOPPER: Habits(
        share=0.3, visits=2.0, views=2.7, adds=0.035, checks_out=0.45, pays=0.4, sends_back=0.08, asks=0.03,
        promotion_pull=1.1, has_account=0.6, reads_news=0.22, taste=0.6,
    ),
    Kind.LAPSED: Habits(
        share=0.19, visits=2.7, views=1.8, adds=0.3, checks_out=0.72, pays=0.85, sends_back=0.16, asks=0.14,
        promotion_pull=1.3, has_account=1.0, reads_news=0.3, taste=0.45,
    ),
    Kind.NEW: Habits(
        share=0.09, visits=2.0, views=2.4, adds=0.26, checks_out=0.6, pays=0.85, sends_back=0.08, asks=0.05,
        promotion_pull=1.2, has_account=0.9, reads_news=0.4, taste=0.5,
    ),
}  # fmt: skip
KINDS: Final = tuple(HABITS)

_UNDECOMPOSED = str.maketrans("łŁıøØ", "lLioO")  # letters that NFKD leaves whole
_GATHERING_SHAPE = 1.6  # shape of the gamma that spreads visits between people of a kind
_SHARED_DEVICE = 0.004  # people who use the computer of somebody else at home


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something a person browses with; `context` is what a browser library says about it in each message."""

    anonymous_id: str
    kind: str
    context: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One simulated person. `first_day` and `last_day` count from the first simulated day; before 0 is before it."""

    index: int
    kind: Kind
    habits: Habits
    first_name: str
    last_name: str
    gender: str | None
    birthday: date | None
    country: Country
    city: str | None
    postal_code: str
    taste: float
    category_weights: tuple[float, ...]
    devices: tuple[Device, ...]
    first_day: int
    last_day: int
    visits: int
    has_account: bool
    reads_news: bool
    news_interest: float

    @property
    def user_id(self) -> str:
        return f"u-{self.index:06d}"

    @property
    def email(self) -> str:
        plain = unicodedata.normalize("NFKD", f"{self.first_name}.{self.last_name}".translate(_UNDECOMPOSED))
        local = plain.encode("ascii", "ignore").decode().lower()
        return f"{local}.{self.index}@example.{'org' if self.index % 3 else 'com'}"

    @property
    def taste_step(self) -> int:
        return round(self.taste * TASTE_STEPS)

    @property
    def is_customer_already(self) -> bool:
        """Had an account before the simulated days began."""
        return self.has_account and self.first_day < 0


# (kind, os, os version, user agent)
_DEVICES: Final = (
    ("mobile", "iOS", "18.5",
     "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Safari/604.1"),
    ("mobile", "Android", "15", "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/138.0 Mobile"),
    ("mobile", "Android", "14", "Mozilla/5.0 (Linux; Android 14; SM-A546B) AppleWebKit/537.36 Chrome/136.0 Mobile"),
    ("desktop", "Windows", "11", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0"),
    ("desktop", "macOS", "15.5", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1"),
    ("desktop", "Linux", "6.12", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("tablet", "iPadOS", "18.5", "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"),
)  # fmt: skip
_SHARES = np.array((0.3, 0.17, 0.11, 0.21, 0.12, 0.03, 0.06))
_SHARES_OF_THE_YOUNG = _SHARES * (1.6, 1.3, 1.2, 0.6, 0.8, 1.0, 0.6)
_ONE_OR_MORE = (0.58, 0.91)  # chance of one device, of at most two; the others have three


def population(*, size: int, days: int, as_of: date, rng: np.random.Generator) -> list[Person]:
    """`size` people, of whom everybody is around at some time in the `days` days before `as_of`."""
    kinds = rng.choice(len(KINDS), size, p=[HABITS[kind].share for kind in KINDS])
    countries = rng.choice(len(COUNTRIES), size, p=[country.share for country in COUNTRIES])
    chances = rng.random((size, 9))
    ages = np.clip(rng.gamma(7.0, 4.2, size) + 16, 17, 88)
    rates = rng.gamma(_GATHERING_SHAPE, 1 / _GATHERING_SHAPE, size)
    # Two camps, not one bell: those who mind the price and those who mind quality.
    quality_minded = chances[:, 0] < np.array([HABITS[kind].taste for kind in KINDS])[kinds]
    tastes = np.where(quality_minded, rng.beta(9, 2.4, size), rng.beta(2.4, 8, size))
    found: list[Person] = []
    for index in range(size):
        kind = KINDS[kinds[index]]
        habits, country, age = HABITS[kind], COUNTRIES[countries[index]], float(ages[index])
        chance = chances[index].tolist()
        gender = "female" if chance[1] < 0.53 else "male" if chance[1] < 0.97 else "non-binary"
        first_day, last_day = _time_around(kind, days, rng)
        is_woman = gender == "female" or (gender == "non-binary" and chance[2] < 0.5)
        first_names = (WOMEN if is_woman else MEN)[country.language].split()
        surnames = SURNAMES[country.language].split()
        devices = _devices(country, age, rng)
        if found and chance[6] < _SHARED_DEVICE:
            devices = (found[-1].devices[0], *devices[1:])
        found.append(
            Person(
                index=index,
                kind=kind,
                habits=habits,
                first_name=first_names[rng.integers(len(first_names))],
                last_name=surnames[rng.integers(len(surnames))],
                gender=gender if chance[3] < 0.82 else None,
                birthday=as_of - timedelta(days=int(age * 365.25)) if chance[4] < 0.72 else None,
                country=country,
                city=country.cities[int(len(country.cities) * chance[5] ** 1.7)] if chance[5] < 0.93 else None,
                postal_code=_postal_code(country.postal_code, rng),
                taste=float(tastes[index]),
                category_weights=_category_weights(gender, age, rng),
                devices=devices,
                first_day=first_day,
                last_day=last_day,
                visits=max(1, int(rng.poisson(habits.visits * rates[index]))),
                has_account=chance[7] < habits.has_account,
                reads_news=chance[8] < habits.reads_news,
                news_interest=float(rng.beta(2, 4)) * (1.5 if kind in (Kind.LOYAL, Kind.BARGAIN_HUNTER) else 0.8),
            )
        )
    return found


def _time_around(kind: Kind, days: int, rng: np.random.Generator) -> tuple[int, int]:
    """First and last day on which somebody of this kind may come by."""
    if kind is Kind.NEW:
        return days - 1 - int(rng.integers(min(60, days))), days - 1
    if kind is Kind.LAPSED:
        last = int(days * rng.uniform(0.1, 0.66))
        return last - int(rng.integers(60, 400)), last
    joined_before = 0.6 if kind is Kind.LOYAL else 0.35
    if rng.random() < joined_before:
        return -int(rng.integers(1, 900)), days - 1
    return int(days * rng.uniform(0, 0.85)), days - 1


def _postal_code(shape: str, rng: np.random.Generator) -> str:
    digits, letters = rng.integers(0, 10, len(shape)), rng.integers(0, 20, len(shape))
    return "".join(
        str(digits[n]) if sign == "#" else "ABCDEFGHJKLMNPRSTUVW"[letters[n]] if sign == "@" else sign
        for n, sign in enumerate(shape)
    )


def _category_weights(gender: str, age: float, rng: np.random.Generator) -> tuple[float, ...]:
    """A few favourites each, leaning a little by age and gender; in the order of `CATEGORIES`, adding up to 1."""
    lean = dict.fromkeys(CATEGORIES, 0.45)
    if gender == "female":
        lean |= {"Bags": 0.65, "Home": 0.6}
    if gender == "male":
        lean |= {"Outdoor": 0.65, "Shoes": 0.55}
    if age < 30:
        lean["Shoes"] += 0.25
    elif age > 50:
        lean["Home"] += 0.25
        lean["Paper"] += 0.15
    return tuple(rng.dirichlet(list(lean.values())).tolist())


def _devices(country: Country, age: float, rng: np.random.Generator) -> tuple[Device, ...]:
    shares = _SHARES_OF_THE_YOUNG if age < 35 else _SHARES
    number = 1 + int(np.searchsorted(_ONE_OR_MORE, rng.random()))
    found = []
    # The smallest of exponential waits at those rates: a weighted draw without replacement.
    for choice in np.argsort(rng.standard_exponential(len(shares)) / shares)[:number].tolist():
        kind, system, version, user_agent = _DEVICES[choice]
        found.append(
            Device(
                anonymous_id=str(uuid.UUID(bytes=rng.bytes(16), version=4)),
                kind=kind,
                context={
                    "device": {"type": kind},
                    "os": {"name": system, "version": version},
                    "locale": country.locale,
                    "timezone": country.time_zone,
                    "userAgent": user_agent,
                },
            )
        )
    return tuple(found)

"""When people come to the simulated shop: weekdays, hours, the year, promotions.

Knows dates and weights only, nothing about people or products.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

WEEKDAYS: Final = (1.0, 0.95, 0.95, 1.0, 0.92, 1.12, 1.3)  # Monday first
# How often the shop is visited in each hour of the visitor's own day.
WORKDAY_HOURS: Final = (
    1.0, 0.6, 0.3, 0.2, 0.2, 0.4, 1.0, 2.0, 3.0, 3.0, 3.2, 3.6,
    4.8, 4.2, 3.2, 3.0, 3.2, 3.8, 4.6, 6.0, 7.0, 6.4, 4.4, 2.0,
)  # fmt: skip
WEEKEND_HOURS: Final = (
    1.6, 1.0, 0.5, 0.3, 0.2, 0.2, 0.5, 1.0, 2.4, 4.0, 5.4, 6.0,
    5.6, 5.0, 5.0, 5.2, 5.4, 5.0, 5.0, 5.4, 5.8, 5.4, 4.0, 2.6,
)  # fmt: skip
NEWSLETTER_EVERY_DAYS: Final = 14
_FIRST_NEWSLETTER: Final = date(2020, 1, 7)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A sale: its name, the code used at the till and the share taken off the list price."""

    name: str
    coupon: str
    discount: float
    pull: float  # how much it lifts everybody's visits


BLACK_FRIDAY: Final = Promotion("Black Friday", "BLACKFRIDAY", 0.30, 2.6)
JANUARY_SALE: Final = Promotion("January Sale", "JANUARY", 0.25, 1.25)
SPRING_TIDE: Final = Promotion("Spring Tide", "SPRINGTIDE", 0.20, 1.3)
SUMMER_SALE: Final = Promotion("Summer Sale", "SUMMER", 0.20, 1.2)


def black_friday(year: int) -> date:
    """The Friday after the fourth Thursday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(3 - first.weekday()) % 7 + 22)


def promotion_on(day: date) -> Promotion | None:
    """The sale that runs on that day; they never overlap."""
    friday = black_friday(day.year)
    if friday - timedelta(days=4) <= day <= friday + timedelta(days=3):
        return BLACK_FRIDAY
    if day.month == 1 and 2 <= day.day <= 15:
        return JANUARY_SALE
    if day.month == 4 and day.day <= 10:
        return SPRING_TIDE
    if day.month == 7 and 1 <= day.day <= 12:
        return SUMMER_SALE
    return None


def _time_of_year(day: date) -> float:
    if day.month == 12:
        if day.day <= 20:
            return 1.25 + 0.035 * day.day
        return 0.45 if 24 <= day.day <= 26 else 0.85
    return (0.85, 0.82, 0.9, 0.95, 0.98, 0.95, 0.85, 0.82, 0.98, 1.05, 1.2)[day.month - 1]


def day_weight(day: date, *, promotion_pull: float = 1.0) -> float:
    """How likely a visit falls on that day; `promotion_pull` is how much more a sale draws this kind of visitor."""
    weight = WEEKDAYS[day.weekday()] * _time_of_year(day)
    promotion = promotion_on(day)
    if promotion is None:
        return weight
    peak = 1.8 if promotion is BLACK_FRIDAY and day == black_friday(day.year) else 1.0
    return weight * promotion.pull * peak * promotion_pull


def day_weights(first: date, days: int, *, promotion_pull: float) -> npt.NDArray[np.float64]:
    """Weights of `days` days from `first` on, shape (days,)."""
    return np.array([day_weight(first + timedelta(days=n), promotion_pull=promotion_pull) for n in range(days)])


def is_newsletter_day(day: date) -> bool:
    """Every second Tuesday."""
    return (day - _FIRST_NEWSLETTER).days % NEWSLETTER_EVERY_DAYS == 0

"""How figures lie among people: percentiles, and counts in bins on a scale that fits. Pure: no database here.

No figure in it stands for fewer than `FEWEST` people: a percentile is a value that somebody has, so the lowest and the
highest are those that so many reach or stay below. Dates are seconds since 1970, so that one way serves both.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

FEWEST: Final = 5
# Of fewer people there is no distribution: nearly each of its figures would be one person's.
FEWEST_RANKED: Final = 2 * FEWEST
PERCENTS: Final = 101
BINS: Final = 40
# From here on, how often the higher figures exceed the middle one, few bins would have everybody.
SKEWED: Final = 6
STEPS: Final = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
PERIODS: Final = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
MOST_PERIODS: Final = 60
TICKS: Final = (1, 2, 5)


class Scale(StrEnum):
    LINEAR = "linear"
    LOG = "log"
    DATE = "date"


@dataclass(frozen=True, kw_only=True)
class Bin:
    """How many have a figure of at least `low` and less than `high`; None where there is no end."""

    low: Decimal | None
    high: Decimal | None
    people: int


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How a figure lies among those who have one.

    Attributes:
        people: who has a figure.
        quantiles: the percentiles 0 to 100; empty when too few have one.
        edges: where bins begin, and where the last one ends; empty like the quantiles.
        counts: below the first edge, in each bin, and from the last edge on: one more than there are edges.
        period: of dates, what a bin is: day, week, month, quarter, year, decade.
        sampled: of how many people drawn at random this is; None for everybody.
    """

    people: int
    quantiles: tuple[Decimal, ...] = ()
    edges: tuple[Decimal, ...] = ()
    counts: tuple[int, ...] = ()
    scale: Scale = Scale.LINEAR
    period: str = ""
    sampled: int | None = None

    def __post_init__(self) -> None:
        if self.quantiles and len(self.quantiles) != PERCENTS:
            raise ValueError("percentiles go from 0 to 100")
        if self.edges and (len(self.counts) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges))):
            raise ValueError("edges ascend, and there is one more count than edges")

    @property
    def is_shown(self) -> bool:
        """Whether there is more to show than how many people have a figure."""
        return bool(self.quantiles and self.edges)

    @cached_property
    def is_whole(self) -> bool:
        return all(one == one.to_integral_value() for one in self.quantiles)

    @property
    def bins(self) -> list[Bin]:
        """The bins in their order, those without an end only where somebody is in them."""
        if not self.edges:
            return []
        ends = [None, *self.edges, None]
        found = [
            Bin(low=low, high=high, people=people)
            for low, high, people in zip(ends, ends[1:], self.counts, strict=False)
        ]
        return [one for one in found if one.people or (one.low is not None and one.high is not None)]

    def at(self, percent: int) -> Decimal:
        """The smallest figure that at least so many percent don't exceed."""
        return self.quantiles[percent]

    def share_below(self, value: Decimal) -> float:
        """About what share of those who have a figure have less than this."""
        place = bisect_left(self.quantiles, value)
        if place == 0:
            return 0.0
        if place == PERCENTS:
            return 1.0
        low, high = self.quantiles[place - 1], self.quantiles[place]
        return min(1.0, (place - 1 + float((value - low) / (high - low))) / 100)

    def as_json(self) -> dict[str, Any]:
        return {
            "people": self.people,
            "quantiles": [plain(one) for one in self.quantiles],
            "edges": [plain(one) for one in self.edges],
            "counts": list(self.counts),
            "scale": self.scale.value,
            "period": self.period,
            "sampled": self.sampled,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Distribution":
        return cls(
            people=stored["people"],
            quantiles=tuple(Decimal(one) for one in stored["quantiles"]),
            edges=tuple(Decimal(one) for one in stored["edges"]),
            counts=tuple(stored["counts"]),
            scale=Scale(stored["scale"]),
            period=stored["period"],
            sampled=stored["sampled"],
        )


def plain(value: Decimal) -> str:
    """The number as digits, without an exponent or zeros that say nothing."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rank(percent: int, people: int) -> int:
    """Which of so many, from the lowest (1), is at the percentile; never one of the outermost four.

    What `segments.fields.counting` asks the database for is the same, and a test compares the two.
    """
    return min(people, max(FEWEST, min(people - FEWEST + 1, -(-percent * people // 100))))


def edges_for(quantiles: Sequence[Decimal], *, is_date: bool = False) -> tuple[Scale, str, tuple[Decimal, ...]]:
    """Scale, period (of dates) and edges that show the percentiles 1 to 99 well."""
    if is_date:
        period, edges = date_edges(_moment(quantiles[1]), _moment(quantiles[99]))
        return Scale.DATE, period, tuple(Decimal(int(one.timestamp())) for one in edges)
    low, middle, high = quantiles[1], quantiles[50], quantiles[99]
    is_whole = all(one == one.to_integral_value() for one in quantiles)
    least = next((one for one in quantiles if one > 0), None)
    if least is not None and low >= 0 and high > SKEWED * max(middle, least) and high >= 10 * least:
        return Scale.LOG, "", _log_edges(max(low, least), high, is_whole=is_whole)
    return Scale.LINEAR, "", _linear_edges(low, high, is_whole=is_whole)


def _linear_edges(low: Decimal, high: Decimal, *, is_whole: bool) -> tuple[Decimal, ...]:
    step = _step((high - low) / BINS, is_whole=is_whole)
    first = (low / step).to_integral_value("ROUND_FLOOR") * step
    count = int((high - first) / step) + 1
    return tuple(first + step * number for number in range(count + 1))


def _step(least: Decimal, *, is_whole: bool = False) -> Decimal:
    """The first of 1, 2, 2.5 and 5 times a power of ten that is as large, and whole where it must be."""
    if least <= 0 or (is_whole and least <= 1):
        return Decimal(1)
    power = Decimal(10) ** least.adjusted()
    steps = (step * power for step in STEPS if step * power >= least)
    return next(step for step in steps if not is_whole or step == step.to_integral_value())


def _log_edges(low: Decimal, high: Decimal, *, is_whole: bool) -> tuple[Decimal, ...]:
    first, last = float(low), float(high) * 1.000001
    edges = [_three_digits(first * (last / first) ** (number / BINS)) for number in range(BINS + 1)]
    edges[0] = min(edges[0], low)
    edges[-1] = max(edges[-1], high)
    if is_whole:
        edges = [one.to_integral_value("ROUND_CEILING") for one in edges]
    found = tuple(sorted(set(edges)))
    return found if len(found) > 1 else (found[0], found[0] + 1)


def _three_digits(value: float) -> Decimal:
    return Decimal(f"{value:.3g}")


def rounded(value: Decimal, *, is_whole: bool) -> Decimal:
    """A figure that reads well: three digits of it that count, and whole where all of them are."""
    if value == 0:
        return value
    place = value.adjusted() - 2
    if is_whole:
        place = max(0, place)
    return value.scaleb(-place).to_integral_value(ROUND_HALF_UP).scaleb(place)


# ---- Dates ---------------------------------------------------------------------------------------------------------


def _moment(seconds: Decimal) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(seconds))


def day_of(seconds: Decimal) -> datetime:
    """The beginning of the day in UTC, as bare dates are kept."""
    return _moment(seconds).replace(hour=0, minute=0, second=0, microsecond=0)


def date_edges(first: datetime, last: datetime) -> tuple[str, list[datetime]]:
    """The period that gives at most sixty bins (decades may be more), and where each begins; the last edge is after the last moment."""
    days = (last - first).days + 1
    period = next((name for name, length in PERIODS.items() if days / length <= MOST_PERIODS), "decade")
    edges = [_begin(first, period)]
    while edges[-1] <= last and edges[-1].year < 9990:
        edges.append(_next(edges[-1], period))
    return period, edges


def _begin(moment: datetime, period: str) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            return day
        case "week":
            return max(day - timedelta(days=day.weekday()), datetime(1, 1, 1, tzinfo=UTC))
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(day=1, month=(day.month - 1) // 3 * 3 + 1)
        case "year":
            return day.replace(day=1, month=1)
        case _:
            return day.replace(day=1, month=1, year=max(1, day.year // 10 * 10))


def _next(begin: datetime, period: str) -> datetime:
    match period:
        case "day":
            return begin + timedelta(days=1)
        case "week":
            return begin + timedelta(days=7)
        case "month" | "quarter":
            months = begin.month + (1 if period == "month" else 3)
            return begin.replace(year=begin.year + (months > 12), month=months - 12 * (months > 12))
        case "year":
            return begin.replace(year=begin.year + 1)
        case _:
            return begin.replace(year=(begin.year // 10 + 1) * 10)


def ticks(low: float, high: float, *, is_log: bool) -> list[float]:
    """Round figures between the two, about five of them."""
    if high <= low:
        return [low]
    if not is_log:
        step = float(_step(Decimal(repr((high - low) / 5))))
        first = math.ceil(low / step)
        return [step * number for number in range(first, math.floor(high / step) + 1)]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [one * 10.0**power for power in powers for one in TICKS]
    tens = [10.0**power for power in powers]
    chosen = tens if math.log10(high / low) > 3 else every
    return [one for one in chosen if low <= one <= high]

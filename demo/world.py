"""What the parts of the simulation share: the dice, the outbox, where each person stands with the shop.

Decides nothing about behaviour; that is in `journeys` and `relations`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final, NamedTuple

from demo.catalogue import Product, Shelf, shelves
from demo.people import Person

Message = dict[str, Any]

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

BROWSER: Final = "browser"
BACKEND: Final = "backend"


class Sent(NamedTuple):
    """One message of the tracking API, with the source whose write key it belongs to."""

    source: str
    message: Message


# A message waiting in the outbox for its moment, in milliseconds since 1970. A bare tuple: there are a great many.
Parcel = tuple[int, str, Message]


class Outbox:
    """Parcels by the day on which they go out. Memory holds what is still to come, never what went."""

    __slots__ = ("_days", "end_ms", "first_ms")

    def __init__(self, *, first_ms: int, end_ms: int) -> None:
        self.first_ms, self.end_ms = first_ms, end_ms
        self._days: list[list[Parcel]] = [[] for _ in range(-(-(end_ms - first_ms) // DAY))]

    def post(self, at_ms: int, source: str, message: Message) -> None:
        """Put by for its moment. What would happen after the simulated time never happens."""
        if at_ms < self.end_ms:
            self._days[(at_ms - self.first_ms) // DAY].append((at_ms, source, message))

    def take_day(self, number: int) -> list[Parcel]:
        """That day's parcels in order of time."""
        parcels, self._days[number] = self._days[number], []
        parcels.sort(key=itemgetter(0))
        return parcels


@dataclass(slots=True)
class Standing:
    """Where a person stands with the shop, as it changes in the course of the simulation."""

    has_account: bool = False
    known_on: int = 0  # bit n: logged in on device n
    cart: list[tuple[Product, int]] = field(default_factory=list)
    cart_at_ms: int = 0
    subscribed: bool = False
    spent: float = 0.0
    tier: str = "paper"
    took_quiz: bool = False


@dataclass(slots=True, kw_only=True)
class World:
    """One run of the simulation. `dice` is seeded, so that equal arguments give equal messages."""

    dice: random.Random
    outbox: Outbox
    standings: list[Standing]
    shelves: dict[str, list[Shelf]] = field(default_factory=shelves)
    subscribers: dict[int, Person] = field(default_factory=dict)
    orders: int = 0
    tickets: int = 0

    def between(self, low_ms: int, high_ms: int) -> int:
        """A span of time, uniform in [low, high)."""
        return low_ms + int((high_ms - low_ms) * self.dice.random())


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

"""The simulated shop: `messages()` yields all that its site and its backend would have sent in the days up to a moment.

Pure: seed, clock and size are arguments, and equal arguments give equal messages. Sending them is for the commands.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from demo import relations
from demo.journeys import NEWSLETTER, Visit
from demo.people import HABITS, KINDS, Person, population
from demo.seasons import WEEKDAYS, WEEKEND_HOURS, WORKDAY_HOURS, day_weights, is_newsletter_day, promotion_on
from demo.world import DAY, HOUR, MINUTE, Outbox, Parcel, Sent, Standing, World, epoch_ms

PEOPLE: Final = 20_000
DAYS: Final = 400
SEED: Final = 20_260_201

_REPEATED = 0.003  # sent again by a browser that never saw the answer
_LATE = 0.006  # kept on the device while it was offline
_NEWSLETTER_AT = 8 * HOUR


def messages(*, seed: int = SEED, as_of: datetime, people: int = PEOPLE, days: int = DAYS) -> Iterator[Sent]:
    """Every message of `people` people over `days` days up to `as_of`, in the order in which they would arrive.

    That is the order of their timestamps, but for some that were late, and some are repeated with the same messageId.
    The dictionaries share parts with each other: read them, don't change them.

    Args:
        as_of: aware; nothing is stamped at or after it.
    """
    first = first_day(as_of, days)
    folk = crowd(seed=seed, as_of=as_of, people=people, days=days)
    world = World(
        dice=random.Random(seed),
        outbox=Outbox(first_ms=epoch_ms(datetime.combine(first, time(), UTC)), end_ms=epoch_ms(as_of)),
        standings=[Standing() for _ in folk],
    )
    rng = np.random.default_rng([seed, 1])
    prefix = hashlib.sha256(f"{seed} {as_of.isoformat()} {people} {days}".encode()).hexdigest()[:10]
    yield from _stamped(_lived(world, folk, first=first, days=days, rng=rng), world, prefix=prefix)


def first_day(as_of: datetime, days: int = DAYS) -> date:
    """The first simulated day, in UTC; the last one is that of the moment just before `as_of`."""
    return (as_of.astimezone(UTC) - timedelta(milliseconds=1)).date() - timedelta(days=days - 1)


def crowd(*, seed: int = SEED, as_of: datetime, people: int = PEOPLE, days: int = DAYS) -> list[Person]:
    """The people whom `messages` with the same arguments tells of, with the causes that it keeps to itself."""
    return population(size=people, days=days, as_of=as_of.astimezone(UTC).date(), rng=np.random.default_rng([seed, 0]))


def _lived(
    world: World, folk: list[Person], *, first: date, days: int, rng: np.random.Generator
) -> Iterator[list[Parcel]]:
    """The days' messages, one day after the other."""
    first_ms = world.outbox.first_ms
    for person in folk:
        if person.is_customer_already:
            relations.import_customer(world, person, at_ms=first_ms + world.between(0, 5 * HOUR))
    starts_ms, visitors = _visits(folk, first=first, days=days, rng=rng)
    bounds = np.searchsorted(starts_ms, np.arange(days + 1) * DAY).tolist()
    clicks: defaultdict[int, list[tuple[int, Person]]] = defaultdict(list)
    for number in range(days):
        day = first + timedelta(days=number)
        promotion = promotion_on(day)
        if is_newsletter_day(day):
            for person in list(world.subscribers.values()):
                clicked_ms = relations.read_newsletter(
                    world,
                    person,
                    sent_ms=first_ms + number * DAY + _NEWSLETTER_AT,
                    issue=day.isoformat(),
                    is_gone=number > person.last_day,
                )
                if clicked_ms is not None:
                    clicks[(clicked_ms - first_ms) // DAY].append((clicked_ms, person))
        for clicked_ms, person in clicks.pop(number, ()):
            visit_ms = clicked_ms + 2000
            Visit(world, person, at_ms=visit_ms, month=day.month, promotion=promotion, campaign=NEWSLETTER).run()
        here = slice(bounds[number], bounds[number + 1])
        for start_ms, index in zip(starts_ms[here].tolist(), visitors[here].tolist(), strict=True):
            Visit(world, folk[index], at_ms=first_ms + start_ms, month=day.month, promotion=promotion).run()
        yield world.outbox.take_day(number)


def _visits(
    folk: list[Person], *, first: date, days: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """When somebody comes by (milliseconds from the first day, ascending) and who: two arrays of shape (n_visits,)."""
    visitors = np.repeat(np.arange(len(folk)), [person.visits for person in folk])
    kinds = np.array([KINDS.index(person.kind) for person in folk])[visitors]
    since = np.array([max(person.first_day, 0) for person in folk])[visitors]
    until = np.array([max(person.last_day, max(person.first_day, 0)) for person in folk])[visitors]
    offset_hours = np.array([person.country.utc_offset_hours for person in folk])[visitors]
    day = np.zeros(len(visitors), dtype=np.int64)
    for number, kind in enumerate(KINDS):
        weights = day_weights(first, days, promotion_pull=HABITS[kind].promotion_pull)
        cumulative = np.concatenate([[0.0], np.cumsum(weights)])
        of_kind = kinds == number
        low, high = cumulative[since[of_kind]], cumulative[until[of_kind] + 1]
        drawn = low + (high - low) * rng.random(int(of_kind.sum()))
        day[of_kind] = np.clip(np.searchsorted(cumulative, drawn, side="right") - 1, 0, days - 1)
    weekday = (day + first.weekday()) % len(WEEKDAYS)
    minute = np.where(
        weekday >= 5,
        _minutes_of_day(WEEKEND_HOURS, rng.random(len(day))),
        _minutes_of_day(WORKDAY_HOURS, rng.random(len(day))),
    )
    starts_ms = day * DAY + minute * MINUTE + rng.integers(0, MINUTE, len(day)) - offset_hours * HOUR
    starts_ms = np.where(starts_ms < 0, starts_ms + DAY, starts_ms)
    order = np.argsort(starts_ms, kind="stable")
    return starts_ms[order], visitors[order]


def _minutes_of_day(hours: tuple[float, ...], chance: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    cumulative = np.concatenate([[0.0], np.cumsum(hours)]) / sum(hours)
    return np.clip(np.interp(chance, cumulative, np.arange(25) * 60), 0, 24 * 60 - 1).astype(np.int64)


def _stamped(days: Iterator[list[Parcel]], world: World, *, prefix: str) -> Iterator[Sent]:
    """Numbers and dates the messages, and sends some late or twice, as networks do."""
    dice, number = random.Random(prefix), 0
    chance, post = dice.random, world.outbox.post
    for day, parcels in enumerate(days):
        midnight_ms = world.outbox.first_ms + day * DAY
        date_part = datetime.fromtimestamp(midnight_ms // 1000, UTC).strftime("%Y-%m-%dT")
        for at_ms, source, message in parcels:
            if "messageId" in message:  # one that was late or is repeated
                yield Sent(source, message)
                continue
            number += 1
            message["messageId"] = f"{prefix}-{number:07d}"
            seconds, ms = divmod(at_ms - midnight_ms, 1000)
            message["timestamp"] = f"{date_part}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}Z"
            fate = chance()
            if fate < _LATE and source == "browser":
                post(at_ms + DAY + int(chance() * 2 * DAY), source, message)
                continue
            if fate > 1 - _REPEATED:
                post(at_ms + DAY + int(chance() * HOUR), source, message)
            yield Sent(source, message)

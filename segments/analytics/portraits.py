"""What is known of a group of people in figures, each beside everybody's: the facts that a portrait and its sentences are made of.

How they are counted is in `segments.personas`; what is said of them in `segments.analytics.narrative`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

# No figure stands for fewer people.
FEWEST: Final = 5
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Unit(StrEnum):
    """What a figure counts, and so how it is written."""

    PEOPLE = "people"
    COUNT = "count"
    SHARE = "share"
    MONEY = "money"
    DAYS = "days"
    MINUTES = "minutes"
    NUMBER = "number"
    TIMES = "times"
    HOUR = "hour"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure of the group beside everybody's, with of how many people of the group it is; None where it isn't known."""

    key: str
    label: str
    unit: Unit
    value: float | None
    everyone: float | None
    people: int
    source: str

    @property
    def times(self) -> float | None:
        """How many times everybody's it is; None where that says nothing."""
        if self.value is None or self.everyone is None or self.everyone <= 0 or self.value < 0:
            return None
        return self.value / self.everyone


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One of several: how many of the group, which part of those that are known, and which part it is of everybody."""

    key: str
    label: str
    people: int
    share: float
    everyone: float | None

    @property
    def times(self) -> float | None:
        return self.share / self.everyone if self.everyone else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """How the group divides: by category, channel, country. `known` people of the group have a value at all.

    `is_exclusive` when each person is in one row at most; else a person counts in each that holds for them.
    """

    key: str
    label: str
    known: int
    source: str
    rows: tuple[Share, ...]
    is_exclusive: bool = True

    @property
    def first(self) -> Share | None:
        return self.rows[0] if self.rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When they come: visits by weekday (Monday first) and hour, None where they stand for fewer than five people.

    `what` they are: "visits", or "orders" where no visits are known.
    """

    what: str
    zone: str
    source: str
    people: int
    visits: tuple[tuple[int | None, ...], ...]
    everyone: tuple[tuple[int | None, ...], ...]

    @property
    def total(self) -> int:
        return sum(one or 0 for row in self.visits for one in row)

    @property
    def by_day(self) -> tuple[int, ...]:
        return tuple(sum(one or 0 for one in row) for row in self.visits)

    @property
    def by_hour(self) -> tuple[int, ...]:
        return tuple(sum(row[hour] or 0 for row in self.visits) for hour in range(24))


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What may be wanted next: of people anywhere who bought from `after`, how many bought from `category` later.

    `otherwise` is the part of all `buyers` who did so after their first purchase of anything; `ready` is how many of the group
    have bought from the one and not from the other.
    """

    category: str
    after: str
    bought: int
    went_on: int
    buyers: int
    otherwise: float
    ready: int

    @property
    def chance(self) -> float:
        return self.went_on / self.bought if self.bought else 0.0

    @property
    def lift(self) -> float | None:
        return self.chance / self.otherwise if self.otherwise else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """All that was counted of one group. `people` None: fewer than five, and then there is nothing else."""

    people: int | None
    everybody: int
    currency: str
    window_days: int
    zone: str
    measures: tuple[Measure, ...] = ()
    demographics: tuple[Breakdown, ...] = ()
    traits: tuple[Breakdown, ...] = ()
    categories: Breakdown | None = None
    channels: Breakdown | None = None
    devices: Breakdown | None = None
    prices: Breakdown | None = None
    reach: Breakdown | None = None
    when: When | None = None
    needs: tuple[Need, ...] = ()
    feedback: tuple[Measure, ...] = ()

    def measure(self, key: str) -> Measure | None:
        return next((one for one in self.measures if one.key == key), None)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Portrait":
        when = found["when"]
        return cls(
            **{
                **found,
                "measures": tuple(map(_measure, found["measures"])),
                "feedback": tuple(map(_measure, found["feedback"])),
                "demographics": tuple(map(_breakdown, found["demographics"])),
                "traits": tuple(map(_breakdown, found["traits"])),
                "needs": tuple(Need(**one) for one in found["needs"]),
                "when": when and When(**{**when, "visits": _grid(when["visits"]), "everyone": _grid(when["everyone"])}),
                **{
                    name: found[name] and _breakdown(found[name])
                    for name in ("categories", "channels", "devices", "prices", "reach")
                },
            }
        )


def _measure(found: Mapping[str, Any]) -> Measure:
    return Measure(**{**found, "unit": Unit(found["unit"])})


def _breakdown(found: Mapping[str, Any]) -> Breakdown:
    return Breakdown(**{**found, "rows": tuple(Share(**one) for one in found["rows"])})


def _grid(rows: Any) -> tuple[tuple[int | None, ...], ...]:
    return tuple(map(tuple, rows))

"""The grid of recency by frequency and spend as it is shown: colours, edges of groups, what is picked, and what picking leads to. Pure.

Cells come from a run; what a screen does with them is in `segments.rfm.screens`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

STEPS: Final = 5
DIGITS: Final = frozenset("12345")
SHADES: Final = 9  # the strongest of ten, counted from 0
MOST_NAMED: Final = 3  # cells that a heading has room for
PEOPLE, REVENUE = "people", "revenue"
SHADED_BY: Final = {PEOPLE: "People", REVENUE: "Revenue"}

Place = tuple[int, int]
"""Recency and FM, 1 to 5 each; 5 is the most recent, and the most often for the most."""

ALL_PLACES: Final[Sequence[Place]] = [(r, fm) for fm in range(STEPS, 0, -1) for r in range(1, STEPS + 1)]
"""As they are read: the best row on top, the longest ago at the left."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What people of a cell, a group or of all come to together.

    Args:
        revenue: orders minus refunds over the window, in the reporting currency; also of those who sent back more than they bought.
        recency_days: the sum over the people, so that cells add up.
    """

    people: int = 0
    orders: int = 0
    revenue: Decimal = Decimal(0)
    recency_days: Decimal = Decimal(0)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            people=self.people + other.people,
            orders=self.orders + other.orders,
            revenue=self.revenue + other.revenue,
            recency_days=self.recency_days + other.recency_days,
        )

    @property
    def average(self) -> Decimal | None:
        """Revenue per order."""
        return self.revenue / self.orders if self.orders else None

    @property
    def recency_mean(self) -> float | None:
        return float(self.recency_days / self.people) if self.people else None

    @property
    def frequency_mean(self) -> float | None:
        return self.orders / self.people if self.people else None

    @property
    def monetary_mean(self) -> Decimal | None:
        return self.revenue / self.people if self.people else None

    def people_share(self, whole: "Sums") -> float | None:
        return self.people / whole.people if whole.people else None

    def revenue_share(self, whole: "Sums") -> float | None:
        """None where the whole is nothing or less: a share of a loss says nothing."""
        return float(self.revenue / whole.revenue) if whole.revenue > 0 else None


def total(sums: Iterable[Sums]) -> Sums:
    return sum(sums, Sums())


# ---- What is asked for -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the address of the page asks to see: which run, coloured by what, and which cells or group are picked."""

    run: str = ""
    by: str = PEOPLE
    is_several: bool = False
    places: frozenset[Place] = frozenset()
    group: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], *, groups: Iterable[str] = ()) -> "Asked":
        """As an address says it; what makes no sense in it is left out."""
        by, group = query.get("by", PEOPLE), query.get("group", "")
        return cls(
            run=query.get("run", ""),
            by=by if by in SHADED_BY else PEOPLE,
            is_several=query.get("several") == "1",
            places=places_of(query.get("pick", "")),
            group=group if group in set(groups) else "",
        )

    @property
    def pick(self) -> str:
        return written(self.places)

    @property
    def query(self) -> str:
        parts = {
            "run": self.run,
            "by": "" if self.by == PEOPLE else self.by,
            "several": "1" if self.is_several else "",
            "pick": self.pick,
            "group": self.group,
        }
        return "?" + urlencode({key: value for key, value in parts.items() if value})

    def picking(self, place: Place) -> "Asked":
        """After a press on this cell: it alone, or together with those that are picked; picked already, it is let go."""
        if self.is_several and not self.group:
            return replace(self, places=self.places ^ {place})
        alone = frozenset() if self.places == {place} and not self.group else frozenset({place})
        return replace(self, places=alone, group="")


def places_of(text: str) -> frozenset[Place]:
    """Cells as an address writes them, "5-4.5-5"; what is none is left out."""
    found = set()
    for part in text.split(".")[: STEPS * STEPS]:
        r, _, fm = part.partition("-")
        if r in DIGITS and fm in DIGITS:
            found.add((int(r), int(fm)))
    return frozenset(found)


def written(places: Iterable[Place]) -> str:
    return ".".join(f"{r}-{fm}" for r, fm in sorted(places))


def named(places: Iterable[Place]) -> str:
    """Cells as a person reads them."""
    listed = [f"R {r}, FM {fm}" for r, fm in sorted(places, reverse=True)]
    return "; ".join(listed) if len(listed) <= MOST_NAMED else f"{len(listed)} cells"


# ---- What is shown -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CellShown:
    """One cell: what stands in it, how strong its colour is (0 to 9), where its group ends, and what a press leads to."""

    place: Place
    group: str
    sums: Sums
    revenue_share: float | None
    heat: int
    edges: str
    is_picked: bool
    url: str
    said: str

    @property
    def key(self) -> str:
        return written([self.place])


def heat(value: Decimal | int, most: Decimal | int) -> int:
    """Between 0 and 9; nobody, nothing and less than nothing are 0, and whatever there is isn't."""
    if value <= 0 or most <= 0:
        return 0
    return max(1, round(float(value) / float(most) * SHADES))


def edges_of(place: Place, group_at: Mapping[Place, str]) -> str:
    """Classes for the sides on which another group begins, or nothing does."""
    r, fm = place
    beside = {"t": (r, fm + 1), "r": (r + 1, fm), "b": (r, fm - 1), "l": (r - 1, fm)}
    mine = group_at.get(place)
    return "".join(
        f" o-{side}" for side, other in beside.items() if group_at.get(other) != mine or other not in group_at
    )


def cells_shown(sums: Mapping[Place, Sums], group_at: Mapping[Place, str], asked: Asked) -> dict[Place, CellShown]:
    whole = total(sums.values())
    picked = asked.places or {place for place, group in group_at.items() if asked.group and group == asked.group}

    def strength(place: Place) -> Decimal | int:
        one = sums.get(place, Sums())
        return one.revenue if asked.by == REVENUE else one.people

    most = max((strength(place) for place in ALL_PLACES), default=0)
    shown = {}
    for place in ALL_PLACES:
        mine, is_picked = sums.get(place, Sums()), place in picked
        share, (r, fm) = mine.revenue_share(whole), place
        shown[place] = CellShown(
            place=place,
            group=group_at.get(place, ""),
            sums=mine,
            revenue_share=share,
            heat=heat(strength(place), most),
            edges=edges_of(place, group_at),
            is_picked=is_picked,
            url=asked.picking(place).query,
            said=f"R {r}, FM {fm}",
        )
    return shown

"""What is picked of the grid: how it is called, what it comes to, and what is done about it.

The rule that finds the same people is in `segments.rfm.services`.
"""

from dataclasses import dataclass
from typing import Final

from segments.rfm.grid import Asked, Sums, named, total
from segments.rfm.looking import Look
from segments.rfm.pictures import Group

NAME_LENGTH: Final = 150


@dataclass(frozen=True, kw_only=True)
class Picked:
    """Cells or a group together: how they are called, what they come to, and which groups they are of, with what to do."""

    name: str
    segment_name: str
    cells: int
    sums: Sums
    people_share: float | None
    revenue_share: float | None
    groups: list[Group]

    @property
    def said(self) -> str:
        return f"{self.name}: {self.sums.people:,} people"


def picked_of(look: Look, asked: Asked) -> Picked | None:
    if not asked.group and not asked.places:
        return None
    places = asked.places or {place for place, name in look.group_at.items() if name == asked.group}
    sums, whole = total(look.sums.get(place, Sums()) for place in places), look.whole
    within = {look.group_at[place] for place in places if place in look.group_at}
    cells = named(places)
    name = asked.group or cells
    only = next(iter(within)) if len(within) == 1 else ""
    return Picked(
        name=name,
        segment_name=asked.group or (f"{only} ({cells})" if only else f"RFM: {cells}")[:NAME_LENGTH],
        cells=len(places),
        sums=sums,
        people_share=sums.people_share(whole),
        revenue_share=sums.revenue_share(whole),
        groups=[one for one in look.groups if one.name in within],
    )

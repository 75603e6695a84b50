"""What is picked of the grid, as what it comes to and as a rule that finds the same people. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from segments.rfm.grid import STEPS, Asked, Place, Sums, named, total
from segments.rfm.looking import Look

SCORES: Final = range(1, STEPS + 1)
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
    groups: list[tuple[str, str]]

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
        groups=[(one.name, one.action) for one in look.groups if one.name in within],
    )


# ---- Rules -----------------------------------------------------------------------------------------------------------


def rule_of_group(name: str) -> dict[str, Any]:
    return {"score": "rfm.group", "op": "equals", "value": name}


def rule_of_places(places: Iterable[Place], fm_of: Callable[[int, int], int]) -> dict[str, Any]:
    """A condition that is true of who stands in one of these cells.

    A run has no score for FM, which follows from those for frequency and monetary value: so each FM is the pairs that make it.

    Args:
        fm_of: FM of a frequency's and a monetary value's score.
    """
    fms: dict[int, set[int]] = {}
    for r, fm in places:
        fms.setdefault(r, set()).add(fm)
    alike: dict[frozenset[int], list[int]] = {}
    for r, found in sorted(fms.items()):
        alike.setdefault(frozenset(found), []).append(r)
    return _either([_both([*_one_of("recency", rs), *_of_fm(found, fm_of)]) for found, rs in alike.items()])


def _of_fm(wanted: frozenset[int], fm_of: Callable[[int, int], int]) -> list[dict[str, Any]]:
    if wanted == set(SCORES):
        return []
    alike: dict[tuple[int, ...], list[int]] = {}
    for f in SCORES:
        if ms := tuple(m for m in SCORES if fm_of(f, m) in wanted):
            alike.setdefault(ms, []).append(f)
    return [_either([_both([*_one_of("frequency", fs), *_one_of("monetary", ms)]) for ms, fs in alike.items()])]


def _one_of(key: str, scores: Iterable[int]) -> list[dict[str, Any]]:
    """Nothing where any score will do: who has one has all of them, so another condition says that they have it."""
    given = sorted(scores)
    if len(given) == STEPS:
        return []
    if len(given) == 1:
        return [{"score": f"rfm.{key}", "op": "equals", "value": given[0]}]
    if given == list(range(given[0], given[-1] + 1)):
        return [{"score": f"rfm.{key}", "op": "between", "value": [given[0], given[-1]]}]
    return [{"score": f"rfm.{key}", "op": "any_of", "value": given}]


def _both(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    if not conditions:
        return {"score": "rfm.recency", "op": "exists"}
    return conditions[0] if len(conditions) == 1 else {"all": conditions}


def _either(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    return conditions[0] if len(conditions) == 1 else {"any": conditions}

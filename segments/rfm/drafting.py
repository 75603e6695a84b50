"""Settings of RFM while somebody writes them: what is typed, steps on the table of groups, and what is wrong, field by field. Pure.

What sound settings are is in `segments.analytics.rfm`; saving them in `segments.rfm.services`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

MEASURES: Final = ("recency", "frequency", "monetary")
MOST_ROWS: Final = 40


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table of groups: which recency and FM it takes, and what is done about who falls into it."""

    name: str = ""
    r_low: int = 1
    r_high: int = 5
    fm_low: int = 1
    fm_high: int = 5
    action: str = ""

    def takes(self, r: int, fm: int) -> bool:
        return self.r_low <= r <= self.r_high and self.fm_low <= fm <= self.fm_high


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What stands in the form, as it was typed: numbers may be none.

    Args:
        fixed: measures whose thresholds are typed, and not taken from people.
        shares: for each measure four percentages at which scores change.
        cuts: for each measure four thresholds.
    """

    window_days: str = "365"
    purpose: str = ""
    fixed: frozenset[str] = frozenset()
    shares: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cuts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Row] = ()

    @classmethod
    def of(cls, given: Any) -> "Draft":
        """As a form sends it (`QueryDict`)."""
        columns = [given.getlist(name) for name in ("name", "r_low", "r_high", "fm_low", "fm_high", "action")]
        rows = [
            Row(name=name[:100], r_low=step(r_low), r_high=step(r_high), fm_low=step(fm_low), fm_high=step(fm_high),
                action=action[:500])
            for name, r_low, r_high, fm_low, fm_high, action in zip(*columns, strict=False)
        ]  # fmt: skip
        return cls(
            window_days=given.get("window_days", ""),
            purpose=given.get("purpose", ""),
            fixed=frozenset(one for one in MEASURES if given.get(f"{one}-how") == "fixed"),
            shares={one: [given.get(f"{one}-share-{n}", "") for n in range(4)] for one in MEASURES},
            cuts={one: [given.get(f"{one}-cut-{n}", "") for n in range(4)] for one in MEASURES},
            weights={one: given.get(f"{one}-weight", "") for one in MEASURES},
            rows=rows[:MOST_ROWS],
        )

    def after(self, act: str) -> "Draft":
        """After a step on the table: "up-2", "down-0", "remove-4", "move-4-0" or "add"; what leads nowhere changes nothing."""
        rows = list(self.rows)
        verb, *places = act.split("-")
        numbers = [int(place) for place in places if place.isascii() and place.isdecimal() and len(place) < 3]
        if verb == "add" and len(rows) < MOST_ROWS:
            return replace(self, rows=[*rows, Row()])
        if not numbers or any(number >= len(rows) for number in numbers):
            return self
        at = numbers[0]
        if verb == "remove":
            del rows[at]
            return replace(self, rows=rows)
        to = {"up": at - 1, "down": at + 1, "move": numbers[-1]}.get(verb, at)
        if 0 <= to < len(rows):
            rows.insert(to, rows.pop(at))
        return replace(self, rows=rows)

    def group_of(self, r: int, fm: int) -> int | None:
        """The number of the first row that takes this cell."""
        return next((number for number, row in enumerate(self.rows) if row.takes(r, fm)), None)


def step(text: str) -> int:
    """A score as a form sends it; only what the form offers is one."""
    return int(text) if text in {"1", "2", "3", "4", "5"} else 1

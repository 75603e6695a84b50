"""Settings of RFM while somebody writes them: what is typed, steps on the table of groups, and the scheme that it says. Pure.

What is wrong with a scheme is in `segments.analytics.rfm`; saving one in `segments.rfm.services`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, TypeVar

from segments.analytics.rfm import (
    STEPS,
    TEXT_LIMIT,
    Cuts,
    Cutting,
    GroupRow,
    Measure,
    Problem,
    Scheme,
    Weights,
    problems,
)

T = TypeVar("T")
CUTS: Final = range(STEPS - 1)
MOST_ROWS: Final = 25  # as many as there are cells: more can't all be reached
COLUMNS: Final = ("name", "r_low", "r_high", "fm_low", "fm_high", "description", "action")
DIGITS: Final = 18
AMOUNT: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What stands in the form, as it was typed: numbers may be none.

    Args:
        fixed: measures whose thresholds are typed, and not taken from people.
        percents: for each measure four percentages at which scores change.
        values: for each measure four thresholds.
    """

    window_days: str
    purpose: str
    is_nightly: bool
    fixed: frozenset[str]
    percents: Mapping[str, Sequence[str]]
    values: Mapping[str, Sequence[str]]
    weights: Mapping[str, str]
    rows: Sequence[GroupRow] = field(default=())

    @classmethod
    def of(cls, given: Any) -> "Draft":
        """As a form sends it (`QueryDict`)."""
        rows = [
            GroupRow(
                name=name.strip(),
                r_low=step(r_low),
                r_high=step(r_high),
                fm_low=step(fm_low),
                fm_high=step(fm_high),
                description=description.strip()[:TEXT_LIMIT],
                action=action.strip()[:TEXT_LIMIT],
            )
            for name, r_low, r_high, fm_low, fm_high, description, action in zip(
                *(given.getlist(column) for column in COLUMNS), strict=False
            )
        ]
        return cls(
            window_days=given.get("window_days", ""),
            purpose=given.get("purpose", ""),
            is_nightly=given.get("is_nightly") == "1",
            fixed=frozenset(one.value for one in Measure if given.get(f"{one}-how") == Cutting.FIXED),
            percents={one.value: [given.get(f"{one}-percent-{n}", "") for n in CUTS] for one in Measure},
            values={one.value: [given.get(f"{one}-value-{n}", "") for n in CUTS] for one in Measure},
            weights={one.value: given.get(f"{one}-weight", "") for one in Measure},
            rows=rows[:MOST_ROWS],
        )

    @classmethod
    def from_scheme(cls, scheme: Scheme, *, purpose: str, is_nightly: bool) -> "Draft":
        """As it is saved; what was never given is what one would begin with."""
        cuts = {one.value: scheme.cuts_of(one) for one in Measure}
        return cls(
            window_days=str(scheme.window_days),
            purpose=purpose,
            is_nightly=is_nightly,
            fixed=frozenset(key for key, one in cuts.items() if one.how == Cutting.FIXED),
            percents={key: [str(value) for value in one.percents] for key, one in cuts.items()},
            values={key: [plain(value) for value in one.values] or [""] * len(CUTS) for key, one in cuts.items()},
            weights={one.value: plain(getattr(scheme.weights, one)) for one in Measure},
            rows=scheme.groups,
        )

    def after(self, act: str) -> "Draft":
        """After a step on the table: "up-2", "down-0", "remove-4" or "add"; what leads nowhere changes nothing."""
        rows = list(self.rows)
        verb, _, place = act.partition("-")
        at = int(place) if place.isascii() and place.isdecimal() and len(place) < 3 else len(rows)
        if verb == "add" and len(rows) < MOST_ROWS:
            return replace(self, rows=[*rows, GroupRow(name="", r_low=1, r_high=STEPS, fm_low=1, fm_high=STEPS)])
        if at >= len(rows):
            return self
        if verb == "remove":
            del rows[at]
            return replace(self, rows=rows)
        to = {"up": at - 1, "down": at + 1}.get(verb, at)
        if 0 <= to < len(rows):
            rows.insert(to, rows.pop(at))
        return replace(self, rows=rows)

    def read(self) -> tuple[Scheme | None, list[Problem]]:
        """The scheme that it says and all that is wrong with it; None where something is no number."""
        found: list[Problem] = []
        days = whole(self.window_days)
        if days is None:
            found.append(_wrong("A window is a whole number of days.", "/window_days"))
        cuts = {}
        for one in Measure:
            is_fixed, name = one in self.fixed, one.value.capitalize()
            values, percents = [amount(value) for value in self.values[one]], [whole(p) for p in self.percents[one]]
            if is_fixed and None in values:
                found.append(
                    _wrong(f"{name} needs four numbers as thresholds, from the lowest to the highest.", f"/{one}")
                )
            if not is_fixed and None in percents:
                found.append(_wrong(f"{name} needs four whole percentages, from the lowest to the highest.", f"/{one}"))
            cuts[one] = Cuts(
                how=Cutting.FIXED if is_fixed else Cutting.QUANTILES,
                percents=_known(percents) if None not in percents else Cuts().percents,
                values=_known(values) if None not in values else (),
            )
        weights = {one.value: amount(self.weights[one]) for one in Measure}
        if None in weights.values():
            found.append(_wrong("A weight is a number from 0 to 100.", "/weights"))
        scheme = Scheme(
            window_days=days if days is not None else 365,
            groups=tuple(self.rows),
            recency=cuts[Measure.RECENCY],
            frequency=cuts[Measure.FREQUENCY],
            monetary=cuts[Measure.MONETARY],
            weights=Weights(**{key: one for key, one in weights.items() if one is not None}),
        )
        # What is no number is wrong for that reason alone.
        places = {one.pointer for one in found}
        more = [one for one in problems(scheme) if not any(one.pointer.startswith(place) for place in places)]
        return (None if found else scheme), [*found, *more]


def _wrong(message: str, pointer: str) -> Problem:
    return Problem(code="not_a_number", message=message, pointer=pointer)


def _known(given: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(one for one in given if one is not None)


def step(text: str) -> int:
    """A score as a form sends it; only what the form offers is one."""
    return int(text) if text in {"1", "2", "3", "4", "5"} else 1


def whole(text: str) -> int | None:
    text = text.strip().replace(",", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None


def amount(text: str) -> Decimal | None:
    """A number as people type it, with a full stop before its decimals."""
    text = text.strip().replace(",", "")
    return Decimal(text) if AMOUNT.fullmatch(text) else None


def plain(value: Decimal) -> str:
    """Without zeros at the end, and never with an exponent."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

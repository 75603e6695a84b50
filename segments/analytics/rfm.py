"""Recency, frequency and monetary value as scores from 1 to 5, and the groups that a table of rules makes of them.

Bult & Wansbeek, "Optimal selection for direct mail" (Marketing Science 14, 1995), tell where the three came from; Fader, Hardie
& Lee, "RFM and CLV" (Journal of Marketing Research 42, 2005), how they are defined. Equal values always have equal scores:
nobody is parted from others who did the same to make groups of one size. The database gives scores by these same rules
(`segments.rfm.counting`); which rules they are is in `Scheme`, and the groups one begins with in `segments.analytics.rfm_groups`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum
from itertools import pairwise, product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segments.analytics.plain import Plain

STEPS: Final = 5
SCORES: Final = range(1, STEPS + 1)
CELLS: Final = tuple(product(SCORES, SCORES))
"""(R, FM) of all cells."""
MOST_WINDOW_DAYS: Final = 3_650
NAME_LIMIT: Final = 128
TEXT_LIMIT: Final = 500
LARGEST: Final = Decimal(10) ** 15
FOUR_PLACES: Final = Decimal("0.0001")
HALF: Final = Decimal("0.5")


class Measure(StrEnum):
    RECENCY = "recency"
    FREQUENCY = "frequency"
    MONETARY = "monetary"


class Cutting(StrEnum):
    QUANTILES = "quantiles"
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True)
class Cuts(Plain):
    """How one measure is cut into five: at percentiles of the window's buyers, or at fixed values.

    Args:
        percents: which percentiles; they count where `how` is quantiles.
        values: the thresholds, ascending; they count where `how` is fixed. Whoever has more than one of them is above it.
    """

    how: Cutting = Cutting.QUANTILES
    percents: tuple[int, ...] = (20, 40, 60, 80)
    values: tuple[Decimal, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Weights(Plain):
    """How much each measure counts: frequency and monetary in FM, all three in the weighted score."""

    recency: Decimal = Decimal(1)
    frequency: Decimal = Decimal(1)
    monetary: Decimal = Decimal(1)


@dataclass(frozen=True, kw_only=True)
class GroupRow(Plain):
    """One row of the table of groups: the cells it takes, bounds included; what it means and what to do about it."""

    name: str
    r_low: int
    r_high: int
    fm_low: int
    fm_high: int
    description: str = ""
    action: str = ""

    def takes(self, r: int, fm: int) -> bool:
        return self.r_low <= r <= self.r_high and self.fm_low <= fm <= self.fm_high


@dataclass(frozen=True, kw_only=True)
class Scheme(Plain):
    """All that decides which scores and group somebody gets, but for what they did.

    Args:
        window_days: what counts lies in [as_of - window_days, as_of).
        groups: in order; the first that takes a cell has it.
    """

    window_days: int
    groups: tuple[GroupRow, ...]
    recency: Cuts = Cuts()
    frequency: Cuts = Cuts()
    monetary: Cuts = Cuts()
    weights: Weights = Weights()

    def cuts_of(self, measure: Measure) -> Cuts:
        return {Measure.RECENCY: self.recency, Measure.FREQUENCY: self.frequency, Measure.MONETARY: self.monetary}[
            measure
        ]


@dataclass(frozen=True, kw_only=True)
class Thresholds(Plain):
    """The four cut points of each measure, ascending: days, orders, and amounts in the reporting currency."""

    recency: tuple[Decimal, ...]
    frequency: tuple[Decimal, ...]
    monetary: tuple[Decimal, ...]

    def of(self, measure: Measure) -> tuple[Decimal, ...]:
        return {Measure.RECENCY: self.recency, Measure.FREQUENCY: self.frequency, Measure.MONETARY: self.monetary}[
            measure
        ]


# ---- Scores ----------------------------------------------------------------------------------------------------------


def place_of(percent: int, people: int) -> int:
    """Which of so many people, from the lowest (1), stands at the percentile: `percentile_disc` of SQL:2003, in whole numbers."""
    return max(1, -(-percent * people // 100))


def cut_points(values: NDArray[Any], percents: Sequence[int]) -> tuple[float, ...]:
    """At each percentile the smallest value that so many percent don't exceed; always a value that somebody has.

    Args:
        values: shape (n_profiles,), at least one, none missing.

    Raises:
        ValueError: nobody has a value.
    """
    if not len(values):
        raise ValueError("nobody has a value")
    ranked = np.sort(values)
    return tuple(float(ranked[place_of(percent, len(values)) - 1]) for percent in percents)


def scores(values: NDArray[Any], cuts: Sequence[float], measure: Measure) -> NDArray[np.int64]:
    """1 and how many cuts lie strictly below each value; of recency 5 less those, as little is good. Shape (n_profiles,)."""
    below = np.searchsorted(np.asarray(cuts, dtype=float), np.asarray(values, dtype=float), side="left")
    return STEPS - below if measure == Measure.RECENCY else 1 + below


def fm_of(frequency: int, monetary: int, weights: Weights) -> int:
    """FM, the second side of the grid: the weighted mean of the two scores, half up."""
    whole = weights.frequency + weights.monetary
    mean = (weights.frequency * frequency + weights.monetary * monetary) / whole
    return int((mean + HALF).to_integral_value(ROUND_FLOOR))


def weighted_score(recency: int, frequency: int, monetary: int, weights: Weights) -> Decimal:
    """The weighted mean of the three scores, 1 to 5 with four places."""
    whole = weights.recency + weights.frequency + weights.monetary
    total = weights.recency * recency + weights.frequency * frequency + weights.monetary * monetary
    return (total / whole).quantize(FOUR_PLACES, ROUND_HALF_UP)


def groups_by_cell(rows: Sequence[GroupRow]) -> dict[tuple[int, int], int]:
    """By (R, FM) the number of the row that has it, from 0; cells that no row takes are missing."""
    found = {}
    for r, fm in CELLS:
        number = next((number for number, row in enumerate(rows) if row.takes(r, fm)), None)
        if number is not None:
            found[r, fm] = number
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What three scores come to."""

    recency: int
    frequency: int
    monetary: int
    fm: int
    weighted: Decimal
    group: str


def verdicts(scheme: Scheme) -> tuple[Verdict, ...]:
    """For each of the 125 triples of scores what it comes to, so that whoever has scores needs no arithmetic."""
    at, found = groups_by_cell(scheme.groups), []
    for r, f, m in product(SCORES, SCORES, SCORES):
        fm = fm_of(f, m, scheme.weights)
        found.append(Verdict(r, f, m, fm, weighted_score(r, f, m, scheme.weights), scheme.groups[at[r, fm]].name))
    return tuple(found)


# ---- What is wrong with a scheme -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that needs mending, and where (a JSON pointer into `Scheme.as_json`)."""

    code: str
    message: str
    pointer: str


def problems(scheme: Scheme) -> tuple[Problem, ...]:
    """All that is wrong with it; nothing, when everybody who bought gets exactly one group by it."""
    return tuple(_wrong(scheme))


def _wrong(scheme: Scheme) -> Iterator[Problem]:
    if not 1 <= scheme.window_days <= MOST_WINDOW_DAYS:
        yield Problem(
            code="window_out_of_range",
            message=f"A window has 1 to {MOST_WINDOW_DAYS:,} days; received {scheme.window_days:,}.",
            pointer="/window_days",
        )
    for measure in Measure:
        yield from _wrong_cuts(scheme.cuts_of(measure), measure)
    yield from _wrong_weights(scheme.weights)
    yield from _wrong_groups(scheme.groups)


def _wrong_cuts(cuts: Cuts, measure: Measure) -> Iterator[Problem]:
    is_fixed = cuts.how == Cutting.FIXED
    given: Sequence[Decimal | int] = cuts.values if is_fixed else cuts.percents
    pointer = f"/{measure}/{'values' if is_fixed else 'percents'}"
    what = "thresholds" if is_fixed else "percentages"
    name = measure.value.capitalize()
    if len(given) != STEPS - 1:
        message = f"{name} needs {STEPS - 1} {what} to make {STEPS} scores; received {len(given)}."
        yield Problem(code="cuts_not_four", message=message, pointer=pointer)
        return
    for number, one in enumerate(given):
        if isinstance(one, Decimal) and not (one.is_finite() and abs(one) < LARGEST):
            message = f"{name}: a threshold is a number of at most 15 digits."
            yield Problem(code="cut_not_a_number", message=message, pointer=f"{pointer}/{number}")
            return
    for number, (low, high) in enumerate(pairwise(given), start=1):
        if low >= high:
            message = f"{name}: {what} go up; {high} doesn't come after {low}."
            yield Problem(code="cuts_not_ascending", message=message, pointer=f"{pointer}/{number}")
    if not is_fixed and not (given[0] >= 1 and given[-1] <= 99):
        message = f"{name}: percentages lie between 1 and 99."
        yield Problem(code="cut_out_of_range", message=message, pointer=pointer)
    if is_fixed and measure != Measure.MONETARY and given[0] < 0:
        message = f"{name}: a threshold is at least 0."
        yield Problem(code="cut_out_of_range", message=message, pointer=f"{pointer}/0")


def _wrong_weights(weights: Weights) -> Iterator[Problem]:
    for measure in Measure:
        weight = getattr(weights, measure)
        if not (weight.is_finite() and 0 <= weight <= 100):
            message = f"The weight of {measure} is a number from 0 to 100."
            yield Problem(code="weight_out_of_range", message=message, pointer=f"/weights/{measure}")
            return
    if weights.frequency + weights.monetary == 0:
        message = "Frequency and monetary value make one side of the grid: one of them needs a weight above 0."
        yield Problem(code="weights_nothing", message=message, pointer="/weights/frequency")


def _wrong_groups(rows: Sequence[GroupRow]) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for number, row in enumerate(rows):
        pointer, name = f"/groups/{number}", row.name.strip()
        if not name or len(name) > NAME_LIMIT or name != row.name or not name.isprintable():
            message = f"A group's name has 1 to {NAME_LIMIT} characters, no blanks around them and no line breaks."
            yield Problem(code="name_malformed", message=message, pointer=f"{pointer}/name")
        elif name.casefold() in names:
            message = f"“{name}” is the name of row {names[name.casefold()] + 1} already; each group has one row."
            yield Problem(code="name_taken", message=message, pointer=f"{pointer}/name")
        names.setdefault(name.casefold(), number)
        for field in ("description", "action"):
            if len(getattr(row, field)) > TEXT_LIMIT:
                message = f"It has at most {TEXT_LIMIT} characters."
                yield Problem(code="text_too_long", message=message, pointer=f"{pointer}/{field}")
        for side, low, high in (("r", row.r_low, row.r_high), ("fm", row.fm_low, row.fm_high)):
            if not 1 <= low <= high <= STEPS:
                message = (
                    f"{side.upper()} goes from one of 1 to 5 to another that isn't lower; received {low} to {high}."
                )
                yield Problem(code="bounds_malformed", message=message, pointer=f"{pointer}/{side}_low")
    at = groups_by_cell(rows)
    for number in sorted(set(range(len(rows))) - set(at.values())):
        row = rows[number]
        if 1 <= row.r_low <= row.r_high <= STEPS and 1 <= row.fm_low <= row.fm_high <= STEPS:
            before = sorted({at[cell] for cell in CELLS if row.takes(*cell)})
            taken = ", ".join(f"“{rows[one].name}”" for one in before)
            message = f"“{row.name}” gets nobody: {taken}, which stand above it, take all of its cells."
            yield Problem(code="group_unreachable", message=message, pointer=f"/groups/{number}")
    if missing := [cell for cell in CELLS if cell not in at]:
        listed = "; ".join(f"R {r}, FM {fm}" for r, fm in missing[:4]) + ("; …" if len(missing) > 4 else "")
        message = f"{len(missing)} of 25 cells belong to no group: {listed}."
        yield Problem(code="cells_uncovered", message=message, pointer="/groups")


# ---- What changes over time, and what may be shown -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Drift(Plain):
    """How far one threshold moved since the run before.

    Args:
        cut: from 1, the lowest.
        change: as a share of what it was; None where that was 0.
    """

    measure: Measure
    cut: int
    before: Decimal
    after: Decimal
    change: float | None


def drift(before: Thresholds, after: Thresholds) -> tuple[Drift, ...]:
    """All twelve thresholds, those that stayed too."""
    found = []
    for measure in Measure:
        for cut, (old, new) in enumerate(zip(before.of(measure), after.of(measure), strict=True), start=1):
            change = float((new - old) / abs(old)) if old else None
            found.append(Drift(measure=measure, cut=cut, before=old, after=new, change=change))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Spread(Plain):
    """How many have a value of each stretch: from each edge up to the next, the last with its end.

    Args:
        edges: one more than counts; no edges where too few people have a value.
    """

    measure: Measure
    edges: tuple[Decimal, ...] = ()
    counts: tuple[int, ...] = ()


def without_few(spread: Spread, *, fewest: int) -> Spread:
    """The same with neighbouring stretches put together until each stands for so many people, or for nobody between others.

    What is left over at the upper end goes to the stretch before it.
    """
    edges: list[Decimal] = []
    counts: list[int] = []
    waiting, start = 0, None
    for (low, _), count in zip(pairwise(spread.edges), spread.counts, strict=True):
        start = low if start is None else start
        waiting += count
        if waiting >= fewest or (count == 0 and waiting == 0 and counts):
            edges.append(start)
            counts.append(waiting)
            waiting, start = 0, None
    if not counts:
        return Spread(measure=spread.measure)
    if waiting:
        # Stretches of nobody between the last whole one and the rest are the rest's too.
        while counts[-1] == 0:
            edges.pop(), counts.pop()
        counts[-1] += waiting
    return Spread(measure=spread.measure, edges=(*edges, spread.edges[-1]), counts=tuple(counts))


def flows_by_name(counted: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """Counts by (before, after) as JSON, the largest first."""
    return [
        {"before": before, "after": after, "people": people}
        for (before, after), people in sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    ]

"""Figures of people made fit for distances: gaps filled, outliers tamed, skew taken out, all features on one scale.

What is fitted is kept as plain numbers, so that a person who comes later is prepared just as those were. Which features there
are, and where their figures come from, is in `segments.features`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segments.analytics.plain import CannotAnalyse, Plain

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOSTLY_ONE: Final = 0.5  # of the total of a feature with one person: then means and distances are about them
SKEWED: Final = 2.0
FEW_FILLED: Final = 0.5


class Transform(StrEnum):
    NONE = "none"
    LOG1P = "log1p"  # sign(x) * log(1 + |x|), since revenue net of refunds may be below zero


class Missing(StrEnum):
    """What becomes of a figure that isn't there."""

    MEDIAN = "median"
    ZERO = "zero"
    EXCLUDE = "exclude"  # the person is left out


class OutlierTest(StrEnum):
    NONE = "none"
    ZSCORE = "zscore"  # beyond so many standard deviations from the mean
    IQR = "iqr"  # beyond so many interquartile ranges below the first or above the third quartile (Tukey)


class OutlierAction(StrEnum):
    KEEP = "keep"  # counted, no more
    CLIP = "clip"  # drawn in to the limit
    SET_ASIDE = "set_aside"  # the person is in no cluster


class Scaling(StrEnum):
    STANDARD = "standard"  # mean 0, standard deviation 1
    MIN_MAX = "min_max"  # 0 to 1
    ROBUST = "robust"  # median 0, interquartile range 1
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Preparation(Plain):
    """How figures are to be prepared; ``outlier_limit`` is in standard deviations or in interquartile ranges."""

    missing: Missing = Missing.MEDIAN
    outliers: OutlierTest = OutlierTest.NONE
    outlier_limit: float = 3.0
    outlier_action: OutlierAction = OutlierAction.KEEP
    scaling: Scaling = Scaling.STANDARD


@dataclass(frozen=True, kw_only=True)
class PreparedFeature(Plain):
    """One feature's fitted numbers. A figure x becomes ``(clip(t(x)) - center) / scale``, with t its transform.

    Args:
        fill: stands in for a missing figure, before the transform; None where people without one are left out.
        low, high: limits of outliers, after the transform; None where there are none.
        missing: how many people had no figure.
        outliers: how many lay beyond the limits.
        skew: third standardised moment of the known figures, as they came.
        skew_after: the same after the transform.
    """

    key: str
    name: str
    transform: Transform
    fill: float | None
    low: float | None
    high: float | None
    center: float
    scale: float
    missing: int
    outliers: int
    skew: float
    skew_after: float


@dataclass(frozen=True, kw_only=True)
class DroppedFeature(Plain):
    """A feature that tells nobody apart; ``why`` is "all_missing" or "constant"."""

    key: str
    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Prepared(Plain):
    """What `fit` found; `apply` does the same to anybody.

    Args:
        people: how many were looked at.
        left_out: how many of them lacked a figure and were to be left out for it: they are in no cluster and have no score.
        set_aside: how many had an outlier and were to be set aside: they are "Not in any cluster".
        notes: what a marketer should know, in sentences.
    """

    features: tuple[PreparedFeature, ...]
    dropped: tuple[DroppedFeature, ...]
    missing: Missing
    outlier_action: OutlierAction
    people: int
    left_out: int
    set_aside: int
    notes: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The features that are used, in the order of the columns `apply` gives."""
        return tuple(one.key for one in self.features)


@dataclass(frozen=True)
class Applied:
    """Prepared figures.

    Args:
        values: (n_people, n_used_features), of everybody who was given; rows of those left out are not to be used.
        left_out: (n_people,) who lacks a figure where that leaves out.
        set_aside: (n_people,) who has an outlier where that sets aside.
    """

    values: Floats
    left_out: Flags
    set_aside: Flags

    @property
    def usable(self) -> Flags:
        return ~(self.left_out | self.set_aside)


def transformed(values: Floats, how: Transform) -> Floats:
    """The figures after the transform; NaN stays NaN."""
    if how == Transform.LOG1P:
        return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
    return values


def fit(
    values: Floats,
    *,
    keys: Sequence[str],
    how: Preparation,
    transforms: Mapping[str, Transform] | None = None,
    names: Mapping[str, str] | None = None,
) -> Prepared:
    """How these people's figures are prepared.

    Args:
        values: (n_people, n_features), NaN where a figure isn't known.
        keys: the features' keys, in the order of the columns.
        transforms: by key; those not named are taken as they are.
        names: by key, what sentences call the feature.

    Raises:
        CannotAnalyse: nobody was given, no feature tells people apart, or all people are left out.
    """
    transforms, names = transforms or {}, names or {}
    if not len(values):
        raise CannotAnalyse("nobody", "There is nobody to be clustered: nobody permits it, or nobody has figures.")
    used, dropped = _told_apart(values, keys, names)
    if not used:
        listed = ", ".join(one.name for one in dropped)
        raise CannotAnalyse(
            "no_feature_differs",
            f"None of the chosen features tells people apart: {listed}. Each is empty or the same for everybody.",
        )
    left_out = np.zeros(len(values), dtype=bool)
    if how.missing == Missing.EXCLUDE:
        for column in used:
            left_out |= np.isnan(values[:, column])
        if left_out.all():
            emptiest = max(used, key=lambda column: int(np.isnan(values[:, column]).sum()))
            raise CannotAnalyse(
                "all_left_out",
                "Everybody lacks at least one of the chosen features, and who lacks one is to be left out. "
                f"Fill gaps instead, or drop “{names.get(keys[emptiest], keys[emptiest])}”, which most people lack.",
            )
    fitted, beyond = [], np.zeros(len(values), dtype=bool)
    for column in used:
        key = keys[column]
        one, out = _fit_feature(
            values[:, column], left_out, key, names.get(key, key), transforms.get(key, Transform.NONE), how
        )
        fitted.append(one)
        beyond |= out
    set_aside = beyond & ~left_out if how.outlier_action == OutlierAction.SET_ASIDE else np.zeros_like(beyond)
    if not (~left_out & ~set_aside).any():
        raise CannotAnalyse("all_set_aside", "Everybody has an outlier at this limit, and who has one is set aside.")
    if set_aside.any():
        fitted = [_rescaled(one, values[:, keys.index(one.key)], ~left_out & ~set_aside, how.scaling) for one in fitted]
    prepared = Prepared(
        features=tuple(fitted),
        dropped=tuple(dropped),
        missing=how.missing,
        outlier_action=how.outlier_action,
        people=len(values),
        left_out=int(left_out.sum()),
        set_aside=int(set_aside.sum()),
        notes=(),
    )
    return replace(prepared, notes=tuple(_notes(prepared, values, keys, how)))


def _told_apart(
    values: Floats, keys: Sequence[str], names: Mapping[str, str]
) -> tuple[list[int], list[DroppedFeature]]:
    used, dropped = [], []
    for column, key in enumerate(keys):
        known = values[:, column][~np.isnan(values[:, column])]
        if known.size and known.min() < known.max():
            used.append(column)
        else:
            why = "constant" if known.size else "all_missing"
            dropped.append(DroppedFeature(key=key, name=names.get(key, key), why=why))
    return used, dropped


def _fit_feature(
    raw: Floats, left_out: Flags, key: str, name: str, transform: Transform, how: Preparation
) -> tuple[PreparedFeature, Flags]:
    missing = np.isnan(raw)
    known = raw[~missing]
    fill = {Missing.MEDIAN: float(np.median(known)), Missing.ZERO: 0.0, Missing.EXCLUDE: None}[how.missing]
    changed = transformed(known, transform)
    low, high = _limits(changed, how)
    everybody = transformed(np.where(missing, fill if fill is not None else known[0], raw), transform)
    beyond = np.zeros(len(raw), dtype=bool)
    if low is not None and high is not None:
        beyond = ~missing & ((everybody < low) | (everybody > high))
        if how.outlier_action == OutlierAction.CLIP:
            everybody = np.clip(everybody, low, high)
    center, scale = _scale(everybody[~left_out], how.scaling)
    return (
        PreparedFeature(
            key=key,
            name=name,
            transform=transform,
            fill=fill,
            low=low,
            high=high,
            center=center,
            scale=scale,
            missing=int(missing.sum()),
            outliers=int(beyond.sum()),
            skew=_skew(known),
            skew_after=_skew(changed),
        ),
        beyond,
    )


def _rescaled(one: PreparedFeature, raw: Floats, among: Flags, scaling: Scaling) -> PreparedFeature:
    filled = np.where(np.isnan(raw), one.fill if one.fill is not None else 0.0, raw)[among]
    center, scale = _scale(transformed(filled, one.transform), scaling)
    return replace(one, center=center, scale=scale)


def _limits(known: Floats, how: Preparation) -> tuple[float | None, float | None]:
    """Of a feature most of whose figures are one and the same, quartiles say nothing: then it has no limits."""
    if how.outliers == OutlierTest.ZSCORE:
        middle, width = float(known.mean()), float(known.std())
        return middle - how.outlier_limit * width, middle + how.outlier_limit * width
    if how.outliers == OutlierTest.IQR:
        first, third = (float(one) for one in np.quantile(known, (0.25, 0.75)))
        if first < third:
            width = third - first
            return first - how.outlier_limit * width, third + how.outlier_limit * width
    return None, None


def _scale(values: Floats, scaling: Scaling) -> tuple[float, float]:
    """Centre and width; a width of nought becomes the standard deviation, or 1 where that is nought as well."""
    deviation = float(values.std()) or 1.0
    if scaling == Scaling.STANDARD:
        return float(values.mean()), deviation
    if scaling == Scaling.MIN_MAX:
        low, high = float(values.min()), float(values.max())
        return low, (high - low) or 1.0
    if scaling == Scaling.ROBUST:
        first, middle, third = (float(one) for one in np.quantile(values, (0.25, 0.5, 0.75)))
        return middle, (third - first) or deviation
    return 0.0, 1.0


def _skew(values: Floats) -> float:
    width = float(values.std())
    if not width:
        return 0.0
    standardised = (values - values.mean()) / width
    return float((standardised * standardised * standardised).mean())


def apply(values: Floats, prepared: Prepared, *, keys: Sequence[str]) -> Applied:
    """These people's figures, prepared as those that were fitted.

    Args:
        values: (n_people, n_features), NaN where a figure isn't known; not changed.
        keys: the features' keys, in the order of the columns; those that aren't used are passed over.

    Raises:
        CannotAnalyse: a feature that is used isn't among them.
    """
    places = {key: place for place, key in enumerate(keys)}
    if lacking := [one.name for one in prepared.features if one.key not in places]:
        raise CannotAnalyse(
            "feature_missing", f"The clusters were made with features that are gone: {', '.join(lacking)}."
        )
    made = np.empty((len(values), len(prepared.features)), dtype=np.float64)
    left_out, beyond = np.zeros(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
    for to, one in enumerate(prepared.features):
        raw = values[:, places[one.key]]
        missing = np.isnan(raw)
        if one.fill is None:
            left_out |= missing
        column = transformed(np.where(missing, one.fill or 0.0, raw), one.transform)
        if one.low is not None and one.high is not None:
            if prepared.outlier_action == OutlierAction.SET_ASIDE:
                beyond |= ~missing & ((column < one.low) | (column > one.high))
            elif prepared.outlier_action == OutlierAction.CLIP:
                column = np.clip(column, one.low, one.high)
        np.subtract(column, one.center, out=made[:, to])
        made[:, to] /= one.scale
    return Applied(values=made, left_out=left_out, set_aside=beyond & ~left_out)


def _notes(prepared: Prepared, values: Floats, keys: Sequence[str], how: Preparation) -> list[str]:
    notes = []
    for gone in prepared.dropped:
        because = "nobody has it" if gone.why == "all_missing" else "it is the same for everybody who has it"
        notes.append(f"“{gone.name}” was left out, because {because}.")
    if prepared.left_out:
        notes.append(f"{prepared.left_out:,} of {prepared.people:,} people lack a feature and were left out.")
    if prepared.set_aside:
        notes.append(f"{prepared.set_aside:,} of {prepared.people:,} people have an outlier and were set aside.")
    for one in prepared.features:
        column = values[:, list(keys).index(one.key)]
        notes += _about_feature(one, column[~np.isnan(column)], prepared, how)
    return notes


def _about_feature(one: PreparedFeature, known: Floats, prepared: Prepared, how: Preparation) -> list[str]:
    notes = []
    if one.missing > FEW_FILLED * prepared.people and how.missing != Missing.EXCLUDE:
        filled = "nought" if how.missing == Missing.ZERO else "the median"
        notes.append(
            f"“{one.name}” is missing for {one.missing / prepared.people:.0%} of people and was filled with {filled}: "
            "what clusters say of it rests on few people."
        )
    total = float(known.sum())
    tamed = one.transform == Transform.LOG1P or (
        how.outliers != OutlierTest.NONE and how.outlier_action != OutlierAction.KEEP
    )
    if len(known) > 2 and known.min() >= 0 and total > 0 and float(known.max()) > MOSTLY_ONE * total:
        share = float(known.max()) / total
        advice = (
            "" if tamed else " Take its logarithm, or clip or set aside outliers, or the clusters are about that one."
        )
        notes.append(f"One person has {share:.0%} of the total of “{one.name}”.{advice}")
    elif one.skew > SKEWED and not tamed:
        notes.append(
            f"“{one.name}” is skewed: a few people have far more than most. Its logarithm would keep them from ruling the clusters."
        )
    if how.outliers == OutlierTest.IQR and one.low is None:
        notes.append(f"“{one.name}” is the same for most people, so quartiles tell no outliers of it.")
    return notes

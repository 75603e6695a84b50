"""How chosen features lie among people, and which of them say the same: what a marketer looks at before choosing.

Of a sample, whose size is told. Nothing in it stands for fewer than `FEWEST` people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consent.models import Purpose
from segments.engines.estimating import PLACE, point_of
from segments.features.loading import load_features, people_seen
from segments.features.matrix import FeatureMatrix
from segments.fields.distributions import FEWEST, FEWEST_RANKED, PERCENTS, Distribution, edges_for, rank
from segments.queries import Query

SAMPLE: Final = 20_000
MOST_SAMPLED: Final = 50_000
# From here on two features say much the same.
ALIKE: Final = 0.9

# People lie on a ring in the order of a hash of their id, which an index has: those after a point of it are a sample.
_RING: Final = f"""
    SELECT id FROM (
        (SELECT id FROM ({{query}}) AS after WHERE {PLACE} >= %(ring_start)s ORDER BY {PLACE} LIMIT %(ring_size)s)
        UNION ALL
        (SELECT id FROM ({{query}}) AS before WHERE {PLACE} < %(ring_start)s ORDER BY {PLACE} LIMIT %(ring_size)s)
    ) AS ring LIMIT %(ring_size)s
"""

Column = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FeatureStatistics:
    """How one feature lies among the people of the sample.

    Attributes:
        filled: how many of them have such a figure.
        mean, deviation: in the feature's unit; None of fewer than `FEWEST`.
        skew: third standardised moment, 0 for symmetric; None where it has no meaning.
        skew_of_log: the same of sign(x) * log(1 + |x|).
        distribution: percentiles and bins; empty of too few people.
    """

    key: str
    filled: int
    of: int
    mean: float | None
    deviation: float | None
    skew: float | None
    skew_of_log: float | None
    distribution: Distribution

    @property
    def fill_rate(self) -> float:
        """0 to 1."""
        return self.filled / self.of if self.of else 0.0

    @property
    def is_constant(self) -> bool:
        """Whether it tells nobody apart."""
        return self.deviation == 0


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """How features lie among a sample of people.

    Attributes:
        sampled: how many people they are of.
        is_everybody: whether those are all there are.
        correlations: rank correlation (Spearman) of each feature with each, -1 to 1, over who has both; None where fewer than
            `FEWEST_RANKED` have, or one of them is the same for all of those.
    """

    sampled: int
    is_everybody: bool
    features: tuple[FeatureStatistics, ...]
    correlations: tuple[tuple[float | None, ...], ...]

    @property
    def alike(self) -> list[tuple[str, str, float]]:
        """Pairs of features that say much the same, the most alike first: one of each pair is enough."""
        found = [
            (self.features[row].key, self.features[column].key, value)
            for row, line in enumerate(self.correlations)
            for column, value in enumerate(line[:row])
            if value is not None and abs(value) >= ALIKE
        ]
        return sorted(found, key=lambda one: (-abs(one[2]), one[0], one[1]))


def feature_statistics(
    keys: Sequence[str], *, as_of: datetime, window_days: int, purpose: Purpose, sample: int = SAMPLE
) -> Statistics:
    """How these features lie among people who may be profiled for the purpose and were seen in the window.

    Args:
        sample: how many people are looked at, at most `MOST_SAMPLED`; the same ones all day.

    Raises:
        DomainErrors, Forbidden: as `load_features`.
    """
    if not 1 <= sample <= MOST_SAMPLED:
        raise ValueError(f"a sample has 1 to {MOST_SAMPLED:,} people")
    people = people_seen(purpose, as_of=as_of, window_days=window_days)
    ids = sampled_people(people, size=sample + 1, day=as_of)
    matrix = load_features(keys, as_of=as_of, window_days=window_days, purpose=purpose, profile_ids=ids[:sample])
    return statistics_of(matrix, is_everybody=len(ids) <= sample)


def sampled_people(people: Query, *, size: int, day: datetime) -> list[int]:
    """Ids of so many of the people, drawn at random; the same all day, all of them if they are fewer."""
    return [row[0] for row in people.of(_RING).rows(ring_start=point_of(day.date()), ring_size=size)]


def statistics_of(matrix: FeatureMatrix, *, is_everybody: bool) -> Statistics:
    """The same of figures that are loaded already. Pure."""
    columns = [matrix.values[:, place] for place in range(len(matrix.keys))]
    features = tuple(_statistics(key, column) for key, column in zip(matrix.keys, columns, strict=True))
    return Statistics(
        sampled=len(matrix),
        is_everybody=is_everybody,
        features=tuple(
            replace(one, distribution=replace(one.distribution, sampled=None if is_everybody else len(matrix)))
            for one in features
        ),
        correlations=_correlations(matrix.values),
    )


def _statistics(key: str, column: Column) -> FeatureStatistics:
    known = np.sort(column[~np.isnan(column)])
    enough = len(known) >= FEWEST
    return FeatureStatistics(
        key=key,
        filled=len(known),
        of=len(column),
        mean=float(known.mean()) if enough else None,
        # Of figures that are all the same, rounding would leave a little.
        deviation=(float(known.std()) if known[0] < known[-1] else 0.0) if enough else None,
        skew=_skew(known) if enough else None,
        skew_of_log=_skew(np.sign(known) * np.log1p(np.abs(known))) if enough else None,
        distribution=_distribution(known),
    )


def _skew(known: Column) -> float | None:
    width = float(known.std())
    if not width or known[0] == known[-1]:
        return None
    return float((((known - known.mean()) / width) ** 3).mean())


def _distribution(known: Column) -> Distribution:
    """Of figures in rising order."""
    if len(known) < FEWEST_RANKED:
        return Distribution(people=len(known))
    points = tuple(_decimal(float(known[rank(percent, len(known)) - 1])) for percent in range(PERCENTS))
    scale, _, edges = edges_for(points)
    places = np.searchsorted(known, [float(one) for one in edges], side="left")
    edges, counts = _without_few(edges, np.diff([0, *places.tolist(), len(known)]).tolist())
    return Distribution(people=len(known), quantiles=points, edges=edges, counts=counts, scale=scale)


def _without_few(edges: Sequence[Decimal], counts: Sequence[int]) -> tuple[tuple[Decimal, ...], tuple[int, ...]]:
    """The bins with those of too few people joined with the next, or with the one before; none where that is all of them."""
    kept: list[Decimal] = []
    sizes = [0]
    for place, many in enumerate(counts):
        sizes[-1] += many
        if place < len(edges) and not 0 < sizes[-1] < FEWEST:
            kept.append(edges[place])
            sizes.append(0)
    while kept and 0 < sizes[-1] < FEWEST:
        kept.pop()
        last = sizes.pop()
        sizes[-1] += last
    return (tuple(kept), tuple(sizes)) if kept else ((), ())


def _decimal(value: float) -> Decimal:
    return Decimal(f"{value:.6g}") + 0


def _correlations(values: Column) -> tuple[tuple[float | None, ...], ...]:
    """Of each column with each, over who has both.

    Columns that the same people have are ranked together: most features are known of everybody, or of whoever bought.
    """
    width = values.shape[1]
    known = ~np.isnan(values)
    alike: dict[bytes, list[int]] = {}
    for column in range(width):
        alike.setdefault(known[:, column].tobytes(), []).append(column)
    found: list[list[float | None]] = [[None] * width for _ in range(width)]
    groups = list(alike.values())
    for number, columns in enumerate(groups):
        for others in groups[: number + 1]:
            both = known[:, columns[0]] & known[:, others[0]]
            if both.sum() < FEWEST_RANKED:
                continue
            left, right = (_standard_ranks(values[both][:, one]) for one in (columns, others))
            together = left.T @ right / int(both.sum())
            for row, column in enumerate(columns):
                for place, other in enumerate(others):
                    value = float(together[row, place])
                    if value == value:  # a column that is the same for all of those has no ranks
                        found[column][other] = found[other][column] = max(-1.0, min(1.0, value))
    return tuple(map(tuple, found))


def _standard_ranks(values: Column) -> Column:
    """Of each column the ranks, those that are equal sharing the mean of their places, on mean 0 and deviation 1; NaN of constants."""
    ranks = np.apply_along_axis(_ranks, 0, values)
    width = ranks.std(axis=0)
    centred = ranks - ranks.mean(axis=0)
    return np.asarray(centred / np.where(width > 0, width, np.nan))


def _ranks(values: Column) -> Column:
    """The place of each in rising order; those that are equal share the mean of their places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)

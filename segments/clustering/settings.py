"""How one clustering is made: its features, their preparation, the method, and when a run waits for a person.

Who may be in it (its purpose) and whether it runs each night stand on the clustering itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cdp.errors import DomainError, DomainErrors
from segments.analytics.methods import COUNTS_ITSELF, Algorithm, Linkage, Method
from segments.analytics.plain import Plain
from segments.analytics.preparing import Missing, OutlierAction, OutlierTest, Preparation, Scaling, Transform

MOST_FEATURES: Final = 30
MOST_CLUSTERS: Final = 30
MOST_WINDOW_DAYS: Final = 3_650
MOST_SEED: Final = 2**31 - 1
LARGEST: Final = 1e6


@dataclass(frozen=True, kw_only=True)
class FeatureChoice(Plain):
    """A feature of the catalogue, and what is done to it first."""

    key: str
    transform: Transform = Transform.NONE


@dataclass(frozen=True, kw_only=True)
class ClusteringSettings(Plain):
    """All that decides what a run comes to, but for the data.

    Args:
        outlier_limit: in standard deviations (zscore) or interquartile ranges (iqr).
        clusters: how many; None has it chosen between ``fewest`` and ``most``. DBSCAN and HDBSCAN find it themselves.
        eps, min_samples, min_cluster_size: see `segments.analytics.methods.Method`; None has them read off the data.
        window_days: figures are of [as_of - window, as_of).
        hold_share: a run in which a larger share of people changes cluster waits for a person, 0 to 1.
    """

    features: tuple[FeatureChoice, ...] = ()
    missing: Missing = Missing.MEDIAN
    outliers: OutlierTest = OutlierTest.NONE
    outlier_limit: float = 3.0
    outlier_action: OutlierAction = OutlierAction.KEEP
    scaling: Scaling = Scaling.STANDARD
    algorithm: Algorithm = Algorithm.KMEANS
    clusters: int | None = None
    fewest: int = 2
    most: int = 10
    linkage: Linkage = Linkage.WARD
    eps: float | None = None
    min_samples: int | None = None
    min_cluster_size: int | None = None
    window_days: int = 365
    seed: int = 1
    hold_share: float = 0.2

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(one.key for one in self.features)

    @property
    def counts_itself(self) -> bool:
        """Whether how many clusters there are is the method's own finding."""
        return self.algorithm in COUNTS_ITSELF

    @property
    def preparation(self) -> Preparation:
        return Preparation(
            missing=self.missing,
            outliers=self.outliers,
            outlier_limit=self.outlier_limit,
            outlier_action=self.outlier_action,
            scaling=self.scaling,
        )

    def method(self, clusters: int | None) -> Method:
        return Method(
            algorithm=self.algorithm,
            clusters=None if self.counts_itself else clusters,
            linkage=self.linkage,
            eps=self.eps,
            min_samples=self.min_samples,
            min_cluster_size=self.min_cluster_size,
            seed=self.seed,
        )


def read(told: Any) -> ClusteringSettings:
    """The settings that JSON says.

    Raises:
        DomainError: a value of another kind than the field's; its place is named.
    """
    try:
        return ClusteringSettings.from_json(told)
    except msgspec.ValidationError as error:
        raise DomainError("settings_malformed", f"The settings of a clustering: {error}.", "/settings") from None


def check(settings: ClusteringSettings) -> None:
    """Passes settings that can be run; whether there are such features is asked of `segments.features.resolving`.

    Raises:
        DomainErrors: all that needs mending, each with its pointer.
    """
    errors = [DomainError("setting_wrong", text, f"/settings{place}") for place, text in _wrong(settings)]
    if errors:
        raise DomainErrors(errors, code="settings_wrong", message=" ".join(one.message for one in errors))


def _wrong(one: ClusteringSettings) -> Iterator[tuple[str, str]]:
    yield from _wrong_features(one)
    if one.outliers != OutlierTest.NONE and not 0 < one.outlier_limit <= 100:
        yield "/outlier_limit", "The limit of outliers is above 0 and at most 100."
    if one.outlier_action != OutlierAction.KEEP and one.outliers == OutlierTest.NONE:
        yield "/outliers", "Choose how outliers are told before you have them clipped or set aside."
    if not one.counts_itself:
        yield from _wrong_counts(one)
    if one.algorithm == Algorithm.DBSCAN and one.eps is not None and not 0 < one.eps <= LARGEST:
        yield "/eps", "The distance of DBSCAN is above 0."
    if one.algorithm in COUNTS_ITSELF and one.min_samples is not None and not 1 <= one.min_samples <= 1_000:
        yield "/min_samples", "A core point has 1 to 1,000 neighbours."
    if (
        one.algorithm == Algorithm.HDBSCAN
        and one.min_cluster_size is not None
        and not 2 <= one.min_cluster_size <= 4_000
    ):
        yield "/min_cluster_size", "The smallest cluster has 2 to 4,000 people of those looked at."
    if not 1 <= one.window_days <= MOST_WINDOW_DAYS:
        yield "/window_days", f"A window has 1 to {MOST_WINDOW_DAYS:,} days."
    if not 0 <= one.seed <= MOST_SEED:
        yield "/seed", f"A seed is a whole number from 0 to {MOST_SEED:,}."
    if not 0 <= one.hold_share <= 1:
        yield "/hold_share", "The share of people that may change cluster is between 0 and 1."


def _wrong_features(one: ClusteringSettings) -> Iterator[tuple[str, str]]:
    if not one.features:
        yield "/features", "Choose at least one feature."
    if len(one.features) > MOST_FEATURES:
        yield (
            "/features",
            f"A clustering has at most {MOST_FEATURES} features: with more, everybody is far from everybody.",
        )
    seen: set[str] = set()
    for place, feature in enumerate(one.features):
        if feature.key in seen:
            yield f"/features/{place}/key", f"The feature {feature.key!r} is chosen twice."
        seen.add(feature.key)


def _wrong_counts(one: ClusteringSettings) -> Iterator[tuple[str, str]]:
    if one.clusters is not None:
        if not 2 <= one.clusters <= MOST_CLUSTERS:
            yield "/clusters", f"A clustering has 2 to {MOST_CLUSTERS} clusters."
        return
    if not 2 <= one.fewest <= MOST_CLUSTERS:
        yield "/fewest", f"The fewest clusters to try are 2 to {MOST_CLUSTERS}."
    if not 2 <= one.most <= MOST_CLUSTERS:
        yield "/most", f"The most clusters to try are 2 to {MOST_CLUSTERS}."
    if one.most - one.fewest < 1:
        yield "/most", "The most clusters to try are more than the fewest."

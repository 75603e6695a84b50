"""Clusters of prepared figures, by scikit-learn, kept as plain numbers that assign whoever comes later.

Which number of clusters, and whether the clusters are any good, is in `segments.analytics.choosing` and `.quality`. Figures are
prepared by `segments.analytics.preparing`. scikit-learn is imported where it is called: screens read results without it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segments.analytics.hierarchy import Merges, cut_into, merges_of
from segments.analytics.methods import COUNTS_ITSELF, MOST_LOOKED_AT, NOISE, Algorithm, Method
from segments.analytics.plain import CannotAnalyse, Plain
from segments.analytics.preparing import Floats

Labels = NDArray[np.int64]
Progress = Callable[[int, int], None]  # done, of how many; may raise to stop the work

FEWEST_PEOPLE: Final = 10
STARTS: Final = 10  # k-means from so many starts, the best is taken
STARTED_ON: Final = 20_000  # with more people the best start is found on so many, and all go on from there
AT_ONCE: Final = 50_000  # people compared with centroids in one go
CELLS_AT_ONCE: Final = 16_000_000  # distances to core points held at once: 128 MB
REACHES: Final = 0.95  # of a cluster's people have another of them within its reach (HDBSCAN)
DENSE: Final = 90  # percentile of distances to the k-th neighbour that is taken for eps where the curve has no bend


@dataclass(frozen=True, kw_only=True)
class Fitted(Plain):
    """Clusters as plain numbers.

    Args:
        features: keys, in the order of the columns.
        points: one row each of (n_features,): centroids, or core points of density methods.
        clusters: of each point the cluster it stands for, from 0.
        reach: by cluster, how far from its points its people lie at most; empty where there is no such limit.
        looked_at: how many people the clusters were found on. people: of how many.
        rule: how the others were assigned, and how whoever comes later is: a sentence.
        eps: the distance DBSCAN used. min_samples, min_cluster_size: what density methods used.
    """

    algorithm: Algorithm
    features: tuple[str, ...]
    points: tuple[tuple[float, ...], ...]
    clusters: tuple[int, ...]
    reach: tuple[float, ...]
    looked_at: int
    people: int
    rule: str
    seed: int
    versions: dict[str, str]
    eps: float | None = None
    min_samples: int | None = None
    min_cluster_size: int | None = None

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return max(self.clusters) + 1 if self.clusters else 0

    def assign(self, values: Floats, progress: Progress | None = None) -> Labels:
        """(n_people,) the cluster of each, from 0; NOISE where nothing reaches.

        Args:
            values: (n_people, n_features) as prepared, without NaN.
        """
        return Assigner(self).assign(values, progress)


class Assigner:
    """A fit made ready to assign many people, one at a time or many at once: its numbers as arrays."""

    def __init__(self, fitted: Fitted) -> None:
        self._points = np.array(fitted.points, dtype=np.float64).reshape(len(fitted.points), len(fitted.features))
        self._clusters = np.array(fitted.clusters, dtype=np.int64)
        self._reach = np.array(fitted.reach, dtype=np.float64)[self._clusters] ** 2 if fitted.reach else None
        self._squares = np.einsum("ij,ij->i", self._points, self._points)

    def assign(self, values: Floats, progress: Progress | None = None) -> Labels:
        """As `Fitted.assign`."""
        made = np.full(len(values), NOISE, dtype=np.int64)
        if not len(self._points):
            return made
        step = max(1, min(AT_ONCE, CELLS_AT_ONCE // len(self._points)))
        for first in range(0, len(values), step):
            some = values[first : first + step]
            made[first : first + step] = self._assign_some(some)
            if progress:
                progress(min(first + step, len(values)), len(values))
        return made

    def _assign_some(self, some: Floats) -> Labels:
        # |x - p|² less |x|², which is the same for all points: the nearest is the least.
        compared = some @ self._points.T
        compared *= -2.0
        compared += self._squares
        nearest = np.argmin(compared, axis=1)
        found = self._clusters[nearest]
        if self._reach is not None:
            away = some - self._points[nearest]
            # Somebody who stands on the edge to the last digit is within it.
            near = np.einsum("ij,ij->i", away, away) <= self._reach[nearest] * (1 + 1e-9)
            found = np.where(near, found, NOISE)
        return np.asarray(found, dtype=np.int64)


@dataclass(frozen=True)
class Fit:
    """What a fit came to.

    Args:
        fitted: the clusters as plain numbers.
        labels: (n_people,) the cluster of each who was given, from 0, largest cluster first; NOISE in none.
        looked_at: places of the people it was found on; None is all of them.
        merges: of hierarchical clusters the whole tree of those looked at.
    """

    fitted: Fitted
    labels: Labels
    looked_at: NDArray[np.int64] | None
    merges: Merges | None = None


def sample(people: int, most: int, seed: int) -> NDArray[np.int64] | None:
    """Places of ``most`` people drawn at random, in rising order; None where that is everybody."""
    if people <= most:
        return None
    return np.sort(np.random.default_rng(seed).choice(people, most, replace=False))


def fit(
    values: Floats,
    method: Method,
    *,
    features: tuple[str, ...],
    progress: Progress | None = None,
    merges: tuple[NDArray[np.int64] | None, Merges] | None = None,
) -> Fit:
    """The clusters of these people.

    Args:
        values: (n_people, n_features) as prepared, without NaN.
        features: keys of the columns.
        progress: called while people are assigned.
        merges: who was looked at and their tree, where a hierarchical one has been grown already.

    Raises:
        CannotAnalyse: too few people, more clusters than people who differ, or nobody in any cluster.
    """
    refuse_too_few(values, method.clusters)
    chosen = (
        merges[0] if merges else sample(len(values), MOST_LOOKED_AT.get(method.algorithm, len(values)), method.seed)
    )
    looked_at = values if chosen is None else values[chosen]
    grown = merges[1] if merges else None
    match method.algorithm:
        case Algorithm.KMEANS:
            made = _from_centers(_kmeans(values, method), values, method)
        case Algorithm.MINIBATCH:
            made = _from_centers(_minibatch(values, method), values, method)
        case Algorithm.HIERARCHICAL:
            grown = grown or merges_of(looked_at, method.linkage)
            own = cut_into(grown, _count(method))
            made = _from_centers(_centers(looked_at, own), looked_at, method)
        case Algorithm.DBSCAN:
            made, own = _dbscan(looked_at, method)
        case Algorithm.HDBSCAN:
            made, own = _hdbscan(looked_at, method)
    made = replace(
        made,
        features=features,
        looked_at=len(looked_at),
        people=len(values),
        rule=_rule(made, len(looked_at), len(values)),
    )
    labels = made.assign(values, progress)
    if method.algorithm in (Algorithm.HIERARCHICAL, Algorithm.HDBSCAN):
        # Who was looked at stays where the tree put them; for DBSCAN the nearest core point says it better than chance.
        labels[slice(None) if chosen is None else chosen] = own
    if not (labels != NOISE).any():
        raise CannotAnalyse("all_noise", _all_noise(method, made))
    made, labels = _largest_first(made, labels)
    return Fit(fitted=made, labels=labels, looked_at=chosen, merges=grown)


def refuse_too_few(values: Floats, clusters: int | None) -> None:
    """
    Raises:
        CannotAnalyse: too few people, or more clusters than people who differ.
    """
    if len(values) < FEWEST_PEOPLE:
        raise CannotAnalyse(
            "too_few_people", f"There are {len(values)} people to be clustered; it takes at least {FEWEST_PEOPLE}."
        )
    if clusters is not None and clusters > len(values):
        raise CannotAnalyse(
            "more_clusters_than_people", f"{clusters} clusters can't be made of {len(values)} people; ask for fewer."
        )
    if clusters is not None and (kinds := _different(values, clusters)) < clusters:
        raise CannotAnalyse(
            "more_clusters_than_kinds",
            f"By these features there are only {kinds} different kinds of people, and {clusters} clusters were asked for.",
        )


def _different(values: Floats, enough: int) -> int:
    """How many different rows there are, counted up to ``enough``."""
    seen = 0
    left = values
    while len(left) and seen < enough:
        left = left[(left != left[0]).any(axis=1)]
        seen += 1
    return seen


def versions() -> dict[str, str]:
    """Of what computed it."""
    import sklearn

    return {"numpy": np.__version__, "scikit-learn": sklearn.__version__}


def _count(method: Method) -> int:
    if method.clusters is None:
        raise ValueError(f"{method.algorithm} is told how many clusters to make")
    return method.clusters


# ---- Centroids -------------------------------------------------------------------------------------------------------


def _kmeans(values: Floats, method: Method) -> Floats:
    """Lloyd's k-means from k-means++ starts. With many people the best start is found on a sample."""
    from sklearn.cluster import KMeans

    chosen = sample(len(values), STARTED_ON, method.seed)
    started = values if chosen is None else values[chosen]
    made = KMeans(n_clusters=_count(method), n_init=STARTS, random_state=method.seed).fit(started)
    if chosen is not None:
        made = KMeans(n_clusters=_count(method), init=made.cluster_centers_, n_init=1, random_state=method.seed).fit(
            values
        )
    return np.asarray(made.cluster_centers_)


def _minibatch(values: Floats, method: Method) -> Floats:
    from sklearn.cluster import MiniBatchKMeans

    made = MiniBatchKMeans(n_clusters=_count(method), n_init=STARTS, random_state=method.seed, batch_size=4096)
    return np.asarray(made.fit(values).cluster_centers_)


def _centers(values: Floats, labels: Labels) -> Floats:
    return np.array([values[labels == one].mean(axis=0) for one in range(int(labels.max()) + 1)])


def _from_centers(centers: Floats, values: Floats, method: Method) -> Fitted:
    return Fitted(
        algorithm=method.algorithm,
        features=(),
        points=_rows(centers),
        clusters=tuple(range(len(centers))),
        reach=(),
        looked_at=len(values),
        people=len(values),
        rule="",
        seed=method.seed,
        versions=versions(),
    )


# ---- Density ---------------------------------------------------------------------------------------------------------


def _neighbours(values: Floats, method: Method) -> int:
    """Twice the number of features (Sander and others 1998), unless it was given; never more than there are people."""
    return min(method.min_samples or max(4, 2 * values.shape[1]), len(values))


def _distance_to_neighbour(values: Floats, neighbours: int) -> Floats:
    """(n_people,) from each the distance to the so-many-th nearest, itself being the first."""
    from sklearn.neighbors import NearestNeighbors

    found, _ = NearestNeighbors(n_neighbors=neighbours).fit(values).kneighbors(values)
    return np.asarray(found[:, -1])


def dense_within(values: Floats, neighbours: int) -> float:
    """The eps for DBSCAN: where the sorted distances to the k-th neighbour bend upward (Ester and others 1996)."""
    from kneed import KneeLocator

    distances = np.sort(_distance_to_neighbour(values, neighbours))
    thinned = distances[np.linspace(0, len(distances) - 1, min(len(distances), 500)).astype(int)]
    bend = None
    if thinned[0] < thinned[-1]:
        bend = KneeLocator(range(len(thinned)), thinned, curve="convex", direction="increasing").knee_y
    found = float(bend) if bend else float(np.percentile(distances, DENSE))
    return found or 1e-9  # where most stand on one spot, whoever stands there belongs together


def _dbscan(values: Floats, method: Method) -> tuple[Fitted, Labels]:
    from sklearn.cluster import DBSCAN

    neighbours = _neighbours(values, method)
    eps = method.eps if method.eps is not None else dense_within(values, neighbours)
    made = DBSCAN(eps=eps, min_samples=neighbours).fit(values)
    labels = np.asarray(made.labels_, dtype=np.int64)
    core = np.asarray(made.core_sample_indices_, dtype=np.int64)
    count = int(labels.max()) + 1
    fitted = replace(
        _from_points(values[core], labels[core], (eps,) * count, method), eps=float(eps), min_samples=neighbours
    )
    return fitted, labels


def _hdbscan(values: Floats, method: Method) -> tuple[Fitted, Labels]:
    from sklearn.cluster import HDBSCAN

    smallest = min(method.min_cluster_size or max(15, len(values) // 100), len(values))
    neighbours = min(method.min_samples or smallest, len(values))
    made = HDBSCAN(min_cluster_size=max(2, smallest), min_samples=neighbours, copy=True).fit(values)
    labels = np.asarray(made.labels_, dtype=np.int64)
    inside = labels != NOISE
    # Somebody is as near to a cluster as its own people are to each other, but for those at its very fringe.
    reach = tuple(
        float(np.quantile(_distance_to_neighbour(values[labels == one], 2), REACHES))
        for one in range(int(labels.max()) + 1)
    )
    fitted = replace(
        _from_points(values[inside], labels[inside], reach, method), min_samples=neighbours, min_cluster_size=smallest
    )
    return fitted, labels


def _from_points(points: Floats, clusters: Labels, reach: tuple[float, ...], method: Method) -> Fitted:
    return Fitted(
        algorithm=method.algorithm,
        features=(),
        points=_rows(points),
        clusters=tuple(clusters.tolist()),
        reach=reach,
        looked_at=0,
        people=0,
        rule="",
        seed=method.seed,
        versions=versions(),
    )


# ---- All of them -----------------------------------------------------------------------------------------------------


def _largest_first(fitted: Fitted, labels: Labels) -> tuple[Fitted, Labels]:
    """The same clusters, numbered by how many people they have; those of whom nobody is left are dropped."""
    sizes = np.bincount(labels[labels != NOISE], minlength=fitted.count)
    order = [int(one) for one in np.argsort(-sizes, kind="stable") if sizes[one]]
    places = np.full(fitted.count + 1, NOISE, dtype=np.int64)  # the last place is NOISE's own
    places[order] = np.arange(len(order))
    kept = [place for place, one in enumerate(fitted.clusters) if places[one] != NOISE]
    numbered = replace(
        fitted,
        points=tuple(fitted.points[place] for place in kept),
        clusters=tuple(int(places[fitted.clusters[place]]) for place in kept),
        reach=tuple(fitted.reach[one] for one in order) if fitted.reach else (),
    )
    return numbered, places[labels]


def _rows(points: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in np.asarray(points, dtype=np.float64).tolist())


def _rule(fitted: Fitted, looked_at: int, people: int) -> str:
    """How people are assigned who weren't looked at."""
    if fitted.reach:
        how = (
            "belongs to the cluster of the nearest core point, if that is within the cluster's reach, and else to none"
        )
    else:
        how = "belongs to the cluster whose centre is nearest"
    if looked_at == people:
        return f"Found on all {people:,} people. Whoever comes later {how}."
    return (
        f"Found on {looked_at:,} of {people:,} people, drawn at random, because this method compares everybody with everybody. "
        f"Each of the others {how}; so does whoever comes later."
    )


def _all_noise(method: Method, fitted: Fitted) -> str:
    if method.algorithm not in COUNTS_ITSELF:
        return "Nobody is in any cluster."
    if method.algorithm == Algorithm.DBSCAN:
        return (
            f"Nobody is in any cluster: nowhere do {fitted.min_samples} people lie within {fitted.eps:.3g} of one. "
            "Ask for a larger distance or fewer neighbours, or use k-means."
        )
    return (
        f"Nobody is in any cluster: no {fitted.min_cluster_size} people lie closer together than everybody does. "
        "Ask for smaller clusters, or use k-means."
    )

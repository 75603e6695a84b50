"""How good clusters are: how well they hang together and lie apart, whether they are found again, and whether there are any.

Every set of people can be cut into clusters, and a cut of a continuum may be useful; but it must not be called a finding. So
clusters are compared with those that the same method finds among made-up people who have none.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segments.analytics.clustering import Fit, Labels, fit, sample
from segments.analytics.methods import NOISE, Algorithm, Method
from segments.analytics.outcomes import ClusterQuality, Quality, Stability, Structure
from segments.analytics.plain import CannotAnalyse
from segments.analytics.preparing import Floats

Step = Callable[[], None]  # called between parts; may raise to stop the work

MOST_FOR_SILHOUETTE: Final = 4_000
MOST_FOR_INDICES: Final = 50_000
MOST_FOR_STABILITY: Final = 3_000
REPEATS: Final = 5  # bootstraps, and as many seeds
REFERENCES: Final = 3  # of each kind of made-up people
PLOTTED: Final = 100
FEWEST_BETWEEN: Final = 20  # people of two clusters, for the gap between them to be looked at
# From here on down people are found elsewhere each time, or not at all: between them lie the usual data of shops.
STABLE, SHAKY = 0.8, 0.6
CHANCE: Final = 2.0  # standard deviations of a difference of two counts: a gap that is less is chance
APART: Final = 0.25  # a valley this deep parts two clusters; two normal ones 2.8 standard deviations apart have it
ABOVE_CHANCE: Final = 0.02  # of silhouette, above the best of those without clusters
SMALL: Final = 0.01
LARGE: Final = 0.8
MUCH_NOISE: Final = 0.3


def measure(
    values: Floats,
    made: Fit,
    method: Method,
    *,
    names: Mapping[int, str] | None = None,
    recommended: int | None = None,
    step: Step = lambda: None,
) -> Quality:
    """The quality of these clusters.

    Args:
        values: (n_people, n_features) as prepared, that ``made`` was fitted on.
        names: what sentences call clusters; their numbers, if not given.
        recommended: how many clusters would have been recommended, where that was looked at.
    """
    names = names or {one: f"Cluster {one + 1}" for one in range(made.fitted.count)}
    inside = np.flatnonzero(made.labels != NOISE)
    noise = 1 - len(inside) / len(values)
    chosen = _among(inside, MOST_FOR_SILHOUETTE, method.seed)
    of_each = _silhouettes(values[chosen], made.labels[chosen])
    step()
    clusters = _clusters(values, made, chosen, of_each, method.seed)
    silhouette = None if of_each is None else float(of_each.mean())
    by_chance = stability = None
    if silhouette is not None:
        by_chance = _without_clusters(values[chosen], method_for(method, made), step)
        stability = _stability(values, made, method_for(method, made), step)
    some = _among(inside, MOST_FOR_INDICES, method.seed)
    davies, calinski = _indices(values[some], made.labels[some])
    structure = _structure(silhouette, by_chance, stability, clusters)
    found = Quality(
        structure=structure,
        verdict=_verdict(structure, made.fitted.count),
        silhouette=silhouette,
        silhouette_without_clusters=by_chance,
        davies_bouldin=davies,
        calinski_harabasz=calinski,
        noise=noise,
        clusters=clusters,
        stability=stability,
        advice=(),
        looked_at=len(chosen),
        people=len(values),
    )
    return replace(found, advice=tuple(_advice(found, made, names, recommended)))


def method_for(method: Method, made: Fit) -> Method:
    """The method with all that was read off the data, so that it does the same on other data."""
    if method.algorithm == Algorithm.DBSCAN:
        return replace(method, eps=made.fitted.eps, min_samples=made.fitted.min_samples)
    return method


def _among(places: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    some = sample(len(places), most, seed)
    return places if some is None else places[some]


def _silhouettes(values: Floats, labels: Labels) -> Floats | None:
    """(n_people,) from -1 to 1 (Rousseeuw 1987); None with fewer than two clusters, or with nobody sharing one."""
    from sklearn.metrics import silhouette_samples

    if not 2 <= len(np.unique(labels)) < len(labels):
        return None
    return np.asarray(silhouette_samples(values, labels), dtype=np.float64)


def _indices(values: Floats, labels: Labels) -> tuple[float | None, float | None]:
    """Davies-Bouldin (1979) and Calinski-Harabasz (1974); None where there is nothing to compare."""
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    if not 2 <= len(np.unique(labels)) < len(labels):
        return None, None
    davies, calinski = float(davies_bouldin_score(values, labels)), float(calinski_harabasz_score(values, labels))
    # Clusters without any width have a ratio without end, which is no figure.
    return (davies if np.isfinite(davies) else None), (calinski if np.isfinite(calinski) else None)


# ---- Each cluster ----------------------------------------------------------------------------------------------------


def _clusters(
    values: Floats, made: Fit, chosen: NDArray[np.int64], of_each: Floats | None, seed: int
) -> tuple[ClusterQuality, ...]:
    labels = made.labels
    count = made.fitted.count
    centers = np.array([values[labels == one].mean(axis=0) for one in range(count)])
    between = np.linalg.norm(centers[:, None, :] - centers[None, :, :], axis=2)
    np.fill_diagonal(between, np.inf)
    some = labels[chosen]
    found = []
    for one in range(count):
        away = values[labels == one] - centers[one]
        nearest = int(between[one].argmin()) if count > 1 else None
        own = np.sort(of_each[some == one])[::-1] if of_each is not None else np.empty(0)
        plotted = own[np.linspace(0, len(own) - 1, min(len(own), PLOTTED)).astype(int)] if len(own) else own
        found.append(
            ClusterQuality(
                cluster=one,
                people=int((some == one).sum()),
                silhouette=float(own.mean()) if len(own) else None,
                cohesion=float(np.sqrt(np.einsum("ij,ij->i", away, away).mean())),
                separation=None if nearest is None else float(between[one, nearest]),
                nearest=nearest,
                valley=None if nearest is None else valley(values, labels, one, nearest, seed),
                plot=tuple(float(silhouette) for silhouette in plotted),
            )
        )
    return tuple(found)


def valley(values: Floats, labels: Labels, one: int, other: int, seed: int) -> float | None:
    """How much thinner people lie between two clusters than in the thinner of them: 0 no gap, 1 nobody between; None of too few.

    People are looked at along the line from centre to centre. A continuum that was cut is at least as dense at the cut as in
    its thinner half, whatever its shape; two clusters have a valley between them. What chance may have made is no gap.
    """
    first, second = (np.flatnonzero(labels == which) for which in (one, other))
    first, second = _among(first, MOST_FOR_SILHOUETTE, seed), _among(second, MOST_FOR_SILHOUETTE, seed)
    if min(len(first), len(second)) < FEWEST_BETWEEN:
        return None
    # As dense as they are among all people, not among those looked at.
    weights = [(labels == one).sum() / len(first), (labels == other).sum() / len(second)]
    here, there = values[first], values[second]
    line = there.mean(axis=0) - here.mean(axis=0)
    length = float(line @ line)
    if not length:
        return 0.0
    along = [(some - here.mean(axis=0)) @ line / length for some in (here, there)]
    ends = [float(np.median(some)) for some in along]
    width = (ends[1] - ends[0]) / 4
    if width <= 0:
        return 0.0

    def near(place: float) -> tuple[float, int]:
        """People within a quarter of the way, as many as they are among all, and how many of them were looked at."""
        within = [int((np.abs(some - place) <= width / 2).sum()) for some in along]
        return float(sum(weight * number for weight, number in zip(weights, within, strict=True))), sum(within)

    thinner, seen = min(near(ends[0]), near(ends[1]))
    # Wherever the gap is: it need not be half-way.
    middle, seen_between = min(near(place) for place in np.linspace(ends[0] + width, ends[1] - width, 9))
    if not thinner or seen - seen_between < CHANCE * np.sqrt(seen + seen_between):
        return 0.0
    return max(0.0, 1.0 - middle / thinner)


# ---- Against chance --------------------------------------------------------------------------------------------------


def _without_clusters(values: Floats, method: Method, step: Step) -> float | None:
    """The highest silhouette that the method reaches on made-up people without clusters: normally or evenly spread, along the
    same principal axes (Tibshirani and others 2001, for the gap statistic); None where it finds no clusters in them."""
    rng = np.random.default_rng(method.seed)
    some = sample(len(values), MOST_FOR_STABILITY, method.seed)
    values = values if some is None else values[some]
    middle = values.mean(axis=0)
    _, widths, axes = np.linalg.svd(values - middle, full_matrices=False)
    turned = (values - middle) @ axes.T
    best = None
    for number in range(2 * REFERENCES):
        if number % 2:
            made_up = rng.uniform(turned.min(axis=0), turned.max(axis=0), size=turned.shape)
        else:
            made_up = rng.standard_normal(turned.shape) * (widths / np.sqrt(len(values)))
        step()
        try:
            labels = fit(made_up, method, features=_unnamed(values)).labels
        except CannotAnalyse:
            continue
        inside = labels != NOISE
        found = _silhouettes(made_up[inside], labels[inside])
        if found is not None:
            best = max(float(found.mean()), best if best is not None else -1.0)
    return best


def _stability(values: Floats, made: Fit, method: Method, step: Step) -> Stability | None:
    """How alike clusters are that are found on people drawn anew with replacement, and from other seeds (Hennig 2007)."""
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(method.seed)
    some = sample(len(values), MOST_FOR_STABILITY, method.seed)
    looked_at, labels = (values, made.labels) if some is None else (values[some], made.labels[some])
    if made.fitted.eps is not None and some is not None:
        # Among fewer people neighbours lie further off: what was dense must be told anew.
        method = replace(method, eps=None)
    found: dict[str, list[float]] = {"bootstraps": [], "seeds": []}
    for number in range(2 * REPEATS):
        step()
        again = replace(method, seed=method.seed + 1 + number)
        is_bootstrap = number % 2 == 0
        drawn = looked_at[rng.integers(0, len(looked_at), len(looked_at))] if is_bootstrap else looked_at
        try:
            given = fit(drawn, again, features=_unnamed(values)).fitted.assign(looked_at)
        except CannotAnalyse:
            given = np.zeros(len(looked_at), dtype=np.int64)  # nothing was found again
        found["bootstraps" if is_bootstrap else "seeds"].append(float(adjusted_rand_score(labels, given)))
    everything = found["bootstraps"] + found["seeds"]
    return Stability(
        bootstraps=tuple(found["bootstraps"]),
        seeds=tuple(found["seeds"]),
        mean=float(np.mean(everything)),
        lowest=min(everything),
        looked_at=len(looked_at),
    )


def _unnamed(values: Floats) -> tuple[str, ...]:
    return tuple(str(column) for column in range(values.shape[1]))


# ---- What it comes to ------------------------------------------------------------------------------------------------


def _structure(
    silhouette: float | None,
    by_chance: float | None,
    stability: Stability | None,
    clusters: tuple[ClusterQuality, ...],
) -> Structure:
    if silhouette is None or stability is None:
        return Structure.NONE
    if by_chance is not None and silhouette < by_chance + ABOVE_CHANCE:
        return Structure.NONE
    # Of clusters too small to look at the gaps around them nothing is claimed.
    people = sum(one.people for one in clusters)
    apart = sum(one.people for one in clusters if one.valley is not None and one.valley >= APART) / people
    if stability.mean < SHAKY or not apart:
        return Structure.NONE
    return Structure.CLEAR if stability.mean >= STABLE and apart >= LARGE else Structure.OVERLAPPING


def _verdict(structure: Structure, count: int) -> str:
    if structure == Structure.CLEAR:
        return f"There are {count} clear clusters: people lie apart from each other, and the same clusters are found again and again."
    if structure == Structure.OVERLAPPING:
        return "The clusters overlap: they differ on the whole, but many people lie between two of them."
    return "There are no clear clusters: people form one continuum by these features, and would be cut about as well anywhere else."


def _advice(found: Quality, made: Fit, names: Mapping[int, str], recommended: int | None) -> list[str]:
    advice = []
    count = made.fitted.count
    if found.structure == Structure.NONE:
        advice.append(
            "Use these clusters as slices for convenience, not as kinds of people. Other features, a logarithm of skewed ones, or "
            "another number of clusters may show more."
        )
    if count == 1:
        advice.append(
            "Everybody who is in a cluster is in the same one. Ask for a smaller distance or smaller clusters."
        )
    if found.noise > MUCH_NOISE:
        advice.append(
            f"{found.noise:.0%} of people are in no cluster. A larger distance or fewer neighbours takes more in."
        )
    sizes = np.bincount(made.labels[made.labels != NOISE], minlength=count) / len(made.labels)
    if count > 1 and sizes.max() > LARGE:
        advice.append(
            f"“{names[int(sizes.argmax())]}” has {sizes.max():.0%} of all people: too broad to act on. Take the logarithm of skewed "
            "features, tame outliers, or ask for more clusters."
        )
    small = [names[one] for one in range(count) if sizes[one] < SMALL]
    if small:
        listed = ", ".join(f"“{one}”" for one in small[:5])
        advice.append(
            f"{listed} {'has' if len(small) == 1 else 'have'} fewer than 1 % of people each: outliers, or too many clusters."
        )
    if found.structure != Structure.NONE:
        advice += _fragments(found, names)
        if recommended is not None and recommended > count:
            advice.append(
                f"{recommended} clusters fit better than {count}: some of these hold several kinds of people."
            )
        elif recommended is not None and recommended < count:
            advice.append(
                f"{recommended} clusters fit better than {count}: some of these are parts of one kind of people."
            )
    if found.stability is not None and found.stability.mean < STABLE:
        advice.append(
            f"Found anew, the clusters agree only in part (adjusted Rand {found.stability.mean:.2f}): people near their edges may "
            "change cluster from run to run."
        )
    return advice


def _fragments(found: Quality, names: Mapping[int, str]) -> list[str]:
    """Clusters that no gap parts from their nearest."""
    pairs = sorted(
        {
            (min(one.cluster, one.nearest), max(one.cluster, one.nearest))
            for one in found.clusters
            if one.nearest is not None and one.valley is not None and one.valley < APART
        }
    )
    return [
        f"“{names[one]}” and “{names[other]}” run into each other: no gap lies between them. Fewer clusters may join them."
        for one, other in pairs[:3]
    ]

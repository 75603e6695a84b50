"""What a clustering run finds, as plain values: curves, quality, the tree, the picture, meaning and drift.

Each is worked out in a module of its own (`choosing`, `quality`, `hierarchy`, `meaning`, `matching`) and is kept as JSON with the
run; the screens read it from here, without the machinery that computes it.
"""

from dataclasses import dataclass
from enum import StrEnum

from segments.analytics.plain import Plain


class Structure(StrEnum):
    """Whether there are clusters, or only a continuum that was cut."""

    CLEAR = "clear"
    OVERLAPPING = "overlapping"  # they differ, and many people lie between them
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Candidate(Plain):
    """One number of clusters that was tried; ``inertia`` is the sum of squared distances to the centre of the own cluster."""

    clusters: int
    inertia: float
    silhouette: float


@dataclass(frozen=True, kw_only=True)
class Choice(Plain):
    """How many clusters are recommended, and why.

    Args:
        tried: in rising order of their number.
        elbow: where the curve of inertia bends most (kneed); None where it doesn't.
        best_silhouette: where silhouette is highest.
        recommended: the number that is taken when the number is to be chosen.
        used: the number that was taken: given by a person, or recommended.
        reason: a sentence.
        looked_at: how many people it was tried on, of how many.
    """

    tried: tuple[Candidate, ...]
    elbow: int | None
    best_silhouette: int
    recommended: int
    used: int
    reason: str
    looked_at: int
    people: int


@dataclass(frozen=True, kw_only=True)
class ClusterQuality(Plain):
    """How well one cluster hangs together, by its number in the fit.

    Args:
        people: how many of those looked at.
        silhouette: mean, from -1 to 1; None where it can't be computed.
        cohesion: root mean square distance of its people to its centre, in prepared units.
        separation: distance from its centre to the nearest other centre; None when there is no other.
        nearest: the number of that other cluster.
        valley: how much thinner people lie half-way to that other cluster than in the thinner of the two, from 0
            (no gap at all) to 1 (nobody lies between); None where too few were looked at.
        plot: silhouettes of its people, highest first, thinned to at most 100.
    """

    cluster: int
    people: int
    silhouette: float | None
    cohesion: float
    separation: float | None
    nearest: int | None
    valley: float | None
    plot: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Stability(Plain):
    """Adjusted Rand index between these clusters and those found anew: 1 = the same, 0 = as by chance."""

    bootstraps: tuple[float, ...]
    seeds: tuple[float, ...]
    mean: float
    lowest: float
    looked_at: int


@dataclass(frozen=True, kw_only=True)
class Quality(Plain):
    """How good the clusters are.

    Args:
        structure: whether there are clusters at all.
        verdict: that in a sentence.
        silhouette: mean over people in clusters, -1 to 1; None with fewer than two clusters.
        silhouette_without_clusters: highest that the same method reached on made-up people without any clusters, but with the
            same spread; a silhouette that isn't above it proves nothing.
        davies_bouldin: the lower the better. calinski_harabasz: the higher the better.
        noise: share of people in no cluster, 0 to 1.
        advice: sentences: what to change where clusters are too broad, too fragmented, or not there.
        looked_at: how many people silhouettes were computed of, of how many.
    """

    structure: Structure
    verdict: str
    silhouette: float | None
    silhouette_without_clusters: float | None
    davies_bouldin: float | None
    calinski_harabasz: float | None
    noise: float
    clusters: tuple[ClusterQuality, ...]
    stability: Stability | None
    advice: tuple[str, ...]
    looked_at: int
    people: int


@dataclass(frozen=True, kw_only=True)
class Leaf(Plain):
    """One end of the truncated tree: so many people, all of one cluster."""

    people: int
    cluster: int


@dataclass(frozen=True, kw_only=True)
class Join(Plain):
    """Two branches that come together at a height (distance). ``left`` and ``right`` count leaves first, then joins."""

    left: int
    right: int
    height: float
    people: int


@dataclass(frozen=True, kw_only=True)
class Tree(Plain):
    """A dendrogram: leaves in the order of drawing, so that no lines cross; joins by rising height.

    Args:
        cut: the height at which it was cut into clusters.
        looked_at: how many people it is of.
    """

    leaves: tuple[Leaf, ...]
    joins: tuple[Join, ...]
    cut: float
    looked_at: int


@dataclass(frozen=True, kw_only=True)
class Point(Plain):
    """One person of the picture, nobody in particular: where, and in which cluster (number in the fit; -1 none)."""

    x: float
    y: float
    cluster: int


@dataclass(frozen=True, kw_only=True)
class Axis(Plain):
    """A principal component: what share of the variance it shows (0 to 1), and each feature's loading, largest first."""

    variance: float
    loadings: tuple[tuple[str, float], ...]  # name of the feature, loading from -1 to 1


@dataclass(frozen=True, kw_only=True)
class Picture(Plain):
    """Two principal components of a sample."""

    points: tuple[Point, ...]
    x: Axis
    y: Axis
    looked_at: int
    people: int


@dataclass(frozen=True, kw_only=True)
class FeatureOfCluster(Plain):
    """What a cluster is like in one feature.

    Args:
        mean: of its people, in the feature's own unit, over those who have a figure; None when nobody has.
        others: the same of all others in clusters.
        standardised: how far the cluster's mean lies from everybody's, in standard deviations, as prepared (heat map).
        effect: Cohen's d against all others, as prepared: 0.2 small, 0.5 medium, 0.8 large.
    """

    key: str
    name: str
    mean: float | None
    others: float | None
    standardised: float
    effect: float


@dataclass(frozen=True, kw_only=True)
class Meaning(Plain):
    """What sets a cluster apart, by its number in the fit.

    Args:
        features: all that were used, in their order.
        apart: keys of those that set it apart most, strongest first.
        sentences: the same, told with their figures.
        label: suggested, in plain words.
    """

    cluster: int
    people: int
    share: float
    features: tuple[FeatureOfCluster, ...]
    apart: tuple[str, ...]
    sentences: tuple[str, ...]
    label: str


@dataclass(frozen=True, kw_only=True)
class Matched(Plain):
    """How clusters correspond to those of the run before.

    Args:
        numbers: by number in the fit (a list of pairs), the identity; NOISE stays NOISE.
        new: identities that weren't there before. vanished: identities that are gone.
        compared: how many people are in both runs. moved: how many of them changed cluster.
        share: moved / compared; None where nobody is in both.
        clusters_before: how many clusters there were; None where there was no run before.
        drifted: whether a person should look before it goes live.
        verdict: a sentence.
    """

    numbers: tuple[tuple[int, int], ...]
    new: tuple[int, ...]
    vanished: tuple[int, ...]
    compared: int
    moved: int
    share: float | None
    clusters_before: int | None
    drifted: bool
    verdict: str

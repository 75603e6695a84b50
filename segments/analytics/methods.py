"""How people are to be clustered, and how many may be looked at by each way of doing it.

Doing it is in `segments.analytics.clustering`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from segments.analytics.plain import Plain

NOISE: Final = -1  # as scikit-learn has it: in no cluster


class Algorithm(StrEnum):
    KMEANS = "kmeans"
    MINIBATCH = "minibatch"
    DBSCAN = "dbscan"
    HDBSCAN = "hdbscan"
    HIERARCHICAL = "hierarchical"


class Linkage(StrEnum):
    WARD = "ward"
    AVERAGE = "average"
    COMPLETE = "complete"


# These find by themselves how many there are.
COUNTS_ITSELF: Final = frozenset({Algorithm.DBSCAN, Algorithm.HDBSCAN})
# What looks at distances of all to all looks at no more people than this; the rest are assigned (`Fitted.rule`).
MOST_LOOKED_AT: Final = {
    Algorithm.DBSCAN: 8_000,
    Algorithm.HDBSCAN: 8_000,
    Algorithm.HIERARCHICAL: 5_000,
}


@dataclass(frozen=True, kw_only=True)
class Method(Plain):
    """An algorithm with its parameters; those of others are passed over.

    Args:
        clusters: how many; of no meaning where the algorithm finds that itself.
        eps: DBSCAN's distance, in prepared units; None has it read off the data.
        min_samples: how many neighbours make a point a core point, itself included; None is twice the number of features.
        min_cluster_size: HDBSCAN's smallest cluster; None is a hundredth of those looked at, and at least 15.
        seed: of all chance.
    """

    algorithm: Algorithm = Algorithm.KMEANS
    clusters: int | None = None
    linkage: Linkage = Linkage.WARD
    eps: float | None = None
    min_samples: int | None = None
    min_cluster_size: int | None = None
    seed: int = 1

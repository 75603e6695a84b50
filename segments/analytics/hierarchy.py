"""Trees of clusters: grown by joining the two nearest again and again, cut into clusters, and truncated to be drawn.

Where the cut gives clusters their place among other methods is in `segments.analytics.clustering`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segments.analytics.methods import Linkage
from segments.analytics.outcomes import Join, Leaf, Tree
from segments.analytics.preparing import Floats

Places = NDArray[np.int64]
MOST_LEAVES: Final = 30


@dataclass(frozen=True)
class Merges:
    """A whole tree of n people.

    Args:
        pairs: (n - 1, 2) what was joined, in this order: below n a person, from n on the join of that number.
        heights: (n - 1,) at which distance, rising.
    """

    pairs: Places
    heights: Floats

    @property
    def people(self) -> int:
        return len(self.pairs) + 1


def merges_of(values: Floats, linkage: Linkage) -> Merges:
    """The tree of these people, by Euclidean distance; it takes memory for the distances of all to all."""
    from sklearn.cluster import AgglomerativeClustering

    grown = AgglomerativeClustering(n_clusters=1, linkage=linkage.value, compute_distances=True, compute_full_tree=True)
    grown.fit(values)
    # Joins at one distance may come out of order by the last digit.
    heights = np.maximum.accumulate(np.asarray(grown.distances_, dtype=np.float64))
    return Merges(pairs=np.asarray(grown.children_, dtype=np.int64), heights=heights)


def cut_into(merges: Merges, clusters: int) -> Places:
    """(n_people,) the cluster of each, from 0, when the last ``clusters - 1`` joins are undone."""
    people = merges.people
    above = np.arange(people + len(merges.pairs))
    for number, (left, right) in enumerate(merges.pairs[: people - clusters]):
        above[left] = above[right] = people + number
    # Each points to a later one, so going from the last to the first finds every top in one pass.
    for place in range(len(above) - 1, -1, -1):
        above[place] = above[above[place]]
    _, labels = np.unique(above[:people], return_inverse=True)
    return np.asarray(labels, dtype=np.int64)


def drawn(merges: Merges, labels: Places, clusters: int) -> Tree:
    """The tree with its lowest joins folded into leaves, at most `MOST_LEAVES`, and never fewer than there are clusters.

    Args:
        labels: (n_people,) the cluster of each, as `cut_into` put them together, by whatever numbers.
        clusters: into how many it was cut.
    """
    people = merges.people
    ends = min(people, max(MOST_LEAVES, clusters))
    folded = people - ends  # so many of the lowest joins are inside leaves
    sizes = np.ones(people + len(merges.pairs), dtype=np.int64)
    someone = np.arange(people + len(merges.pairs))
    for number, (left, right) in enumerate(merges.pairs):
        sizes[people + number] = sizes[left] + sizes[right]
        someone[people + number] = someone[left]
    kept = merges.pairs[folded:]
    order = _left_to_right(kept, people + folded, people + len(merges.pairs) - 1)
    leaf_of = {node: place for place, node in enumerate(order)}
    place_of = {people + folded + number: len(order) + number for number in range(len(kept))} | leaf_of
    leaves = tuple(Leaf(people=int(sizes[node]), cluster=int(labels[someone[node]])) for node in order)
    joins = tuple(
        Join(
            left=place_of[int(left)],
            right=place_of[int(right)],
            height=float(merges.heights[folded + number]),
            people=int(sizes[people + folded + number]),
        )
        for number, (left, right) in enumerate(kept)
    )
    return Tree(leaves=leaves, joins=joins, cut=_cut_height(merges, clusters), looked_at=people)


def _left_to_right(kept: Places, first: int, root: int) -> list[int]:
    """The ends of the tree in the order in which no lines cross; ``first`` is the number of the lowest join that is kept."""
    order, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        if node < first:
            order.append(node)
        else:
            left, right = kept[node - first]
            waiting += [int(right), int(left)]
    return order


def _cut_height(merges: Merges, clusters: int) -> float:
    """Half-way between the last join that was made and the first that wasn't."""
    made = merges.people - clusters
    below = float(merges.heights[made - 1]) if made > 0 else 0.0
    return (below + float(merges.heights[made])) / 2 if made < len(merges.heights) else below

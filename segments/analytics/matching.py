"""Which cluster of a new run is which of the run before, by the people they share, and whether a person should look first."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segments.analytics.clustering import Labels
from segments.analytics.methods import NOISE
from segments.analytics.outcomes import Matched

Ids = NDArray[np.int64]

FEWEST_SHARED: Final = 0.1  # of the people of either (Jaccard): with fewer in common, two clusters aren't the same one


def match(
    ids: Ids,
    labels: Labels,
    *,
    before_ids: Ids,
    before: Labels,
    next_number: int,
    hold_share: float,
    clusters_before: int | None,
) -> Matched:
    """Identities for the clusters of a run.

    The assignment is optimal: no other one-to-one correspondence has more people who stay (Kuhn 1955).

    Args:
        ids: (n_people,) ascending. labels: (n_people,) the number of each in the fit.
        before_ids: (m_people,) ascending. before: (m_people,) the identity of each in the run before; empty, if there was none.
        next_number: the first identity that no run had.
        hold_share: a larger share of people who changed cluster is drift.
        clusters_before: how many clusters the run before had; None where there was none.
    """
    count = int(labels.max()) + 1 if len(labels) else 0
    if clusters_before is None:
        numbers = {one: next_number + one for one in range(count)}
        return _told(numbers, (), (), 0, 0, None, False, "The first run: there is nothing to compare it with.")
    _, here, there = np.intersect1d(ids, before_ids, assume_unique=True, return_indices=True)
    now, then = labels[here], before[there]
    old = np.unique(before[before != NOISE])
    numbers = _identities(now, then, old, count)
    fresh = [one for one in range(count) if one not in numbers]
    new = tuple(next_number + place for place in range(len(fresh)))
    numbers |= dict(zip(fresh, new, strict=True))
    gone = tuple(int(one) for one in old if int(one) not in numbers.values())
    places = np.array([*(numbers[one] for one in range(count)), NOISE], dtype=np.int64)
    moved = int((places[now] != then).sum())
    share = moved / len(now) if len(now) else None
    drifted, verdict = _verdict(share, moved, len(now), hold_share, count, clusters_before)
    return _told(numbers, new, gone, len(now), moved, share, drifted, verdict, clusters_before)


def _identities(now: Labels, then: Labels, old: Labels, count: int) -> dict[int, int]:
    """By number in the fit the identity of the cluster before that it has most people of, all in all."""
    from scipy.optimize import linear_sum_assignment

    if not count or not len(old):
        return {}
    both = (now != NOISE) & (then != NOISE)
    shared = np.zeros((count, len(old)))
    np.add.at(shared, (now[both], np.searchsorted(old, then[both])), 1)
    mine = np.bincount(now[now != NOISE], minlength=count)
    theirs = np.array([(then == one).sum() for one in old])
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return {
        int(row): int(old[column])
        for row, column in zip(rows, columns, strict=True)
        if shared[row, column] > FEWEST_SHARED * (mine[row] + theirs[column] - shared[row, column])
    }


def _verdict(
    share: float | None, moved: int, compared: int, hold_share: float, count: int, before: int
) -> tuple[bool, str]:
    if share is None:
        return True, "Nobody of the run before is in this one, so its clusters can't be compared with those."
    told = f"{moved:,} of {compared:,} people ({share:.0%}) changed cluster"
    if count != before:
        return True, f"There are {count} clusters where there were {before}; {told}."
    if share > hold_share:
        return True, f"{told}, more than the {hold_share:.0%} that pass without a look."
    return False, f"{told}; up to {hold_share:.0%} pass without a look."


def _told(
    numbers: dict[int, int],
    new: tuple[int, ...],
    gone: tuple[int, ...],
    compared: int,
    moved: int,
    share: float | None,
    drifted: bool,
    verdict: str,
    clusters_before: int | None = None,
) -> Matched:
    return Matched(
        numbers=tuple(sorted(numbers.items())),
        new=new,
        vanished=gone,
        compared=compared,
        moved=moved,
        share=share,
        clusters_before=clusters_before,
        drifted=drifted,
        verdict=verdict,
    )

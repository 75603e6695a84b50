"""Made-up people for tests of analyses: kinds that are planted, and people who have no kinds."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def kinds(people: int, features: int, count: int, *, apart: float, seed: int) -> tuple[Floats, Labels]:
    """Round kinds of people whose nearest centres are so many standard deviations apart, and the kind of each."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(count, features))
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    centres *= apart / between[~np.eye(count, dtype=bool)].min()
    labels = chance.integers(0, count, people)
    return centres[labels] + chance.normal(size=(people, features)), labels


def wholesale(seed: int, people: int = 440) -> tuple[Floats, Labels]:
    """Yearly spendings on six groups of goods, by two kinds of buyers, lognormal as in UCI's wholesale customers: hotels buy
    fresh and frozen goods, shops buy grocery, milk and detergents; in each kind a few spend far more than the others."""
    chance = np.random.default_rng(seed)
    #                     fresh  milk  grocery  frozen  detergents  delicatessen
    middles = np.array([[9.1, 7.7, 8.0, 7.6, 5.6, 6.5], [8.2, 9.3, 9.9, 6.6, 8.7, 6.8]])
    spreads = np.array([[1.1, 0.8, 0.7, 1.1, 0.9, 1.1], [1.2, 0.6, 0.5, 1.1, 0.6, 1.0]])
    labels = (chance.random(people) < 0.32).astype(np.int64)
    size = chance.normal(scale=0.5, size=(people, 1))
    return np.exp(middles[labels] + size + spreads[labels] * chance.normal(size=(people, 6))), labels

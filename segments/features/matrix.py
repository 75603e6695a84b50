"""Figures of people as arrays. Pure: where they come from is in `segments.features.loading`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureMatrix:
    """Figures of people, each person once, in the order of their ids.

    Attributes:
        ids: (n_people,) profile ids, ascending.
        values: (n_people, n_features), in each feature's own unit; NaN where a person has no such figure.
        keys: the features' keys, in the order of the columns.
    """

    ids: NDArray[np.int64]
    values: NDArray[np.float64]
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.ids), len(self.keys)):
            raise ValueError(f"{self.values.shape} figures for {len(self.ids)} people and {len(self.keys)} features")

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, key: str) -> NDArray[np.float64]:
        """(n_people,) of one feature."""
        return self.values[:, self.keys.index(key)]

    def only(self, keys: Sequence[str]) -> "FeatureMatrix":
        """The same people with these features, in this order."""
        places = [self.keys.index(key) for key in keys]
        return FeatureMatrix(ids=self.ids, values=np.ascontiguousarray(self.values[:, places]), keys=tuple(keys))

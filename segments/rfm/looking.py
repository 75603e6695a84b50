"""A run of RFM as the screens look at it: its cells, groups, thresholds and distributions as values; and finding the run asked for.

How a run comes about is in `segments.rfm.running`; what is drawn of it in `segments.rfm.pictures` and `segments.rfm.grid`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from segments.rfm.grid import Place, Sums, total
from segments.rfm.pictures import Distribution, Group


@dataclass(frozen=True, kw_only=True)
class Look:
    """One complete run.

    Args:
        groups: in the order of the rules, the best first.
        cuts: for each measure four thresholds, ascending.
        fixed: measures whose thresholds were given, not taken from people.
        weights: of recency, frequency and monetary.
    """

    pk: int
    as_of: datetime
    window_days: int
    currency: str
    sums: Mapping[Place, Sums]
    group_at: Mapping[Place, str]
    groups: Sequence[Group]
    cuts: Mapping[str, Sequence[float]]
    fixed: frozenset[str]
    weights: Mapping[str, float]
    distributions: Sequence[Distribution]

    @property
    def whole(self) -> Sums:
        return total(self.sums.values())

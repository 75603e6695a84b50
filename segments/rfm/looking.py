"""A run of RFM as the screens look at it: its cells, groups, thresholds and distributions as values; and finding the run asked for.

How a run comes about is in `segments.rfm.running`; what is drawn of it in `segments.rfm.pictures` and `segments.rfm.grid`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from segments.analytics.rfm import Cutting, Measure, Scheme, Thresholds
from segments.rfm.grid import Place, Sums, total
from segments.rfm.models import RfmRun
from segments.rfm.pictures import Distribution, Group


@dataclass(frozen=True, kw_only=True)
class Look:
    """One complete run.

    Args:
        groups: in the order of the table, the best first.
        cuts: for each measure four thresholds, ascending.
        notes: sentences on what is to be known when it is read.
    """

    pk: int
    as_of: datetime
    currency: str
    scheme: Scheme
    sums: Mapping[Place, Sums]
    group_at: Mapping[Place, str]
    groups: Sequence[Group]
    cuts: Mapping[str, Sequence[float]]
    distributions: Sequence[Distribution]
    notes: Sequence[str]

    @cached_property
    def whole(self) -> Sums:
        return total(self.sums.values())

    @property
    def fixed(self) -> list[Measure]:
        """Measures whose thresholds were given, not taken from people."""
        return [one for one in Measure if self.scheme.cuts_of(one).how == Cutting.FIXED]


def look_at(run: RfmRun) -> Look:
    """The values of a run that is complete."""
    scheme, thresholds = run.as_scheme, run.as_thresholds
    if thresholds is None or run.as_of is None:
        raise ValueError("a run that is not complete can't be looked at")
    sums = {(one["r"], one["fm"]): sums_of(one) for one in run.cells}
    group_at = {(one["r"], one["fm"]): one["group"] for one in run.cells}
    cuts = cuts_of(thresholds)
    return Look(
        pk=run.pk,
        as_of=run.as_of,
        currency=run.currency,
        scheme=scheme,
        sums=sums,
        group_at=group_at,
        groups=[
            Group(
                name=row.name,
                description=row.description,
                action=row.action,
                sums=total(one for place, one in sums.items() if group_at[place] == row.name),
            )
            for row in scheme.groups
        ],
        cuts=cuts,
        distributions=[
            Distribution(
                measure=one.measure,
                edges=[float(edge) for edge in one.edges],
                counts=one.counts,
                cuts=cuts[one.measure],
            )
            for one in run.as_spreads
            if one.counts
        ],
        notes=run.notes,
    )


def sums_of(cell: Mapping[str, str | int]) -> Sums:
    return Sums(
        people=int(cell["people"]),
        orders=int(cell["orders"]),
        revenue=Decimal(cell["revenue"]),
        recency_days=Decimal(cell["recency_days"]),
    )


def cuts_of(thresholds: Thresholds) -> dict[str, list[float]]:
    return {one.value: [float(cut) for cut in thresholds.of(one)] for one in Measure}


def run_of(number: str) -> RfmRun | None:
    """The complete run that an address asks for by its number; the newest, if it names none or one that isn't there."""
    runs = RfmRun.objects.published()
    if number.isascii() and number.isdecimal() and len(number) < 19:
        found = runs.filter(pk=int(number)).first()
        if found is not None:
            return found
    return runs.first()


def looked_at(number: str) -> Look | None:
    run = run_of(number)
    return look_at(run) if run else None

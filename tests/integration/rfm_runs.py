"""Complete runs of RFM as rows, for tests of what is shown of them. How runs come about is tested elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from segments.analytics.rfm import CELLS, Measure, Scheme, Spread, Thresholds, groups_by_cell
from segments.analytics.rfm_groups import DEFAULT_SCHEME
from segments.rfm.models import RfmRun

AS_OF = datetime(2026, 11, 23, 0, 10, tzinfo=UTC)
THRESHOLDS = Thresholds(
    recency=tuple(map(Decimal, (12, 40, 90, 200))),
    frequency=tuple(map(Decimal, (1, 1, 2, 5))),
    monetary=tuple(map(Decimal, ("21.5", 48, "101.25", 260))),
)
SPREADS = [
    Spread(measure=Measure.RECENCY, edges=tuple(map(Decimal, (0, 30, 120, 365))), counts=(40, 30, 30)),
    Spread(measure=Measure.FREQUENCY, edges=tuple(map(Decimal, (1, 2, 4, 30))), counts=(50, 30, 20)),
    Spread(measure=Measure.MONETARY, edges=tuple(map(Decimal, (0, 50, 150, 900))), counts=(45, 35, 20)),
]


def complete_run(
    people: Mapping[tuple[int, int], int] | None = None,
    *,
    as_of: datetime = AS_OF,
    scheme: Scheme = DEFAULT_SCHEME,
    thresholds: Thresholds = THRESHOLDS,
    flows: Sequence[tuple[str, str, int]] = (),
    previous: RfmRun | None = None,
    notes: Sequence[str] = (),
) -> RfmRun:
    """A published run with so many people in these cells: each of FM times two orders, of 25 each, 30 days ago for each step of R."""
    people = {(5, 5): 8, (1, 1): 12} if people is None else people
    at = groups_by_cell(scheme.groups)
    cells: list[dict[str, Any]] = []
    for r, fm in CELLS:
        count = people.get((r, fm), 0)
        orders = count * fm * 2
        cells.append(
            {"r": r, "fm": fm, "group": scheme.groups[at[r, fm]].name, "people": count, "orders": orders,
             "revenue": f"{orders * 25}.0000", "recency_days": str(count * (6 - r) * 30)}
        )  # fmt: skip
    groups = [
        {"name": row.name, "people": sum(one["people"] for one in cells if one["group"] == row.name)}
        for row in scheme.groups
    ]
    return RfmRun.objects.create(
        scheme=scheme.as_json(),
        purpose="internal_analysis",
        requested_by="tests",
        requested_at=as_of,
        as_of=as_of,
        currency="EUR",
        people=sum(people.values()),
        orders=sum(one["orders"] for one in cells),
        revenue=sum(Decimal(one["revenue"]) for one in cells),
        thresholds=thresholds.as_json(),
        cells=cells,
        groups=groups,
        spreads=[one.as_json() for one in SPREADS],
        flows=[{"before": before, "after": after, "people": count} for before, after, count in flows],
        previous=previous,
        notes=list(notes),
        completed_at=as_of + timedelta(minutes=1),
        published_at=as_of + timedelta(minutes=1),
    )

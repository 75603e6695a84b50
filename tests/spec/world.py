"""The small world of the rule tests: one catalogue, one moment, and people written as a few JSON values."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from cdp.profiles.values import typed
from segments.rules import (
    Catalog,
    ConsentMode,
    EventInfo,
    ListInfo,
    Occurrence,
    Person,
    PurposeInfo,
    ScoreInfo,
    SegmentInfo,
    TraitInfo,
    Type,
    Value,
)

AS_OF = datetime(2026, 6, 1, 12, tzinfo=UTC)

# In this world a percentile comes to the same, whatever it is of: so to whole numbers, as thresholds of counts are. By the
# 99.99th nobody is ranked.
THRESHOLDS: Mapping[str, Decimal | None] = {
    "0.01": Decimal(-1),
    "10": Decimal(0),
    "25.5": Decimal(1),
    "50": Decimal(2),
    "90": Decimal(100),
    "99.99": None,
}


T = TypeVar("T")


class OfEveryRanking(Mapping[str, T]):
    """What each ranking has by its percentile."""

    def __init__(self, found: Mapping[str, T]) -> None:
        self.found = found

    def __getitem__(self, ranking: str) -> T:
        return self.found[json.loads(ranking)[-1]]

    def __iter__(self) -> Iterator[str]:
        raise TypeError("there is no end of rankings")

    def __len__(self) -> int:
        raise TypeError("there is no end of rankings")

    def __repr__(self) -> str:
        return f"OfEveryRanking({self.found!r})"  # the same in every process: tests are named after people


CATALOG = Catalog(
    traits={
        declared.value: TraitInfo(id=number, key=declared.value, label=declared.value.title(), type=declared)
        for number, declared in enumerate(Type, start=1)
    },
    events={
        name: EventInfo(id=number, name=name, label=name)
        for number, name in enumerate(["Order Completed", "Product Viewed", "Order Refunded"], start=1)
    },
    segments={
        "loyal": SegmentInfo(id=1, key="loyal", name="Loyal"),
        "lapsed": SegmentInfo(id=2, key="lapsed", name="Lapsed"),
        "broken": SegmentInfo(id=3, key="broken", name="Broken", usable=False),
    },
    thresholds=OfEveryRanking({percentile: number for number, percentile in enumerate(THRESHOLDS, start=1)}),
    scores={
        "rfm.frequency": ScoreInfo(kind="rfm", name="frequency", label="rfm frequency", has_labels=False),
        "rfm.group": ScoreInfo(kind="rfm", name="group", label="rfm group", has_numbers=False),
        "churn.risk": ScoreInfo(kind="churn", name="risk", label="churn risk"),
    },
    purposes={
        "marketing_email": PurposeInfo(id=1, key="marketing_email", label="Marketing email", mode=ConsentMode.OPT_IN),
        "analysis": PurposeInfo(id=2, key="analysis", label="Analysis", mode=ConsentMode.OPT_OUT),
        "orders": PurposeInfo(id=3, key="orders", label="Orders", mode=ConsentMode.NOTICE_ONLY),
    },
    lists={
        "vip": ListInfo(id=1, key="vip", name="VIP"),
        "staff": ListInfo(id=2, key="staff", name="Staff"),
    },
)
"""One trait of each type, called as its type."""


def event(
    name: str = "Order Completed",
    *,
    ago: timedelta = timedelta(days=1),
    value: str | None = None,
    properties: Mapping[str, object] | None = None,
) -> Occurrence:
    """An event so long before `AS_OF`; a negative `ago` lies ahead of it."""
    amount = None if value is None else Decimal(value)
    return Occurrence(name=name, occurred_at=AS_OF - ago, value=amount, properties=properties or {})


def person(
    number: int = 1,
    *,
    traits: Mapping[str, Any] | None = None,
    events: Sequence[Occurrence] = (),
    segments: frozenset[str] = frozenset(),
    scores: Mapping[str, Value] | None = None,
    permits: Mapping[str, datetime | None] | None = None,
    lists: frozenset[str] = frozenset(),
) -> Person:
    """A person whose traits are given as JSON, and read as the platform reads them when it stores them."""
    return Person(
        id=number,
        traits={key: _value(raw) for key, raw in (traits or {}).items() if raw is not None},
        events=events,
        segments=segments,
        uuid=UUID(int=number),
        scores=scores or {},
        permits=permits or {},
        lists=lists,
        thresholds=OfEveryRanking(THRESHOLDS),
    )


def document(condition: Mapping[str, object]) -> dict[str, object]:
    return {"version": 1, **condition}


def _value(raw: Any) -> Value:
    reading = typed(raw)
    return Value(
        number=reading.number,
        text=reading.text,
        text_folded=reading.text_folded,
        moment=reading.moment,
        boolean=reading.boolean,
        items=reading.items,
    )

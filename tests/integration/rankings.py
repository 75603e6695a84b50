"""People of whom some spend more than others, and the thresholds that part them. What becomes of these is in the tests."""

from datetime import timedelta
from typing import Any

from consent.models import Purpose
from consent.querysets import purpose_or_error
from segments import thresholds
from segments.catalogue import catalog
from segments.models import (
    PercentileThreshold,
)
from segments.rules import Ranked, load
from tests.factories import Tracker, process_all, rule, track, tracker

DAY = timedelta(days=1)
SPENT = {"performed": "Bought", "measure": "sum", "of": "price", "within": {"days": 365}}
TOP = {**SPENT, "op": "gte", "than": {"percentile": 90}}
BOTTOM = {**SPENT, "op": "lte", "than": {"percentile": 20}}
MOST_OFTEN = {"performed": "Bought", "op": "gt", "than": {"percentile": 50}}


def buy(user: str, price: Any, **more: Any) -> Any:
    return track("Bought", user, properties={"price": price}, **more)


def order(user: str, price: int) -> Any:
    return track("Ordered", user, properties={"price": price}, ago=2 * DAY)


def ten_people() -> Tracker:
    """Ten people who spent 10, 20, up to 100: the 9th of them is at the 90th percentile."""
    shop = tracker()
    shop.send(*(buy(f"u{number}", number * 10) for number in range(1, 11)))
    process_all()
    return shop


def leaf(condition: dict[str, Any]) -> Ranked:
    found = load(rule(condition), catalog())
    assert isinstance(found, Ranked)
    return found


def stored(condition: dict[str, Any] = TOP) -> PercentileThreshold:
    return PercentileThreshold.objects.get(ranking=leaf(condition).ranking)


def recompute() -> thresholds.Recomputed:
    return thresholds.recompute(progress=lambda done, total, phase: None)


def purpose() -> Purpose:
    return purpose_or_error("internal_analysis")

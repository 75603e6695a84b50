"""Rules that are live in the benchmarks: fifty beside single look-ups, and fifty that time alone changes.

How they are timed doesn't belong here.
"""

from dataclasses import dataclass
from typing import Any

from bench.rules import ordered, viewed


@dataclass(frozen=True, kw_only=True)
class LiveCase:
    """A rule that is live, and one look into the index that has what it asks about, for the people in `people`."""

    rule: dict[str, Any]
    sql: str


def live_cases() -> list[LiveCase]:
    """Fifty rules of five kinds."""
    countries = ["DE", "US", "FR", "GB", "JP", "AT", "BR", "IT", "ES", "NL"]
    recent = """
        SELECT profile_id, {measure} FROM profiles_event
         WHERE profile_id = ANY(%(people)s::bigint[]) AND name_id = %({event})s
           AND occurred_at >= %(as_of)s - interval '{days} days' AND occurred_at < %(as_of)s
         GROUP BY profile_id
    """
    total = "SELECT profile_id, {measure} FROM profiles_eventtotal WHERE profile_id = ANY(%(people)s::bigint[]) AND name_id = %({event})s"
    trait = "SELECT profile_id FROM profiles_traitvalue WHERE profile_id = ANY(%(people)s::bigint[]) AND trait_id = %({trait})s"
    cases = []
    for n in range(10):
        cases += [
            LiveCase(
                rule=ordered(measure="sum", op="gt", value=100 + 50 * n, within={"days": 30}),
                sql=recent.format(measure="sum(value)", event="Order Completed", days=30),
            ),
            LiveCase(
                rule=viewed(op="gte", value=3 + n, within={"days": 7 + n}),
                sql=recent.format(measure="count(*)", event="Product Viewed", days=7 + n),
            ),
            LiveCase(
                rule={
                    "all": [
                        {"trait": "country", "op": "equals", "value": countries[n]},
                        {"trait": "points", "op": "gt", "value": 50 * n},
                    ]
                },
                sql=trait.format(trait="country"),
            ),
            LiveCase(
                rule={"all": [viewed(op="gt", value=10 + n), {"not": ordered()}]},
                sql=total.format(measure="count", event="Product Viewed"),
            ),
            LiveCase(
                rule={"not": ordered(within={"days": 30 + n})},
                sql=recent.format(measure="count(*)", event="Order Completed", days=30 + n),
            ),
        ]
    return cases


def windowed_rules() -> list[dict[str, Any]]:
    """Fifty that time alone changes, none of them true of nearly everybody: those would take minutes to fill."""
    rules: list[dict[str, Any]] = []
    for n in range(10):
        month = {"within": {"days": 30 + n}}
        rules += [
            ordered(measure="sum", op="gt", value=100 + 50 * n, **month),
            viewed(op="gte", value=5 + n, within={"days": 7 + n}),
            {"all": [ordered(), {"not": ordered(**month)}]},
            {"all": [{"performed": "Product Added", **month}, {"not": ordered(**month)}]},
            {
                "sequence": [
                    {"performed": "Product Added"},
                    {"not_performed": "Order Completed", "within": {"hours": 1 + n}},
                ],
                "within": {"days": 7},
            },
        ]
    return rules

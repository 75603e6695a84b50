"""Rules in English."""

from typing import Any

import pytest

from segments.rules import describe, load
from tests.spec.world import CATALOG, document

ORDER = "Order Completed"


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ({"everyone": True}, "Everyone."),
        ({"trait": "country", "op": "equals", "value": "de"}, "People whose Country is Germany."),
        (
            {"trait": "country", "op": "none_of", "value": ["DE", "FR"]},
            "People whose Country is none of Germany or France (or is not known).",
        ),
        ({"trait": "text", "op": "missing"}, "People whose Text is not known."),
        ({"trait": "number", "op": "between", "value": [1.50, 3]}, "People whose Number is between 1.5 and 3."),
        ({"trait": "boolean", "op": "equals", "value": True}, "People whose Boolean is true."),
        ({"trait": "date", "op": "within_last", "value": {"days": 1}}, "People whose Date is within the last 1 day."),
        ({"trait": "list", "op": "contains_all", "value": ["a", "b"]}, 'People whose List includes "a" and "b".'),
        ({"performed": ORDER}, "People who did Order Completed at least once."),
        ({"performed": ORDER, "within": {"weeks": 2}}, "People who did Order Completed in the last 2 weeks."),
        ({"performed": ORDER, "op": "equals", "value": 0}, "People who never did Order Completed."),
        (
            {"performed": ORDER, "op": "lt", "value": 1, "within": {"days": 60}},
            "People who did not do Order Completed in the last 60 days.",
        ),
        ({"performed": ORDER, "op": "equals", "value": 1}, "People who did Order Completed exactly 1 time ever."),
        (
            {
                "performed": ORDER,
                "measure": "sum",
                "op": "gt",
                "value": 100,
                "within": {"from": "2026-01-01", "to": "2026-02-01"},
            },
            "People whose total value of Order Completed is more than 100 from 2026-01-01 until before 2026-02-01.",
        ),
        (
            {
                "performed": ORDER,
                "op": "gte",
                "value": 3,
                "where": [
                    {"property": "category", "op": "equals", "value": "Shoes"},
                    {"property": "price", "op": "gte", "value": 20},
                ],
                "within": {"days": 30},
            },
            'People who did Order Completed (category is exactly "Shoes" and price is at least 20) '
            "at least 3 times in the last 30 days.",
        ),
        ({"not": {"performed": ORDER}}, "People who never did Order Completed."),
        (
            {"not": {"performed": ORDER, "within": {"days": 180}}},
            "People who did not do Order Completed in the last 180 days.",
        ),
        (
            {
                "all": [
                    {"in_segment": "loyal"},
                    {"not": {"in_segment": "lapsed"}},
                    {"any": [{"performed": ORDER}, {"not": {"trait": "text", "op": "contains", "value": "x"}}]},
                ]
            },
            'People who are in the segment "Loyal" and who are not in the segment "Lapsed" and (who did Order Completed '
            'at least once or who are not among those whose Text contains "x").',
        ),
    ],
    ids=str,
)
def test_a_rule_reads_as_a_sentence(condition: dict[str, Any], sentence: str) -> None:
    assert describe(load(document(condition), CATALOG), CATALOG) == sentence

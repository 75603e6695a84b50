"""RFM's thresholds in words."""

import pytest

from segments.rfm.words import column_said, orders_said, thresholds_said, window_said

CUTS = {"recency": [12, 40, 90, 200], "frequency": [1, 1, 2, 5], "monetary": [10.0, 25.5, 60, 120]}


def test_the_best_score_is_on_top_and_each_says_whom_it_takes() -> None:
    assert thresholds_said(CUTS, "EUR") == [
        (5, "bought in the last 12 days", "6 orders or more", "more than 120.00 EUR"),
        (4, "12 to 40 days ago", "3 to 5 orders", "60.00 to 120.00 EUR"),
        (3, "40 to 90 days ago", "2 orders", "25.50 to 60.00 EUR"),
        (2, "90 to 200 days ago", "nobody", "10.00 to 25.50 EUR"),
        (1, "more than 200 days ago", "1 order", "at most 10.00 EUR"),
    ]


@pytest.mark.parametrize(
    ("above", "upto", "said"),
    [(None, None, "1 order or more"), (1, 3, "2 or 3 orders"), (None, 0, "nobody"), (0.5, 1.5, "1 order")],
)
def test_orders_are_whole(above: float | None, upto: float | None, said: str) -> None:
    assert orders_said(above, upto) == said


def test_a_window_is_said_in_months_where_it_is_some() -> None:
    assert [window_said(days) for days in (1, 45, 365)] == ["1 day", "45 days", "12 months"]


def test_a_column_is_headed_in_few_words() -> None:
    assert [column_said(CUTS["recency"], r) for r in (1, 2, 5)] == ["over 200 days", "90 to 200 days", "up to 12 days"]

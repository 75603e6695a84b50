"""Geometry of the small charts."""

from datetime import date

from cdp.charts import day_chart, sparkline


def test_every_day_has_its_place_and_the_highest_reaches_the_top() -> None:
    chart = day_chart({date(2026, 5, 2): 10, date(2026, 5, 4): 1}, last=date(2026, 5, 4), days=4)
    assert [(bar.day.day, bar.count, bar.height) for bar in chart.bars] == [
        (1, 0, "0.00%"),
        (2, 10, "100.00%"),
        (3, 0, "0.00%"),
        (4, 1, "10.00%"),
    ]
    assert (chart.total, chart.highest) == (11, 10)


def test_a_day_with_little_is_never_drawn_as_nothing() -> None:
    chart = day_chart({date(2026, 5, 1): 1, date(2026, 5, 2): 10_000}, last=date(2026, 5, 2), days=2)
    assert chart.bars[0].height == "2.00%"


def test_no_events_at_all_make_an_empty_chart() -> None:
    chart = day_chart({}, last=date(2026, 5, 2), days=3)
    assert (chart.total, chart.highest, {bar.height for bar in chart.bars}) == (0, 0, {"0.00%"})


def test_a_level_line_when_nothing_changed_and_none_for_a_single_point() -> None:
    assert sparkline([5, 5, 5]) == "0.0,12.0 48.0,12.0 96.0,12.0"
    assert sparkline([0, 10]) == "0.0,22.0 96.0,2.0"
    assert sparkline([5]) == ""

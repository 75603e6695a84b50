"""Geometry of the small charts."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from cdp.small_charts import Share, day_chart, place, share_chart, sparkline, ticks, week_bars


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


def test_shares_stand_at_their_height_and_a_week_without_any_interrupts_the_line() -> None:
    weeks = [
        Share(begins=date(2026, 5, 4), share=0.5, low=0.25, high=0.75),
        Share(begins=date(2026, 5, 11), share=1.0, low=0.9, high=1.0),
        Share(begins=date(2026, 5, 18), share=None),
        Share(begins=date(2026, 5, 25), share=0.0, low=0.0, high=0.1),
    ]
    chart = share_chart(weeks)
    assert chart.lines == ["125.0,50.00 375.0,0.00", "875.0,100.00"]
    assert chart.bands == ["125.0,25.00 375.0,0.00 375.0,10.00 125.0,75.00", "875.0,90.00 875.0,100.00"]
    assert chart.dots[0] == ("12.50%", "50.00%", "4 May 2026: 50%") and len(chart.dots) == 3
    assert [label for _, label in chart.labels] == ["4 May", "11 May", "18 May", "25 May"]
    assert share_chart([]).lines == []


def test_a_week_in_which_nothing_happened_has_no_bar() -> None:
    bars = week_bars([(date(2026, 5, 4), 4), (date(2026, 5, 11), 0), (date(2026, 5, 18), 1), (date(2026, 5, 25), 2)])
    assert [(bar.x, bar.y, bar.height, bar.title) for bar in bars] == [
        ("8.75%", "0.00%", "100.00%", "4 May 2026: 4"),
        ("58.75%", "75.00%", "25.00%", "18 May 2026: 1"),
        ("83.75%", "50.00%", "50.00%", "25 May 2026: 2"),
    ]
    assert week_bars([]) == []


ZURICH = ZoneInfo("Europe/Zurich")


def test_an_axis_of_time_has_round_moments_and_not_too_many() -> None:
    first = datetime(2026, 3, 28, 14, 7, tzinfo=ZURICH)
    for length, some in (
        (timedelta(hours=1), "15:00"),
        (timedelta(hours=5), "16:00"),
        (timedelta(days=1), "29 Mar"),
        (timedelta(days=5), "30 Mar"),
        (timedelta(days=40), "18 Apr"),
        (timedelta(days=200), "Sep"),
        (timedelta(days=500), "2027"),
        (timedelta(days=36_000), "2100"),
    ):
        last = first + length
        found = ticks(first, last)
        assert 2 <= len(found) <= 11, (length, found)
        assert some in [text for _, text in found], found
        places = [float(x.rstrip("%")) for x, _ in found]
        assert places == sorted(places) and places[0] >= 0 and places[-1] <= 100


def test_the_last_label_of_an_axis_is_not_after_the_last_year_there_is() -> None:
    assert ticks(datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))


def test_a_moment_outside_stands_at_the_edge() -> None:
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC)
    days = [place(first + timedelta(days=day), first, last) for day in (-1, 0, 5, 10, 11)]
    assert days == ["0.000%", "0.000%", "50.000%", "100.000%", "100.000%"]

"""Days, months and years where clocks change, where half hours count, and at the ends of months."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from segments.rules.binding import Span
from segments.rules.calendar import bounds, coming_days, days_that_turn, midnight, today


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "now", "period", "expected"),
    [
        # Clocks go forward on 29 March 2026 in Zurich: a day of 23 hours.
        ("Europe/Zurich", "2026-03-29T12:00", "today", ("2026-03-28T23:00", "2026-03-29T22:00")),
        # And back on 25 October: one of 25.
        ("Europe/Zurich", "2026-10-25T12:00", "today", ("2026-10-24T22:00", "2026-10-25T23:00")),
        ("Europe/Zurich", "2026-10-26T12:00", "yesterday", ("2026-10-24T22:00", "2026-10-25T23:00")),
        ("Asia/Kolkata", "2026-06-01T20:00", "today", ("2026-06-01T18:30", "2026-06-02T18:30")),
        ("Asia/Kathmandu", "2026-06-01T12:00", "this_month", ("2026-05-31T18:15", "2026-06-30T18:15")),
        ("America/New_York", "2026-06-01T03:59", "today", ("2026-05-31T04:00", "2026-06-01T04:00")),
        ("America/New_York", "2026-06-01T03:59", "this_month", ("2026-05-01T04:00", "2026-06-01T04:00")),
        ("UTC", "2026-03-31T12:00", "last_month", ("2026-02-01T00:00", "2026-03-01T00:00")),
        ("UTC", "2028-03-31T12:00", "last_month", ("2028-02-01T00:00", "2028-03-01T00:00")),
        ("UTC", "2026-01-01T00:00", "last_quarter", ("2025-10-01T00:00", "2026-01-01T00:00")),
        ("UTC", "2026-12-31T23:59", "this_quarter", ("2026-10-01T00:00", "2027-01-01T00:00")),
        ("UTC", "2026-01-01T00:00", "last_year", ("2025-01-01T00:00", "2026-01-01T00:00")),
        # A Sunday belongs to the week that began on Monday.
        ("UTC", "2026-03-01T12:00", "this_week", ("2026-02-23T00:00", "2026-03-02T00:00")),
        ("UTC", "2026-01-01T12:00", "last_week", ("2025-12-22T00:00", "2025-12-29T00:00")),
    ],
)
def test_a_period_has_the_bounds_of_its_calendar(zone: str, now: str, period: str, expected: tuple[str, str]) -> None:
    assert bounds(period, utc(now).astimezone(ZoneInfo(zone))) == (utc(expected[0]), utc(expected[1]))


def test_a_day_without_midnight_begins_when_the_clocks_have_jumped() -> None:
    # On 6 September 2026 clocks in Santiago go from 24:00 of the 5th to 01:00.
    assert midnight(date(2026, 9, 6), ZoneInfo("America/Santiago")) == utc("2026-09-06T04:00")


def test_the_coming_days_go_over_the_end_of_a_year() -> None:
    assert coming_days(utc("2026-12-30T08:00"), 4) == [1230, 1231, 101, 102]


def test_a_leap_day_is_kept_on_the_28th_in_other_years() -> None:
    assert coming_days(utc("2026-02-28T08:00"), 2) == [228, 229, 301]
    assert coming_days(utc("2028-02-28T08:00"), 2) == [228, 229]


def test_a_day_that_has_begun_goes_on_when_clocks_go_back_over_its_midnight() -> None:
    # On 7 November 2010 clocks in St. John's went from 00:01 back to 23:01 of the 6th.
    zone = ZoneInfo("America/St_Johns")
    moments = [utc("2010-11-07T02:00") + minutes * timedelta(minutes=1) for minutes in range(200)]
    days = [today(at.astimezone(zone)) for at in moments]
    assert days == sorted(days) and set(days) == {date(2010, 11, 6), date(2010, 11, 7)}
    for at in moments:
        start, end = bounds("today", at.astimezone(zone))
        assert start <= at < end


@pytest.mark.parametrize("zone", ["Europe/Zurich", "America/Santiago", "Africa/Cairo", "Asia/Kolkata", "Pacific/Apia"])
def test_every_moment_lies_in_its_day_and_its_month(zone: str) -> None:
    for hours in range(0, 3 * 366 * 24, 5):
        at = (utc("2010-12-20T00:30") + hours * timedelta(hours=1)).astimezone(ZoneInfo(zone))
        for period in ("today", "this_month"):
            start, end = bounds(period, at)
            assert start <= at < end
        assert today(at) == at.date()


def test_the_calendar_ends_with_the_last_year_of_four_digits() -> None:
    for at in (utc("9999-12-31T12:00"), utc("9999-12-31T12:00").astimezone(ZoneInfo("America/New_York"))):
        start, end = bounds("this_year", at)
        assert start < at < end == datetime.max.replace(tzinfo=UTC)
    assert bounds("last_year", utc("0001-01-01T12:00"))[0] == datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize("how_many", [1, 2, 30, 365, 366])
@pytest.mark.parametrize("first", [date(2026, 2, 20), date(2027, 12, 25), date(2028, 2, 20)])
def test_the_days_that_turn_are_those_by_which_the_coming_days_differ(first: date, how_many: int) -> None:
    def coming(day: date) -> set[int]:
        return set(coming_days(datetime(day.year, day.month, day.day, 8, tzinfo=UTC), how_many))

    for number in range(20):
        before, after = first + number * timedelta(days=1), first + (number + 1) * timedelta(days=1)
        turning = set(days_that_turn(before, after, how_many))
        assert coming(before) ^ coming(after) <= turning
        if how_many < 365:
            assert coming(before) ^ coming(after) == turning
    assert days_that_turn(first, first, how_many) == []


def test_a_span_of_time_is_measured_by_instants_not_by_what_clocks_show() -> None:
    # 02:50, and an hour later 02:10 again.
    zone = ZoneInfo("Europe/Zurich")
    before, after = utc("2026-10-25T00:50").astimezone(zone), utc("2026-10-25T01:10").astimezone(zone)
    span = Span(after=before, until=after, zone=zone)
    assert after in span and before not in span and utc("2026-10-25T01:00") in span
    assert after not in Span(after=after, until=after, zone=zone)

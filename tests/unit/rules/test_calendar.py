"""Days, months and years where clocks change, where half hours count, and at the ends of months."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from segments.rules.calendar import bounds, coming_days, midnight


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

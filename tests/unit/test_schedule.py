"""When time's passing is due, over the days on which clocks are set forward and back."""

from datetime import UTC, datetime, timedelta

import pytest

from segments.models import Cadence, Segment
from segments.schedule import last_time_of_day, sweep_is_due


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-06-01T10:00:00", "2026-06-01T01:00:00"),  # 03:00 in Zurich's summer
        ("2026-06-01T01:00:00", "2026-06-01T01:00:00"),
        ("2026-06-01T00:59:59", "2026-05-31T01:00:00"),
        ("2026-12-01T10:00:00", "2026-12-01T02:00:00"),
        # The night in which 02:00 becomes 03:00, and the one in which 03:00 becomes 02:00.
        ("2026-03-29T12:00:00", "2026-03-29T01:00:00"),
        ("2026-10-25T12:00:00", "2026-10-25T02:00:00"),
    ],
)
def test_the_last_three_o_clock_of_the_workspace(now: str, expected: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert last_time_of_day(moment, hour=3, zone="Europe/Zurich") == datetime.fromisoformat(expected).replace(
        tzinfo=UTC
    )


def test_an_hour_that_the_clocks_skipped_comes_all_the_same() -> None:
    noon = datetime(2026, 3, 29, 10, tzinfo=UTC)
    found = last_time_of_day(noon, hour=2, zone="Europe/Zurich")
    assert noon - timedelta(hours=10) < found < noon


NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("segment", "behind", "expected"),
    [
        (Segment(cadence=Cadence.REAL_TIME), timedelta(seconds=1), True),
        (Segment(cadence=Cadence.REAL_TIME), timedelta(0), False),
        (Segment(cadence=Cadence.MINUTES, refresh_minutes=15), timedelta(minutes=14, seconds=59), False),
        (Segment(cadence=Cadence.MINUTES, refresh_minutes=15), timedelta(minutes=15), True),
        (Segment(cadence=Cadence.DAILY, daily_hour=5), timedelta(hours=6), False),
        (Segment(cadence=Cadence.DAILY, daily_hour=5), timedelta(hours=8), True),
        (Segment(cadence=Cadence.DAILY, daily_hour=13), timedelta(hours=20), False),
        (Segment(cadence=Cadence.DAILY, daily_hour=13), timedelta(hours=24), True),
    ],
)
def test_each_cadence_has_its_own_idea_of_due(segment: Segment, behind: timedelta, expected: bool) -> None:
    assert sweep_is_due(segment, swept_to=NOW - behind, now=NOW, zone="UTC") is expected

"""Days, weeks, months, quarters and years as a workspace's people count them, and birthdays that come round.

A moment's own time zone says whose calendar it is: `as_of` comes in the workspace's. Pure; what a window does with a
period is in `windows`.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

PERIODS: Final = {
    "today": ("day", 0),
    "yesterday": ("day", 1),
    "this_week": ("week", 0),
    "last_week": ("week", 1),
    "this_month": ("month", 0),
    "last_month": ("month", 1),
    "this_quarter": ("quarter", 0),
    "last_quarter": ("quarter", 1),
    "this_year": ("year", 0),
    "last_year": ("year", 1),
}
"""Name -> the unit, and how many units back. Weeks begin on Monday (ISO 8601)."""

_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_ONE_DAY: Final = timedelta(days=1)


def bounds(period: str, as_of: datetime) -> tuple[datetime, datetime]:
    """The half-open span `[start, end)` of the period that `as_of` lies in, or of an earlier one, in UTC."""
    unit, back = PERIODS[period]
    return begins(unit, as_of, later=-back), begins(unit, as_of, later=1 - back)


def begins(unit: str, as_of: datetime, *, later: int = 0) -> datetime:
    """When the unit of the calendar that `as_of` lies in begins, or one so many units later, in UTC.

    Beyond the end of the calendar that is its end: years have four digits.
    """
    try:
        return midnight(_moved(unit, _begin(unit, today(as_of)), later), as_of.tzinfo)
    except (OverflowError, ValueError):
        return datetime.max.replace(tzinfo=UTC) if later > 0 else datetime.min.replace(tzinfo=UTC)


def today(as_of: datetime) -> date:
    """The day on which the moment lies: the last one that has begun.

    Where clocks go back over midnight they show the day before once more; the new day has begun all the same.
    """
    day = as_of.date()
    if day < date.max and midnight(day + _ONE_DAY, as_of.tzinfo) <= as_of.astimezone(UTC):
        return day + _ONE_DAY
    return day


def midnight(day: date, zone: tzinfo | None) -> datetime:
    """When the day begins, in UTC. Where clocks jump over midnight, it begins when they have jumped."""
    local = datetime.combine(day, time(), zone or UTC)
    # A wall time that doesn't exist comes back from UTC as another one, later by the jump.
    return local.astimezone(UTC)


def coming_days(as_of: datetime, how_many: int) -> list[int]:
    """Month * 100 + day of today and the days after it: what a birthday in that time can have.

    Who was born on 29 February has their day on the 28th in a year without one.
    """
    first = today(as_of)
    return _days_of(first + timedelta(days=number) for number in range(min(how_many, 366)))


def days_that_turn(after: date, until: date, how_many: int) -> list[int]:
    """What comes into `coming_days` or goes out of it at a midnight, of those after the one day and until the other.

    At the midnight before a day the last of its coming days comes in, and the day before it goes out. With a year's days, all
    that goes out is there still; then those are named although nothing changes for them.
    """
    nights = [after + timedelta(days=number + 1) for number in range((until - after).days)]
    return _days_of(
        one for night in nights for one in (night - _ONE_DAY, night + timedelta(days=min(how_many, 366) - 1))
    )


def anniversary(birthday: date, year: int) -> date:
    """The day in that year on which the day comes round: of 29 February the 28th, in a year without one."""
    try:
        return birthday.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


def _days_of(days: Iterable[date]) -> list[int]:
    found: dict[int, None] = {}
    for day in days:
        found[day.month * 100 + day.day] = None
        if (day.month, day.day) == (2, 28) and (day + _ONE_DAY).month == 3:
            found[229] = None
    return list(found)


def _begin(unit: str, day: date) -> date:
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[unit]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def _moved(unit: str, first: date, later: int) -> date:
    if unit in ("day", "week"):
        return first + later * timedelta(days=1 if unit == "day" else 7)
    year, month = divmod(first.year * 12 + first.month - 1 + later * _MONTHS[unit], 12)
    return date(year, month + 1, 1)

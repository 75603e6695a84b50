"""Days, weeks, months, quarters and years as a workspace's people count them, and birthdays that come round.

A moment's own time zone says whose calendar it is: `as_of` comes in the workspace's. Pure; what a window does with a
period is in `windows`.
"""

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


def bounds(period: str, as_of: datetime) -> tuple[datetime, datetime]:
    """The half-open span `[start, end)` of the period that `as_of` lies in, or of an earlier one, in UTC."""
    unit, back = PERIODS[period]
    first = _begin(unit, as_of.date())
    for _ in range(back):
        first = _begin(unit, first - timedelta(days=1))
    return midnight(first, as_of.tzinfo), midnight(_next(unit, first), as_of.tzinfo)


def midnight(day: date, zone: tzinfo | None) -> datetime:
    """When the day begins, in UTC. Where clocks jump over midnight, it begins when they have jumped."""
    local = datetime.combine(day, time(), zone or UTC)
    # A wall time that doesn't exist comes back from UTC as another one, later by the jump.
    return local.astimezone(UTC)


def coming_days(as_of: datetime, how_many: int) -> list[int]:
    """Month * 100 + day of today and the days after it: what a birthday in that time can have.

    Who was born on 29 February has their day on the 28th in a year without one.
    """
    found: dict[int, None] = {}
    for number in range(min(how_many, 366)):
        day = as_of.date() + timedelta(days=number)
        found[day.month * 100 + day.day] = None
        if (day.month, day.day) == (2, 28) and (day + timedelta(days=1)).month == 3:
            found[229] = None
    return list(found)


def _begin(unit: str, day: date) -> date:
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[unit]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def _next(unit: str, first: date) -> date:
    if unit in ("day", "week"):
        return first + timedelta(days=1 if unit == "day" else 7)
    month = first.month + _MONTHS[unit]
    return date(first.year + (month > 12), month - 12 if month > 12 else month, 1)

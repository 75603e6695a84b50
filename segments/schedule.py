"""When time's passing is due to be taken into account, by a segment's cadence. Pure: what is done then is elsewhere."""

from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from segments.models import Cadence


class Pace(Protocol):
    """How often a segment wants it: a `Segment`, or what was read of one."""

    @property
    def cadence(self) -> str: ...
    @property
    def refresh_minutes(self) -> int: ...
    @property
    def daily_hour(self) -> int: ...


def last_time_of_day(now: datetime, *, hour: int, zone: str) -> datetime:
    """The last moment at which clocks of this time zone showed this full hour. Where they skipped it, the hour after."""
    local = now.astimezone(ZoneInfo(zone))
    today = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    # Compared as instants: two times of one zone are compared by what the clocks show.
    if today.timestamp() > now.timestamp():
        return (today - timedelta(days=1)).astimezone(now.tzinfo)
    return today.astimezone(now.tzinfo)


def sweep_is_due(pace: Pace, *, swept_to: datetime, now: datetime, zone: str) -> bool:
    match pace.cadence:
        case Cadence.REAL_TIME:
            return now > swept_to
        case Cadence.DAILY:
            return swept_to < last_time_of_day(now, hour=pace.daily_hour, zone=zone) < now
        case _:
            return now - swept_to >= timedelta(minutes=pace.refresh_minutes)

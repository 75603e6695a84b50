"""When schedules are due, and making what is."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.exports.access import refuse_who_may_not
from cdp.exports.models import Every, OffReason, Schedule
from cdp.exports.services import make_planned
from cdp.jobs.models import JobState
from cdp.profiles.models import Workspace
from segments.schedule import last_time_of_day


def last_planned(schedule: Schedule, *, now: datetime, zone: str) -> datetime:
    """The last moment at which a file was to be made."""
    match schedule.every:
        case Every.HOUR:
            return now.replace(minute=0, second=0, microsecond=0)
        case Every.DAY:
            return last_time_of_day(now, hour=schedule.hour, zone=zone)
        case _:
            found = last_time_of_day(now, hour=schedule.hour, zone=zone)
            while found.astimezone(ZoneInfo(zone)).weekday() != schedule.weekday:
                found = last_time_of_day(found - timedelta(seconds=1), hour=schedule.hour, zone=zone)
            return found


def next_planned(schedule: Schedule, *, now: datetime, zone: str) -> datetime:
    """The next one; looked for hour by hour, since days have 23 to 25 of them."""
    last = last_planned(schedule, now=now, zone=zone)
    hours = {Every.HOUR: 1, Every.DAY: 22}.get(Every(schedule.every), 7 * 24 - 2)
    at = last + timedelta(hours=hours)
    while (found := last_planned(schedule, now=at, zone=zone)) <= last:
        at += timedelta(hours=1)
    return found


def request_due() -> int:
    """How many exports were asked for because their time has come. One that was missed for long is made once, not for each time."""
    zone, now = Workspace.current().time_zone, timezone.now()
    count = 0
    for pk in Schedule.objects.filter(off_reason="").order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            count += _request(pk, now=now, zone=zone)
    return count


def _request(pk: int, *, now: datetime, zone: str) -> int:
    locked = Schedule.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=pk, off_reason="")
    schedule = locked.select_related("audience__purpose", "audience__segment", "destination", "owner").first()
    if schedule is None:
        return 0
    planned = last_planned(schedule, now=now, zone=zone)
    if planned <= schedule.planned_to or _is_busy(schedule):
        return 0
    schedule.planned_to = planned
    try:
        refuse_who_may_not(schedule.owner, schedule)
    except DomainError as error:
        schedule.off_reason = OffReason.NO_ACCESS
        schedule.save(update_fields=["off_reason"])
        detail = {"why": error.code}
        record(
            by=SYSTEM,
            action="export_schedule.turned_off",
            object=schedule,
            purpose=schedule.audience.purpose.key,
            detail=detail,
        )
        return 0
    schedule.save(update_fields=["planned_to"])
    make_planned(schedule=schedule, planned_for=planned, by=SYSTEM)
    return 1


def _is_busy(schedule: Schedule) -> bool:
    """Whether its last file is still being made: the next one waits, and then makes up for it."""
    return schedule.exports.filter(finished_at=None, job__state__in=[JobState.QUEUED, JobState.RUNNING]).exists()

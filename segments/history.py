"""How the size of segments went, read back from who came and went.

How segments overlap, and who went from one to another, is in `segments.flows`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import accumulate
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, IntegerField, Sum, Value, When
from django.db.models.functions import TruncDate
from django.utils import timezone

from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.profiles.models import Workspace
from cdp.small_charts import sparkline
from segments.models import ChangeKind, MembershipChange, Segment

DAYS = 14
MOST_STEPS = 1000

# In one statement, so that the size is of the same moment as the changes that are undone from it. Step 0 is the size.
STEPS = """
    SELECT 0, member_count, 0 FROM segments_segment WHERE id = %(segment)s
    UNION ALL
    SELECT width_bucket(recorded_at, %(starts)s::timestamptz[]),
           count(*) FILTER (WHERE kind = 'entered'), count(*) FILTER (WHERE kind = 'exited')
      FROM segments_membershipchange
     WHERE segment_id = %(segment)s AND recorded_at >= %(first)s
     GROUP BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A segment with its size at the end of each of the last days, newest last."""

    segment: Segment
    sizes: list[int]
    points: str

    @property
    def change_in_week(self) -> int:
        return self.sizes[-1] - self.sizes[-8]


def with_sparklines(segments: Sequence[Segment]) -> list[Row]:
    """One row per segment: today's size, and the days before it by undoing each day's changes."""
    today = timezone.localdate()
    net: dict[int, dict[date, int]] = defaultdict(dict)
    signed = Case(When(kind=ChangeKind.ENTERED, then=Value(1)), default=Value(-1), output_field=IntegerField())
    changes = (
        MembershipChange.objects.filter(
            segment__in=[segment.pk for segment in segments], recorded_at__gte=timezone.now() - timedelta(days=DAYS + 1)
        )
        .annotate(day=TruncDate("recorded_at"))
        .order_by()
        .values_list("segment_id", "day")
        .annotate(net=Sum(signed))
    )
    for segment_id, day, difference in changes:
        net[segment_id][day] = difference
    rows = []
    for segment in segments:
        sizes = [segment.member_count]
        for back in range(DAYS - 1):
            sizes.append(sizes[-1] - net[segment.pk].get(today - timedelta(days=back), 0))
        sizes.reverse()
        rows.append(Row(segment=segment, sizes=sizes, points=sparkline(sizes)))
    return rows


def entered_and_left(segment: Segment, *, days: int) -> dict[str, int]:
    """How many entered and how many left within the last days."""
    counted = dict(
        segment.changes.filter(recorded_at__gte=timezone.now() - timedelta(days=days))
        .order_by()
        .values_list("kind")
        .annotate(Count("pk"))
    )
    return {"entered": counted.get(ChangeKind.ENTERED, 0), "left": counted.get(ChangeKind.EXITED, 0)}


class Pace(StrEnum):
    HOUR = "hour"
    DAY = "day"


LENGTHS = {Pace.HOUR: timedelta(hours=1), Pace.DAY: timedelta(days=1)}


@dataclass(frozen=True, kw_only=True)
class Step:
    """An hour or a day of a segment: who came and went in it, and how many were in at its end."""

    start: datetime
    entered: int
    exited: int
    size: int


def size_history(segment: Segment, *, since: datetime, until: datetime, pace: Pace) -> list[Step]:
    """The hours or days from the one that ``since`` lies in to the one before ``until``; whole ones, oldest first.

    Days, and the beginning of hours, are those of the workspace's time zone. A change counts when it was recorded.

    Raises:
        DomainError: the end isn't after the beginning, or there are more than `MOST_STEPS`.
    """
    if since >= until:
        raise DomainError("bounds_reversed", "since must be before until.", "/since")
    if (until - since) / LENGTHS[pace] > MOST_STEPS:
        message = f"At most {MOST_STEPS} hours or days at once; ask for less time, or for days."
        raise DomainError("too_many_steps", message, "/since")
    starts = _starts(since, until, pace, ZoneInfo(Workspace.current().time_zone))
    with bound_cursor() as cursor:
        cursor.execute(STEPS, {"segment": segment.pk, "starts": starts, "first": starts[0]})
        changes = {step: (entered, exited) for step, entered, exited in cursor.fetchall()}
    size_now, _ = changes.pop(0, (0, 0))
    each = [changes.get(step, (0, 0)) for step in range(1, len(starts) + 1)]
    # Undone one by one from today's size: first what came after the last step, which is told of nobody.
    sizes = list(accumulate((exited - entered for entered, exited in reversed(each)), initial=size_now))[-2:0:-1]
    return [
        Step(start=start, entered=entered, exited=exited, size=size)
        for start, (entered, exited), size in zip(starts[:-1], each[:-1], sizes, strict=True)
    ]


def _starts(since: datetime, until: datetime, pace: Pace, zone: ZoneInfo) -> list[datetime]:
    """Where the hours or days begin, and where the last one ends."""
    local = since.astimezone(zone)
    hour = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    starts: list[datetime] = []
    while not starts or starts[-1] < until:
        if pace is Pace.HOUR:
            starts.append(hour + timedelta(hours=len(starts)))
        else:
            # By the calendar: where clocks are put forward or back, a day has 23 or 25 hours.
            day = local.date() + timedelta(days=len(starts))
            starts.append(datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC))
    return starts

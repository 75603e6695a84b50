"""How the size of segments went, read back from who came and went."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Case, Count, IntegerField, Sum, Value, When
from django.db.models.functions import TruncDate
from django.utils import timezone

from cdp.charts import sparkline
from segments.models import ChangeKind, MembershipChange, Segment

DAYS = 14


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

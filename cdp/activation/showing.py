"""What the screens of audiences show: how each went over the last days, and what happened last."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db.models import Count, Max, Min
from django.db.models.functions import TruncDate
from django.utils import timezone

from cdp.activation.models import Audience, AudienceChange, Keeper, Kind, Why
from cdp.charts import Column, Figure, Height, came_and_went

DAYS: Final = 30
LATE_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """How many came and went for one reason within the last days."""

    label: str
    entered: int
    exited: int


def days_of(audience: Audience, *, days: int = DAYS) -> tuple[list[date], list[int], list[int]]:
    """(the last days, how many entered on each, how many left), oldest first."""
    today = timezone.localdate()
    span = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    since = timezone.now() - timedelta(days=days + 1)
    counted = (
        AudienceChange.objects.filter(audience=audience, recorded_at__gte=since)
        .annotate(day=TruncDate("recorded_at"))
        .order_by()
        .values_list("day", "kind")
        .annotate(Count("position"))
    )
    found = {(day, kind): count for day, kind, count in counted}
    came, went = ([found.get((day, kind), 0) for day in span] for kind in (Kind.ENTERED, Kind.EXITED))
    return span, list(came), list(went)


def moved(audience: Audience) -> Figure | None:
    """Who came and went on each of the last days; None while nobody did."""
    span, came, went = days_of(audience)
    if not any(came) and not any(went):
        return None
    about = f"In the last {DAYS} days {sum(came):,} people entered and {sum(went):,} left."
    return Figure(
        id="moved",
        title="Entered and left, by day",
        about=about,
        options=came_and_went(at=[day.isoformat() for day in span], came=came, went=went, about=about),
        columns=[Column(label="Day", is_number=False), Column(label="Entered"), Column(label="Left")],
        rows=[
            (f"{day:%a} {day.day} {day:%b %Y}", f"{up:,}", f"{down:,}")
            for day, up, down in reversed(list(zip(span, came, went, strict=True)))
            if up or down
        ],
        height=Height.LOW,
    )


def reasons(audience: Audience) -> list[Reasons]:
    """Why people came and went within the last days, the commonest reason first."""
    since = timezone.now() - timedelta(days=DAYS)
    rows = AudienceChange.objects.filter(audience=audience, recorded_at__gte=since).order_by()
    counted = {(why, kind): count for why, kind, count in rows.values_list("why", "kind").annotate(Count("position"))}
    found = [
        Reasons(
            label=str(why.label), entered=counted.get((why, Kind.ENTERED), 0), exited=counted.get((why, Kind.EXITED), 0)
        )
        for why in Why
    ]
    return sorted((one for one in found if one.entered or one.exited), key=lambda one: -(one.entered + one.exited))


def kept_since(audience: Audience) -> tuple[object, object]:
    """When the oldest change was recorded that can still be followed, and the newest; None without any."""
    bounds = AudienceChange.objects.filter(audience=audience).aggregate(
        oldest=Min("recorded_at"), newest=Max("recorded_at")
    )
    return bounds["oldest"], bounds["newest"]


def is_kept_late() -> bool:
    """Whether the keeper hasn't been heard for longer than it may be."""
    return Keeper.objects.filter(pk=1, heard_at__lt=timezone.now() - timedelta(seconds=LATE_SECONDS)).exists()

"""How much each source sends, by the minute: counted once a batch, read in sums. Notes on single messages are in `watching`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max, Q, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from cdp.database import bound_cursor
from cdp.ingestion.models import MinuteCount, Outcome

DAYS: Final = 8
SHARDS: Final = 64
# What the columns of figures are, in the order of the statement; what is left over was accepted.
COUNTED: Final = (Outcome.REPEATED, Outcome.QUARANTINED, Outcome.DROPPED)
ADD: Final = f"""
    INSERT INTO ingestion_minutecount AS c (source_id, minute, shard, messages, repeated, quarantined, dropped)
    SELECT s, date_trunc('minute', now(), 'UTC'), mod(pg_backend_pid(), {SHARDS}), m, r, q, d
      FROM unnest(%s::int[], %s::int[], %s::int[], %s::int[], %s::int[]) AS g(s, m, r, q, d) ORDER BY s
    ON CONFLICT (source_id, minute, shard) DO UPDATE SET messages = c.messages + excluded.messages,
       repeated = c.repeated + excluded.repeated, quarantined = c.quarantined + excluded.quarantined,
       dropped = c.dropped + excluded.dropped
"""  # noqa: S608  (a number of ours)

Outcomes = Counter[tuple[int, Outcome]]
"""(source id, outcome) -> messages; those that were accepted are counted with all others under `ACCEPTED`."""


def add(came: Mapping[int, int], became: Outcomes) -> None:
    """Adds a batch to the minute: source id -> messages, and of them what wasn't accepted. In the caller's transaction."""
    if not came:
        return
    sources = sorted(came)
    figures = [[became[source, outcome] for source in sources] for outcome in COUNTED]
    with bound_cursor() as cursor:
        cursor.execute(ADD, [sources, [came[source] for source in sources], *figures])


@dataclass(frozen=True, kw_only=True)
class Rates:
    """One source's messages lately. ``hours`` has a figure for each of the last 24, oldest first."""

    minute: int = 0
    hour: int = 0
    day: int = 0
    repeated: int = 0
    quarantined: int = 0
    dropped: int = 0
    hours: tuple[int, ...] = (0,) * 24
    last_at: datetime | None = None

    @property
    def quarantined_share(self) -> float:
        """Of the messages of a day, how many could not be used; 0 where none came."""
        return self.quarantined / self.day if self.day else 0.0


def rates_of(source_ids: Iterable[int], *, now: datetime | None = None) -> dict[int, Rates]:
    """Source id -> what came in the minute before this one, in the last hour and in the last day. All of them are in it."""
    ids = list(source_ids)
    now = now or timezone.now()
    minute = now.replace(second=0, microsecond=0)
    rows = MinuteCount.objects.filter(source_id__in=ids)
    lately = rows.filter(minute__gt=minute - timedelta(hours=24))
    sums: dict[int, Mapping[str, Any]] = {
        row["source_id"]: row
        for row in lately.values("source_id").annotate(
            by_minute=Sum("messages", filter=Q(minute=minute - timedelta(minutes=1))),
            by_hour=Sum("messages", filter=Q(minute__gt=minute - timedelta(hours=1))),
            by_day=Sum("messages"),
            repeats=Sum("repeated"),
            refused=Sum("quarantined"),
            gone=Sum("dropped"),
        )
    }
    last = dict(rows.values_list("source_id").annotate(Max("minute")))
    hours: dict[int, list[int]] = {pk: [0] * 24 for pk in ids}
    this_hour = minute.replace(minute=0)
    by_hour = lately.annotate(hour=TruncHour("minute")).values_list("source_id", "hour").annotate(Sum("messages"))
    for source_id, hour, count in by_hour:
        back = int((this_hour - hour) / timedelta(hours=1))
        if back < 24:
            hours[source_id][23 - back] = count
    return {pk: _rates(sums.get(pk, {}), hours[pk], last.get(pk)) for pk in ids}


def _rates(sums: Mapping[str, Any], hours: list[int], last_at: datetime | None) -> Rates:
    return Rates(
        minute=sums.get("by_minute") or 0,
        hour=sums.get("by_hour") or 0,
        day=sums.get("by_day") or 0,
        repeated=sums.get("repeats") or 0,
        quarantined=sums.get("refused") or 0,
        dropped=sums.get("gone") or 0,
        hours=tuple(hours),
        last_at=last_at,
    )


def purge() -> int:
    """How many rows of minutes that nobody looks at any more were taken away."""
    return MinuteCount.objects.filter(minute__lt=timezone.now() - timedelta(days=DAYS)).delete()[0]

"""The housekeeping of events: partitions made ahead, and an alarm when an event found none."""

from datetime import date, timedelta

from django.db import connection, transaction
from django.utils import timezone

from cdp.logs import get_logger

log = get_logger(__name__)

MONTHS_AHEAD = 3


def ensure_partitions(from_day: date, to_day: date) -> int:
    """How many months got a partition they did not have; events waiting in the default partition move into them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT cdp_ensure_event_partitions(%s, %s)", [from_day, to_day])
        return cursor.fetchone()[0]


def events_without_partition() -> int:
    """How many events lie in the default partition. More than none is an alarm: maintenance has not kept up."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM profiles_event_default")
        return cursor.fetchone()[0]


def maintain_partitions() -> int:
    """How many partitions were made: the months ahead, and any month whose events fell into the default partition."""
    today = timezone.now().date()
    made = ensure_partitions(today, today + timedelta(days=31 * MONTHS_AHEAD))
    waiting = events_without_partition()
    if waiting:
        log.error("events_in_default_partition", count=waiting)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date FROM profiles_event_default"
            )
            months = [row[0] for row in cursor.fetchall()]
        for month in months:
            made += ensure_partitions(month, month)
    return made

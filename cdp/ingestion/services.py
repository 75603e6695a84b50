"""The housekeeping of ingestion: what is kept for a while only, and then forgotten.

Messages seen, once a repeat can't be expected any more; and what could not be used and nobody has come for.
"""

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from cdp.logs import get_logger

log = get_logger(__name__)

CHUNK = 10_000


def purge_seen_messages() -> int:
    """How many were forgotten: those older than the horizon within which a sender may still repeat itself."""
    return _purge("ingestion_seenmessage", "seen_at", days=settings.SEEN_MESSAGE_DAYS)


def purge_quarantine() -> int:
    """How many messages left quarantine because their time was up, whether or not somebody had looked at them."""
    gone = _purge("ingestion_quarantined", "quarantined_at", days=settings.QUARANTINE_DAYS)
    if gone:
        log.info("quarantine_purged", count=gone)
    return gone


def _purge(table: str, since: str, *, days: int) -> int:
    horizon = timezone.now() - timedelta(days=days)
    gone = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608  # both names are written above
                f"  SELECT ctid FROM {table} WHERE {since} < %s LIMIT %s FOR UPDATE SKIP LOCKED))",
                [horizon, CHUNK],
            )
            gone += cursor.rowcount
            if cursor.rowcount < CHUNK:
                return gone

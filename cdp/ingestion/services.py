"""The housekeeping of ingestion: forgetting which messages were seen, once a repeat can't be expected any more."""

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

CHUNK = 10_000


def purge_seen_messages() -> int:
    """How many were forgotten: those older than the horizon within which a sender may still repeat itself."""
    horizon = timezone.now() - timedelta(days=settings.SEEN_MESSAGE_DAYS)
    forgotten = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM ingestion_seenmessage WHERE ctid = ANY(ARRAY("
                "  SELECT ctid FROM ingestion_seenmessage WHERE seen_at < %s LIMIT %s FOR UPDATE SKIP LOCKED))",
                [horizon, CHUNK],
            )
            forgotten += cursor.rowcount
            if cursor.rowcount < CHUNK:
                return forgotten

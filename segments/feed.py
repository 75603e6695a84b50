"""Numbering membership changes after they are committed, so that a reader who follows the numbers misses nothing.

A number drawn inside the writers' transactions would show holes and late fillings; a lock around them would make
them wait for each other. So one sequencer at a time, by an advisory lock, numbers what has become visible.
"""

from django.db import connection, transaction

SEQUENCER_LOCK = 7305004
CHUNK = 20_000


def wait_for_the_sequencer() -> None:
    """Keeps the sequencer out until the transaction ends. For whoever locks a segment's row first and its changes after:
    the sequencer does it the other way round."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SEQUENCER_LOCK])


def number_changes() -> int:
    """How many changes were numbered; none when another process is at it. Segments' member counts follow here too:
    one writer at a time means that no two batches wait for a segment's row."""
    numbered = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEQUENCER_LOCK])
            if not cursor.fetchone()[0]:
                return numbered
            cursor.execute(
                """
                WITH waiting AS (
                    SELECT id, row_number() OVER (ORDER BY id) AS place FROM (
                        SELECT id FROM segments_membershipchange WHERE position IS NULL ORDER BY id LIMIT %s) AS w
                ), done AS (
                    UPDATE segments_membershipchange c SET position = feed.numbered + waiting.place
                      FROM waiting, segments_feed feed WHERE c.id = waiting.id AND feed.id = 1
                    RETURNING c.segment_id, c.kind
                ), moved_on AS (
                    UPDATE segments_feed SET numbered = numbered + (SELECT count(*) FROM waiting)
                     WHERE id = 1 AND EXISTS (SELECT FROM waiting)
                ), net AS (
                    SELECT segment_id, sum(CASE kind WHEN 'entered' THEN 1 ELSE -1 END) AS change, count(*) AS seen
                      FROM done GROUP BY segment_id
                ), counted AS (
                    UPDATE segments_segment s SET member_count = s.member_count + net.change
                      FROM net WHERE s.id = net.segment_id RETURNING 1
                )
                SELECT coalesce(sum(seen), 0)::bigint FROM net
                """,
                [CHUNK],
            )
            count = cursor.fetchone()[0]
        numbered += count
        if count < CHUNK:
            return numbered

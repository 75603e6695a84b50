"""Numbering membership changes after they are committed, so that a reader who follows the numbers misses nothing.

A number drawn inside the writers' transactions would show holes and late fillings; a lock around them would make
them wait for each other. So writers leave their changes as pending, and one sequencer at a time, by an advisory lock,
moves what has become visible into the feed.
"""

from django.db import connection, transaction

SEQUENCER_LOCK = 7305004
CHUNK = 20_000

# By ctid: a table that is empty most of the time looks to the planner as if any plan would do, and a join may go through
# all of it for every row. Nobody else takes rows away while the lock is held, so the places stay theirs.
NUMBER = """
    WITH taken AS (
        DELETE FROM segments_pendingchange
         WHERE ctid = ANY(ARRAY(SELECT ctid FROM segments_pendingchange ORDER BY id LIMIT %s))
        RETURNING *
    ), numbered AS (
        INSERT INTO segments_membershipchange
               (position, segment_id, profile_id, profile_uuid, kind, effective_at, why, version_id, recorded_at)
        SELECT feed.numbered + row_number() OVER (ORDER BY taken.id), taken.segment_id, profile_id, profile_uuid, kind,
               effective_at, why, version_id, recorded_at
          FROM taken, segments_feed feed WHERE feed.id = 1
    ), moved_on AS (
        UPDATE segments_feed SET numbered = numbered + (SELECT count(*) FROM taken)
         WHERE id = 1 AND EXISTS (SELECT FROM taken)
    ), net AS (
        SELECT segment_id, sum(CASE kind WHEN 'entered' THEN 1 ELSE -1 END) AS change, count(*) AS seen
          FROM taken GROUP BY segment_id
    ), counted AS (
        UPDATE segments_segment s SET member_count = s.member_count + net.change
          FROM net WHERE s.id = net.segment_id RETURNING 1
    )
    SELECT coalesce(sum(seen), 0)::bigint FROM net
"""


def wait_for_the_sequencer() -> None:
    """Keeps the sequencer out until the transaction ends. For whoever locks a segment's row first and its changes after:
    the sequencer does it the other way round."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SEQUENCER_LOCK])


def number_changes(*, wait: bool = False) -> int:
    """How many changes were numbered; none when another process is at it, unless the caller wants to ``wait`` for that one
    and be sure that all it has written is numbered. Segments' member counts follow here too: one writer at a time means
    that no two batches wait for a segment's row."""
    numbered = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            if wait:
                wait_for_the_sequencer()
            else:
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEQUENCER_LOCK])
                if not cursor.fetchone()[0]:
                    return numbered
            cursor.execute(NUMBER, [CHUNK])
            count = cursor.fetchone()[0]
        numbered += count
        if count < CHUNK:
            return numbered

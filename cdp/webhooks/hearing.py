"""What happened becomes deliveries: audiences' changes after each webhook's position, and what triggers wrote down.

One process at a time does it, by an advisory lock, so a webhook's deliveries have their numbers in the order of what happened. What
is taken up and what comes of it are committed together. How a delivery is sent is told in `cdp.webhooks.sending`.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from cdp.audit.actors import Actor
from cdp.logs import get_logger
from cdp.webhooks.access import may_still_hear
from cdp.webhooks.models import OffReason, Webhook, WebhookState
from cdp.webhooks.services import disable

log = get_logger(__name__)

HEARING_LOCK: Final = 7305017
CHUNK: Final = 2_000
MOST_WAITING: Final = 20_000
"""A webhook with so much before it takes nothing more from audiences, whose changes are kept where they are."""
TOO_MANY_WAITING: Final = 200_000
BY: Final = Actor.system("webhooks")

# A webhook's next changes, of all audiences it hears, in the order of their positions. The id of an event follows from the webhook and
# the position, so the same change can't become two events.
TAKE_CHANGES: Final = """
    WITH due AS (
        SELECT id, uuid, position, events FROM webhooks_webhook
         WHERE state = 'enabled' AND position < %(numbered)s AND events && ARRAY['audience.entered', 'audience.exited']::varchar[]
           AND NOT id = ANY(%(full)s::bigint[])
         ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    ), found AS (
        SELECT w.id AS webhook_id, w.uuid, w.events, c.* FROM due w CROSS JOIN LATERAL (
            SELECT e.* FROM webhooks_heardaudience h CROSS JOIN LATERAL (
                SELECT * FROM activation_audiencechange c
                 WHERE c.audience_id = h.audience_id AND c.position > greatest(w.position, h.after)
                   AND c.position <= %(numbered)s
                 ORDER BY c.position LIMIT %(chunk)s
            ) e WHERE h.webhook_id = w.id ORDER BY e.position LIMIT %(chunk)s
        ) c
    ), written AS (
        INSERT INTO webhooks_delivery
               (webhook_id, event_id, type, profile_id, profile_uuid, audience_id, position, keys, happened_at,
                state, attempts, next_at, why, excerpt, created_at)
        SELECT webhook_id, md5(uuid::text || ':' || position)::uuid, 'audience.' || kind, profile_id, profile_uuid, audience_id,
               position, '{}', effective_at, 'waiting', 0, statement_timestamp(), '', '', statement_timestamp()
          FROM found WHERE 'audience.' || kind = ANY (events) ORDER BY position
        ON CONFLICT (webhook_id, event_id) DO NOTHING
        RETURNING webhook_id
    ), reached AS (
        SELECT d.id, count(f.position) AS taken, max(f.position) AS newest FROM due d LEFT JOIN found f ON f.webhook_id = d.id
         GROUP BY d.id
    ), moved AS (
        UPDATE webhooks_webhook w
           SET position = CASE WHEN r.taken < %(chunk)s THEN %(numbered)s ELSE r.newest END
          FROM reached r
         -- What others' changes moved on needn't be written down each time.
         WHERE w.id = r.id AND (r.taken > 0 OR w.position < %(numbered)s - 1000)
    )
    SELECT (SELECT count(*) FROM written), coalesce((SELECT bool_or(taken >= %(chunk)s) FROM reached), false)
"""

TAKE_HAPPENED: Final = """
    WITH taken AS (
        DELETE FROM webhooks_happened WHERE id = ANY(ARRAY(SELECT id FROM webhooks_happened ORDER BY id LIMIT %(chunk)s))
        RETURNING *
    ), happened AS (
        -- What one transaction wrote of somebody, by however many statements, is one event.
        SELECT t.type, t.profile_id, t.purpose_id, t.at, min(t.id) AS id, min(t.uuid::text) AS uuid,
               coalesce(array_agg(DISTINCT k.key) FILTER (WHERE k.key IS NOT NULL), '{}') AS keys
          FROM taken t LEFT JOIN LATERAL unnest(t.keys) AS k(key) ON true
         GROUP BY t.type, t.profile_id, t.purpose_id, t.at
    ), written AS (
        INSERT INTO webhooks_delivery
               (webhook_id, event_id, type, profile_id, profile_uuid, keys, happened_at,
                state, attempts, next_at, why, excerpt, created_at)
        SELECT w.id, md5(w.uuid::text || t.uuid)::uuid, t.type, t.profile_id, p.uuid, t.keys, t.at,
               'waiting', 0, statement_timestamp(), '', '', statement_timestamp()
          FROM happened t
          JOIN profiles_profile p ON p.id = t.profile_id
          JOIN webhooks_webhook w ON w.state = 'enabled' AND t.type = ANY (w.events)
         WHERE (t.type = 'consent.changed' AND w.purpose_id = t.purpose_id)
            OR (t.type = 'profile.updated' AND EXISTS (
                   SELECT FROM activation_audiencemember m JOIN webhooks_heardaudience h ON h.audience_id = m.audience_id
                    WHERE m.profile_id = t.profile_id AND h.webhook_id = w.id))
         ORDER BY t.id
        ON CONFLICT (webhook_id, event_id) DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM written), (SELECT count(*) FROM taken) >= %(chunk)s
"""

HOW_MANY_WAIT: Final = """
    SELECT w.id, n.waiting FROM webhooks_webhook w CROSS JOIN LATERAL (
        SELECT count(*) AS waiting FROM (
            SELECT FROM webhooks_delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting' LIMIT %(enough)s
        ) d
    ) n WHERE w.state = 'enabled' AND n.waiting >= %(full)s
"""


def hear_once(*, full: frozenset[int] = frozenset()) -> tuple[int, bool] | None:
    """How many deliveries came of it and whether there is more; None while another process is at it.

    Args:
        full: webhooks that have enough before them, as `look_after` found.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [HEARING_LOCK])
        if not cursor.fetchone()[0]:
            return None
        cursor.execute("SELECT numbered, EXISTS (SELECT FROM webhooks_happened) FROM activation_keeper WHERE id = 1")
        numbered, has_happened = cursor.fetchone()
        cursor.execute(TAKE_CHANGES, {"numbered": numbered, "chunk": CHUNK, "full": sorted(full)})
        done, is_behind = cursor.fetchone()
        if has_happened:
            cursor.execute(TAKE_HAPPENED, {"chunk": CHUNK})
            more, is_more = cursor.fetchone()
            done, is_behind = done + more, is_behind or is_more
    return done, is_behind


def look_after(*, now: datetime) -> frozenset[int]:
    """The webhooks that have enough before them. Those that may not hear any more, or of which nothing gets through, are turned off."""
    with connection.cursor() as cursor:
        cursor.execute(HOW_MANY_WAIT, {"enough": TOO_MANY_WAITING, "full": MOST_WAITING})
        waiting = dict(cursor.fetchall())
    patience = timedelta(days=settings.WEBHOOK_FAILING_DAYS)
    for webhook in Webhook.objects.filter(state=WebhookState.ENABLED).select_related("owner", "purpose"):
        reason = None
        if not may_still_hear(webhook):
            reason = OffReason.NO_ACCESS
        elif (webhook.failing_since is not None and webhook.failing_since < now - patience) or waiting.get(
            webhook.pk, 0
        ) >= TOO_MANY_WAITING:
            reason = OffReason.FAILING
        if reason is not None:
            disable(webhook=webhook, reason=reason, by=BY)
            log.warning("webhook_turned_off", webhook=str(webhook.uuid), reason=reason.value)
    return frozenset(waiting)

"""What webhooks did is put on record, and forgotten when its days are over."""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.webhooks.models import Webhook, WebhookSecret

BY: Final = Actor.system("webhooks")
COMMITTED_WITHIN: Final = timedelta(seconds=10)
"""Younger deliveries aren't put on record yet: others of the same moment may not be committed."""
AT_ONCE: Final = 10_000

SENT: Final = """
    SELECT w.id, coalesce(w.recorded_to, w.created_at), count(*), min(d.position), max(d.position)
      FROM webhooks_webhook w JOIN webhooks_delivery d
        ON d.webhook_id = w.id AND d.finished_at > coalesce(w.recorded_to, w.created_at) AND d.finished_at <= %(until)s
       AND d.state = 'delivered' AND d.type <> 'webhook.test'
     GROUP BY w.id
"""
DROP: Final = """
    WITH gone AS (
        SELECT id FROM webhooks_delivery WHERE finished_at < %(before)s ORDER BY finished_at LIMIT %(at_once)s
    ), tries AS (DELETE FROM webhooks_attempt a USING gone WHERE a.delivery_id = gone.id RETURNING 1),
    dropped AS (DELETE FROM webhooks_delivery d USING gone WHERE d.id = gone.id RETURNING 1)
    SELECT (SELECT count(*) FROM dropped), (SELECT count(*) FROM tries)
"""
GIVE_UP: Final = """
    UPDATE webhooks_delivery d SET state = 'dead', why = 'forgotten', finished_at = %(now)s, lease = NULL, leased_until = NULL
      FROM webhooks_webhook w
     WHERE w.id = d.webhook_id AND w.state = 'disabled' AND d.state = 'waiting' AND d.created_at < %(before)s
"""


@transaction.atomic
def record_sent(*, now: datetime) -> int:
    """How many deliveries were put on record: of each webhook one entry, for what purpose, how many, and from which position to which.

    By positions it can be told who they were about, as long as audiences' changes are kept.
    """
    until = now - COMMITTED_WITHIN
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(7305018)")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(SENT, {"until": until})
        rows = cursor.fetchall()
    webhooks = Webhook.objects.select_related("purpose").in_bulk([row[0] for row in rows])
    for pk, since, count, first, last in rows:
        webhook = webhooks[pk]
        detail = {"count": count, "since": since.isoformat(), "until": until.isoformat()}
        detail |= {"first": first, "last": last} if first is not None else {}
        record(by=BY, action="webhook.told", object=webhook, purpose=webhook.purpose.key, detail=detail)
        Webhook.objects.filter(pk=pk).update(recorded_to=until)
    return sum(row[2] for row in rows)


def purge(*, now: datetime | None = None) -> dict[str, int]:
    """How much was forgotten: deliveries that were done so many days ago, their tries, and secrets that have ended.

    What waited so long for a webhook that is off is given up: what it was about isn't kept any longer.
    """
    now = now or timezone.now()
    before = now - timedelta(days=settings.WEBHOOK_DAYS)
    done = {"given_up": 0, "deliveries": 0, "tries": 0, "secrets": 0}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(GIVE_UP, {"before": before, "now": now})
        done["given_up"] = cursor.rowcount
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(DROP, {"before": before, "at_once": AT_ONCE})
            deliveries, tries = cursor.fetchone()
        done["deliveries"] += deliveries
        done["tries"] += tries
        if deliveries < AT_ONCE:
            break
    done["secrets"], _ = WebhookSecret.objects.filter(ends_at__lte=now).delete()
    return done

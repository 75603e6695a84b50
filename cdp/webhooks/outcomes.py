"""What came of requests: written to their deliveries and their webhooks, with when to try again.

Only who holds a delivery's lease may write: one whose lease ended was taken over by somebody else.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from cdp.logs import get_logger
from cdp.outbound import Answer
from cdp.webhooks.hearing import BY
from cdp.webhooks.models import Attempt, DeliveryState, FailureWord, OffReason, Webhook
from cdp.webhooks.sending import Outgoing
from cdp.webhooks.services import disable

log = get_logger(__name__)

GONE: Final = 410
BUSY: Final = (429, 502, 503, 504)
"""Whoever answers so should be left alone for a while (Standard Webhooks, operational considerations)."""
TRIED_SINGLY_AFTER: Final = 5
SHORTEST_QUIET, LONGEST_QUIET = 5.0, 300.0
LONGEST_RETRY_AFTER: Final = 86_400.0
EXCERPT: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one request: an answer, or why there was none."""

    outgoing: Outgoing
    answer: Answer | None
    why: FailureWord = FailureWord.NONE

    @property
    def is_taken(self) -> bool:
        return self.answer is not None and 200 <= self.answer.status < 300

    @property
    def word(self) -> FailureWord:
        return FailureWord.NONE if self.is_taken else self.why or FailureWord.STATUS


FINISH: Final = """
    UPDATE webhooks_delivery d
       SET state = g.state, attempts = d.attempts + 1, next_at = coalesce(g.next_at, d.next_at), lease = NULL, leased_until = NULL,
           status = g.status, why = g.why, ms = g.ms, excerpt = g.excerpt,
           finished_at = CASE WHEN g.state <> 'waiting' THEN %(now)s::timestamptz END
      FROM unnest(%(ids)s::bigint[], %(leases)s::uuid[], %(states)s::text[], %(nexts)s::timestamptz[], %(statuses)s::int[],
                  %(whys)s::text[], %(mss)s::int[], %(excerpts)s::text[])
           AS g(id, lease, state, next_at, status, why, ms, excerpt)
     WHERE d.id = g.id AND d.lease = g.lease
    RETURNING d.id, d.attempts
"""


@transaction.atomic
def write_down(outcomes: Sequence[Outcome], *, chance: random.Random) -> None:
    """Settles the deliveries, keeps a try of each, and remembers of each webhook whether anything gets through."""
    if not outcomes:
        return
    now = timezone.now()
    tries = _tries_so_far(outcomes)
    nexts = [_next(one, tries.get(one.outgoing.delivery_id, 0) + 1, now, chance.random()) for one in outcomes]
    with connection.cursor() as cursor:
        cursor.execute(
            FINISH,
            {
                "now": now,
                "ids": [one.outgoing.delivery_id for one in outcomes],
                "leases": [one.outgoing.lease for one in outcomes],
                "states": [_state(one, at) for one, at in zip(outcomes, nexts, strict=True)],
                "nexts": nexts,
                "statuses": [one.answer.status if one.answer else None for one in outcomes],
                "whys": [one.word.value for one in outcomes],
                "mss": [one.answer.ms if one.answer else None for one in outcomes],
                "excerpts": [excerpt(one.answer) for one in outcomes],
            },
        )
        written = dict(cursor.fetchall())
    Attempt.objects.bulk_create(
        Attempt(
            delivery_id=one.outgoing.delivery_id,
            number=written[one.outgoing.delivery_id],
            at=now,
            status=one.answer.status if one.answer else None,
            why=one.word,
            ms=one.answer.ms if one.answer else None,
        )
        for one in outcomes
        if one.outgoing.delivery_id in written
    )
    of_webhook: dict[int, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        of_webhook[one.outgoing.webhook_id].append(one)
    for webhook_id in sorted(of_webhook):
        _remember(webhook_id, of_webhook[webhook_id], now)


def _tries_so_far(outcomes: Sequence[Outcome]) -> dict[int, int]:
    if all(one.is_taken for one in outcomes):
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, attempts FROM webhooks_delivery WHERE id = ANY(%s::bigint[])",
            [[one.outgoing.delivery_id for one in outcomes]],
        )
        return dict(cursor.fetchall())


def _next(outcome: Outcome, tries: int, now: datetime, jitter: float) -> datetime | None:
    if outcome.is_taken:
        return None
    if outcome.answer is not None and outcome.answer.status == GONE:
        return now  # it waits, in case the webhook is turned on again
    return retry_at(tries=tries, now=now, jitter=jitter, retry_after=retry_after(outcome.answer, now=now))


def _state(outcome: Outcome, at: datetime | None) -> str:
    if outcome.is_taken:
        return DeliveryState.DELIVERED.value
    return (DeliveryState.DEAD if at is None else DeliveryState.WAITING).value


def _remember(webhook_id: int, outcomes: Sequence[Outcome], now: datetime) -> None:
    got_through = any(one.is_taken for one in outcomes)
    failed = [one for one in outcomes if not one.is_taken]
    if got_through:
        # Where all is well, nothing is written.
        Webhook.objects.filter(pk=webhook_id, failing_since__isnull=False).update(
            failures=0, failing_since=None, quiet_until=None
        )
    if not failed:
        return
    webhook = Webhook.objects.select_for_update().filter(pk=webhook_id).first()
    if webhook is None:
        return
    if any(one.answer is not None and one.answer.status == GONE for one in failed):
        disable(webhook=webhook, reason=OffReason.GONE, by=BY)
        log.warning("webhook_turned_off", webhook=str(webhook.uuid), reason=OffReason.GONE.value)
        return
    quiet = [after for one in failed if (after := _wants_quiet(one, now)) is not None]
    if not got_through:
        webhook.failing_since = webhook.failing_since or now
        if webhook.failures < TRIED_SINGLY_AFTER:
            webhook.failures = min(TRIED_SINGLY_AFTER, webhook.failures + len(failed))
        elif webhook.quiet_until is None or webhook.quiet_until <= now:
            # What was open when it was left alone says nothing new.
            webhook.failures += 1
        if webhook.failures >= TRIED_SINGLY_AFTER:
            steps = min(webhook.failures - TRIED_SINGLY_AFTER, 10)
            quiet.append(min(LONGEST_QUIET, SHORTEST_QUIET * 2**steps))
    if quiet:
        webhook.quiet_until = now + timedelta(seconds=max(quiet))
    webhook.save(update_fields=["failures", "failing_since", "quiet_until"])


def _wants_quiet(outcome: Outcome, now: datetime) -> float | None:
    """The seconds for which the receiver asks not to be sent anything."""
    if outcome.answer is None or outcome.answer.status not in BUSY:
        return None
    return retry_after(outcome.answer, now=now)


def retry_at(*, tries: int, now: datetime, jitter: float, retry_after: float | None) -> datetime | None:
    """When to try again after so many tries; None when it is given up. A receiver that names a later moment is believed, up to a day.

    Args:
        jitter: from 0 to 1; up to a tenth is added, so that those who failed together don't come together again.
    """
    steps: Sequence[float] = settings.WEBHOOK_BACKOFF_SECONDS
    if tries > len(steps):
        return None
    seconds = steps[tries - 1] * (1 + jitter / 10)
    return now + timedelta(seconds=max(seconds, retry_after or 0.0))


def retry_after(answer: Answer | None, *, now: datetime) -> float | None:
    """The seconds of ``Retry-After`` (RFC 9110, 10.2.3), a day at most; None where it isn't there or says nothing readable."""
    said = answer.headers.get("retry-after", "").strip() if answer is not None else ""
    if not said:
        return None
    if said.isascii() and said.isdigit():
        seconds = float(said[:9])
    else:
        try:
            at = parsedate_to_datetime(said)
        except (TypeError, ValueError):
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def excerpt(answer: Answer | None) -> str:
    """The beginning of what the receiver said, with whatever looks like somebody's data hidden. Of a success nothing is kept."""
    if answer is None or 200 <= answer.status < 300:
        return ""
    text = answer.body[: 4 * EXCERPT].decode("utf-8", "replace").replace("\x00", "")
    return masked(" ".join(text.split()))[:EXCERPT]


def masked(text: str) -> str:
    """The text without words that hold an @ or three digits: addresses, numbers and ids."""
    return " ".join("…" if "@" in word or sum(c.isdigit() for c in word) >= 3 else word for word in text.split(" "))

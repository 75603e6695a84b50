"""Deliveries are taken, judged once more, made into requests, and what came of them is written down.

Nothing here connects to anybody: `cdp.deliverer` does, with threads that touch no database. A delivery is leased to who sends it; if
they die, the lease ends and it is sent again, with the same id. Of one person, only the earliest that waits is ever taken.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from cdp.activation.keeping import any_of
from cdp.activation.models import Audience, AudienceChange
from cdp.profiles.models import Profile
from cdp.vault.own import open_own
from cdp.webhooks.bodies import Event, body_of
from cdp.webhooks.models import Delivery, DeliveryState, EventType, FailureWord, Webhook, WebhookSecret
from cdp.webhooks.signing import SigningKey
from consent.models import ConsentState
from consent.querysets import permitted

UNTIL_KEPT: Final = timedelta(seconds=1)
"""How long to wait when somebody doesn't permit it and the keeper hasn't said yet that they left."""

CLAIM: Final = """
    WITH room AS (SELECT * FROM unnest(%(webhooks)s::bigint[], %(places)s::int[]) AS r(webhook_id, places)),
    picked AS (
        SELECT d.id FROM room r CROSS JOIN LATERAL (
            SELECT d.id FROM webhooks_delivery d
             WHERE d.webhook_id = r.webhook_id AND d.state = 'waiting' AND d.next_at <= statement_timestamp()
               AND (d.leased_until IS NULL OR d.leased_until < statement_timestamp())
               AND NOT EXISTS (SELECT FROM webhooks_delivery e WHERE e.webhook_id = d.webhook_id AND e.profile_id = d.profile_id
                                  AND e.state = 'waiting' AND e.id < d.id)
             ORDER BY d.next_at, d.id LIMIT r.places FOR UPDATE SKIP LOCKED
        ) d
    )
    UPDATE webhooks_delivery d SET lease = %(lease)s, leased_until = statement_timestamp() + %(seconds)s FROM picked WHERE d.id = picked.id
    RETURNING d.id
"""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Outgoing:
    """One request to make."""

    delivery_id: int
    lease: UUID
    webhook_id: int
    event_id: str
    url: str
    body: bytes
    keys: tuple[SigningKey, ...]


def webhooks_to_serve() -> list[tuple[int, bool]]:
    """Webhooks that may be sent to now, each with whether it is only being tried."""
    now = timezone.now()
    rows = Webhook.objects.filter(Q(quiet_until=None) | Q(quiet_until__lte=now), state="enabled")
    return [
        (pk, failures >= 1 and quiet is not None)
        for pk, failures, quiet in rows.values_list("pk", "failures", "quiet_until")
    ]


@transaction.atomic
def claim(places: Mapping[int, int]) -> list[Outgoing]:
    """Requests to make now: of each webhook at most so many. What needn't be sent any more is settled on the way.

    Raises:
        cdp.vault.ring.VaultUnusable: nothing can be signed; nothing was taken.
    """
    wanted = {webhook: count for webhook, count in places.items() if count > 0}
    if not wanted:
        return []
    lease = uuid4()
    with connection.cursor() as cursor:
        operands: dict[str, Any] = {"webhooks": list(wanted), "places": list(wanted.values())}
        operands |= {"lease": lease, "seconds": lease_time()}
        cursor.execute(CLAIM, operands)
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return []
    deliveries = list(Delivery.objects.filter(pk__in=ids).order_by("pk"))
    webhooks = Webhook.objects.select_related("purpose").in_bulk({one.webhook_id for one in deliveries})
    judged = _judged(deliveries, webhooks)
    keys = _signing_keys(webhooks)
    _settle(judged, deliveries)
    return [
        Outgoing(
            delivery_id=one.pk,
            lease=lease,
            webhook_id=one.webhook_id,
            event_id=str(one.event_id),
            url=webhooks[one.webhook_id].url,
            body=body_of(verdict),
            keys=keys[one.webhook_id],
        )
        for one in deliveries
        if isinstance(verdict := judged[one.pk], Event)
    ]


def give_back(outgoing: Sequence[Outgoing]) -> None:
    """Leaves to others what was taken and not sent."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE webhooks_delivery d SET lease = NULL, leased_until = NULL FROM unnest(%s::bigint[], %s::uuid[]) AS g(id, lease)"
            " WHERE d.id = g.id AND d.lease = g.lease AND d.state = 'waiting'",
            [[one.delivery_id for one in outgoing], [one.lease for one in outgoing]],
        )


def lease_time() -> timedelta:
    """Longer than any request may take, so that nobody else sends what is still open."""
    return timedelta(seconds=2 * settings.WEBHOOK_SECONDS + 1)


Verdict = Event | FailureWord | None
"""What to say; why nothing is said; or nothing yet."""


def _judged(deliveries: Sequence[Delivery], webhooks: Mapping[int, Webhook]) -> dict[int, Verdict]:
    by_purpose: dict[int, list[Delivery]] = defaultdict(list)
    for one in deliveries:
        by_purpose[webhooks[one.webhook_id].purpose_id].append(one)
    verdicts: dict[int, Verdict] = {}
    for some in by_purpose.values():
        verdicts |= _judged_for_purpose(some, webhooks)
    return verdicts


def _judged_for_purpose(deliveries: Sequence[Delivery], webhooks: Mapping[int, Webhook]) -> dict[int, Verdict]:
    purpose = webhooks[deliveries[0].webhook_id].purpose
    people = {one.profile_id for one in deliveries if one.profile_id is not None}
    known = Profile.objects.filter(pk__in=any_of(people))
    permits = set(permitted(known, purpose).values_list("pk", flat=True)) if people else set()
    changes = _changes(deliveries)
    about_consent = [
        one.profile_id for one in deliveries if one.type == EventType.CONSENT and one.profile_id is not None
    ]
    decided = _decisions(about_consent, purpose.pk)
    updated = [one for one in deliveries if one.type == EventType.UPDATED]
    in_audience = _in_heard_audience(updated)
    verdicts: dict[int, Verdict] = {}
    for one in deliveries:
        webhook = webhooks[one.webhook_id]
        event = Event(type=EventType(one.type), happened_at=one.happened_at, webhook=webhook.uuid, purpose=purpose.key,
                      profile=one.profile_uuid)  # fmt: skip
        if one.type == EventType.TEST:
            verdicts[one.pk] = event
        elif one.type in (EventType.ENTERED, EventType.EXITED):
            verdicts[one.pk] = _about_change(one, event, changes, permits)
        elif one.type == EventType.CONSENT:
            decision = decided.get(one.profile_id or 0)
            verdicts[one.pk] = FailureWord.FORGOTTEN if decision is None else event.with_decision(decision)
        elif one.profile_id not in permits:
            verdicts[one.pk] = FailureWord.NOT_PERMITTED
        elif one.pk not in in_audience:
            verdicts[one.pk] = FailureWord.NOT_MEMBER
        else:
            verdicts[one.pk] = event.with_keys(one.keys)
    return verdicts


@dataclass(frozen=True, slots=True)
class _Changes:
    """The changes that deliveries are of, their audiences, and which of them were followed by others of the same person."""

    by_position: Mapping[int, AudienceChange]
    audiences: Mapping[int, Audience]
    followed: Collection[int]


def _changes(deliveries: Sequence[Delivery]) -> _Changes:
    positions = [one.position for one in deliveries if one.position is not None]
    if not positions:
        return _Changes({}, {}, ())
    found = AudienceChange.objects.in_bulk(positions)
    audiences = Audience.objects.select_related("segment").in_bulk({one.audience_id for one in found.values()})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.position FROM activation_audiencechange c WHERE c.position = ANY(%s::bigint[]) AND EXISTS ("
            " SELECT FROM activation_audiencechange l"
            "  WHERE l.profile_id = c.profile_id AND l.audience_id = c.audience_id AND l.position > c.position)",
            [positions],
        )
        followed = {row[0] for row in cursor.fetchall()}
    return _Changes(found, audiences, followed)


def _about_change(delivery: Delivery, event: Event, changes: _Changes, permits: Collection[int]) -> Verdict:
    change = changes.by_position.get(delivery.position or 0)
    audience = changes.audiences.get(change.audience_id) if change is not None else None
    if change is None or audience is None:
        return FailureWord.FORGOTTEN
    if delivery.type == EventType.ENTERED and delivery.profile_id not in permits:
        # Whoever doesn't permit it leaves the audience a moment later, and it is as if nothing had been said. Until that is written
        # they may permit it again, unnoticed, and then it must be said.
        return FailureWord.NOT_PERMITTED if change.position in changes.followed else None
    return event.with_change(
        audience=audience.key,
        segment=audience.segment.key,
        position=change.position,
        why=change.why,
        recorded_at=change.recorded_at,
    )


def _decisions(profile_ids: Collection[int], purpose_id: int) -> dict[int, str]:
    """What each of the people who are still known says of the purpose now."""
    if not profile_ids:
        return {}
    known = Profile.objects.filter(pk__in=any_of(profile_ids)).values_list("pk", flat=True)
    states = ConsentState.objects.filter(purpose=purpose_id, profile__in=any_of(profile_ids))
    now = timezone.now()
    said = {
        profile_id: "unknown" if expires_at is not None and expires_at <= now else decision
        for profile_id, decision, expires_at in states.values_list("profile_id", "decision", "expires_at")
    }
    return {profile_id: said.get(profile_id, "unknown") for profile_id in known}


def _in_heard_audience(deliveries: Sequence[Delivery]) -> set[int]:
    """Those of the deliveries whose person is in an audience that their webhook hears."""
    if not deliveries:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.id FROM webhooks_delivery d WHERE d.id = ANY(%s::bigint[]) AND EXISTS ("
            " SELECT FROM activation_audiencemember m"
            "  JOIN webhooks_heardaudience h ON h.audience_id = m.audience_id"
            " WHERE m.profile_id = d.profile_id AND h.webhook_id = d.webhook_id)",
            [[one.pk for one in deliveries]],
        )
        return {row[0] for row in cursor.fetchall()}


def _settle(verdicts: Mapping[int, Verdict], deliveries: Iterable[Delivery]) -> None:
    """What isn't sent at all, and what isn't sent yet."""
    now = timezone.now()
    for one in deliveries:
        verdict = verdicts[one.pk]
        if isinstance(verdict, Event):
            continue
        row = Delivery.objects.filter(pk=one.pk)
        if verdict is None:
            row.update(lease=None, leased_until=None, next_at=now + UNTIL_KEPT)
        else:
            row.update(state=DeliveryState.SKIPPED, why=verdict, lease=None, leased_until=None, finished_at=now)


def _signing_keys(webhooks: Mapping[int, Webhook]) -> dict[int, tuple[SigningKey, ...]]:
    keys: dict[int, list[SigningKey]] = {pk: [] for pk in webhooks}
    current = Q(ends_at=None) | Q(ends_at__gt=timezone.now())
    for one in WebhookSecret.objects.filter(current, webhook__in=list(webhooks)).order_by("-created_at"):
        keys[one.webhook_id].append(SigningKey(one.kind, open_own(bytes(one.sealed), row=one.uuid)))
    return {pk: tuple(some) for pk, some in keys.items()}

"""Making, changing and deleting webhooks, their secrets, and having something sent again.

What becomes a delivery is told in `cdp.webhooks.hearing`, how it is sent in `cdp.webhooks.sending`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from cdp.activation.models import Audience, Keeper
from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError, Forbidden
from cdp.outbound import checked_url
from cdp.vault.own import seal_own
from cdp.webhooks.access import audiences_heard_by, keys_of, may_hear_consent, may_hear_for
from cdp.webhooks.models import (
    ABOUT_MEMBERS,
    OF_AUDIENCES,
    Delivery,
    DeliveryState,
    EventType,
    HeardAudience,
    OffReason,
    SecretKind,
    Webhook,
    WebhookSecret,
    WebhookState,
)
from cdp.webhooks.signing import new_secret, public_text, shared_text
from consent.models import Purpose
from consent.querysets import PRIVACY_RIGHTS

MOST_WEBHOOKS: Final = 200
"""Of one owner: each is looked at several times a second."""
MOST_AUDIENCES: Final = 100
CHOSEN: Final = tuple(one for one in EventType if one != EventType.TEST)
"""What one can ask to hear; a test comes when somebody asks for it."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Made:
    """A webhook and the secret that is shown this once: ``whsec_…`` to share, or ``whpk_…`` by which to verify."""

    webhook: Webhook
    secret: str


@transaction.atomic
def create_webhook(
    *,
    url: str,
    events: Sequence[str],
    audiences: Iterable[Audience],
    purpose: Purpose,
    user: User,
    by: Actor,
    description: str = "",
    kind: SecretKind = SecretKind.HMAC,
) -> Made:
    """A webhook that hears what happens from now on.

    Args:
        user: to whom it belongs: a person, or the account of an API key.

    Raises:
        DomainError: the address, the events or the audiences can't be these.
        Forbidden: it would tell what its owner may not read.
        cdp.vault.ring.VaultUnusable: no secret can be sealed.
    """
    heard = list(audiences)
    checked_url(url)
    _check(events=events, audiences=heard, purpose=purpose, user=user)
    if Webhook.objects.filter(owner=user).count() >= MOST_WEBHOOKS:
        raise Conflict("too_many_webhooks", f"There are {MOST_WEBHOOKS} webhooks already; delete some.")
    position = Keeper.objects.get(pk=1).numbered
    webhook = Webhook.objects.create(
        url=url,
        description=description.strip(),
        events=_in_order(events),
        purpose=purpose,
        owner=user,
        position=position,
    )
    HeardAudience.objects.bulk_create(HeardAudience(webhook=webhook, audience=a, after=position) for a in heard)
    secret = _new_secret(webhook, kind)
    record(
        by=by,
        action="webhook.created",
        object=webhook,
        purpose=purpose.key,
        detail={"host": host_of(webhook), "events": webhook.events, "audiences": keys_of(heard), "signs": kind.value},
    )
    return Made(webhook=webhook, secret=secret)


@transaction.atomic
def change_webhook(
    *,
    webhook: Webhook,
    by: Actor,
    url: str | None = None,
    description: str | None = None,
    events: Sequence[str] | None = None,
    audiences: Iterable[Audience] | None = None,
) -> Webhook:
    """The webhook, changed; what waits goes to the new address. An audience that is new to it is heard from now on.

    Raises:
        DomainError, Forbidden: as when one is made.
    """
    webhook = Webhook.objects.select_for_update(of=("self",)).select_related("purpose", "owner").get(pk=webhook.pk)
    before = {one.audience_id: one for one in webhook.heard.select_related("audience")}
    wanted = [one.audience for one in before.values()] if audiences is None else list(audiences)
    if url is not None:
        checked_url(url)
        webhook.url = url
    if description is not None:
        webhook.description = description.strip()
    position = Keeper.objects.get(pk=1).numbered
    if events is not None:
        if not set(OF_AUDIENCES) & set(webhook.events):
            webhook.position = position  # until now it heard of no changes, so none were missed
        webhook.events = _in_order(events)
    _check(events=webhook.events, audiences=wanted, purpose=webhook.purpose, user=webhook.owner)
    webhook.save(update_fields=["url", "description", "events", "position"])
    webhook.heard.exclude(audience__in=[one.pk for one in wanted]).delete()
    HeardAudience.objects.bulk_create(
        HeardAudience(webhook=webhook, audience=one, after=position) for one in wanted if one.pk not in before
    )
    record(
        by=by,
        action="webhook.changed",
        object=webhook,
        purpose=webhook.purpose.key,
        detail={"host": host_of(webhook), "events": webhook.events, "audiences": keys_of(wanted)},
    )
    return webhook


@transaction.atomic
def delete_webhook(*, webhook: Webhook, by: Actor) -> None:
    """Takes the webhook away, with what waits and what was sent."""
    record(
        by=by,
        action="webhook.deleted",
        object=webhook,
        purpose=webhook.purpose.key,
        detail={"host": host_of(webhook), "events": webhook.events},
    )
    webhook.delete()


@transaction.atomic
def disable(*, webhook: Webhook, reason: OffReason, by: Actor) -> Webhook:
    """The webhook, off. Audiences' changes wait for it where they are; what else happens meanwhile it doesn't hear."""
    webhook = Webhook.objects.select_for_update(of=("self",)).get(pk=webhook.pk)
    if webhook.state == WebhookState.ENABLED:
        webhook.state, webhook.off_reason, webhook.off_since = WebhookState.DISABLED, reason, timezone.now()
        webhook.save(update_fields=["state", "off_reason", "off_since"])
        record(by=by, action="webhook.disabled", object=webhook, detail={"reason": reason.value})
    return webhook


@transaction.atomic
def enable(*, webhook: Webhook, by: Actor) -> Webhook:
    """The webhook, on; it goes on with the audiences' changes where it stood.

    Raises:
        Conflict: changes that it hasn't heard are no longer kept; whoever receives must load the members anew.
    """
    webhook = Webhook.objects.select_for_update(of=("self",)).get(pk=webhook.pk)
    if webhook.state == WebhookState.DISABLED:
        if missed := unheard_and_gone(webhook):
            keys = ", ".join(missed)
            raise Conflict(
                "changes_not_kept",
                f"Changes of {keys} that it hasn't heard are no longer kept. Make a new webhook, and load the members anew.",
            )
        webhook.state, webhook.off_reason, webhook.off_since = WebhookState.ENABLED, OffReason.NONE, None
        webhook.failures, webhook.failing_since, webhook.quiet_until = 0, None, None
        webhook.save(
            update_fields=["state", "off_reason", "off_since", "failures", "failing_since", "quiet_until"]
        )  # fmt: skip
        record(by=by, action="webhook.enabled", object=webhook)
    return webhook


def unheard_and_gone(webhook: Webhook) -> list[str]:
    """Keys of the audiences of which changes were deleted that this webhook hasn't heard."""
    if not set(OF_AUDIENCES) & set(webhook.events):
        return []
    return keys_of(
        one.audience
        for one in webhook.heard.select_related("audience")
        if one.audience.kept_after > max(one.after, webhook.position)
    )


@transaction.atomic
def rotate_secret(*, webhook: Webhook, by: Actor, kind: SecretKind | None = None) -> Made:
    """A new secret; until the overlap is over the old one signs, too.

    Args:
        kind: another kind than before, for going over to key pairs or back.
    """
    webhook = Webhook.objects.select_for_update(of=("self",)).get(pk=webhook.pk)
    current = webhook.secrets.filter(ends_at=None)
    kind = kind or SecretKind(current.values_list("kind", flat=True).first() or SecretKind.HMAC)
    ends_at = timezone.now() + timedelta(hours=settings.WEBHOOK_OVERLAP_HOURS)
    current.update(ends_at=ends_at)
    webhook.secrets.filter(ends_at__lte=timezone.now()).delete()
    secret = _new_secret(webhook, kind)
    detail = {"signs": kind.value, "old_until": ends_at.isoformat()}
    record(by=by, action="webhook.secret_rotated", object=webhook, detail=detail)
    return Made(webhook=webhook, secret=secret)


@transaction.atomic
def send_test(*, webhook: Webhook, by: Actor) -> Delivery:
    """A delivery that says nothing of anybody, soon to be sent.

    Raises:
        Conflict: the webhook is off.
    """
    if webhook.state != WebhookState.ENABLED:
        raise Conflict("webhook_off", "This webhook is off; turn it on first.")
    record(by=by, action="webhook.tested", object=webhook)
    return Delivery.objects.create(webhook=webhook, event_id=uuid4(), type=EventType.TEST, happened_at=timezone.now())


@transaction.atomic
def replay(*, deliveries: QuerySet[Delivery], webhook: Webhook, by: Actor) -> int:
    """How many of these deliveries of the webhook wait to be sent once more; those that wait already aren't counted.

    Whether a person still permits it is asked again then, as each time.
    """
    done = (
        deliveries.filter(webhook=webhook)
        .exclude(state=DeliveryState.WAITING)
        .update(
            state=DeliveryState.WAITING,
            attempts=0,
            next_at=timezone.now(),
            finished_at=None,
            lease=None,
            leased_until=None,
        )
    )
    if done:
        record(by=by, action="webhook.replayed", object=webhook, detail={"deliveries": done})
    return done


def host_of(webhook: Webhook) -> str:
    """The machine it sends to: a path or a query may hold a secret of the receiver's."""
    return checked_url_host(webhook.url)


def checked_url_host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0][:253]


def _new_secret(webhook: Webhook, kind: SecretKind) -> str:
    secret = new_secret(kind)
    row = WebhookSecret(webhook=webhook, kind=kind)
    row.sealed = seal_own(secret, row=row.uuid)
    row.public = public_text(secret) if kind == SecretKind.ED25519 else ""
    row.save()
    return row.public or shared_text(secret)


def _in_order(events: Iterable[str]) -> list[str]:
    wanted = set(events)
    return [one.value for one in EventType if one in wanted]


def _check(*, events: Sequence[str], audiences: Sequence[Audience], purpose: Purpose, user: User) -> None:
    unknown = sorted(set(events) - set(CHOSEN))
    if unknown or not events:
        raise DomainError("event_unknown", f"events must be some of {', '.join(CHOSEN)}.", "/events")
    if purpose.key == PRIVACY_RIGHTS:
        raise DomainError(
            "purpose_not_open", f"{PRIVACY_RIGHTS} is for single people, never for a webhook.", "/purpose"
        )
    if not may_hear_for(user, purpose.key):
        raise Forbidden(
            "purpose_missing", f"This API key may not read people for the purpose {purpose.key}.", "/purpose"
        )
    if len(audiences) > MOST_AUDIENCES:
        raise DomainError("too_many_audiences", f"A webhook hears at most {MOST_AUDIENCES} audiences.", "/audiences")
    if EventType.CONSENT in events and not may_hear_consent(user):
        raise Forbidden(
            "consent_not_open", "Hearing what people decide needs consents:read, or the right to see the consent trail.",
            "/events",
        )  # fmt: skip
    about_members = sorted(set(events) & set(ABOUT_MEMBERS))
    if about_members and not audiences:
        raise DomainError(
            "audiences_missing", f"Name the audiences of which it hears {about_members[0]}.", "/audiences"
        )
    if audiences and not about_members:
        raise DomainError("events_missing", "It names audiences, and no event of theirs.", "/events")
    if others := [one for one in audiences if one.purpose_id != purpose.pk]:
        raise DomainError(
            "purpose_differs", f"“{others[0].name}” is for another purpose than {purpose.key}.", "/audiences"
        )
    mine = set(audiences_heard_by(user).filter(pk__in=[one.pk for one in audiences]).values_list("pk", flat=True))
    if any(one.pk not in mine for one in audiences):
        raise Forbidden(
            "members_not_open",
            "You may not read the members of one of these audiences, or not use its segment outside.",
            "/audiences",
        )

"""Who may see a webhook, and what whoever it belongs to may hear. Asked when one is made, and again while it sends."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet

from cdp.activation.models import Audience
from cdp.rest.models import Scope, key_of
from cdp.webhooks.models import ABOUT_MEMBERS, EventType, HeardAudience, Webhook
from segments.sharing import with_permission


def audiences_readable_by(user: User) -> QuerySet[Audience]:
    """The audiences of segments whose members this user may read; a key also needs the scope."""
    key = key_of(user)
    if key is not None and Scope.AUDIENCES_READ not in key.scopes:
        return Audience.objects.none()
    return Audience.objects.filter(segment__in=with_permission(user, "view_members").order_by().values("pk"))


def audiences_heard_by(user: User) -> QuerySet[Audience]:
    """Those of which another system may be told in this user's name: of segments that they may also use outside."""
    usable = with_permission(user, "activate_segment").order_by().values("pk")
    return audiences_readable_by(user).filter(segment__in=usable)


def may_hear_consent(user: User) -> bool:
    """Whether this user, or the key whose account this is, may read what single people decided."""
    key = key_of(user)
    if key is not None:
        return Scope.CONSENTS_READ in key.scopes
    return user.has_perm("consent.view_consentrecord")


def may_hear_for(user: User, purpose: str) -> bool:
    """Whether this user may read people for the purpose: a key only for those that it was given."""
    key = key_of(user)
    return key is None or key.may_read_for(purpose)


def visible_webhooks(user: User) -> QuerySet[Webhook]:
    """Their own; and, for people, those of others of which they could have made every part."""
    own = Webhook.objects.filter(owner=user)
    if key_of(user) is not None or not user.has_perm("webhooks.view_webhook"):
        return own
    beyond = HeardAudience.objects.filter(webhook=OuterRef("pk")).exclude(
        audience__in=_pks(audiences_readable_by(user))
    )
    others = Q(~Exists(beyond))
    if not may_hear_consent(user):
        others &= ~Q(events__contains=[EventType.CONSENT])
    return Webhook.objects.filter(Q(owner=user) | others)


def may_still_hear(webhook: Webhook) -> bool:
    """Whether whoever the webhook belongs to may read all that it tells."""
    owner = webhook.owner
    key = key_of(owner)
    if not owner.is_active:
        return False
    if key is not None and not (key.is_usable and Scope.WEBHOOKS_WRITE in key.scopes):
        return False
    if not may_hear_for(owner, webhook.purpose.key):
        return False
    if EventType.CONSENT in webhook.events and not may_hear_consent(owner):
        return False
    if not any(one in ABOUT_MEMBERS for one in webhook.events):
        return True
    heard = webhook.heard.values("audience")
    return not Audience.objects.filter(pk__in=heard).exclude(pk__in=_pks(audiences_heard_by(owner))).exists()


def _pks(audiences: QuerySet[Audience]) -> QuerySet[Audience, Any]:
    return audiences.order_by().values("pk")


def keys_of(audiences: Iterable[Audience]) -> list[str]:
    return sorted(one.key for one in audiences)

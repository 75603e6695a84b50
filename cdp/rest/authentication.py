"""Who calls the API: a system by its key, or a person by the session they are logged in with.

What they may do is decided in `cdp.rest.permissions`, and object by object where the objects are.
"""

from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request

from cdp.audit.actors import Actor, ActorKind
from cdp.audit.context import ip_prefix
from cdp.rest.limits import allows
from cdp.rest.models import ApiKey, find_key

LAST_USED_RESOLUTION: Final = timedelta(minutes=1)
LONGEST_KEY: Final = 200


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer cdp_…``. The user is the key's service account, ``request.auth`` the key."""

    def authenticate(self, request: Request) -> tuple[object, ApiKey] | None:
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        key = self._key(secret.strip())
        if not allows(key.networks, request.META.get("REMOTE_ADDR", "")):
            raise PermissionDenied("This API key can't be used from this address.", code="address_not_allowed")
        self._remember_use(key)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    def _key(self, secret: bytes) -> ApiKey:
        # Found by the digest of the whole key through a unique index: how long the look-up takes says nothing of a key
        # that an outsider could use, since he can't choose digests.
        text = secret.decode("ascii", "replace")
        key = None
        if 0 < len(text) <= LONGEST_KEY:
            key = find_key(text)
        if key is None:
            raise AuthenticationFailed("This API key is unknown.", code="api_key_unknown")
        if not key.is_usable or not key.user.is_active:
            raise AuthenticationFailed("This API key was revoked or has expired.", code="api_key_not_usable")
        return key

    @staticmethod
    def _remember_use(key: ApiKey) -> None:
        now = timezone.now()
        if key.last_used_at is None or key.last_used_at <= now - LAST_USED_RESOLUTION:
            # Conditional, so that of many requests at once one writes and the others wait for nothing.
            stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_RESOLUTION)
            ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


def caller(request: Request) -> User:
    """The person, or the service account of the key, that calls. Only behind `HasScope`, which lets nobody else in."""
    user = request.user
    if not isinstance(user, User):
        raise NotAuthenticated
    return user


def actor_of(request: Request | HttpRequest) -> Actor:
    """The caller as the one answerable for what the request does."""
    network = ip_prefix(request.META.get("REMOTE_ADDR"))
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return Actor(kind=ActorKind.API_KEY, id=str(key.pk), label=str(key), ip_prefix=network)
    return Actor(kind=ActorKind.USER, id=str(request.user.pk), label=request.user.get_username(), ip_prefix=network)

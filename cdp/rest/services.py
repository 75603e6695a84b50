"""Making and revoking API keys."""

from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import DomainError, Forbidden
from cdp.rest.models import HANDED_ON_BY, ApiKey, Scope, digest, new_secret


def scopes_of(user: User) -> list[str]:
    """The scopes this user can hand to a key: a key does nothing that its maker may not do."""
    return [scope for scope in Scope.values if user.has_perm(HANDED_ON_BY[scope])]


@transaction.atomic
def create_api_key(
    *, name: str, scopes: Sequence[str], by: Actor, user: User | None = None, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """The key's row and the key itself, which is kept nowhere and can't be shown again.

    Args:
        user: who makes it; nobody where the platform itself does.

    Raises:
        DomainError: no scope, or one there isn't.
        Forbidden: a scope for what its maker may not do.
    """
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown or not scopes:
        raise DomainError(
            "unknown_scope",
            f"scopes must be some of {', '.join(Scope.values)}; received {unknown or 'none'}",
            "/scopes",
        )
    beyond = sorted(set(scopes) - set(scopes_of(user))) if user else []
    if beyond:
        raise Forbidden("scope_beyond_maker", f"You may not hand on {', '.join(beyond)}: your role lacks it.")
    prefix, secret = new_secret()
    account = get_user_model()(username=f"key:{prefix}", first_name=name[:150], is_active=True, is_staff=False)
    account.set_unusable_password()
    account.save()
    key = ApiKey.objects.create(
        name=name,
        prefix=prefix,
        digest=digest(secret),
        scopes=sorted(set(scopes)),
        user=account,
        created_by=user,
        expires_at=expires_at,
    )
    record(by=by, action="api_key.created", object=key, detail={"prefix": prefix, "scopes": key.scopes})
    return key, secret


@transaction.atomic
def revoke_api_key(*, key: ApiKey, by: Actor) -> ApiKey:
    """The key, refused from its next request on. Revoking twice is harmless."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        get_user_model().objects.filter(pk=key.user_id).update(is_active=False)
        record(by=by, action="api_key.revoked", object=key, detail={"prefix": key.prefix})
    return key

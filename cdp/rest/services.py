"""Making, changing, replacing and revoking API keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError, Forbidden
from cdp.rest.limits import lie_within, read_expiry, read_networks, read_purposes
from cdp.rest.models import HANDED_ON_BY, ApiKey, Scope, digest, new_secret

YEAR: Final = timedelta(days=365)
LONGEST_OVERLAP: Final = timedelta(days=30)
LIMITS: Final = ("name", "purposes", "all_purposes", "networks", "expires_at")


def scopes_of(user: User) -> list[str]:
    """The scopes this user can hand to a key: a key does nothing that its maker may not do."""
    return [scope for scope in Scope.values if user.has_perm(HANDED_ON_BY[scope])]


@transaction.atomic
def create_api_key(
    *,
    name: str,
    scopes: Sequence[str],
    by: Actor,
    purposes: Sequence[str] = (),
    all_purposes: bool = False,
    networks: Sequence[str] = (),
    user: User | None = None,
    maker: ApiKey | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """The key's row and the key itself, which is kept nowhere and can't be shown again.

    Args:
        user: who makes it; nobody where the platform itself does.
        maker: the key that makes it, where one does.

    Raises:
        DomainError: no scope, or one there isn't; or a limit that can't be read.
        Forbidden: it could do what its maker may not.
    """
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown or not scopes:
        raise DomainError(
            "unknown_scope",
            f"scopes must be some of {', '.join(Scope.values)}; received {unknown or 'none'}",
            "/scopes",
        )
    key = ApiKey(
        name=name,
        scopes=sorted(set(scopes)),
        purposes=[] if all_purposes else read_purposes(purposes),
        all_purposes=all_purposes,
        networks=read_networks(networks),
        created_by=user,
        expires_at=read_expiry(expires_at),
    )
    demand_within(key, user=user, maker=maker)
    key.prefix, secret = new_secret()
    key.digest = digest(secret)
    account = get_user_model()(username=f"key:{key.prefix}", first_name=name[:150], is_active=True, is_staff=False)
    account.set_unusable_password()
    account.save()
    key.user = account
    key.save()
    detail = {"prefix": key.prefix, "scopes": key.scopes, "limits": _limits(key)}
    record(by=by, action="api_key.created", object=key, detail=detail)
    return key, secret


def demand_within(key: ApiKey, *, user: User | None = None, maker: ApiKey | None = None) -> None:
    """Nothing, if the key may do no more than who makes or changes it.

    Raises:
        Forbidden: it may do more.
    """
    mine = maker.scopes if maker else scopes_of(user) if user and user.pk != key.user_id else Scope.values
    if beyond := sorted(set(key.scopes) - set(mine)):
        whose = "this API key" if maker else "your role"
        raise Forbidden("scope_beyond_maker", f"You may not hand on {', '.join(beyond)}: {whose} lacks it.", "/scopes")
    if maker is None:
        return
    if not maker.all_purposes and (key.all_purposes or set(key.purposes) - set(maker.purposes)):
        said = f"A key hands on no purposes but its own: {', '.join(maker.purposes) or 'it has none'}."
        raise Forbidden("purpose_beyond_maker", said, "/purposes")
    if not lie_within(key.networks, maker.networks):
        said = f"A key hands on no networks but its own: {', '.join(maker.networks)}."
        raise Forbidden("network_beyond_maker", said, "/networks")
    if maker.expires_at is not None and (key.expires_at is None or key.expires_at > maker.expires_at):
        raise Forbidden("expiry_beyond_maker", "A key makes none that outlives itself.", "/expires_at")


@transaction.atomic
def change_api_key(*, key: ApiKey, by: Actor, maker: ApiKey | None = None, **limits: Any) -> ApiKey:
    """The key under other limits. What it may do never changes: for other scopes one makes another key.

    Args:
        maker: the key that changes it, where one does.
        limits: some of `LIMITS`.

    Raises:
        DomainError: a limit can't be read.
        Conflict: it can't be used any more.
        Forbidden: it could do what who changes it may not.
    """
    if unknown := sorted(set(limits) - set(LIMITS)):
        raise TypeError(f"no limits of a key: {unknown}")
    key = ApiKey.objects.select_for_update(of=("self",)).select_related("user").get(pk=key.pk)
    _demand_usable(key)
    before = _limits(key)
    if limits.get("purposes") and "all_purposes" not in limits:
        limits["all_purposes"] = False
    if limits.get("all_purposes"):
        limits["purposes"] = ()
    if "purposes" in limits:
        limits["purposes"] = read_purposes(limits["purposes"])
    if "networks" in limits:
        limits["networks"] = read_networks(limits["networks"])
    if "expires_at" in limits:
        limits["expires_at"] = read_expiry(limits["expires_at"])
    for name, value in limits.items():
        setattr(key, name, value)
    demand_within(key, maker=maker)
    after = _limits(key)
    if changed := [name for name in LIMITS if before[name] != after[name]]:
        key.save(update_fields=changed)
        detail = {
            "prefix": key.prefix,
            "before": {name: before[name] for name in changed},
            "after": {name: after[name] for name in changed},
        }
        record(by=by, action="api_key.changed", object=key, detail=detail)
    return key


@transaction.atomic
def rotate_api_key(
    *,
    key: ApiKey,
    by: Actor,
    overlap: timedelta,
    user: User | None = None,
    maker: ApiKey | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """The key that takes this one's place, with the same scopes, limits and grants, and its secret. Both can be used until
    the overlap is over; then the old one ends.

    Args:
        expires_at: when the new one ends; a year from now where nobody says.

    Raises:
        DomainError: the overlap is negative or too long.
        Conflict: the key can't be used any more, or was replaced already.
        Forbidden: it may do what who replaces it may not; a key replaces itself alone.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        said = f"The old key goes on for 0 to {LONGEST_OVERLAP.days * 24} hours."
        raise DomainError("overlap_out_of_range", said, "/overlap_hours")
    key = ApiKey.objects.select_for_update(of=("self",)).select_related("user").get(pk=key.pk)
    if maker is not None and maker.user_id != key.user_id:
        # What was granted to another key would come into its hands with the secret.
        raise Forbidden("key_not_own", "An API key can take its own place anew, but not that of another.")
    if maker is not None and expires_at is not None and expires_at > timezone.now() + YEAR:
        raise Forbidden("expiry_beyond_maker", "A key that takes its own place anew ends within a year.", "/expires_at")
    _demand_usable(key)
    if ApiKey.objects.filter(replaces=key).exists():
        raise Conflict("key_replaced", f"“{key.name}” was replaced already; replace the newest key.")
    now = timezone.now()
    prefix, secret = new_secret()
    fresh = ApiKey(
        name=key.name,
        prefix=prefix,
        digest=digest(secret),
        scopes=key.scopes,
        purposes=key.purposes,
        all_purposes=key.all_purposes,
        networks=key.networks,
        user=key.user,
        replaces=key,
        created_by=user,
        expires_at=read_expiry(expires_at) or now + YEAR,
    )
    demand_within(fresh, user=user)
    fresh.save()
    ends = now + overlap
    key.expires_at = min(ends, key.expires_at) if key.expires_at else ends
    key.save(update_fields=["expires_at"])
    detail = {"prefix": key.prefix, "replaced_by": prefix, "old_ends_at": key.expires_at.isoformat()}
    record(by=by, action="api_key.rotated", object=key, detail=detail)
    made = {"prefix": prefix, "scopes": fresh.scopes, "limits": _limits(fresh), "replaces": key.prefix}
    record(by=by, action="api_key.created", object=fresh, detail=made)
    return fresh, secret


@transaction.atomic
def revoke_api_key(*, key: ApiKey, by: Actor) -> ApiKey:
    """The key, refused from its next request on. Revoking twice is harmless."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        unexpired = Q(expires_at=None) | Q(expires_at__gt=key.revoked_at)
        if not ApiKey.objects.filter(unexpired, user=key.user_id, revoked_at=None).exists():
            get_user_model().objects.filter(pk=key.user_id).update(is_active=False)
        record(by=by, action="api_key.revoked", object=key, detail={"prefix": key.prefix})
    return key


def _demand_usable(key: ApiKey) -> None:
    if not key.is_usable:
        raise Conflict("key_ended", f"“{key.name}” was revoked or has expired.")


def _limits(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "purposes": list(key.purposes),
        "all_purposes": key.all_purposes,
        "networks": list(key.networks),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }

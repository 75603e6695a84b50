"""What the page "Who may see it" of a segment shows, and what its form asks for.

Granting and taking back is in `segments.sharing`; the page's addresses are in `segments.admin`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from cdp.audit.admin_base import reader_of
from cdp.errors import DomainError
from cdp.rest.models import ApiKey, Scope, key_of
from segments.models import Segment
from segments.sharing import SHAREABLE, Share, may, roles_with_rights, shares_of

RIGHTS = {
    "view_segment": "See it",
    "change_segment": "Change and share it",
    "refresh_segment": "Refresh it",
    "view_members": "Read its members",
    "edit_members": "Add and remove members by hand",
    "delete_segment": "Delete it",
}
# A key needs the scope as well; a right alone opens nothing for it.
SCOPES = {
    "view_segment": Scope.SEGMENTS_READ,
    "change_segment": Scope.SEGMENTS_WRITE,
    "refresh_segment": Scope.SEGMENTS_WRITE,
    "view_members": Scope.MEMBERS_READ,
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One share as shown."""

    user: User
    name: str
    key: ApiKey | None
    rights: str
    lacking: list[str]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One right on the form."""

    codename: str
    label: str
    is_chosen: bool


def in_words(codenames: Iterable[str]) -> str:
    """Rights as a reader takes them in: "See it, refresh it"."""
    return ", ".join(RIGHTS[codename] for codename in codenames).capitalize()


def called(user: User) -> str:
    key = key_of(user)
    return key.name if key else user.get_full_name() or user.get_username()


def candidates() -> tuple[list[User], list[User]]:
    """Whom one can share with: people who may log in, and keys that can be used."""
    active = User.objects.filter(is_active=True).prefetch_related("api_keys")
    people = active.filter(is_staff=True, is_superuser=False, api_keys=None)
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    keys = active.filter(pk__in=ApiKey.objects.filter(unexpired, revoked_at=None).values("user"))
    return sorted(people, key=lambda user: called(user).lower()), sorted(keys, key=lambda user: called(user).lower())


def grantable(user: User, segment: Segment) -> list[str]:
    """The rights this user can pass on: only those they have themselves."""
    return [codename for codename in SHAREABLE if may(user, codename, segment)]


def beyond(request: HttpRequest, segment: Segment, user: User) -> str:
    """The rights granted to the user that this reader can't pass on, and so can't take back; "" without any."""
    offered = set(grantable(reader_of(request), segment))
    held = {codename for share in shares_of(segment) if share.user == user for codename in share.permissions}
    return ", ".join(RIGHTS[codename].lower() for codename in SHAREABLE if codename in held - offered)


def page(request: HttpRequest, segment: Segment, *, error: DomainError | None = None) -> dict[str, Any]:
    """The shares, the roles that see it anyway, and the form; filled for whom the address names."""
    shares = shares_of(segment)
    people, keys = candidates()
    given = request.POST if request.method == "POST" else request.GET
    who = given.get("who", "")
    if request.method == "POST":
        chosen = set(request.POST.getlist("may"))
    else:
        chosen = {codename for share in shares if str(share.user.pk) == who for codename in share.permissions}
    offered = grantable(reader_of(request), segment)
    return {
        "rows": [_row(share) for share in shares],
        "roles": [(role, in_words(role.permissions)) for role in roles_with_rights()],
        "people": [(str(user.pk), called(user)) for user in people],
        "keys": [(str(user.pk), called(user)) for user in keys],
        "choices": [
            Choice(codename=codename, label=label, is_chosen=codename in chosen)
            for codename, label in RIGHTS.items()
            if codename in offered and codename != "view_segment"
        ],
        "who": who,
        "changed": next((_row(share).name for share in shares if str(share.user.pk) == who), ""),
        "error": error,
    }


def wanted(request: HttpRequest, segment: Segment) -> tuple[User, set[str]]:
    """Whom to share with and for what; rights that this reader can't pass on stay as they were.

    Raises:
        DomainError: nobody was chosen, or somebody one can't share with.
    """
    who = request.POST.get("who", "")
    user = next((user for some in candidates() for user in some if str(user.pk) == who), None)
    if user is None:
        raise DomainError("user_unknown", "Choose a person or an API key.", "/who")
    offered = set(grantable(reader_of(request), segment))
    held = {codename for share in shares_of(segment) if share.user == user for codename in share.permissions}
    return user, (set(request.POST.getlist("may")) & offered) | (held - offered)


def _row(share: Share) -> Row:
    key = key_of(share.user)
    lacking = {SCOPES[codename].value for codename in share.permissions if codename in SCOPES} - set(
        key.scopes if key else Scope.values
    )
    return Row(
        user=share.user,
        name=called(share.user),
        key=key,
        rights=in_words(share.permissions),
        lacking=sorted(lacking),
    )

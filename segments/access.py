"""What the page "Who may see it" of a segment shows, and what its form asks for.

Granting and taking back is in `segments.sharing`; the page's addresses are in `segments.admin`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from cdp.audit.admin_base import reader_of
from cdp.errors import DomainError
from cdp.rest.models import ApiKey, key_of
from segments.models import Segment
from segments.sharing import SCOPES_OF_RIGHTS, SHAREABLE, Share, grantable, held_by, roles_with_rights, shares_of

RIGHTS = {
    "view_segment": "See it",
    "change_segment": "Change and share it",
    "refresh_segment": "Refresh it",
    "view_members": "Read its members",
    "edit_members": "Add and remove members by hand",
    "activate_segment": "Use it for audiences and webhooks",
    "export_members": "Take its members out as a file",
    "delete_segment": "Delete it",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One share as shown."""

    who: str
    user: User | None
    group: Group | None
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


def called(holder: User | Group) -> str:
    if isinstance(holder, Group):
        return holder.name
    key = key_of(holder)
    return key.name if key else holder.get_full_name() or holder.get_username()


def who_of(holder: User | Group) -> str:
    """How the form names them: people and keys by number, groups as such."""
    return f"group-{holder.pk}" if isinstance(holder, Group) else str(holder.pk)


def candidates() -> tuple[list[User], list[User]]:
    """Whom one can share with: people who may log in, and keys that can be used."""
    active = User.objects.filter(is_active=True).prefetch_related("api_keys")
    people = active.filter(is_staff=True, is_superuser=False, api_keys=None)
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    keys = active.filter(pk__in=ApiKey.objects.filter(unexpired, revoked_at=None).values("user"))
    return sorted(people, key=lambda user: called(user).lower()), sorted(keys, key=lambda user: called(user).lower())


def beyond(request: HttpRequest, segment: Segment, holder: User | Group) -> str:
    """The rights granted to them that this reader can't pass on, and so can't take back; "" without any."""
    offered = set(grantable(reader_of(request), segment))
    held = held_by(holder, segment)
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
        chosen = {codename for share in shares if who_of(share.holder) == who for codename in share.permissions}
    offered = grantable(reader_of(request), segment)
    return {
        "rows": [_row(share) for share in shares],
        "roles": [(role, in_words(role.permissions)) for role in roles_with_rights()],
        "people": [(str(user.pk), called(user)) for user in people],
        "keys": [(str(user.pk), called(user)) for user in keys],
        "groups": [(who_of(group), group.name) for group in Group.objects.order_by("name")],
        "choices": [
            Choice(codename=codename, label=label, is_chosen=codename in chosen)
            for codename, label in RIGHTS.items()
            if codename in offered and codename != "view_segment"
        ],
        "who": who,
        "changed": next((_row(share).name for share in shares if who_of(share.holder) == who), ""),
        "error": error,
    }


def wanted(request: HttpRequest, segment: Segment) -> tuple[User | Group, set[str]]:
    """Whom to share with and for what; rights that this reader can't pass on stay as they were.

    Raises:
        DomainError: nobody was chosen, or somebody one can't share with.
    """
    who = request.POST.get("who", "")
    everybody: list[User | Group] = [user for some in candidates() for user in some]
    holder = next((one for one in [*everybody, *Group.objects.all()] if who_of(one) == who), None)
    if holder is None:
        raise DomainError("user_unknown", "Choose a person, an API key or a group.", "/who")
    offered = set(grantable(reader_of(request), segment))
    return holder, (set(request.POST.getlist("may")) & offered) | (held_by(holder, segment) - offered)


def _row(share: Share) -> Row:
    key = key_of(share.user)
    needed = {SCOPES_OF_RIGHTS[codename].value for codename in share.permissions}
    return Row(
        who=who_of(share.holder),
        user=share.user,
        group=share.group,
        name=called(share.holder),
        key=key,
        rights=in_words(share.permissions),
        lacking=sorted(needed - set(key.scopes)) if key else [],
    )

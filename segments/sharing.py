"""Which segments somebody may see, change or read the members of, as django-guardian says; and sharing one.

Object permissions are granted to people and to the service accounts of API keys alike.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from guardian.shortcuts import assign_perm, get_objects_for_user, remove_perm

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import DomainError
from segments.catalogue import catalog
from segments.models import Segment
from segments.rules import Catalog, Rule, load

OWNERS_MAY = ("view_segment", "change_segment", "refresh_segment", "view_members")
SHAREABLE = (*OWNERS_MAY, "delete_segment")


def visible_segments(user: AbstractBaseUser) -> QuerySet[Segment]:
    """The segments this user may see, by a role that sees all or by a grant on each."""
    return with_permission(user, "view_segment")


def with_permission(user: AbstractBaseUser, codename: str) -> QuerySet[Segment]:
    """The segments on which this user has the permission."""
    found: QuerySet[Segment] = get_objects_for_user(
        user, f"segments.{codename}", klass=Segment, accept_global_perms=True
    )
    return found


def may(user: AbstractBaseUser, codename: str, segment: Segment) -> bool:
    """Whether a role or a grant on this segment allows it."""
    return bool(user.has_perm(f"segments.{codename}") or user.has_perm(f"segments.{codename}", segment))  # type: ignore[attr-defined]


def catalog_visible_to(user: AbstractBaseUser) -> Catalog:
    """What this user's rules may speak about: segments that he may not see don't exist for them."""
    known = catalog()
    keys = set(visible_segments(user).values_list("key", flat=True))
    return replace(known, segments={key: info for key, info in known.segments.items() if key in keys})


def load_for(user: AbstractBaseUser, document: Any) -> Rule:
    """The rule, fit to run and to be written by this user.

    Raises:
        RuleErrors: all that is wrong with it; a segment he may not see is unknown to it.
    """
    return load(document, catalog_visible_to(user))


@transaction.atomic
def share_segment(
    *, segment: Segment, user: AbstractBaseUser, by: Actor, permissions: Iterable[str] = OWNERS_MAY
) -> None:
    """Lets the user do this with the segment; what he could do before he still can.

    Raises:
        DomainError: there is no such permission.
    """
    wanted = _known(permissions)
    for codename in wanted:
        assign_perm(f"segments.{codename}", user, segment)
    record(by=by, action="segment.shared", object=segment, detail={"user": user.pk, "permissions": wanted})


@transaction.atomic
def unshare_segment(
    *, segment: Segment, user: AbstractBaseUser, by: Actor, permissions: Iterable[str] = SHAREABLE
) -> None:
    """Takes back what was granted on this segment. What the user's role allows he can still do."""
    wanted = _known(permissions)
    for codename in wanted:
        remove_perm(f"segments.{codename}", user, segment)
    record(by=by, action="segment.unshared", object=segment, detail={"user": user.pk, "permissions": wanted})


def _known(permissions: Iterable[str]) -> list[str]:
    wanted = sorted(set(permissions))
    unknown = [codename for codename in wanted if codename not in SHAREABLE]
    if unknown:
        raise DomainError(
            "unknown_permission", f"A segment is shared for {', '.join(SHAREABLE)}; received {unknown[0]!r}."
        )
    return wanted

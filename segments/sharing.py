"""Which segments somebody may see, change or read the members of, as django-guardian says; and sharing one.

Object permissions are granted to people and to the service accounts of API keys alike. The screen is `segments.access`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, Group, User
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from guardian.shortcuts import assign_perm, get_objects_for_user, remove_perm

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.jobs.models import Job
from cdp.rest.models import ApiKey, Scope, key_of
from segments.catalogue import catalog
from segments.models import Segment, SegmentUserPermission, StaticList
from segments.personal import personal_conditions, personal_traits
from segments.rules import Catalog, Rule, RuleErrors, load
from segments.templates import TEMPLATES, Offer, offer

OWNERS_MAY = ("view_segment", "change_segment", "refresh_segment", "view_members", "edit_members", "activate_segment")
# What takes people out of the platform is nobody's by having made a segment.
SHAREABLE = (*OWNERS_MAY, "export_members", "delete_segment")
# A key needs the scope as well; a right alone opens nothing for it.
SCOPES_OF_RIGHTS = {
    "view_segment": Scope.SEGMENTS_READ,
    "change_segment": Scope.SEGMENTS_WRITE,
    "refresh_segment": Scope.SEGMENTS_WRITE,
    "view_members": Scope.MEMBERS_READ,
    "edit_members": Scope.SEGMENTS_WRITE,
    "activate_segment": Scope.AUDIENCES_WRITE,
    "export_members": Scope.MEMBERS_READ,
    "delete_segment": Scope.SEGMENTS_WRITE,
}


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one user, the service account of one line of API keys, or one group was granted on one segment; in the order of
    SHAREABLE."""

    user: User | None = None
    group: Group | None = None
    permissions: list[str]

    @property
    def holder(self) -> User | Group:
        """Whoever it is."""
        held = self.user or self.group
        assert held is not None
        return held


@dataclass(frozen=True, kw_only=True)
class RoleRights:
    """What a role allows on every segment, and how many people have it."""

    name: str
    permissions: list[str]
    people: int


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


def visible_lists(user: AbstractBaseUser) -> QuerySet[StaticList]:
    """The lists this user may see: everybody's by role, and those of who was added to a segment they see, or removed, by hand."""
    role = user.has_perm("segments.view_staticlist")  # type: ignore[attr-defined]
    own = Q(segment__in=visible_segments(user).order_by().values("pk"))
    return StaticList.objects.filter(own | Q(segment=None) if role else own)


def lists_in_rules(user: AbstractBaseUser) -> QuerySet[StaticList]:
    """The lists that this user's rules may name, as in `catalog_visible_to`: everybody's, and those of segments they see."""
    return StaticList.objects.filter(Q(segment=None) | Q(segment__in=visible_segments(user).order_by().values("pk")))


def may_change_list(user: AbstractBaseUser, static_list: StaticList) -> bool:
    """Whether a role allows to change who is on the list; of a segment's own, a grant on that segment does, too."""
    if static_list.segment is not None:
        return may(user, "edit_members", static_list.segment)
    return bool(user.has_perm("segments.change_staticlist"))  # type: ignore[attr-defined]


def names_of_refreshes(user: User, jobs: Sequence[Job]) -> dict[int, str]:
    """The names of the segments these jobs refresh, by job; without those this user may not see."""
    keys = {job.pk: job.params.get("segment") for job in jobs}
    names = dict(visible_segments(user).filter(pk__in=set(keys.values()) - {None}).values_list("pk", "name"))
    return {job: names[segment] for job, segment in keys.items() if segment in names}


def sees_segments(user: AbstractBaseUser) -> bool:
    """Whether there is anything for this user on the screens of segments: by role, or because one was shared."""
    return bool(user.has_perm("segments.view_segment")) or visible_segments(user).exists()  # type: ignore[attr-defined]


def shares_of(segment: Segment) -> list[Share]:
    """Everybody this segment was shared with: people, then keys, then groups, by name."""
    granted: dict[User, list[str]] = {}
    of_users = segment.user_grants.select_related("user", "permission").prefetch_related("user__api_keys")
    for grant in of_users:
        granted.setdefault(grant.user, []).append(grant.permission.codename)
    of_groups: dict[Group, list[str]] = {}
    for found in segment.group_grants.select_related("group", "permission"):
        of_groups.setdefault(found.group, []).append(found.permission.codename)
    users = [Share(user=user, permissions=_in_order(codenames)) for user, codenames in granted.items()]
    groups = [Share(group=group, permissions=_in_order(codenames)) for group, codenames in of_groups.items()]
    return [
        *sorted(users, key=lambda share: (key_of(share.user) is not None, _name(share).lower())),
        *sorted(groups, key=lambda share: _name(share).lower()),
    ]


def _name(share: Share) -> str:
    return share.user.get_full_name() if share.user else share.group.name if share.group else ""


def shared_counts(users: Iterable[AbstractBaseUser]) -> dict[int, int]:
    """How many segments were shared with each of these users, by primary key; without those that have none."""
    grants = SegmentUserPermission.objects.filter(user__in=list(users), permission__codename="view_segment")
    return dict(grants.order_by().values_list("user").annotate(Count("pk")))


def roles_with_rights() -> list[RoleRights]:
    """The roles that allow something on every segment, whoever it is shared with."""
    mine = Q(permissions__content_type__app_label="segments", permissions__codename__in=SHAREABLE)
    people = dict(
        Group.objects.filter(user__is_active=True).order_by().values_list("pk").annotate(Count("user", distinct=True))
    )
    rights: dict[tuple[int, str], set[str]] = {}
    for pk, name, codename in (
        Group.objects.filter(mine).order_by("name").values_list("pk", "name", "permissions__codename")
    ):
        rights.setdefault((pk, name), set()).add(codename)
    return [
        RoleRights(name=name, permissions=_in_order(codenames), people=people.get(pk, 0))
        for (pk, name), codenames in rights.items()
    ]


def catalog_visible_to(user: AbstractBaseUser) -> Catalog:
    """What this user's rules may speak about: segments that he may not see don't exist for them,
    nor do the lists of who was added to them or removed from them by hand."""
    known = catalog()
    keys = set(visible_segments(user).values_list("key", flat=True))
    return replace(
        known,
        segments={key: info for key, info in known.segments.items() if key in keys},
        lists={key: info for key, info in known.lists.items() if info.of is None or info.of in keys},
    )


def load_for(user: AbstractBaseUser, document: Any, known: Catalog | None = None) -> Rule:
    """The rule, fit to run and to be written by this user.

    Whoever counts people by any rule can find out what one person's data is. So conditions on personal data are for
    those who may read people anyway.

    Args:
        known: what this user's rules may speak about, where it has been read just now.

    Raises:
        RuleErrors: all that is wrong with it; a segment he may not see is unknown to it.
    """
    rule = load(document, known or catalog_visible_to(user))
    if not reads_people(user) and (found := personal_conditions(document)):
        raise RuleErrors(found)
    return rule


def templates_for(user: AbstractBaseUser) -> list[Offer]:
    """The ready rules, each with what keeps this user from using it: what was never seen, or a right that they lack."""
    known = catalog_visible_to(user)
    if reads_people(user):
        return [offer(one, known) for one in TEMPLATES]
    personal = personal_traits()
    return [offer(one, known, personal_conditions(one.document, personal)) for one in TEMPLATES]


def reads_people(user: AbstractBaseUser) -> bool:
    """Whether this person by role, or the key whose account this is by scope, may look people up."""
    key = key_of(user)
    if key is not None:
        return Scope.PROFILES_READ in key.scopes
    return bool(user.has_perm("profiles.view_profile"))  # type: ignore[attr-defined]


@transaction.atomic
def share_segment(
    *, segment: Segment, user: AbstractBaseUser | Group, by: Actor, permissions: Iterable[str] = OWNERS_MAY
) -> None:
    """Lets the user, or the group, do this with the segment; what they could do before they still can.

    Raises:
        DomainError: there is no such permission.
    """
    wanted = _known(permissions)
    for codename in wanted:
        assign_perm(f"segments.{codename}", user, segment)
    record(by=by, action="segment.shared", object=segment, detail={**_named(user), "permissions": wanted})


@transaction.atomic
def change_share(*, segment: Segment, user: AbstractBaseUser | Group, by: Actor, permissions: Iterable[str]) -> None:
    """The user, or the group, may do exactly this with the segment, as far as grants go. Seeing it comes with every right.

    Raises:
        DomainError: there is no such permission.
    """
    wanted = {"view_segment", *_known(permissions)}
    # Two changes at once would each take back what the other grants.
    Segment.objects.select_for_update(of=("self",)).get(pk=segment.pk)
    held = held_by(user, segment)
    if granted := wanted - held:
        share_segment(segment=segment, user=user, by=by, permissions=granted)
    if taken := held - wanted:
        unshare_segment(segment=segment, user=user, by=by, permissions=taken)


@transaction.atomic
def unshare_segment(
    *, segment: Segment, user: AbstractBaseUser | Group, by: Actor, permissions: Iterable[str] = SHAREABLE
) -> None:
    """Takes back what was granted on this segment. What the user's role allows they can still do."""
    wanted = _known(permissions)
    for codename in wanted:
        remove_perm(f"segments.{codename}", user, segment)
    record(by=by, action="segment.unshared", object=segment, detail={**_named(user), "permissions": wanted})


def held_by(holder: AbstractBaseUser | Group, segment: Segment) -> set[str]:
    """What this user, or this group, was granted on the segment; what comes by roles or other groups isn't in it."""
    if isinstance(holder, Group):
        return set(segment.group_grants.filter(group=holder).values_list("permission__codename", flat=True))
    return set(segment.user_grants.filter(user=holder.pk).values_list("permission__codename", flat=True))


def grantable(user: AbstractBaseUser, segment: Segment, key: ApiKey | None = None) -> list[str]:
    """The rights this user can pass on: only those they have themselves; a key, which its scopes open."""
    scopes = SCOPES_OF_RIGHTS if key is not None else {}
    held = key.scopes if key is not None else ()
    return [
        codename
        for codename in SHAREABLE
        if may(user, codename, segment) and (codename not in scopes or scopes[codename] in held)
    ]


def _named(holder: AbstractBaseUser | Group) -> dict[str, Any]:
    if isinstance(holder, Group):
        return {"group": holder.pk, "name": holder.name}
    return {"user": holder.pk, "name": holder.get_username()}


def _in_order(codenames: Iterable[str]) -> list[str]:
    return sorted(codenames, key=SHAREABLE.index)


def _known(permissions: Iterable[str]) -> list[str]:
    wanted = sorted(set(permissions))
    unknown = [codename for codename in wanted if codename not in SHAREABLE]
    if unknown:
        raise DomainError(
            "unknown_permission", f"A segment is shared for {', '.join(SHAREABLE)}; received {unknown[0]!r}."
        )
    return wanted

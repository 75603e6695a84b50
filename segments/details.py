"""What may stand in a segment's details: its name, its pace, tags, a folder, an owner, what it is meant for.

Each check gives what is to be kept, or refuses it at its field; `segments.services` writes it.
"""

from collections.abc import Iterable
from typing import Final

from django.contrib.auth.models import Permission, User
from django.db.models import Q, QuerySet

from cdp.errors import DomainError
from consent.models import Purpose
from consent.querysets import purposes_for_lists
from segments.models import Cadence, Segment, SegmentGroupPermission, SegmentUserPermission

LONGEST_NAME: Final = 150
MOST_TAGS: Final = 20
LONGEST_TAG: Final = 40
LONGEST_FOLDER: Final = 100


def name_of(given: str) -> str:
    """The name without space around it, as long as one may be.

    Raises:
        DomainError: there is none.
    """
    if not (name := given.strip()):
        raise DomainError("name_missing", "A segment needs a name.", "/name")
    return name[:LONGEST_NAME]


def refuse_pace(cadence: str, refresh_minutes: int, daily_hour: int) -> None:
    """
    Raises:
        DomainError: there is no such pace.
    """
    if cadence not in Cadence.values:
        raise DomainError("cadence_unknown", f"A cadence is one of {', '.join(Cadence.values)}.", "/cadence")
    if refresh_minutes < 1:
        raise DomainError(
            "refresh_minutes_invalid", "Refresh every so many whole minutes, at least 1.", "/refresh_minutes"
        )
    if not 0 <= daily_hour <= 23:
        raise DomainError("daily_hour_invalid", "An hour of the day is 0 to 23.", "/daily_hour")


def tags_of(given: Iterable[str]) -> list[str]:
    """The tags in small letters, each once, in order: "Spring Sale" and "spring  sale" are one.

    Raises:
        DomainError: too many, one too long, or one with a comma, which parts tags where they are typed.
    """
    tags = sorted({" ".join(tag.split()).casefold() for tag in given} - {""})
    if len(tags) > MOST_TAGS:
        raise DomainError("tags_too_many", f"A segment has {MOST_TAGS} tags at most; received {len(tags)}.", "/tags")
    for tag in tags:
        if len(tag) > LONGEST_TAG or "," in tag or not tag.isprintable():
            said = f"A tag has {LONGEST_TAG} characters at most, and no comma."
            raise DomainError("tag_malformed", said, "/tags")
    return tags


def folder_of(given: str) -> str:
    """The folder's name without needless space; "" for none.

    Raises:
        DomainError: too long.
    """
    folder = " ".join(given.split())
    if len(folder) > LONGEST_FOLDER or not folder.isprintable():
        raise DomainError("folder_malformed", f"A folder's name has {LONGEST_FOLDER} characters at most.", "/folder")
    return folder


def purposes_of(keys: Iterable[str]) -> list[Purpose]:
    """The purposes by these keys, by label.

    Raises:
        DomainError: there is none by one of them, or it isn't for lists of people.
    """
    wanted = set(keys)
    known = {one.key: one for one in purposes_for_lists()} if wanted else {}
    if unknown := wanted - known.keys():
        said = f"purposes are of {', '.join(sorted(known))}; received {len(unknown)} that can't be chosen."
        raise DomainError("purpose_unknown", said, "/purposes")
    return sorted((known[key] for key in wanted), key=lambda one: one.label)


def possible_owners(segment: Segment) -> QuerySet[User]:
    """People who may log in and see the segment, by name."""
    sees = Q(content_type__app_label="segments", codename="view_segment")
    granted = SegmentUserPermission.objects.filter(content_object=segment, permission__codename="view_segment")
    to_groups = SegmentGroupPermission.objects.filter(content_object=segment, permission__codename="view_segment")
    by_role = Q(groups__permissions__in=_permissions(sees)) | Q(user_permissions__in=_permissions(sees))
    shared = Q(pk__in=granted.values("user")) | Q(groups__in=to_groups.values("group"))
    may_see = Q(is_superuser=True) | by_role | shared
    return (
        User.objects.filter(may_see, is_active=True, is_staff=True)
        .distinct()
        .order_by("last_name", "first_name", "username")
    )


def _permissions(which: Q) -> QuerySet[Permission]:
    return Permission.objects.filter(which)


def refuse_owner(segment: Segment, user: User) -> None:
    """
    Raises:
        DomainError: they may not see the segment, or not log in. To own it gives no right by itself, so they are given one first.
    """
    if not possible_owners(segment).filter(pk=user.pk).exists():
        said = "This owner may not see the segment. Share it with them first, under “Who may see it”."
        raise DomainError("owner_may_not_see", said, "/owner")


def owner_called(segment: Segment, username: str) -> User:
    """Who has this username, if they can own the segment.

    Raises:
        DomainError: nobody has it, or they may not see the segment: the same, so that nobody's name is found out.
    """
    user = possible_owners(segment).filter(username=username).first()
    if user is None:
        raise DomainError("owner_may_not_see", "Nobody of this name may see the segment.", "/owner")
    return user

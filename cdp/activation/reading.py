"""Reading audiences: members as of a position, and changes after one, each judged once more by what people permit now."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Max, QuerySet

from cdp.activation.keeping import belonging, checksum_of
from cdp.activation.models import Audience, AudienceChange, AudienceMember, Keeper, Kind
from cdp.errors import DomainError
from cdp.profiles.models import Profile
from consent.querysets import permitted
from segments.sharing import visible_segments, with_permission

WITHHELD: Final = "withheld"
MOST_CHANGES: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A change as a reader gets it. ``kind`` is entered, exited or withheld; of who is withheld nothing is told: they left
    again later in the feed, and don't permit the purpose now."""

    position: int
    audience: str
    kind: str
    profile: UUID | None
    why: str | None
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Changes in order; ``cursor`` is where the next page begins."""

    changes: list[Told]
    cursor: int
    has_more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What somebody who followed the changes up to ``position`` has: how many members, and the checksum of them as 16 hex digits."""

    position: int
    size: int
    checksum: str


def visible_audiences(user: User) -> QuerySet[Audience]:
    """The audiences of segments that this user may see."""
    segments = visible_segments(user).order_by().values("pk")
    return Audience.objects.filter(segment__in=segments).select_related("segment", "purpose")


def readable_audiences(user: User) -> QuerySet[Audience]:
    """The audiences of segments whose members this user may read."""
    segments = with_permission(user, "view_members").order_by().values("pk")
    return visible_audiences(user).filter(segment__in=segments)


def hex_of(checksum: int) -> str:
    return f"{checksum & (1 << 64) - 1:016x}"


def members_at(audience: Audience, position: int, *, after: int = 0) -> QuerySet[AudienceMember]:
    """Who was in at this position, is in still, and permits the purpose now; only of profile numbers past ``after``.

    With the changes after the position applied, whoever read all pages has exactly the members: who left meanwhile is missing
    already, and their exit finds nobody.
    """
    who = permitted(Profile.objects.filter(pk__gt=after).order_by(), audience.purpose)
    return AudienceMember.objects.filter(
        audience=audience, profile_id__gt=after, position__lte=position, profile_id__in=who.values("pk")
    )


def changes_after(audiences: Collection[Audience], cursor: int, *, limit: int, is_of_all: bool = False) -> Page:
    """The next changes of these audiences.

    Args:
        is_of_all: the cursor is one of the feed across audiences.

    Raises:
        DomainError: status 410, what comes after this cursor can't be told any more, or it is none of this feed.
    """
    keeper = Keeper.objects.get(pk=1)
    kept_after = keeper.kept_after if is_of_all else max((one.kept_after for one in audiences), default=0)
    refuse_lost(cursor, kept_after=kept_after, numbered=keeper.numbered)
    by_id = {one.pk: one for one in audiences}
    changes = AudienceChange.objects.filter(audience__in=list(by_id), position__gt=cursor).order_by("position")
    rows = list(changes[: limit + 1])
    page = rows[:limit]
    allowed = _still_in(page, by_id)
    # An entry is withheld only if their exit is in the feed already. Else whoever was told nothing of it would miss them should they
    # permit it again before anybody has judged them; so the page ends before it, for the moment until somebody has.
    exits = _exits([one for one in page if one.kind == Kind.ENTERED and one.position not in allowed])
    for place, one in enumerate(page):
        is_told = one.kind == Kind.EXITED or one.position in allowed
        if not is_told and exits.get((one.audience_id, one.profile_id), 0) < one.position:
            rows = page = page[:place]
            break
    return Page(
        changes=[
            _told(one, by_id[one.audience_id], is_told=one.kind != Kind.ENTERED or one.position in allowed)
            for one in page
        ],
        cursor=page[-1].position if page else cursor,
        has_more=len(rows) > limit,
    )


def refuse_lost(cursor: int, *, kept_after: int, numbered: int) -> None:
    """
    Raises:
        DomainError: nothing can be followed from this cursor.
    """
    if cursor < kept_after:
        message = "Changes after this cursor are no longer kept. Read the members anew, and follow from their position."
    elif cursor > numbered:
        message = "No change has this number yet: the platform was set back. Read the members anew, and follow from their position."
    else:
        return
    raise DomainError("cursor_gone", message, "/cursor", status=410)


def _still_in(changes: Iterable[AudienceChange], by_id: Mapping[int, Audience]) -> set[int]:
    """The positions of entries whose people belong to their audience now."""
    entered: dict[int, list[AudienceChange]] = {}
    for one in changes:
        if one.kind == Kind.ENTERED:
            entered.setdefault(one.audience_id, []).append(one)
    positions = set[int]()
    for audience_id, of_one in entered.items():
        people = {one.profile_id for one in of_one}
        found = set(belonging(by_id[audience_id], people).values_list("pk", flat=True))
        positions |= {one.position for one in of_one if one.profile_id in found}
    return positions


def _exits(entries: Sequence[AudienceChange]) -> dict[tuple[int, int], int]:
    """The position of the last exit, by audience and person, of those who have one."""
    if not entries:
        return {}
    left = AudienceChange.objects.filter(
        audience__in={one.audience_id for one in entries},
        profile_id__in={one.profile_id for one in entries},
        kind=Kind.EXITED,
    )
    found = left.order_by().values_list("audience_id", "profile_id").annotate(Max("position"))
    return {(audience_id, profile_id): position for audience_id, profile_id, position in found}


def _told(change: AudienceChange, audience: Audience, *, is_told: bool) -> Told:
    return Told(
        position=change.position,
        audience=audience.key,
        kind=change.kind if is_told else WITHHELD,
        profile=change.profile_uuid if is_told else None,
        why=change.why if is_told else None,
        effective_at=change.effective_at,
        recorded_at=change.recorded_at,
    )


def newest_position(audiences: Iterable[Audience]) -> int:
    """The position of the newest change of these audiences; 0 without any."""
    newest = Audience.objects.filter(pk__in=[one.pk for one in audiences]).order_by("-position")
    return newest.values_list("position", flat=True).first() or 0


def check_at(audience: Audience, cursor: int | None) -> Check:
    """Size and checksum of the members after all changes up to the cursor; of the newest without one.

    Raises:
        DomainError: status 410, as `changes_after`.
    """
    if cursor is None:
        return Check(position=audience.position, size=audience.size, checksum=hex_of(audience.checksum))
    refuse_lost(cursor, kept_after=audience.kept_after, numbered=Keeper.objects.get(pk=1).numbered)
    last = AudienceChange.objects.filter(audience=audience, position__lte=cursor).order_by("-position").first()
    if last is not None:
        return Check(position=cursor, size=last.size, checksum=hex_of(last.checksum))
    if audience.kept_after == 0:
        return Check(position=cursor, size=0, checksum=hex_of(0))
    after = AudienceChange.objects.filter(audience=audience, position__gt=cursor).order_by("position").first()
    if after is None:
        return Check(position=cursor, size=audience.size, checksum=hex_of(audience.checksum))
    return _before(after, cursor)


def _before(change: AudienceChange, cursor: int) -> Check:
    """The same, told from the change that came next: the one before it is no longer kept."""
    size = change.size - (1 if change.kind == Kind.ENTERED else -1)
    return Check(position=cursor, size=size, checksum=hex_of(change.checksum ^ checksum_of(change.profile_uuid)))

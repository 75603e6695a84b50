"""Adding people to a segment and removing them by hand, each with a reason; and taking either back.

Whoever was added belongs whatever the rule says, whoever was removed doesn't. How the rule carries that is in
`segments.carrying`; who may do it, in `segments.sharing`.
"""

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record, record_all
from cdp.errors import Conflict, DomainError
from cdp.profiles.models import Profile
from cdp.vault.services import Item, seal
from segments.carrying import HandLists, carried, hand_lists
from segments.lists import add_people, remove_people, storable
from segments.live import rules_lock
from segments.models import ByHand, ListEntry, Segment, SegmentStatus, SegmentVersion, StaticList
from segments.services import key_for, publish

LONGEST_REASON: Final = 200
DONE: Final = {ByHand.INCLUDE: "segment.person_added", ByHand.EXCLUDE: "segment.person_removed"}


def put_by_hand(
    *, segment: Segment, profile: Profile, kind: ByHand, reason: str, by: Actor, user: User | None = None
) -> bool:
    """Whether anything changed; as `put_many_by_hand`, of one person."""
    changed = put_many_by_hand(segment=segment, profile_ids=[profile.pk], kind=kind, reason=reason, by=by, user=user)
    return bool(changed)


def put_many_by_hand(
    *,
    segment: Segment,
    profile_ids: Collection[int],
    kind: ByHand,
    reason: str,
    by: Actor,
    user: User | None = None,
) -> int:
    """For how many of them anything changed: the people belong from now on (or don't), whatever the rule says.

    Who was removed and is added now is no longer removed, and the other way round. The evaluator follows at once. The reason
    is kept with each entry, and in the audit log sealed under each person's own key, so that both end with the person.

    Raises:
        DomainError: no reason, or one that is too long or can't be kept.
        Conflict: the segment isn't live.
        RuleErrors: the live rule can't carry the lists; it no longer fits the catalogue, say.
    """
    reason = reason.strip()
    if not reason:
        raise DomainError("reason_missing", "Say why, so that whoever comes after you knows.", "/reason")
    if len(reason) > LONGEST_REASON:
        raise DomainError("reason_too_long", f"A reason has {LONGEST_REASON} characters at most.", "/reason")
    storable(reason, "/reason")
    lists = ready_lists(segment=segment, by=by, user=user)
    with transaction.atomic():
        _lock(lists)
        before = _standing(lists, profile_ids)
        other = lists.of(ByHand.EXCLUDE if kind == ByHand.INCLUDE else ByHand.INCLUDE)
        remove_people(static_list=other, profile_ids=profile_ids, by=by)
        add_people(static_list=lists.of(kind), profile_ids=profile_ids, by=by, reason=reason)
        stands = {person: kinds for person, kinds in _standing(lists, profile_ids).items() if kind in kinds}
        changed = sorted(person for person, kinds in stands.items() if kinds != before.get(person))
        record_all(by=by, acts=_acts(segment, DONE[kind], _with_reasons(changed, reason)))
    return len(changed)


def undo_by_hand(*, segment: Segment, profile: Profile, by: Actor) -> bool:
    """Whether the person was on one of the lists; as `undo_many_by_hand`."""
    return bool(undo_many_by_hand(segment=segment, profile_ids=[profile.pk], by=by))


@transaction.atomic
def undo_many_by_hand(*, segment: Segment, profile_ids: Collection[int], by: Actor) -> int:
    """How many of the people were on one of the lists: from now on the rule alone decides about them."""
    lists = hand_lists(segment)
    if lists is None:
        return 0
    _lock(lists)
    before = _standing(lists, profile_ids)
    for kind in ByHand:
        remove_people(static_list=lists.of(kind), profile_ids=profile_ids, by=by)
    were = {person: {"was": sorted(kinds)} for person, kinds in before.items()}
    record_all(by=by, acts=_acts(segment, "segment.by_hand_undone", were))
    return len(were)


def _standing(lists: HandLists, profile_ids: Collection[int]) -> dict[int, set[str]]:
    """On which of the two lists each of these people is; without those who are on neither."""
    kinds = {lists.of(kind).pk: kind.value for kind in ByHand}
    found: dict[int, set[str]] = {}
    entries = ListEntry.objects.filter(list__in=kinds, profile__in=profile_ids)
    for person, on in entries.values_list("profile_id", "list_id"):
        found.setdefault(person, set()).add(kinds[on])
    return found


def _with_reasons(people: Sequence[int], reason: str) -> dict[int, dict[str, Any]]:
    """What the log keeps of each person: the reason, that only their own key opens."""
    items = [Item(person, uuid4(), reason.encode()) for person in people]
    return {
        item.subject_id: {
            "reason": {
                "sealed": base64.b64encode(sealed).decode(),
                "entry": str(item.entry_id),
                "subject": item.subject_id,
            }
        }
        for item, sealed in zip(items, seal(items), strict=True)
    }


def _acts(segment: Segment, action: str, details: Mapping[int, Mapping[str, Any]]) -> Iterator[Act]:
    """One for each person, so that what was done to them is found by them."""
    for person, uuid in Profile.objects.filter(pk__in=details).order_by("pk").values_list("pk", "uuid"):
        detail = {"profile": str(uuid), **details[person]}
        yield Act(action=action, object_type=segment._meta.label_lower, object_id=str(segment.uuid), detail=detail)


def ready_lists(*, segment: Segment, by: Actor, user: User | None = None) -> HandLists:
    """The segment's two lists, carried by its live rule. The first time they are made, and a version that carries them is
    written and set live.

    In transactions of their own, each of which leaves things in order: publishing waits for whoever evaluates, who may wait
    for people that we would hold, and what it looks at before takes time.

    Raises:
        Conflict: the segment isn't live.
        RuleErrors: its rule can't carry them.
    """
    version = _live(segment)
    lists = hand_lists(segment) or _make_both(segment, by)
    if carried(version.rule, lists) != version.rule:
        _carry(segment, lists, by, user)
    return lists


def _live(segment: Segment) -> SegmentVersion:
    segment = Segment.objects.select_related("live_version").get(pk=segment.pk)
    if segment.status != SegmentStatus.LIVE or segment.live_version is None:
        message = f"“{segment.name}” is not live, so nobody can be added or removed by hand. Put a version live first."
        raise Conflict("segment_not_live", message)
    return segment.live_version


@transaction.atomic
def _carry(segment: Segment, lists: HandLists, by: Actor, user: User | None) -> None:
    """Has whatever is live by now carry the lists: of two who come first one does so, and neither sets an earlier rule live."""
    rules_lock(exclusive=True)  # a rule that is live has had taken what publishing looks at people for
    version = _live(segment)
    if carried(version.rule, lists) != version.rule:
        publish(segment=segment, version=version, by=by, user=user)


@transaction.atomic
def _make_both(segment: Segment, by: Actor) -> HandLists:
    Segment.objects.select_for_update(of=("self",)).get(pk=segment.pk)  # of two who come first, one makes them
    return hand_lists(segment) or HandLists(*[_make(segment, kind, by) for kind in ByHand])


def _make(segment: Segment, kind: ByHand, by: Actor) -> StaticList:
    name = f"{segment.name}: {kind.label.lower()}"[:150]
    key = key_for(f"{segment.key} {kind.label}", among=StaticList.objects.all(), otherwise="by-hand")
    made = StaticList.objects.create(key=key, name=name, segment=segment, by_hand=kind)
    record(
        by=by, action="list.created", object=made, detail={"key": key, "segment": segment.key, "by_hand": kind.value}
    )
    return made


def entries_of(lists: HandLists, kind: ByHand) -> QuerySet[ListEntry]:
    """Who was added, or removed, newest first, each with their profile; whoever is gone meanwhile isn't among them."""
    return ListEntry.objects.filter(list=lists.of(kind)).select_related("profile").order_by("-added_at", "-origin_id")


def standing_by_hand(lists: HandLists | None, profile: Profile) -> ListEntry | None:
    """The entry that decides about the person, if one does: of two, the removal."""
    if lists is None:
        return None
    found: dict[Any, ListEntry] = {
        one.list_id: one  # type: ignore[attr-defined]  # the column of the list
        for one in ListEntry.objects.filter(profile=profile, list__in=[lists.include, lists.exclude])
    }
    return found.get(lists.exclude.pk) or found.get(lists.include.pk)


def _lock(lists: HandLists) -> None:
    """In the order of their numbers, as everybody locks them who changes both."""
    list(StaticList.objects.select_for_update().filter(pk__in=[lists.include.pk, lists.exclude.pk]).order_by("pk"))

"""Making segments, wording their rules, setting them live, pausing and resuming them, and putting them away.

What may stand in their details is in `segments.details`; who is in a segment follows from its live version, and is worked out in
`segments.refresh` and `segments.evaluation`.
"""

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor, time_limit
from cdp.errors import Conflict, DomainError
from cdp.jobs.models import Job
from cdp.jobs.services import cancel, enqueue
from segments import details
from segments.carrying import carried, hand_lists
from segments.catalogue import catalog
from segments.engines.estimating import count_of
from segments.feed import wait_for_the_sequencer
from segments.guard import refuse_too_dear
from segments.handed_on import refuse_while_handed_on
from segments.live import end_sweeps, forget_sweeps, refuse_unless_live, rules_lock, with_readers
from segments.models import (
    Cadence,
    ListUse,
    Segment,
    SegmentStatus,
    SegmentUse,
    SegmentVersion,
    StaticList,
)
from segments.moments import moment_of_judgement
from segments.personal import without_values
from segments.rules import Dependencies, Rule, RuleError, RuleErrors, depends_on, load
from segments.saving import refuse_saved_meanwhile
from segments.thresholds import with_thresholds

REFRESH_KIND = "segments.refresh"
KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# At the address of a segment with one of these keys the API has something else.
TAKEN_KEYS = frozenset({"preview", "overlap", "flow", "templates"})
FORGET_ROWS = """
    DELETE FROM segments_uploadrow WHERE upload_id IN (SELECT id FROM segments_listupload WHERE static_list_id = %s)
"""
# How long the planner may think of one statement.
PLANNING_SECONDS = 10


class InUse(Conflict):
    """Other segments read this one; ``users`` are they."""

    def __init__(self, segment: Segment, users: list[Segment]) -> None:
        self.users = users
        names = ", ".join(f"“{user.name}”" for user in users)
        super().__init__("segment_in_use", f"“{segment.name}” is used by {names}. Change them first.")


def key_for(name: str, *, among: QuerySet[Any] | None = None, otherwise: str = "segment") -> str:
    """A key made of a name: lower case, digits and hyphens; the next one that is free ``among`` these, or segments."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:56] or otherwise
    others = Segment.objects.all() if among is None else among
    taken = TAKEN_KEYS | set(others.filter(key__startswith=base).values_list("key", flat=True))
    key, number = base, 2
    while key in taken:
        key, number = f"{base}-{number}", number + 1
    return key


@transaction.atomic
def create_segment(
    *,
    name: str,
    rule: Any,
    by: Actor,
    key: str = "",
    description: str = "",
    owner: User | None = None,
    refresh_minutes: int = 15,
    cadence: str | None = None,
    daily_hour: int | None = None,
    tags: Iterable[str] = (),
    folder: str = "",
    purposes: Iterable[str] = (),
) -> Segment:
    """The new segment as a draft with its first version; `publish` sets it live.

    Args:
        rule: the rule's JSON document.
        purposes: keys of those that it is meant for.

    Raises:
        RuleErrors: all that is wrong with the rule, each error with its place.
        DomainError: no name, no such pace, tags, folder or purposes, or the key is taken.
    """
    name = details.name_of(name)
    key = key or key_for(name)
    if not KEY.fullmatch(key) or len(key) > 64:
        raise DomainError("key_malformed", "A key has small letters, digits and single hyphens, 64 at most.", "/key")
    if key in TAKEN_KEYS:
        raise Conflict("key_taken", f"{key!r} is an address of the API; choose another key.", "/key")
    if Segment.objects.filter(key=key).exists():
        raise Conflict("key_taken", f"There is a segment with the key {key!r} already.", "/key")
    cadence = Cadence.MINUTES if cadence is None else cadence
    daily_hour = 5 if daily_hour is None else daily_hour
    details.refuse_pace(cadence, refresh_minutes, daily_hour)
    meant_for = details.purposes_of(purposes)
    load(rule, catalog())
    segment = Segment.objects.create(
        tags=details.tags_of(tags),
        folder=details.folder_of(folder),
        key=key,
        name=name,
        description=description,
        owner=owner,
        cadence=cadence,
        refresh_minutes=refresh_minutes,
        daily_hour=daily_hour,
    )
    segment.purposes.set(meant_for)
    record(by=by, action="segment.created", object=segment, detail={"key": key, "name": segment.name})
    _add_version(segment, rule, by, owner)
    return segment


@transaction.atomic
def change_details(
    *,
    segment: Segment,
    by: Actor,
    name: str | None = None,
    description: str | None = None,
    refresh_minutes: int | None = None,
    cadence: str | None = None,
    daily_hour: int | None = None,
    tags: Iterable[str] | None = None,
    folder: str | None = None,
    owner: User | None = None,
    purposes: Iterable[str] | None = None,
    is_public: bool | None = None,
) -> Segment:
    """The segment under another name, in another place, at another pace; its key and rule stay, and so does what is None.

    Args:
        purposes: keys of those that it is meant for.

    Raises:
        DomainError: no name, no such pace, tags, folder or purposes, or an owner who may not see it.
    """
    name = None if name is None else details.name_of(name)
    segment = Segment.objects.select_for_update(of=("self",)).get(pk=segment.pk)
    wanted: dict[str, Any] = {
        "name": name,
        "description": description,
        "cadence": cadence,
        "refresh_minutes": refresh_minutes,
        "daily_hour": daily_hour,
        "tags": None if tags is None else details.tags_of(tags),
        "folder": None if folder is None else details.folder_of(folder),
        "is_public": is_public,
    }
    given = {field: getattr(segment, field) if value is None else value for field, value in wanted.items()}
    details.refuse_pace(given["cadence"], given["refresh_minutes"], given["daily_hour"])
    before = {field: getattr(segment, field) for field in given if getattr(segment, field) != given[field]}
    after = {field: given[field] for field in before}
    for field in before:
        setattr(segment, field, given[field])
    if owner is not None and owner.pk != segment.owner_id:
        details.refuse_owner(segment, owner)
        before["owner"], after["owner"] = segment.owner_id, owner.pk
        segment.owner = owner
    if before:
        segment.save(update_fields=list(before))
    if purposes is not None:
        old = sorted(segment.purposes.values_list("key", flat=True))
        meant_for = details.purposes_of(purposes)
        if (new := sorted(one.key for one in meant_for)) != old:
            segment.purposes.set(meant_for)
            before["purposes"], after["purposes"] = old, new
    if before:
        record(by=by, action="segment.changed", object=segment, detail={"before": before, "after": after})
    return segment


@transaction.atomic
def save_version(
    *, segment: Segment, rule: Any, by: Actor, user: User | None = None, base: int | None = None
) -> SegmentVersion:
    """The new version, not yet live; the newest one when it says the same. It carries the segment's lists by hand, if it has any.

    Args:
        base: the number of the version that was the newest when the rule was drafted; None, whichever is the newest now.

    Raises:
        RuleErrors: all that is wrong with the rule.
        SavedMeanwhile: another rule was saved since the base.
        Conflict: the segment is archived.
    """
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if segment.status == SegmentStatus.ARCHIVED:
        raise Conflict("segment_archived", f"“{segment.name}” is archived; restore it before changing its rule.")
    lists = hand_lists(segment)
    rule = carried(rule, lists)
    load(rule, catalog())
    newest = segment.versions.first()
    if base is not None:
        # The row is held: nobody saves another one between this look and what is saved here.
        refuse_saved_meanwhile(segment, rule, base=base, newest=newest, lists=lists)
    return newest if newest and newest.rule == rule else _add_version(segment, rule, by, user)


def _add_version(segment: Segment, rule: Any, by: Actor, user: User | None) -> SegmentVersion:
    newest = segment.versions.first()
    version = SegmentVersion.objects.create(
        segment=segment, number=newest.number + 1 if newest else 1, rule=rule, created_by=user
    )
    detail = {"version": version.number, "rule": without_values(rule)}
    record(by=by, action="segment.version_created", object=segment, detail=detail)
    return version


@transaction.atomic
def publish(
    *, segment: Segment, version: SegmentVersion, by: Actor, user: User | None = None, base: int | None = None
) -> Job:
    """The job that brings the members in line; the version is live from now on, for new events too.

    Of a version from before somebody was added or removed by hand, a new one that carries these lists is set live instead:
    going back to an earlier rule takes nobody back in who was removed.

    Args:
        base: the number of the newest version that is known of; None, whichever there is.

    Raises:
        RuleErrors: the rule no longer fits the catalogue, costs too much, or would read itself by way of others.
        SavedMeanwhile: another rule was saved since the base.
        Conflict: the segment is archived, or the version is another one's.
    """
    # What takes a look at everybody, or at the plan, comes before the lock for which all batches would wait.
    _prepare(carried(version.rule, hand_lists(segment)))
    rules_lock(exclusive=True)
    return _publish(segment, version, by, user, base)


@transaction.atomic
def save_and_publish(
    *, segment: Segment, rule: Any, by: Actor, user: User | None = None, base: int | None = None
) -> tuple[SegmentVersion, Job]:
    """The new version, which is live, and the job that brings the members in line: saved and published as one, or neither.

    Raises: as `save_version` and `publish`.
    """
    _prepare(carried(rule, hand_lists(segment)))
    # Before the segment's row, which saving takes: everybody who takes both takes them in this order.
    rules_lock(exclusive=True)
    version = save_version(segment=segment, rule=rule, by=by, user=user, base=base)
    return version, _publish(segment, version, by, user)


def _publish(segment: Segment, version: SegmentVersion, by: Actor, user: User | None, base: int | None = None) -> Job:
    """The version set live, by whoever holds the live rules."""
    segment = Segment.objects.select_for_update(of=("self",)).get(pk=segment.pk)
    if segment.status == SegmentStatus.ARCHIVED:
        raise Conflict("segment_archived", f"“{segment.name}” is archived; restore it before setting a version live.")
    if version.segment_id != segment.pk:
        raise Conflict("version_of_another", f"This version is not one of “{segment.name}”.")
    lists = hand_lists(segment)
    if base is not None:
        refuse_saved_meanwhile(segment, None, base=base, newest=segment.versions.first(), lists=lists)
    if (rule_with_lists := carried(version.rule, lists)) != version.rule:
        version = _add_version(segment, rule_with_lists, by, user)
    before, was_paused = segment.live_version, segment.status == SegmentStatus.PAUSED
    _set_live(segment, version)
    detail = {"version": version.number, "before": before.number if before else None}
    if was_paused:
        detail["resumed"] = True
    record(by=by, action="segment.published", object=segment, detail=detail)
    if was_paused:
        _refresh_readers(segment, by)
    return request_refresh(segment=segment, by=by, user=user, why="rule")


def _set_live(segment: Segment, version: SegmentVersion) -> None:
    """From now on the version decides about members. The caller holds the live rules, and the segment's row."""
    known = catalog()
    rule = load(version.rule, known)
    with_thresholds(known, rule)  # all of them are still there, unless one was purged just before
    _refuse_cycle(segment, rule)
    segment.live_version = version
    segment.broken_reason, segment.waits_for_scores = "", False
    _change_status(segment, SegmentStatus.LIVE, "live_version", "broken_reason", "waits_for_scores")
    # By the new rule nobody was ever judged, and by an old one that comes back, not while it was away.
    forget_sweeps([segment.pk])
    _note_uses(segment, depends_on(rule))


def _change_status(segment: Segment, status: SegmentStatus, *fields: str) -> None:
    segment.status, segment.status_since = status, timezone.now()
    segment.save(update_fields=["status", "status_since", *fields])


@transaction.atomic
def pause(*, segment: Segment, by: Actor) -> Segment:
    """The segment with its members as they are now: nobody is judged by it until it is resumed, and whoever reads members reads these.

    What reads it is frozen with it, as with one that is broken.

    Raises:
        Conflict: it isn't live.
    """
    # After all batches that judge by it now, and before all that come.
    rules_lock(exclusive=True)
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if segment.status == SegmentStatus.PAUSED:
        return segment
    refuse_unless_live(segment)
    _change_status(segment, SegmentStatus.PAUSED)
    end_sweeps(segment.pk)
    for job in Job.objects.unfinished().filter(kind=REFRESH_KIND, params__segment=segment.pk):
        with suppress(Conflict):  # it has just finished
            cancel(job=job, by=by)
    record(by=by, action="segment.paused", object=segment, detail={"version": _number(segment)})
    return segment


@transaction.atomic
def resume(*, segment: Segment, by: Actor, user: User | None = None) -> Job:
    """The job that brings the members of a paused segment in line; it is live again from now on.

    Raises:
        RuleErrors: its rule no longer fits the catalogue, or costs too much: then it stays paused.
        Conflict: it isn't paused.
    """
    segment = Segment.objects.select_related("live_version").get(pk=segment.pk)
    if segment.status != SegmentStatus.PAUSED or segment.live_version is None:
        raise Conflict("segment_not_paused", f"“{segment.name}” is not paused.")
    _prepare(segment.live_version.rule)
    rules_lock(exclusive=True)
    segment = Segment.objects.select_for_update(of=("self",)).select_related("live_version").get(pk=segment.pk)
    if segment.status != SegmentStatus.PAUSED or segment.live_version is None:
        raise Conflict("segment_not_paused", f"“{segment.name}” is not paused any more.")
    _set_live(segment, segment.live_version)
    record(by=by, action="segment.resumed", object=segment, detail={"version": segment.live_version.number})
    _refresh_readers(segment, by)
    return request_refresh(segment=segment, by=by, user=user)


def _refresh_readers(segment: Segment, by: Actor) -> None:
    """Asks for what only a full refresh can find of those who were frozen with it. Where that fails, the sweeper asks again."""
    readers = set(with_readers(segment.pk)) - {segment.pk}
    # A refresh that began before this saw none of it, and may still run.
    forget_sweeps(readers)
    for reader in Segment.objects.filter(pk__in=readers, status=SegmentStatus.LIVE, broken_reason="").order_by("pk"):
        request_refresh(segment=reader, by=by)


def _number(segment: Segment) -> int | None:
    return segment.live_version.number if segment.live_version else None


def _prepare(document: Any) -> None:
    """Has the thresholds stored that the rule reads, and refuses it where it costs too much."""
    known, now = catalog(), moment_of_judgement()
    rule = load(document, known)
    known = with_thresholds(known, rule)
    with time_limit(seconds=PLANNING_SECONDS):
        refuse_too_dear(count_of(rule, known, as_of=now), [rule], known, as_of=now)


def _note_uses(segment: Segment, reads: Dependencies | None) -> None:
    """Keeps what the live rule reads from being taken away; nothing any more, where there is no such rule."""
    SegmentUse.objects.filter(user=segment).delete()
    ListUse.objects.filter(user=segment).delete()
    if reads is not None:
        used = Segment.objects.filter(key__in=reads.segments)
        SegmentUse.objects.bulk_create(SegmentUse(user=segment, used=one) for one in used)
        lists = StaticList.objects.filter(key__in=reads.lists)
        ListUse.objects.bulk_create(ListUse(user=segment, used=one) for one in lists)


def request_refresh(*, segment: Segment, by: Actor, user: User | None = None, why: str = "time") -> Job:
    """The job that refreshes the segment; the one that is waiting already, when there is one.

    Raises:
        Conflict: it isn't live, or it is paused.
    """
    refuse_unless_live(segment)
    # The version is part of the key, and since when it is live: a refresh of the old rule, or of before a pause, that still
    # runs doesn't stand for the new one's.
    return enqueue(
        kind=REFRESH_KIND,
        params={"segment": segment.pk, "why": why},
        by=by,
        user=user,
        dedupe_key=f"refresh:{segment.pk}:{segment.live_version_id}:{segment.status_since.timestamp():.6f}",
    )


def _refuse_cycle(segment: Segment, rule: Rule) -> None:
    uses = dict[str, set[str]]()
    for user, used in SegmentUse.objects.values_list("user__key", "used__key"):
        uses.setdefault(user, set()).add(used)
    uses[segment.key] = set(depends_on(rule).segments)
    reached, ahead = set[str](), list(uses[segment.key])
    while ahead:
        key = ahead.pop()
        if key == segment.key:
            message = f"“{segment.name}” would read its own members by way of other segments"
            raise RuleErrors([RuleError(code="segment_cycle", message=message, pointer="")])
        if key not in reached:
            reached.add(key)
            ahead += uses.get(key, ())


def users_of(segment: Segment) -> list[Segment]:
    """The segments whose live rules read this one."""
    return list(Segment.objects.filter(uses__used=segment).order_by("name"))


@transaction.atomic
def archive(*, segment: Segment, by: Actor) -> Segment:
    """The segment, out of use: its members are kept as they are and read by nobody.

    Raises:
        InUse: other segments read it.
        Conflict: it is handed on to other systems.
    """
    rules_lock(exclusive=True)
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if users := users_of(segment):
        raise InUse(segment, users)
    refuse_while_handed_on(segment)
    if segment.status != SegmentStatus.ARCHIVED:
        _change_status(segment, SegmentStatus.ARCHIVED)
        _note_uses(segment, None)
        record(by=by, action="segment.archived", object=segment)
    return segment


@transaction.atomic
def restore(*, segment: Segment, by: Actor) -> Segment:
    """The segment as a draft again; publishing it brings its members up to date."""
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if segment.status == SegmentStatus.ARCHIVED:
        _change_status(segment, SegmentStatus.DRAFT)
        record(by=by, action="segment.restored", object=segment)
    return segment


@transaction.atomic
def delete_segment(*, segment: Segment, by: Actor) -> None:
    """Takes the segment away with its versions and members; the audit log keeps what its rules were, but for people's values.

    Raises:
        InUse: other segments read it, or the lists of who was added to it and removed from it by hand.
        Conflict: it is handed on to other systems.
    """
    rules_lock(exclusive=True)
    wait_for_the_sequencer()
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if users := users_of(segment):
        raise InUse(segment, users)
    refuse_while_handed_on(segment)
    _note_uses(segment, None)
    _delete_hand_lists(segment)
    record(by=by, action="segment.deleted", object=segment, detail={"key": segment.key, "name": segment.name})
    segment.live_version = None
    segment.status = SegmentStatus.ARCHIVED
    segment.save(update_fields=["live_version", "status"])
    segment.delete()


def _delete_hand_lists(segment: Segment) -> None:
    """With who is on them. Not through the ORM, which would read the entries to delete them.

    Raises:
        InUse: live rules of other segments read them.
    """
    lists = StaticList.objects.filter(segment=segment)
    if users := list(Segment.objects.filter(list_uses__used__in=lists).distinct().order_by("name")):
        raise InUse(segment, users)
    with bound_cursor() as cursor:
        for one in lists:
            cursor.execute(FORGET_ROWS, [one.pk])
            cursor.execute("DELETE FROM segments_listentry WHERE list_id = %s", [one.pk])
    lists.delete()

"""Making segments, wording their rules, setting them live, and putting them away.

Who is in a segment follows from its live version; that is worked out in `segments.refresh` and `segments.evaluation`.
"""

import re
import unicodedata
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from guardian.models import UserObjectPermission

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from cdp.jobs.models import Job
from cdp.jobs.services import enqueue
from segments.catalogue import catalog
from segments.feed import wait_for_the_sequencer
from segments.live import end_sweeps, rules_lock
from segments.models import (
    Cadence,
    ListUse,
    Segment,
    SegmentStatus,
    SegmentUse,
    SegmentVersion,
    StaticList,
    SweepState,
)
from segments.personal import without_values
from segments.rules import Dependencies, Rule, RuleError, RuleErrors, depends_on, load, parse
from segments.thresholds import with_thresholds

REFRESH_KIND = "segments.refresh"
KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# At the address of a segment with one of these keys the API has something else.
TAKEN_KEYS = frozenset({"preview", "overlap", "flow", "templates"})


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
) -> Segment:
    """The new segment as a draft with its first version; `publish` sets it live.

    Args:
        rule: the rule's JSON document.

    Raises:
        RuleErrors: all that is wrong with the rule, each error with its place.
        DomainError: no name, no such pace, or the key is taken.
    """
    name = name.strip()
    if not name:
        raise DomainError("name_missing", "A segment needs a name.", "/name")
    key = key or key_for(name)
    if not KEY.fullmatch(key) or len(key) > 64:
        raise DomainError("key_malformed", "A key has small letters, digits and single hyphens, 64 at most.", "/key")
    if key in TAKEN_KEYS:
        raise Conflict("key_taken", f"{key!r} is an address of the API; choose another key.", "/key")
    if Segment.objects.filter(key=key).exists():
        raise Conflict("key_taken", f"There is a segment with the key {key!r} already.", "/key")
    cadence = Cadence.MINUTES if cadence is None else cadence
    daily_hour = 5 if daily_hour is None else daily_hour
    _refuse_pace(cadence, refresh_minutes, daily_hour)
    load(rule, catalog())
    segment = Segment.objects.create(
        key=key,
        name=name[:150],
        description=description,
        owner=owner,
        cadence=cadence,
        refresh_minutes=refresh_minutes,
        daily_hour=daily_hour,
    )
    record(by=by, action="segment.created", object=segment, detail={"key": key, "name": segment.name})
    _add_version(segment, rule, by, owner)
    return segment


@transaction.atomic
def change_details(
    *,
    segment: Segment,
    name: str,
    description: str,
    refresh_minutes: int,
    by: Actor,
    cadence: str | None = None,
    daily_hour: int | None = None,
) -> Segment:
    """The segment under another name, description or pace; its key and rule stay. Of the pace, what is None stays too.

    Raises:
        DomainError: no name, or no such pace.
    """
    name = name.strip()
    if not name:
        raise DomainError("name_missing", "A segment needs a name.", "/name")
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    given: dict[str, Any] = {
        "name": name[:150],
        "description": description,
        "cadence": segment.cadence if cadence is None else cadence,
        "refresh_minutes": refresh_minutes,
        "daily_hour": segment.daily_hour if daily_hour is None else daily_hour,
    }
    _refuse_pace(given["cadence"], given["refresh_minutes"], given["daily_hour"])
    before = {field: getattr(segment, field) for field in given if getattr(segment, field) != given[field]}
    if before:
        for field in before:
            setattr(segment, field, given[field])
        segment.save(update_fields=list(before))
        record(
            by=by,
            action="segment.changed",
            object=segment,
            detail={"before": before, "after": {f: given[f] for f in before}},
        )
    return segment


def _refuse_pace(cadence: str, refresh_minutes: int, daily_hour: int) -> None:
    if cadence not in Cadence.values:
        raise DomainError("cadence_unknown", f"A cadence is one of {', '.join(Cadence.values)}.", "/cadence")
    if refresh_minutes < 1:
        raise DomainError(
            "refresh_minutes_invalid", "Refresh every so many whole minutes, at least 1.", "/refresh_minutes"
        )
    if not 0 <= daily_hour <= 23:
        raise DomainError("daily_hour_invalid", "An hour of the day is 0 to 23.", "/daily_hour")


@transaction.atomic
def save_version(*, segment: Segment, rule: Any, by: Actor, user: User | None = None) -> SegmentVersion:
    """The new version, not yet live; the newest one when it says the same.

    Raises:
        RuleErrors: all that is wrong with the rule.
        Conflict: the segment is archived.
    """
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if segment.status == SegmentStatus.ARCHIVED:
        raise Conflict("segment_archived", f"“{segment.name}” is archived; restore it before changing its rule.")
    load(rule, catalog())
    newest = segment.versions.first()
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
def publish(*, segment: Segment, version: SegmentVersion, by: Actor, user: User | None = None) -> Job:
    """The job that brings the members in line; the version is live from now on, for new events too.

    Raises:
        RuleErrors: the rule no longer fits the catalogue, or it would read itself by way of others.
        Conflict: the segment is archived, or the version is another one's.
    """
    known = catalog()
    rule = load(version.rule, known)
    # What takes a look at everybody comes before the lock for which all batches would wait.
    with_thresholds(known, rule)
    rules_lock(exclusive=True)
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if segment.status == SegmentStatus.ARCHIVED:
        raise Conflict("segment_archived", f"“{segment.name}” is archived; restore it before setting a version live.")
    if version.segment_id != segment.pk:
        raise Conflict("version_of_another", f"This version is not one of “{segment.name}”.")
    known = catalog()
    rule = load(version.rule, known)
    with_thresholds(known, rule)  # all of them are still there, unless one was purged just before
    _refuse_cycle(segment, rule)
    before = segment.live_version
    segment.live_version, segment.status = version, SegmentStatus.LIVE
    segment.broken_reason, segment.waits_for_scores = "", False
    segment.save(update_fields=["live_version", "status", "broken_reason", "waits_for_scores"])
    # By the new rule nobody was ever judged, and by an old one that comes back, not while it was away.
    SweepState.objects.filter(segment=segment).delete()
    _note_uses(segment, depends_on(rule))
    record(
        by=by,
        action="segment.published",
        object=segment,
        detail={"version": version.number, "before": before.number if before else None},
    )
    return request_refresh(segment=segment, by=by, user=user, why="rule")


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
        Conflict: it isn't live.
    """
    if segment.status != SegmentStatus.LIVE:
        raise Conflict("segment_not_live", f"“{segment.name}” is not live, so it has no members to refresh.")
    # The version is part of the key: a refresh of the old rule that still runs doesn't stand for the new one's.
    return enqueue(
        kind=REFRESH_KIND,
        params={"segment": segment.pk, "why": why},
        by=by,
        user=user,
        dedupe_key=f"refresh:{segment.pk}:{segment.live_version_id}",
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
def names_relying_on(trait: str) -> list[str]:
    """Names of the segments whose live rules read this trait. None is set live before the caller's transaction ends."""
    rules_lock(exclusive=True)
    live = Segment.objects.filter(status=SegmentStatus.LIVE).select_related("live_version").order_by("name")
    return [segment.name for segment in live if segment.live_version and _reads(segment.live_version.rule, trait)]


def _reads(rule: Any, trait: str) -> bool:
    asked = _asked_by(rule)
    return asked is not None and trait in asked.traits


def _asked_by(rule: Any) -> Dependencies | None:
    try:
        return depends_on(parse(rule))
    except RuleErrors:
        return None  # of a form no longer read: it is broken already, whatever becomes of what it names


def _asking_for(purpose: str) -> list[Segment]:
    """The live segments whose rules ask for this purpose."""
    live = Segment.objects.filter(status=SegmentStatus.LIVE).select_related("live_version").order_by("name")
    asked = {one: _asked_by(one.live_version.rule) for one in live if one.live_version}
    return [segment for segment, named in asked.items() if named is not None and purpose in named.purposes]


def names_asking_for(purpose: str) -> list[str]:
    """Names of the segments whose live rules ask for this purpose."""
    return [segment.name for segment in _asking_for(purpose)]


@transaction.atomic
def follow_new_mode(purpose: str) -> None:
    """Has the members of whatever asks for this purpose brought in line: another mode takes in other people at once.

    The sweeper asks for a full refresh of what was never swept.
    """
    rules_lock(exclusive=True)
    for segment in _asking_for(purpose):
        end_sweeps(segment.pk)


@transaction.atomic
def archive(*, segment: Segment, by: Actor) -> Segment:
    """The segment, out of use: its members are kept as they are and read by nobody.

    Raises:
        InUse: other segments read it.
    """
    rules_lock(exclusive=True)
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if users := users_of(segment):
        raise InUse(segment, users)
    if segment.status != SegmentStatus.ARCHIVED:
        segment.status = SegmentStatus.ARCHIVED
        segment.save(update_fields=["status"])
        _note_uses(segment, None)
        record(by=by, action="segment.archived", object=segment)
    return segment


@transaction.atomic
def restore(*, segment: Segment, by: Actor) -> Segment:
    """The segment as a draft again; publishing it brings its members up to date."""
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if segment.status == SegmentStatus.ARCHIVED:
        segment.status = SegmentStatus.DRAFT
        segment.save(update_fields=["status"])
        record(by=by, action="segment.restored", object=segment)
    return segment


@transaction.atomic
def delete_segment(*, segment: Segment, by: Actor) -> None:
    """Takes the segment away with its versions and members; the audit log keeps what its rules were, but for people's values.

    Raises:
        InUse: other segments read it.
    """
    rules_lock(exclusive=True)
    wait_for_the_sequencer()
    segment = Segment.objects.select_for_update().get(pk=segment.pk)
    if users := users_of(segment):
        raise InUse(segment, users)
    record(by=by, action="segment.deleted", object=segment, detail={"key": segment.key, "name": segment.name})
    segment.live_version = None
    segment.status = SegmentStatus.ARCHIVED
    segment.save(update_fields=["live_version", "status"])
    # django-guardian refers to objects by type and number, which no foreign key follows.
    UserObjectPermission.objects.filter(
        object_pk=str(segment.pk), content_type__app_label="segments", content_type__model="segment"
    ).delete()
    segment.delete()

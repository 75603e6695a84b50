"""Static lists: making them, putting people on them and taking them off, and what becomes of that when profiles merge.

Who is on a list is read by rules (`in_list`). Whom an identifier names is in `segments.list_people`.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, DomainError
from segments.live import rules_lock
from segments.models import ListEntry, ListUse, Segment, StaticList
from segments.services import FORGET_ROWS, KEY, key_for

CHUNK = 10_000

# Whoever changes people outside the pipeline says so in rows of their own, which the evaluator drains: so do all of these.

# A merge that has taken somebody away by now, or is about to, is waited for: whom it absorbs isn't put on anything.
ADD = """
    WITH present AS (
        SELECT id FROM profiles_profile WHERE id = ANY(%(people)s::bigint[]) ORDER BY id FOR KEY SHARE
    ), added AS (
        INSERT INTO segments_listentry (list_id, profile_id, origin_id, added_at, added_by, reason)
        SELECT %(list)s, p.id, p.id, now(), %(by)s, %(reason)s FROM present p
         WHERE NOT EXISTS (SELECT FROM segments_listentry e WHERE e.list_id = %(list)s AND e.profile_id = p.id)
        ON CONFLICT DO NOTHING RETURNING profile_id
    ), told AS (
        INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
        SELECT profile_id, jsonb_build_object('why', 'edit', 'lists', jsonb_build_array(%(key)s::text)), now() FROM added
    )
    SELECT count(*) FROM added
"""

REMOVE = """
    WITH removed AS (
        DELETE FROM segments_listentry WHERE list_id = %(list)s AND profile_id = ANY(%(people)s::bigint[])
        RETURNING profile_id
    ), gone AS (
        SELECT DISTINCT profile_id FROM removed
    ), told AS (
        INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
        SELECT profile_id, jsonb_build_object('why', 'edit', 'lists', jsonb_build_array(%(key)s::text)), now() FROM gone
    )
    SELECT count(*) FROM gone
"""

KEEP_ONLY = """
    WITH removed AS (
        DELETE FROM segments_listentry e
         WHERE list_id = %(list)s AND NOT EXISTS (SELECT FROM unnest(%(people)s::bigint[]) AS g(id) WHERE g.id = e.profile_id)
        RETURNING profile_id
    ), gone AS (
        SELECT DISTINCT profile_id FROM removed
    ), told AS (
        INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
        SELECT profile_id, jsonb_build_object('why', 'edit', 'lists', jsonb_build_array(%(key)s::text)), now() FROM gone
    )
    SELECT count(*) FROM gone
"""

# The ledger says who somebody is now: whoever absorbed them, and whoever absorbed that one.
SETTLE = """
    WITH RECURSIVE now(origin, who) AS (
        SELECT DISTINCT origin_id, origin_id FROM segments_listentry WHERE profile_id = ANY(%(people)s::bigint[])
        UNION ALL
        SELECT now.origin, m.survivor_id FROM now JOIN identity_merge m ON m.absorbed_id = now.who AND m.undone_at IS NULL
    )
    UPDATE segments_listentry e SET profile_id = now.who FROM now
     WHERE e.origin_id = now.origin AND e.profile_id = ANY(%(people)s::bigint[]) AND e.profile_id <> now.who
       AND NOT EXISTS (SELECT FROM identity_merge m WHERE m.absorbed_id = now.who AND m.undone_at IS NULL)
"""

ABSORBED_BY = """
    WITH RECURSIVE absorbed(id) AS (
        SELECT absorbed_id FROM identity_merge WHERE survivor_id = ANY(%s::bigint[]) AND undone_at IS NULL
        UNION
        SELECT m.absorbed_id FROM absorbed a JOIN identity_merge m ON m.survivor_id = a.id AND m.undone_at IS NULL
    )
    SELECT id FROM absorbed
"""


class ListInUse(Conflict):
    """Live rules read the list; ``users`` are their segments."""

    def __init__(self, static_list: StaticList, users: list[Segment]) -> None:
        self.users = users
        names = ", ".join(f"“{user.name}”" for user in users)
        super().__init__("list_in_use", f"“{static_list.name}” is used by {names}. Change them first.")


@dataclass(frozen=True, slots=True)
class Changed:
    """How many people came onto a list, and how many it lost."""

    added: int = 0
    removed: int = 0


@transaction.atomic
def create_list(*, name: str, by: Actor, key: str = "", description: str = "") -> StaticList:
    """The new list, with nobody on it.

    Raises:
        DomainError: no name, or a key or a text that can't be.
        Conflict: the key is taken.
    """
    name, description = _named(name), storable(description, "/description")
    key = key or key_for(name, among=StaticList.objects.all(), otherwise="list")
    if not KEY.fullmatch(key) or len(key) > 64:
        raise DomainError("key_malformed", "A key has small letters, digits and single hyphens, 64 at most.", "/key")
    if StaticList.objects.filter(key=key).exists():
        raise Conflict("key_taken", f"There is a list with the key {key!r} already.", "/key")
    made = StaticList.objects.create(key=key, name=name, description=description)
    record(by=by, action="list.created", object=made, detail={"key": key, "name": made.name})
    return made


@transaction.atomic
def change_list(*, static_list: StaticList, name: str, description: str, by: Actor) -> StaticList:
    """The list under another name or description; its key and people stay.

    Raises:
        DomainError: no name, or a text that can't be kept.
        Conflict: it is a segment's own.
    """
    static_list = _locked(static_list)
    refuse_of_a_segment(static_list)
    given = {"name": _named(name), "description": storable(description, "/description")}
    before = {name: getattr(static_list, name) for name in given if getattr(static_list, name) != given[name]}
    if before:
        for field in before:
            setattr(static_list, field, given[field])
        static_list.save(update_fields=list(before))
        detail = {"before": before, "after": {name: given[name] for name in before}}
        record(by=by, action="list.changed", object=static_list, detail=detail)
    return static_list


@transaction.atomic
def add_people(*, static_list: StaticList, profile_ids: Iterable[int], by: Actor, reason: str = "") -> Changed:
    """How many of the people are on the list who weren't. Read in chunks, so that millions need little memory.

    Who was merged away meanwhile isn't put on it.
    """
    static_list = _locked(static_list)
    added = sum(_asked(ADD, static_list, some, by=by, reason=reason) for some in _chunks(profile_ids))
    record(by=by, action="list.people_added", object=static_list, detail={"count": added})
    return Changed(added=added)


@transaction.atomic
def remove_people(*, static_list: StaticList, profile_ids: Iterable[int], by: Actor) -> Changed:
    """How many of the people are on the list no longer; of who absorbed others, these too."""
    static_list = _locked(static_list)
    removed = 0
    for some in _chunks(profile_ids):
        _settle_absorbed_by(some)
        removed += _asked(REMOVE, static_list, some)
    record(by=by, action="list.people_removed", object=static_list, detail={"count": removed})
    return Changed(removed=removed)


@transaction.atomic
def replace_people(*, static_list: StaticList, profile_ids: Iterable[int], by: Actor, reason: str = "") -> Changed:
    """How many came onto the list and how many it lost, so that just these people are on it. Who stays keeps when and
    by whom they were put on it."""
    static_list = _locked(static_list)
    kept, added = array("q"), 0
    for some in _chunks(profile_ids):
        _settle_absorbed_by(some)
        added += _asked(ADD, static_list, some, by=by, reason=reason)
        kept.extend(some)
    removed = _asked(KEEP_ONLY, static_list, kept.tolist())
    record(by=by, action="list.people_replaced", object=static_list, detail={"added": added, "removed": removed})
    return Changed(added=added, removed=removed)


@transaction.atomic
def delete_list(*, static_list: StaticList, by: Actor) -> None:
    """Takes the list away, and with it who was on it.

    Raises:
        ListInUse: live rules read it.
        Conflict: it is a segment's own.
    """
    rules_lock(exclusive=True)  # so that none is set live meanwhile
    static_list = _locked(static_list)
    refuse_of_a_segment(static_list)
    if users := users_of_list(static_list):
        raise ListInUse(static_list, users)
    record(by=by, action="list.deleted", object=static_list, detail={"key": static_list.key, "name": static_list.name})
    with bound_cursor() as cursor:
        # Not through the ORM, which would read the entries to delete them.
        cursor.execute(FORGET_ROWS, [static_list.pk])
        cursor.execute("DELETE FROM segments_listentry WHERE list_id = %s", [static_list.pk])
    StaticList.objects.filter(pk=static_list.pk).delete()


def refuse_of_a_segment(static_list: StaticList) -> None:
    """
    Raises:
        Conflict: it is a list of who was added to a segment or removed from it by hand, which goes with the segment.
    """
    if static_list.by_hand:
        raise Conflict(
            "list_of_a_segment", "This list belongs to a segment: who is on it is changed on its Members page."
        )


def users_of_list(static_list: StaticList) -> list[Segment]:
    """The segments whose live rules read this list."""
    return list(Segment.objects.filter(pk__in=ListUse.objects.filter(used=static_list).values("user")).order_by("name"))


def size_of(static_list: StaticList) -> int:
    """How many people are on the list."""
    return ListEntry.objects.filter(list=static_list).values("profile_id").distinct().count()


def settle_entries(profile_ids: Iterable[int]) -> None:
    """Gives the entries of these people, some of whom were absorbed or parted again, to whom the ledger says they are now."""
    ids = sorted(profile_ids)
    if ids:
        with bound_cursor() as cursor:
            cursor.execute(SETTLE, {"people": ids})


def forget_entries(profile_ids: Collection[int]) -> None:
    """Takes people who are erased off all lists. Called when they are gone: whoever puts them on one has waited, or is waited
    for. Entries that were given to them go wherever a merge has taken them, for which no index is kept."""
    with bound_cursor() as cursor:
        cursor.execute(
            "DELETE FROM segments_listentry WHERE profile_id = ANY(%(people)s::bigint[]) OR origin_id = ANY(%(people)s::bigint[])",
            {"people": sorted(profile_ids)},
        )


def _settle_absorbed_by(people: list[int]) -> None:
    """Lets what the evaluator has not moved yet be moved: who is taken off must not come back on by an earlier merge."""
    with bound_cursor() as cursor:
        cursor.execute(ABSORBED_BY, [people])
        absorbed = [row[0] for row in cursor.fetchall()]
    settle_entries(absorbed)


def _named(name: str) -> str:
    name = name.strip()
    if not name:
        raise DomainError("name_missing", "A list needs a name.", "/name")
    return storable(name, "/name")[:150]


def storable(text: str, pointer: str) -> str:
    """The text, if the database can keep it.

    Raises:
        DomainError: there is a NUL in it, which no column takes.
    """
    if "\x00" in text:
        raise DomainError(
            "invalid_text", "There is a NUL in this text, a character that nobody can see. Type it anew.", pointer
        )
    return text


def _locked(static_list: StaticList) -> StaticList:
    """The list as it now is, whose people nobody else changes until the transaction ends."""
    return StaticList.objects.select_for_update().get(pk=static_list.pk)


def _chunks(profile_ids: Iterable[int]) -> Iterator[list[int]]:
    given = iter(profile_ids)
    while some := list(islice(given, CHUNK)):
        yield sorted(set(some))


def _asked(
    statement: str, static_list: StaticList, people: list[int], *, by: Actor | None = None, reason: str = ""
) -> int:
    params: dict[str, Any] = {"list": static_list.pk, "key": static_list.key, "people": people}
    if by is not None:
        params |= {"by": by.label[:150], "reason": reason[:200]}
    with bound_cursor() as cursor:
        cursor.execute(statement, params)
        row = cursor.fetchone()
    return int(row[0]) if row else 0

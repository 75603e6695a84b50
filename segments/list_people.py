"""Whom identifiers name, many at once. One by one, and with what may be shown of them, it is in `segments.api_people`.

Nobody is made here: an identifier that leads to nobody is said to, and nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from cdp.database import bound_cursor
from cdp.identity.normalise import NAMESPACE, Unusable, normalise

PUBLIC_ID = "uuid"

BY_NAME = """
    SELECT i.namespace, i.value, i.profile_id FROM profiles_identifier i
      JOIN unnest(%s::text[], %s::text[]) AS g(namespace, value) ON i.namespace = g.namespace AND i.value = g.value
"""

# Whoever was absorbed answers as the survivor, however long ago it was.
BY_UUID = """
    WITH RECURSIVE asked(uuid) AS (SELECT unnest(%s::uuid[])), now(uuid, who) AS (
        SELECT a.uuid, p.id FROM asked a JOIN profiles_profile p ON p.uuid = a.uuid
        UNION ALL
        SELECT a.uuid, m.survivor_id FROM asked a JOIN identity_merge m ON m.absorbed_uuid = a.uuid AND m.undone_at IS NULL
        UNION ALL
        SELECT now.uuid, m.survivor_id FROM now JOIN identity_merge m ON m.absorbed_id = now.who AND m.undone_at IS NULL
    )
    SELECT now.uuid, now.who FROM now JOIN profiles_profile p ON p.id = now.who
"""


@dataclass(frozen=True, slots=True)
class Named:
    """The people whom identifiers name, each once, and those of the identifiers that lead to nobody, as they came."""

    profile_ids: list[int]
    unmatched: list[str]


def people_named(identifiers: Sequence[str]) -> Named:
    """Who is known by these identifiers, each written as namespace:value."""
    people = who_is(identifiers)
    return Named(
        profile_ids=sorted({profile_id for profile_id in people.values() if profile_id is not None}),
        unmatched=[one for one, profile_id in people.items() if profile_id is None],
    )


def who_is(identifiers: Sequence[str]) -> dict[str, int | None]:
    """For each of the identifiers, written as namespace:value, whom it names; None where that is nobody."""
    read = {one: _read(one) for one in dict.fromkeys(identifiers)}
    uuids = {one.value for one in read.values() if isinstance(one, _Public)}
    names = {one for one in read.values() if isinstance(one, tuple)}
    found: dict[object, int] = {}
    with bound_cursor() as cursor:
        if names:
            cursor.execute(BY_NAME, [[namespace for namespace, _ in names], [value for _, value in names]])
            found |= {(namespace, value): profile_id for namespace, value, profile_id in cursor.fetchall()}
        if uuids:
            cursor.execute(BY_UUID, [[str(uuid) for uuid in uuids]])
            found |= {_Public(uuid): profile_id for uuid, profile_id in cursor.fetchall()}
    return {one: found.get(key) for one, key in read.items()}


@dataclass(frozen=True, slots=True)
class _Public:
    value: UUID


def _read(identifier: str) -> tuple[str, str] | _Public | None:
    """What to look for; None where nobody can be known by it."""
    namespace, colon, value = identifier.partition(":")
    if not colon or not NAMESPACE.fullmatch(namespace):
        return None
    if namespace == PUBLIC_ID:
        try:
            return _Public(UUID(value))
        except ValueError:
            return None
    try:
        wanted = normalise(namespace, value)
    except Unusable:
        return None
    return wanted.namespace, wanted.value

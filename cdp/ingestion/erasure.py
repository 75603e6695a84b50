"""Taking what waits, or could not be used, away from inbox and quarantine where it is one person's.

A message is a person's when the pipeline would give it to them: it is read for identifiers in the same way, and when it
names several people, decided by the same rules. What can't be told to be anybody's (no JSON, no usable identifier, only
identifiers that nobody has yet) stays, until quarantine is purged of it.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from cdp.database import bound_cursor
from cdp.identity.normalise import Identifier
from cdp.identity.resolve import Claim, possible, resolve
from cdp.ingestion.limits import Refusal
from cdp.ingestion.wire import joined, named_in, split

PAGE = 50  # requests read at once: one may have half a megabyte

WAITING = """
    SELECT i.id, i.endpoint, i.body, s.kind <> 'browser'
      FROM ingestion_inboxmessage i JOIN ingestion_source s ON s.id = i.source_id
"""
REFUSED = """
    SELECT q.id, q.endpoint, q.body, q.shared, s.kind <> 'browser'
      FROM ingestion_quarantined q JOIN ingestion_source s ON s.id = q.source_id
     WHERE q.replayed_at IS NULL AND q.discarded_at IS NULL AND q.id > %s ORDER BY q.id LIMIT %s
"""


class Whose:
    """Tells of messages whether they are one person's."""

    def __init__(self, profile_id: int, identifiers: Collection[Identifier]) -> None:
        self.profile_id = profile_id
        # Those that a message of theirs would link to them are theirs for the messages after it.
        self.theirs = set(identifiers)
        self._held = {profile_id: Counter(one.namespace for one in identifiers)}

    def is_theirs(self, claim: Claim) -> bool:
        named = possible(claim.identifiers)
        if self.theirs.isdisjoint(named):
            return False
        owners = self._owners(named)
        strongest = next((owners[one] for one in possible(claim.identifiers[:1]) if one in owners), None)
        if strongest is None:
            out = resolve([claim], known=owners, held=self._held)
            strongest = out.nodes[out.root(out.person[0])].profile_id
        if strongest != self.profile_id:
            return False
        self.theirs |= set(named) - owners.keys()
        return True

    def _owners(self, named: Collection[Identifier]) -> dict[Identifier, int]:
        with bound_cursor() as cursor:
            cursor.execute(
                "SELECT i.namespace, i.value, i.profile_id FROM profiles_identifier i"
                "  JOIN unnest(%s::text[], %s::text[]) AS g(namespace, value) USING (namespace, value)",
                [[one.namespace for one in named], [one.value for one in named]],
            )
            owners = {Identifier(namespace, value): owner for namespace, value, owner in cursor.fetchall()}
        return owners | dict.fromkeys(self.theirs.intersection(named), self.profile_id)


def take_from_inbox(whose: Whose) -> int:
    """How many waiting messages were the person's and are gone; a request that holds others' too goes on without them.

    Whoever processes some of them just now is waited for: what they say is stored then, or waits here again. Their rows
    are locked before any person, as a consumer does.
    """
    after, found = 0, list[int]()
    while rows := _asked(f"{WAITING} WHERE i.id > %s ORDER BY i.id LIMIT %s", [after, PAGE]):
        found += [row[0] for row in rows if any(is_theirs for _, is_theirs in _told_apart(row, whose)[0])]
        after = rows[-1][0]
    if not found:
        return 0
    taken = 0
    for row in _asked(f"{WAITING} WHERE i.id = ANY(%s::bigint[]) ORDER BY i.id FOR UPDATE OF i", [found]):
        items, around = _told_apart(row, whose)
        left = [item for item, is_theirs in items if not is_theirs]
        taken += len(items) - len(left)
        with bound_cursor() as cursor:
            if not left:
                cursor.execute("DELETE FROM ingestion_inboxmessage WHERE id = %s", [row[0]])
            elif len(left) < len(items):
                cursor.execute(
                    "UPDATE ingestion_inboxmessage SET body = %b, message_count = %s WHERE id = %s",
                    [joined(left, around), len(left), row[0]],
                )
    return taken


def _told_apart(row: tuple[Any, ...], whose: Whose) -> tuple[list[tuple[bytes, bool]], bytes]:
    """The messages of a request, each with whether it is the person's, and what their batch says of all."""
    _, endpoint, body, is_trusted = row
    try:
        items, around = split(endpoint, bytes(body))
    except Refusal:
        return [], b""
    claims = [named_in(item, endpoint=endpoint, is_trusted=is_trusted, shared=around) for item in items]
    return [
        (item, claim is not None and whose.is_theirs(claim)) for item, claim in zip(items, claims, strict=True)
    ], around


def quarantined_of(whose: Whose) -> list[int]:
    """The person's messages in quarantine, by their numbers."""
    after, found = 0, list[int]()
    while rows := _asked(REFUSED, [after, PAGE]):
        for number, endpoint, body, shared, is_trusted in rows:
            claim = named_in(bytes(body), endpoint=endpoint, is_trusted=is_trusted, shared=bytes(shared))
            if claim is not None and whose.is_theirs(claim):
                found.append(number)
        after = rows[-1][0]
    return found


def take_from_quarantine(whose: Whose) -> int:
    """How many quarantined messages were the person's and are gone. One that is replayed just now is in the inbox then."""
    found = quarantined_of(whose)
    if not found:
        return 0
    with bound_cursor() as cursor:
        cursor.execute(
            "DELETE FROM ingestion_quarantined"
            " WHERE id = ANY(%s::bigint[]) AND replayed_at IS NULL AND discarded_at IS NULL",
            [found],
        )
        return cursor.rowcount


def _asked(query: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with bound_cursor() as cursor:
        return cursor.execute(query, params).fetchall()

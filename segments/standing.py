"""How people stand, read from the tables for the reference engine: who they are, and what models say of them.

What conditions on it mean is in `segments.rules`; databases answer them by `segments.rules.standing`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cdp.database import bound_cursor
from segments.rules import Dependencies, Value

SCORES = """
    SELECT profile_id, kind || '.' || key, number, text FROM profiles_currentscore
     WHERE profile_id = ANY(%s::bigint[]) AND kind = ANY(%s::text[]) AND kind || '.' || key = ANY(%s::text[])
"""


@dataclass(slots=True)
class Stands:
    """One person, as far as some rules ask; fields are those of `segments.rules.Person`."""

    uuid: UUID
    scores: dict[str, Value] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, Any]:
        """What the reference engine's person takes of it."""
        return {"uuid": self.uuid, "scores": self.scores}


def how_people_stand(profile_ids: Collection[int], rules: Sequence[Dependencies]) -> dict[int, Stands]:
    """Those of the people who exist, with what rules that depend on this may ask of them."""
    ids = sorted(profile_ids)
    with bound_cursor() as cursor:
        cursor.execute("SELECT id, uuid FROM profiles_profile WHERE id = ANY(%s::bigint[])", [ids])
        found = {profile_id: Stands(uuid=uuid) for profile_id, uuid in cursor.fetchall()}
        scores = sorted({key for one in rules for key in one.scores})
        if scores:
            kinds = sorted({kind for one in rules for kind in one.score_kinds})
            cursor.execute(SCORES, [ids, kinds, scores])
            for profile_id, key, number, text in cursor.fetchall():
                if profile_id in found:
                    found[profile_id].scores[key] = Value(number=number, text=text)
    return found

"""How people stand, read from the tables for the reference engine: who they are, what models say, what they permit,
and on which lists they are.

What conditions on it mean is in `segments.rules`; databases answer them by `segments.rules.standing`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from cdp.database import bound_cursor
from consent.models import ConsentState, ConsentStopped, Decision, Mode, Purpose
from segments.models import ListEntry
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
    permits: dict[str, datetime | None] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()

    @property
    def asked(self) -> dict[str, Any]:
        """What the reference engine's person takes of it."""
        return {"uuid": self.uuid, "scores": self.scores, "permits": self.permits, "lists": self.lists}


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
    _add_permissions(found, {key for one in rules for key in one.purposes})
    if lists := {key for one in rules for key in one.lists}:
        entries = ListEntry.objects.filter(profile__in=list(found), list__key__in=lists)
        for profile_id, key in entries.values_list("profile_id", "list__key"):
            found[profile_id].lists |= {key}
    return found


def _add_permissions(found: dict[int, Stands], keys: set[str]) -> None:
    """What each permits and until when; `consent.querysets.permitted` told of one moment after the other."""
    if not keys:
        return
    for purpose in Purpose.objects.filter(key__in=keys):
        states = ConsentState.objects.filter(purpose=purpose, profile__in=list(found))
        if purpose.mode == Mode.OPT_IN:
            granted = states.filter(decision=Decision.GRANTED)
            for profile_id, expires_at in granted.values_list("profile_id", "expires_at"):
                found[profile_id].permits[purpose.key] = expires_at
            continue
        objecting = states.exclude(decision=Decision.GRANTED) if purpose.mode == Mode.OPT_OUT else states.none()
        for profile_id in found.keys() - set(objecting.values_list("profile_id", flat=True)):
            found[profile_id].permits[purpose.key] = None
    stopped = ConsentStopped.objects.filter(purpose__key__in=keys, profile_id__in=list(found))
    for profile_id, key in stopped.values_list("profile_id", "purpose__key"):
        found[profile_id].permits.pop(key, None)

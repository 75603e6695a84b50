"""How one person stands, in one statement: for whoever makes a page while they wait.

All of it is read at once and nothing of it is kept, so it is never older than the question
(`docs/adr/0046-a-look-up-is-one-statement.md`). Who may ask, and how it is answered and counted, is up to the doors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from cdp.database import ask_for_one, bound_cursor
from cdp.errors import DomainError, DomainErrors
from cdp.identity.merging import survivors_of
from cdp.identity.normalise import Identifier, Unusable, normalise
from segments.api_people import PUBLIC_ID, UNKNOWN, find, parted

BY_IDENTIFIER: Final = """
    SELECT p.id, p.uuid FROM profiles_identifier i JOIN profiles_profile p ON p.id = i.profile_id
     WHERE i.namespace = %(namespace)s AND i.value = %(value)s"""
# Whoever is named twice is told twice, each at its place.
BY_IDENTIFIERS: Final = """
    SELECT p.id, p.uuid, n.place
      FROM unnest(%(namespaces)s::text[], %(values)s::text[]) WITH ORDINALITY AS n (namespace, value, place)
      JOIN profiles_identifier i ON i.namespace = n.namespace AND i.value = n.value
      JOIN profiles_profile p ON p.id = i.profile_id
     UNION ALL
    SELECT p.id, p.uuid, n.place
      FROM unnest(%(numbers)s::bigint[], %(places)s::bigint[]) AS n (number, place) JOIN profiles_profile p ON p.id = n.number"""
BY_NUMBER: Final = "SELECT p.id, p.uuid FROM profiles_profile p WHERE p.id = %(profile)s"
# The same people as `consent.querysets.permitted`, told of one person.
PERMITS: Final = """
    NOT EXISTS (SELECT FROM consent_stopped s WHERE s.purpose_id = q.id AND s.profile_id = who.id)
    AND CASE q.mode
        WHEN 'notice_only' THEN true
        WHEN 'opt_in' THEN EXISTS (SELECT FROM consent_consentstate c WHERE c.purpose_id = q.id AND c.profile_id = who.id
                                      AND c.decision = 'granted' AND (c.expires_at IS NULL OR c.expires_at > statement_timestamp()))
        WHEN 'opt_out' THEN NOT EXISTS (SELECT FROM consent_consentstate c WHERE c.purpose_id = q.id
                                           AND c.profile_id = who.id AND c.decision <> 'granted')
        ELSE false END"""
# The same segments as `segments.sharing.visible_segments`, of those whose members can be read.
VISIBLE: Final = """
    WITH right_to_see AS MATERIALIZED (
        SELECT p.id FROM auth_permission p JOIN django_content_type t ON t.id = p.content_type_id
         WHERE t.app_label = 'segments' AND t.model = 'segment' AND p.codename = 'view_segment'
    ), caller AS MATERIALIZED (
        SELECT u.is_superuser
            OR EXISTS (SELECT FROM auth_user_user_permissions x
                        WHERE x.user_id = u.id AND x.permission_id = (SELECT id FROM right_to_see))
            OR EXISTS (SELECT FROM auth_user_groups g JOIN auth_group_permissions x USING (group_id)
                        WHERE g.user_id = u.id AND x.permission_id = (SELECT id FROM right_to_see)) AS sees_all
          FROM auth_user u WHERE u.id = %(user)s AND u.is_active
    )"""
IS_VISIBLE: Final = """
    ((SELECT sees_all FROM caller)
     OR EXISTS (SELECT FROM segments_segmentuserpermission o WHERE o.user_id = %(user)s AND o.content_object_id = s.id
                   AND o.permission_id = (SELECT id FROM right_to_see))
     OR EXISTS (SELECT FROM segments_segmentgrouppermission o JOIN auth_user_groups g USING (group_id)
                 WHERE g.user_id = %(user)s AND o.content_object_id = s.id
                   AND o.permission_id = (SELECT id FROM right_to_see)))"""
STANDING: Final = """
    {before}
    SELECT who.id, who.uuid, {place},
           (SELECT json_agg(json_build_object('key', s.key, 'name', s.name, 'status', s.status, 'entered_at', m.entered_at)
                            ORDER BY s.key)::text
              FROM segments_membership m JOIN segments_segment s ON s.id = m.segment_id
             WHERE m.profile_id = who.id AND s.status IN ('live', 'paused') AND {shown}),
           (SELECT json_agg(json_build_array(s.kind, s.key, s.number, s.text) ORDER BY s.kind, s.key)::text
              FROM profiles_currentscore s WHERE s.profile_id = who.id),
           (SELECT json_agg(s.key)::text
              FROM segments_membership m JOIN segments_segment s ON s.id = m.segment_id
             WHERE m.profile_id = who.id AND s.status IN ('live', 'paused') AND s.key = ANY(%(asked)s::text[]))
      FROM ({who}) AS who, consent_purpose q
     WHERE q.key = %(purpose)s AND q.key <> 'privacy_rights' AND {permits}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How somebody who permits the purpose stands now.

    Args:
        segments: those that are shown: key, name, status, entered_at.
        scores: of published runs, by `kind.key`: number, label.
        within: which of the segments that were asked about they are in, shown or not.
    """

    profile_id: int
    uuid: UUID
    segments: list[dict[str, Any]]
    scores: Mapping[str, Mapping[str, Any]]
    within: frozenset[str]

    @property
    def personas(self) -> frozenset[str]:
        """Keys of the personas they belong to."""
        return frozenset(
            key.removeprefix("persona.")
            for key in self.scores
            if key.startswith("persona.") and key != "persona.persona"
        )

    @property
    def persona(self) -> str | None:
        """The name of the first of them, by the order that somebody gave them."""
        return self._label("persona.persona")

    @property
    def rfm_group(self) -> str | None:
        """The key of the group that the newest run of RFM put them in."""
        return self._label("rfm.group")

    def _label(self, score: str) -> str | None:
        said = self.scores.get(score)
        return said["label"] if said else None


def look_up(identifier: str, *, purpose: str, user_id: int, asked: frozenset[str] = frozenset()) -> Standing:
    """How the person stands who answers to this ``namespace:value``, in segments that the user may see.

    Args:
        purpose: the key of one that is there, and that the caller may read people for.
        asked: keys of segments, of which it is told beside whether they are in.

    Raises:
        DomainError: no ``namespace:value``.
        NotFound: nobody answers to it, or they don't permit the purpose.
    """
    namespace, value = parted(identifier)
    operands: dict[str, Any] = {"purpose": purpose, "user": user_id, "asked": sorted(asked)}
    if namespace == PUBLIC_ID:
        # Whoever was merged into another answers as that one.
        _, profile = find(identifier)
        return _standing(OF_NUMBER, {**operands, "profile": profile.pk})
    named = _normalised(namespace, value)
    return _standing(OF_IDENTIFIER, {**operands, "namespace": named.namespace, "value": named.value})


def look_up_in_public(*, namespace: str, value: str, purpose: str, asked: frozenset[str] = frozenset()) -> Standing:
    """The same for anybody's eyes: in public segments.

    Raises:
        NotFound: as `look_up`.
    """
    named = _normalised(namespace, value)
    operands = {"purpose": purpose, "asked": sorted(asked), "namespace": named.namespace, "value": named.value}
    return _standing(IN_PUBLIC, operands)


def standing_of(profile_id: int, *, purpose: str, user_id: int, asked: frozenset[str] = frozenset()) -> Standing:
    """The same of a profile that is at hand.

    Raises:
        NotFound: it is gone, or doesn't permit the purpose.
    """
    return _standing(OF_NUMBER, {"purpose": purpose, "user": user_id, "asked": sorted(asked), "profile": profile_id})


def look_up_many(identifiers: Sequence[str], *, purpose: str, user_id: int) -> list[Standing | None]:
    """The same of many, each at its place, by one statement; None for who isn't known or doesn't permit the purpose.

    Raises:
        DomainErrors: one for each that is no ``namespace:value``.
    """
    named: dict[int, Identifier] = {}
    by_id: dict[int, UUID] = {}
    errors: list[DomainError] = []
    for place, identifier in enumerate(identifiers):
        try:
            namespace, value = parted(identifier)
            if namespace == PUBLIC_ID:
                by_id[place] = UUID(value)
            else:
                named[place] = normalise(namespace, value)
        except (Unusable, ValueError):
            continue  # nobody answers to it
        except DomainError as error:
            errors.append(DomainError(error.code, error.message, f"/identifiers/{place}"))
    if errors:
        raise DomainErrors(errors)
    numbers = survivors_of(by_id.values())
    known = {place: numbers[uuid] for place, uuid in by_id.items() if uuid in numbers}
    places = list(named)
    operands = {
        "purpose": purpose,
        "user": user_id,
        "asked": [],
        "namespaces": [named[place].namespace for place in places],
        "values": [named[place].value for place in places],
        "numbers": list(known.values()),
        # Beyond those that are numbered by their place among the named.
        "places": [len(places) + number for number in range(1, len(known) + 1)],
    }
    order = [*places, *known]
    found: list[Standing | None] = [None] * len(identifiers)
    with bound_cursor() as cursor:
        cursor.execute(OF_MANY, operands)
        for row in cursor.fetchall():
            found[order[row[2] - 1]] = _standing_in(row)
    return found


def _text_of(*, before: str, shown: str, who: str, place: str = "q.id") -> str:
    # Put together from the texts above alone; operands go to the server apart.
    return STANDING.format(before=before, shown=shown, who=who, permits=PERMITS, place=place)


OF_IDENTIFIER: Final = _text_of(before=VISIBLE, shown=IS_VISIBLE, who=BY_IDENTIFIER)
OF_MANY: Final = _text_of(before=VISIBLE, shown=IS_VISIBLE, who=BY_IDENTIFIERS, place="who.place")
OF_NUMBER: Final = _text_of(before=VISIBLE, shown=IS_VISIBLE, who=BY_NUMBER)
IN_PUBLIC: Final = _text_of(before="", shown="s.is_public", who=BY_IDENTIFIER)


def _standing(sql: str, operands: Mapping[str, Any]) -> Standing:
    row = ask_for_one(sql, operands)
    if row is None:
        raise UNKNOWN
    return _standing_in(row)


def _standing_in(row: tuple[Any, ...]) -> Standing:
    profile_id, uuid, _, segments, scores, within = row
    return Standing(
        profile_id=profile_id,
        uuid=uuid,
        segments=_listed(segments),
        scores={f"{kind}.{key}": {"number": number, "label": label} for kind, key, number, label in _listed(scores)},
        within=frozenset(_listed(within)),
    )


def _listed(text: str | None) -> list[Any]:
    return msgspec.json.decode(text) if text else []


def _normalised(namespace: str, value: str) -> Identifier:
    try:
        return normalise(namespace, value)
    except Unusable:
        raise UNKNOWN from None

"""All that is known of one person, kind by kind, as rows that are read one after the other and never all at once.

What becomes of the rows (JSON, CSV, a page) is in `cdp.privacy.exporting`. Each kind says in its first words what a person
may wonder about it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from cdp.database import bound_cursor
from cdp.vault.sealing import Unopenable
from cdp.vault.services import open_sealed
from segments.models import SegmentVersion
from segments.serializers import sentence

AT_ONCE: Final = 500
JSONB: Final = 3802  # its number among PostgreSQL's types


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of what is known: its name in files, its heading, what it is in plain words, and how it is asked for.

    The statement has `ids` (all profiles that are the person), `uuids` of these, and gives its columns by name.
    """

    name: str
    title: str
    about: str
    sql: str


PROFILE: Final = Kind(
    name="profile",
    title="You",
    about="What we call you, and since when we have known of you. Profiles that proved to be yours are listed with it.",
    sql="""
        SELECT uuid, first_seen_at, last_seen_at, created_at, NULL::timestamptz AS merged_at, '' AS merged_because
          FROM profiles_profile WHERE id = ANY(%(ids)s::bigint[])
        UNION ALL
        SELECT absorbed_uuid, absorbed_first_seen_at, absorbed_last_seen_at, absorbed_created_at, merged_at, reason
          FROM identity_merge WHERE absorbed_id = ANY(%(ids)s::bigint[]) AND undone_at IS NULL
        ORDER BY first_seen_at
    """,
)
IDENTIFIERS: Final = Kind(
    name="identifiers",
    title="What you are known by",
    about="Numbers, addresses and device ids that lead to you, when each was seen, and who sent it first.",
    sql="""
        SELECT i.namespace, i.value, i.first_seen_at, i.last_seen_at, s.name AS source
          FROM profiles_identifier i LEFT JOIN ingestion_source s ON s.id = i.source_id
         WHERE i.profile_id = ANY(%(ids)s::bigint[]) ORDER BY i.namespace, i.first_seen_at
    """,
)
TRAITS: Final = Kind(
    name="traits",
    title="What was said of you",
    about="The newest value of each, when it was said, and where it came from.",
    sql="""
        SELECT t.key, t.label, v.raw AS value, v.occurred_at AS said_at, s.name AS source
          FROM profiles_traitvalue v JOIN profiles_trait t ON t.id = v.trait_id
          LEFT JOIN ingestion_source s ON s.id = v.source_id
         WHERE v.profile_id = ANY(%(ids)s::bigint[]) ORDER BY t.label
    """,
)
EVENTS: Final = Kind(
    name="events",
    title="What you did",
    about="Every event we have of you, newest first, also those we worked out ourselves (derived) and those that no longer count.",
    sql="""
        SELECT e.occurred_at, n.name, e.type = 7 AS is_derived, e.name_id < 0 AS is_superseded, e.received_at, s.name AS source,
               e.amount, e.currency, e.value AS value_in_our_currency, e.order_key, e.properties, e.context, e.flags, e.message_id
          FROM profiles_event e JOIN profiles_eventname n ON n.id = abs(e.name_id)
          LEFT JOIN ingestion_source s ON s.id = e.source_id
         WHERE e.profile_id = ANY(%(ids)s::bigint[]) ORDER BY e.occurred_at DESC, e.message_id
    """,
)
TOTALS: Final = Kind(
    name="totals",
    title="How often",
    about="Of each kind of event how many there are, what they come to, and the first and the last of them.",
    sql="""
        SELECT n.name, t.count, t.value_sum, t.first_at, t.last_at
          FROM profiles_eventtotal t JOIN profiles_eventname n ON n.id = t.name_id
         WHERE t.profile_id = ANY(%(ids)s::bigint[]) ORDER BY t.count DESC, n.name
    """,
)
SESSIONS: Final = Kind(
    name="sessions",
    title="Your visits",
    about="Events that follow each other within half an hour make a visit; we work that out.",
    sql="""
        SELECT started_at, ended_at, events, entry_page, utm_source, utm_medium, utm_campaign
          FROM profiles_session WHERE profile_id = ANY(%(ids)s::bigint[]) ORDER BY started_at DESC
    """,
)
SCORES: Final = Kind(
    name="scores",
    title="What our models say of you",
    about="A number or a name that a calculation gave you, which calculation it was, and when it was made.",
    sql="""
        SELECT r.kind, s.key, s.number, s.label, r.version AS model_version, r.published_at, r.is_current
          FROM profiles_score s JOIN profiles_scorerun r ON r.id = s.run_id
         WHERE s.profile_id = ANY(%(ids)s::bigint[]) ORDER BY r.kind, s.key, r.published_at DESC
    """,
)
SCORE_HISTORY: Final = Kind(
    name="score_history",
    title="How you moved between our groups of buyers",
    about="By how long ago, how often and for how much you bought: the group before and after, each time it changed.",
    sql="""
        SELECT r.published_at, m.before, m.after FROM segments_rfmmove m JOIN segments_rfmrun r ON r.id = m.run_id
         WHERE m.profile_id = ANY(%(ids)s::bigint[]) ORDER BY r.published_at DESC
    """,
)
SEGMENTS: Final = Kind(
    name="segments",
    title="The groups you are in",
    about="Each with the rule by which you belong to it, since when, and what brought you in.",
    sql="""
        SELECT s.key, s.name, m.entered_at, s.live_version_id AS version,
               (SELECT c.why FROM segments_membershipchange c
                 WHERE c.segment_id = s.id AND c.profile_id = m.profile_id AND c.kind = 'entered'
                 ORDER BY c.position DESC LIMIT 1) AS brought_in_by
          FROM segments_membership m JOIN segments_segment s ON s.id = m.segment_id
         WHERE m.profile_id = ANY(%(ids)s::bigint[]) ORDER BY s.key
    """,
)
SEGMENT_HISTORY: Final = Kind(
    name="segment_history",
    title="The groups you came into and left",
    about="Each time, when it took effect and why.",
    sql="""
        SELECT s.key, c.kind, c.effective_at, c.why, c.recorded_at
          FROM segments_membershipchange c LEFT JOIN segments_segment s ON s.id = c.segment_id
         WHERE c.profile_id = ANY(%(ids)s::bigint[]) ORDER BY c.position DESC
    """,
)
LISTS: Final = Kind(
    name="lists",
    title="Lists you were put on",
    about="By hand or by a system, and for what reason.",
    sql="""
        SELECT l.key, l.name, e.added_at, e.reason FROM segments_listentry e JOIN segments_staticlist l ON l.id = e.list_id
         WHERE e.profile_id = ANY(%(ids)s::bigint[]) ORDER BY l.key
    """,
)
CONSENTS: Final = Kind(
    name="consents",
    title="What you permit",
    about="For each purpose what holds now, what you were told it is for, and on what in the law it rests.",
    sql="""
        SELECT p.key, p.label, p.text, p.lawful_basis, p.mode, s.decision, s.collected_at, s.expires_at,
               EXISTS (SELECT FROM consent_stopped x WHERE x.purpose_id = p.id AND x.profile_id = ANY(%(ids)s::bigint[])) AS is_stopped
          FROM consent_purpose p
          LEFT JOIN consent_consentstate s ON s.purpose_id = p.id AND s.profile_id = ANY(%(ids)s::bigint[])
         ORDER BY p.key
    """,
)
CONSENT_RECORDS: Final = Kind(
    name="consent_records",
    title="Every decision of yours",
    about="As it was made and as we learned it: how, by which wording, and with what evidence.",
    sql="""
        SELECT r.uuid, p.key AS purpose, r.decision, r.method, r.reach, r.collected_at, r.recorded_at, r.expires_at, r.jurisdiction,
               s.name AS source, n.key AS notice, v.number AS notice_version, v.locale, v.sha256 AS notice_sha256,
               convert_from(v.content, 'UTF8') AS notice_text, r.evidence, r.sealed_evidence, r.profile_id AS subject_id
          FROM consent_consentrecord r JOIN consent_purpose p ON p.id = r.purpose_id
          LEFT JOIN consent_noticeversion v ON v.id = r.notice_version_id LEFT JOIN consent_notice n ON n.id = v.notice_id
          LEFT JOIN ingestion_source s ON s.id = r.source_id
         WHERE r.profile_id = ANY(%(ids)s::bigint[]) ORDER BY r.collected_at DESC, r.id DESC
    """,
)
NOTICES_SERVED: Final = Kind(
    name="notices_shown",
    title="What you were shown",
    about="Each time one of our notices was put before you.",
    sql="""
        SELECT d.served_at, n.key AS notice, v.number AS version, v.locale, d.place
          FROM consent_servednotice d JOIN consent_noticeversion v ON v.id = d.version_id
          JOIN consent_notice n ON n.id = v.notice_id
         WHERE d.profile_id = ANY(%(ids)s::bigint[]) ORDER BY d.served_at DESC
    """,
)
STOPS: Final = Kind(
    name="stops",
    title="What you had us stop",
    about="From when on, and until when: restrictions, and objections to more than one purpose.",
    sql="""
        SELECT kind, since, lifted_at, why AS because_of FROM consent_stop
         WHERE profile_id = ANY(%(ids)s::bigint[]) ORDER BY since DESC, kind
    """,
)
SIGNALS: Final = Kind(
    name="signals",
    title="What your browsers say",
    about="Signals such as Global Privacy Control, as each of your devices sent it last, and what it meant for us.",
    sql="""
        SELECT i.value AS device, s.kind, s.stances, s.heard_at
          FROM consent_signalheard s JOIN profiles_identifier i ON i.id = s.device_id
         WHERE i.profile_id = ANY(%(ids)s::bigint[]) ORDER BY s.heard_at DESC, s.kind
    """,
)
UNUSABLE: Final = Kind(
    name="unusable_messages",
    title="What we couldn't use",
    about="Messages about you that had an error in them. They are kept for some days, for somebody to mend, and used for nothing.",
    sql="""
        SELECT q.received_at, s.name AS source, q.code, q.pointer, convert_from(q.body, 'UTF8') AS message
          FROM ingestion_quarantined q LEFT JOIN ingestion_source s ON s.id = q.source_id
         WHERE q.id = ANY(%(quarantined)s::bigint[]) ORDER BY q.id
    """,
)
REQUESTS: Final = Kind(
    name="requests",
    title="What you asked of us",
    about="Requests about your data, by which law and by when we had to answer, and what became of them.",
    sql="""
        SELECT 'PR-' || id AS number, kind, objects_to, state, came_by, received_at, law, due_on, was_due_on, extension_reason,
               identity_method, identity_at, refusal_reason, closed_at
          FROM privacy_privacyrequest WHERE profile_uuid = ANY(%(uuids)s::uuid[]) ORDER BY id
    """,
)
READ_BY: Final = Kind(
    name="read_by",
    title="Who read your data, and what for",
    about="Systems by their name, our staff as staff. When the members of a group you are in were read, that is listed too.",
    sql="""
        SELECT a.recorded_at, CASE a.actor_kind WHEN 'user' THEN 'staff' ELSE a.actor_label END AS reader, a.action, a.purpose,
               '' AS segment
          FROM audit_auditentry a
         WHERE a.object_type = 'profiles.profile' AND a.object_id = ANY(%(uuids)s::text[])
        UNION ALL
        SELECT a.recorded_at, CASE a.actor_kind WHEN 'user' THEN 'staff' ELSE a.actor_label END, a.action, a.purpose, ''
          FROM audit_auditentry a WHERE a.action = 'member.read' AND a.detail->>'profile' = ANY(%(uuids)s::text[])
        UNION ALL
        SELECT a.recorded_at, CASE a.actor_kind WHEN 'user' THEN 'staff' ELSE a.actor_label END, a.action, a.purpose, s.key
          FROM segments_segment s
          JOIN LATERAL (SELECT min(c.effective_at) AS since FROM segments_membershipchange c
                         WHERE c.segment_id = s.id AND c.profile_id = ANY(%(ids)s::bigint[])) AS been ON been.since IS NOT NULL
          JOIN audit_auditentry a ON a.object_type = 'segments.segment' AND a.object_id = s.uuid::text
               AND a.action IN ('members.read', 'members.viewed', 'members.exported', 'segment.previewed') AND a.recorded_at >= been.since
         ORDER BY 1 DESC
    """,
)
KINDS: Final = (
    PROFILE, IDENTIFIERS, TRAITS, EVENTS, TOTALS, SESSIONS, SCORES, SCORE_HISTORY, SEGMENTS, SEGMENT_HISTORY, LISTS,
    CONSENTS, CONSENT_RECORDS, NOTICES_SERVED, STOPS, SIGNALS, UNUSABLE, REQUESTS, READ_BY,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Whose:
    """The person: numbers of all profiles that are them, and the ids by which the audit log names these; and the numbers of their
    messages in quarantine, which only reading all of it can tell."""

    ids: Sequence[int]
    uuids: Sequence[UUID]
    quarantined: Sequence[int] = ()


def rows_of(kind: Kind, whose: Whose, *, most: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows, one by one, by the names of their columns. Ask within one snapshot, and read to the end.

    Args:
        most: not more than so many. Whoever stopped reading would end the transaction with the statement.
    """
    uuids = sorted(str(one) for one in whose.uuids)
    asked = {"ids": sorted(whose.ids), "uuids": uuids, "quarantined": list(whose.quarantined), "most": most}
    rows = _streamed(kind, asked)
    # More is asked about each of these, which can't be while they are being read; of both a person has few.
    match kind.name:
        case "segments":
            return map(_with_rule, list(rows))
        case "consent_records":
            return map(_with_evidence, list(rows))
        case _:
            return rows


def _streamed(kind: Kind, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    with bound_cursor() as cursor:
        columns: list[tuple[str, bool]] = []
        for row in cursor.stream(kind.sql + " LIMIT %(most)s::bigint", asked, size=AT_ONCE):
            columns = columns or [(column.name, column.type_code == JSONB) for column in cursor.description or ()]
            yield {
                name: _read(value) if is_json else value for (name, is_json), value in zip(columns, row, strict=True)
            }


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _with_rule(row: dict[str, Any]) -> dict[str, Any]:
    version = SegmentVersion.objects.filter(pk=row.pop("version")).first()
    return row | {"rule": (sentence(version) or "") if version else ""}


def _with_evidence(row: dict[str, Any]) -> dict[str, Any]:
    sealed, subject_id = row.pop("sealed_evidence"), row.pop("subject_id")
    if sealed is None:
        return row
    return row | {"evidence": {**row["evidence"], **_opened(subject_id, row["uuid"], bytes(sealed))}}


def _opened(subject_id: int, entry_id: UUID, sealed: bytes) -> dict[str, Any]:
    try:
        payload = open_sealed(subject_id=subject_id, entry_id=entry_id, sealed=sealed)
    except Unopenable:
        # It is on record, and unreadable for us as well: the rest of the answer must not fail for it.
        return {"sealed": "can't be opened"}
    if payload is None:
        return {"sealed": "destroyed"}
    found = json.loads(payload)
    return found if isinstance(found, dict) else {"sealed": found}

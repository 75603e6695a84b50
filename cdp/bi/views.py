"""The views of the schema `bi`: what each says, column by column, and its statement. Nothing here touches the database.

Whoever connects sees these and nothing else. None holds personal data: no identifiers, no traits that the catalogue, their type or their
name calls personal, and no text in which an email address stands. Views of people hold only who permits the purpose that the operator
named for it (`CDP_BI_PURPOSE`), at the moment of each query; a purpose that there isn't permits nobody.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from psycopg import sql

from cdp.profiles.masking import EMAIL, PERSONAL_PROPERTY

SCHEMA: Final = "bi"


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """``columns`` are in the order of the statement."""

    name: str
    about: str
    columns: Mapping[str, str]
    statement: str


PERSON: Final = {"profile": "The person's id; the same in all views."}
# The same question as `consent.querysets.permitted`; a test holds the two together. Not a view of its own: who connects needn't see it.
PERMITTED: Final = """
    (SELECT p.id, p.uuid, p.first_seen_at, p.last_seen_at, p.created_at FROM public.profiles_profile p
       JOIN public.consent_purpose q ON q.key = {purpose} AND q.key <> 'privacy_rights'
       LEFT JOIN public.consent_consentstate s ON s.purpose_id = q.id AND s.profile_id = p.id
      WHERE NOT EXISTS (SELECT FROM public.consent_stopped t WHERE t.purpose_id = q.id AND t.profile_id = p.id)
        AND CASE q.mode WHEN 'notice_only' THEN true
                        WHEN 'opt_in' THEN s.decision = 'granted' AND (s.expires_at IS NULL OR s.expires_at > now())
                        WHEN 'opt_out' THEN s.decision IS NULL OR s.decision = 'granted'
                        ELSE false END)"""
NOT_PERSONAL: Final = r"""
    NOT t.is_pii AND t.type NOT IN ('email', 'phone')
    AND lower(regexp_replace(t.key, '([a-z0-9])([A-Z])', '\1_\2', 'g')) !~ {personal}"""

VIEWS: Final = (
    View(
        name="people",
        about="Everybody who permits it, one row each.",
        columns={
            **PERSON,
            "first_seen_at": "When they were seen first.",
            "last_seen_at": "When they were seen last.",
            "created_at": "When the platform made their profile.",
        },
        statement="SELECT p.uuid, p.first_seen_at, p.last_seen_at, p.created_at FROM {permitted} AS p",
    ),
    View(
        name="traits",
        about="What is known of people, a row for each person and trait that isn't personal data.",
        columns={
            **PERSON,
            "trait": "Its key in the catalogue.",
            "text": "The value as text; empty where an email address stands in it.",
            "number": "The value as a number, where it is one.",
            "boolean": "The value as yes or no, where it is one.",
            "moment": "The value as a moment, where it is one.",
            "said_at": "When it was said.",
        },
        statement="""
            SELECT p.uuid, t.key, CASE WHEN v.text !~ {email} THEN v.text END, v.number, v.boolean, v.moment, v.occurred_at
              FROM {permitted} AS p
              JOIN public.profiles_traitvalue v ON v.profile_id = p.id
              JOIN public.profiles_trait t ON t.id = v.trait_id AND {not_personal}""",
    ),
    View(
        name="activity",
        about="What people did, a row for each person and kind of event.",
        columns={
            **PERSON,
            "event": "Its name.",
            "count": "How often.",
            "value": "The sum of its values, in the reporting currency.",
            "first_at": "When they did it first.",
            "last_at": "When they did it last.",
        },
        statement="""
            SELECT p.uuid, n.name, e.count, e.value_sum, e.first_at, e.last_at
              FROM {permitted} AS p
              JOIN public.profiles_eventtotal e ON e.profile_id = p.id
              JOIN public.profiles_eventname n ON n.id = e.name_id""",
    ),
    View(
        name="segments",
        about="Segments, archived ones too. Without their rules, which may name people.",
        columns={
            "segment": "Its key.",
            "name": "What it is called.",
            "status": "draft, live, paused or archived.",
            "folder": "Where it is filed.",
            "tags": "Its tags.",
            "members": "How many are in it, whoever permits what.",
            "last_refreshed_at": "When everybody was last judged.",
            "created_at": "When it was made.",
        },
        statement="SELECT key, name, status, folder, tags, member_count, last_refreshed_at, created_at FROM public.segments_segment",
    ),
    View(
        name="segment_members",
        about="Who is in which live or paused segment, of those who permit it.",
        columns={"segment": "Its key.", **PERSON, "entered_at": "Since when."},
        statement="""
            SELECT s.key, p.uuid, m.entered_at
              FROM public.segments_segment s
              JOIN public.segments_membership m ON m.segment_id = s.id
              JOIN {permitted} AS p ON p.id = m.profile_id
             WHERE s.status IN ('live', 'paused')""",
    ),
    View(
        name="segment_days",
        about="How many came to each segment and left it, by day, as far back as changes are kept.",
        columns={
            "segment": "Its key.",
            "day": "In the workspace's time zone.",
            "entered": "How many came.",
            "exited": "How many left.",
        },
        statement="""
            SELECT s.key, (c.recorded_at AT TIME ZONE w.time_zone)::date,
                   count(*) FILTER (WHERE c.kind = 'entered'), count(*) FILTER (WHERE c.kind = 'exited')
              FROM public.segments_membershipchange c
              JOIN public.segments_segment s ON s.id = c.segment_id
             CROSS JOIN public.profiles_workspace w
             GROUP BY 1, 2""",
    ),
    View(
        name="scores",
        about="What the current run of each model says of people: RFM, clusters, personas and others.",
        columns={
            **PERSON,
            "model": "Which: rfm, clusters, …",
            "score": "Its key: group, recency, …",
            "number": "As a number, where it is one.",
            "label": "As a word, where it is one.",
            "published_at": "When the run was published.",
        },
        statement="""
            SELECT p.uuid, r.kind, s.key, s.number, s.label, r.published_at
              FROM public.profiles_scorerun r
              JOIN public.profiles_score s ON s.run_id = r.id
              JOIN {permitted} AS p ON p.id = s.profile_id
             WHERE r.is_current""",
    ),
    View(
        name="rfm",
        about="RFM of each person in the current run, one row each.",
        columns={
            **PERSON,
            "rfm_group": "The group's name.",
            "recency": "Grade of how recently they bought.",
            "frequency": "Grade of how often they bought.",
            "monetary": "Grade of how much they spent.",
            "published_at": "When the run was published.",
        },
        statement="""
            SELECT p.uuid, max(s.label) FILTER (WHERE s.key = 'group'), max(s.number) FILTER (WHERE s.key = 'recency'),
                   max(s.number) FILTER (WHERE s.key = 'frequency'), max(s.number) FILTER (WHERE s.key = 'monetary'), r.published_at
              FROM public.profiles_scorerun r
              JOIN public.profiles_score s ON s.run_id = r.id
              JOIN {permitted} AS p ON p.id = s.profile_id
             WHERE r.is_current AND r.kind = 'rfm'
             GROUP BY p.uuid, r.published_at""",
    ),
    View(
        name="consents",
        about="What holds now of what people decided, of those who permit this use; a row for each person and purpose.",
        columns={
            **PERSON,
            "purpose": "Its key.",
            "decision": "granted, denied or withdrawn.",
            "decided_at": "When they said so.",
            "expires_at": "When a yes ends; empty: it doesn't.",
        },
        statement="""
            SELECT p.uuid, q.key, s.decision, s.collected_at, s.expires_at
              FROM {permitted} AS p
              JOIN public.consent_consentstate s ON s.profile_id = p.id
              JOIN public.consent_purpose q ON q.id = s.purpose_id""",
    ),
    View(
        name="consent_counts",
        about="How many decided what about each purpose, everybody counted and nobody named.",
        columns={"purpose": "Its key.", "decision": "granted, denied or withdrawn; ended: a yes that is over.", "people": "How many."},
        statement="""
            SELECT q.key, CASE WHEN s.decision = 'granted' AND s.expires_at <= now() THEN 'ended' ELSE s.decision END, count(*)
              FROM public.consent_consentstate s JOIN public.consent_purpose q ON q.id = s.purpose_id
             GROUP BY 1, 2""",
    ),
    View(
        name="audiences",
        about="What is handed on to other systems, and for what.",
        columns={
            "audience": "Its key.",
            "name": "What it is called.",
            "segment": "The key of its segment.",
            "purpose": "The key of its purpose.",
            "channel": "By what people are reached; empty: by anything.",
            "members": "How many are in it.",
            "created_at": "When it was made.",
        },
        statement="""
            SELECT a.key, a.name, s.key, q.key, a.channel, a.size, a.created_at
              FROM public.activation_audience a
              JOIN public.segments_segment s ON s.id = a.segment_id
              JOIN public.consent_purpose q ON q.id = a.purpose_id""",
    ),
)  # fmt: skip


def statements() -> list[sql.Composed]:
    """What makes all of them, in a schema that is empty."""
    # PostgreSQL's own words for the same: its `\\s` and groups are those of Python here.
    constants = {"purpose": settings.BI_PURPOSE, "email": EMAIL.pattern, "personal": PERSONAL_PROPERTY.pattern}
    literals = {name: sql.Literal(text) for name, text in constants.items()}
    parts = {
        **literals,
        "permitted": sql.SQL(PERMITTED).format(purpose=literals["purpose"]),
        "not_personal": sql.SQL(NOT_PERSONAL).format(personal=literals["personal"]),
    }
    made: list[sql.Composed] = []
    for view in VIEWS:
        name = sql.Identifier(SCHEMA, view.name)
        columns = sql.SQL(", ").join(map(sql.Identifier, view.columns))
        query = sql.SQL(view.statement).format(**parts)  # type: ignore[arg-type]  # of this module
        # With a barrier no function of whoever asks is shown rows that the view leaves out.
        made.append(sql.SQL("CREATE VIEW {} ({}) WITH (security_barrier) AS {}").format(name, columns, query))
        made.append(sql.SQL("COMMENT ON VIEW {} IS {}").format(name, sql.Literal(view.about)))
        for column, about in view.columns.items():
            place = sql.Identifier(SCHEMA, view.name, column)
            made.append(sql.SQL("COMMENT ON COLUMN {} IS {}").format(place, sql.Literal(about)))
    return made


def fingerprint() -> str:
    """By which is known whether the views in the database are these."""
    text = "\n".join(one.as_string(None) for one in statements())
    return hashlib.sha256(text.encode()).hexdigest()

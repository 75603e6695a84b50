"""What applying a file of decisions would come to, as things stand: the same figures that the job ends with. Nothing is written."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from cdp.collecting.models import ConsentImport
from cdp.database import bound_cursor
from consent.models import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What applying a file comes to.

    Args:
        recorded: rows that make a record; ``repeated`` are on record already, or stand in the file before; ``unreported`` are of
            people who aren't known, and are counted and left. The three are all rows.
        people: who are known; ``unknown`` is how many aren't.
        outdated: rows no newer than what is known of the person: they go on record and change nothing.
        to_confirm: yeses that count once they are confirmed; to as many people as ``letters`` a link to do so is sent.
    """

    granted: int
    denied: int
    people: int
    unknown: int
    outdated: int
    recorded: int
    repeated: int
    unreported: int
    to_confirm: int
    letters: int


def preview(file: ConsentImport) -> Preview:
    """What the waiting rows come to. Whoever was erased and is kept from coming back counts as somebody unknown."""
    parameters = {
        "file": file.pk,
        "creates": file.creates_people,
        "method": Method.IMPORT,
        "since": timezone.now() - timedelta(days=settings.CONFIRMATION_DAYS),
    }
    with bound_cursor() as cursor:
        cursor.execute(COMES_TO, parameters)
        granted, denied, people, unknown, outdated, usable, recorded, to_confirm, letters = cursor.fetchall()[0]
    return Preview(
        granted=granted,
        denied=denied,
        people=people,
        unknown=unknown,
        outdated=outdated,
        recorded=recorded,
        repeated=usable - recorded,
        unreported=granted + denied - usable,
        to_confirm=to_confirm,
        letters=letters,
    )


# People as `segments.list_people.who_is` finds them, and what is on record as `cdp.collecting.services.recorded_of` does.
COMES_TO = """
    WITH RECURSIVE waiting AS MATERIALIZED (
        SELECT namespace, value, purpose_id, is_granted, collected_at FROM collecting_importrow WHERE file_id = %(file)s
    ), asked AS (
        SELECT DISTINCT value::uuid AS uuid FROM (SELECT value FROM waiting WHERE namespace = 'uuid' OFFSET 0) AS ours
    ), became(uuid, who) AS (
        SELECT a.uuid, p.id FROM asked a JOIN profiles_profile p ON p.uuid = a.uuid
        UNION
        SELECT a.uuid, m.survivor_id FROM asked a JOIN identity_merge m ON m.absorbed_uuid = a.uuid AND m.undone_at IS NULL
        UNION
        SELECT b.uuid, m.survivor_id FROM became b JOIN identity_merge m ON m.absorbed_id = b.who AND m.undone_at IS NULL
    ), named AS MATERIALIZED (
        SELECT w.*, coalesce(i.profile_id, p.id) AS profile_id FROM waiting w
          LEFT JOIN profiles_identifier i ON w.namespace <> 'uuid' AND i.namespace = w.namespace AND i.value = w.value
          LEFT JOIN (became b JOIN profiles_profile p ON p.id = b.who) ON w.namespace = 'uuid' AND b.uuid::text = w.value
    ), inside(root, id) AS (
        SELECT DISTINCT profile_id, profile_id FROM named WHERE profile_id IS NOT NULL
        UNION
        SELECT n.root, m.absorbed_id FROM inside n JOIN identity_merge m ON m.survivor_id = n.id AND m.undone_at IS NULL
    ), kept AS MATERIALIZED (
        SELECT DISTINCT n.root AS profile_id, r.purpose_id, r.collected_at,
               NOT (r.decision IN ('denied', 'withdrawn') AND NOT r.evidence ? 'refused') AS is_granted
          FROM inside n JOIN consent_consentrecord r ON r.profile_id = n.id AND r.method = %(method)s
    ), usable AS (
        SELECT n.*, k.profile_id IS NOT NULL AS is_kept,
               coalesce(n.profile_id::text, n.namespace || ':' || n.value) AS who
          FROM named n LEFT JOIN kept k USING (profile_id, purpose_id, collected_at, is_granted)
         WHERE n.profile_id IS NOT NULL OR (%(creates)s AND n.namespace <> 'uuid')
    ), fresh AS (
        SELECT u.who, u.purpose_id, max(u.collected_at) AS newest,
               count(DISTINCT u.collected_at) FILTER (WHERE u.is_granted) AS yeses,
               count(DISTINCT u.collected_at) FILTER (WHERE NOT u.is_granted) AS noes,
               max(u.collected_at) FILTER (WHERE u.is_granted) AS newest_yes
          FROM usable u WHERE NOT u.is_kept GROUP BY u.who, u.purpose_id
    )
    SELECT (SELECT count(*) FROM waiting WHERE is_granted), (SELECT count(*) FROM waiting WHERE NOT is_granted),
           (SELECT count(DISTINCT profile_id) FROM named),
           (SELECT count(DISTINCT (namespace, value)) FROM named WHERE profile_id IS NULL),
           (SELECT count(*) FROM named n JOIN consent_consentstate s USING (profile_id, purpose_id)
             WHERE n.collected_at <= s.collected_at),
           (SELECT count(*) FROM usable),
           coalesce(sum(f.yeses + f.noes), 0)::bigint,
           coalesce(sum(f.yeses) FILTER (WHERE p.needs_double_opt_in), 0)::bigint,
           count(*) FILTER (WHERE p.needs_double_opt_in AND f.newest_yes = f.newest AND f.newest_yes > %(since)s)
      FROM fresh f JOIN consent_purpose p ON p.id = f.purpose_id
"""

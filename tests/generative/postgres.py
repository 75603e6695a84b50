"""The logical tables of the rule compiler as temporary tables of one connection, filled with given people.

So a rule's SQL is tested by itself; that the platform's own tables fit it is tested where they are used.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import psycopg

from segments.rules import Catalog, Compiled, Person
from tests.generative.standing import consent_rows, list_rows, score_rows, stop_rows
from tests.spec.world import THRESHOLDS

TABLES = {
    "profile": "rule_profile",
    "trait_value": "rule_trait_value",
    "event": "rule_event",
    "event_total": "rule_event_total",
    "membership": "rule_membership",
    "threshold": "rule_threshold",
    "score": "rule_score",
    "consent": "rule_consent",
    "stop": "rule_stop",
    "list_entry": "rule_list_entry",
}
"""Other names than the logical ones, so that a table left unmapped is noticed."""

_SCHEMA = """
CREATE TEMP TABLE rule_profile (id bigint PRIMARY KEY, uuid uuid);
CREATE TEMP TABLE rule_trait_value (trait_id int, profile_id bigint, number numeric(19, 4), text text,
    text_folded text, moment timestamptz, boolean boolean, items text[], PRIMARY KEY (trait_id, profile_id));
CREATE TEMP TABLE rule_event (profile_id bigint, name_id int, occurred_at timestamptz, message_id text,
    value numeric(19, 4), properties jsonb);
CREATE TEMP TABLE rule_event_total (profile_id bigint, name_id int, count int, value_sum numeric,
    first_at timestamptz, last_at timestamptz, PRIMARY KEY (profile_id, name_id));
CREATE TEMP TABLE rule_membership (segment_id int, profile_id bigint, PRIMARY KEY (segment_id, profile_id));
CREATE TEMP TABLE rule_threshold (id int PRIMARY KEY, value numeric(30, 4));
CREATE TEMP TABLE rule_score (kind text, key text, profile_id bigint, number numeric(19, 4), text text,
    PRIMARY KEY (kind, key, profile_id));
CREATE TEMP TABLE rule_consent (purpose_id int, profile_id bigint, decision text, expires_at timestamptz,
    PRIMARY KEY (purpose_id, profile_id));
CREATE TEMP TABLE rule_stop (purpose_id int, profile_id bigint);
CREATE TEMP TABLE rule_list_entry (list_id int, profile_id bigint);
"""

_TOTALS = """
INSERT INTO rule_event_total
SELECT profile_id, name_id, count(*), sum(value), min(occurred_at), max(occurred_at)
FROM rule_event GROUP BY profile_id, name_id;
ANALYZE rule_profile, rule_trait_value, rule_event, rule_event_total, rule_membership;
"""


class People:
    """People in PostgreSQL. Parameters are bound by the server, so nothing hides in a client's quoting."""

    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]", catalog: Catalog) -> None:
        self.cursor = psycopg.Cursor(connection)
        self.catalog = catalog
        self.cursor.execute(_SCHEMA)

    def store(self, people: Iterable[Person]) -> None:
        """These people, and nobody else."""
        people = list(people)
        self.cursor.execute(f"TRUNCATE {', '.join(TABLES.values())}")
        self._copy("profile", "id, uuid", ([one.id, one.uuid] for one in people))
        self._copy(
            "trait_value",
            "trait_id, profile_id, number, text, text_folded, moment, boolean, items",
            (
                [
                    self.catalog.traits[key].id,
                    one.id,
                    value.number,
                    value.text,
                    value.text_folded,
                    value.moment,
                    value.boolean,
                    None if value.items is None else list(value.items),
                ]
                for one in people
                for key, value in one.traits.items()
            ),
        )
        self._copy(
            "event",
            "profile_id, name_id, occurred_at, message_id, value, properties",
            (
                [
                    one.id,
                    self.catalog.events[event.name].id,
                    event.occurred_at,
                    event.message_id,
                    event.value,
                    json.dumps(event.properties),
                ]
                for one in people
                for event in one.events
            ),
        )
        memberships = ([self.catalog.segments[key].id, one.id] for one in people for key in one.segments)
        self._copy("membership", "segment_id, profile_id", memberships)
        self._copy("threshold", "id, value", enumerate(THRESHOLDS.values(), start=1))
        self._copy("score", "kind, key, profile_id, number, text", score_rows(self.catalog, people))
        self._copy("consent", "purpose_id, profile_id, decision, expires_at", consent_rows(self.catalog, people))
        self._copy("stop", "purpose_id, profile_id", stop_rows(self.catalog, people))
        self._copy("list_entry", "list_id, profile_id", list_rows(self.catalog, people))
        self.cursor.execute(_TOTALS)

    def matching(self, compiled: Compiled, as_of: datetime, scope: Sequence[int] = ()) -> list[int]:
        """The ids that the query gives, as it gives them."""
        return [int(str(row[0])) for row in self.rows(compiled, as_of, scope)]

    def rows(self, compiled: Compiled, as_of: datetime, scope: Sequence[int] = ()) -> list[tuple[Any, ...]]:
        """All that the query gives."""
        params = {**compiled.at(as_of), "scope": list(scope)}
        return self.cursor.execute(compiled.sql("postgres", TABLES), params).fetchall()

    def _copy(self, table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
        with self.cursor.copy(f"COPY {TABLES[table]} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

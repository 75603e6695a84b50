"""The logical tables of the rule compiler in DuckDB, filled with given people: a second engine with its own mind.

It shares the compiler's tree with PostgreSQL but neither its printer, its planner nor its types, so a meaning that only
one database happens to have is noticed. What people are like doesn't belong here.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

import duckdb

from segments.rules import Catalog, Compiled, Person
from tests.generative.postgres import TABLES
from tests.generative.standing import consent_rows, list_rows, score_rows, stop_rows
from tests.spec.world import THRESHOLDS

_SCHEMA = """
CREATE TABLE rule_profile (id BIGINT, uuid UUID);
CREATE TABLE rule_trait_value (trait_id INTEGER, profile_id BIGINT, number DECIMAL(19, 4), text TEXT, text_folded TEXT,
    moment TIMESTAMPTZ, boolean BOOLEAN, items TEXT[]);
CREATE TABLE rule_event (profile_id BIGINT, name_id INTEGER, occurred_at TIMESTAMPTZ, message_id TEXT,
    value DECIMAL(19, 4), properties JSON);
CREATE TABLE rule_event_total (profile_id BIGINT, name_id INTEGER, count BIGINT, value_sum DECIMAL(30, 4),
    first_at TIMESTAMPTZ, last_at TIMESTAMPTZ);
CREATE TABLE rule_membership (segment_id INTEGER, profile_id BIGINT);
CREATE TABLE rule_threshold (id INTEGER, value DECIMAL(30, 4));
CREATE TABLE rule_score (kind TEXT, key TEXT, profile_id BIGINT, number DECIMAL(19, 4), text TEXT);
CREATE TABLE rule_consent (purpose_id INTEGER, profile_id BIGINT, decision TEXT, expires_at TIMESTAMPTZ);
CREATE TABLE rule_stop (purpose_id INTEGER, profile_id BIGINT);
CREATE TABLE rule_list_entry (list_id INTEGER, profile_id BIGINT);
"""

_TOTALS = """
INSERT INTO rule_event_total
SELECT profile_id, name_id, count(*), sum(value), min(occurred_at), max(occurred_at)
FROM rule_event GROUP BY profile_id, name_id
"""


class DuckPeople:
    """People in a DuckDB of their own, in memory. Operands are bound, as they are everywhere."""

    def __init__(self, catalog: Catalog) -> None:
        # One thread: of a few hundred rows the others would get nothing but the waiting.
        self.connection = duckdb.connect(":memory:", config={"threads": 1})
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(_SCHEMA)
        self.catalog = catalog

    def close(self) -> None:
        self.connection.close()

    def store(self, people: Iterable[Person]) -> None:
        """These people, and nobody else."""
        people = list(people)
        for table in TABLES.values():
            self.connection.execute(f"DELETE FROM {table}")
        self._insert("profile", [[one.id, one.uuid] for one in people])
        self._insert(
            "trait_value",
            [
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
            ],
        )
        self._insert(
            "event",
            [
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
            ],
        )
        memberships = [[self.catalog.segments[key].id, one.id] for one in people for key in one.segments]
        self._insert("membership", memberships)
        self._insert("threshold", [[number, value] for number, value in enumerate(THRESHOLDS.values(), start=1)])
        self._insert("score", list(score_rows(self.catalog, people)))
        self._insert("consent", list(consent_rows(self.catalog, people)))
        self._insert("stop", list(stop_rows(self.catalog, people)))
        self._insert("list_entry", list(list_rows(self.catalog, people)))
        self.connection.execute(_TOTALS)

    def matching(self, compiled: Compiled, as_of: datetime, scope: Sequence[int] = ()) -> list[int]:
        """The ids that the query gives, as it gives them."""
        given = {**compiled.at(as_of), "scope": list(scope)}
        # DuckDB refuses operands that the text doesn't name.
        params = {name: given[name] for name in compiled.placeholders}
        rows = self.connection.execute(compiled.sql("duckdb", TABLES), params).fetchall()
        return [int(row[0]) for row in rows]

    def _insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            places = ", ".join("?" * len(rows[0]))
            self.connection.executemany(f"INSERT INTO {TABLES[table]} VALUES ({places})", rows)

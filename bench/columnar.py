"""The same rows in DuckDB, for what a columnar engine makes of the same rules: the floor of what reading can cost.

Which rules are asked, and how they are timed, doesn't belong here.
"""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Self

import duckdb
from django.db import connections

from segments.rules import Catalog, Rule, compile_rule

# Per logical table, what is copied out of PostgreSQL and the columns it has in DuckDB.
TABLES = {
    "profile": ("SELECT id FROM profiles_profile", {"id": "BIGINT"}),
    "trait_value": (
        "SELECT trait_id, profile_id, number, text, text_folded, moment, boolean, to_jsonb(items) FROM profiles_traitvalue",
        {
            "trait_id": "INTEGER",
            "profile_id": "BIGINT",
            "number": "DECIMAL(19, 4)",
            "text": "TEXT",
            "text_folded": "TEXT",
            "moment": "TIMESTAMPTZ",
            "boolean": "BOOLEAN",
            "items": "JSON",
        },
    ),
    "event": (
        "SELECT profile_id, name_id, occurred_at, message_id, value, properties FROM profiles_event ORDER BY occurred_at",
        {
            "profile_id": "BIGINT",
            "name_id": "INTEGER",
            "occurred_at": "TIMESTAMPTZ",
            "message_id": "TEXT",
            "value": "DECIMAL(19, 4)",
            "properties": "JSON",
        },
    ),
    "event_total": (
        "SELECT profile_id, name_id, count, value_sum, first_at, last_at FROM profiles_eventtotal",
        {
            "profile_id": "BIGINT",
            "name_id": "INTEGER",
            "count": "BIGINT",
            "value_sum": "DECIMAL(30, 4)",
            "first_at": "TIMESTAMPTZ",
            "last_at": "TIMESTAMPTZ",
        },
    ),
    "score": (
        "SELECT kind, key, profile_id, number, text FROM profiles_currentscore",
        {"kind": "TEXT", "key": "TEXT", "profile_id": "BIGINT", "number": "DECIMAL(19, 4)", "text": "TEXT"},
    ),
    "membership": (
        "SELECT segment_id, profile_id FROM segments_membership",
        {"segment_id": "INTEGER", "profile_id": "BIGINT"},
    ),
}


class Columnar:
    """A DuckDB on disk with everything that rules may ask about; gone when the block is left."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-columnar-")
        folder = Path(self._folder.name)
        self._connection = duckdb.connect(str(folder / "rows.duckdb"), config={"memory_limit": "4GB"})
        self._connection.execute("SET TimeZone = 'UTC'")
        for name, (query, columns) in TABLES.items():
            self._copy(name, query, columns, folder / "rows.csv")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._folder.cleanup()

    def count(self, rule: Rule, known: Catalog, *, as_of: datetime) -> int:
        """How many people the rule is true of."""
        compiled = compile_rule(rule, known, scoped=False)
        given = compiled.at(as_of)
        params = {name: given[name] for name in compiled.placeholders}
        row = self._connection.execute(f"SELECT count(*) FROM ({compiled.sql('duckdb')}) AS matched", params).fetchone()
        assert row is not None
        return int(row[0])

    def _copy(self, name: str, query: str, columns: dict[str, str], path: Path) -> None:
        with (
            connections["owner"].cursor() as cursor,
            open(path, "wb") as file,
            cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as copy,
        ):
            for block in copy:
                file.write(block)
        chosen = ", ".join("items::TEXT[] AS items" if column == "items" else column for column in columns)
        # The name and the columns are written above; only the path is not ours, and a temporary file's has no quote.
        self._connection.execute(
            f"CREATE TABLE {name} AS SELECT {chosen} FROM read_csv('{path}', header = false, columns = {columns})"
        )
        path.unlink()

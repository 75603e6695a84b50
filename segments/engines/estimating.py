"""What a count would cost, and what it would come to, without counting everybody.

What is done about a count that costs too much is in `segments.guard`; counting itself is in `segments.engines.postgres`.
"""

import time
from collections.abc import Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Final

from django.db import OperationalError, transaction
from psycopg.errors import QueryCanceled

from cdp.database import bound_cursor, time_limit
from segments.engines.postgres import TABLES, Text
from segments.rules import Catalog, Rule, compile_counts, compile_rule

# People lie on a ring in the order of a hash of their id, which an index has; those after a point of it are a sample as
# good as chance. So people who came a moment ago may be in it, and those who are gone aren't.
PLACE: Final = "hashint8extended(id, 0)"
SAMPLED: Final = f"""
    WITH sampled AS MATERIALIZED (
        SELECT id FROM (
            (SELECT id FROM profiles_profile WHERE {PLACE} >= %(ring_start)s ORDER BY {PLACE} LIMIT %(ring_size)s)
            UNION ALL
            (SELECT id FROM profiles_profile WHERE {PLACE} < %(ring_start)s ORDER BY {PLACE} LIMIT %(ring_size)s)
        ) AS ring LIMIT %(ring_size)s
    )
"""


def point_of(day: date) -> int:
    """Where on the ring of 64 bits the day's sample begins."""
    return int.from_bytes(sha256(day.isoformat().encode()).digest()[:8], "big", signed=True)


def count_of(rule: Rule, catalog: Catalog, *, as_of: datetime) -> Text:
    """The statement that counts the people of whom the rule is true."""
    compiled = compile_rule(rule, catalog, scoped=False)
    return Text(f"SELECT count(*) FROM ({compiled.sql('postgres', TABLES)}) AS matched", compiled.at(as_of))


def counts_of(rules: Sequence[Rule], catalog: Catalog, *, as_of: datetime) -> Text:
    """The statement that counts everybody, and of how many each of the rules is true."""
    compiled = compile_counts(rules, catalog)
    return Text(compiled.sql("postgres", TABLES), compiled.at(as_of))


def sampled_counts_of(
    rules: Sequence[Rule], catalog: Catalog, *, as_of: datetime, size: int, day: date, one_by_one: bool = False
) -> Text:
    """The same of a sample of so many people, of all if there are fewer. It is the same sample all day.

    Args:
        one_by_one: ask about each of the people alone. What it takes is bounded by how many they are, whatever a planner
            thinks; all at once are faster where there are many, as long as the planner is right.
    """
    compiled = compile_counts(rules, catalog, of="sampled", one_by_one=one_by_one)
    params = compiled.at(as_of) | {"ring_start": point_of(day), "ring_size": size}
    return Text(f"{SAMPLED} {compiled.sql('postgres', TABLES)}", params)


def cost(statement: Text) -> float:
    """What the planner expects of the statement with these operands, in its own units. It isn't run."""
    with bound_cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.params)
        row = cursor.fetchone()
    assert row is not None, "EXPLAIN gives a row"
    return float(row[0][0]["Plan"]["Total Cost"])


def counted(statement: Text) -> list[int]:
    """The one row that the statement gives."""
    with bound_cursor() as cursor:
        cursor.execute(statement.sql, statement.params)
        return list(cursor.fetchone() or ())


def quickly_counted(statement: Text) -> list[int]:
    """The same for a statement on few people: starting helpers or a compiler for it would take longer than it does."""
    with bound_cursor() as cursor:
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        cursor.execute("SET LOCAL jit = off")
    return counted(statement)


def counted_within(statement: Text, *, seconds: float) -> list[int] | None:
    """The same, if it takes no longer than that. Afterwards statements may take as long as they might before."""
    took = 0.0
    try:
        with transaction.atomic(), time_limit(seconds=seconds):
            began = time.monotonic()
            try:
                return quickly_counted(statement)
            finally:
                took = time.monotonic() - began
    except OperationalError as error:
        cause = error.__cause__
        # One that was cut off sooner was cut off by somebody, and the server mostly says so.
        if isinstance(cause, QueryCanceled) and took >= seconds and "user request" not in str(cause):
            return None
        raise

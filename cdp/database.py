"""A cursor for set-based statements: parameters go to the server apart from the text, whole arrays at once.

Django's own cursor writes parameters into the text, which is right for its small queries and slow for arrays of
thousands. What the statements say belongs to the app whose tables they touch.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, Self

import psycopg
from django.db import connection, transaction
from psycopg.adapt import Dumper

# Django asks the driver to prepare nothing (None); this asks it to prepare nothing but what it is told to.
NEVER_BY_ITSELF = 2**31 - 1
# A plan over the months of a year takes some hundred kilobytes of the server's memory, for each connection.
MOST_PREPARED = 200


@contextmanager
def bound_cursor(*, numbered: bool = False) -> Iterator[psycopg.Cursor[Any]]:
    """A psycopg cursor on Django's connection, inside whatever transaction is open; errors come as Django's.

    Lists are sent without a type, so a statement says which array it wants: ``%s::bigint[]``.

    Args:
        numbered: its statements have the server's own placeholders, `$1`, as `with_numbers` gives them.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, _kind(numbered=numbered)(connection.connection) as cursor:
        cursor.adapters.register_dumper(list, ArrayDumper)
        yield cursor


def _kind(*, numbered: bool) -> type[psycopg.Cursor[Any]]:
    if numbered:
        return LoggedRawCursor if connection.queries_logged else psycopg.RawCursor
    return LoggedCursor if connection.queries_logged else psycopg.Cursor


PLACEHOLDER = re.compile(r"%\((\w+)\)s")


# The driver would go through a long text each time it is asked.
@lru_cache(maxsize=1000)
def with_numbers(sql: str) -> tuple[str, tuple[str, ...]]:
    """The text with `$1`, `$2` … for its `%(name)s`, and the name of each; there must be no other percent sign in it."""
    names: dict[str, int] = {}
    numbered = PLACEHOLDER.sub(lambda match: f"${names.setdefault(match[1], len(names) + 1)}", sql)
    return numbered, tuple(names)


def ask_prepared(statements: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Any]]:
    """The rows of each of the statements, all asked in one round trip.

    They are planned once for whatever operands they will ever have, and kept by the connection: for texts that come again
    and again, and ask about so few people that planning takes longer than running. Where operands decide which plan is
    good, it is the wrong choice.
    """
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    kind = _kind(numbered=True)
    threshold, raw.prepare_threshold, raw.prepared_max = raw.prepare_threshold, NEVER_BY_ITSELF, MOST_PREPARED
    try:
        with transaction.atomic(savepoint=False), connection.wrap_database_errors, ExitStack() as stack:
            cursors = [stack.enter_context(kind(raw)) for _ in statements]
            with raw.pipeline():
                raw.execute("SET LOCAL plan_cache_mode = force_generic_plan")
                for asked, (sql, params) in zip(cursors, statements, strict=True):
                    asked.adapters.register_dumper(list, ArrayDumper)
                    text, names = with_numbers(sql)
                    asked.execute(text, [params[name] for name in names], prepare=True)
                raw.execute("SET LOCAL plan_cache_mode = auto")
            return [asked.fetchall() for asked in cursors]
    finally:
        raw.prepare_threshold = threshold


def ask_for_one(sql: str, params: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The first row of one statement, by a plan that the connection keeps: for what is asked so often that planning, or
    putting the text together, takes longer than looking."""
    text, names = with_numbers(sql)
    with bound_cursor(numbered=True) as cursor:
        raw: psycopg.Connection[Any] = connection.connection
        threshold, raw.prepare_threshold, raw.prepared_max = raw.prepare_threshold, NEVER_BY_ITSELF, MOST_PREPARED
        try:
            cursor.execute(text, [params[name] for name in names], prepare=True)
        finally:
            raw.prepare_threshold = threshold
        return cursor.fetchone()


@contextmanager
def snapshot(*, seconds: int) -> Iterator[None]:
    """A transaction whose statements all see the same data, and may take so long each.

    Within another transaction it sees what that one sees, which may change between statements: it is for the doors.

    Raises:
        django.db.OperationalError: a statement took longer.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            # The first statement of the transaction decides what all of them see.
            if not connection.savepoint_ids:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        limit_statements(seconds=seconds)
        yield


def limit_statements(*, seconds: float) -> None:
    """From here to the end of the transaction each statement may take so long; one that takes longer fails."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])


@contextmanager
def time_limit(*, seconds: float) -> Iterator[None]:
    """Within a transaction: statements may take so long each, and afterwards as long as before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()[0]
        limit_statements(seconds=seconds)
        yield
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


class LoggedCursor(psycopg.Cursor[Any]):
    """Says its statements where Django says its own, so that counting queries counts these too."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        started = time.monotonic()
        try:
            return super().execute(query, params, **options)
        finally:
            connection.queries_log.append({"sql": str(query).strip(), "time": f"{time.monotonic() - started:.3f}"})


class LoggedRawCursor(LoggedCursor, psycopg.RawCursor[Any]):
    """The same for statements with the server's placeholders."""


class ArrayDumper(Dumper):
    """A flat list as PostgreSQL writes an array.

    The driver would choose a dumper for each element, which for thousands of them costs as much as the statement.
    """

    oid = 0

    def dump(self, obj: list[Any]) -> bytes:
        kinds = set(map(type, obj))
        write = WRITERS.get(kinds.pop(), _element) if len(kinds) == 1 else _element
        return ("{" + ",".join(map(write, obj)) + "}").encode()


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _bytes(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


# Most lists are of one kind, so what each element is needn't be asked again.
WRITERS: dict[type, Callable[[Any], str]] = {int: str, str: _quoted, bytes: _bytes, datetime: datetime.isoformat}


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    write = WRITERS.get(type(value))
    return write(value) if write else _quoted(str(value))

"""What a migration may do while the release before it still runs: pure functions over Django's operations.

Processes are restarted one after another, so for some minutes old code meets the new schema. Sources: PostgreSQL's documentation of ALTER
TABLE (which forms rewrite or scan a table) and of explicit locking.
"""

import re
from collections.abc import Iterator

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently
from django.db.migrations import Migration
from django.db.migrations.operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelTable,
    CreateModel,
    DeleteModel,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED

CONTRACTS = "contracts"
"""A migration says by this attribute since which release nothing uses what it takes away."""
LOCKING = re.compile(
    r"\bLOCK\s+TABLE\b|\bVACUUM\s+FULL\b|\bCLUSTER\s+\w|\bREINDEX\s+(?!.*CONCURRENTLY)|\bDROP\s+(TABLE|COLUMN)\b|\bRENAME\s+(TO|COLUMN)\b"
    r"|\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)|\bALTER\s+COLUMN\s+\S+\s+TYPE\b|\bSET\s+NOT\s+NULL\b",
    re.IGNORECASE,
)


def faults(migration: Migration) -> list[str]:
    """What of it would stop or break the release that runs, and what to do instead."""
    new = {one.name.lower() for one in _flat(migration.operations) if isinstance(one, CreateModel)}
    is_contraction = bool(getattr(migration, CONTRACTS, ""))
    return [fault for one in _flat(migration.operations) for fault in _faults(one, migration, new, is_contraction)]


def _flat(operations: list[Operation]) -> Iterator[Operation]:
    for one in operations:
        if isinstance(one, SeparateDatabaseAndState):
            yield from _flat(one.database_operations)
        else:
            yield one


def _faults(one: Operation, migration: Migration, new: set[str], is_contraction: bool) -> Iterator[str]:
    model = str(getattr(one, "model_name", getattr(one, "name", ""))).lower()
    if isinstance(one, RenameModel | RenameField | AlterModelTable):
        yield f"{one.describe()}: the release that runs knows it by the old name; add the new one, copy, and take the old one away later."
    elif isinstance(one, RemoveField | DeleteModel):
        if not is_contraction:
            yield f'{one.describe()}: say by `{CONTRACTS} = "…"` since which release nothing uses it.'
    elif model in new and not isinstance(one, RunPython | RunSQL):
        return  # nobody has used the table yet
    elif isinstance(one, AddField):
        field = one.field
        if not (field.null or field.many_to_many) and field.db_default is NOT_PROVIDED:
            yield f"{one.describe()}: the release that runs inserts rows without it; let it be null, or give it a db_default."
    elif isinstance(one, AlterField):
        yield f"{one.describe()}: a change of type or NOT NULL reads or rewrites the table under a lock; add another field instead."
    elif isinstance(one, AddIndex) and not isinstance(one, AddIndexConcurrently):
        yield f"{one.describe()}: writers wait while it is built; use AddIndexConcurrently."
    elif isinstance(one, RemoveIndex) and not isinstance(one, RemoveIndexConcurrently):
        yield f"{one.describe()}: it waits for every reader and has all others wait; use RemoveIndexConcurrently."
    elif isinstance(one, AddConstraint) and not isinstance(one, AddConstraintNotValid):
        yield f"{one.describe()}: the table is read under a lock; use AddConstraintNotValid, and ValidateConstraint in the next one."
    elif isinstance(one, RunPython) and one.reverse_code is None:
        yield f"{one.describe()}: it can't be taken back; give it a reverse, if only RunPython.noop."
    elif isinstance(one, RunSQL):
        if one.reverse_sql is None:
            yield f"{one.describe()}: it can't be taken back; give it a reverse."
        if not is_contraction and LOCKING.search(_text(one.sql)):
            yield f"{one.describe()}: it takes a lock that has everybody wait, or takes something away."
    needs_no_transaction = isinstance(one, AddIndexConcurrently | RemoveIndexConcurrently)
    if needs_no_transaction and migration.atomic:
        yield f"{one.describe()}: not within a transaction; set `atomic = False`."


def _text(sql: object) -> str:
    parts = sql if isinstance(sql, list | tuple) else [sql]
    return "\n".join(str(one[0] if isinstance(one, list | tuple) else one) for one in parts)

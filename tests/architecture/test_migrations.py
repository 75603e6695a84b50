"""A new release is put in place while the one before it runs: its migrations must let that one go on."""

from typing import Any

import psycopg
import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import OperationalError, connection, connections, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation

from tests.architecture.migration_rules import faults
from tests.conftest import OwnDatabase

# By app, the last migration of the first release; those after it keep the rules. None was released yet, so all may still be squashed.
FIRST_RELEASE: dict[str, str] = {}
OURS = ("cdp", "consent", "segments")


def made(*operations: Operation, **attributes: Any) -> Migration:
    return type("Migration", (Migration,), {"operations": list(operations), **attributes})("0099_it", "shop")


CHECK = models.CheckConstraint(condition=models.Q(size__gte=0), name="size_is_not_negative")
INDEX = models.Index(fields=["size"], name="by_size")
TABLE = CreateModel("Thing", [("id", models.AutoField(primary_key=True))])


@pytest.mark.parametrize(
    ("migration", "said"),
    [
        (made(RenameField("thing", "a", "b")), "old name"),
        (made(RenameModel("Thing", "Other")), "old name"),
        (made(RemoveField("thing", "a")), "since which release"),
        (made(DeleteModel("Thing")), "since which release"),
        (made(AddField("thing", "a", models.IntegerField(default=0))), "db_default"),
        (made(AlterField("thing", "a", models.TextField())), "another field"),
        (made(AddIndex("thing", INDEX)), "AddIndexConcurrently"),
        (made(AddIndexConcurrently("thing", INDEX)), "atomic = False"),
        (made(AddConstraint("thing", CHECK)), "AddConstraintNotValid"),
        (made(RunPython(lambda *_: None)), "taken back"),
        (made(RunSQL("SELECT 1")), "taken back"),
        (made(RunSQL("CREATE INDEX x ON thing (a)", "DROP INDEX x")), "lock"),
        (made(RunSQL([("ALTER TABLE thing ALTER COLUMN a TYPE text", None)], "SELECT 1")), "lock"),
        (made(SeparateDatabaseAndState(database_operations=[RunSQL("DROP TABLE thing", "SELECT 1")])), "takes something away"),
    ],
)  # fmt: skip
def test_what_would_stop_the_release_that_runs_is_found(migration: Migration, said: str) -> None:
    [found] = faults(migration)
    assert said in found


@pytest.mark.parametrize(
    "migration",
    [
        made(AddField("thing", "a", models.IntegerField(null=True))),
        made(AddField("thing", "a", models.IntegerField(db_default=0))),
        made(AddIndexConcurrently("thing", INDEX), atomic=False),
        made(AddConstraintNotValid("thing", CHECK)),
        made(TABLE, AddIndex("thing", INDEX), AddConstraint("thing", CHECK)),
        made(RemoveField("thing", "a"), contracts="1.4 stopped reading it"),
        made(RunSQL("CREATE INDEX CONCURRENTLY x ON thing (a)", "DROP INDEX x"), atomic=False),
        made(RunPython(lambda *_: None, RunPython.noop)),
    ],
)
def test_what_lets_it_go_on_is_not(migration: Migration) -> None:
    assert faults(migration) == []


def test_migrations_since_the_first_release_keep_the_rules(db: None) -> None:
    loader = MigrationLoader(connection)
    for label, last in FIRST_RELEASE.items():
        assert (label, last) in loader.disk_migrations, f"{label} has no migration {last}"
    wrong = {
        f"{label}.{name}": found
        for (label, name), migration in loader.disk_migrations.items()
        if label in FIRST_RELEASE
        and name > FIRST_RELEASE[label]
        and type(migration).__module__.startswith(OURS)
        and (found := faults(migration))
    }
    assert wrong == {}


def test_a_migration_waits_for_no_lock_longer_than_it_may(own_database: OwnDatabase) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone()[0] == "5s"
        cursor.execute("SET lock_timeout = '50ms'")
        with psycopg.connect(own_database.urls.owner_login_url) as reader:
            reader.execute("SELECT count(*) FROM segments_segment")
            with pytest.raises(OperationalError, match="lock timeout"):
                cursor.execute("ALTER TABLE segments_segment ADD COLUMN shade text")

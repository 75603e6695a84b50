"""What the database itself refuses, and where events of each month lie."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from psycopg import sql

from cdp.profiles import services
from cdp.profiles.models import Event
from tests.conftest import OwnDatabase
from tests.factories import Tracker, live, performed, process_all, track, tracker
from tests.integration.books import assert_totals_equal_events, rows

PROTECTED = ("audit_auditentry", "consent_consentrecord")
CHANGES = {
    "audit_auditentry": "action = 'nothing.happened'",
    "consent_consentrecord": "decision = 'granted'",
    "segments_segmentversion": "rule = '[]'",
    "segments_membershipchange": "kind = 'exited'",
}


@pytest.fixture
def shop(db: None) -> Tracker:
    return tracker()


def fill() -> None:
    """At least one row in each append-only table."""
    shop = tracker()
    consent = {"context": {"consent": {"categoryPreferences": {"marketing_email": False}}}}
    shop.send(track("Bought", "ann"), track("Segment Consent Preference Updated", "ann", **consent))
    process_all()
    live("buyers", performed("Bought"))
    for table in CHANGES:
        assert rows(f"SELECT 1 FROM {table} LIMIT 1"), table


def refused(statement: str) -> str:
    with pytest.raises(DatabaseError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    return str(error.value)


# ---- The app's role ------------------------------------------------------------------------------------------


def test_tests_run_as_the_apps_role(db: None) -> None:
    [(role, is_superuser)] = rows("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
    assert (role, is_superuser) == (settings.APP_ROLE, False)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "DROP TABLE profiles_profile",
        "ALTER TABLE profiles_profile ADD COLUMN mine int",
        "CREATE INDEX mine ON profiles_profile (id)",
        "CREATE TABLE mine PARTITION OF profiles_event FOR VALUES FROM ('2099-01-01') TO ('2099-02-01')",
        "ALTER TABLE profiles_event DETACH PARTITION profiles_event_default",
        "ALTER TABLE audit_auditentry DISABLE TRIGGER append_only",
        "DROP TRIGGER append_only ON audit_auditentry",
        "CREATE OR REPLACE FUNCTION cdp_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "TRUNCATE profiles_event",
        "SET ROLE cdp_owner",
        "SET session_replication_role = replica",
    ],
)
def test_the_app_may_not_change_the_shape_of_anything(db: None, statement: str) -> None:
    assert "permission denied" in refused(statement) or "must be owner" in refused(statement)


@pytest.mark.parametrize("table", PROTECTED)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_app_may_only_append(db: None, table: str, statement: str) -> None:
    assert "permission denied" in refused(statement.format(table, CHANGES[table]))


def test_the_app_may_neither_edit_a_version_nor_rewrite_a_change(db: None) -> None:
    fill()
    for table in ("segments_segmentversion", "segments_membershipchange"):
        assert "append-only" in refused(f"UPDATE {table} SET {CHANGES[table]}")
        assert "permission denied" in refused(f"TRUNCATE {table}")


# ---- The owner -----------------------------------------------------------------------------------------------


@pytest.fixture
def owner(own_database: OwnDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_database.urls.database_owner_url, autocommit=True) as owner:
        yield owner


def test_even_the_owner_may_not_change_what_was_recorded(owner: psycopg.Connection[Any]) -> None:
    fill()
    for table in PROTECTED:
        name = sql.Identifier(table)
        for statement in (f"UPDATE {{}} SET {CHANGES[table]}", "DELETE FROM {}", "TRUNCATE {} CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                owner.execute(sql.SQL(statement).format(name))
    for table in ("segments_segmentversion", "segments_membershipchange"):
        for statement in (f"UPDATE {{}} SET {CHANGES[table]}", "TRUNCATE {} CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                owner.execute(sql.SQL(statement).format(sql.Identifier(table)))
    for table in CHANGES:
        assert owner.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone()


# ---- Partitions ----------------------------------------------------------------------------------------------


def partitions() -> set[str]:
    return {
        name
        for (name,) in rows(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'profiles_event'::regclass"
        )
    }


def lies_in(event_name: str) -> set[str]:
    query = (
        "SELECT DISTINCT e.tableoid::regclass::text FROM profiles_event e JOIN profiles_eventname n ON n.id = e.name_id"
    )
    return {name for (name,) in rows(f"{query} WHERE n.name = '{event_name}'")}


def month(day: date) -> str:
    return f"profiles_event_{day:%Y_%m}"


def test_months_are_made_ahead(db: None) -> None:
    today = datetime.now(UTC).date()
    ahead = {month(today + timedelta(days=31 * n)) for n in range(3)}
    assert ahead <= partitions()
    with transaction.atomic():
        services.maintain_partitions()
    assert services.maintain_partitions() == 0, "nothing is left to make"
    assert month(today + timedelta(days=31 * services.MONTHS_AHEAD)) in partitions()


def test_an_event_of_today_lies_in_its_month(shop: Tracker) -> None:
    shop.send(track("Looked", "ann"))
    process_all()
    assert lies_in("Looked") == {month(Event.objects.get().occurred_at)}


def test_an_event_of_an_old_month_raises_an_alarm_and_is_moved(shop: Tracker, caplog: pytest.LogCaptureFixture) -> None:
    old = [
        datetime(2019, 2, 28, 23, 59, 59, tzinfo=UTC),
        datetime(2019, 3, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
    ]
    shop.send(*(track("Old", "ann") | {"timestamp": at.isoformat()} for at in old))
    process_all()
    assert lies_in("Old") == {"profiles_event_default"}
    assert services.events_without_partition() == 3

    with caplog.at_level(logging.ERROR):
        assert services.maintain_partitions() >= 3
    assert "events_in_default_partition" in caplog.text
    assert lies_in("Old") == {"profiles_event_2019_02", "profiles_event_2019_03", "profiles_event_1970_01"}
    assert services.events_without_partition() == 0
    assert {event.occurred_at for event in Event.objects.all()} == set(old)
    assert_totals_equal_events()
    shop.send(track("Old", "ann") | {"timestamp": "2019-03-15T00:00:00Z"})
    process_all()
    assert services.events_without_partition() == 0


def test_a_month_begins_at_midnight_utc_wherever_the_session_stands(shop: Tracker) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Pacific/Auckland'")
        cursor.execute("SELECT cdp_ensure_event_partitions('2018-05-01', '2018-05-31')")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
    [(bounds,)] = rows("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'profiles_event_2018_05'")
    assert "2018-05-01 00:00:00+00" in bounds and "2018-06-01 00:00:00+00" in bounds


@pytest.mark.parametrize(
    ("from_day", "to_day"),
    [
        ("1969-12-31", "1970-01-01"),
        ("2099-12-31", "2100-01-02"),
        ("2024-02-01", "2024-01-01"),
        ("1970-01-01", "2099-01-01"),
    ],
)
def test_the_door_to_partitions_opens_for_sensible_months_only(db: None, from_day: str, to_day: str) -> None:
    assert "outside of what is kept" in refused(f"SELECT cdp_ensure_event_partitions('{from_day}', '{to_day}')")


def test_a_new_months_indexes_are_those_of_the_whole(db: None) -> None:
    services.ensure_partitions(date(2017, 1, 1), date(2017, 1, 1))
    # Attached, not only alike: an index of the parent that lacks one partition's part is not valid.
    assert (
        rows("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'profiles_event'::regclass AND NOT indisvalid")
        == []
    )
    [(count,)] = rows("SELECT count(*) FROM pg_index WHERE indrelid = 'profiles_event_2017_01'::regclass")
    [(expected,)] = rows("SELECT count(*) FROM pg_index WHERE indrelid = 'profiles_event'::regclass")
    assert count == expected

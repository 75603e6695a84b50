"""Private servers: started once however many ask, safe after any kind of death, closed to everybody else."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg
import pytest
import redis

from cdp import embedded
from cdp.databases import Urls
from cdp.embedded.place import LONGEST_SOCKET_DIRECTORY, Place

HOLD = """
import sys, time
from pathlib import Path
from cdp import embedded
with embedded.services(Path(sys.argv[1]), profile="test", environ={}) as urls:
    print(urls.database_admin_url, flush=True)
    time.sleep(120)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    yield home
    embedded.forget(home)


def files(home: Path) -> Path:
    """Where the servers' files lie: elsewhere when root's servers can't reach a private folder of root's."""
    return Place.of(home).base


def postmaster(urls: Urls) -> psutil.Process:
    with psycopg.connect(urls.database_admin_url) as admin:
        row = admin.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    return psutil.Process(int(row[0].split()[0]))


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def holder(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def test_the_two_log_ins_have_the_rights_of_their_roles(home: Path) -> None:
    with embedded.services(home, profile="test", environ={}) as urls:
        with psycopg.connect(urls.database_owner_url) as owner:
            for extension in ("pg_trgm", "fuzzystrmatch", "citext", "btree_gin"):
                owner.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
            owner.execute("CREATE TABLE IF NOT EXISTS made_by_owner ()")
        with psycopg.connect(urls.database_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE made_by_app ()")
        rows = "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname LIKE 'cdp%' ORDER BY 1"
        with psycopg.connect(urls.database_url) as app:
            assert app.execute(rows).fetchall() == [
                ("cdp_app", False, False, False),
                ("cdp_owner", False, False, True),  # log-ins of BI tools are its to make
            ]


def test_data_survives_a_restart(home: Path) -> None:
    with embedded.services(home, profile="test", environ={}) as urls, psycopg.connect(urls.database_owner_url) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded.services(home, profile="test", environ={}) as urls, psycopg.connect(urls.database_owner_url) as owner:
        assert owner.execute("SELECT answer FROM kept").fetchall() == [(42,)]


def test_the_last_one_out_stops_the_servers(home: Path) -> None:
    with holder(home) as other:
        with embedded.services(home, profile="test", environ={}) as urls:
            server = postmaster(urls)
            assert not embedded.stop(home)
        assert not is_gone(server)
        other.terminate()
    # SIGTERM ends plain Python without unwinding: the server was left, and nobody uses it.
    assert embedded.stop(home)
    assert is_gone(server)


def test_servers_of_a_killed_process_are_used_again(home: Path) -> None:
    with holder(home) as other:
        other.kill()
    with embedded.services(home, profile="test", environ={}) as urls:
        first = postmaster(urls)
    assert is_gone(first)


def test_a_killed_postgres_starts_again_with_its_committed_rows(home: Path) -> None:
    with embedded.services(home, profile="test", environ={}) as urls:
        with psycopg.connect(urls.database_owner_url) as owner:
            owner.execute("CREATE TABLE survivors AS SELECT generate_series(1, 1000)")
        postmaster(urls).kill()
        with redis.Redis.from_url(urls.redis_url) as valkey:
            os.kill(valkey.info("server")["process_id"], signal.SIGKILL)
        with embedded.services(home, profile="test", environ={}) as again:
            with psycopg.connect(again.database_owner_url) as owner:
                assert owner.execute("SELECT count(*) FROM survivors").fetchone() == (1000,)
            with redis.Redis.from_url(again.redis_url) as valkey:
                assert valkey.ping()


def test_a_stale_lock_file_with_a_process_id_of_another_program_is_overlooked(home: Path) -> None:
    with embedded.services(home, profile="test", environ={}):
        pass
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        lock = files(home) / "postgres" / "postmaster.pid"
        lock.write_text(f"{bystander.pid}\n{home / 'postgres'}\n{int(time.time())}\n5432\n\n\n")
        with embedded.services(home, profile="test", environ={}) as urls:
            assert postmaster(urls).pid != bystander.pid
    finally:
        bystander.kill()
        bystander.wait()


def test_nobody_else_on_the_machine_gets_in(home: Path) -> None:
    with embedded.services(home, profile="test", environ={}) as urls:
        directory = Path(parse_qs(urlsplit(urls.database_url).query)["host"][0])
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        with psycopg.connect(urls.database_admin_url) as admin:
            assert admin.execute("SHOW listen_addresses").fetchone() == ("",)
        parts = urlsplit(urls.redis_url)
        assert parts.hostname == "127.0.0.1"
        with (
            redis.Redis(host=parts.hostname, port=parts.port or 0) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        configuration = files(home) / "valkey" / "valkey.conf"
        assert stat.S_IMODE(configuration.stat().st_mode) == 0o600


def test_a_demo_is_durable_and_a_test_server_only_against_killed_processes(tmp_path: Path) -> None:
    for profile, fsync in (("demo", "on"), ("test", "off")):
        home = tmp_path / profile
        with (
            embedded.services(home, profile=profile, environ={}) as urls,
            psycopg.connect(urls.database_url) as app,
        ):
            assert app.execute("SHOW fsync").fetchone() == (fsync,)
            assert app.execute("SHOW synchronous_commit").fetchone() == ("on",)
        embedded.forget(home)
        assert not home.exists()


def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    home = tmp_path / ("quite long " * 10)
    with embedded.services(home, profile="test", environ={}) as urls, psycopg.connect(urls.database_url) as app:
        assert app.execute("SELECT 1").fetchone() == (1,)
        assert len(parse_qs(urlsplit(urls.database_url).query)["host"][0]) <= LONGEST_SOCKET_DIRECTORY
    embedded.forget(home)


def test_data_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    home = tmp_path / "old"
    with embedded.services(home, profile="test", environ={}):
        pass
    (files(home) / "postgres" / "PG_VERSION").write_text("13\n")
    with (
        pytest.raises(embedded.EmbeddedError, match="made by PostgreSQL 13, installed is 18"),
        embedded.services(home, profile="test", environ={}),
    ):
        pass
    embedded.forget(home)


def test_configured_servers_are_used_as_they_are(home: Path, tmp_path: Path) -> None:
    with embedded.services(home, profile="test", environ={}) as private:
        given = {"DATABASE_URL": private.database_admin_url, "REDIS_URL": "redis://elsewhere:6379/0"}
        with embedded.services(tmp_path / "unused", environ=given) as urls:
            assert urls.environ() == {**given, "DATABASE_OWNER_URL": ""}
            assert urls.for_database("other").environ()["DATABASE_URL"].split("?")[0].endswith("/other")
    assert not (tmp_path / "unused").exists()

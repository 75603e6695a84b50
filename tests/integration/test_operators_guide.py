"""The guide for operators, from an empty PostgreSQL to a platform that is ready: its commands as they stand."""

import re
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import psycopg
import pytest

from cdp.databases import with_database
from cdp.embedded import free_port
from tests.conftest import OwnDatabase
from tests.harness.processes import Processes
from tests.integration.operating import ROOT, Machine, fresh_server
from tests.unit.test_deploying import LIVING

GUIDE = ROOT / "docs/guides/operators.md"
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(chapter: str) -> str:
    """The commands of one chapter, in their order."""
    (text,) = re.findall(rf"^## {chapter}\n(.*?)(?=^## |\Z)", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    found = FENCE.findall(text)
    assert found, f"the chapter {chapter!r} shows nothing"
    return "\n".join(found)


def test_the_two_log_ins_are_made_apart_and_neither_is_mighty(tmp_path: Path) -> None:
    with fresh_server(tmp_path) as server:
        machine = Machine(tmp_path, replaced={}, server=server)
        machine.run(commands("PostgreSQL"))
        owner, app = (
            f"postgresql://{name}:{machine.environ[password]}@127.0.0.1:{server.port}/cdp"
            for name, password in [("cdp_owner", "CDP_OWNER_PASSWORD"), ("cdp_app", "CDP_APP_PASSWORD")]
        )
        with psycopg.connect(owner) as connection:
            connection.execute("CREATE TABLE kept (id int)")
        with psycopg.connect(app, autocommit=True) as connection:
            connection.execute("CREATE TEMPORARY TABLE passing (id int)")  # analyses need it
            for refused in (
                "CREATE TABLE mine (id int)",
                "DROP TABLE kept",
                "SET ROLE cdp_owner",
                "CREATE DATABASE mine",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(refused)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://cdp_app:change-me@127.0.0.1:{server.port}/cdp")
        assert "change-me" not in "".join(machine.environ.values())


def started(processes: Processes, machine: Machine, port: str, wanted: set[str]) -> None:
    """Each process as its unit starts it, with what systemd would hand on."""
    for path in sorted((ROOT / "deploy/systemd").glob("cdp-*.service")):
        name = path.stem.removeprefix("cdp-").rstrip("@")
        if name not in wanted:
            continue
        (line,) = re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE)
        line = line.replace("/opt/cdp/.venv/bin/python", sys.executable).replace("/opt/cdp", str(ROOT))
        line = line.replace("/var/lib/cdp", str(machine.where)).replace("8000", port).replace("%H", "test")
        processes.start(name, shlex.split(line.replace("--workers 4", "--workers 1")))


def answer(port: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status, and where it sends one on to."""
    with closing(HTTPConnection("127.0.0.1", int(port), timeout=10)) as connection:
        connection.request("GET", path, headers={"Host": "127.0.0.1", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.getheader("Location") or ""


def test_from_an_empty_server_to_ready_by_the_guides_commands(
    own_database: OwnDatabase, drill_scale: Callable[..., int], tmp_path: Path
) -> None:
    """At full scale all of it on a new PostgreSQL; else on a database whose migrations are done, and two of the processes."""
    is_full = bool(drill_scale(full=1, quick=0))
    port = str(free_port())
    with ExitStack() as stack:
        server = stack.enter_context(fresh_server(tmp_path)) if is_full else None
        machine = Machine(tmp_path, replaced={":8000": f":{port}"}, server=server)
        if is_full:
            machine.run(commands("PostgreSQL"))
        else:
            machine.environ |= {"CDP_OWNER_PASSWORD": "not-asked-for", "CDP_APP_PASSWORD": "not-asked-for"}
        machine.run(commands("Settings"))
        # What the guide asks one to go through.
        machine.change(
            CDP_VAULT_KEY_FILE=f"{machine.etc}/keys/vault.json", CDP_AUDIT_KEY=f"{machine.etc}/keys/audit.pem",
            CDP_AUDIT_ANCHORS=f"{tmp_path}/anchors", CDP_PRIVACY_EXPORTS=f"{tmp_path}/exports", CDP_STATIC_ROOT=f"{tmp_path}/static",
            CDP_BEAT_SCHEDULE=f"{tmp_path}/beat-schedule", REDIS_URL=with_database(own_database.urls.redis_url, "60"),
        )  # fmt: skip
        if server is not None:
            for name in ("env", "owner.env"):
                path = machine.etc / name
                path.write_text(path.read_text().replace("127.0.0.1:5432", f"127.0.0.1:{server.port}"))
        else:
            machine.change(
                DATABASE_URL=own_database.urls.database_url, DATABASE_OWNER_URL=own_database.urls.owner_login_url
            )
            (machine.etc / "owner.env").write_text(f"DATABASE_OWNER_URL={own_database.urls.owner_login_url}\n")
        machine.hand_on_settings()

        setting_up = commands("Keys, tables, files")
        if not is_full:
            # Collecting has a test of its own, and so have migrations: nothing of them is left to do here.
            setting_up = setting_up.replace("systemctl start cdp-migrate\n", "").partition("CDP_INSECURE_KEY")[0]
        if is_old := server is not None and server.version < 17:
            setting_up = setting_up.replace("--fail-level WARNING", "--fail-level ERROR")
        said = machine.run(setting_up)
        found = set(re.findall(r"\((\w+\.[EW]\d+)\)", said))
        assert found == ({"cdp.W002"} if is_old else set()), said

        starting, _, asking = commands("Start").partition("curl")
        machine.run(starting if is_full else starting.partition("\n")[2])
        assert (machine.etc / "wanted").exists()
        processes = Processes(machine.settings(), tmp_path)
        stack.callback(processes.end_all)
        started(processes, machine, port, LIVING if is_full else {"web"})
        try:
            ready = machine.run(f"curl{asking}")
        except AssertionError as problem:
            raise AssertionError(processes.output()) from problem
        assert '"status": "ready"' in ready
        assert processes.ended() == [], processes.output()
        # Plain requests are sent on to https; those that the proxy has taken the TLS off are answered.
        assert answer(port, "/admin/login/") == (301, "https://127.0.0.1/admin/login/")
        assert answer(port, "/admin/login/", {"X-Forwarded-Proto": "https"})[0] == 200
        assert answer(port, "/admin/login/", {"X-Forwarded-Proto": "https", "Host": "elsewhere.example"})[0] == 400

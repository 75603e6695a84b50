"""The guide for operators, from an empty PostgreSQL to a platform that is ready: its commands as they stand, its settings as in the example."""

import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from cdp.databases import with_database
from tests.harness.processes import Processes
from tests.integration.operating import ROOT, Machine, fresh_server

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
            for refused in ("CREATE TABLE mine (id int)", "DROP TABLE kept", "SET ROLE cdp_owner", "CREATE DATABASE mine"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(refused)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://cdp_app:change-me@127.0.0.1:{server.port}/cdp")
        assert "change-me" not in "".join(machine.environ.values())

"""Running the platform from one command: ports, one demo at a time, what the processes are told."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cdp import serve
from cdp.databases import Urls
from cdp.embedded import free_port

ROOT = Path(__file__).resolve().parents[2]


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"CDP_DEMO_HOME": str(home), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "cdp.serve", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_a_taken_port_gives_way_to_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < serve.first_free_port(port) < port + 100


def test_a_free_port_is_taken_as_wanted() -> None:
    port = free_port()
    assert serve.first_free_port(port) == port


def test_what_the_caller_has_set_wins_but_not_over_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "HOME", tmp_path)
    monkeypatch.setenv("CDP_SECRET_KEY", "mine")
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://owner@db/shop")
    urls = Urls(database_url="postgresql://app@db/other", database_owner_url="", database_admin_url="", redis_url="")
    environ = serve.platform_environ(urls)
    assert environ["CDP_SECRET_KEY"] == "mine"
    assert environ["DATABASE_URL"] == "postgresql://app@db/other"
    assert environ["DATABASE_OWNER_URL"] == ""


def test_the_secret_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    home.mkdir()
    command = ["run", "--python", "--", "-c", "import os; print(os.environ['CDP_SECRET_KEY'])"]
    first, second = run(home, *command), run(home, *command)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout == second.stdout
    assert len(first.stdout.strip()) >= 50
    assert (home / "secret_key").stat().st_mode & 0o077 == 0
    assert run(home, "forget").returncode == 0
    assert not home.exists()


def test_a_command_passes_on_its_exit_code(tmp_path: Path) -> None:
    assert run(tmp_path / "demo", "run", "--python", "--", "-c", "raise SystemExit(7)").returncode == 7
    assert run(tmp_path / "demo", "forget").returncode == 0


def test_a_second_demo_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    import fcntl

    with open(tmp_path / "serve.json", "w") as first:
        json.dump({"pid": 4711, "url": "http://127.0.0.1:8000"}, first)
        first.flush()
        fcntl.flock(first, fcntl.LOCK_EX)
        second = run(tmp_path, "demo")
    assert second.returncode == 1
    assert second.stderr.startswith("error: the demo already runs, at http://127.0.0.1:8000 (process 4711)")
    assert second.stderr.count("\n") == 1

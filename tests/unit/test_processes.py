"""Children of the process manager: seen together, ended together, and found again after a kill -9 of the manager."""

import io
import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from cdp.processes import ProcessGroup, end_left_behind

# A parent with a child of its own, as granian and Celery have; both say when they are there.
FAMILY = "import subprocess, sys; print('parent', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('child', flush=True); time.sleep(60)"
)


def wait_for(output: io.StringIO, text: str) -> None:
    patience = time.monotonic() + 20
    while text not in output.getvalue():
        assert time.monotonic() < patience, output.getvalue()
        time.sleep(0.02)


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def group(tmp_path: Path, output: io.StringIO) -> ProcessGroup:
    return ProcessGroup(record=tmp_path / "processes.json", environ=os.environ, output=output)


def test_every_line_names_its_process(group: ProcessGroup, output: io.StringIO) -> None:
    group.start("web", [sys.executable, "-c", "print('one')"])
    group.start("worker", [sys.executable, "-c", "import sys; print('two', file=sys.stderr)"])
    wait_for(output, "one")
    wait_for(output, "two")
    group.stop()
    assert sorted(output.getvalue().splitlines()) == ["web      | one", "worker   | two"]


def test_the_first_to_end_is_named_with_its_code(group: ProcessGroup) -> None:
    child = group.start("web", [sys.executable, "-c", "raise SystemExit(3)"])
    child.wait()
    assert group.ended() == ("web", 3)
    group.stop()


def test_grandchildren_that_ignore_the_order_are_killed(tmp_path: Path, output: io.StringIO) -> None:
    group = ProcessGroup(record=tmp_path / "record.json", environ=os.environ, output=output, grace_seconds=0.5)
    child = group.start("web", [sys.executable, "-c", FAMILY.format(child=STUBBORN)])
    wait_for(output, "child")
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    group.stop()
    # The grandchild isn't ours to collect, so it may stay in the table as a zombie until its new parent does.
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert not group.record.exists()


def test_what_a_killed_manager_left_is_ended(group: ProcessGroup, output: io.StringIO) -> None:
    child = group.start("web", [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"])
    wait_for(output, "up")
    assert end_left_behind(group.record) == 1
    assert not psutil.pid_exists(child.pid)
    group.stop()


def test_a_stranger_with_a_reused_process_id_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "processes.json"
    record.write_text(json.dumps([{"pid": os.getpid(), "created": psutil.Process().create_time() - 1000}]))
    assert end_left_behind(record) == 0
    assert not record.exists()

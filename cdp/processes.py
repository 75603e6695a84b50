"""A few child processes under one roof: their output in one stream, started together, ended together.

It knows nothing of what the processes do; which ones make up the platform stands in `cdp.serve`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

# A Celery worker finishes the task at hand before it goes; a Job's lease covers what is cut off after that.
GRACE_SECONDS = 15.0
COLOURS = (36, 32, 33, 35, 34, 31)


class ProcessGroup:
    """Children in process groups of their own, so that the terminal's Ctrl-C reaches only us and we end them in order.

    Their ids are kept in `record`: after a kill -9 of us the next start ends what was left behind.
    """

    def __init__(
        self,
        *,
        record: Path,
        environ: Mapping[str, str],
        output: IO[str] = sys.stdout,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.record = record
        self.environ = dict(environ)
        self.output = output
        self.grace_seconds = grace_seconds
        self.children: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._writing = threading.Lock()

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            command, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", bufsize=1, start_new_session=True,
        )  # fmt: skip
        self.children[name] = child
        self._write_record()
        reader = threading.Thread(target=self._copy_output, args=(name, child), daemon=True)
        reader.start()
        self._readers.append(reader)
        return child

    def ended(self) -> tuple[str, int] | None:
        """Name and exit code of a child that is no longer running, if there is one."""
        for name, child in self.children.items():
            if (code := child.poll()) is not None:
                return name, code
        return None

    def stop(self) -> None:
        """Asks all to go, waits, and kills what stays; returns when none is left."""
        families = [member for child in self.children.values() for member in _family(child.pid)]
        for child in self.children.values():
            _signal_group(child.pid, signal.SIGTERM)
        patience = time.monotonic() + self.grace_seconds
        for child in self.children.values():
            try:
                child.wait(max(0.0, patience - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(child.pid, signal.SIGKILL)
                child.wait()
            # Grandchildren (granian's and Celery's workers) whose parent went without them.
            _signal_group(child.pid, signal.SIGKILL)
        while left := [member for member in families if _lives(member)]:
            for member in left:
                member.kill()
            time.sleep(0.01)
        for reader in self._readers:
            reader.join(timeout=2)
        self.record.unlink(missing_ok=True)

    def _copy_output(self, name: str, child: subprocess.Popen[str]) -> None:
        label = f"{name:<9}|"
        if self.output.isatty():
            label = f"\x1b[{COLOURS[list(self.children).index(name) % len(COLOURS)]}m{label}\x1b[0m"
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                with self._writing:
                    self.output.write(f"{label} {line}")
                    self.output.flush()

    def _write_record(self) -> None:
        rows = []
        for child in self.children.values():
            try:
                rows.append({"pid": child.pid, "created": psutil.Process(child.pid).create_time()})
            except psutil.NoSuchProcess:
                continue
        self.record.write_text(json.dumps(rows))


def end_left_behind(record: Path) -> int:
    """How many recorded process groups were still running, and are now ended."""
    if not record.exists():
        return 0
    alive = []
    for row in json.loads(record.read_text() or "[]"):
        try:
            process = psutil.Process(row["pid"])
            # A process id is given again; with its time of birth it names one process for ever.
            if abs(process.create_time() - row["created"]) < 1 and _lives(process):
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    for process in alive:
        _signal_group(process.pid, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    for process in stubborn:
        _signal_group(process.pid, signal.SIGKILL)
    record.unlink(missing_ok=True)
    return len(alive)


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    # A dead grandchild may stay in the table as a zombie until its new parent collects it; that isn't ours to wait for.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal_group(pid: int, which: signal.Signals) -> None:
    try:
        os.killpg(pid, which)
    except ProcessLookupError:
        return
    except PermissionError:
        # macOS answers so for a group in which only zombies are left.
        return

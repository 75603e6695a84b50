"""The platform's real processes on a test's own database: started, killed, and their last words kept.

For tests where the process is the point: durability, concurrency, sockets. What they prove stands in those tests.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from cdp.embedded import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30


class Processes:
    """Starts processes in groups of their own and ends every one of them when the test is over."""

    def __init__(self, environ: dict[str, str], logs: Path) -> None:
        self.environ = {**os.environ, **environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore:No directory at"}
        self.logs = logs
        self._running: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        self._started = 0

    def web(self, *, workers: int = 1, threads: int = 4) -> str:
        """URL of a granian that answers, as in production."""
        port = free_port()
        serve = ["--interface", "wsgi", "--http", "1", "--no-ws", "--port", str(port), "--log-level", "warning"]
        size = ["--workers", str(workers), "--blocking-threads", str(threads)]
        process = self.start("web", [sys.executable, "-m", "granian", *serve, *size, "cdp.wsgi:application"])
        url = f"http://127.0.0.1:{port}"
        self._wait(process, lambda: _answers(f"{url}/healthz"), "the web server answers")
        return url

    def consumer(self, *options: str) -> subprocess.Popen[bytes]:
        return self.manage("consume", *options)

    def manage(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start(arguments[0], [sys.executable, str(ROOT / "manage.py"), *arguments])

    def celery_worker(self, *, pool: str = "prefork", concurrency: int = 1) -> subprocess.Popen[bytes]:
        """A Celery worker that takes tasks."""
        from cdp.celery import app

        name = f"test{self._started}@localhost"
        command = [sys.executable, "-m", "celery", "--app", "cdp", "--quiet", "worker", "--hostname", name]
        process = self.start("worker", [*command, "--pool", pool, "--concurrency", str(concurrency)])
        self._wait(process, lambda: bool(app.control.ping(destination=[name], timeout=0.5)), "the worker answers")
        return process

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self._started += 1
        log = open(self.logs / f"{self._started:02d}-{name}.log", "wb")  # noqa: SIM115  (closed with the process)
        process = subprocess.Popen(
            command,
            env=self.environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._running.append((process, log))
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9 of the process and of all it has started: no handler runs, nothing is put in order."""
        _signal_group(process, signal.SIGKILL)
        process.wait()

    def stop(self, process: subprocess.Popen[bytes], *, seconds: float = 20) -> int:
        """Exit code after an orderly end."""
        _signal_group(process, signal.SIGTERM)
        return process.wait(seconds)

    def ended(self) -> list[int]:
        """Exit codes of those that run no more."""
        return [process.returncode for process, _ in self._running if process.poll() is not None]

    def end_all(self) -> None:
        for process, _ in self._running:
            if process.poll() is None:
                _signal_group(process, signal.SIGTERM)
        for process, log in self._running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill(process)
            _signal_group(process, signal.SIGKILL)  # workers whose parent went without them
            log.close()

    def output(self) -> str:
        """What the processes said, for the report of a test that failed."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}" for path in sorted(self.logs.glob("*.log"))
        )

    def _wait(self, process: subprocess.Popen[bytes], ready: Callable[[], bool], what: str) -> None:
        patience = time.monotonic() + READY_SECONDS
        while time.monotonic() < patience:
            if ready():
                return
            assert process.poll() is None, f"ended with code {process.returncode} before {what}\n{self.output()}"
            time.sleep(0.05)
        raise AssertionError(f"waited {READY_SECONDS} seconds until {what}\n{self.output()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _signal_group(process: subprocess.Popen[bytes], which: signal.Signals) -> None:
    try:
        os.killpg(process.pid, which)
    except (ProcessLookupError, PermissionError):
        return  # all of it has gone

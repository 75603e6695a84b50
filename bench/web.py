"""The web server as the demo starts it, for benches that measure what callers see."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Web:
    port: int
    pid: int


@contextmanager
def serving(*, threads: int, settings: str = "cdp.settings", **environ: str) -> Iterator[Web]:
    """One worker with so many threads.

    Raises:
        RuntimeError: it didn't start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--workers", "1"]
    command += ["--blocking-threads", str(threads), "--no-access-log", "--log-level", "error", "cdp.wsgi:application"]
    with subprocess.Popen(command, env={**os.environ, "DJANGO_SETTINGS_MODULE": settings, **environ}) as server:
        try:
            for _ in range(400):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            else:
                raise RuntimeError("the web server didn't start")
            time.sleep(1)
            yield Web(port=port, pid=server.pid)
        finally:
            server.terminate()

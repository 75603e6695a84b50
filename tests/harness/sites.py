"""A site of somebody else's on an origin of its own, from a folder: what the platform's scripts run on in browser tests."""

import functools
import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cdp.embedded import free_port


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files with the site's own headers, and says nothing: a test's output is for what failed."""

    def __init__(self, *args: object, headers: Mapping[str, str], **named: object) -> None:
        self.own_headers = headers
        super().__init__(*args, **named)  # type: ignore[arg-type]  # handed on as they come

    def end_headers(self) -> None:
        for name, value in self.own_headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def site(folder: Path, *, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The origin of the site while it is served."""
    handler = functools.partial(Quiet, directory=folder, headers=headers or {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""What browser tests look at: the platform without a process of its own, and a site of somebody else's on another origin.

Tests about the web server itself, its sockets or its settings start a real one (`tests.harness.processes`).
"""

import functools
import http.server
import socketserver
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
    with _answering(http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler)) as origin:
        yield origin


@contextmanager
def platform() -> Iterator[str]:
    """URL of the whole platform while threads of this process answer it, on whichever database tests point to.

    A web server takes two seconds to start; this one has its code, and soon its templates, loaded already.
    """
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    server = ThreadedWSGIServer(("127.0.0.1", free_port()), WSGIRequestHandler)
    server.set_app(WSGIHandler())
    with _answering(server) as url:
        yield url


@contextmanager
def _answering(server: socketserver.TCPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

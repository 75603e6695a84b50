"""Whether an answer is harmless: no error of ours, nothing of what was sent taken for markup, none of it in a log, within a time.

What is sent, and where to, is the tests' business. All that is amiss is gathered, so that one run names it all.
"""

import gc
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from django.core.signals import got_request_exception
from django.http import HttpResponse

from cdp.logs import formatter
from tests.harness.hostile import HEADER, MARK, TAG

THREAD_SECONDS = 2.0
GARBAGE_EVERY = 200
"""Of our own work for one request, whatever else the machine does."""
SECONDS = 20.0
RUNS = re.compile(
    rf"^[\s\x00-\x20]*(java|vb)script\s*:|^[\s\x00-\x20]*data\s*:\s*text/html|^\s*//{MARK}", re.IGNORECASE
)
GOES_ELSEWHERE = {"href", "src", "action", "formaction", "srcdoc", "xlink:href", "poster", "data"}
TRACES = ("Traceback (most recent call last)", 'File "/', "django.db.utils", "psycopg.errors", "OperationalError")


class _Page(HTMLParser):
    """Finds in a page what can only have come from outside."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if MARK in tag:
            self.found.append(f"an element <{tag}>")
        for name, value in attrs:
            if MARK in name or name.startswith("on"):
                self.found.append(f"an attribute {name} of <{tag}>")
            elif name in GOES_ELSEWHERE and value and RUNS.match(value):
                self.found.append(f"{name} of <{tag}> leads to {value[:40]!r}")
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append("a script in the page")
        if tag in ("base", "object", "embed", "frame"):
            self.found.append(f"an element <{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if MARK in tag:
            self.found.append(f"an end of <{tag}>")

    def unknown_decl(self, data: str) -> None:
        if MARK in data:
            self.found.append("a declaration")

    def handle_comment(self, data: str) -> None:
        if MARK in data:
            self.found.append("a comment")


@dataclass
class Watch:
    """Sends, looks at what comes back, and keeps what is amiss: (where, what)."""

    complaints: dict[tuple[str, str], str] = field(default_factory=dict)
    requests: int = 0
    slowest: tuple[float, str] = (0.0, "")
    _raised: list[str] = field(default_factory=list)
    _logged: list[logging.LogRecord] = field(default_factory=list)

    def send(self, where: str, ask: Callable[[], HttpResponse], sent: str = "") -> HttpResponse:
        """The answer to what is asked at a place, which complaints name; ``sent`` says with what, for whoever mends it."""
        self._raised.clear()
        self._logged.clear()
        if self.requests % GARBAGE_EVERY == 0:
            gc.collect()
        began, own = time.monotonic(), time.thread_time()
        response = ask()
        own, took = time.thread_time() - own, time.monotonic() - began
        self.requests += 1
        self.slowest = max(self.slowest, (own, where))
        for wrong in self._wrong(response, own, took):
            self.complaints.setdefault((where, wrong), sent)
        return response

    def say(self, where: str, wrong: str, sent: str = "") -> None:
        self.complaints.setdefault((where, wrong), sent)

    def told(self) -> str:
        lines = [f"{where}: {wrong}  <- {sent[:200]}" for (where, wrong), sent in sorted(self.complaints.items())]
        return f"{len(lines)} complaints about {self.requests} requests\n" + "\n".join(lines[:60])

    def _wrong(self, response: HttpResponse, own: float, took: float) -> Iterator[str]:
        if response.status_code >= 500 and response.status_code != 503:
            yield f"answered {response.status_code} ({', '.join(self._raised) or 'nothing was raised'})"
        elif self._raised:
            yield f"raised {', '.join(self._raised)}"
        if own > THREAD_SECONDS or took > SECONDS:
            yield f"took {own:.1f} s of its thread, {took:.1f} s in all"
        yield from self._of_headers(response)
        body = b"" if response.streaming else response.content
        if MARK.encode() in body or response.status_code >= 500:
            yield from self._of_body(response, body)
        for record in self._logged:
            line = formatter(as_json=False).format(record)
            if MARK in line:
                yield f"the log repeats what was sent: {line[:120]!r}"
            if "traceback" not in line and any(ord(one) < 32 for one in line):
                yield f"a line of the log holds more than a line: {line[:120]!r}"

    def _of_headers(self, response: HttpResponse) -> Iterator[str]:
        for name, value in response.items():
            if name.lower() == HEADER.lower() or any(ord(one) < 32 for one in name + value):
                yield f"a header that was sent in: {name}"
        if MARK in response.cookies:
            yield "a cookie that was sent in"

    def _of_body(self, response: HttpResponse, body: bytes) -> Iterator[str]:
        kind = response.get("Content-Type", "").split(";")[0]
        text = body.decode(response.charset or "utf-8", "replace")
        for trace in TRACES:
            if trace in text:
                yield f"the answer shows our insides ({trace})"
        if kind in ("text/html", "image/svg+xml", "application/xhtml+xml"):
            if f"<{TAG}" in text.lower():
                yield "markup that was sent stands in the page"
            page = _Page()
            page.feed(text)
            page.close()
            yield from sorted(set(page.found))
        elif response.get("X-Content-Type-Options") != "nosniff":
            yield f"{kind} may be taken for something else"

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        """While the block runs, what is logged and raised is seen."""
        handler = _Keeping(self._logged)
        root = logging.getLogger()
        before, others = root.level, list(root.handlers)
        got_request_exception.connect(self._hear)
        root.handlers[:] = [
            handler
        ]  # thousands of lines about errors that are looked at here are nobody else's to read
        root.setLevel(logging.INFO)
        # After a hundred thousand requests picking up garbage takes seconds, which is no text's fault: it is done between them.
        gc.freeze()
        gc.disable()
        try:
            yield self
        finally:
            gc.enable()
            gc.unfreeze()
            root.setLevel(before)
            root.handlers[:] = others
            got_request_exception.disconnect(self._hear)

    def _hear(self, **_: Any) -> None:
        import sys

        kind, _error, trace = sys.exc_info()
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f" in {trace.tb_frame.f_code.co_name}" if trace is not None else ""
        self._raised.append(f"{kind.__name__ if kind else 'an error'}{place}")


class _Keeping(logging.Handler):
    def __init__(self, kept: list[logging.LogRecord]) -> None:
        super().__init__()
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)

"""How long it takes from an accepted event to the webhook's request at its receiver, through all processes, at 200 events a second.

The goal is 95 of 100 within a second. Run by `make bench ARGS=webhooks`; BENCH_EVENTS chooses how many.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ["CDP_OUTBOUND_ALLOW"] = "127.0.0.1"

import django

django.setup()

import msgspec
from django.contrib.auth.models import User
from django.db.models import Max

from bench.report import Row, publish
from cdp.activation.models import Audience
from cdp.activation.services import create_audience
from cdp.audit import SYSTEM
from cdp.ingestion.accept import accept
from cdp.ingestion.keys import create_source, create_write_key
from cdp.ingestion.models import InboxMessage, SourceKind
from cdp.profiles.models import Identifier
from cdp.webhooks.services import create_webhook
from consent.models import Purpose
from segments.services import create_segment
from segments.services import publish as set_live

EVENTS = int(os.environ.get("BENCH_EVENTS", 4_000))
A_SECOND = 200
MANAGE = [sys.executable, str(Path(__file__).resolve().parents[1] / "manage.py")]
PROCESSES = ("consume", "keep_audiences", "deliver")
PATIENCE = 120

arrived: dict[str, float] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
        arrived.setdefault(body["data"]["profile"], time.perf_counter())
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def send(key: str, *calls: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    batch = [
        {"messageId": f"b{time.perf_counter_ns()}-{n}", "timestamp": now.isoformat(), **one}
        for n, one in enumerate(calls)
    ]
    body = msgspec.json.encode({"batch": batch})
    accept(endpoint="batch", body=body, authorization=f"Bearer {key}", received_at=now)


def wait_until(what: str, ready: Any) -> None:
    until = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > until:
            raise SystemExit(f"{what} did not happen within {PATIENCE} s")
        time.sleep(0.1)


def prepare(url: str) -> str:
    """People who permit email and haven't bought, and a webhook of an audience of who buys; the write key."""
    key: str = create_write_key(source=create_source(name="Shop", kind=SourceKind.SERVER, by=SYSTEM), by=SYSTEM)[1]
    permits = {"consent": {"categoryPreferences": {"marketing_email": True}}}
    send(key, {"type": "track", "event": "Bought", "userId": "somebody"})
    for first in range(0, EVENTS, 100):
        people = range(first, min(first + 100, EVENTS))
        send(key, *({"type": "track", "event": "Looked", "userId": f"u{n}", "context": permits} for n in people))
    wait_until("storing people", lambda: not InboxMessage.objects.exists())
    segment = create_segment(name="Buyers", key="buyers", rule={"version": 1, "performed": "Bought"}, by=SYSTEM)
    set_live(segment=segment, version=segment.versions.get(), by=SYSTEM)
    purpose = Purpose.objects.get(key="marketing_email")
    audience = create_audience(name="Buyers", segment=segment, purpose=purpose, by=SYSTEM)
    owner = User.objects.create_superuser("bench", password=None)
    create_webhook(url=url, events=["audience.entered"], audiences=[audience], purpose=purpose, user=owner, by=SYSTEM)
    wait_until("filling the audience", lambda: Audience.objects.filter(compared_at__isnull=False).exists())
    return key


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    running = [subprocess.Popen([*MANAGE, name]) for name in PROCESSES]
    try:
        key = prepare(f"http://127.0.0.1:{server.server_address[1]}/")
        sent: dict[str, float] = {}
        began = time.perf_counter()
        for n in range(EVENTS):
            pause = began + n / A_SECOND - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            send(key, {"type": "track", "event": "Bought", "userId": f"u{n}"})
            sent[f"u{n}"] = time.perf_counter()
        took = time.perf_counter() - began
        wait_until("receiving everything", lambda: len(arrived) >= EVENTS)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
        server.shutdown()
    ids = Identifier.objects.filter(namespace="user_id", value__in=sent).values_list("value", "profile__uuid")
    waits = sorted(arrived[str(uuid)] - sent[user] for user, uuid in ids if str(uuid) in arrived)
    assert len(waits) == EVENTS
    newest = Audience.objects.aggregate(newest=Max("position"))["newest"]
    size = f"{EVENTS:,} events at {EVENTS / took:,.0f}/s, median {statistics.median(waits) * 1000:,.0f} ms, position {newest}"
    p95 = waits[int(len(waits) * 0.95)] * 1000
    publish(
        [
            Row(
                name="p95 from accepted event to webhook, vs a second",
                size=size,
                value=p95,
                floor=1000.0,
                unit="ms",
                goal=1.0,
            )
        ]
    )


if __name__ == "__main__":
    main()

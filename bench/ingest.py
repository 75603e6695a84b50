"""How many events a second are accepted, and how many one consumer brings to memberships, each against a bare floor.

Durable commits, batches of 100, 20 live rules and then 200, 100,000 people known. Run by `make bench ARGS=ingest`.
"""

import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import django

django.setup()

import msgspec
from django.db import connection, connections, transaction
from django.utils import timezone

from bench.report import Row, publish
from bench.web import serving
from cdp.audit import SYSTEM
from cdp.consumer import Consumer
from cdp.database import bound_cursor
from cdp.ingestion import inbox
from cdp.ingestion.keys import create_source, create_write_key
from cdp.ingestion.models import InboxMessage
from cdp.pipeline import process_batch
from cdp.profiles.models import Event, EventType, Profile
from cdp.profiles.services import ensure_partitions
from segments.feed import number_changes
from segments.models import Segment
from segments.refresh import refresh
from segments.services import create_segment
from segments.services import publish as publish_segment

PEOPLE = int(os.environ.get("BENCH_PEOPLE", 100_000))
EVENTS = int(os.environ.get("BENCH_EVENTS", 100_000))
HISTORY = int(os.environ.get("BENCH_HISTORY", 300_000))
SECONDS = float(os.environ.get("BENCH_SECONDS", 6))
ROUNDS = 3
BATCH = 100
SENDERS = 8
NAMES = [
    "Product Viewed",
    "Product Added",
    "Checkout Started",
    "Order Completed",
    "Email Opened",
    "Product List Viewed",
]
WEIGHTS = [60, 15, 5, 5, 10, 5]
chance = random.Random(20261121)


# ---- What is sent ------------------------------------------------------------------------------------------


def event(number: int, prefix: str, *, within: timedelta = timedelta(hours=1)) -> dict[str, object]:
    name = chance.choices(NAMES, WEIGHTS)[0]
    properties: dict[str, object] = {
        "product_id": f"p{chance.randrange(500)}",
        "category": chance.choice(["Shoes", "Bags", "Home"]),
        "price": chance.randrange(100, 20000) / 100,
    }
    if name == "Order Completed":
        properties |= {
            "order_id": f"{prefix}-{number}",
            "revenue": chance.randrange(100, 50000) / 100,
            "currency": "USD",
        }
    # Squared: some people do much, most do little.
    person = int(PEOPLE * chance.random() ** 2)
    return {
        "type": "track",
        "userId": f"user-{person}",
        "event": name,
        "messageId": f"{prefix}-{number}",
        "timestamp": (timezone.now() - chance.random() * within).isoformat(),
        "properties": properties,
        "context": {"library": {"name": "bench", "version": "1"}, "ip": "203.0.113.7", "locale": "en-GB"},
    }


def bodies(count: int, prefix: str, key: str, *, within: timedelta = timedelta(hours=1)) -> Iterator[bytes]:
    for number in range(count):
        batch = [event(number * BATCH + i, prefix, within=within) for i in range(BATCH)]
        yield json.dumps({"writeKey": key, "batch": batch}).encode()


RULES = [
    lambda i: {
        "performed": "Order Completed",
        "measure": "sum",
        "op": "gt",
        "value": 100 + 25 * i,
        "within": {"days": 30},
    },
    lambda i: {"performed": "Product Viewed", "op": "gte", "value": 3 + i, "within": {"days": 7}},
    lambda i: {
        "all": [
            {"trait": "country", "op": "equals", "value": ["DE", "US", "FR", "GB"][i % 4]},
            {"performed": "Product Added"},
        ]
    },
    lambda i: {
        "all": [{"performed": "Product Viewed", "op": "gt", "value": 10 + i}, {"not": {"performed": "Order Completed"}}]
    },
    lambda i: {"not": {"performed": "Order Completed", "within": {"days": 30 + i}}},
]
# What a workspace with many segments has besides.
MORE_RULES = [
    *RULES,
    lambda i: {
        "sequence": [
            {"performed": "Product Added"},
            {"not_performed": "Order Completed", "within": {"hours": [1, 6, 24][i % 3]}},
        ],
        "within": {"days": [2, 7, 14][i // 3 % 3]},
    },
    lambda i: {
        "performed": "Product Viewed",
        "where": [{"property": "category", "op": "equals", "value": ["Shoes", "Bags", "Home"][i % 3]}],
        "op": "gte",
        "value": 2 + i,
        "within": {"days": 14},
    },
    lambda i: {"performed": "Product Viewed", "measure": "distinct", "of": "product_id", "op": "gte", "value": 3 + i},
    lambda i: {"performed": "Product Viewed", "op": "gt", "value": i, "within": "this_month"},
    lambda i: {
        "performed": "Product Added",
        "op": "gt",
        "than": {"performed": "Product Viewed", "within": {"days": 7}},
        "times": 0.5 + i,
        "within": {"days": 7},
    },
]
FEW, MANY = 20, 200


def prepare() -> str:
    """The write key of a source of this run, on a database that knows the people and has the rules."""
    ensure_partitions((timezone.now() - timedelta(days=40)).date(), timezone.now().date())
    name = f"bench {datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    _, key = create_write_key(source=create_source(name=name, kind="server", by=SYSTEM), by=SYSTEM)
    missing = range(Profile.objects.count(), PEOPLE)
    if missing:
        print(f"making {len(missing):,} people known")
    for start in range(missing.start, missing.stop, 500):
        batch = [
            {
                "type": "identify",
                "userId": f"user-{number}",
                "messageId": f"{name}-{number}",
                "traits": {
                    "country": chance.choice(["DE", "US", "FR", "GB", "JP"]),
                    "age": 18 + number % 60,
                    "plan": "abc"[number % 3],
                },
            }
            for number in range(start, min(start + 500, missing.stop))
        ]
        put(json.dumps({"batch": batch}).encode(), len(batch), key)
    drain()
    # What the windows of the rules look back on.
    missing_events = HISTORY - Event.objects.filter(type=EventType.TRACK).count()
    if missing_events > 0:
        print(f"making {missing_events:,} events of the last 30 days")
    for body in bodies(missing_events // BATCH, f"{name} before", key, within=timedelta(days=30)):
        put(body, BATCH, key)
    Consumer(until_empty=True).run()
    make_live(FEW, RULES)
    return key


def make_live(how_many: int, kinds: Sequence[Callable[[int], dict[str, object]]]) -> None:
    """So many live segments in all, their rules of these kinds."""
    for number in range(Segment.objects.filter(key__startswith="bench-").count(), how_many):
        rule = {"version": 1, **kinds[number % len(kinds)](number // len(kinds))}
        segment = create_segment(name=f"Bench {number}", key=f"bench-{number}", rule=rule, by=SYSTEM)
        publish_segment(segment=segment, version=segment.versions.get(), by=SYSTEM)
    # Who is in is found by then, as on a system that runs; a batch would find it for its own people.
    for segment in Segment.objects.filter(last_refreshed_at__isnull=True, key__startswith="bench-"):
        refresh(segment=segment, progress=lambda done, total, phase: None)
    number_changes()
    with connections["owner"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def put(body: bytes, count: int, key: str) -> None:
    from cdp.ingestion.keys import sender_of

    sender = sender_of(key)
    assert sender is not None
    inbox.put(source_id=sender.source_id, endpoint="batch", body=body, message_count=count, received_at=timezone.now())


def drain() -> int:
    done = 0
    while (report := process_batch()).requests:
        done += report.stored
    return done


# ---- Accepting ---------------------------------------------------------------------------------------------


def accepted_per_second(port: int, requests: list[bytes]) -> float:
    """Events answered 200, by `SENDERS` keep-alive connections over `SECONDS`."""
    counts = [0] * SENDERS
    until = time.monotonic() + SECONDS

    def send(sender: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as line:
            number = sender
            while time.monotonic() < until:
                line.sendall(requests[number % len(requests)])
                answer = line.recv(4096)
                while answer and not answer.endswith((b"}", b"0\r\n\r\n")):  # headers and body may come apart
                    answer += line.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(answer[:300].decode(errors="replace"))
                counts[sender] += BATCH
                number += SENDERS

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - started)


def request(body: bytes) -> bytes:
    head = f"POST /v1/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def measure_accepting(key: str) -> Row:
    requests = [request(body) for body in bodies(200, f"accept-{time.time_ns()}", key)]
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_bare_inbox")
        cursor.execute(
            "CREATE TABLE bench_bare_inbox (id bigserial PRIMARY KEY, received_at timestamptz DEFAULT now(), body bytea)"
        )
    ours: list[float] = []
    bare: list[float] = []
    with serving(threads=SENDERS) as web, serving(threads=SENDERS, settings="bench.bare") as bare_web:
        port, bare_port = web.port, bare_web.port
        for _ in range(ROUNDS):
            ours.append(accepted_per_second(port, requests))
            bare.append(accepted_per_second(bare_port, requests))
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE bench_bare_inbox")
        cursor.execute("TRUNCATE ingestion_inboxmessage")
    return Row(
        name="accepted",
        size=f"batches of {BATCH}, {SENDERS} senders",
        value=median(ours),
        floor=median(bare),
        unit="events/s",
    )


# ---- Processing --------------------------------------------------------------------------------------------


def measure_processing(key: str, rules: int) -> Row:
    ours: list[float] = []
    bare: list[float] = []
    for number in range(ROUNDS):
        for body in bodies(EVENTS // BATCH, f"process-{time.time_ns()}-{number}", key):
            put(body, BATCH, key)
        bare.append(EVENTS / timed(copy_what_waits))
        ours.append(EVENTS / timed(Consumer(until_empty=True).run))
    return Row(
        name="processed to memberships by one consumer",
        size=f"{PEOPLE:,} people, {HISTORY:,} events before, {rules} live rules, {EVENTS:,} events",
        value=median(ours),
        floor=median(bare),
        unit="events/s",
    )


def copy_what_waits() -> None:
    """The floor: read the same requests, decode them, and COPY their events into a table without index; nothing else."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_bare_event")
        cursor.execute(
            "CREATE TABLE bench_bare_event (occurred_at timestamptz, person text, name text, message_id text, properties jsonb)"
        )
        cursor.execute("GRANT INSERT ON bench_bare_event TO PUBLIC")
    ids = list(InboxMessage.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), 20):
        with transaction.atomic(), bound_cursor() as cursor:
            cursor.execute(
                "SELECT body FROM ingestion_inboxmessage WHERE id = ANY(%s::bigint[])", [ids[start : start + 20]]
            )
            batches = [msgspec.json.decode(bytes(body))["batch"] for (body,) in cursor.fetchall()]
            with cursor.copy("COPY bench_bare_event FROM STDIN") as copy:
                for batch in batches:
                    for it in batch:
                        copy.write_row(
                            (
                                it["timestamp"],
                                it["userId"],
                                it["event"],
                                it["messageId"],
                                msgspec.json.encode(it["properties"]).decode(),
                            )
                        )
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE bench_bare_event")


def timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def durable() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        setting = cursor.fetchone()[0]
    if setting != "on":
        sys.exit(f"synchronous_commit is {setting}; the figures would not be of durable commits")


if __name__ == "__main__":
    inbox.bell.ring = lambda: None  # type: ignore[method-assign]  # no consumer listens here
    durable()
    write_key = prepare()
    rows = [measure_accepting(write_key), measure_processing(write_key, FEW)]
    make_live(MANY, MORE_RULES)
    rows.append(measure_processing(write_key, MANY))
    publish(rows)

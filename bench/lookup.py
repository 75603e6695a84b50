"""How long it takes to look one person up, against a bare view that asks the database one thing: same server, same middleware.

Everybody is in 20 segments and has 12 scores. Run by `make bench ARGS=lookup`.
"""

import os
import random
import socket
import threading
import time
from contextlib import AbstractContextManager

import django

django.setup()

from django.core.cache import cache
from django.db import connection, connections

from bench.report import Row, publish
from bench.web import Web, serving
from cdp.audit import SYSTEM
from cdp.rest.models import Scope
from cdp.rest.services import create_api_key
from segments.lookup import look_up
from segments.models import Segment
from segments.services import create_segment
from segments.sharing import share_segment

PEOPLE = int(os.environ.get("BENCH_PEOPLE", 50_000))
SECONDS = float(os.environ.get("BENCH_SECONDS", 4))
ROUNDS = 5
SENDERS = 4
SEGMENTS = 40
PURPOSE = "personalisation"
chance = random.Random(20261124)

MAKE = """
    INSERT INTO profiles_profile (uuid, traits, first_seen_at, last_seen_at, created_at)
    SELECT gen_random_uuid(), '{}', now(), now(), now() FROM generate_series(1, %(people)s);
    INSERT INTO profiles_identifier (namespace, value, profile_id, first_seen_at, last_seen_at)
    SELECT 'user_id', 'user-' || row_number() OVER (ORDER BY id), id, now(), now() FROM profiles_profile;
    INSERT INTO consent_consentrecord (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, recorded_at)
    SELECT p.id, q.id, 'person', 'granted', 'form', '', '{}', now(), now()
      FROM profiles_profile p, consent_purpose q WHERE q.key = %(purpose)s;
    INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, record_id)
    SELECT purpose_id, profile_id, decision, collected_at, id FROM consent_consentrecord;
    UPDATE segments_segment SET status = 'live', live_version_id = v.id
      FROM segments_segmentversion v WHERE v.segment_id = segments_segment.id;
    INSERT INTO segments_membership (segment_id, profile_id, entered_at)
    SELECT s.id, p.id, now() FROM segments_segment s, profiles_profile p WHERE (s.id + p.id) %% 2 = 0;
    INSERT INTO profiles_scorerun (kind, version, created_at, published_at, is_current, keys)
    SELECT kind, '1', now(), now(), true, '{}' FROM unnest(ARRAY['rfm', 'persona', 'clusters']) AS k(kind);
    INSERT INTO profiles_score (run_id, profile_id, key, number, label)
    SELECT r.id, p.id, 'key-' || n, n, 'label' FROM profiles_scorerun r, generate_series(1, 4) AS n, profiles_profile p;
"""


def prepare() -> tuple[str, int]:
    """An API key that sees all segments, and its account, on a database that has the people."""
    key, secret = create_api_key(name="bench", scopes=[Scope.PROFILES_LOOKUP], all_purposes=True, by=SYSTEM)
    for number in range(SEGMENTS):
        rule = {"version": 1, "everyone": True}
        segment = create_segment(name=f"Bench {number}", key=f"bench-{number}", rule=rule, by=SYSTEM)
        share_segment(segment=segment, user=key.user, by=SYSTEM, permissions=["view_segment"])
    print(f"making {PEOPLE:,} people")
    with connections["owner"].cursor() as cursor:
        cursor.execute(MAKE, {"people": PEOPLE, "purpose": PURPOSE})
        cursor.execute("VACUUM ANALYZE")
    assert Segment.objects.filter(status="live").count() == SEGMENTS
    return secret, key.user.pk


def served(**environ: str) -> AbstractContextManager[Web]:
    return serving(threads=SENDERS, settings="bench.looking", CDP_API_RATE="100000000/min", **environ)


def asked(port: int, secret: str, path: str, *, seconds: float) -> list[float]:
    """How long each answer took, in ms, of `SENDERS` connections that ask one after the other."""
    took: list[list[float]] = [[] for _ in range(SENDERS)]
    until = time.monotonic() + seconds
    lines = [
        f"GET {path.format(chance.randrange(1, PEOPLE + 1))} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {secret}\r\nX-Request-Id: bench-bench-bench\r\n\r\n".encode()
        for _ in range(5000)
    ]

    def send(sender: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as line:
            number = sender
            while (started := time.monotonic()) < until:
                line.sendall(lines[number % len(lines)])
                answer = line.recv(65536)
                while not _is_whole(answer):
                    answer += line.recv(65536)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(answer[:600].decode(errors="replace"))
                took[sender].append((time.monotonic() - started) * 1000)
                number += SENDERS

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(each for one in took for each in one)


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return body.endswith(b"0\r\n\r\n")


def at(share: float, took: list[float]) -> float:
    return took[min(len(took) - 1, int(share * len(took)))]


def here(user_id: int) -> tuple[float, float]:
    """Microseconds of the statement with all that reads it, and of one GET from Valkey, in this process."""
    body = "x" * 2000
    cache.set("bench", body, 60)
    for number in range(200):
        look_up(f"user_id:user-{number + 1}", purpose=PURPOSE, user_id=user_id)
        cache.get("bench")
    started = time.perf_counter()
    for number in range(2000):
        look_up(f"user_id:user-{number * 7 % PEOPLE + 1}", purpose=PURPOSE, user_id=user_id)
    statement = (time.perf_counter() - started) / 2000
    started = time.perf_counter()
    for _ in range(2000):
        cache.get("bench")
    return statement * 1e6, (time.perf_counter() - started) / 2000 * 1e6


def main() -> None:
    secret, user_id = prepare()
    statement, valkey = here(user_id)
    connection.close()
    look = "/api/v1/profiles/user_id:user-{}/segments/?purpose=" + PURPOSE
    bare = "/api/v1/bare/user-{}/"
    ours: list[float] = []
    floor: list[float] = []
    plain: list[float] = []
    with served() as web, served(BENCH_PLAIN="1") as plain_web:
        port, plain_port = web.port, plain_web.port
        asked(port, secret, look, seconds=2)
        asked(port, secret, bare, seconds=2)
        asked(plain_port, secret, bare, seconds=2)
        for _ in range(ROUNDS):  # by turns, so that what else the machine does falls on both
            ours += asked(port, secret, look, seconds=SECONDS / 2)
            floor += asked(port, secret, bare, seconds=SECONDS / 2)
            plain += asked(plain_port, secret, bare, seconds=SECONDS / 2)
    ours.sort()
    floor.sort()
    plain.sort()
    seconds = ROUNDS * SECONDS / 2
    size = f"{PEOPLE:,} people in {SEGMENTS // 2} segments each, {SENDERS} connections"
    mean, mean_of_floor, mean_of_plain = (sum(took) / len(took) for took in (ours, floor, plain))
    publish(
        [
            Row(name="look-up, mean", size=size, value=mean, floor=mean_of_floor, unit="ms", goal=1.5),
            Row(name="look-up, mean; plain Django", size=size, value=mean, floor=mean_of_plain, unit="ms", goal=1.5),
            Row(name="look-up, p99; plain Django", size=size, value=at(0.99, ours), floor=at(0.99, plain), unit="ms"),
            Row(name="look-up, median", size=size, value=at(0.5, ours), floor=at(0.5, floor), unit="ms"),
            Row(name="look-up, p99", size=size, value=at(0.99, ours), floor=at(0.99, floor), unit="ms"),
            Row(name="look-ups", size=size, value=len(ours) / seconds, floor=len(floor) / seconds, unit="1/s"),
            Row(name="its statement; a GET from Valkey", size=size, value=statement, floor=valkey, unit="us"),
        ]
    )


if __name__ == "__main__":
    main()

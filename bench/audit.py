"""What the audit log costs a consent write, and how fast it is sequenced and verified.

Run by `make bench ARGS=audit`; BENCH_ENTRIES says how many entries are verified (a million, if nothing is said).
"""

import os
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import django

django.setup()

import psycopg
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone

from bench.report import Row, publish
from cdp.audit import SYSTEM
from cdp.audit.sequencing import sequence
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.audit.verify import leaf_hash, read_database, verify
from cdp.profiles.models import Profile
from consent import services
from consent.models import Decision, Method, Purpose

ENTRIES = int(os.environ.get("BENCH_ENTRIES", 1_000_000))
WRITES, ROUNDS = 200, 7
MOST_SECONDS = 120

FILL = """
    INSERT INTO audit_auditentry (id, recorded_at, actor_kind, actor_id, actor_label, action, object_type, object_id, purpose,
                                  request_id, ip_prefix, detail, envelope)
    SELECT id, at, 'api_key', '7', 'shop', 'members.read', 'segments.segment', n::text, 'marketing_email', '', '', detail,
           convert_to(json_build_object('v', '1', 'id', id, 'recorded_at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'actor_kind', 'api_key', 'actor_id', '7', 'actor_label', 'shop', 'action', 'members.read',
               'object_type', 'segments.segment', 'object_id', n::text, 'purpose', 'marketing_email', 'request_id', '',
               'ip_prefix', '', 'detail', detail)::text, 'UTF8')
      FROM (SELECT gen_random_uuid() AS id, now() + n * interval '1 millisecond' AS at, n,
                   jsonb_build_object('count', n, 'fields', jsonb_build_array('email', 'country'), 'cursor', md5(n::text)) AS detail
              FROM generate_series(1, %s) AS n) AS made
"""


def seconds_of_writes(people: list[Profile], purpose: Purpose, decision: Decision) -> float:
    """Each write is a transaction of its own, durably committed."""
    began = time.perf_counter()
    for person in people:
        services.record_decision(
            profile=person, purpose=purpose, decision=decision, method=Method.API, at=timezone.now(), by=SYSTEM
        )
    return time.perf_counter() - began


def consent_writes() -> Row:
    now = timezone.now() - timedelta(days=1)
    people = Profile.objects.bulk_create(
        [Profile(traits={}, first_seen_at=now, last_seen_at=now) for _ in range(WRITES)]
    )
    purpose = Purpose.objects.get(key="analytics")
    recording = services.record_all
    times: dict[bool, list[float]] = {True: [], False: []}
    try:
        for number in range(2 * ROUNDS):
            audited = number % 2 == 0
            services.record_all = recording if audited else lambda **_: None  # type: ignore[assignment]
            decision = Decision.GRANTED if number % 4 < 2 else Decision.WITHDRAWN
            times[audited].append(seconds_of_writes(people, purpose, decision))
    finally:
        services.record_all = recording
    milliseconds = {audited: 1000 * min(those[1:]) / WRITES for audited, those in times.items()}
    return Row(name="audit: a consent write, beside one without audit", size=f"{WRITES} writes", value=milliseconds[True],
               floor=milliseconds[False], unit="ms", goal=1.3)  # fmt: skip


def sequencing(signer: Signer) -> Row:
    with connections["owner"].cursor() as cursor:
        cursor.execute(FILL, [ENTRIES])
        cursor.execute("VACUUM ANALYZE audit_auditentry, audit_pending")
    began = time.perf_counter()
    placed = sequence(signer)
    took = time.perf_counter() - began
    with connection.cursor() as cursor:
        began = time.perf_counter()
        cursor.execute("SELECT envelope FROM audit_auditentry")
        while rows := cursor.fetchmany(5000):
            for (envelope,) in rows:
                leaf_hash(bytes(envelope))
        floor = time.perf_counter() - began
    print(f"  {placed / took:,.0f} entries a second are sequenced")
    return Row(
        name="audit: sequencing, beside reading and hashing them",
        size=f"{placed:,} entries",
        value=took,
        floor=floor,
        unit="s",
    )


def verifying(signer: Signer) -> Row:
    params = connections["owner"].get_connection_params()
    wanted = {name: params[name] for name in ("host", "port", "user", "password", "dbname") if params.get(name)}
    with closing(psycopg.connect(**wanted)) as reader:
        began = time.perf_counter()
        report = verify(read_database(reader), keys=[signer.key])
        took = time.perf_counter() - began
    if not report.is_good:
        raise SystemExit(f"the log doesn't verify: {report.findings[0]}")
    return Row(name="audit: verifying from the database, beside two minutes", size=f"{report.entries:,} entries", value=took,
               floor=MOST_SECONDS, unit="s", goal=1)  # fmt: skip


def main() -> None:
    with TemporaryDirectory() as directory:
        key = Path(directory) / "key.pem"
        make_key(key)
        signer = load_signer(key, name=settings.AUDIT_ORIGIN)
        publish([consent_writes(), sequencing(signer), verifying(signer)])


if __name__ == "__main__":
    main()

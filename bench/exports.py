"""How long it takes to write everybody of an audience to a file, against a bare COPY of its members; and in how much memory.

Run by `make bench ARGS=exports`; `BENCH_SCALE=full` takes a million people.
"""

import os
import tempfile
import time
from pathlib import Path

import django

django.setup()

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections

from bench.report import Row, publish
from cdp.activation.models import Audience
from cdp.activation.services import create_audience
from cdp.audit import SYSTEM
from cdp.exports import running
from cdp.exports.models import Export
from cdp.exports.services import Spec, request_export
from consent.models import Purpose
from segments.services import create_segment

PEOPLE = 1_000_000 if os.environ.get("BENCH_SCALE") == "full" else int(os.environ.get("BENCH_PEOPLE", 100_000))
ROUNDS = 3
PURPOSE = "marketing_email"
GOAL, GOAL_MB = 3.0, 200

MAKE = """
    INSERT INTO profiles_profile (uuid, traits, first_seen_at, last_seen_at, created_at)
    SELECT gen_random_uuid(), jsonb_build_object('city', 'Bern', 'points', n), now(), now(), now() FROM generate_series(1, %(people)s) n;
    INSERT INTO profiles_trait (key, label, type, category, is_pii, description, created_at)
    VALUES ('city', 'City', 'text', 'behavioural', false, '', now()), ('points', 'Points', 'number', 'behavioural', false, '', now());
    INSERT INTO profiles_identifier (namespace, value, profile_id, first_seen_at, last_seen_at)
    SELECT 'email', 'user-' || id || '@example.com', id, now(), now() FROM profiles_profile;
    INSERT INTO consent_consentrecord (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, recorded_at)
    SELECT p.id, q.id, 'person', 'granted', 'form', '', '{}', now(), now()
      FROM profiles_profile p, consent_purpose q WHERE q.key = %(purpose)s;
    INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, record_id)
    SELECT purpose_id, profile_id, decision, collected_at, id FROM consent_consentrecord;
"""
FILL = """
    INSERT INTO activation_audiencemember (audience_id, profile_id, profile_uuid, entered_at, position)
    SELECT %(audience)s, id, uuid, now(), id FROM profiles_profile;
    UPDATE activation_audience SET size = %(people)s, position = (SELECT max(id) FROM profiles_profile), compared_at = now();
    UPDATE activation_keeper SET numbered = (SELECT max(id) FROM profiles_profile);
"""


def prepare() -> tuple[User, Audience]:
    """Somebody who may do everything, and an audience of everybody."""
    print(f"making {PEOPLE:,} people")
    with connection.cursor() as cursor:
        cursor.execute(MAKE, {"people": PEOPLE, "purpose": PURPOSE})
    user = User.objects.create_superuser("bench", "bench@example.com", "not used")
    segment = create_segment(name="Everybody", rule={"version": 1, "everyone": True}, by=SYSTEM)
    audience = create_audience(
        name="Everybody", segment=segment, purpose=Purpose.objects.get(key=PURPOSE), by=SYSTEM, user=user
    )
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"people": PEOPLE, "audience": audience.pk})
    with connections["owner"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return user, audience


def main() -> None:
    user, audience = prepare()
    settings.EXPORT_DIR = tempfile.mkdtemp()
    floor = min(copied() for _ in range(ROUNDS))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _memory("VmHWM")
    size, rows = f"{PEOPLE:,} people", []
    usual, more = ("entered_at",), ("entered_at", "identifier:email", "trait:city", "trait:points")
    for name, spec in {
        "CSV": Spec(format="csv", fields=usual),
        "CSV, gzip": Spec(format="csv", fields=usual, is_gzipped=True),
        "NDJSON": Spec(format="ndjson", fields=usual),
        "Parquet": Spec(format="parquet", fields=usual),
        "CSV with an identifier and two traits": Spec(format="csv", fields=more),
    }.items():
        took = min(_exported(audience, spec, user) for _ in range(ROUNDS))
        goal = GOAL if tuple(spec.fields) == usual else None
        rows.append(Row(name=f"export as {name}", size=size, value=took, floor=floor, unit="s", goal=goal))
    peak = _memory("VmHWM")
    rows.append(Row(name="memory for it; may be", size=size, value=peak - before, floor=GOAL_MB, unit="MB", goal=1.0))
    rows.append(Row(name="memory of the process; before", size=size, value=peak, floor=before, unit="MB"))
    publish(rows)


def _memory(name: str) -> float:
    """In MB, as the kernel has it of this process."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def copied() -> float:
    began = time.perf_counter()
    with connection.cursor() as cursor, Path(os.devnull).open("wb") as sink:
        statement = "COPY (SELECT profile_uuid, entered_at FROM activation_audiencemember) TO STDOUT"
        with cursor.copy(statement) as copy:
            for block in copy:
                sink.write(block)
    return time.perf_counter() - began


def _exported(audience: Audience, spec: Spec, user: User) -> float:
    export = request_export(audience=audience, spec=spec, by=SYSTEM, user=user)
    export = Export.objects.select_related("audience__purpose", "audience__segment").get(pk=export.pk)
    began = time.perf_counter()
    running.make(export, progress=lambda *_: None)
    took = time.perf_counter() - began
    assert export.rows == PEOPLE
    return took


if __name__ == "__main__":
    main()

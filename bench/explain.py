"""What explaining costs next to what it explains: the parts of a rule next to its plain preview, in the same run.

100,000 people, a million events over 60 days, a trait or two each. Run by `make bench ARGS=explain`.
"""

import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.db import connection, connections
from django.utils import timezone

from bench.report import Row, publish
from cdp.profiles.models import EventName, Trait
from cdp.profiles.services import ensure_partitions
from consent.models import Purpose
from segments.refresh import preview

PEOPLE = int(os.environ.get("BENCH_PEOPLE", 100_000))
EVENTS = int(os.environ.get("BENCH_EVENTS", 1_000_000))
DAYS = 60
ROUNDS = 9
NAMES = ["Product Viewed", "Product Added", "Order Completed", "Email Opened"]

FILL = """
INSERT INTO profiles_profile (id, uuid, traits, first_seen_at, last_seen_at, created_at)
SELECT n, gen_random_uuid(), '{}', now(), now(), now() FROM generate_series(1, %(people)s) AS n;
INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at, value, properties, context)
SELECT now() - random() * interval '60 days', 1 + floor(random() ^ 2 * %(people)s)::bigint,
       (%(names)s::int[])[1 + floor(random() ^ 2 * 4)::int], 1, 'm' || n, 1, now(), (random() * 200)::numeric(19, 4),
       jsonb_build_object('category', (ARRAY['Shoes', 'Bags', 'Home'])[1 + floor(random() * 3)::int]), '{}'
  FROM generate_series(1, %(events)s) AS n;
INSERT INTO profiles_eventtotal (profile_id, name_id, count, value_sum, first_at, last_at)
SELECT profile_id, name_id, count(*), sum(value), min(occurred_at), max(occurred_at) FROM profiles_event GROUP BY 1, 2;
INSERT INTO profiles_traitvalue (trait_id, profile_id, text, text_folded, raw, occurred_at, message_id)
SELECT %(country)s, n, c, lower(c), to_jsonb(c), now(), 'm'
  FROM (SELECT n, (ARRAY['DE', 'CH', 'AT', 'FR', 'US'])[1 + n %% 5] AS c FROM generate_series(1, %(people)s) AS n) AS g;
INSERT INTO profiles_traitvalue (trait_id, profile_id, number, raw, occurred_at, message_id)
SELECT %(age)s, n, 18 + n %% 60, to_jsonb(18 + n %% 60), now(), 'm' FROM generate_series(1, %(people)s, 2) AS n;
"""
TABLES = "profiles_profile, profiles_event, profiles_eventtotal, profiles_traitvalue"

GERMAN = {"trait": "country", "op": "any_of", "value": ["DE", "AT"]}
ADULT = {"trait": "age", "op": "gte", "value": 30}
LOYAL = {"performed": "Order Completed", "op": "gte", "value": 2, "within": {"days": 30}}
SPENDER = {"performed": "Order Completed", "measure": "sum", "op": "gt", "value": 300}
QUIET = {"not": {"performed": "Email Opened", "within": {"days": 14}}}
SHOES = {"performed": "Product Viewed", "op": "gte", "value": 2, "within": {"days": 30},
         "where": [{"property": "category", "op": "equals", "value": "Shoes"}]}  # fmt: skip
RULES: dict[str, dict[str, Any]] = {
    "all of five": {"all": [GERMAN, ADULT, LOYAL, SPENDER, QUIET]},
    "any of five": {"any": [GERMAN, ADULT, LOYAL, SPENDER, SHOES]},
    "five, nested": {"all": [GERMAN, {"any": [ADULT, LOYAL, {"all": [SPENDER, QUIET]}]}]},
}


def fill() -> None:
    today = timezone.now().date()
    ensure_partitions(today - timedelta(days=DAYS + 1), today)
    names = [EventName.objects.create(name=name, label=name).pk for name in NAMES]
    country = Trait.objects.create(key="country", label="Country", type="country").pk
    age = Trait.objects.create(key="age", label="Age", type="number").pk
    given = {"people": PEOPLE, "events": EVENTS, "names": names, "country": country, "age": age}
    with connection.cursor() as cursor:
        cursor.execute(FILL, given)
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {TABLES}")


def milliseconds(work: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """The medians of both, taken in turns, so that neither has the quieter machine."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for one, times in zip((work, other), took, strict=True):
            started = time.perf_counter()
            one()
            times.append((time.perf_counter() - started) * 1000)
    return statistics.median(took[0]), statistics.median(took[1])


def parts() -> list[Row]:
    purpose = Purpose.objects.get(key="internal_analysis")
    rows = []
    for name, condition in RULES.items():
        asked: dict[str, Any] = {"rule": {"version": 1, **condition}, "purpose": purpose, "sample_size": 0}
        value, floor = milliseconds(
            lambda asked=asked: preview(**asked, with_parts=True),  # type: ignore[misc]
            lambda asked=asked: preview(**asked),  # type: ignore[misc]
        )
        rows.append(
            Row(name=f"preview with counts, {name}", size=f"{PEOPLE:,} people", value=value, floor=floor, unit="ms")
        )
    return rows


if __name__ == "__main__":
    fill()
    publish(parts())

"""What explaining costs next to what it explains: parts of a rule and two versions of it next to plain previews, one
person's story next to their verdict, overlaps and flows next to reading the same rows. All in the same run.

100,000 people, a million events over 60 days, eight segments. Run by `make bench ARGS=explain`.
"""

import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from bench.report import Row, publish
from cdp.audit.actors import Actor
from cdp.profiles.models import EventName, EventTotal, Profile, Trait
from cdp.profiles.services import ensure_partitions
from consent.models import Purpose
from segments.catalogue import catalog
from segments.engines import postgres
from segments.flows import flow_among, overlap
from segments.history import Pace, size_history
from segments.models import Segment, SegmentVersion
from segments.previews import preview
from segments.rules import load
from segments.services import create_segment, save_version
from segments.versions import compare_versions
from segments.why import why

PEOPLE = int(os.environ.get("BENCH_PEOPLE", 100_000))
EVENTS = int(os.environ.get("BENCH_EVENTS", 1_000_000))
DAYS = 60
BY = Actor.system("bench")
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
SEGMENTS = """
INSERT INTO segments_membership (segment_id, profile_id, entered_at)
SELECT s.id, n, now() FROM segments_segment s CROSS JOIN generate_series(1, %(people)s) AS n
 WHERE hashint8(n * 31 + s.id) %% 10 < 5;
INSERT INTO segments_membershipchange
       (position, segment_id, profile_id, profile_uuid, kind, effective_at, why, recorded_at)
SELECT row_number() OVER (), segment_id, profile_id, gen_random_uuid(), kind, at, 'event', at
  FROM (SELECT s.id AS segment_id, n AS profile_id, (ARRAY['entered', 'exited'])[1 + (n + s.id) %% 2] AS kind,
               now() - random() * interval '60 days' AS at
          FROM segments_segment s CROSS JOIN generate_series(1, %(people)s) AS n) AS g;
UPDATE segments_segment s SET member_count = (SELECT count(*) FROM segments_membership m WHERE m.segment_id = s.id);
"""
TABLES = "profiles_profile, profiles_event, profiles_eventtotal, profiles_traitvalue, segments_membership, segments_membershipchange"

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


NEWEST = SegmentVersion.objects.filter(segment=OuterRef("pk"), number=1).values("pk")


def fill() -> None:
    today = timezone.now().date()
    ensure_partitions(today - timedelta(days=DAYS + 1), today)
    names = [EventName.objects.create(name=name, label=name).pk for name in NAMES]
    country = Trait.objects.create(key="country", label="Country", type="country").pk
    age = Trait.objects.create(key="age", label="Age", type="number").pk
    given = {"people": PEOPLE, "events": EVENTS, "names": names, "country": country, "age": age}
    with connection.cursor() as cursor:
        cursor.execute(FILL, given)
        for number in range(8):
            rule = {"version": 1, **(RULES["all of five"] if number % 2 else LOYAL)}
            segment = create_segment(name=f"Segment {number}", rule=rule, by=BY)
            save_version(segment=segment, rule={"version": 1, **RULES["five, nested"]}, by=BY)
        Segment.objects.update(status="live", live_version=Subquery(NEWEST))
        cursor.execute(SEGMENTS, given)
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


def versions() -> Row:
    segment, purpose = Segment.objects.get(name="Segment 1"), Purpose.objects.get(key="internal_analysis")
    before, after = segment.versions.get(number=1), segment.versions.get(number=2)
    asked = {"purpose": purpose, "sample_size": 0}
    value, floor = milliseconds(
        lambda: compare_versions(before=before, after=after, purpose=purpose, by=BY),
        lambda: [preview(rule=one.rule, **asked) for one in (before, after)],
    )
    return Row(name="two versions, beside two previews", size=f"{PEOPLE:,} people", value=value, floor=floor, unit="ms")


def one_person() -> Row:
    busiest = Profile.objects.get(pk=EventTotal.objects.order_by("-count")[0].profile_id)
    version, purpose = SegmentVersion.objects.get(segment__name="Segment 1", number=1), Purpose.objects.first()
    known = catalog()
    rule, reader = load(version.rule, known), User.objects.create_superuser("bench")
    value, floor = milliseconds(
        lambda: why(profile=busiest, version=version, purpose=purpose, by=BY, reader=reader),
        lambda: postgres.among(rule, known, as_of=timezone.now(), scope=[busiest.pk]),
    )
    return Row(name="why, beside the bare verdict", size="the busiest person", value=value, floor=floor, unit="ms")


def beside_each_other() -> list[Row]:
    segments = list(Segment.objects.order_by("pk"))
    now = timezone.now()

    def read(table: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT segment_id, count(DISTINCT profile_id) FROM {table} GROUP BY 1")
            cursor.fetchall()

    rows = []
    for name, work, table in (
        ("overlap of eight segments", lambda: overlap(segments), "segments_membership"),
        ("flow among eight segments, 30 days",
         lambda: flow_among(segments, since=now - timedelta(days=30), until=now), "segments_membershipchange"),
        ("a segment's size by day, 60 days",
         lambda: size_history(segments[0], since=now - timedelta(days=DAYS), until=now, pace=Pace.DAY),
         "segments_membershipchange"),
    ):  # fmt: skip
        value, floor = milliseconds(work, lambda table=table: read(table))  # type: ignore[misc]
        rows.append(Row(name=name, size=f"{8 * PEOPLE:,} changes", value=value, floor=floor, unit="ms"))
    return rows


if __name__ == "__main__":
    fill()
    publish([*parts(), versions(), one_person(), *beside_each_other()])

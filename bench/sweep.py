"""What it costs to take ten seconds of time into account in 50 windowed segments, against refreshing all of them.

The goal is a hundredth. Run by `make bench ARGS=sweep`; BENCH_PEOPLE and BENCH_EVENTS choose the size of the data.
"""

import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import product

import django

django.setup()

from django.db import connection, connections
from django.utils import timezone

from bench.report import Row, publish
from cdp.audit import SYSTEM
from cdp.profiles.models import Event, EventName, EventType
from cdp.profiles.services import ensure_partitions
from segments.feed import number_changes
from segments.models import MembershipChange, Segment, SweepState
from segments.refresh import refresh
from segments.services import create_segment
from segments.services import publish as set_live
from segments.sweep import Swept, sweep_due

PEOPLE = int(os.environ.get("BENCH_PEOPLE", 200_000))
EVENTS = int(os.environ.get("BENCH_EVENTS", 4_000_000))
SEGMENTS = 50
GAP = timedelta(seconds=10)
ROUNDS = 5
NAMES = {"Product Viewed": 70, "Product Added": 15, "Email Opened": 10, "Order Completed": 5}


def load() -> None:
    """People and a year of their events, straight into the tables: how events arrive is measured elsewhere."""
    now = timezone.now()
    ensure_partitions((now - timedelta(days=366)).date(), (now + timedelta(days=31)).date())
    names = [EventName.objects.create(name=name, label=name, type=EventType.TRACK) for name in NAMES]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profiles_profile (uuid, traits, first_seen_at, last_seen_at, created_at)"
            " SELECT gen_random_uuid(), '{}', now() - interval '1 year', now(), now() FROM generate_series(1, %s)",
            [PEOPLE],
        )
        cursor.execute("SELECT min(id) FROM profiles_profile")
        first = cursor.fetchone()[0]
        number = 0
        for name, share in zip(names, NAMES.values(), strict=True):
            count = EVENTS * share // 100
            # Squared: some people do much, most do little.
            cursor.execute(
                "INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at,"
                "                            value, properties, context)"
                " SELECT at, %s + floor(%s * power(random(), 2))::bigint, %s, 1, 'b' || (%s + n), 1, at,"
                "        round((random() * 200)::numeric, 2),"
                "        jsonb_build_object('category', (ARRAY['Shoes', 'Bags', 'Home'])[1 + floor(random() * 3)::int]), '{}'"
                "   FROM (SELECT n, now() - random() * interval '365 days' AS at FROM generate_series(1, %s) n) drawn",
                [first, PEOPLE, name.pk, number, count],
            )
            number += count
        cursor.execute(
            "INSERT INTO profiles_eventtotal (profile_id, name_id, count, value_sum, first_at, last_at)"
            " SELECT profile_id, name_id, count(*), sum(value), min(occurred_at), max(occurred_at)"
            "   FROM profiles_event GROUP BY 1, 2"
        )
    with connections["owner"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE profiles_profile, profiles_event, profiles_eventtotal")


def make_segments() -> list[Segment]:
    conditions = []
    for name, days, at_least in product(NAMES, (1, 7, 30, 90), (1, 2, 5, 10)):
        window = {"performed": name, "within": {"days": days}}
        conditions.append({**window, "op": "gte", "value": at_least})
        conditions.append({"not": {**window, "op": "gte", "value": at_least}})
        conditions.append({**window, "measure": "sum", "op": "gt", "value": at_least * 50})
        conditions.append({**window, "where": [{"property": "category", "op": "equals", "value": "Shoes"}]})
        conditions.append({"all": [window, {"not": {"performed": "Order Completed", "within": {"days": days}}}]})
    step = len(conditions) // SEGMENTS
    segments = []
    for number, condition in enumerate(conditions[::step][:SEGMENTS]):
        rule = {"version": 1, **condition}
        segment = create_segment(name=f"Segment {number}", rule=rule, by=SYSTEM, cadence="real_time")
        set_live(segment=segment, version=segment.versions.get(), by=SYSTEM)
        segments.append(segment)
    return segments


def refresh_all(segments: list[Segment]) -> None:
    for segment in segments:
        refresh(segment=segment, progress=lambda done, total, phase: None)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    print(f"loading {PEOPLE:,} people and {EVENTS:,} events")
    load()
    segments = make_segments()
    assert len(segments) == SEGMENTS
    print(f"first refresh of {SEGMENTS} segments: {seconds(lambda: refresh_all(segments)):.1f} s")
    number_changes()
    sweep_due(everything=True)

    changes_before = MembershipChange.objects.count()
    swept: list[Swept] = []
    sweeps = []
    for _ in range(ROUNDS):
        time.sleep(GAP.total_seconds())
        sweeps.append(seconds(lambda: swept.append(sweep_due())))
        number_changes()
    changed = MembershipChange.objects.count() - changes_before
    refreshes = [seconds(lambda: refresh_all(segments)) for _ in range(3)]
    assert all(one.segments == SEGMENTS for one in swept) and SweepState.objects.count() == SEGMENTS
    candidates = statistics.mean(one.candidates for one in swept)
    size = (
        f"{PEOPLE:,} people, {Event.objects.count():,} events; {candidates:,.0f} candidates a sweep,"
        f" {changed} changes in {ROUNDS}"
    )
    publish(
        [
            Row(
                name=f"sweep of {SEGMENTS} segments, {GAP.seconds} s apart, vs their full refresh",
                size=size,
                value=statistics.median(sweeps) * 1000,
                floor=statistics.median(refreshes) * 1000,
                unit="ms",
            )
        ]
    )
    ratio = statistics.median(sweeps) / statistics.median(refreshes)
    print(f"a sweep costs 1/{1 / ratio:,.0f} of a refresh (goal: 1/100 or less)")


if __name__ == "__main__":
    main()

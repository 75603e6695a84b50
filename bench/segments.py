"""How long segments take, each measure beside a floor on the same rows in the same run: counting, preview, scoped
evaluation, refresh, and how both grow.

Run by `make bench ARGS=segments`, with BENCH_SCALE=full for a million people. The rules and their floors stand in
`bench.rules`, the data in `bench.scale`, the columnar floor in `bench.columnar`.
"""

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.db import connections, transaction

from bench.columnar import Columnar
from bench.live_rules import live_cases, windowed_rules
from bench.report import RESULTS, Row, commit, publish
from bench.rules import CASES, OTHER_CASES, TRAIT_CASES, TYPED, TYPED_COLUMNS, Case
from bench.scale import NOW, Scale, prepare
from cdp.audit import SYSTEM
from cdp.database import bound_cursor
from cdp.profiles.models import EventName, Profile, Trait, Workspace
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS
from segments.catalogue import catalog
from segments.engines import postgres
from segments.evaluation import Facts, evaluate
from segments.feed import number_changes
from segments.live import live_rules, rules_lock
from segments.models import ChangeWhy, Segment, SegmentStatus, SweepState
from segments.previews import Accuracy, preview
from segments.refresh import refresh
from segments.rules import Catalog, load
from segments.services import create_segment
from segments.services import publish as publish_segment
from segments.sweep import Swept, sweep_due

# Each pair is timed so often at least, and on until so much time is spent: what is quick is disturbed most easily.
ROUNDS, MOST_ROUNDS = 5, 40
SECONDS = 1.5
LARGE_RULE = {"trait": "age", "op": "gte", "value": 30}
NUMBERS: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Timed:
    """The best of several warm runs, in milliseconds: what else the machine does can only add to it."""

    case: Case
    ours: float
    floor: float

    @property
    def ratio(self) -> float:
        return self.ours / self.floor


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def side_by_side(ours: Callable[[], object], floor: Callable[[], object]) -> tuple[list[float], list[float]]:
    """The times of both, taken in turns after one run of each that isn't counted."""
    ours(), floor()
    pairs: list[tuple[float, float]] = []
    while len(pairs) < ROUNDS or (sum(map(sum, pairs)) < 1000 * SECONDS and len(pairs) < MOST_ROUNDS):
        pairs.append((milliseconds(ours), milliseconds(floor)))
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def whole(rule: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, **rule}


def number_of(sql: str) -> int:
    with bound_cursor() as cursor:
        return int(cursor.execute(sql, NUMBERS).fetchone()[0])


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


# ---- Counting ----------------------------------------------------------------------------------------------


def counted(case: Case, known: Catalog) -> Timed:
    """The case timed, once it is sure that rule and floor count the same people.

    Raises:
        SystemExit: they don't.
    """
    rule = load(whole(case.rule), known)
    found, expected = postgres.count(rule, known, as_of=NOW), number_of(case.sql)
    if found != expected:
        raise SystemExit(f"{case.name}: the rule counts {found:,} people, its floor {expected:,}")
    ours, floor = side_by_side(
        lambda: postgres.count(load(whole(case.rule), known), known, as_of=NOW), lambda: number_of(case.sql)
    )
    print(f"  {case.name:58} {found:>9,} people {min(ours):>9.1f} ms {min(floor):>9.1f} ms", flush=True)
    return Timed(case=case, ours=min(ours), floor=min(floor))


def counting(size: str, known: Catalog) -> tuple[list[Row], list[Timed]]:
    timed = [counted(case, known) for case in CASES]
    others = [counted(case, known) for case in OTHER_CASES]
    ratios = [one.ratio for one in timed]
    rows = [
        Row(name=f"count: {one.case.name}", size=size, value=one.ours, floor=one.floor, unit="ms")
        for one in (*timed, *others)
    ]
    for name, ratio, goal in (("median", median(ratios), 1.1), ("worst", max(ratios), 1.5)):
        rows.append(
            Row(name=f"count: {name} ratio of {len(ratios)} ready rules to SQL by hand", size=size, value=ratio, floor=1,
                unit="x", goal=goal)
        )  # fmt: skip
    return rows, timed


def typed_columns(size: str, known: Catalog) -> list[Row]:
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_typed")
        cursor.execute(TYPED, NUMBERS)
        for column in TYPED_COLUMNS:
            cursor.execute(f"CREATE INDEX ON bench_typed ({column})")
        cursor.execute("GRANT SELECT ON bench_typed TO PUBLIC")
        cursor.execute("VACUUM ANALYZE bench_typed")
    timed = [counted(case, known) for case in TRAIT_CASES]
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE bench_typed")
    return [
        Row(name=f"trait: {one.case.name}", size=size, value=one.ours, floor=one.floor, unit="ms", goal=2)
        for one in timed
    ]


def previewing(size: str) -> list[Row]:
    purpose = Purpose.objects.get(key=INTERNAL_ANALYSIS)
    ours: list[float] = []
    floor: list[float] = []
    first: list[float] = []
    for case in CASES:
        pair = side_by_side(
            lambda case=case: preview(rule=whole(case.rule), purpose=purpose),  # type: ignore[misc]
            lambda case=case: number_of(case.sql),  # type: ignore[misc]
        )
        ours += pair[0]
        floor += pair[1]

        def estimate(case: Case = case) -> object:
            return preview(rule=whole(case.rule), purpose=purpose, accuracy=Accuracy.SAMPLE, sample_size=0)

        estimate()
        first += [milliseconds(estimate) for _ in range(ROUNDS)]
    rules = f"{size}, {len(CASES)} rules"
    return [
        Row(name="preview: p95, beside the count by hand", size=rules, value=p95(ours), floor=p95(floor), unit="ms"),
        Row(
            name="preview: p95 of exact ones, beside one second",
            size=rules,
            value=p95(ours),
            floor=1000,
            unit="ms",
            goal=1,
        ),
        Row(
            name="preview: p95 of first answers, beside 100 ms",
            size=rules,
            value=p95(first),
            floor=100,
            unit="ms",
            goal=1,
        ),
    ]


# ---- Live rules --------------------------------------------------------------------------------------------


def live_segment(key: str, rule: dict[str, Any]) -> Segment:
    """The live segment with this key, made when it is missing."""
    segment = Segment.objects.filter(key=key).first()
    if segment is None:
        segment = create_segment(name=key, key=key, rule=whole(rule), by=SYSTEM)
    if segment.status != SegmentStatus.LIVE:
        publish_segment(segment=segment, version=segment.versions.get(), by=SYSTEM)
        segment.refresh_from_db()
    return segment


def scoped(size: str) -> Row:
    cases = live_cases()
    ids = [live_segment(f"bench-live-{number}", case.rule).pk for number, case in enumerate(cases)]
    with bound_cursor() as cursor:
        chosen = cursor.execute("SELECT id FROM profiles_profile ORDER BY hashint8(id) LIMIT 500").fetchall()
    people = sorted(row[0] for row in chosen)

    def judge() -> None:
        evaluate(Facts(demanded={pk: set(people) for pk in ids}), live_rules(), as_of=NOW, why=ChangeWhy.EVENT)

    def look_up() -> None:
        with bound_cursor() as cursor:
            for case in cases:
                cursor.execute(case.sql, {**NUMBERS, "people": people}).fetchall()

    with transaction.atomic():
        rules_lock(exclusive=False)
        # The first judgement writes who is in; from then on nothing changes, as with most of what comes in.
        ours, floor = side_by_side(judge, look_up)
        transaction.set_rollback(True)
    return Row(
        name="scoped: 50 live rules for 500 people, beside 50 look-ups",
        size=size,
        value=min(ours),
        floor=min(floor),
        unit="ms",
        goal=3,
    )


# ---- Time's passing ------------------------------------------------------------------------------------------

GAP = timedelta(seconds=10)


def sweeping(size: str) -> Row:
    """The clock, which stands still in this database, is put ahead by ten seconds before each sweep."""
    segments = [live_segment(f"bench-windowed-{number}", rule) for number, rule in enumerate(windowed_rules())]
    Segment.objects.filter(key__startswith="bench-").exclude(key__startswith="bench-windowed").update(
        status=SegmentStatus.DRAFT
    )
    Workspace.objects.update(frozen_at=NOW)
    SweepState.objects.all().delete()  # of another run, in which the clock was ahead
    refreshes: list[float] = []
    for _ in range(2):  # the first fills them
        refreshes.append(
            sum(milliseconds(lambda one=one: refresh(segment=one, progress=_quiet)) for one in segments)  # type: ignore[misc]
        )
        number_changes()
    sweeps: list[float] = []
    for number in range(1, 2 * ROUNDS + 2):
        Workspace.objects.update(frozen_at=NOW + number * GAP)
        swept: list[Swept] = []
        sweeps.append(milliseconds(lambda: swept.append(sweep_due(everything=True))))  # noqa: B023
        assert swept[0].segments == len(segments), swept
    # The first prepares what later ones use; a sweeper does that once.
    print(f"  the first sweep of a process took {sweeps.pop(0):.0f} ms")
    Workspace.objects.update(frozen_at=NOW)
    return Row(
        name="sweep: 50 segments 10 s apart, beside their full refresh",
        size=size,
        value=median(sweeps),
        floor=refreshes[-1],
        unit="ms",
        goal=0.01,
    )


# ---- Refresh -----------------------------------------------------------------------------------------------

COPIES = """
DROP TABLE IF EXISTS bench_membership, bench_change, bench_changed;
CREATE TABLE bench_membership (LIKE segments_membership INCLUDING ALL);
CREATE TABLE bench_change (LIKE segments_pendingchange INCLUDING ALL);
CREATE TABLE bench_changed (profile_id bigint PRIMARY KEY);
"""
# One statement that finds who should be in and isn't, and writes both what we write.
FIND_AND_INSERT = """
WITH entered AS (
    INSERT INTO bench_membership (segment_id, profile_id, entered_at)
    SELECT %(segment)s, profile_id, %(as_of)s FROM profiles_traitvalue v
     WHERE trait_id = %(age)s AND number >= 30
       AND NOT EXISTS (SELECT FROM bench_membership m WHERE m.segment_id = %(segment)s AND m.profile_id = v.profile_id)
    RETURNING profile_id
)
INSERT INTO bench_change (segment_id, profile_id, profile_uuid, kind, effective_at, why, recorded_at)
SELECT %(segment)s, profile_id, uuid, 'entered', %(as_of)s, 'time', clock_timestamp()
  FROM entered JOIN profiles_profile p ON p.id = profile_id
"""
# The same for rows that somebody else has found.
INSERT_FOUND = """
WITH entered AS (
    INSERT INTO bench_membership (segment_id, profile_id, entered_at)
    SELECT %(segment)s, profile_id, %(as_of)s FROM bench_changed RETURNING profile_id
)
INSERT INTO bench_change (segment_id, profile_id, profile_uuid, kind, effective_at, why, recorded_at)
SELECT %(segment)s, profile_id, uuid, 'entered', %(as_of)s, 'time', clock_timestamp()
  FROM entered JOIN profiles_profile p ON p.id = profile_id
"""
# Every hundredth of the members, others each time.
LEAVE = "DELETE FROM {table} WHERE segment_id = %(segment)s AND abs(hashint8(profile_id)) %% 100 = %(round)s"


def refreshing(size: str) -> list[Row]:
    segment = live_segment("bench-large", LARGE_RULE)
    first = milliseconds(lambda: refresh(segment=segment, progress=_quiet))
    params = {**NUMBERS, "segment": segment.pk}
    ours: list[float] = []
    found: list[float] = []
    inserted: list[float] = []
    with connections["owner"].cursor() as cursor:
        cursor.execute(COPIES)
        cursor.execute(
            "INSERT INTO bench_membership SELECT * FROM segments_membership WHERE segment_id = %(segment)s", params
        )
        cursor.execute("VACUUM ANALYZE bench_membership")
        cursor.execute("VACUUM ANALYZE segments_membership")
        for number in range(ROUNDS):
            params["round"] = number
            cursor.execute("TRUNCATE bench_changed")
            cursor.execute(
                "INSERT INTO bench_changed SELECT profile_id FROM segments_membership"
                " WHERE segment_id = %(segment)s AND abs(hashint8(profile_id)) %% 100 = %(round)s",
                params,
            )
            changed = cursor.rowcount
            cursor.execute("ANALYZE bench_changed")
            cursor.execute(LEAVE.format(table="segments_membership"), params)
            ours.append(milliseconds(lambda changed=changed: _refreshed(segment, entering=changed)))  # type: ignore[misc]
            for times, statement in ((found, FIND_AND_INSERT), (inserted, INSERT_FOUND)):
                cursor.execute(LEAVE.format(table="bench_membership"), params)
                times.append(milliseconds(lambda statement=statement: cursor.execute(statement, params)))  # type: ignore[misc]
                assert cursor.rowcount == changed
        cursor.execute("DROP TABLE bench_membership, bench_change, bench_changed")
        cursor.execute("SELECT count(*) FROM segments_membership WHERE segment_id = %(segment)s", params)
        members = cursor.fetchone()[0]
    size = f"{size}, {members:,} members, {changed:,} change"
    print(f"  the first refresh of {members:,} members took {first / 1000:.1f} s (nothing, if they were there already)")
    return [
        Row(name="refresh: beside one statement that finds and inserts", size=size, value=min(ours), floor=min(found),
            unit="ms", goal=3),
        Row(name="refresh: beside inserting what is already found", size=size, value=min(ours), floor=min(inserted), unit="ms"),
    ]  # fmt: skip


def _refreshed(segment: Segment, *, entering: int) -> None:
    done = refresh(segment=segment, progress=_quiet)
    assert (done.entered, done.exited) == (entering, 0), done


def _quiet(done: int, total: int, phase: str) -> None:
    """Progress that nobody looks at."""


# ---- Memory, other engines, growth -------------------------------------------------------------------------


def memory(size: str) -> Row:
    """The most that this process ever held, counts, previews, refreshes and all."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return Row(
        name="memory: peak of the process, beside the most allowed", size=size, value=peak, floor=500, unit="MB", goal=1
    )


def columnar(size: str, known: Catalog, timed: list[Timed]) -> list[Row]:
    rows = []
    with Columnar() as engine:
        for one in timed:
            rule = load(whole(one.case.rule), known)
            expected = postgres.count(rule, known, as_of=NOW)
            if (found := engine.count(rule, known, as_of=NOW)) != expected:
                raise SystemExit(f"{one.case.name}: DuckDB counts {found:,} people, PostgreSQL {expected:,}")
            times = [milliseconds(lambda rule=rule: engine.count(rule, known, as_of=NOW)) for _ in range(ROUNDS)]  # type: ignore[misc]
            rows.append(Row(name=f"columnar: {one.case.name}", size=size, value=one.ours, floor=min(times), unit="ms"))
    ratios = [row.ratio for row in rows]
    rows.append(Row(name="columnar: median ratio to DuckDB", size=size, value=median(ratios), floor=1, unit="x"))
    rows.append(Row(name="columnar: worst ratio to DuckDB", size=size, value=max(ratios), floor=1, unit="x"))
    return rows


def growth(scale: Scale, timed: list[Timed]) -> list[Row]:
    """How the time of a count grows with the people: an exponent of 1 is ten times the time for ten times the people."""
    kept = RESULTS.parent / "segments-small.json"
    if scale.name == "small":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps({"commit": commit(), "ms": {one.case.name: one.ours for one in timed}}, indent=2))
        return []
    before = json.loads(kept.read_text()) if kept.exists() else {}
    if before.get("commit") != commit():
        print("  growth is not known: run BENCH_SCALE=small on this commit first")
        return []
    exponents = [math.log10(one.ours / before["ms"][one.case.name]) for one in timed]
    size = "from 100,000 people to 1,000,000"
    return [
        Row(name="growth: median exponent of 15 rules", size=size, value=median(exponents), floor=1, unit="", goal=1.1),
        Row(name="growth: worst exponent of 15 rules", size=size, value=max(exponents), floor=1, unit=""),
    ]


def main() -> None:
    scale = prepare()
    known = catalog()
    NUMBERS.update(as_of=NOW)
    NUMBERS.update(Trait.objects.values_list("key", "pk"))
    NUMBERS.update(EventName.objects.values_list("name", "pk"))
    size = f"{Profile.objects.count():,} people, {scale.events:,} events"
    rows, timed = counting(size, known)
    rows += typed_columns(size, known)
    rows += previewing(size)
    rows.append(scoped(size))
    rows += refreshing(size)
    rows.append(sweeping(size))
    rows.append(memory(size))
    rows += columnar(size, known, timed)
    rows += growth(scale, timed)
    publish(rows)


if __name__ == "__main__":
    main()

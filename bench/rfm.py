"""How long a run of RFM takes, beside the best SQL by hand that leaves the same scores in a table of the same shape and
indexes.

Run by `make bench ARGS=rfm`, with BENCH_SCALE=full for a million people and twenty million events. The floor is written as a
person would who needs these scores once: for the default settings, without progress, restart, distributions, moves or publication.
Both are compared row by row before anything is timed.
"""

import time
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.db import connections, transaction

from bench.report import Row, publish
from bench.scale import NOW, prepare
from cdp.audit import SYSTEM
from cdp.database import bound_cursor
from cdp.profiles.models import Event, EventName, EventType, Profile
from cdp.profiles.orders import ORDER_COMPLETED, REVENUE_BOOKED
from consent.models import Mode, Purpose
from consent.querysets import INTERNAL_ANALYSIS
from segments.rfm.models import RfmRun
from segments.rfm.running import run
from segments.rfm.services import request_run

ROUNDS = 4
GOAL = 1.3

# What settling makes of orders and refunds; the year of `bench.scale` has only what rules of segments ask for.
REVENUE = """
INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at, value, properties, context)
SELECT occurred_at, profile_id, %(revenue)s, %(derived)s, message_id || '/revenue', source_id, received_at,
       CASE WHEN name_id = %(order)s THEN value ELSE -abs(value) END, '{}', '{}'
  FROM profiles_event WHERE name_id IN (%(order)s, %(refund)s)
 ORDER BY occurred_at
"""
TABLE = """
CREATE TABLE bench_rfm (LIKE profiles_score INCLUDING ALL);
GRANT ALL ON bench_rfm TO PUBLIC
"""

# By hand, in two ways; the quicker one is the floor. Who objects to internal analysis or to profiling, or is under restriction, is
# out, which is all that permission comes to where the purpose asks for no yes.
BUYER = """
SELECT profile_id, floor(date_part('epoch', %(now)s - last_at) / 86400)::int AS days, orders, revenue
  FROM (SELECT profile_id, max(occurred_at) FILTER (WHERE name_id = %(order)s) AS last_at,
               count(*) FILTER (WHERE name_id = %(order)s) AS orders,
               coalesce(sum(value) FILTER (WHERE name_id = %(revenue)s), 0) AS revenue
          FROM profiles_event
         WHERE name_id IN (%(order)s, %(revenue)s) AND occurred_at >= %(since)s AND occurred_at < %(now)s
         GROUP BY profile_id) AS bought
 WHERE orders > 0
   AND EXISTS (SELECT FROM profiles_profile AS p WHERE p.id = bought.profile_id)
   AND NOT EXISTS (SELECT FROM consent_stop AS s WHERE s.profile_id = bought.profile_id AND s.lifted_at IS NULL
                       AND s.kind IN ('profiling', 'restriction', 'legitimate_interests'))
   AND NOT EXISTS (SELECT FROM consent_consentstate AS c WHERE c.profile_id = bought.profile_id AND c.purpose_id = %(purpose)s
                       AND c.decision <> 'granted')
 ORDER BY profile_id
"""
CUT = """
SELECT percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY days) AS days,
       percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY orders) AS orders,
       percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY revenue) AS revenue
  FROM {buyer}
"""
SCORED = """
SELECT profile_id, r, f, m, (f + m + 1) / 2 AS fm, round((r + f + m) / 3.0, 4) AS weighted
  FROM (SELECT profile_id,
               5 - (b.days > c.days[1])::int - (b.days > c.days[2])::int - (b.days > c.days[3])::int
                 - (b.days > c.days[4])::int AS r,
               1 + (b.orders > c.orders[1])::int + (b.orders > c.orders[2])::int + (b.orders > c.orders[3])::int
                 + (b.orders > c.orders[4])::int AS f,
               1 + (b.revenue > c.revenue[1])::int + (b.revenue > c.revenue[2])::int + (b.revenue > c.revenue[3])::int
                 + (b.revenue > c.revenue[4])::int AS m
          FROM {buyer} AS b, {cut} AS c) AS scored
"""
GROUP = """
CASE WHEN r >= 4 AND fm >= 4 THEN 'Champions' WHEN r >= 3 AND fm >= 3 THEN 'Loyal'
     WHEN r >= 4 AND fm = 2 THEN 'Potential loyalist' WHEN r = 5 THEN 'New' WHEN r = 4 THEN 'Promising'
     WHEN r >= 2 AND fm = 2 THEN 'Need attention' WHEN r >= 2 AND fm = 1 THEN 'About to sleep'
     WHEN r = 2 THEN 'At risk' WHEN fm >= 4 THEN 'Can''t lose' WHEN fm >= 2 THEN 'Hibernating' ELSE 'Lost' END
"""
INTO = "INSERT INTO bench_rfm (run_id, key, profile_id, number, label) SELECT %(run)s, "
KEYS = {
    "recency": "r, NULL",
    "frequency": "f, NULL",
    "monetary": "m, NULL",
    "fm": "fm, NULL",
    "group": f"weighted, {GROUP}",
}
EACH = [f"{INTO} '{key}', profile_id, {said} FROM hand_scored" for key, said in KEYS.items()]
IN_ONE = (
    f"WITH buyer AS MATERIALIZED ({BUYER}), cut AS MATERIALIZED ({CUT.format(buyer='buyer')}),"
    f" hand_scored AS MATERIALIZED ({SCORED.format(buyer='buyer', cut='cut')}) {INTO} key, profile_id, number, label"
    f" FROM (SELECT 1 AS place, 'recency' AS key, profile_id, r AS number, NULL AS label FROM hand_scored"
    f" UNION ALL SELECT 2, 'frequency', profile_id, f, NULL FROM hand_scored"
    f" UNION ALL SELECT 3, 'monetary', profile_id, m, NULL FROM hand_scored"
    f" UNION ALL SELECT 4, 'fm', profile_id, fm, NULL FROM hand_scored"
    f" UNION ALL SELECT 5, 'group', profile_id, weighted, {GROUP} FROM hand_scored) AS said"
)


def add_revenue() -> None:
    """Books what orders bring and refunds take, where the year has none of it yet."""
    numbers = dict(EventName.objects.values_list("name", "pk"))
    if Event.objects.filter(name_id=numbers[REVENUE_BOOKED]).exists():
        return
    print("* booking revenue", flush=True)
    params = {
        "order": numbers[ORDER_COMPLETED],
        "refund": numbers["Order Refunded"],
        "revenue": numbers[REVENUE_BOOKED],
        "derived": int(EventType.DERIVED),
    }
    with connections["owner"].cursor() as cursor:
        cursor.execute(REVENUE, params)
        cursor.execute("VACUUM ANALYZE profiles_event")


class Phases:
    """When each phase of a run began, by its name."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}

    def __call__(self, done: int, total: int, phase: str) -> None:
        self.began.setdefault(phase, time.perf_counter())

    def seconds(self, first: str, last: str) -> float:
        return self.began[last] - self.began[first]


def ours() -> tuple[RfmRun, Phases]:
    asked, phases = request_run(by=SYSTEM), Phases()
    run(rfm=asked, progress=phases)
    asked.refresh_from_db()
    if asked.job is not None:
        asked.job.delete()
    return asked, phases


def by_hand(params: dict[str, Any], statements: list[str]) -> tuple[float, float]:
    """How many seconds these statements take in one transaction, and those that come before any score is written.

    Their scores stay.
    """
    before_writing = 0.0
    with bound_cursor() as cursor:
        cursor.execute("SET work_mem = '128MB'")
        started = time.perf_counter()
        with transaction.atomic():
            for statement in statements:
                if statement == EACH[0]:
                    before_writing = time.perf_counter() - started
                cursor.execute(statement, params if "%(" in statement else None)
        spent = time.perf_counter() - started
        cursor.execute("RESET work_mem")
        cursor.execute("DROP TABLE IF EXISTS hand_buyer, hand_scored")
    return spent, before_writing


def tidy() -> None:
    """Both begin from a table that was just written anew, so that neither finds it swollen or cold; and nobody waits to be judged."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("TRUNCATE profiles_dirtyprofile")
        cursor.execute("VACUUM FULL ANALYZE profiles_score")


def as_ours_found_it(run_id: int) -> None:
    """The floor's table holds what ours held before this run, as scores are written between those of other runs."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("TRUNCATE bench_rfm")
        cursor.execute(
            "INSERT INTO bench_rfm SELECT * FROM profiles_score WHERE run_id <> %s ORDER BY run_id, key, profile_id",
            [run_id],
        )
        cursor.execute("VACUUM FULL ANALYZE bench_rfm")


def different(run_id: int, hand: int) -> int:
    with bound_cursor() as cursor:
        one = "SELECT key, profile_id, number, label FROM {} WHERE run_id = {}"
        a, b = one.format("profiles_score", int(run_id)), one.format("bench_rfm", int(hand))
        cursor.execute(f"SELECT count(*) FROM (({a} EXCEPT {b}) UNION ALL ({b} EXCEPT {a})) AS other")
        return int(cursor.fetchone()[0])


def main() -> None:
    scale = prepare()
    add_revenue()
    purpose = Purpose.objects.get(key=INTERNAL_ANALYSIS)
    if purpose.mode == Mode.OPT_IN:
        raise SystemExit("the floor is written for a purpose that asks for no yes")
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_rfm")
        cursor.execute(TABLE)
    numbers = dict(EventName.objects.values_list("name", "pk"))
    params = {
        "now": NOW,
        "since": NOW - timedelta(days=365),
        "order": numbers[ORDER_COMPLETED],
        "revenue": numbers[REVENUE_BOOKED],
        "purpose": purpose.pk,
    }
    in_tables = [
        f"CREATE TEMP TABLE hand_buyer AS {BUYER}",
        "ANALYZE hand_buyer",
        f"CREATE TEMP TABLE hand_scored AS {SCORED.format(buyer='hand_buyer', cut='(' + CUT.format(buyer='hand_buyer') + ')')}",
        *EACH,
    ]
    ways = {"in steps": in_tables, "in one statement": [IN_ONE]}
    first, _ = ours()
    people = first.people
    for way, statements in ways.items():
        as_ours_found_it(first.score_run_id or 0)
        by_hand({**params, "run": first.score_run_id}, statements)
        if rows := different(first.score_run_id or 0, first.score_run_id or 0):
            raise SystemExit(f"{rows:,} scores by hand, {way}, are others than ours")
    print(f"* {5 * people:,} scores are the same row by row, in both ways by hand", flush=True)
    whole, scoring, figures, hand, hand_figures = [], [], [], [], []
    for _ in range(ROUNDS):
        tidy()
        made, phases = ours()
        whole.append(phases.seconds("adding up orders", "done"))
        scoring.append(phases.seconds("adding up orders", "comparing and publishing"))
        figures.append(phases.seconds("adding up orders", "writing scores"))
        for way, statements in ways.items():
            as_ours_found_it(made.score_run_id or 0)
            spent, before_writing = by_hand({**params, "run": made.score_run_id}, statements)
            hand.append(spent)
            if before_writing:
                hand_figures.append(before_writing)
            print(f"  {way}: {hand[-1]:.1f} s; ours {scoring[-1]:.1f} s of {whole[-1]:.1f} s", flush=True)
    size = f"{Profile.objects.count():,} people, {scale.events:,} events, {people:,} buyers"
    floor = 1000 * min(hand)
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE bench_rfm")
    publish(
        [
            Row(
                name="rfm: scores counted and written",
                size=size,
                value=1000 * min(scoring),
                floor=floor,
                unit="ms",
                goal=GOAL,
            ),
            Row(
                name="rfm: of that, before writing begins",
                size=size,
                value=1000 * min(figures),
                floor=1000 * min(hand_figures),
                unit="ms",
            ),
            Row(
                name="rfm: whole run, compared and published",
                size=size,
                value=1000 * min(whole),
                floor=floor,
                unit="ms",
            ),
        ]
    )


if __name__ == "__main__":
    main()

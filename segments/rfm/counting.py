"""Recency, frequency and monetary value of everybody, their scores and what these come to, in set-based statements.

Figures stay in two temporary tables of this connection between the steps, and no row of a person passes through Python. The order
of the steps, and what becomes of their results, is in `segments.rfm.running`. Texts are of this module; every operand is bound.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import psycopg
from django.db import connection, transaction

from cdp.database import bound_cursor
from cdp.profiles.models import EventName
from cdp.profiles.orders import ORDER_COMPLETED, REVENUE_BOOKED
from cdp.profiles.score_services import hold_run
from segments.analytics.rfm import (
    CELLS,
    STEPS,
    Cutting,
    Measure,
    Scheme,
    Spread,
    Thresholds,
    groups_by_cell,
    place_of,
    verdicts,
    without_few,
)
from segments.fields.distributions import FEWEST, FEWEST_RANKED, PERCENTS, edges_for, rank
from segments.queries import Query

# What hashing and sorting may use; by default both would go through files from some ten thousand buyers on.
MEMORY: Final = "128MB"
SCORE_KEYS: Final = ("recency", "frequency", "monetary", "fm", "group")

FORGET: Final = "DROP TABLE IF EXISTS pg_temp.rfm_buyer, pg_temp.rfm_scored"
# All of it stands in the covering index by name and moment. People are looked up once they are buyers, of whom there are fewer than
# events. In the order of people, in which scores are written: neighbours in the indexes are neighbours here.
BUYERS: Final = """
    SELECT bought.profile_id, floor(date_part('epoch', %(as_of)s::timestamptz - bought.last_at) / 86400)::int AS recency,
           bought.orders::int AS frequency, bought.unpriced::int AS unpriced, bought.revenue AS monetary
      FROM (SELECT e.profile_id, max(e.occurred_at) FILTER (WHERE e.name_id = %(order)s::int) AS last_at,
                   count(*) FILTER (WHERE e.name_id = %(order)s::int) AS orders,
                   count(*) FILTER (WHERE e.name_id = %(order)s::int AND e.value IS NULL) AS unpriced,
                   coalesce(sum(e.value) FILTER (WHERE e.name_id = %(revenue)s::int), 0) AS revenue
              FROM profiles_event AS e
             WHERE e.name_id IN (%(order)s::int, %(revenue)s::int)
               AND e.occurred_at >= %(since)s::timestamptz AND e.occurred_at < %(as_of)s::timestamptz
             GROUP BY e.profile_id) AS bought
     WHERE bought.orders > 0 AND bought.profile_id IN ({query})
     ORDER BY bought.profile_id
"""
BOUGHT: Final = """
    SELECT count(DISTINCT e.profile_id) FROM profiles_event AS e
     WHERE e.name_id = %(order)s::int
       AND e.occurred_at >= %(since)s::timestamptz AND e.occurred_at < %(as_of)s::timestamptz
"""
TOTALS: Final = """
    SELECT count(*), coalesce(sum(frequency), 0)::bigint, coalesce(sum(unpriced), 0)::bigint, coalesce(sum(monetary), 0),
           coalesce(sum(monetary) FILTER (WHERE monetary > 0), 0), coalesce(max(monetary), 0),
           count(*) FILTER (WHERE monetary <= 0)
      FROM pg_temp.rfm_buyer
"""
POINTS: Final = """
    SELECT percentile_disc(%(recency)s::float8[]) WITHIN GROUP (ORDER BY recency),
           percentile_disc(%(frequency)s::float8[]) WITHIN GROUP (ORDER BY frequency),
           percentile_disc(%(monetary)s::float8[]) WITHIN GROUP (ORDER BY monetary)
      FROM pg_temp.rfm_buyer
"""
BINS: Final = """
    SELECT width_bucket({measure}::numeric, %(edges)s::numeric[]), count(*) FROM pg_temp.rfm_buyer GROUP BY 1
"""
# Scores are the cuts strictly below a value; three of them make the number by which the 125 verdicts are found.
SCORED: Final = """
    SELECT b.profile_id, b.recency AS days, b.frequency AS orders, b.monetary AS revenue,
           v.r, v.f, v.m, v.fm, v.weighted, v.name
      FROM pg_temp.rfm_buyer AS b
      JOIN jsonb_to_recordset(%(verdicts)s::jsonb)
           AS v(place int, r smallint, f smallint, m smallint, fm smallint, weighted numeric(19, 4), name text)
        ON v.place = 25 * (4 - (b.recency > %(recency_1)s::numeric)::int - (b.recency > %(recency_2)s::numeric)::int
                             - (b.recency > %(recency_3)s::numeric)::int - (b.recency > %(recency_4)s::numeric)::int)
                    + 5 * ((b.frequency > %(frequency_1)s::numeric)::int + (b.frequency > %(frequency_2)s::numeric)::int
                         + (b.frequency > %(frequency_3)s::numeric)::int + (b.frequency > %(frequency_4)s::numeric)::int)
                        + ((b.monetary > %(monetary_1)s::numeric)::int + (b.monetary > %(monetary_2)s::numeric)::int
                         + (b.monetary > %(monetary_3)s::numeric)::int + (b.monetary > %(monetary_4)s::numeric)::int)
"""
SUMS: Final = """
    SELECT r, f, m, fm, count(*), sum(orders)::bigint, sum(revenue), sum(days)::bigint
      FROM pg_temp.rfm_scored GROUP BY 1, 2, 3, 4
"""
WRITTEN: Final[Mapping[str, str]] = {
    "recency": "r, NULL::text",
    "frequency": "f, NULL::text",
    "monetary": "m, NULL::text",
    "fm": "fm, NULL::text",
    "group": "weighted, name",
}
WRITE: Final = """
    INSERT INTO profiles_score (run_id, key, profile_id, number, label)
    SELECT %(run)s::bigint, %(key)s::text, profile_id, {said} FROM pg_temp.rfm_scored
"""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What all buyers of the window come to together.

    Args:
        gained: revenue of those alone whose refunds don't exceed their orders.
        most: of the one who brought the most.
        no_gain: how many sent back as much as they bought, or more, or bought for nothing.
    """

    people: int
    orders: int
    unpriced: int
    revenue: Decimal
    gained: Decimal
    most: Decimal
    no_gain: int


@dataclass(frozen=True, kw_only=True)
class CellSums:
    """What the people of a cell come to together."""

    r: int
    fm: int
    group: str
    people: int = 0
    orders: int = 0
    revenue: Decimal = Decimal(0)
    recency_days: int = 0

    def plus(self, *, people: int, orders: int, revenue: Decimal, recency_days: int) -> "CellSums":
        return replace(
            self,
            people=self.people + people,
            orders=self.orders + orders,
            revenue=self.revenue + revenue,
            recency_days=self.recency_days + recency_days,
        )


@dataclass(frozen=True, kw_only=True)
class Points:
    """Where the measures are cut, and how they are spread."""

    thresholds: Thresholds
    spreads: tuple[Spread, ...]


@contextmanager
def working() -> Iterator[psycopg.Cursor[Any]]:
    """A cursor in a transaction of its own, with room for hashing and sorting."""
    with transaction.atomic(), bound_cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", [MEMORY])
        yield cursor


def forget() -> None:
    """Drops the figures of people, if there are any."""
    with connection.cursor() as cursor:
        # The server would tell each time that they weren't there.
        cursor.execute(
            "SELECT to_regclass('pg_temp.rfm_buyer') IS NOT NULL OR to_regclass('pg_temp.rfm_scored') IS NOT NULL"
        )
        if cursor.fetchone()[0]:
            cursor.execute(FORGET)


def names() -> dict[str, int]:
    """Numbers of the two event names that count. One that was never heard has none, so it is 0, which no event has."""
    known = dict(EventName.objects.filter(name__in=[ORDER_COMPLETED, REVENUE_BOOKED]).values_list("name", "pk"))
    return {"order": known.get(ORDER_COMPLETED, 0), "revenue": known.get(REVENUE_BOOKED, 0)}


def count_buyers(*, who: Query, since: datetime, as_of: datetime) -> Totals:
    """Has recency (whole days), frequency (orders) and monetary value (net revenue) of everybody who bought in [since, as_of).

    Args:
        who: one column, the ids of whoever may be in it.
    """
    buyers = who.of(BUYERS)
    with working() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE rfm_buyer AS {buyers.before} {buyers.sql}",
            {**buyers.params, **names(), "since": since, "as_of": as_of},
        )
        cursor.execute(TOTALS)
        people, orders, unpriced, revenue, gained, most, no_gain = cursor.fetchall()[0]
    return Totals(
        people=people, orders=orders, unpriced=unpriced, revenue=revenue, gained=gained, most=most, no_gain=no_gain
    )


def bought(*, since: datetime, as_of: datetime) -> int:
    """How many people bought in [since, as_of), also those who may not be looked at."""
    return int(Query(sql=BOUGHT).rows(**names(), since=since, as_of=as_of)[0][0])


def cut(scheme: Scheme, people: int) -> Points:
    """Where so many buyers' measures are cut by the scheme, and how they are spread.

    What `percentile_disc` takes is the middle between two places, so that no rounding of a fraction moves it to the next.
    """
    asked: dict[str, list[float]] = {}
    ranked = people >= FEWEST_RANKED
    for measure in Measure:
        cuts = scheme.cuts_of(measure)
        places = [] if cuts.how == Cutting.FIXED else [place_of(percent, people) for percent in cuts.percents]
        places += [rank(percent, people) for percent in range(PERCENTS)] if ranked else []
        asked[measure] = [(place - 0.5) / people for place in places]
    with working() as cursor:
        cursor.execute(POINTS, asked)
        found = dict(zip(Measure, cursor.fetchall()[0], strict=True))
        thresholds: dict[str, tuple[Decimal, ...]] = {}
        spreads = []
        for measure, points in found.items():
            cuts, given = scheme.cuts_of(measure), [Decimal(one) for one in points or ()]
            is_fixed = cuts.how == Cutting.FIXED
            thresholds[measure] = cuts.values if is_fixed else tuple(given[: STEPS - 1])
            quantiles = given if is_fixed else given[STEPS - 1 :]
            spreads.append(_spread(cursor, measure, quantiles) if ranked else Spread(measure=measure))
    return Points(thresholds=Thresholds(**thresholds), spreads=tuple(spreads))


def _spread(cursor: psycopg.Cursor[Any], measure: Measure, quantiles: Sequence[Decimal]) -> Spread:
    """Those beyond the outermost edges are counted in the outermost stretches: where these end is some single person's."""
    _, _, edges = edges_for(quantiles)
    cursor.execute(
        BINS.format(measure=measure.value), {"edges": "{" + ",".join(format(one, "f") for one in edges) + "}"}
    )
    counts = [0] * (len(edges) - 1)
    for place, people in cursor.fetchall():
        counts[min(max(place - 1, 0), len(counts) - 1)] += people
    return without_few(Spread(measure=measure, edges=edges, counts=tuple(counts)), fewest=FEWEST)


def score(scheme: Scheme, thresholds: Thresholds) -> tuple[list[CellSums], dict[Measure, int]]:
    """The 25 cells with what their people come to; and of each measure how many different scores there are."""
    table = [
        {
            "place": 25 * (one.recency - 1) + 5 * (one.frequency - 1) + one.monetary - 1,
            "r": one.recency,
            "f": one.frequency,
            "m": one.monetary,
            "fm": one.fm,
            "weighted": str(one.weighted),
            "name": one.group,
        }
        for one in verdicts(scheme)
    ]
    cuts = {f"{measure}_{n}": one for measure in Measure for n, one in enumerate(thresholds.of(measure), start=1)}
    with working() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE rfm_scored AS {SCORED}", {"verdicts": json.dumps(table), **cuts})
        cursor.execute(SUMS)
        sums = cursor.fetchall()
    at = groups_by_cell(scheme.groups)
    found = {(r, fm): CellSums(r=r, fm=fm, group=scheme.groups[at[r, fm]].name) for r, fm in CELLS}
    for r, _, _, fm, people, orders, revenue, days in sums:
        found[r, fm] = found[r, fm].plus(people=people, orders=orders, revenue=revenue, recency_days=days)
    different = {measure: len({row[place] for row in sums}) for place, measure in enumerate(Measure)}
    return list(found.values()), different


def write(*, score_run: int, key: str) -> int:
    """How many scores of this key were written into the run.

    Raises:
        NotFound: the run was forgotten, by whoever began anew since.
    """
    with working() as cursor:
        hold_run(score_run)
        cursor.execute(WRITE.format(said=WRITTEN[key]), {"run": score_run, "key": key})
        return cursor.rowcount

"""How people did from the moment they entered a segment on, beside everybody who wasn't in it in the same weeks.

Cohorts are weeks of entering, from Monday on in the workspace's zone. From each person's own entering run weeks of 7 times
24 hours; what made them enter (an order at that very moment) is not counted as what followed. Whoever leaves again still
counts: otherwise only those who did well would be left. Only weeks that are over for a whole cohort are told.

Beside them stand, for each cohort, all who were known and had not entered yet at the mean moment of its entering, whatever
they did later; cohorts weigh as they do among the members (direct standardisation). How it is shown is in
`segments.screens.performance`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from math import sqrt
from typing import Any, Final

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor, snapshot
from cdp.errors import DomainError
from cdp.profiles.models import EventName, Profile, Workspace
from cdp.profiles.orders import ORDER_COMPLETED, REVENUE_BOOKED
from consent.models import Purpose
from consent.querysets import permitted
from segments.catalogue import catalog_for
from segments.engines import postgres
from segments.engines.postgres import Text
from segments.estimates import Z_95, wilson
from segments.models import Segment, SegmentVersion
from segments.moments import moment_of_judgement
from segments.rules import Catalog, Rule, RuleErrors, depends_on, describe, load, parse
from segments.rules.explain import nodes
from segments.rules.findings import has_history
from segments.rules.nodes import Leaf
from segments.running import place

SECONDS: Final = 20
COHORTS: Final = 26
MOST_WEEKS: Final = 12
HORIZONS: Final = (2, 4, 8, 12)
# Of fewer people nothing is told: it would be told of each.
FEWEST: Final = 5
# From so many on a longer time is worth more than more people.
ENOUGH: Final = 30
WEEK: Final = timedelta(days=7)
WEEK_SECONDS: Final = 7 * 24 * 3600

# Parted in text by what is known beforehand alone: the statement that says who entered, and the one that says who may be read.
ENTERED: Final = """
    SELECT profile_id, min(effective_at) AS at FROM segments_membershipchange
     WHERE segment_id = %(segment)s AND kind = 'entered' GROUP BY profile_id
"""
FOLLOWED: Final = """
    running AS (
        SELECT week, since, orders, revenue, unpriced, sum(revenue) OVER so_far AS total,
               orders > 0 AND sum(orders) OVER so_far = orders AS is_first
          FROM each WINDOW so_far AS (PARTITION BY week, profile_id ORDER BY since)
    )
    SELECT week, since, count(*) FILTER (WHERE orders > 0), count(*) FILTER (WHERE is_first),
           sum(orders), sum(revenue), sum(total * total - (total - revenue) * (total - revenue)), sum(unpriced)
      FROM running GROUP BY week, since
"""
FIGURES: Final = """
               count(*) FILTER (WHERE v.name_id = %(order)s) AS orders,
               coalesce(sum(v.value) FILTER (WHERE v.name_id = %(revenue)s), 0) AS revenue,
               count(*) FILTER (WHERE v.name_id = %(revenue)s AND v.value IS NULL) AS unpriced
"""
MEMBERS: Final = """
    WITH entered AS MATERIALIZED ({entered}),
    cohort AS MATERIALIZED (
        SELECT profile_id, at, width_bucket(at, %(starts)s::timestamptz[]) - 1 AS week FROM entered
         WHERE at >= %(first)s AND at < %(last)s AND profile_id IN ({permitted})
    ),
    each AS (
        SELECT c.week, c.profile_id, (ceil(extract(epoch FROM v.occurred_at - c.at) / %(week)s) - 1)::int AS since,
               {figures}
          FROM cohort c
          JOIN profiles_event v ON v.profile_id = c.profile_id AND v.name_id IN (%(order)s, %(revenue)s)
               AND v.occurred_at > c.at AND v.occurred_at <= c.at + %(longest)s
               AND v.occurred_at > %(first)s AND v.occurred_at <= %(as_of)s
         GROUP BY 1, 2, 3
    ),
    {followed}
    UNION ALL
    SELECT week, -1, count(*), 0, 0, avg(extract(epoch FROM at)), 0, 0 FROM cohort GROUP BY week
"""
EVERYONE: Final = """
    WITH entered AS MATERIALIZED ({entered}),
    clock AS (SELECT week, at FROM unnest(%(weeks)s::int[], %(clocks)s::timestamptz[]) AS given(week, at)),
    each AS (
        SELECT k.week, v.profile_id, (ceil(extract(epoch FROM v.occurred_at - k.at) / %(week)s) - 1)::int AS since,
               {figures}
          FROM profiles_event v
          JOIN profiles_profile p ON p.id = v.profile_id
          LEFT JOIN entered e ON e.profile_id = v.profile_id
          JOIN clock k ON v.occurred_at > k.at AND v.occurred_at <= k.at + %(longest)s
               AND p.first_seen_at <= k.at AND (e.at IS NULL OR e.at > k.at)
         WHERE v.name_id IN (%(order)s, %(revenue)s) AND v.occurred_at > %(first)s AND v.occurred_at <= %(as_of)s
           AND v.profile_id IN ({permitted})
         GROUP BY 1, 2, 3
    ),
    {followed}
"""
# How many clocks had begun before somebody was known, and before they entered: from that follows for which they count.
KNOWN: Final = """
    WITH entered AS MATERIALIZED ({entered})
    SELECT width_bucket(p.first_seen_at - interval '1 microsecond', %(clocks)s::timestamptz[]),
           width_bucket(e.at - interval '1 microsecond', %(clocks)s::timestamptz[]), count(*)
      FROM profiles_profile p LEFT JOIN entered e ON e.profile_id = p.id
     WHERE p.id IN ({permitted}) GROUP BY 1, 2
"""


class Source(StrEnum):
    """By what it is known who entered when."""

    RECORD = "record"
    RULE = "rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Of one cohort in one week since entering: `first` of the `ordered` had not ordered since they entered.

    `squares` is by how much the sum of squares of everybody's revenue so far grew.
    """

    ordered: int = 0
    first: int = 0
    orders: int = 0
    revenue: Decimal = Decimal(0)
    squares: Decimal = Decimal(0)
    unpriced: int = 0


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Who entered in one week: how many, and how many of them ordered in each whole week since; too few aren't told."""

    begins: date
    people: int
    ordered: list[int]

    @property
    def is_told(self) -> bool:
        return self.people >= FEWEST


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Means per person at the end of each week since entering; `low` and `high` hold the true one 19 times in 20."""

    people: int
    revenue: list[float]
    revenue_low: list[float]
    revenue_high: list[float]
    ordered: list[float]
    ordered_low: list[float]
    ordered_high: list[float]
    orders: float
    # The squared standard errors of both figures at the end, for differences.
    revenue_error: float
    ordered_error: float


@dataclass(frozen=True, kw_only=True)
class Performance:
    """`members` is None when too few people were followed for that long, `everyone` when there is nobody to compare with."""

    as_of: datetime
    source: Source
    horizon: int
    # How many people there are to follow for each length of time.
    followed: Mapping[int, int]
    cohorts: list[Cohort]
    members: Curve | None
    everyone: Curve | None
    currency: str
    unpriced: int = 0


def performance_of(
    *, segment: Segment, purpose: Purpose, by: Actor, source: Source = Source.RECORD, horizon: int | None = None
) -> Performance:
    """How members did in the weeks since they entered, of those who permit the purpose. On record as a read of them.

    Args:
        source: who entered by the segment's record; or who would have, had the live rule been asked every Monday.
        horizon: how many weeks people are followed, of `HORIZONS`; what there are enough people for, if left out.

    Raises:
        DomainError: no such length of time; or the rule can't be asked about the past.
        PreviewsBusy: too many are being counted already.
        django.db.OperationalError: a statement took longer than `SECONDS`.
    """
    if horizon is not None and horizon not in HORIZONS:
        raise DomainError("horizon_unknown", f"weeks is one of {', '.join(map(str, HORIZONS))}.", "/weeks")
    as_of = moment_of_judgement()
    starts = mondays(as_of)
    with place(ticket=None, seconds=SECONDS), snapshot(seconds=SECONDS):
        entered = _entered(segment, source, starts)
        asked = _Asked(entered, purpose, starts, as_of)
        sums, people, clocks = asked.members()
        followed = {weeks: sum(people[n] for n in _complete(starts, weeks, as_of) if n in people) for weeks in HORIZONS}
        horizon = horizon or _best(followed)
        used = [n for n in _complete(starts, horizon, as_of) if n in people]
        members = everyone = None
        if followed[horizon] >= FEWEST:
            members = curve_of(sums, people, used, horizon)
            others, known = asked.everyone([(n, clocks[n]) for n in used], horizon)
            if all(known[n] for n in used):
                everyone = standardised(others, known, people, used, horizon)
        detail = {"source": source.value, "weeks": horizon, "members": sum(people.values())}
        record(by=by, action="segment.performance_read", object=segment, purpose=purpose.key, detail=detail)
    zone = Workspace.current().zone
    return Performance(
        as_of=as_of,
        source=source,
        horizon=horizon,
        followed=followed,
        cohorts=[
            Cohort(
                begins=starts[n].astimezone(zone).date(),
                people=people.get(n, 0),
                ordered=[sums.get((n, since), Sum()).ordered for since in range(weeks_over(starts, n, as_of))],
            )
            for n in range(len(starts) - 1)
        ],
        members=members,
        everyone=everyone,
        currency=Workspace.current().reporting_currency,
        unpriced=sum(one.unpriced for one in sums.values()),
    )


def past_of(segment: Segment) -> list[str]:
    """Why the live rule can't be asked about the past; nothing, where it can."""
    if segment.live_version is None:
        return ["no version is live"]
    try:
        rule, known = _live_rule(segment.live_version)
    except RuleErrors as errors:
        return [error.message for error in errors.errors]
    lost = [one for _, one in nodes(rule) if isinstance(one, Leaf) and not has_history(one)]
    said = dict.fromkeys(describe(one, known).removesuffix(".") for one in lost)
    return [f"only conditions on events can be asked about a past moment, not those on “{one}”" for one in said]


def mondays(as_of: datetime) -> list[datetime]:
    """Where the last whole weeks begin, and the one that goes on; by the calendar of the zone that `as_of` has."""
    this = as_of.date() - timedelta(days=as_of.weekday())
    days = (this - n * WEEK for n in range(COHORTS, -1, -1))
    return [datetime.combine(day, time.min, tzinfo=as_of.tzinfo).astimezone(UTC) for day in days]


def weeks_over(starts: Sequence[datetime], cohort: int, as_of: datetime) -> int:
    """How many weeks since entering are over for all who entered in this week."""
    return max(0, min(MOST_WEEKS, (as_of - starts[cohort + 1]) // WEEK))


def _complete(starts: Sequence[datetime], weeks: int, as_of: datetime) -> list[int]:
    return [n for n in range(len(starts) - 1) if weeks_over(starts, n, as_of) >= weeks]


def _best(followed: Mapping[int, int]) -> int:
    """The longest time for which there are enough people; else the one with most, the shorter where they are as many."""
    enough = [weeks for weeks, people in followed.items() if people >= ENOUGH]
    return max(enough) if enough else max(followed, key=lambda weeks: (followed[weeks], -weeks))


# ---- What is asked ---------------------------------------------------------------------------------------------------


def _live_rule(version: SegmentVersion) -> tuple[Rule, Catalog]:
    known = catalog_for([depends_on(parse(version.rule))])
    return load(version.rule, known), known


def _entered(segment: Segment, source: Source, starts: Sequence[datetime]) -> Text:
    if source is Source.RECORD:
        return Text(ENTERED, {"segment": segment.pk})
    if reasons := past_of(segment):
        raise DomainError("no_history", f"The rule can't be asked about the past: {'; '.join(reasons)}.")
    assert segment.live_version is not None  # or there would be a reason
    rule, known = _live_rule(segment.live_version)
    zone = Workspace.current().zone
    # One more: whoever was in before the first week didn't enter in it.
    moments = [starts[0] - WEEK, *starts[:-1]]
    return postgres.first_true(rule, known, [at.astimezone(zone) for at in moments])


class _Asked:
    """The statements on who entered, with the operands that all of them have."""

    def __init__(self, entered: Text, purpose: Purpose, starts: Sequence[datetime], as_of: datetime) -> None:
        may_read, names = postgres.as_subquery(permitted(Profile.objects.order_by(), purpose).values("pk"), "permitted")
        self._put = partial(str.format, entered=entered.sql, permitted=may_read, figures=FIGURES, followed=FOLLOWED)
        numbers = dict(EventName.objects.filter(name__in=[ORDER_COMPLETED, REVENUE_BOOKED]).values_list("name", "pk"))
        self._operands: dict[str, Any] = {
            **entered.params,
            **names,
            "starts": list(starts),
            "first": starts[0],
            "last": starts[-1],
            "as_of": as_of,
            "week": WEEK_SECONDS,
            "longest": MOST_WEEKS * WEEK,
            # What was never seen has a number that no event has.
            "order": numbers.get(ORDER_COMPLETED, 0),
            "revenue": numbers.get(REVENUE_BOOKED, 0),
        }

    def members(self) -> tuple[dict[tuple[int, int], Sum], dict[int, int], dict[int, datetime]]:
        """Sums by cohort and week since entering; of each cohort how many they are and when they entered in the mean."""
        sums, people, clocks = {}, {}, {}
        for week, since, ordered, first, orders, revenue, squares, unpriced in self._rows(MEMBERS):
            if since < 0:
                people[week] = ordered
                clocks[week] = datetime.fromtimestamp(float(revenue), UTC)
            else:
                sums[week, since] = Sum(
                    ordered=ordered, first=first, orders=int(orders), revenue=revenue, squares=squares,
                    unpriced=int(unpriced),
                )  # fmt: skip
        return sums, people, clocks

    def everyone(
        self, clocks: Sequence[tuple[int, datetime]], horizon: int
    ) -> tuple[dict[tuple[int, int], Sum], dict[int, int]]:
        """The same of all who had not entered when the cohort's clock began, and how many they are."""
        more = {
            "weeks": [week for week, _ in clocks],
            "clocks": [at for _, at in clocks],
            "longest": horizon * WEEK,
            "first": clocks[0][1],
        }
        sums = {
            (week, since): Sum(ordered=ordered, first=first, orders=int(orders), revenue=revenue, squares=squares)
            for week, since, ordered, first, orders, revenue, squares, _ in self._rows(EVERYONE, more)
        }
        known = {week: 0 for week, _ in clocks}
        for began, entered_after, people in self._rows(KNOWN, more):
            for position, (week, _) in enumerate(clocks):
                if began <= position and (entered_after is None or entered_after > position):
                    known[week] += people
        return sums, known

    def _rows(self, statement: str, more: Mapping[str, Any] | None = None) -> list[Any]:
        with bound_cursor() as cursor:
            cursor.execute(self._put(statement), {**self._operands, **(more or {})})
            return cursor.fetchall()


# ---- What it comes to ------------------------------------------------------------------------------------------------


def curve_of(
    sums: Mapping[tuple[int, int], Sum], people: Mapping[int, int], used: Sequence[int], horizon: int
) -> Curve:
    """Of all people of the cohorts together."""
    return standardised(sums, {0: sum(people[n] for n in used)}, {0: 1}, [0], horizon, together=used)


def standardised(
    sums: Mapping[tuple[int, int], Sum],
    people: Mapping[int, int],
    weights: Mapping[int, int],
    used: Sequence[int],
    horizon: int,
    *,
    together: Sequence[int] | None = None,
) -> Curve:
    """Means over the cohorts, each with its weight.

    Args:
        together: the cohorts whose sums make up the only one that is used.
    """
    everything = sum(weights[n] for n in used)
    revenue, error, ordered, ordered_error = [0.0] * horizon, [0.0] * horizon, [0.0] * horizon, [0.0] * horizon
    orders = 0.0
    for n in used:
        weight, count = weights[n] / everything, people[n]
        total = squares = buyers = 0.0
        for since in range(horizon):
            for part in together or [n]:
                one = sums.get((part, since), Sum())
                total += float(one.revenue)
                squares += float(one.squares)
                buyers += one.first
                orders += weight * one.orders / count
            mean, share = total / count, buyers / count
            variance = max(0.0, squares - total * mean) / max(1, count - 1)
            revenue[since] += weight * mean
            error[since] += weight**2 * variance / count
            ordered[since] += weight * share
            ordered_error[since] += weight**2 * share * (1 - share) / count
    of = sum(people[n] for n in used)
    ends = [
        _share_ends(share, of, one, is_plain=together is not None)
        for share, one in zip(ordered, ordered_error, strict=True)
    ]
    return Curve(
        people=of,
        revenue=revenue,
        revenue_low=[mean - Z_95 * sqrt(one) for mean, one in zip(revenue, error, strict=True)],
        revenue_high=[mean + Z_95 * sqrt(one) for mean, one in zip(revenue, error, strict=True)],
        ordered=ordered,
        ordered_low=[low for low, _ in ends],
        ordered_high=[high for _, high in ends],
        orders=orders,
        revenue_error=error[-1],
        ordered_error=ordered_error[-1],
    )


def _share_ends(share: float, of: int, error: float, *, is_plain: bool) -> tuple[float, float]:
    """Wilson's interval of a plain share; of a weighted one, which is of many people, the normal one."""
    if is_plain:
        return wilson(round(share * of), of)
    return max(0.0, share - Z_95 * sqrt(error)), min(1.0, share + Z_95 * sqrt(error))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much members are ahead, and what the true difference lies between 19 times in 20."""

    by: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        return self.low > 0 or self.high < 0


def difference(one: float, error: float, other: float, other_error: float) -> Difference:
    reach = Z_95 * sqrt(error + other_error)
    return Difference(by=one - other, low=one - other - reach, high=one - other + reach)

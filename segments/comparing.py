"""Two segments side by side: what their members are, buy and permit, and where they differ most.

Only people count who permit the purpose. Of a large segment as many are asked as tell shares to half a percent; each figure
has the interval that goes with that. What fewer than `FEWEST` people say is not told. How it is shown is in
`segments.screens.compare`; who is in both is in `segments.flows`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor, snapshot
from cdp.errors import Conflict, DomainError
from cdp.profiles.models import EventName, Profile, Trait, TraitType, Workspace
from cdp.profiles.orders import ORDER_COMPLETED, REVENUE_BOOKED
from consent.models import Purpose
from consent.querysets import permitted, purposes_for_lists
from segments.engines.postgres import as_subquery
from segments.estimates import by_chance, wilson
from segments.models import Segment, SegmentStatus
from segments.moments import moment_of_judgement
from segments.running import place

SECONDS: Final = 20
FEWEST: Final = 5
# 1.96 * sqrt(0.25 / 40,000) is half a percent.
MOST_ASKED: Final = 40_000
DAYS: Final = 90
MOST_TRAITS: Final = 60
TOP: Final = 5
# What so many different values are said under is a name or a number of something, and tells no two groups apart.
MOST_VALUES: Final = 50

NUMBERS: Final = {TraitType.NUMBER}
VALUES: Final = {TraitType.TEXT, TraitType.BOOLEAN, TraitType.COUNTRY, TraitType.CURRENCY, TraitType.LIST}

ASKED: Final = """
    WITH asked AS MATERIALIZED (
        SELECT which, profile_id FROM (VALUES (0, %(first)s::bigint), (1, %(second)s::bigint)) AS two(which, segment)
         CROSS JOIN LATERAL (
            SELECT profile_id FROM segments_membership WHERE segment_id = two.segment AND profile_id IN ({permitted})
             ORDER BY hashint8extended(profile_id, 0) LIMIT %(most)s) AS few
    )
"""
# Of how many it was asked, and what they brought in: of orders in the last days, and of visits.
BOUGHT: Final = """
    , bought AS (
        SELECT a.which, a.profile_id, count(*) FILTER (WHERE v.name_id = %(order)s) AS orders,
               coalesce(sum(v.value) FILTER (WHERE v.name_id = %(revenue)s), 0) AS revenue
          FROM asked a JOIN profiles_event v ON v.profile_id = a.profile_id AND v.name_id IN (%(order)s, %(revenue)s)
               AND v.occurred_at >= %(since)s AND v.occurred_at < %(until)s
         GROUP BY 1, 2
    )
    SELECT a.which, count(*), coalesce(sum(b.orders), 0), count(*) FILTER (WHERE b.orders > 0),
           coalesce(sum(b.revenue), 0), coalesce(sum(b.revenue * b.revenue), 0)
      FROM asked a LEFT JOIN bought b USING (which, profile_id) GROUP BY 1
"""
VALUE_COUNTS: Final = """
    , said AS (
        SELECT a.which, v.trait_id, v.profile_id,
               CASE WHEN v.items IS NOT NULL THEN one.item ELSE coalesce(v.text, v.boolean::text) END AS value
          FROM asked a
          JOIN profiles_traitvalue v ON v.profile_id = a.profile_id AND v.trait_id = ANY(%(traits)s::int[])
          LEFT JOIN LATERAL unnest(v.items) AS one(item) ON v.items IS NOT NULL
    ),
    counted AS (
        SELECT trait_id, value, count(DISTINCT profile_id) FILTER (WHERE which = 0) AS first,
               count(DISTINCT profile_id) FILTER (WHERE which = 1) AS second
          FROM said WHERE value IS NOT NULL GROUP BY 1, 2
    ),
    ranked AS (
        SELECT *, count(*) OVER (PARTITION BY trait_id) AS kinds,
               row_number() OVER (PARTITION BY trait_id ORDER BY first DESC, value) AS of_first,
               row_number() OVER (PARTITION BY trait_id ORDER BY second DESC, value) AS of_second
          FROM counted
    )
    SELECT trait_id, value, first, second FROM ranked
     WHERE kinds <= %(kinds)s AND (of_first <= %(top)s OR of_second <= %(top)s)
       AND (first >= %(fewest)s OR second >= %(fewest)s)
"""
NUMBER_FIGURES: Final = """
    SELECT a.which, v.trait_id, count(*), percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY v.number::float8)
      FROM asked a
      JOIN profiles_traitvalue v ON v.profile_id = a.profile_id AND v.trait_id = ANY(%(numbers)s::int[])
     WHERE v.number IS NOT NULL GROUP BY 1, 2 HAVING count(*) >= %(fewest)s
"""
CAME_BY: Final = """
    SELECT value, count(DISTINCT profile_id) FILTER (WHERE which = 0), count(DISTINCT profile_id) FILTER (WHERE which = 1)
      FROM (SELECT a.which, a.profile_id, coalesce(nullif(s.utm_medium, ''), nullif(s.utm_source, ''), '') AS value
              FROM asked a JOIN profiles_session s ON s.profile_id = a.profile_id
                   AND s.started_at >= %(since)s AND s.started_at < %(until)s) AS visits
     GROUP BY 1
"""

PERMITTED: Final = "SELECT {number}, which, count(*) FROM asked WHERE profile_id IN ({permitted}) GROUP BY which"


@dataclass(frozen=True, kw_only=True)
class Bought:
    """What the people of one segment who were asked did in the last `DAYS` days."""

    members: int
    asked: int
    orders: int
    buyers: int
    revenue: Decimal
    squares: Decimal

    @property
    def is_told(self) -> bool:
        return self.asked >= FEWEST


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How many of each segment something is true of, and whether chance would do as an explanation of a difference."""

    name: str
    found: tuple[int, int]
    of: tuple[int, int]

    @property
    def shares(self) -> tuple[float, float]:
        return self.found[0] / self.of[0], self.found[1] / self.of[1]

    @property
    def told(self) -> tuple[float | None, float | None]:
        """The shares; None where so few are found that it would be told of each of them."""
        first, second = (share if n >= FEWEST else None for n, share in zip(self.found, self.shares, strict=True))
        return first, second

    @property
    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return wilson(self.found[0], self.of[0]), wilson(self.found[1], self.of[1])

    @property
    def apart(self) -> float:
        return abs(self.shares[0] - self.shares[1])

    @property
    def chance(self) -> float:
        return by_chance(self.found[0], self.of[0], self.found[1], self.of[1])


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Quartiles of a number in each segment; None where too few have it."""

    trait: Trait
    of: tuple[int, int]
    quartiles: tuple[tuple[float, float, float] | None, tuple[float, float, float] | None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`traits` by label, each with its most frequent values; `channels` by purpose, `came_by` by how visits began."""

    as_of: datetime
    since: datetime
    segments: tuple[Segment, Segment]
    bought: tuple[Bought, Bought]
    traits: list[tuple[Trait, list[Shares]]]
    numbers: list[Numbers]
    channels: list[Shares]
    came_by: list[Shares]
    currency: str

    @property
    def is_told(self) -> bool:
        return all(one.is_told for one in self.bought)

    def most_different(self, *, most: int = 8) -> list[Shares]:
        """The values whose shares are furthest apart, of those that chance doesn't explain.

        Of so many comparisons some would seem to differ by chance alone, so each has to be as much less likely (Bonferroni).
        """
        named = [
            (f"{trait.label}: {one.name}", one)
            for trait, values in self.traits
            for one in values
            # The other side of "yes" says the same once more.
            if trait.type != TraitType.BOOLEAN or one.name == "yes"
        ]
        sure = [(name, one) for name, one in named if one.chance * len(named) < 0.05]
        sure.sort(key=lambda one: (-round(one[1].apart, 9), one[0]))
        return [Shares(name=name, found=one.found, of=one.of) for name, one in sure[:most]]


def compare_segments(*, first: Segment, second: Segment, purpose: Purpose, by: Actor) -> Comparison:
    """Both segments as of now. On record as a read of the members of each.

    Raises:
        DomainError: they are one and the same.
        Conflict: one isn't live, so it isn't known who would be in it.
        PreviewsBusy: too many are being counted already.
        django.db.OperationalError: a statement took longer than `SECONDS`.
    """
    if first == second:
        raise DomainError("segments_count", "Choose two different segments.", "/b")
    for segment in (first, second):
        if segment.status != SegmentStatus.LIVE:
            raise Conflict("segment_not_live", f"“{segment.name}” is not live, so it has no members.")
    as_of = moment_of_judgement()
    with place(ticket=None, seconds=SECONDS), snapshot(seconds=SECONDS):
        asked = _Asked(first, second, purpose, as_of)
        bought = asked.bought()
        of = bought[0].asked, bought[1].asked
        is_told = min(of) >= FEWEST
        for segment in (first, second):
            detail = {"members": segment.member_count, "with": str((second if segment == first else first).uuid)}
            record(by=by, action="segment.compared", object=segment, purpose=purpose.key, detail=detail)
        return Comparison(
            as_of=as_of,
            since=as_of - timedelta(days=DAYS),
            segments=(first, second),
            bought=bought,
            traits=asked.values(of) if is_told else [],
            numbers=asked.numbers() if is_told else [],
            channels=asked.channels(of) if is_told else [],
            came_by=asked.came_by(of) if is_told else [],
            currency=Workspace.current().reporting_currency,
        )


class _Asked:
    """The statements on the people who are asked, with the operands that all of them have."""

    def __init__(self, first: Segment, second: Segment, purpose: Purpose, as_of: datetime) -> None:
        may_read, names = as_subquery(permitted(Profile.objects.all(), purpose).values("pk"), "permitted")
        self._asked = ASKED.format(permitted=may_read)
        numbers = dict(EventName.objects.filter(name__in=[ORDER_COMPLETED, REVENUE_BOOKED]).values_list("name", "pk"))
        self._segments = first, second
        # Never of personal data: who reads a figure needn't be somebody who may see one person's.
        self._traits = {one.pk: one for one in Trait.objects.filter(is_pii=False).order_by("label")[:MOST_TRAITS]}
        self._operands: dict[str, Any] = {
            **names,
            "first": first.pk,
            "second": second.pk,
            "most": MOST_ASKED,
            "since": as_of - timedelta(days=DAYS),
            "until": as_of,
            # What was never seen has a number that no event has.
            "order": numbers.get(ORDER_COMPLETED, 0),
            "revenue": numbers.get(REVENUE_BOOKED, 0),
            "fewest": FEWEST,
            "top": TOP,
            "kinds": MOST_VALUES,
            "traits": [pk for pk, one in self._traits.items() if one.type in VALUES],
            "numbers": [pk for pk, one in self._traits.items() if one.type in NUMBERS],
        }

    def bought(self) -> tuple[Bought, Bought]:
        rows = {which: figures for which, *figures in self._rows(BOUGHT)}
        empty = (0, 0, 0, Decimal(0), Decimal(0))
        one, other = (
            Bought(
                members=segment.member_count,
                asked=figures[0],
                orders=int(figures[1]),
                buyers=figures[2],
                revenue=figures[3],
                squares=figures[4],
            )
            for segment, figures in ((self._segments[n], rows.get(n, empty)) for n in (0, 1))
        )
        return one, other

    def values(self, of: tuple[int, int]) -> list[tuple[Trait, list[Shares]]]:
        found: dict[int, list[Shares]] = {}
        for trait, value, first, second in self._rows(VALUE_COUNTS):
            found.setdefault(trait, []).append(
                Shares(name=_word(self._traits[trait], value), found=(first, second), of=of)
            )
        return [
            (trait, sorted(found[pk], key=lambda one: (-max(one.shares), one.name)))
            for pk, trait in self._traits.items()
            if pk in found
        ]

    def numbers(self) -> list[Numbers]:
        found: dict[int, dict[int, tuple[int, Sequence[float]]]] = {}
        for which, trait, count, quartiles in self._rows(NUMBER_FIGURES):
            found.setdefault(trait, {})[which] = count, quartiles
        return [
            Numbers(
                trait=trait,
                of=(found[pk].get(0, (0, ()))[0], found[pk].get(1, (0, ()))[0]),
                quartiles=(_quartiles(found[pk], 0), _quartiles(found[pk], 1)),
            )
            for pk, trait in self._traits.items()
            if pk in found
        ]

    def channels(self, of: tuple[int, int]) -> list[Shares]:
        """For each purpose by which somebody is reached, how many permit it; all in one statement."""
        purposes = list(purposes_for_lists().exclude(channel="").order_by("label"))
        if not purposes:
            return []
        parts: list[str] = []
        operands: dict[str, Any] = {}
        for number, purpose in enumerate(purposes):
            sql, names = as_subquery(permitted(Profile.objects.all(), purpose).values("pk"), f"p{number}")
            parts.append(PERMITTED.format(number=number, permitted=sql))
            operands |= names
        found = {(number, which): count for number, which, count in self._rows(" UNION ALL ".join(parts), operands)}
        return [
            Shares(name=purpose.label, found=(found.get((number, 0), 0), found.get((number, 1), 0)), of=of)
            for number, purpose in enumerate(purposes)
        ]

    def came_by(self, of: tuple[int, int]) -> list[Shares]:
        """By what visits began in the last days; the most frequent, whoever is in both counts in both."""
        found = [
            Shares(name=value or "Direct, or not known", found=(first, second), of=of)
            for value, first, second in self._rows(CAME_BY)
            if max(first, second) >= FEWEST
        ]
        return sorted(found, key=lambda one: (-max(one.shares), one.name))[:TOP]

    def _rows(self, statement: str, more: Mapping[str, Any] | None = None) -> list[Any]:
        with bound_cursor() as cursor:
            cursor.execute(self._asked + statement, {**self._operands, **(more or {})})
            return cursor.fetchall()


def _word(trait: Trait, value: str) -> str:
    if trait.type == TraitType.BOOLEAN:
        return {"true": "yes", "false": "no"}.get(value, value)
    return value


def _quartiles(found: Mapping[int, tuple[int, Sequence[float]]], which: int) -> tuple[float, float, float] | None:
    if which not in found:
        return None
    low, middle, high = found[which][1]
    return low, middle, high

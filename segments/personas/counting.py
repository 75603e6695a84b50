"""The statements by which groups of people are counted: of each group and of everybody at once, in one pass over what is stored.

What becomes of the counts is in `segments.personas.portraying`. Texts are written here alone; every operand is bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cdp.database import bound_cursor
from cdp.profiles.masking import EMAIL
from cdp.profiles.models import EventName
from cdp.profiles.orders import ORDER_COMPLETED, ORDER_REFUNDED, PRODUCT_PURCHASED, REVENUE_BOOKED
from segments.analytics.portraits import FEWEST
from segments.features.channels import CHANNEL, DEVICE
from segments.queries import Query

WINDOW: Final = timedelta(days=365)
EVERYBODY: Final = ""
MOST_CATEGORIES: Final = 40
LONGEST_VALUE: Final = 60  # characters; what is longer is prose
VIEWS: Final = ("Product Viewed",)
OPENS: Final = ("Email Opened", "Newsletter Opened")
CLICKS: Final = ("Email Link Clicked", "Email Clicked", "Newsletter Clicked")

# Everybody has the empty key, which no persona has; a person is in as many rows as groups, and once in everybody's.
PEOPLE: Final = """
    people AS MATERIALIZED (
        SELECT ''::text AS key, id AS profile_id FROM ({query}) AS everybody(id)
        UNION ALL
        SELECT key, profile_id FROM profiles_score WHERE run_id = %(run)s AND key <> 'persona'
    )
"""
PERSONAL: Final = """
    WITH {people},
    bought AS (
        SELECT profile_id,
               count(*) FILTER (WHERE name_id = %(order)s) AS orders,
               coalesce(sum(value) FILTER (WHERE name_id = %(revenue)s), 0) AS revenue,
               max(occurred_at) FILTER (WHERE name_id = %(order)s) AS last_at,
               count(*) FILTER (WHERE name_id = %(order)s AND (properties ? 'coupon' OR (
                   jsonb_typeof(properties -> 'discount') = 'number' AND (properties ->> 'discount')::numeric > 0))) AS reduced,
               count(*) FILTER (WHERE name_id = %(refund)s) AS refunds,
               count(*) FILTER (WHERE name_id = ANY(%(views)s::int[])) AS views,
               count(*) FILTER (WHERE name_id = ANY(%(opens)s::int[])) AS opens,
               count(*) FILTER (WHERE name_id = ANY(%(clicks)s::int[])) AS clicks
          FROM profiles_event
         WHERE name_id = ANY(%(names)s::int[]) AND occurred_at >= %(since)s AND occurred_at < %(as_of)s
         GROUP BY profile_id
    ),
    visited AS (
        SELECT profile_id, count(*) AS visits, sum(extract(epoch FROM ended_at - started_at)) / 60 AS minutes
          FROM profiles_session WHERE started_at >= %(since)s AND started_at < %(as_of)s GROUP BY profile_id
    )
    SELECT key, count(*) AS people,
           count(*) FILTER (WHERE orders > 0) AS buyers,
           coalesce(sum(orders), 0) AS orders,
           coalesce(sum(revenue), 0) AS revenue,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM %(as_of)s - last_at) / 86400)
               FILTER (WHERE orders > 0) AS recency_days,
           coalesce(sum(reduced), 0) AS reduced, count(*) FILTER (WHERE reduced > 0) AS reducers,
           coalesce(sum(refunds), 0) AS refunds, count(*) FILTER (WHERE refunds > 0) AS refunders,
           count(*) FILTER (WHERE visits > 0) AS visitors,
           coalesce(sum(visits), 0) AS visits, coalesce(sum(minutes), 0) AS minutes,
           count(*) FILTER (WHERE views > 0) AS viewers, coalesce(sum(views), 0) AS views,
           count(*) FILTER (WHERE opens > 0) AS openers, count(*) FILTER (WHERE clicks > 0) AS clickers
      FROM people LEFT JOIN bought USING (profile_id) LEFT JOIN visited USING (profile_id)
     GROUP BY key
"""
# A line's value is that of all its pieces.
ITEMS: Final = """
    items AS MATERIALIZED (
        SELECT profile_id, occurred_at, btrim(properties ->> 'category') AS category,
               value / CASE WHEN jsonb_typeof(properties -> 'quantity') = 'number'
                             AND (properties ->> 'quantity')::numeric > 0
                            THEN (properties ->> 'quantity')::numeric ELSE 1 END AS price
          FROM profiles_event
         WHERE name_id = %(line)s AND occurred_at >= %(since)s AND occurred_at < %(as_of)s
           AND profile_id IN (SELECT profile_id FROM people WHERE key = '')
    )
"""
CATEGORIES: Final = """
    WITH {people}, {items},
    each AS (SELECT DISTINCT profile_id, category FROM items WHERE category <> '' AND length(category) <= %(longest)s)
    SELECT key, category, count(*) FROM each JOIN people USING (profile_id) GROUP BY 1, 2 HAVING count(*) >= %(fewest)s
    UNION ALL
    SELECT key, NULL, count(DISTINCT profile_id) FROM each JOIN people USING (profile_id) GROUP BY 1
"""
PRICES: Final = """
    WITH {people}, {items},
    cuts AS (SELECT percentile_disc(ARRAY[1 / 3.0, 2 / 3.0]) WITHIN GROUP (ORDER BY price) AS cut
               FROM items WHERE price > 0)
    SELECT key, count(DISTINCT profile_id), count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY price),
           count(*) FILTER (WHERE price <= cut[1]), count(DISTINCT profile_id) FILTER (WHERE price <= cut[1]),
           count(*) FILTER (WHERE price > cut[1] AND price <= cut[2]),
           count(DISTINCT profile_id) FILTER (WHERE price > cut[1] AND price <= cut[2]),
           count(*) FILTER (WHERE price > cut[2]), count(DISTINCT profile_id) FILTER (WHERE price > cut[2]),
           min(cut[1]), min(cut[2])
      FROM items JOIN people USING (profile_id) CROSS JOIN cuts WHERE price > 0 GROUP BY key
"""
# By key, of who bought from the one, how many bought from the other, and how many of them after their first of the one.
FOLLOWED: Final = """
    WITH {people}, {items},
    each AS MATERIALIZED (
        SELECT profile_id, category, min(occurred_at) AS first_at, max(occurred_at) AS last_at
          FROM items WHERE category = ANY(%(categories)s::text[]) GROUP BY 1, 2
    )
    SELECT key, a.category, c.category, count(*), count(*) FILTER (WHERE c.last_at > a.first_at)
      FROM each AS a JOIN each AS c USING (profile_id) JOIN people USING (profile_id) GROUP BY 1, 2, 3
"""
RETURNED: Final = """
    WITH {people}, {items},
    begun AS (SELECT profile_id, min(occurred_at) AS first_at FROM items GROUP BY 1)
    SELECT i.category, count(DISTINCT i.profile_id) FILTER (WHERE i.occurred_at > b.first_at), (SELECT count(*) FROM begun)
      FROM items AS i JOIN begun AS b USING (profile_id) WHERE i.category = ANY(%(categories)s::text[]) GROUP BY 1
"""
# Told as the features of people tell them, in the texts of `segments.features.channels`.
CHANNELS: Final = """
    WITH {people},
    counted AS (
        SELECT s.profile_id, {channel} AS channel, count(*) AS visits, max(s.started_at) AS last_at
          FROM profiles_session AS s WHERE s.started_at >= %(since)s AND s.started_at < %(as_of)s GROUP BY 1, 2
    ),
    main AS (SELECT DISTINCT ON (profile_id) profile_id, channel FROM counted ORDER BY profile_id, visits DESC, last_at DESC)
    SELECT key, channel, count(*) FROM main JOIN people USING (profile_id) GROUP BY 1, 2
"""
DEVICES: Final = """
    WITH {people},
    counted AS (
        SELECT profile_id, {device} AS device, sum(events) AS events
          FROM (SELECT profile_id, lower(coalesce(context -> 'device' ->> 'type', '')) AS said,
                       lower(coalesce(context ->> 'userAgent', '')) AS agent, count(*) AS events
                  FROM profiles_event
                 WHERE from_device AND occurred_at >= %(since)s AND occurred_at < %(as_of)s GROUP BY 1, 2, 3) AS e
         GROUP BY 1, 2
    ),
    main AS (
        SELECT DISTINCT ON (profile_id) profile_id, device FROM counted
         WHERE device IS NOT NULL ORDER BY profile_id, events DESC, device
    )
    SELECT key, device, count(*) FROM main JOIN people USING (profile_id) GROUP BY 1, 2
"""
VISITS: Final = """
    WITH {people}
    SELECT key, extract(isodow FROM started_at AT TIME ZONE %(zone)s)::int - 1,
           extract(hour FROM started_at AT TIME ZONE %(zone)s)::int, count(*), count(DISTINCT profile_id)
      FROM profiles_session JOIN people USING (profile_id)
     WHERE started_at >= %(since)s AND started_at < %(as_of)s GROUP BY 1, 2, 3
"""
ORDERED_AT: Final = """
    WITH {people}
    SELECT key, extract(isodow FROM occurred_at AT TIME ZONE %(zone)s)::int - 1,
           extract(hour FROM occurred_at AT TIME ZONE %(zone)s)::int, count(*), count(DISTINCT profile_id)
      FROM profiles_event JOIN people USING (profile_id)
     WHERE name_id = %(order)s AND occurred_at >= %(since)s AND occurred_at < %(as_of)s GROUP BY 1, 2, 3
"""
TRAITS: Final = """
    WITH {people},
    said AS (
        SELECT trait_id, profile_id, unnest(coalesce(items, ARRAY[coalesce(boolean::text, text)])) AS value
          FROM profiles_traitvalue WHERE trait_id = ANY(%(traits)s::int[])
    ),
    each AS (
        SELECT DISTINCT trait_id, profile_id, lower(btrim(value)) AS folded, btrim(value) AS value FROM said
         WHERE btrim(value) <> '' AND length(value) <= %(longest)s AND value !~ %(address)s
    )
    SELECT key, trait_id, min(value), count(*) FROM each JOIN people USING (profile_id)
     GROUP BY key, trait_id, folded HAVING count(*) >= %(fewest)s
    UNION ALL
    SELECT key, trait_id, NULL, count(DISTINCT profile_id) FROM each JOIN people USING (profile_id) GROUP BY 1, 2
"""
NUMBERS: Final = """
    WITH {people}
    SELECT key, trait_id, count(*), avg(number) FROM profiles_traitvalue JOIN people USING (profile_id)
     WHERE trait_id = ANY(%(traits)s::int[]) AND number IS NOT NULL GROUP BY 1, 2
"""
ANSWERS: Final = """
    WITH {people}
    SELECT key, name_id, property, count(DISTINCT profile_id), avg((properties ->> property)::numeric)
      FROM profiles_event JOIN people USING (profile_id) CROSS JOIN unnest(%(properties)s::text[]) AS property
     WHERE name_id = ANY(%(answers)s::int[]) AND occurred_at >= %(since)s AND occurred_at < %(as_of)s
       AND jsonb_typeof(properties -> property) = 'number'
     GROUP BY 1, 2, 3
"""
PERMITTING: Final = """
    WITH {people} SELECT key, count(*) FROM people WHERE profile_id IN ({permitted}) GROUP BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Whom to count, in which span, and by which calendar."""

    everybody: Query
    run: int
    as_of: datetime
    zone: str

    def rows(self, template: str, **more: Any) -> list[Any]:
        """What the statement gives; its operands are those of everybody, the span and what is given besides."""
        people = PEOPLE.replace("{query}", self.everybody.sql)
        sql = template.replace("{people}", people).replace("{items}", ITEMS)
        sql = sql.replace("{channel}", CHANNEL).replace("{device}", DEVICE)
        with bound_cursor() as cursor:
            cursor.execute(sql, {**self.everybody.params, **self._span(), **more})
            return cursor.fetchall()

    def _span(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "since": self.as_of - WINDOW,
            "as_of": self.as_of,
            "zone": self.zone,
            "fewest": FEWEST,
            "longest": LONGEST_VALUE,
        }

    def named_rows(self, template: str, **more: Any) -> dict[str, dict[str, Any]]:
        """By its first column, each row by the names of its columns."""
        people = PEOPLE.replace("{query}", self.everybody.sql)
        with bound_cursor() as cursor:
            cursor.execute(template.replace("{people}", people), {**self.everybody.params, **self._span(), **more})
            names = [one.name for one in cursor.description or ()]
            return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}

    # ---- Of whom what is known ---------------------------------------------------------------------------------

    def personal(self) -> dict[str, dict[str, Any]]:
        """By key, sums over the people of the group."""
        numbers = numbers_of_events()
        views, opens, clicks = ([numbers[one] for one in names if one in numbers] for names in (VIEWS, OPENS, CLICKS))
        order, revenue, refund = (numbers.get(one, 0) for one in (ORDER_COMPLETED, REVENUE_BOOKED, ORDER_REFUNDED))
        return self.named_rows(
            PERSONAL,
            order=order,
            revenue=revenue,
            refund=refund,
            views=views,
            opens=opens,
            clicks=clicks,
            names=[order, revenue, refund, *views, *opens, *clicks],
        )

    def _lines(self, template: str, **more: Any) -> list[Any]:
        return self.rows(template, line=numbers_of_events().get(PRODUCT_PURCHASED, 0), **more)

    def categories(self) -> list[Any]:
        """(key, category, people), and (key, None, people who bought from any)."""
        return self._lines(CATEGORIES)

    def prices(self) -> list[Any]:
        return self._lines(PRICES)

    def followed(self, categories: list[str]) -> list[Any]:
        """(key, one category, another, people who bought from both, those who bought from the other later)."""
        return self._lines(FOLLOWED, categories=categories)

    def returned(self, categories: list[str]) -> list[Any]:
        """(category, people who bought from it after their first purchase of anything, all who bought)."""
        return self._lines(RETURNED, categories=categories)

    def moments(self) -> tuple[str, list[Any]]:
        """Of what they are, and (key, weekday from Monday on, hour, how often, how many people)."""
        if found := self.rows(VISITS):
            return "visits to sites and apps", found
        return "orders", self.rows(ORDERED_AT, order=numbers_of_events().get(ORDER_COMPLETED, 0))

    def values(self, traits: list[int]) -> list[Any]:
        """(key, trait, value, people), and (key, trait, None, people who have any)."""
        return self.rows(TRAITS, traits=traits, address=EMAIL.pattern) if traits else []

    def means(self, traits: list[int]) -> list[Any]:
        """(key, trait, people, mean)."""
        return self.rows(NUMBERS, traits=traits) if traits else []

    def answers(self, events: list[int], properties: list[str]) -> list[Any]:
        """(key, event, property, people, mean)."""
        return self.rows(ANSWERS, answers=events, properties=properties) if events else []

    def permitting(self, permitted: Query) -> dict[str, int]:
        people = PEOPLE.replace("{query}", self.everybody.sql)
        # Both queries were made alike, so their operands are named alike.
        reached = permitted.sql.replace("%(", "%(reached_")
        operands = {f"reached_{name}": value for name, value in permitted.params.items()}
        with bound_cursor() as cursor:
            sql = PERMITTING.replace("{people}", people).replace("{permitted}", reached)
            cursor.execute(sql, {**self.everybody.params, **operands, **self._span()})
            return dict(cursor.fetchall())


def numbers_of_events() -> Mapping[str, int]:
    return dict(EventName.objects.values_list("name", "pk"))

"""A shop's year at a given size, made by the database itself: the same people and events every time.

Chance is a hash of what it decides about, never `random()`, and the year ends at a fixed moment, so two databases of one
scale hold the same rows. A database that has the scale already is left as it is. What is measured on it doesn't belong
here.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise

from django.db import connections
from django.db.backends.utils import CursorWrapper

from cdp.profiles.models import EventName, EventType, ScoreRun, Trait, Workspace


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How many people, and about how many events they make in the year."""

    name: str
    people: int
    events: int


SCALES = {
    "small": Scale(name="small", people=100_000, events=2_000_000),
    "full": Scale(name="full", people=1_000_000, events=20_000_000),
}
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""The moment at which the year ends; the workspace of such a database stands still there."""

# Name, type, and its share of what somebody does; the shares add up to 1.
EVENTS = [
    ("Page Viewed", EventType.PAGE, 0.32),
    ("Product Viewed", EventType.TRACK, 0.30),
    ("Session Started", EventType.DERIVED, 0.11),
    ("Product Added", EventType.TRACK, 0.10),
    ("Email Opened", EventType.TRACK, 0.07),
    ("Checkout Started", EventType.TRACK, 0.04),
    ("Order Completed", EventType.TRACK, 0.035),
    ("Product Searched", EventType.TRACK, 0.02),
    ("Order Refunded", EventType.TRACK, 0.005),
]
PURCHASED = "Product Purchased"
"""What follows from an order, once for each: it comes on top of the shares."""
TRAITS = [
    ("country", "country"),
    ("age", "number"),
    ("plan", "text"),
    ("birthday", "date"),
    ("tags", "list"),
    ("points", "number"),
]
CATEGORIES = ["Shoes", "Bags", "Home", "Garden", "Toys", "Books", "Sport", "Beauty"]
# Of each month from the first one on, how busy it is: summer is quiet, the weeks before Christmas are not.
SEASONS = [0.9, 0.8, 0.8, 0.9, 1.0, 1.5, 1.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]

# Uniform in [0, 1): the 52 low bits of a hash of the number and of which question is asked about it.
UNIT = """
CREATE OR REPLACE FUNCTION bench_unit(number bigint, question integer) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashint8extended(number, question) & 4503599627370495) / 4503599627370496.0::float8
"""

# Events a year are log-normal: the median does 6 things, one in ten nothing, and one in ten thousand a few thousand.
# Half of the people joined within the year, four in ten have left again, and two thirds never buy.
PEOPLE = """
CREATE UNLOGGED TABLE bench_person AS
SELECT id, rate, joined, least(%(now)s, joined + stays * interval '500 days') AS until, buys
  FROM (SELECT id,
               exp(1.5 * sqrt(-2 * ln(1 - bench_unit(id, 1))) * cos(2 * pi() * bench_unit(id, 2))) AS rate,
               %(now)s::timestamptz - bench_unit(id, 3) * interval '730 days' AS joined,
               CASE WHEN bench_unit(id, 4) < 0.4 THEN bench_unit(id, 5) ELSE 2 END AS stays,
               bench_unit(id, 6) < 0.35 AS buys
          FROM generate_series(1, %(people)s::bigint) AS id) AS drawn
"""

# Of each trait some people have no value. Texts are ASCII, so that their folded form is their lower case.
TRAITS_SAID = """
CREATE UNLOGGED TABLE bench_trait AS
SELECT key, id, joined, number, text, moment, items, coalesce(to_jsonb(number), to_jsonb(text), to_jsonb(items)) AS raw
  FROM bench_person,
       LATERAL (VALUES
           ('country', 0.95, NULL::numeric, (ARRAY['US','DE','GB','FR','US','JP','AT','BR','IT','ES'])
                   [1 + floor(10 * power(bench_unit(id, 11), 1.5))::int], NULL::timestamptz, NULL::text[]),
           ('age', 0.9, 18 + floor(62 * power(bench_unit(id, 12), 1.3))::numeric, NULL, NULL, NULL),
           ('plan', 1.0, NULL, CASE WHEN bench_unit(id, 13) < 0.8 THEN 'Free' WHEN bench_unit(id, 13) < 0.97 THEN 'Plus'
                               ELSE 'Pro' END, NULL, NULL),
           ('birthday', 0.6, NULL, to_char(date '1946-01-01' + floor(22000 * bench_unit(id, 14))::int, 'YYYY-MM-DD'),
                   (date '1946-01-01' + floor(22000 * bench_unit(id, 14))::int)::timestamp AT TIME ZONE 'UTC', NULL),
           ('tags', 0.5, NULL, NULL, NULL, (ARRAY['vip','student','wholesale','press','gift','club','app','store'])
                   [1 + floor(6 * bench_unit(id, 15))::int : 1 + floor(8 * bench_unit(id, 16))::int]),
           ('points', 0.8, floor(1000 * power(bench_unit(id, 17), 4))::numeric, NULL, NULL, NULL)
       ) AS said(key, share, number, text, moment, items)
 WHERE bench_unit(id, 20 + (%(traits)s::jsonb ->> key)::int) < share
"""

PROFILES = """
INSERT INTO profiles_profile (id, uuid, traits, first_seen_at, last_seen_at, created_at)
SELECT id,
       (lpad(to_hex((extract(epoch FROM joined) * 1000)::bigint), 12, '0') || '7' || substr(hash, 1, 3)
           || '8' || substr(hash, 4, 15))::uuid,
       coalesce(traits, '{}'), joined, until, joined
  FROM (SELECT id, joined, until, md5(id::text) AS hash FROM bench_person) AS person
  LEFT JOIN (SELECT id, jsonb_object_agg(key, raw) AS traits FROM bench_trait GROUP BY id) AS said USING (id)
 ORDER BY id
"""

IDENTIFIERS = """
INSERT INTO profiles_identifier (namespace, value, profile_id, first_seen_at, last_seen_at)
SELECT namespace, format(pattern, id), id, joined, until
  FROM bench_person, (VALUES ('user_id', 'user-%%s'), ('email', 'person%%s@example.com')) AS kind(namespace, pattern)
"""

TRAIT_VALUES = """
INSERT INTO profiles_traitvalue
       (trait_id, profile_id, number, text, text_folded, moment, items, raw, occurred_at, message_id)
SELECT (%(traits)s::jsonb ->> key)::bigint, id, number, text, lower(text), moment, items, raw, joined, 'bench-' || id
  FROM bench_trait
"""

# For how many days of a span somebody is there; what they do in it follows from their rate.
THERE = "greatest(0, extract(epoch FROM least(until, %(to)s::timestamptz) - greatest(joined, %(from)s::timestamptz)) / 86400)"
EXPECTED = f"SELECT sum(rate * %(season)s * {THERE}) FROM bench_person"

# In the order of time, as they would have come in: what lies side by side in the table was done by different people.
MONTH = f"""
INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at, amount, currency,
                            value, properties, context)
SELECT at, person, name, type, 'bench-' || number, 1, at + interval '1 second', worth, CASE WHEN worth > 0 THEN 'USD' END, worth,
       CASE WHEN type = 2 THEN jsonb_build_object('path', '/p/' || product, 'referrer', 'https://search.example')
            ELSE jsonb_build_object('product_id', 'p' || product, 'category', (%(categories)s::text[])[1 + product %% 8],
                                    'price', price, 'currency', 'USD', 'gift', product %% 10 = 0)
                 || CASE WHEN name = %(order)s AND bench_unit(person, 51) + bench_unit(number, 50) < 0.6
                         THEN '{{"coupon": "SPRING"}}'::jsonb ELSE '{{}}'::jsonb END END,
       '{{"library": {{"name": "bench", "version": "1"}}, "locale": "en-GB"}}'
  FROM (SELECT *, CASE WHEN name = %(order)s THEN round((price * (1 + 3 * bench_unit(number, 45)))::numeric, 2) END AS worth
          FROM (SELECT drawn.*, (500 * power(bench_unit(number, 44), 2))::int AS product,
                       round((3 + 120 * power(bench_unit(number, 43), 2))::numeric, 2) AS price,
                       kind.name, kind.type
                  FROM (SELECT id AS person, number, buys, bench_unit(number, 42) AS which,
                               greatest(joined, %(from)s::timestamptz) + bench_unit(number, 41)
                                   * (least(until, %(to)s::timestamptz) - greatest(joined, %(from)s::timestamptz)) AS at
                          FROM (SELECT *, floor(rate * %(factor)s * %(season)s * {THERE} + bench_unit(id, 100 + %(month)s))::int
                                          AS many
                                  FROM bench_person) AS active,
                               LATERAL (SELECT (id * 100 + %(month)s) * 100000 + ordinal AS number
                                          FROM generate_series(1, many) AS ordinal) AS each
                         WHERE many > 0) AS drawn
                  JOIN bench_kind AS kind ON drawn.which >= kind.above AND drawn.which < kind.below
                                         AND coalesce(kind.buys = drawn.buys, true)) AS known) AS priced
 ORDER BY at
"""

# Each order is of one product. Nobody sent these rows: they are what settling makes of orders.
LINES = """
INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at, value, properties, context)
SELECT occurred_at, profile_id, %(line)s, %(derived)s, message_id || '/line/0', source_id, received_at, value,
       jsonb_build_object('product_id', properties -> 'product_id', 'category', properties -> 'category', 'quantity', 1), '{}'
  FROM profiles_event
 WHERE name_id = %(order)s AND occurred_at >= %(from)s AND occurred_at < %(to)s
 ORDER BY occurred_at
"""

# Which group a buyer belongs to is drawn, not computed: what is measured is how scores are read.
SCORES = """
INSERT INTO profiles_score (run_id, key, profile_id, number, label)
SELECT %(run)s, 'group', id, NULL, (ARRAY['Champions', 'Loyal', 'Promising', 'At risk', 'Hibernating'])
       [1 + floor(5 * bench_unit(id, 60))::int]
  FROM bench_person WHERE buys
"""

# What an event is, by where its draw falls. Those who never buy look at products instead.
KINDS = """
CREATE UNLOGGED TABLE bench_kind AS
SELECT (%(names)s::jsonb ->> name)::bigint AS name, type::smallint, above, above + share AS below,
       CASE WHEN to_buy THEN true END AS buys
  FROM jsonb_to_recordset(%(bands)s::jsonb) AS band(name text, type int, above float8, share float8, to_buy boolean)
UNION ALL
SELECT (%(names)s::jsonb ->> 'Product Viewed')::bigint, 1, above, above + share, false
  FROM jsonb_to_recordset(%(bands)s::jsonb) AS band(above float8, share float8, to_buy boolean) WHERE to_buy
"""

TOTALS = """
INSERT INTO profiles_eventtotal (profile_id, name_id, count, value_sum, first_at, last_at)
SELECT profile_id, name_id, count(*), coalesce(sum(value), 0), min(occurred_at), max(occurred_at)
  FROM profiles_event GROUP BY profile_id, name_id
"""


def prepare() -> Scale:
    """The scale that BENCH_SCALE names, in this database: as it is when it is whole, else made.

    Raises:
        SystemExit: the database holds something else, or was left half-made.
    """
    scale = SCALES[os.environ.get("BENCH_SCALE", "small")]
    recipe = [
        scale,
        NOW,
        EVENTS,
        TRAITS,
        CATEGORIES,
        SEASONS,
        UNIT,
        PEOPLE,
        TRAITS_SAID,
        PROFILES,
        MONTH,
        KINDS,
        LINES,
        SCORES,
    ]
    made_by = f"{scale.name} {hashlib.sha256(repr(recipe).encode()).hexdigest()}"
    with connections["owner"].cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_scale (made_by text NOT NULL)")
        cursor.execute("SELECT made_by FROM bench_scale")
        if cursor.fetchall() == [(made_by,)]:
            return scale
        cursor.execute("SELECT EXISTS (SELECT FROM profiles_profile)")
        if cursor.fetchone() != (False,):
            raise SystemExit(f"this database holds other people than {scale.name} needs: run it again with FRESH=1")
        _make(cursor, scale)
        cursor.execute("INSERT INTO bench_scale VALUES (%s)", [made_by])
    return scale


def _make(cursor: CursorWrapper, scale: Scale) -> None:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"* {time.monotonic() - began:5.0f} s  {what}", flush=True)

    # Nothing of it is missed if the server is killed: it would be made anew.
    cursor.execute("SET synchronous_commit = off; SET work_mem = '256MB'")
    Workspace.objects.using("owner").update_or_create(pk=1, defaults={"frozen_at": NOW, "is_simulated": True})
    traits = {
        key: Trait.objects.using("owner").create(key=key, label=key.title(), type=kind).pk for key, kind in TRAITS
    }
    names = {
        name: EventName.objects.using("owner").get_or_create(name=name, defaults={"label": name, "type": kind})[0].pk
        for name, kind, _ in EVENTS
    }
    line = EventName.objects.using("owner").get(name=PURCHASED).pk
    params = {"now": NOW, "people": scale.people, "traits": json.dumps(traits), "names": json.dumps(names)}
    say(f"making {scale.people:,} people")
    for statement in (UNIT, PEOPLE, TRAITS_SAID, PROFILES, IDENTIFIERS, TRAIT_VALUES):
        cursor.execute(statement, params)
    cursor.execute("SELECT setval(pg_get_serial_sequence('profiles_profile', 'id'), max(id)) FROM profiles_profile")
    run = ScoreRun.objects.using("owner").create(
        kind="rfm", version="bench", published_at=NOW, is_current=True, keys={"group": ["labels"]}
    )
    cursor.execute(SCORES, {"run": run.pk})
    cursor.execute(KINDS, {**params, "bands": json.dumps(_bands())})
    cursor.execute("ANALYZE bench_person, bench_kind")
    months = _months()
    cursor.execute("SELECT cdp_ensure_event_partitions(%s, %s)", [months[0][0].date(), NOW.date()])
    expected = 0.0
    for (start, end), season in zip(months, SEASONS, strict=True):
        cursor.execute(EXPECTED, {"from": start, "to": end, "season": season})
        expected += float(cursor.fetchone()[0])
    params |= {"factor": scale.events / expected, "order": names["Order Completed"], "categories": CATEGORIES}
    params |= {"line": line, "derived": int(EventType.DERIVED)}
    for number, ((start, end), season) in enumerate(zip(months, SEASONS, strict=True)):
        say(f"making events of {start:%B %Y}")
        span = {"from": start, "to": end, "season": season, "month": number}
        cursor.execute(MONTH, {**params, **span})
        cursor.execute(LINES, {**params, **span})
    say("adding up totals")
    cursor.execute(TOTALS)
    cursor.execute("DROP TABLE bench_person, bench_trait, bench_kind")
    say("vacuuming")
    cursor.execute("VACUUM ANALYZE")
    # The parent of the partitions has statistics of its own, which no partition's ANALYZE makes.
    cursor.execute("ANALYZE profiles_event")
    cursor.execute("SELECT count(*) FROM profiles_event")
    say(f"done: {cursor.fetchone()[0]:,} events")
    cursor.execute("RESET synchronous_commit; RESET work_mem")


def _months() -> list[tuple[datetime, datetime]]:
    """The year before `NOW`, cut where months begin."""
    begin = NOW.replace(year=NOW.year - 1)
    cuts = [
        datetime(begin.year + (begin.month - 1 + n) // 12, (begin.month - 1 + n) % 12 + 1, 1, tzinfo=UTC)
        for n in range(1, 13)
    ]
    edges = [begin, *cuts, NOW]
    return list(pairwise(edges))


def _bands() -> list[dict[str, object]]:
    """Each kind of event with its own band of [0, 1), as wide as its share."""
    shares = accumulate((share for _, _, share in EVENTS), initial=0.0)
    return [
        {"name": name, "type": int(kind), "above": above, "share": share, "to_buy": name.startswith("Order")}
        for (name, kind, share), above in zip(EVENTS, shares, strict=False)
    ]

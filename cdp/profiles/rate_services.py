"""Exchange rates come in, and what was converted by others is converted again.

How an amount is converted is in `cdp.profiles.rates`.
"""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import DomainError, DomainErrors
from cdp.jobs.models import Job
from cdp.jobs.services import enqueue
from cdp.profiles import store, totals
from cdp.profiles.models import DirtyProfile, EventType
from cdp.profiles.orders import NO_RATE
from cdp.profiles.rates import Converter, rates_lock
from cdp.profiles.settling import settle_orders

CONVERT_AGAIN = "profiles.convert_again"
CURRENCY = re.compile(r"[A-Z]{3}")
LARGEST_RATE = Decimal(10) ** 9
PLACES = Decimal("0.0000000001")
COLUMNS = ("currency", "day", "rate")
CHUNK = 1000  # events that are converted again in one transaction
MOST_ERRORS = 20


class Rate(NamedTuple):
    """What one unit of the currency is worth in the reporting currency, from this day on."""

    currency: str
    day: date
    rate: Decimal


class Span(NamedTuple):
    """Days, both included, on which a currency is worth something else now."""

    currency: str
    first: date
    last: date


def read_rates(lines: Iterable[str]) -> list[Rate]:
    """The rates of a CSV file with the columns currency, day and rate.

    Raises:
        DomainErrors: with one error for each line that can't be read (the first twenty); the pointer is the line's number.
    """
    reader = csv.DictReader(lines, restval="")
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise DomainError("wrong_columns", f"The first line must name the columns {', '.join(COLUMNS)}.", "/1")
    rates: list[Rate] = []
    errors: list[DomainError] = []
    for row in reader:
        try:
            rates.append(_read(row))
        except (ValueError, InvalidOperation, TypeError) as error:
            errors.append(DomainError("unreadable_rate", str(error) or "no number", f"/{reader.line_num}"))
            if len(errors) == MOST_ERRORS:
                break
    if errors:
        raise DomainErrors(errors, message="; ".join(map(str, errors)))
    return rates


def _read(row: dict[str, str]) -> Rate:
    currency = row["currency"].strip().upper()
    if not CURRENCY.fullmatch(currency):
        raise ValueError(f"a currency is three letters; received {row['currency']!r}")
    day = date.fromisoformat(row["day"].strip())
    try:
        rate = Decimal(row["rate"].strip())
    except InvalidOperation:
        raise ValueError(f"a rate is a number such as 1.0842; received {row['rate']!r}") from None
    if not rate.is_finite() or not 0 < rate < LARGEST_RATE or rate.quantize(PLACES) == 0:
        raise ValueError(f"a rate lies between 0 and {LARGEST_RATE:,}; received {row['rate']!r}")
    return Rate(currency, day, rate.quantize(PLACES))


@transaction.atomic
def set_rates(*, rates: Sequence[Rate], by: Actor) -> Job | None:
    """The job that converts again what these rates change, or None when each of them was known already."""
    # Of two rates of one day in one list the last holds.
    given = list({(one.currency, one.day): one for one in rates}.values())
    rates_lock(exclusive=True)
    with bound_cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO profiles_exchangerate AS r (currency, day, rate, changed_at)
            SELECT currency, day, rate, now() FROM unnest(%s::text[], %s::date[], %s::numeric[]) AS g(currency, day, rate)
            ON CONFLICT (currency, day) DO UPDATE SET rate = excluded.rate, changed_at = excluded.changed_at
              WHERE r.rate <> excluded.rate
            RETURNING currency, day
            """,
            [[r.currency for r in given], [r.day.isoformat() for r in given], [str(r.rate) for r in given]],
        )
        changed: list[tuple[str, date]] = cursor.fetchall()
    record(by=by, action="rates.set", detail={"given": len(given), "changed": len(changed)})
    if not changed:
        return None
    spans = spans_of(changed)
    params = {"spans": [[span.currency, span.first.isoformat(), span.last.isoformat()] for span in spans]}
    return enqueue(kind=CONVERT_AGAIN, params=params, by=by)


def spans_of(changed: Iterable[tuple[str, date]]) -> list[Span]:
    """The days that rates of these (currency, day) may reach, without overlap."""
    reach = timedelta(days=settings.RATE_DAYS)
    spans: list[Span] = []
    for currency, day in sorted(changed):
        last = spans[-1] if spans else None
        if last and last.currency == currency and day <= last.last + timedelta(days=1):
            spans[-1] = last._replace(last=max(last.last, day + reach))
        else:
            spans.append(Span(currency, day, day + reach))
    return spans


def convert_again(*, spans: Sequence[Span], progress: Callable[[int, int, str], None]) -> int:
    """How many events are worth something else now; their people are evaluated anew soon after.

    Safe to run twice, and beside batches: each step locks its people, and what a batch adds meanwhile has the new rates.
    """
    days = [
        (span.currency, span.first + timedelta(days=n))
        for span in spans
        for n in range((span.last - span.first).days + 1)
    ]
    changed = 0
    for number, (currency, day) in enumerate(days):
        progress(number, len(days), f"{currency}, {day}")
        after = 0
        while found := _events(currency, day, after):
            changed += _convert_chunk([event_id for event_id, _ in found], currency, day)
            after = found[-1][0]
    progress(len(days), len(days), "")
    return changed


def _bounds(day: date) -> tuple[datetime, datetime]:
    midnight = datetime.combine(day, time(), UTC)
    return midnight, midnight + timedelta(days=1)


def _events(currency: str, day: date, after: int) -> list[tuple[int, int]]:
    """(id, profile id) of the next events of the day with an amount in the currency; the primary key leads to the day."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id, profile_id FROM profiles_event WHERE occurred_at >= %s AND occurred_at < %s AND currency = %s"
            " AND amount IS NOT NULL AND id > %s ORDER BY id LIMIT %s",
            [*_bounds(day), currency, after, CHUNK],
        )
        return cursor.fetchall()


@transaction.atomic
def _convert_chunk(event_ids: Sequence[int], currency: str, day: date) -> int:
    since, until = _bounds(day)
    with bound_cursor() as cursor:
        arguments = [since, until, list(event_ids)]
        found = (
            "SELECT id, profile_id, type, order_key, amount FROM profiles_event"
            " WHERE occurred_at >= %s AND occurred_at < %s AND id = ANY(%s::bigint[])"
        )
        people: set[int] = set()
        while True:
            rows = cursor.execute(found, arguments).fetchall()
            moved = {profile_id for _, profile_id, *_ in rows} - people
            if not moved:
                break
            # Whoever was merged away while we waited has followed to somebody whom the next look finds.
            people |= moved
            store.lock_profiles(sorted(people))
        convert = Converter()
        sent = [row for row in rows if row[2] != EventType.DERIVED]
        cursor.execute(
            """
            UPDATE profiles_event e
               SET value = g.value,
                   flags = CASE WHEN g.value IS NULL THEN array_append(array_remove(coalesce(e.flags, '{}'), %(flag)s), %(flag)s)
                                ELSE nullif(array_remove(e.flags, %(flag)s), '{}') END
              FROM unnest(%(ids)s::bigint[], %(values)s::numeric[]) AS g(id, value)
             WHERE e.occurred_at >= %(since)s AND e.occurred_at < %(until)s AND e.id = g.id AND e.value IS DISTINCT FROM g.value
            RETURNING e.profile_id, e.name_id
            """,
            {
                "flag": NO_RATE,
                "ids": [row[0] for row in sent],
                "values": [convert(row[4], currency, day) for row in sent],
                "since": since,
                "until": until,
            },
        )
        worth = cursor.fetchall()
    totals.recount({(profile_id, name_id) for profile_id, name_id in worth if name_id > 0})
    followed = settle_orders({(row[1], row[3]) for row in rows if row[3] is not None}, convert=convert)
    touched = {profile_id for profile_id, _ in worth}.union(*followed.values())
    DirtyProfile.objects.bulk_create(DirtyProfile(profile_id=one, facts={"why": "edit"}) for one in sorted(touched))
    return len(worth)

"""Deletes what is over: events with all that follows from them, traits, scores no longer read, quarantined messages.

Everything of a few people goes in one transaction together with what follows: totals, orders, sessions, when they were seen;
afterwards all is as if what is gone had never been there. So a run may be killed or cancelled anywhere, and run twice. Whose
turn it is, is asked of the data itself, and rules are read anew in each transaction: one that is lengthened meanwhile keeps
what hasn't gone yet. A month's partition that holds nothing any more is dropped.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.db import OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from cdp.accountability import periods
from cdp.accountability.models import Kind, RetentionRun
from cdp.accountability.preview import preview
from cdp.accountability.rules import share_rules
from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.logs import get_logger
from cdp.profiles import session_store, store, totals
from cdp.profiles.models import DirtyProfile, EventName
from cdp.profiles.rates import Converter
from cdp.profiles.score_services import delete_runs
from cdp.profiles.sessions import SESSION_STARTED
from cdp.profiles.settling import settle_orders
from segments.models import ChangeWhy

log = get_logger(__name__)

RETENTION = Actor.system("retention")
# Events are looked for by so many at a time; all that is over of whoever has one of them goes in one transaction.
CHUNK: Final = 500
COUNT_SECONDS: Final = 600
# Months may be dropped once they ended so long ago: younger ones would only be made again.
PAST: Final = timedelta(days=31)

Progress = Callable[[int, int, str], None]


def apply_retention(*, run: RetentionRun, progress: Progress) -> int:
    """How many rows were deleted by this call. The run is complete when it returns.

    Safe to run twice, beside batches, merges and erasures: each transaction locks its people, as all do, in id order.
    """
    total = 0
    with suppress(DomainError):  # a bar without an end is better than nothing deleted
        total = preview(periods.current(), as_of=run.as_of, seconds=COUNT_SECONDS).total
    done = 0
    for phase, step in (("events", _events), ("traits", _traits), ("scores", _scores), ("quarantine", _quarantine)):
        progress(done, total, phase)
        for deleted in step(run):
            done += deleted
            progress(min(done, total), total, phase)
    progress(min(done, total), total, "months that are empty")
    drop_empty_months(run=run)
    RetentionRun.objects.filter(pk=run.pk).update(is_complete=True)
    return done


@transaction.atomic
def put_on_record(*, run: RetentionRun) -> None:
    """Tells the audit log what the run deleted; once, whoever asks, and whether or not it came to its end."""
    run = RetentionRun.objects.select_for_update().get(pk=run.pk)
    if run.ended_at is not None:
        return
    deleted: dict[str, dict[str, int]] = defaultdict(dict)
    for kind, what, month, count in run.deleted.values_list("kind", "what", "month", "count").order_by("what", "month"):
        named = f"{what} {month:%Y-%m}" if kind == Kind.EVENTS else what or kind
        deleted[kind][named] = deleted[kind].get(named, 0) + count
    detail = {
        "as_of": run.as_of.isoformat(),
        "complete": run.is_complete,
        "people": run.people,
        "deleted": deleted,
        "months_dropped": run.months,
    }
    record(by=RETENTION, action="retention.applied", object=run, detail=detail)
    run.ended_at = timezone.now()
    run.save(update_fields=["ended_at"])


# ---- Events ------------------------------------------------------------------------------------------------------

# Superseded ones bear the number with its sign turned. What is derived is left to what follows from the deletion.
NEXT = """
    SELECT occurred_at, profile_id FROM profiles_event
     WHERE name_id = %(name)s AND occurred_at >= %(after)s AND occurred_at < %(until)s AND type <> 7
     ORDER BY occurred_at LIMIT %(limit)s
"""
# The conditions on names and moments bound the scan of the index by person; each row is compared with its own name's.
DELETE = """
    WITH gone AS (
        DELETE FROM profiles_event e USING unnest(%(names)s::int[], %(until)s::timestamptz[]) AS g(name_id, until)
         WHERE e.profile_id = ANY(%(people)s::bigint[]) AND e.name_id = g.name_id AND e.occurred_at < g.until AND e.type <> 7
        RETURNING e.profile_id, e.name_id, e.order_key, e.from_device, e.occurred_at
    )
    SELECT profile_id, name_id, order_key, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date, count(*),
           array_agg(DISTINCT occurred_at) FILTER (WHERE from_device)
      FROM gone GROUP BY 1, 2, 3, 4
"""
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


def _events(run: RetentionRun) -> Iterator[int]:
    """Deletes the events that are over, a few people at a time; gives how many went each time."""
    for name_id in sorted(periods.event_cutoffs(periods.current(), run.as_of)):
        for signed in (name_id, -name_id):
            yield from _events_called(run, signed)


def _events_called(run: RetentionRun, name_id: int) -> Iterator[int]:
    """One pass through them in order of time, and another while passes find some: who merges follows to somebody passed."""
    deleted_in_pass = 1
    while deleted_in_pass:
        deleted_in_pass = 0
        after, before = EARLIEST, None
        while (found := _next_events(run, name_id, after)) and found != before:
            deleted = _delete_events(run, sorted({profile_id for _, profile_id in found}))
            deleted_in_pass += deleted
            after, before = found[-1][0], None if deleted else found
            yield deleted


def _next_events(run: RetentionRun, name_id: int, after: datetime) -> list[tuple[datetime, int]]:
    until = periods.event_cutoffs(periods.current(), run.as_of).get(abs(name_id))
    if until is None:
        return []
    with bound_cursor() as cursor:
        cursor.execute(NEXT, {"name": name_id, "after": after, "until": until, "limit": CHUNK})
        return cursor.fetchall()


@dataclass(slots=True)
class _Gone:
    """What was deleted of some people."""

    count: int = 0
    by_month: Counter[tuple[int, date]] = field(default_factory=Counter)  # event name's number, month
    pairs: set[tuple[int, int]] = field(default_factory=set)  # profile id, event name's number: of what counted
    orders: set[tuple[int, str]] = field(default_factory=set)
    moments: dict[int, set[datetime]] = field(default_factory=lambda: defaultdict(set))  # of devices' events
    people: set[int] = field(default_factory=set)


@transaction.atomic
def _delete_events(run: RetentionRun, profile_ids: Sequence[int]) -> int:
    """All that is over of these people's events, with what follows from it."""
    present = store.lock_profiles(profile_ids)
    share_rules()
    cutoffs = periods.event_cutoffs(periods.current(), run.as_of)
    gone = _take(present, cutoffs)
    if not gone.count:
        return 0
    totals.recount(gone.pairs)
    names = dict(EventName.objects.filter(pk__in={number for number, _ in gone.by_month}).values_list("pk", "name"))
    changed: dict[int, set[str]] = defaultdict(set)
    for profile_id, name_id in gone.pairs:
        changed[profile_id].add(names[name_id])
    followed = settle_orders(gone.orders, convert=Converter())
    for name, people in {**followed, SESSION_STARTED: session_store.shrink_sessions(gone.moments)}.items():
        for profile_id in people:
            changed[profile_id].add(name)
    store.rebuild_moments(sorted(gone.people))
    # Where only superseded versions went, nothing counts otherwise, and nobody need be judged.
    _judge_anew("events", changed)
    RetentionRun.objects.filter(pk=run.pk).update(people=F("people") + len(gone.people))
    _count(run, Kind.EVENTS, {(names[number], month): count for (number, month), count in gone.by_month.items()})
    return gone.count


def _take(people: Sequence[int], cutoffs: Mapping[int, datetime]) -> _Gone:
    gone = _Gone()
    with bound_cursor() as cursor:
        cursor.execute(
            DELETE,
            {
                "people": list(people),
                "names": [*cutoffs, *(-name_id for name_id in cutoffs)],
                "until": [*cutoffs.values(), *cutoffs.values()],
            },
        )
        for profile_id, name_id, order_key, month, count, moments in cursor.fetchall():
            gone.count += count
            gone.people.add(profile_id)
            gone.by_month[abs(name_id), month] += count
            if name_id > 0:
                gone.pairs.add((profile_id, name_id))
            if order_key is not None:
                gone.orders.add((profile_id, order_key))
            if moments:
                gone.moments[profile_id] |= set(moments)
    return gone


# ---- The other kinds ---------------------------------------------------------------------------------------------

NEXT_VALUES = """
    SELECT profile_id FROM profiles_traitvalue
     WHERE trait_id = %(trait)s AND profile_id > %(after)s AND occurred_at < %(until)s
     ORDER BY profile_id LIMIT %(limit)s
"""


def _traits(run: RetentionRun) -> Iterator[int]:
    """Deletes values that nobody has repeated since their category's time is over."""
    for trait_id in sorted(periods.trait_cutoffs(periods.current(), run.as_of)):
        after = 0
        while found := _next_values(run, trait_id, after):
            yield _delete_values(run, trait_id, found)
            after = found[-1]
        _forget_removals(run, trait_id)


def _next_values(run: RetentionRun, trait_id: int, after: int) -> list[int]:
    until = periods.trait_cutoffs(periods.current(), run.as_of).get(trait_id)
    if until is None:
        return []
    with bound_cursor() as cursor:
        cursor.execute(NEXT_VALUES, {"trait": trait_id, "after": after, "until": until, "limit": CHUNK})
        return [profile_id for (profile_id,) in cursor.fetchall()]


@transaction.atomic
def _delete_values(run: RetentionRun, trait_id: int, profile_ids: Sequence[int]) -> int:
    present = store.lock_profiles(profile_ids)
    share_rules()
    until = periods.trait_cutoffs(periods.current(), run.as_of).get(trait_id)
    if until is None:
        return 0
    with bound_cursor() as cursor:
        cursor.execute(
            "DELETE FROM profiles_traitvalue v USING profiles_trait t WHERE t.id = v.trait_id AND v.trait_id = %s"
            " AND v.profile_id = ANY(%s::bigint[]) AND v.occurred_at < %s RETURNING v.profile_id, t.key, t.category",
            [trait_id, list(present), until],
        )
        gone = cursor.fetchall()
    if not gone:
        return 0
    store.rebuild_read_model([profile_id for profile_id, *_ in gone])
    _judge_anew("traits", {profile_id: {key} for profile_id, key, _ in gone})
    _count(run, Kind.TRAITS, {(gone[0][2], _month_of(run)): len(gone)})
    return len(gone)


@transaction.atomic
def _forget_removals(run: RetentionRun, trait_id: int) -> None:
    """That a trait was taken away is remembered for as long as a value that comes late would be kept."""
    share_rules()
    until = periods.trait_cutoffs(periods.current(), run.as_of).get(trait_id)
    if until is not None:
        with bound_cursor() as cursor:
            cursor.execute(
                "DELETE FROM profiles_traitremoval WHERE trait_id = %s AND occurred_at < %s", [trait_id, until]
            )


def _scores(run: RetentionRun) -> Iterator[int]:
    """Deletes runs that are over with their scores. The one that is read stays until another is published."""
    yield _delete_runs(run)


@transaction.atomic
def _delete_runs(run: RetentionRun) -> int:
    share_rules()
    days = periods.current().days_for(Kind.SCORES)
    if days is None:
        return 0
    until = periods.cutoff(run.as_of, days)
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id, kind FROM profiles_scorerun WHERE NOT is_current AND coalesce(published_at, created_at) < %s"
            " ORDER BY id FOR UPDATE",
            [until],
        )
        over = cursor.fetchall()
        if not over:
            return 0
        ids = [run_id for run_id, _ in over]
        delete_runs(ids)
    _count(run, Kind.SCORES, {(kind, _month_of(run)): n for kind, n in Counter(kind for _, kind in over).items()})
    return len(over)


def _quarantine(run: RetentionRun) -> Iterator[int]:
    """Deletes quarantined messages, whether or not somebody has looked at them."""
    while deleted := _delete_quarantined(run):
        yield deleted


@transaction.atomic
def _delete_quarantined(run: RetentionRun) -> int:
    share_rules()
    days = periods.current().days_for(Kind.QUARANTINE)
    if days is None:
        return 0
    with bound_cursor() as cursor:
        cursor.execute(
            "DELETE FROM ingestion_quarantined WHERE id = ANY(ARRAY("
            "  SELECT id FROM ingestion_quarantined WHERE quarantined_at < %s LIMIT %s FOR UPDATE SKIP LOCKED))",
            [periods.cutoff(run.as_of, days), CHUNK],
        )
        deleted = cursor.rowcount
    if deleted:
        _count(run, Kind.QUARANTINE, {("", _month_of(run)): deleted})
    return deleted


# ---- What they share ---------------------------------------------------------------------------------------------


def _judge_anew(fact: str, changed: Mapping[int, set[str]]) -> None:
    """Has the evaluator judge these people by the rules that ask for what changed: time passed, and something is over."""
    DirtyProfile.objects.bulk_create(
        DirtyProfile(profile_id=profile_id, facts={"why": ChangeWhy.TIME.value, fact: sorted(names)})
        for profile_id, names in sorted(changed.items())
    )


def _count(run: RetentionRun, kind: Kind, counts: Mapping[tuple[str, date], int]) -> None:
    """Adds to what the run has deleted, in the transaction that deletes it."""
    ordered = sorted(counts)
    with bound_cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO accountability_deleted AS d (run_id, kind, what, month, count)
            SELECT %s, %s, what, month, count FROM unnest(%s::text[], %s::date[], %s::bigint[]) AS g(what, month, count)
            ON CONFLICT (run_id, kind, what, month) DO UPDATE SET count = d.count + excluded.count
            """,
            [
                run.pk,
                kind.value,
                [what for what, _ in ordered],
                [month.isoformat() for _, month in ordered],
                [counts[one] for one in ordered],
            ],
        )


def _month_of(run: RetentionRun) -> date:
    return run.as_of.astimezone(UTC).date().replace(day=1)


def drop_empty_months(*, run: RetentionRun) -> list[str]:
    """Drops the partitions of past months that hold no event any more; the function that does it looks itself.

    It needs all of the table for a moment. Where batches don't leave it that in two seconds it is left for another night.
    """
    dropped: list[str] = []
    for month in _empty_months():
        try:
            with transaction.atomic(), bound_cursor() as cursor:
                cursor.execute("SELECT cdp_drop_event_month(%s::date)", [month.isoformat()])
                if cursor.fetchall()[0][0]:
                    dropped.append(f"{month:%Y-%m}")
                    RetentionRun.objects.filter(pk=run.pk).update(months=[*run.months, *dropped])
        except OperationalError as error:
            log.warning("month_not_dropped", month=f"{month:%Y-%m}", reason=type(error).__name__)
    return dropped


def _empty_months() -> list[date]:
    """Months past, of which the partition has no row."""
    now = timezone.now()
    found = []
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'profiles_event'::regclass AND c.relname ~ '^profiles_event_[0-9]{4}_[0-9]{2}$' ORDER BY 1"
        )
        for (name,) in cursor.fetchall():
            month = datetime(int(name[-7:-3]), int(name[-2:]), 1, tzinfo=UTC)
            after = (month + timedelta(days=32)).replace(day=1)
            if after > now - PAST:
                continue
            cursor.execute(
                "SELECT NOT EXISTS (SELECT FROM profiles_event WHERE occurred_at >= %s AND occurred_at < %s)",
                [month, after],
            )
            if cursor.fetchall()[0][0]:
                found.append(month.date())
    return found

"""Keeping members in line with time, without recomputing the world.

Events are judged as they come. Between two sweeps time alone can only change people near an edge of one of the rule's
windows: a range of an index per leaf finds them (`segments.rules.edges`), and the rule is evaluated for just those.

A sweep's findings are candidates only. Who disagrees with the rule is locked, in id order, and judged again as of a
moment taken after that, as in a batch of events; so no newer verdict is overwritten and none is written of old facts.
Nothing looks behind a verdict that isn't committed yet: a batch that took its moment before this sweep and commits
after it is seen by the next one, which looks back as far as a batch may last (`settings.BATCH_SECONDS`).
"""

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg.errors import TransactionTimeout

from cdp.audit import SYSTEM
from cdp.database import bound_cursor, limit_statements
from cdp.logs import get_logger
from cdp.profiles import store
from cdp.profiles.models import Workspace
from segments.evaluation import FAILED, Facts, disagreeing, evaluate
from segments.live import LiveRule, LiveRules, flag_broken, live_rules, rules_lock, rules_now
from segments.models import ChangeWhy, Segment, SweepState
from segments.moments import moment_of_judgement, moment_of_writing
from segments.rules import Span
from segments.schedule import sweep_is_due
from segments.services import request_refresh
from segments.turning import Turnings

log = get_logger(__name__)

SWEEP_LOCK = 7305005
CHUNK = 5000


@dataclass(slots=True)
class Swept:
    """What one look at what is due came to."""

    segments: int = 0
    candidates: int = 0
    entered: int = 0
    exited: int = 0
    # Of segments in which somebody was due to change: how long after that it was noticed, at worst, in seconds.
    late_by: float = 0.0


def never() -> bool:
    return False


def sweep_due(*, is_stopping: Callable[[], bool] = never, everything: bool = False) -> Swept:
    """Sweeps what its cadence says is due, up to now. Several processes may do so; each segment is one's at a time.

    Args:
        is_stopping: asked between steps; what was done until then is kept, and the rest is found due again.
        everything: whatever its cadence.
    """
    workspace = Workspace.current()
    rules = rules_now()
    now = moment_of_judgement(workspace)
    done = Swept()
    for due_since, group in _due(rules, workspace, now, everything=everything):
        with _mine([rule.segment_id for rule in group]) as mine:
            # Another sweeper may have been there between our look and our lock.
            still = _states([rule for rule in group if rule.segment_id in mine])
            ours = [rule for rule in group if rule.segment_id in still and still[rule.segment_id].swept_to == due_since]
            try:
                _sweep_together(ours, rules, due_since, now, done, is_stopping)
            except DatabaseError as error:
                _raise_unless_of_a_rule(error)
                # One rule's failure is nobody else's.
                for rule in ours:
                    _sweep_alone(rule, rules, now, done, is_stopping)
        if is_stopping():
            break
    return done


def _sweep_together(
    ours: Sequence[LiveRule],
    rules: LiveRules,
    due_since: datetime,
    now: datetime,
    done: Swept,
    is_stopping: Callable[[], bool],
) -> None:
    since: datetime | None = due_since
    while ours and since is not None and since < now and not is_stopping():
        since = _sweep_slice(ours, rules, since, now, done, is_stopping)
    done.segments += len(ours)


def _sweep_alone(
    rule: LiveRule,
    rules: LiveRules,
    now: datetime,
    done: Swept,
    is_stopping: Callable[[], bool],
) -> None:
    """A rule that fails is flagged, and its members stay as they are."""
    state = _states([rule]).get(rule.segment_id)
    since = state.swept_to if state else now
    try:
        _sweep_together([rule], rules, since, now, done, is_stopping)
    except DatabaseError as error:
        _raise_unless_of_a_rule(error)
        log.error("edges_failed", segment_id=rule.segment_id, reason=type(error).__name__)
        flag_broken(rule.segment_id, FAILED)


def _raise_unless_of_a_rule(error: DatabaseError) -> None:
    if isinstance(error, OperationalError) or isinstance(error.__cause__, TransactionTimeout):
        raise error


def _refresh_instead(segment_id: int, state: "_State", now: datetime) -> None:
    """A new kind of condition may not say yet when its edges pass. Rules with one are refreshed in full, at their pace."""
    if now - state.swept_to >= timedelta(minutes=state.refresh_minutes):
        request_refresh(segment=Segment.objects.get(pk=segment_id), by=SYSTEM)


def _due(
    rules: LiveRules, workspace: Workspace, now: datetime, *, everything: bool
) -> Iterator[tuple[datetime, list[LiveRule]]]:
    """Rules to sweep, together those that were swept up to the same moment; the least behind come first.

    Where a frozen clock was turned back, sweeps can't follow: those segments are left to a full refresh.
    """
    by_segment = {rule.segment_id: rule for level in rules.levels for rule in level}
    states = _states(list(by_segment.values()))
    if workspace.frozen_at is not None and (ahead := [pk for pk, state in states.items() if state.swept_to > now]):
        SweepState.objects.filter(pk__in=ahead, swept_to__gt=now).delete()
        log.warning("clock_turned_back", segments=len(ahead))
    groups: dict[datetime, list[LiveRule]] = {}
    for segment_id, state in states.items():
        rule = by_segment[segment_id]
        if not rules.queries.have_edges(rule.leaves):
            _refresh_instead(segment_id, state, now)
        elif state.swept_to < now and (
            everything or sweep_is_due(state, swept_to=state.swept_to, now=now, zone=workspace.time_zone)
        ):
            groups.setdefault(state.swept_to, []).append(rule)
    yield from sorted(groups.items(), key=lambda group: group[0], reverse=True)


class _State(NamedTuple):
    """Up to when a rule was swept, and how often its segment wants it."""

    swept_to: datetime
    cadence: str
    refresh_minutes: int
    daily_hour: int


def _states(rules: Sequence[LiveRule]) -> dict[int, _State]:
    """By segment id, in that order; without those that wait for a full refresh."""
    if not rules:
        return {}
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT s.segment_id, s.swept_to, f.cadence, f.refresh_minutes, f.daily_hour FROM segments_sweepstate s"
            "  JOIN unnest(%s::bigint[], %s::bigint[]) AS g(segment_id, version_id) USING (segment_id, version_id)"
            "  JOIN segments_segment f ON f.id = s.segment_id"
            " WHERE s.time_zone IN (SELECT time_zone FROM profiles_workspace) ORDER BY 1",
            [[rule.segment_id for rule in rules], [rule.version_id for rule in rules]],
        )
        return {segment_id: _State(*state) for segment_id, *state in cursor.fetchall()}


@contextmanager
def _mine(segment_ids: Sequence[int]) -> Iterator[set[int]]:
    """Those of the segments that no other process sweeps; nobody else will until this ends, or this process does."""
    wanted = sorted(segment_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM unnest(%s::int[]) AS id WHERE pg_try_advisory_lock(%s, id)", [wanted, SWEEP_LOCK]
        )
        mine = {row[0] for row in cursor.fetchall()}
    try:
        yield mine
    finally:
        # A connection that is lost has lost its locks.
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_unlock(%s, id) FROM unnest(%s::int[]) AS id", [SWEEP_LOCK, sorted(mine)]
                )


def _sweep_slice(
    ours: Sequence[LiveRule],
    rules: LiveRules,
    since: datetime,
    now: datetime,
    done: Swept,
    is_stopping: Callable[[], bool],
) -> datetime | None:
    """Up to when the rules are swept after one slice of the time from ``since`` to ``now``; None when they no longer can be.

    People are judged as of the present, however old the slice: their present verdict is the right one, whatever edges of
    theirs later slices find.
    """
    until = min(now, since + timedelta(seconds=settings.SWEEP_SLICE_SECONDS))
    low = since - timedelta(seconds=settings.BATCH_SECONDS)
    leaves = {leaf: None for rule in ours for leaf in rule.leaves}
    with transaction.atomic():
        limit_statements(seconds=settings.LOOK_SECONDS)
        touched = rules.queries.touched(leaves, Span(after=low, until=until, zone=now.tzinfo))
    starts = _chunks([ids for arrays in touched.values() for ids in arrays])
    done.candidates += starts.people
    for number, (first, last) in enumerate(starts.bounds):
        is_last = number == len(starts.bounds) - 1
        demanded: dict[int, set[int]] = {}
        for rule in ours:
            found = set[int]()
            for ids in chain.from_iterable(touched[leaf] for leaf in rule.leaves):
                found.update(ids[bisect_left(ids, first) : bisect_right(ids, last)])
            if found:
                demanded[rule.segment_id] = found
        if not _judge(demanded, ours, low, (since, until) if is_last else None, done):
            return None
        if is_stopping():
            return None
    if not starts.bounds:
        return until if _advance(ours, since, until) else None
    return until


@dataclass(frozen=True, slots=True)
class _Chunks:
    """How many people there are, and the first and last id of each chunk of them."""

    people: int
    bounds: list[tuple[int, int]]


def _chunks(arrays: Sequence["array[int]"]) -> _Chunks:
    different = {id(ids): ids for ids in arrays}  # leaves share them
    everybody = array("q", sorted(set().union(*different.values())))
    bounds = [
        (everybody[start], everybody[min(start + CHUNK, len(everybody)) - 1])
        for start in range(0, len(everybody), CHUNK)
    ]
    return _Chunks(len(everybody), bounds)


def _judge(
    demanded: Mapping[int, set[int]],
    ours: Sequence[LiveRule],
    low: datetime,
    span: tuple[datetime, datetime] | None,
    done: Swept,
) -> bool:
    """Judges the candidates, and with the last of them takes the slice for swept. False when a rule isn't as it was.

    First without any lock: nearly all of them agree with their memberships, and should keep nobody waiting.
    """
    with transaction.atomic():
        rules_lock(exclusive=False)
        limit_statements(seconds=settings.LOOK_SECONDS)
        rules = live_rules()
        if not _are_current(ours, rules):
            return False
        differ = disagreeing(demanded, rules, as_of=moment_of_judgement())
    with transaction.atomic():
        if differ:
            present = set(store.lock_profiles(sorted(set().union(*differ.values()))))
            rules_lock(exclusive=False)
            rules = live_rules()
            if not _are_current(ours, rules):
                return False
            as_of = moment_of_writing()
            turnings = Turnings(rules, since=_since(ours, rules, low), as_of=as_of)
            changes = evaluate(
                Facts(demanded={pk: ids & present for pk, ids in differ.items()}),
                rules,
                as_of=as_of,
                why=ChangeWhy.TIME,
                became_true=turnings,
            )
            done.entered += changes.entered.total()
            done.exited += changes.exited.total()
            done.late_by = max(done.late_by, turnings.late_by)
        return span is None or _advance(ours, *span)


def _are_current(ours: Sequence[LiveRule], rules: LiveRules) -> bool:
    """Whether all of the rules are still live. If not, those that are will be found due again."""
    live = {rule.version_id for level in rules.levels for rule in level}
    return all(rule.version_id in live for rule in ours)


def _since(ours: Sequence[LiveRule], rules: LiveRules, low: datetime) -> dict[int, datetime]:
    """By segment id, from when on edges may have made a difference that nobody has noticed yet.

    Rules that read ours are evaluated along with them, and may be further behind.
    """
    overlap = timedelta(seconds=settings.BATCH_SECONDS)
    # Those of the first level read none.
    readers = _states([rule for level in rules.levels[1:] for rule in level])
    return {pk: state.swept_to - overlap for pk, state in readers.items()} | {rule.segment_id: low for rule in ours}


def _advance(ours: Sequence[LiveRule], since: datetime, until: datetime) -> bool:
    """Takes the rules for swept up to then, in the transaction that wrote what came of it. False if one no longer can be."""
    with bound_cursor() as cursor:
        cursor.execute(
            "UPDATE segments_sweepstate s SET swept_to = %(until)s FROM ("
            "  SELECT t.segment_id FROM segments_sweepstate t"
            "    JOIN unnest(%(segments)s::bigint[], %(versions)s::bigint[]) AS g(segment_id, version_id)"
            "         USING (segment_id, version_id)"
            "   WHERE t.swept_to = %(since)s ORDER BY t.segment_id FOR UPDATE OF t) mine"
            " WHERE s.segment_id = mine.segment_id",
            {
                "until": until,
                "since": since,
                "segments": [rule.segment_id for rule in ours],
                "versions": [rule.version_id for rule in ours],
            },
        )
        return cursor.rowcount == len(ours)


def run_once(*, is_stopping: Callable[[], bool] = never) -> Swept:
    """One look at what is due, on record in the log when it did something."""
    began = time.monotonic()
    swept = sweep_due(is_stopping=is_stopping)
    if swept.entered or swept.exited:
        log.info(
            "swept",
            segments=swept.segments,
            candidates=swept.candidates,
            entered=swept.entered,
            exited=swept.exited,
            late_by_seconds=round(swept.late_by, 1),
            milliseconds=round((time.monotonic() - began) * 1000),
        )
    return swept

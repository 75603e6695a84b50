"""Bringing a segment's members in line with its rule as of now.

What a rule would give is shown by `segments.previews`.

A refresh asks the database who disagrees, once, and then judges just those again under lock: between asking and
locking a newer event may have come, and its verdict must not be overwritten.
"""

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from cdp.audit import SYSTEM
from cdp.audit.services import record
from cdp.database import limit_statements
from cdp.errors import Conflict
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import Progress
from cdp.logs import get_logger
from cdp.profiles import store
from cdp.profiles.models import DirtyProfile, Workspace
from segments.catalogue import catalog
from segments.engines import postgres
from segments.evaluation import FAILED, Difference, Facts, Moments, evaluate
from segments.feed import wait_for_the_sequencer
from segments.live import LiveRule, flag_broken, live_rules, refuse_unless_live, rules_lock, rules_now
from segments.models import ChangeKind, ChangeWhy, DriftCheck, RefreshStart, Segment
from segments.moments import moment_of_judgement, moment_of_writing
from segments.querysets import sweep_states
from segments.rules import RuleErrors, Span
from segments.rules.measures import zone_name
from segments.schedule import last_time_of_day
from segments.services import REFRESH_KIND, request_refresh
from segments.thresholds import are_marked
from segments.turning import Turnings, in_order_of_reading

log = get_logger(__name__)

CHUNK = 5000
PAUSE_AFTER_FAILURE = timedelta(minutes=10)
SEGMENT_LOCK = 7305003
WAIT_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    as_of: datetime
    entered: int
    exited: int
    members: int


@contextmanager
def segment_lock(segment: Segment, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Only one refresh of a segment at a time, wherever it was started; the next one waits for its turn.

    It waits rather than fails: the one that runs may be of an older version, or of a worker that was killed and whose
    last statement the server has not noticed to be nobody's. ``waiting`` is called now and then, and may raise.
    """
    while not _asked("SELECT pg_try_advisory_lock(%s, %s)", segment):
        waiting()
        time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        _asked("SELECT pg_advisory_unlock(%s, %s)", segment)


def _asked(question: str, segment: Segment) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(question, [SEGMENT_LOCK, segment.pk])
        return bool(cursor.fetchone()[0])


def refresh(*, segment: Segment, progress: Progress, why: ChangeWhy = ChangeWhy.TIME) -> Refreshed:
    """What the refresh changed. Safe to stop anywhere and to run again.

    Members whom events and sweeps have kept in line so far are compared too: whoever changes although no edge of theirs
    has just passed is drift, which is put on record.

    Raises:
        Conflict: the segment isn't live, or it is broken: then its members stay as they are.
    """
    with segment_lock(segment, waiting=lambda: progress(0, 0, "waiting for another refresh")):
        rule = _rule_of(segment)
        token = note_start(rule)
        kept_to = swept_to(rule)
        began = moment_of_judgement()
        progress(0, 0, "finding who enters and who leaves")
        ids = _who_disagrees(segment, rule, began)
        entered = exited = missing = extra = 0
        for start in range(0, len(ids), CHUNK):
            progress(start, len(ids), "entering and leaving")
            changes = _judge_again(segment, rule.version_id, ids[start : start + CHUNK].tolist(), why, kept_to)
            if changes is None:
                _rule_of(
                    segment
                )  # says so if it was put away or broke; else a new version is live, with its own refresh
                break
            entered, exited = entered + changes.entered, exited + changes.exited
            missing, extra = missing + changes.missing, extra + changes.extra
        else:
            progress(len(ids), len(ids), "done")
            Segment.objects.filter(pk=segment.pk, live_version=rule.version_id).update(last_refreshed_at=timezone.now())
            # What came between a start that was taken back and now would look like drift.
            if mark_swept(rule, began, token) and kept_to is not None and why == ChangeWhy.TIME:
                record_check(segment=segment, version_id=rule.version_id, as_of=began, missing=missing, extra=extra)
        return Refreshed(as_of=began, entered=entered, exited=exited, members=segment.memberships.count())


def _rule_of(segment: Segment) -> LiveRule:
    segment.refresh_from_db()
    refuse_unless_live(segment)
    rules = rules_now()
    rule = rules.by_segment(segment.pk)
    if rule is None:
        segment.refresh_from_db()
        reason = segment.broken_reason or rules.frozen.get(segment.pk, FAILED)
        raise Conflict("segment_broken", f"“{segment.name}” can't be evaluated. {reason}.")
    return rule


def _who_disagrees(segment: Segment, rule: LiveRule, as_of: datetime) -> "array[int]":
    """Ids of the people whose membership disagrees with the rule; a rule that fails is flagged."""
    try:
        with transaction.atomic():
            limit_statements(seconds=settings.REFRESH_SECONDS)
            return postgres.difference(rule.rule, catalog(), segment_id=segment.pk, as_of=as_of)
    except OperationalError:
        raise  # the server went or was too slow; the rule is not to blame
    except DatabaseError as error:
        flag_broken(segment.pk, FAILED)
        raise Conflict("segment_broken", f"“{segment.name}” can't be evaluated. {FAILED}.") from error
    except RuleErrors as error:  # what it reads broke just now
        raise Conflict("segment_broken", f"“{segment.name}” can't be evaluated. {error.errors[0]}.") from error


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What became of those who disagreed. Of the changes, `missing` and `extra` are those that nothing explains."""

    entered: int
    exited: int
    missing: int = 0
    extra: int = 0


@transaction.atomic
def _judge_again(
    segment: Segment, version_id: int, ids: list[int], why: ChangeWhy, kept_to: datetime | None
) -> _Judged | None:
    present = set(store.lock_profiles(ids))
    rules_lock(exclusive=False)
    rules = live_rules()
    rule = rules.by_segment(segment.pk)
    if rule is None or rule.version_id != version_id:
        return None
    as_of = moment_of_writing()
    # Members of whom nothing is left have no verdict. Whoever merged them away has said so by a dirty row, and the
    # evaluator ends and announces their memberships.
    facts = Facts(demanded={segment.pk: present})
    # Where it isn't said when time changes a condition, time may have done whatever is found; and so may a threshold
    # that has moved, until it is known whom that concerns.
    is_explained = rules.queries.have_edges(rule.leaves) and are_marked(rule.depends_on.rankings)
    if kept_to is None or not is_explained:
        changes = evaluate(facts, rules, as_of=as_of, why=why)
        return _Judged(entered=changes.entered[segment.pk], exited=changes.exited[segment.pk])
    since = kept_to - timedelta(seconds=settings.BATCH_SECONDS)
    turnings = Turnings(rules, since={segment.pk: since}, as_of=as_of)
    changed: dict[ChangeKind, set[int]] = {ChangeKind.ENTERED: set(), ChangeKind.EXITED: set()}

    def became_true(differences: Sequence[Difference]) -> Moments:
        for one, profile_id, kind in differences:
            if one is rule:
                changed[kind].add(profile_id)
        return turnings(differences)

    changes = evaluate(facts, rules, as_of=as_of, why=why, became_true=became_true)
    different = set[int]().union(*changed.values())
    span = Span(after=since, until=as_of, zone=as_of.tzinfo)
    touched = rules.queries.touched(rule.leaves, span, scope=different)
    # Who waits to be judged again would be in line in a moment.
    waiting = DirtyProfile.objects.filter(profile_id__in=different).values_list("profile_id", flat=True)
    explained = set(waiting).union(*chain.from_iterable(touched.values()))
    return _Judged(
        entered=changes.entered[segment.pk],
        exited=changes.exited[segment.pk],
        missing=len(changed[ChangeKind.ENTERED] - explained),
        extra=len(changed[ChangeKind.EXITED] - explained),
    )


# ---- What keeps members in line between refreshes -------------------------------------------------------------


def swept_to(rule: LiveRule) -> datetime | None:
    """Up to when time's passing is in its members; None when only a full refresh can say who belongs."""
    return sweep_states().filter(pk=rule.segment_id, version=rule.version_id).values_list("swept_to", flat=True).first()


@transaction.atomic
def note_start(rule: LiveRule) -> UUID:
    """A token of a full refresh that begins now. Whatever ends sweeps takes it back, and then `mark_swept` does nothing."""
    rules_lock(exclusive=False)
    token = uuid4()
    if (current := live_rules().by_segment(rule.segment_id)) is not None and current.version_id == rule.version_id:
        RefreshStart.objects.update_or_create(pk=rule.segment_id, defaults={"token": token})
    return token


@transaction.atomic
def mark_swept(rule: LiveRule, moment: datetime, start: UUID) -> bool:
    """Lets sweeps go on from this moment, at which a full refresh found who belongs; False when the rule broke, or was paused
    or set live anew meanwhile, or one that it reads was.

    Args:
        moment: in the time zone by whose calendar it was found.
        start: the token of that refresh.
    """
    rules_lock(exclusive=False)
    rules = live_rules()
    current = rules.by_segment(rule.segment_id)
    if current is None or current.version_id != rule.version_id:
        return False
    reads = [one.key for one in in_order_of_reading(current, rules)]
    # It counts members in the same rows, in whatever order changes came.
    wait_for_the_sequencer()
    with connection.cursor() as cursor:
        # Whoever flags one of them as broken does so in its row, and waits for us or has us see it.
        cursor.execute("SELECT FROM segments_segment WHERE key = ANY(%s) ORDER BY id FOR SHARE", [reads])
        if live_rules().by_segment(rule.segment_id) is None:
            return False
        if not RefreshStart.objects.select_for_update().filter(pk=rule.segment_id, token=start).exists():
            return False
        cursor.execute(
            "INSERT INTO segments_sweepstate AS s (segment_id, version_id, time_zone, swept_to) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (segment_id) DO UPDATE SET version_id = excluded.version_id, time_zone = excluded.time_zone,"
            "   swept_to = CASE (s.version_id, s.time_zone) WHEN (excluded.version_id, excluded.time_zone)"
            "              THEN greatest(s.swept_to, excluded.swept_to) ELSE excluded.swept_to END",
            [rule.segment_id, rule.version_id, zone_name(moment), moment],
        )
    return True


@transaction.atomic
def record_check(*, segment: Segment, version_id: int, as_of: datetime, missing: int, extra: int) -> None:
    """Keeps what a full refresh found; drift goes into the audit log, too, and is shouted."""
    DriftCheck.objects.create(segment=segment, version_id=version_id, as_of=as_of, missing=missing, extra=extra)
    horizon = timezone.now() - timedelta(days=settings.DRIFT_DAYS)
    DriftCheck.objects.filter(segment=segment, checked_at__lt=horizon).delete()
    if missing or extra:
        detail = {"as_of": as_of.isoformat(), "missing": missing, "extra": extra}
        record(by=SYSTEM, action="segment.drifted", object=segment, detail=detail)
        log.error("segment_drifted", segment_id=segment.pk, missing=missing, extra=extra)


def request_due_refreshes() -> int:
    """How many full refreshes were asked for: of segments that nothing else can bring in line, and nightly of all.

    Where time stands still, its passing changes nothing, so there are no nights.
    """
    workspace = Workspace.current()
    rules = rules_now()
    now = timezone.now()
    live = Segment.objects.filter(pk__in=rules.segment_ids)
    swept = Q(sweep_state__version=F("live_version"), sweep_state__time_zone=workspace.time_zone)
    due = ~swept
    if workspace.frozen_at is None:
        night = last_time_of_day(now, hour=settings.NIGHTLY_HOUR, zone=workspace.time_zone)
        due |= Q(last_refreshed_at__isnull=True) | Q(last_refreshed_at__lt=night)
    asked = 0
    for segment in live.filter(due):
        if not _failed_lately(segment, now):
            request_refresh(segment=segment, by=SYSTEM)
            asked += 1
    return asked


def _failed_lately(segment: Segment, now: datetime) -> bool:
    """Whether its newest refresh came to nothing just now: asked for at every look, it would do nothing else."""
    newest = Job.objects.filter(kind=REFRESH_KIND, params__segment=segment.pk).order_by("-created_at").first()
    return (
        newest is not None
        and newest.state in (JobState.FAILED, JobState.CANCELLED)
        and newest.created_at > now - PAUSE_AFTER_FAILURE
    )

"""Bringing a segment's members in line with its rule as of now, and showing beforehand what a rule would give.

A refresh asks the database who disagrees, once, and then judges just those again under lock: between asking and
locking a newer event may have come, and its verdict must not be overwritten.
"""

import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import F, Q, Value
from django.utils import timezone

from cdp.audit import SYSTEM, Actor
from cdp.audit.services import record
from cdp.database import snapshot
from cdp.errors import Conflict
from cdp.jobs.services import Progress
from cdp.profiles import store
from cdp.profiles.models import Profile, Workspace
from consent.models import Purpose
from consent.querysets import permitted
from segments.catalogue import catalog
from segments.engines import postgres
from segments.evaluation import FAILED, Facts, evaluate
from segments.live import LiveRule, LiveRules, flag_broken, live_rules, rules_lock
from segments.models import ChangeWhy, Segment, SegmentStatus
from segments.personal import without_values
from segments.rules import RuleErrors, describe, load
from segments.rules.errors import pointer
from segments.rules.explain import nodes
from segments.services import request_refresh

CHUNK = 5000
MINUTE = Value(timedelta(minutes=1))
SEGMENT_LOCK = 7305003
WAIT_SECONDS = 0.25
PREVIEW_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Part:
    """A group or condition of a rule, and of how many people it is true by itself."""

    pointer: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a rule would give now: an exact count, its share of everybody, and some of the people."""

    as_of: datetime
    count: int
    of: int
    sample: list[Profile]
    sentence: str
    # Of how many each group and condition is true, in the order of the document; None where nobody asked.
    parts: list[Part] | None = None

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    as_of: datetime
    entered: int
    exited: int
    members: int


def moment_of_judgement(workspace: Workspace | None = None) -> datetime:
    """Now by the database's clock, which all processes share; or the moment at which the workspace stands still.

    It comes in the workspace's time zone, by whose calendar rules mean "today" and "this month".
    """
    workspace = workspace or Workspace.current()
    now = workspace.frozen_at
    if now is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            now = cursor.fetchone()[0]
    return now.astimezone(workspace.zone)


def preview(
    *, rule: Any, purpose: Purpose, sample_size: int = 10, as_of: datetime | None = None, with_parts: bool = False
) -> Preview:
    """What the rule document would give. Count and sample see one snapshot; the sample has only who permits the purpose.

    Args:
        with_parts: count each group and condition by itself, too, in the same pass over the people.

    Raises:
        RuleErrors: all that is wrong with the rule.
        django.db.OperationalError: it took longer than `PREVIEW_SECONDS`.
    """
    known = catalog()
    loaded = load(rule, known)
    with snapshot(seconds=PREVIEW_SECONDS):
        moment = as_of.astimezone(Workspace.current().zone) if as_of else moment_of_judgement()
        parts = None
        if with_parts:
            placed = list(nodes(loaded))
            everybody, each = postgres.counts([node for _, node in placed], known, as_of=moment)
            parts = [Part(pointer=pointer(path), count=n) for (path, _), n in zip(placed, each, strict=True)]
            count = parts[0].count  # the first is the whole rule
        else:
            everybody, count = Profile.objects.count(), postgres.count(loaded, known, as_of=moment)
        may_show = permitted(Profile.objects.all(), purpose).values("pk")
        ids = postgres.sample(loaded, known, as_of=moment, size=sample_size, may_show=may_show) if sample_size else []
        people = list(Profile.objects.filter(pk__in=ids))
        return Preview(
            as_of=moment, count=count, of=everybody, sample=people, sentence=describe(loaded, known), parts=parts
        )


def record_preview(seen: Preview, *, rule: Any, purpose: Purpose, by: Actor) -> None:
    """Puts the preview on record: it is a read of people, even where it only counts them."""
    sample = [str(person.uuid) for person in seen.sample]
    record(
        by=by,
        action="segment.previewed",
        purpose=purpose.key,
        detail={"rule": without_values(rule), "count": seen.count, "sample": sample},
    )


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

    Raises:
        Conflict: the segment isn't live, or it is broken: then its members stay as they are.
    """
    with segment_lock(segment, waiting=lambda: progress(0, 0, "waiting for another refresh")):
        rule = _rule_of(segment)
        began = moment_of_judgement()
        progress(0, 0, "finding who enters and who leaves")
        ids = _who_disagrees(segment, rule, began)
        entered = exited = 0
        for start in range(0, len(ids), CHUNK):
            progress(start, len(ids), "entering and leaving")
            changes = _judge_again(segment, rule.version_id, ids[start : start + CHUNK].tolist(), why)
            if changes is None:
                _rule_of(
                    segment
                )  # says so if it was put away or broke; else a new version is live, with its own refresh
                break
            entered, exited = entered + changes[0], exited + changes[1]
        else:
            progress(len(ids), len(ids), "done")
            Segment.objects.filter(pk=segment.pk).update(last_refreshed_at=timezone.now())
        return Refreshed(as_of=began, entered=entered, exited=exited, members=segment.memberships.count())


def _rule_of(segment: Segment) -> LiveRule:
    segment.refresh_from_db()
    if segment.status != SegmentStatus.LIVE:
        raise Conflict("segment_not_live", f"“{segment.name}” is not live.")
    rules = _rules_now()
    rule = rules.by_segment(segment.pk)
    if rule is None:
        segment.refresh_from_db()
        reason = segment.broken_reason or rules.frozen.get(segment.pk, FAILED)
        raise Conflict("segment_broken", f"“{segment.name}” can't be evaluated. {reason}.")
    return rule


@transaction.atomic
def _rules_now() -> LiveRules:
    rules_lock(exclusive=False)
    return live_rules()


def _who_disagrees(segment: Segment, rule: LiveRule, as_of: datetime) -> "array[int]":
    """Ids of the people whose membership disagrees with the rule; a rule that fails is flagged."""
    try:
        with transaction.atomic():
            return postgres.difference(rule.rule, catalog(), segment_id=segment.pk, as_of=as_of)
    except OperationalError:
        raise  # the server went or was too slow; the rule is not to blame
    except DatabaseError as error:
        flag_broken(segment.pk, FAILED)
        raise Conflict("segment_broken", f"“{segment.name}” can't be evaluated. {FAILED}.") from error
    except RuleErrors as error:  # what it reads broke just now
        raise Conflict("segment_broken", f"“{segment.name}” can't be evaluated. {error.errors[0]}.") from error


@transaction.atomic
def _judge_again(segment: Segment, version_id: int, ids: list[int], why: ChangeWhy) -> tuple[int, int] | None:
    present = set(store.lock_profiles(ids))
    rules_lock(exclusive=False)
    rules = live_rules()
    rule = rules.by_segment(segment.pk)
    if rule is None or rule.version_id != version_id:
        return None
    as_of = moment_of_judgement()
    # Members of whom nothing is left have no verdict. Whoever merged them away has said so by a dirty row, and the
    # evaluator ends and announces their memberships.
    changes = evaluate(Facts(demanded={segment.pk: present}), rules, as_of=as_of, why=why)
    return changes.entered[segment.pk], changes.exited[segment.pk]


def request_due_refreshes() -> int:
    """How many refreshes were asked for: live segments whose last one is older than they want it."""
    workspace = Workspace.current()
    if workspace.frozen_at is not None:
        return 0  # where time stands still, its passing changes nothing
    now = timezone.now()
    due = list(
        Segment.objects.filter(pk__in=_rules_now().segment_ids).filter(
            Q(last_refreshed_at__isnull=True) | Q(last_refreshed_at__lt=Value(now) - F("refresh_minutes") * MINUTE)
        )
    )
    for segment in due:
        request_refresh(segment=segment, by=SYSTEM)
    return len(due)

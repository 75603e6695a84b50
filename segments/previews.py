"""What a rule would give, before it is saved: at once and about, from a sample of people, or exactly.

How many previews run at once is in `segments.running`, which rules are refused in `segments.guard`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from django.conf import settings

from cdp.audit import Actor
from cdp.audit.services import record
from cdp.database import snapshot
from cdp.profiles.models import Profile, Workspace
from consent.models import Purpose
from consent.querysets import permitted
from segments.catalogue import catalog
from segments.engines import estimating, postgres
from segments.estimates import Interval, about
from segments.guard import refuse_too_dear
from segments.moments import moment_of_judgement
from segments.personal import without_values
from segments.rules import Catalog, Rule, describe, load
from segments.rules.errors import Path, pointer
from segments.rules.explain import nodes
from segments.running import Ticket, place
from segments.thresholds import with_thresholds

# How long a statement may take.
PREVIEW_SECONDS = 30
SAMPLE_SECONDS = 5
# What is expected to cost more than this, a quarter of a second or so, is asked of a tenth of the sample; and so is what takes
# longer than that, as expectations may be wrong.
QUICK_COST = 50_000
FIRST_SECONDS = 0.06
FEWER = 10
# People come and go by far fewer than what a sample can tell apart.
COUNT_KEPT_SECONDS = 60


class Accuracy(StrEnum):
    """How much of the database is asked."""

    EXACT = "exact"
    SAMPLE = "sample"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A group or condition of a rule, and of how many people it is true by itself; see `Preview` for estimates."""

    pointer: str
    count: int | None
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a rule would give now: a count, its share of everybody, and some of the people.

    An estimate has an `interval` in which the true count is nineteen times in twenty, and says of how many people it was
    made; its count is None when none of them was found, which is not to say that there is nobody.
    """

    as_of: datetime
    count: int | None
    of: int
    sample: list[Profile]
    sentence: str
    accuracy: Accuracy = Accuracy.EXACT
    sampled: int | None = None
    interval: Interval | None = None
    # Of how many each group and condition is true, in the order of the document; None where nobody asked.
    parts: list[Part] | None = None

    @property
    def share(self) -> float | None:
        if self.count is None:
            return None
        return self.count / self.of if self.of else 0.0


def preview(
    *,
    rule: Any,
    purpose: Purpose,
    sample_size: int = 10,
    as_of: datetime | None = None,
    with_parts: bool = False,
    accuracy: Accuracy = Accuracy.EXACT,
    ticket: Ticket | None = None,
) -> Preview:
    """What the rule document would give. Count and people see one snapshot; only who permits the purpose is shown.

    Args:
        sample_size: how many people to show at most; an estimate shows nobody.
        with_parts: count each group and condition by itself, too, in the same pass over the people.
        accuracy: an estimate is exact all the same when there are no more people than a sample has.
        ticket: by which a newer preview takes the place of this one.

    Raises:
        RuleErrors: all that is wrong with the rule, or that it would cost too much.
        PreviewsBusy: too many run already.
        Superseded: a newer one came.
        django.db.OperationalError: a statement took longer than `PREVIEW_SECONDS`.
    """
    known = catalog()
    loaded = load(rule, known)
    known = with_thresholds(known, loaded, seconds=PREVIEW_SECONDS)
    placed = list(nodes(loaded)) if with_parts else [((), loaded)]
    is_quick = accuracy == Accuracy.SAMPLE
    seconds = SAMPLE_SECONDS if is_quick else PREVIEW_SECONDS
    with place(ticket=ticket, seconds=seconds, is_quick=is_quick), snapshot(seconds=seconds):
        moment = as_of.astimezone(Workspace.current().zone) if as_of else moment_of_judgement()
        if is_quick:
            return _estimated(loaded, placed, known, moment, with_parts=with_parts)
        return _exact(loaded, placed, known, moment, purpose, sample_size, with_parts=with_parts)


def _exact(
    loaded: Rule,
    placed: Sequence[tuple[Path, Rule]],
    known: Catalog,
    moment: datetime,
    purpose: Purpose,
    size: int,
    *,
    with_parts: bool,
) -> Preview:
    rules = [node for _, node in placed]
    statement = (
        estimating.counts_of(rules, known, as_of=moment)
        if with_parts
        else estimating.count_of(loaded, known, as_of=moment)
    )
    refuse_too_dear(statement, [loaded], known, as_of=moment)
    may_show = permitted(Profile.objects.all(), purpose).values("pk")
    if with_parts:
        everybody, *each = estimating.counted(statement)
        ids = postgres.sample(loaded, known, as_of=moment, size=size, may_show=may_show) if size else []
    else:
        everybody = Profile.objects.count()
        found, ids = postgres.count_and_sample(loaded, known, as_of=moment, size=size, may_show=may_show)
        each = [found]
    return Preview(
        as_of=moment,
        count=each[0],  # the first is the whole rule
        of=everybody,
        sample=list(Profile.objects.filter(pk__in=ids)),
        sentence=describe(loaded, known),
        parts=_parts(placed, [(count, None) for count in each]) if with_parts else None,
    )


def _estimated(
    loaded: Rule, placed: Sequence[tuple[Path, Rule]], known: Catalog, moment: datetime, *, with_parts: bool
) -> Preview:
    rules, size = [node for _, node in placed], settings.PREVIEW_SAMPLE
    asked_of = partial(estimating.sampled_counts_of, rules, known, as_of=moment, day=moment.date())
    refuse = partial(refuse_too_dear, rules=[loaded], catalog=known, as_of=moment)
    statement, counted = asked_of(size=size), None
    if (expected := estimating.cost(statement)) <= QUICK_COST:
        refuse(statement, expected=expected)
        counted = estimating.counted_within(statement, seconds=FIRST_SECONDS)
    if counted is None:
        size = max(1, size // FEWER)
        statement = asked_of(size=size, one_by_one=True)
        refuse(statement)
        counted = estimating.quickly_counted(statement)
    asked, *found = counted
    # A sample that isn't full has everybody in it.
    is_exact = asked < size
    everybody = asked if is_exact else max(asked, _everybody())
    told: list[tuple[int | None, Interval | None]] = [
        (one, None) if is_exact else about(one, asked, everybody) for one in found
    ]
    return Preview(
        as_of=moment,
        count=told[0][0],
        of=everybody,
        sample=[],
        sentence=describe(loaded, known),
        accuracy=Accuracy.EXACT if is_exact else Accuracy.SAMPLE,
        sampled=None if is_exact else asked,
        interval=told[0][1],
        parts=_parts(placed, told) if with_parts else None,
    )


def _parts(placed: Sequence[tuple[Path, Rule]], told: Sequence[tuple[int | None, Interval | None]]) -> list[Part]:
    return [
        Part(pointer=pointer(path), count=count, interval=interval)
        for (path, _), (count, interval) in zip(placed, told, strict=True)
    ]


_kept: tuple[float, int] | None = None


def _everybody() -> int:
    """How many people there are, or were a minute ago: counting a million takes as long as an estimate."""
    global _kept
    now = time.monotonic()
    if _kept is None or now - _kept[0] > COUNT_KEPT_SECONDS:
        _kept = now, Profile.objects.count()
    return _kept[1]


def forget() -> None:
    """Empties what is kept; for tests, and for a process that moves to another database."""
    global _kept
    _kept = None


def record_preview(seen: Preview, *, rule: Any, purpose: Purpose, by: Actor) -> None:
    """Puts the preview on record: it is a read of people, even where it only counts them."""
    sample = [str(person.uuid) for person in seen.sample]
    detail = {"rule": without_values(rule), "count": seen.count, "sample": sample}
    if seen.accuracy == Accuracy.SAMPLE:
        detail["sampled"] = seen.sampled
    record(by=by, action="segment.previewed", purpose=purpose.key, detail=detail)

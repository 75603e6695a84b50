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
from segments.builder.funnel import Narrowing, Question, narrowings, questions
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
    # By place, how each condition narrows the rule down; None where nobody asked.
    narrowings: dict[str, Narrowing] | None = None

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
    with_funnel: bool = False,
    accuracy: Accuracy = Accuracy.EXACT,
    ticket: Ticket | None = None,
) -> Preview:
    """What the rule document would give. Count and people see one snapshot; only who permits the purpose is shown.

    Args:
        sample_size: how many people to show at most; an estimate shows nobody.
        with_parts: count each group and condition by itself, too, in the same pass over the people.
        with_funnel: count also who is left after each of them.
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
    asked = _asked(loaded, with_parts=with_parts, with_funnel=with_funnel)
    is_quick = accuracy == Accuracy.SAMPLE
    seconds = SAMPLE_SECONDS if is_quick else PREVIEW_SECONDS
    with place(ticket=ticket, seconds=seconds, is_quick=is_quick), snapshot(seconds=seconds):
        moment = as_of.astimezone(Workspace.current().zone) if as_of else moment_of_judgement()
        if is_quick:
            return _estimated(loaded, asked, known, moment)
        return _exact(loaded, asked, known, moment, purpose, sample_size)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The rules that are counted together, the whole one first, and what their counts are told as."""

    rules: list[Rule]
    paths: list[Path] | None = None
    funnel: list[Question] | None = None

    def told(self, told: Sequence[tuple[int | None, Interval | None]], everybody: int) -> dict[str, Any]:
        if self.paths is not None:
            return {"parts": _parts(self.paths, told)}
        if self.funnel is not None:
            return {"narrowings": narrowings(self.funnel, [count for count, _ in told], everybody)}
        return {}


def _asked(loaded: Rule, *, with_parts: bool, with_funnel: bool) -> _Asked:
    if with_parts:
        placed = list(nodes(loaded))
        return _Asked(rules=[one for _, one in placed], paths=[path for path, _ in placed])
    if with_funnel:
        funnel = questions(loaded)
        return _Asked(rules=[one.rule for one in funnel], funnel=funnel)
    return _Asked(rules=[loaded])


def _exact(
    loaded: Rule,
    asked: _Asked,
    known: Catalog,
    moment: datetime,
    purpose: Purpose,
    size: int,
) -> Preview:
    are_many = len(asked.rules) > 1 or asked.paths is not None
    statement = (
        estimating.counts_of(asked.rules, known, as_of=moment)
        if are_many
        else estimating.count_of(loaded, known, as_of=moment)
    )
    refuse_too_dear(statement, [loaded], known, as_of=moment)
    may_show = permitted(Profile.objects.all(), purpose).values("pk")
    if are_many:
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
        **asked.told([(count, None) for count in each], everybody),
    )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of how many people each rule is true, judged by a sample; where it has everybody in it, exactly, without intervals.

    ``drawn`` is how many were asked; None, all of ``everybody``.
    """

    everybody: int
    drawn: int | None
    told: list[tuple[int | None, Interval | None]]


def estimate(rules: Sequence[Rule], judged: Sequence[Rule], known: Catalog, moment: datetime) -> Estimate:
    """The estimate of all of the rules, from one sample.

    Args:
        judged: the rules by whose cost it is refused, as somebody wrote them.

    Raises:
        RuleErrors: it would cost too much.
    """
    size = settings.PREVIEW_SAMPLE
    asked_of = partial(estimating.sampled_counts_of, rules, known, as_of=moment, day=moment.date())
    refuse = partial(refuse_too_dear, rules=judged, catalog=known, as_of=moment)
    statement, counted = asked_of(size=size), None
    if (expected := estimating.cost(statement)) <= QUICK_COST:
        refuse(statement, expected=expected)
        counted = estimating.counted_within(statement, seconds=FIRST_SECONDS)
    if counted is None:
        size = max(1, size // FEWER)
        statement = asked_of(size=size, one_by_one=True)
        refuse(statement)
        counted = estimating.quickly_counted(statement)
    drawn, *found = counted
    # A sample that isn't full has everybody in it.
    is_exact = drawn < size
    everybody = drawn if is_exact else max(drawn, _everybody())
    return Estimate(
        everybody=everybody,
        drawn=None if is_exact else drawn,
        told=[(one, None) if is_exact else about(one, drawn, everybody) for one in found],
    )


def _estimated(loaded: Rule, asked: _Asked, known: Catalog, moment: datetime) -> Preview:
    found = estimate(asked.rules, [loaded], known, moment)
    return Preview(
        as_of=moment,
        count=found.told[0][0],
        of=found.everybody,
        sample=[],
        sentence=describe(loaded, known),
        accuracy=Accuracy.EXACT if found.drawn is None else Accuracy.SAMPLE,
        sampled=found.drawn,
        interval=found.told[0][1],
        **asked.told(found.told, found.everybody),
    )


def _parts(paths: Sequence[Path], told: Sequence[tuple[int | None, Interval | None]]) -> list[Part]:
    return [
        Part(pointer=pointer(path), count=count, interval=interval)
        for path, (count, interval) in zip(paths, told, strict=True)
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

"""Whom a rule that isn't saved yet would take in and leave out, beside the rule whose place it would take: about, or exactly.

Versions that are saved are compared in `segments.versions`; what one rule gives by itself is counted in `segments.previews`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import snapshot
from cdp.errors import DomainError
from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import permitted
from segments.catalogue import catalog
from segments.engines import estimating, postgres
from segments.estimates import Interval
from segments.guard import refuse_too_dear
from segments.models import Segment
from segments.moments import moment_of_judgement
from segments.personal import without_values
from segments.previews import PREVIEW_SECONDS, SAMPLE_SECONDS, Accuracy, estimate
from segments.rules import All, Catalog, Not, Rule, RuleErrors, load
from segments.running import Ticket, place
from segments.thresholds import with_thresholds


class BeforeUnusable(DomainError):
    """The rule that would be replaced can't be asked any more, so nobody can say who would leave."""

    def __init__(self, errors: RuleErrors) -> None:
        super().__init__("before_unusable", f"The live rule can't be asked any more: {errors}")


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How many people are on one side of a change, and some of them. Of an estimate ``count`` is None when the sample has none
    of them: then they are at most ``interval.high``."""

    count: int | None
    interval: Interval | None
    sample: list[Profile]


@dataclass(frozen=True, kw_only=True)
class DraftChange:
    """Who would enter, leave and stay if the draft were live instead; all of one moment. ``sampled`` people were asked; None, all."""

    as_of: datetime
    everybody: int
    entering: Moved
    leaving: Moved
    staying: Moved
    sampled: int | None


def change_by_draft(
    *,
    before: Any | None,
    after: Any,
    purpose: Purpose,
    segment: Segment | None,
    by: Actor,
    sample_size: int = 0,
    accuracy: Accuracy = Accuracy.EXACT,
    ticket: Ticket | None = None,
) -> DraftChange:
    """What the draft would change. On record as a read of people, even where it only counts them.

    Args:
        before: the document of the rule that is live; None where none is, so that all whom the draft gives would enter.
        after: the draft's; the caller has made sure that the reader may name what it names.
        segment: whose rule it would be; None of a new one.
        sample_size: how many people to show of each side at most, who permit the purpose; an estimate shows nobody.
        ticket: by which a newer count takes the place of this one.

    Raises:
        RuleErrors: all that is wrong with the draft, or that comparing would cost too much.
        BeforeUnusable: the live rule no longer fits the catalogue.
        PreviewsBusy: too many are being counted already.
        Superseded: a newer one came.
        django.db.OperationalError: a statement took longer than it may.
    """
    known = catalog()
    second = load(after, known)
    try:
        first = None if before is None else load(before, known)
    except RuleErrors as errors:
        raise BeforeUnusable(errors) from None
    judged = [second] if first is None else [first, second]
    known = with_thresholds(known, *judged, seconds=PREVIEW_SECONDS)
    is_quick = accuracy == Accuracy.SAMPLE
    seconds = SAMPLE_SECONDS if is_quick else PREVIEW_SECONDS
    rules: list[Rule] = (
        [second] if first is None else [All((second, Not(first))), All((first, Not(second))), All((first, second))]
    )
    with place(ticket=ticket, seconds=seconds, is_quick=is_quick), snapshot(seconds=seconds):
        as_of = moment_of_judgement()
        if is_quick:
            found = _about(rules, judged, known, as_of)
        else:
            found = _exactly(rules, judged, known, as_of, purpose, sample_size)
        _record(found, before=before, after=after, purpose=purpose, segment=segment, by=by)
    return found


def _about(rules: list[Rule], judged: list[Rule], known: Catalog, as_of: datetime) -> DraftChange:
    found = estimate(rules, judged, known, as_of)
    sides = [Moved(count=count, interval=interval, sample=[]) for count, interval in found.told]
    return _change(sides, as_of=as_of, everybody=found.everybody, sampled=found.drawn)


def _exactly(
    rules: list[Rule], judged: list[Rule], known: Catalog, as_of: datetime, purpose: Purpose, size: int
) -> DraftChange:
    statement = estimating.counts_of(rules, known, as_of=as_of)
    refuse_too_dear(statement, judged, known, as_of=as_of)
    everybody, *counts = estimating.counted(statement)
    may_show = permitted(Profile.objects.all(), purpose).values("pk")
    sides = []
    for number, (rule, count) in enumerate(zip(rules, counts, strict=True)):
        # Whoever stays is only counted.
        asks = size and count and number < 2
        ids = postgres.sample(rule, known, as_of=as_of, size=size, may_show=may_show) if asks else []
        sides.append(Moved(count=count, interval=None, sample=list(Profile.objects.filter(pk__in=ids).order_by("pk"))))
    return _change(sides, as_of=as_of, everybody=everybody, sampled=None)


def _change(sides: list[Moved], *, as_of: datetime, everybody: int, sampled: int | None) -> DraftChange:
    nobody = Moved(count=0, interval=None, sample=[])
    entering, leaving, staying = sides if len(sides) == 3 else (sides[0], nobody, nobody)
    return DraftChange(
        as_of=as_of, everybody=everybody, entering=entering, leaving=leaving, staying=staying, sampled=sampled
    )


def _record(
    found: DraftChange, *, before: Any | None, after: Any, purpose: Purpose, segment: Segment | None, by: Actor
) -> None:
    sides = {"entering": found.entering, "leaving": found.leaving, "staying": found.staying}
    detail: dict[str, Any] = {
        "before": None if before is None else without_values(before),
        "after": without_values(after),
        "counts": {name: side.count for name, side in sides.items()},
        "sample": [str(person.uuid) for side in sides.values() for person in side.sample],
    }
    if found.sampled is not None:
        detail["sampled"] = found.sampled
    record(by=by, action="segment.draft_compared", object=segment, purpose=purpose.key, detail=detail)

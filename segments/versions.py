"""What changes between two versions of a segment: in the rule, and of the people it is true of.

How two rules are compared is in `segments.rules.compare`; setting a version live is in `segments.services`.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import snapshot
from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import permitted
from segments.catalogue import catalog_for
from segments.engines import postgres
from segments.models import SegmentVersion
from segments.moments import moment_of_judgement
from segments.refresh import PREVIEW_SECONDS
from segments.rules import All, Catalog, Not, Rule, RuleError, RuleErrors, check, depends_on, parse
from segments.rules.compare import Change, compare
from segments.thresholds import with_thresholds


@dataclass(frozen=True, kw_only=True)
class Side:
    """How many people are on one side of the difference, and some of them who permit the purpose."""

    count: int
    sample: list[Profile]


@dataclass(frozen=True, kw_only=True)
class PeopleChange:
    """Who would enter, leave and stay if the second version took the place of the first; all of one moment."""

    as_of: datetime
    entering: Side
    leaving: Side
    staying: Side


@dataclass(frozen=True, kw_only=True)
class VersionDifference:
    """Two versions of a segment, side by side.

    `people` is None when one of the rules can't be run any more: `before_errors` and `after_errors` say why.
    """

    before: SegmentVersion
    after: SegmentVersion
    changes: list[Change]
    people: PeopleChange | None
    before_errors: list[RuleError]
    after_errors: list[RuleError]


def compare_versions(
    *, before: SegmentVersion, after: SegmentVersion, purpose: Purpose, by: Actor, sample_size: int = 0
) -> VersionDifference:
    """What the second version changes against the first. On record as a read of people, even where it only counts them.

    Raises:
        RuleErrors: one of them is of a form no longer read.
        django.db.OperationalError: counting took longer than `PREVIEW_SECONDS`.
    """
    first, second = parse(before.rule), parse(after.rule)
    known = catalog_for([depends_on(first), depends_on(second)])
    for rule in (first, second):
        with suppress(RuleErrors):  # what doesn't fit is told next
            known = with_thresholds(known, rule, seconds=PREVIEW_SECONDS)
    before_errors, after_errors = check(first, known), check(second, known)
    with snapshot(seconds=PREVIEW_SECONDS):
        usable = not before_errors and not after_errors
        people = _people(first, second, known, purpose, sample_size) if usable else None
        sides = (
            {}
            if people is None
            else {"entering": people.entering, "leaving": people.leaving, "staying": people.staying}
        )
        record(
            by=by,
            action="segment.versions_compared",
            object=before.segment,
            purpose=purpose.key,
            detail={
                "before": before.number,
                "after": after.number,
                "counts": {name: side.count for name, side in sides.items()},
                "sample": [str(person.uuid) for side in sides.values() for person in side.sample],
            },
        )
    return VersionDifference(
        before=before,
        after=after,
        changes=compare(first, second, known),
        people=people,
        before_errors=before_errors,
        after_errors=after_errors,
    )


def _people(first: Rule, second: Rule, known: Catalog, purpose: Purpose, size: int) -> PeopleChange:
    as_of = moment_of_judgement()
    rules = [All((second, Not(first))), All((first, Not(second))), All((first, second))]
    _, counts = postgres.counts(rules, known, as_of=as_of)
    may_show = permitted(Profile.objects.all(), purpose).values("pk")
    sides = []
    for rule, count in zip(rules, counts, strict=True):
        asks = size and count
        ids = postgres.sample(rule, known, as_of=as_of, size=size, may_show=may_show) if asks else []
        sides.append(Side(count=count, sample=list(Profile.objects.filter(pk__in=ids).order_by("pk"))))
    entering, leaving, staying = sides
    return PeopleChange(as_of=as_of, entering=entering, leaving=leaving, staying=staying)

"""Thresholds of percentiles: taken when a rule first asks for one, read by every verdict, moved by a job at night.

A threshold is a stored row, so that preview, refresh and batches judge by one and the same value. What a percentile is
stands in `segments.rules.ranks`, how it is taken in `segments.engines.percentiles`.

A move is two transactions. The first changes the row while it holds `rules_lock` alone: whoever judged by the old value has
committed by then, and whoever judges later sees the new one. So nobody's verdict stems from the old value afterwards but
of those whom nobody has judged since, and of these it is wrong only for people whose figure lies between the two. The
second, under no lock, marks just them to be judged again: finding them takes a look at everybody's figure, for which no
batch should wait. A worker that dies between the two leaves `marked_version` behind `version`, and the next job goes on.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from cdp.audit import SYSTEM
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import Progress, enqueue
from cdp.logs import get_logger
from cdp.profiles.models import Workspace
from segments.catalogue import catalog_for, digest
from segments.engines import percentiles
from segments.engines.percentiles import Found
from segments.live import rules_lock, rules_now
from segments.models import READABLE, PastThreshold, PercentileThreshold, SegmentStatus, SegmentVersion
from segments.moments import moment_of_judgement
from segments.rules import Catalog, Ranked, Rule, RuleErrors, depends_on, leaves, parse
from segments.schedule import last_time_of_day

log = get_logger(__name__)

RECOMPUTE_KIND: Final = "segments.recompute_thresholds"
# Versions that were written so lately may be published any time, so their thresholds are kept at hand.
DRAFTS: Final = timedelta(days=30)
# What only a preview asked for is kept so long after it: no query that reads it can still be running.
UNASKED: Final = timedelta(hours=1)
PAUSE_AFTER_FAILURE: Final = timedelta(minutes=10)


# ---- For whoever loads a rule --------------------------------------------------------------------------------


def with_thresholds(known: Catalog, *rules: Rule, seconds: int | None = None) -> Catalog:
    """The catalogue with the thresholds that the rules read: what isn't stored yet is taken here and now.

    Args:
        seconds: how long taking one may last; None for as long as it takes.

    Raises:
        RuleErrors: a figure doesn't fit the catalogue.
        django.db.OperationalError: it took longer.
    """
    # In order, so that two who ask for the same ones don't wait for each other in a circle.
    wanted = sorted(_rankings(rules).items())
    found = {ranking: threshold_for(leaf, known, seconds=seconds).pk for ranking, leaf in wanted}
    return replace(known, thresholds={**known.thresholds, **found})


@transaction.atomic
def threshold_for(leaf: Ranked, known: Catalog, *, seconds: int | None = None) -> PercentileThreshold:
    """The stored threshold; taken here and now where nobody has asked for it before.

    Raises: as `with_thresholds`.
    """
    key = digest(leaf.ranking)
    now = timezone.now()
    stored = PercentileThreshold.objects.filter(digest=key).first()
    if stored is not None and (stored.asked_at > now - UNASKED / 4 or _is_kept(stored)):
        return stored
    if seconds is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])
    as_of = moment_of_judgement()
    found = percentiles.percentile(leaf, known, as_of=as_of)
    PercentileThreshold.objects.bulk_create(
        [
            PercentileThreshold(
                digest=key,
                ranking=leaf.ranking,
                percentile=leaf.percentile,
                value=found.value,
                people=found.people,
                as_of=as_of,
            )
        ],
        ignore_conflicts=True,
    )
    # Of two who took it at once the first has stored it, and both go by that.
    return PercentileThreshold.objects.get(digest=key)


def _is_kept(stored: PercentileThreshold) -> bool:
    """Whether it is still there after being kept from the purge; a purge that is under way may have it already."""
    return bool(PercentileThreshold.objects.filter(pk=stored.pk).update(asked_at=timezone.now()))


def values_of(rankings: Collection[str]) -> dict[str, Decimal | None]:
    """What the reference engine is told of thresholds."""
    if not rankings:
        return {}
    stored = PercentileThreshold.objects.filter(digest__in=[digest(ranking) for ranking in rankings])
    return dict(stored.values_list("ranking", "value"))


def are_marked(rankings: Collection[str]) -> bool:
    """Whether all whom moves of these thresholds concern have been marked by now."""
    stored = PercentileThreshold.objects.filter(digest__in=[digest(ranking) for ranking in rankings])
    return not rankings or not stored.filter(marked_version__lt=F("version")).exists()


# ---- Moving ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Recomputed:
    """What a run of the job came to; `marked` are the people to be judged again."""

    thresholds: int = 0
    moved: int = 0
    marked: int = 0
    purged: int = 0


def recompute(*, progress: Progress) -> Recomputed:
    """Takes all thresholds anew that live rules or recent drafts read, and forgets those that nobody asks for.

    Safe to stop anywhere and to run again.
    """
    done = Recomputed(purged=purge_unused())
    wanted = _rankings(_rules_in_use())
    stored = list(PercentileThreshold.objects.filter(digest__in=list(map(digest, wanted))).order_by("pk"))
    for number, threshold in enumerate(stored):
        progress(number, len(stored), "ranking people")
        leaf = wanted[threshold.ranking]
        try:
            known = catalog_for([depends_on(leaf)])
            done.marked += mark(threshold, leaf, known)  # whom a worker that died has left
            as_of = moment_of_judgement()
            found = percentiles.percentile(leaf, known, as_of=as_of)
        except RuleErrors:
            # What it is a figure of is gone; the rules that read it say so themselves.
            log.warning("threshold_left", threshold_id=threshold.pk)
            continue
        done.thresholds += 1
        if move(threshold, found, as_of=as_of):
            done.moved += 1
            done.marked += mark(threshold, leaf, known)
    progress(len(stored), len(stored), "done")
    return done


@transaction.atomic
def move(threshold: PercentileThreshold, found: Found, *, as_of: datetime) -> bool:
    """Whether the threshold is another one now; then those whom that concerns must be marked (`mark`)."""
    # The row before the rules: whoever publishes has it first, too.
    row = PercentileThreshold.objects.select_for_update().get(pk=threshold.pk)
    if row.marked_version < row.version:
        return False  # another worker is about to mark whom its own move concerns
    if row.value == found.value:
        row.people, row.as_of, row.computed_at = found.people, as_of, timezone.now()
        row.save(update_fields=["people", "as_of", "computed_at"])
        return False
    # Alone, so that no verdict of the old value is written after this has committed: batches hold the lock, shared, from
    # before they read the value until their verdicts are there to be seen. Nothing but this one row is written meanwhile.
    rules_lock(exclusive=True)
    PastThreshold.objects.create(
        threshold=row,
        version=row.version,
        value=row.value,
        people=row.people,
        as_of=row.as_of,
        computed_at=row.computed_at,
    )
    row.value, row.people, row.as_of, row.computed_at = found.value, found.people, as_of, timezone.now()
    row.version += 1
    row.save(update_fields=["value", "people", "as_of", "computed_at", "version"])
    log.info("threshold_moved", threshold_id=row.pk, version=row.version, people=row.people)
    return True


def mark(threshold: PercentileThreshold, leaf: Ranked, known: Catalog) -> int:
    """How many people were marked to be judged again because the threshold moved; 0 when that has been done.

    Raises:
        RuleErrors: the figure doesn't fit the catalogue (any more).
    """
    # Rules that go live from here on judge by the new value. The lock must not be held while everybody is looked at.
    orders = _live_orders(leaf.ranking)
    with transaction.atomic():
        row = PercentileThreshold.objects.select_for_update().get(pk=threshold.pk)
        if row.marked_version == row.version:
            return 0
        people = percentiles.mark_turned(
            leaf,
            known,
            as_of=moment_of_judgement(),
            threshold_id=row.pk,
            before=row.past.get(version=row.marked_version).value,
            after=row.value,
            orders=orders,
        )
        row.marked_version = row.version
        row.save(update_fields=["marked_version"])
    return people


def purge_unused() -> int:
    """How many thresholds were forgotten: no live rule or recent draft reads them, and nobody has lately asked for them."""
    if not _unused().exists():
        return 0
    with transaction.atomic():
        # So that no rule that reads one of them goes live meanwhile. Who is about to publish one has kept its row.
        rules_lock(exclusive=True)
        unused = list(_unused().select_for_update(skip_locked=True).values_list("pk", flat=True))
        PercentileThreshold.objects.filter(pk__in=unused).delete()
    log.info("thresholds_purged", count=len(unused))
    return len(unused)


def request_due_recomputation() -> Job | None:
    """The job that takes thresholds anew, once a night; None when that has been asked for, or there are none.

    A workspace whose clock stands still has nights all the same: a percentile moves by what others do, not by the clock.
    """
    now = timezone.now()
    night = last_time_of_day(now, hour=settings.NIGHTLY_HOUR, zone=Workspace.current().time_zone)
    due = Q(computed_at__lt=night) | Q(marked_version__lt=F("version"))
    if not PercentileThreshold.objects.filter(due).exists():
        return None
    newest = Job.objects.filter(kind=RECOMPUTE_KIND).order_by("-created_at").first()
    if newest is not None:
        came_to_nothing = newest.state in (JobState.FAILED, JobState.CANCELLED)
        if newest.created_at >= (now - PAUSE_AFTER_FAILURE if came_to_nothing else night):
            return None
    return enqueue(kind=RECOMPUTE_KIND, params={}, by=SYSTEM, dedupe_key=RECOMPUTE_KIND)


# ---- Who reads which ---------------------------------------------------------------------------------------------


def _rankings(rules: Iterable[Rule]) -> dict[str, Ranked]:
    """Each ranking that the rules read, with a condition that reads it."""
    return {leaf.ranking: leaf for rule in rules for leaf in leaves(rule) if isinstance(leaf, Ranked)}


def _rules_in_use() -> Iterator[Rule]:
    """The rules that are live, and those that were written lately, as far as they speak of percentiles."""
    recent = Q(created_at__gt=timezone.now() - DRAFTS) & ~Q(segment__status=SegmentStatus.ARCHIVED)
    versions = SegmentVersion.objects.filter(Q(live_of__status__in=READABLE) | recent)
    speaking = versions.annotate(said=Cast("rule", TextField())).filter(said__contains='"percentile"')
    for document in speaking.values_list("rule", flat=True):
        with suppress(RuleErrors):  # of a form no longer read: nobody can run it
            yield parse(document)


def _live_orders(ranking: str) -> set[str]:
    """The orders in which live rules compare figures with the threshold."""
    found = (leaf for level in rules_now().levels for rule in level for leaf in rule.leaves)
    return {leaf.op for leaf in found if isinstance(leaf, Ranked) and leaf.ranking == ranking}


def _unused() -> QuerySet[PercentileThreshold]:
    old = PercentileThreshold.objects.filter(asked_at__lt=timezone.now() - UNASKED)
    return old.exclude(digest__in=list(map(digest, _rankings(_rules_in_use()))))

"""One run of RFM, top to bottom: count, cut, score, write, compare with the run before, publish.

Nothing of it is seen until all of it is there: scores, moves and figures appear in one transaction. One that is stopped or killed
leaves scores that nobody reads; the next attempt takes them away and begins anew. The statements are in `segments.rfm.counting`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.jobs.services import JobCancelled, Progress
from cdp.profiles.models import ScoreRun, Workspace
from cdp.profiles.score_changes import forget_run
from cdp.profiles.score_services import publish_run, purge_runs, start_run
from consent.querysets import purpose_or_error
from segments.analytics.rfm import Cutting, Measure, Scheme, drift, flows_by_name
from segments.features.people import who_may_be_profiled
from segments.fields.distributions import FEWEST
from segments.moments import moment_of_judgement
from segments.queries import Query
from segments.rfm import counting
from segments.rfm.counting import SCORE_KEYS, CellSums, Totals
from segments.rfm.models import RfmMove, RfmRun
from segments.rfm.services import SCORE_KIND, check_scheme

# Of earlier runs: scores to compare with, who moved, and figures.
KEPT_SCORES: Final = 1
KEPT_MOVES: Final = 60
KEPT_RUNS: Final = 800
MUCH_OF_ONE: Final = Decimal("0.5")
PHASES: Final = 10


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run came to."""

    people: int
    moved: int
    people_changed: int


def run(*, rfm: RfmRun, progress: Progress, by: Actor = SYSTEM) -> Ran:
    """Makes the run and publishes it. Safe to stop anywhere and to call again; one that is published is left as it is.

    Raises:
        DomainError: there is nothing to score, or the settings make no sense any more; the run says it too.
    """
    rfm = RfmRun.objects.get(pk=rfm.pk)
    if rfm.published_at is not None:
        return Ran(people=rfm.people, moved=rfm.moves.count(), people_changed=0)
    _discard_unpublished()
    RfmRun.objects.filter(pk=rfm.pk).update(problem="", started_at=timezone.now(), score_run_id=None)
    try:
        counting.forget()
        ran = _run(RfmRun.objects.get(pk=rfm.pk), progress, by)
    except DomainError as error:
        RfmRun.objects.filter(pk=rfm.pk).update(problem=error.message, completed_at=timezone.now())
        raise
    except JobCancelled:
        _discard_unpublished()
        raise
    finally:
        # What this connection holds of people goes with the run; with a connection that broke it is gone already.
        with suppress(OperationalError, InterfaceError):
            counting.forget()
    progress(PHASES, PHASES, "done")
    return ran


def _discard_unpublished() -> None:
    """Forgets scores of runs that ended before they were published. A worker that still writes them, its lease lost, fails then."""
    for left in RfmRun.objects.filter(published_at=None, score_run_id__isnull=False):
        with transaction.atomic():
            forget_run(run_id=left.score_run_id or 0)
            RfmRun.objects.filter(pk=left.pk).update(score_run_id=None)


def _run(rfm: RfmRun, progress: Progress, by: Actor) -> Ran:
    scheme, workspace = rfm.as_scheme, Workspace.current()
    check_scheme(scheme)
    who = who_may_be_profiled(purpose_or_error(rfm.purpose))
    rfm.as_of, rfm.currency = moment_of_judgement(), workspace.reporting_currency
    since = rfm.as_of - timedelta(days=scheme.window_days)
    progress(0, PHASES, "adding up orders")
    totals = counting.count_buyers(who=who, since=since, as_of=rfm.as_of)
    _enough(totals, scheme, rfm)
    rfm.people, rfm.orders, rfm.unpriced_orders = totals.people, totals.orders, totals.unpriced
    rfm.revenue = totals.revenue
    progress(1, PHASES, "finding thresholds")
    points = counting.cut(scheme, totals.people)
    rfm.thresholds = points.thresholds.as_json()
    rfm.spreads = [one.as_json() for one in points.spreads]
    progress(2, PHASES, "scoring")
    cells, different = counting.score(scheme, points.thresholds)
    rfm.cells, rfm.groups = [_cell(one) for one in cells], _groups(scheme, cells)
    rfm.notes = list(_notes(totals, scheme, different, rfm.currency))
    progress(3, PHASES, "writing scores")
    with transaction.atomic():
        scores = start_run(kind=SCORE_KIND, version=f"{rfm.as_of:%Y-%m-%d %H:%M} #{rfm.pk}", by=by)
        rfm.score_run_id = scores.pk
        RfmRun.objects.filter(pk=rfm.pk).update(score_run_id=scores.pk)
    for number, key in enumerate(SCORE_KEYS):
        progress(3 + number, PHASES, "writing scores")
        counting.write(score_run=scores.pk, key=key)
    progress(8, PHASES, "comparing and publishing")
    return _publish(rfm, scores, who, progress, by)


# ---- What is there to score, and what is to be known of it -----------------------------------------------------------


def _enough(totals: Totals, scheme: Scheme, rfm: RfmRun) -> None:
    """Raises DomainError, in a sentence, where there are too few to be scored."""
    assert rfm.as_of is not None
    window = f"in the {scheme.window_days:,} days before {rfm.as_of:%-d %B %Y}"
    if totals.people >= FEWEST:
        return
    everybody = counting.bought(since=rfm.as_of - timedelta(days=scheme.window_days), as_of=rfm.as_of)
    if everybody == 0:
        message = (
            f"Nobody bought {window}. Choose a longer window, or see whether orders arrive as “Order Completed” events."
        )
        raise DomainError("nobody_bought", message)
    if everybody >= FEWEST:
        label = purpose_or_error(rfm.purpose).label
        message = (
            f"{everybody:,} people bought {window}, but only {totals.people:,} of them permit “{label}” and have not"
            f" objected to profiling; RFM needs {FEWEST}."
        )
        raise DomainError("too_few_permit", message)
    message = f"Only {everybody:,} {'person' if everybody == 1 else 'people'} bought {window}; RFM needs {FEWEST} to make five scores."
    raise DomainError("too_few_buyers", message)


def _notes(totals: Totals, scheme: Scheme, different: dict[Measure, int], currency: str) -> Iterator[str]:
    """Sentences on what is to be known when the results are read."""
    words = {Measure.RECENCY: "recency", Measure.FREQUENCY: "frequency", Measure.MONETARY: "monetary value"}
    alike = {
        Measure.RECENCY: "Everybody's last order lies equally long ago",
        Measure.FREQUENCY: "Everybody bought equally often",
        Measure.MONETARY: "Everybody brought the same amount",
    }
    for measure, count in different.items():
        is_fixed, word = scheme.cuts_of(measure).how == Cutting.FIXED, words[measure]
        if is_fixed and count < 5:
            yield f"By the fixed thresholds of {word} only {count} of 5 scores come about."
        elif count == 1:
            yield f"{alike[measure]}, so {word} tells nobody apart: all have one score."
        elif count < 5:
            yield (
                f"Only {count} of 5 scores of {word} come about: so many people have the same value that a cut between them"
                " would be arbitrary. Equal values always have equal scores."
            )
    if totals.unpriced:
        yield (
            f"{totals.unpriced:,} of {totals.orders:,} orders have no amount in {currency}, because none was sent or no"
            " exchange rate is known for their day: they count in frequency and recency, and add nothing to monetary value."
        )
    if totals.no_gain:
        yield (
            f"{totals.no_gain:,} of {totals.people:,} people brought nothing, or less than nothing, after refunds; their"
            " monetary value is counted as it is."
        )
    if totals.revenue <= 0:
        yield "Refunds come to as much as orders, or more: no shares of revenue can be given."
    if totals.gained > 0 and totals.most >= MUCH_OF_ONE * totals.gained:
        share = int(100 * totals.most / totals.gained)
        yield (
            f"One person brings {share} % of the revenue: sums and means of their cell and group say more about them than"
            " about the others. Scores don't suffer, as they go by rank."
        )


def _cell(one: CellSums) -> dict[str, Any]:
    return {
        "r": one.r,
        "fm": one.fm,
        "group": one.group,
        "people": one.people,
        "orders": one.orders,
        "revenue": str(one.revenue),
        "recency_days": one.recency_days,
    }


def _groups(scheme: Scheme, cells: Sequence[CellSums]) -> list[dict[str, Any]]:
    """Each group of the scheme, those of nobody too: means are None there."""
    found = []
    for row in scheme.groups:
        mine = [one for one in cells if one.group == row.name]
        people, orders = sum(one.people for one in mine), sum(one.orders for one in mine)
        revenue = sum((one.revenue for one in mine), Decimal(0))
        days = sum(one.recency_days for one in mine)
        found.append(
            {
                "name": row.name,
                "people": people,
                "orders": orders,
                "revenue": str(revenue),
                "recency_mean": days / people if people else None,
                "frequency_mean": orders / people if people else None,
                "monetary_mean": float(revenue / people) if people else None,
            }
        )
    return found


# ---- Comparing and publishing ----------------------------------------------------------------------------------------

# Who was erased, merged away, or objected since they were counted, is not written about.
GONE: Final = """
    SELECT coalesce(array_agg(gone.profile_id), '{}') FROM (SELECT profile_id FROM pg_temp.rfm_scored EXCEPT {query}) AS gone
"""
KEEP_ONLY: Final = """
    DELETE FROM profiles_score
     WHERE run_id = %(run)s AND key = ANY(%(keys)s::text[]) AND profile_id = ANY(%(gone)s::bigint[])
"""
PAIRS: Final = """
    SELECT profile_id, coalesce(o.label, '') AS before, coalesce(n.label, '') AS after
      FROM (SELECT profile_id, label FROM profiles_score WHERE run_id = %(before)s AND key = 'group') AS o
      FULL JOIN (SELECT profile_id, label FROM profiles_score WHERE run_id = %(run)s AND key = 'group') AS n USING (profile_id)
"""
FLOWS: Final = "SELECT before, after, count(*) FROM ({query}) AS pairs GROUP BY 1, 2"
MOVES: Final = """
    INSERT INTO segments_rfmmove (run_id, profile_id, before, after)
    SELECT %(rfm)s, profile_id, before, after FROM ({query}) AS pairs WHERE before <> after AND profile_id IN ({who})
"""


@transaction.atomic
def _publish(rfm: RfmRun, scores: ScoreRun, who: Query, progress: Progress, by: Actor) -> Ran:
    # Whoever lost the lease stops here; who has it keeps it, as the job's row is locked until all of this is there.
    progress(9, PHASES, "publishing")
    if RfmRun.objects.select_for_update().get(pk=rfm.pk).published_at is not None:
        return Ran(people=rfm.people, moved=0, people_changed=0)
    ((gone,),) = who.of(GONE).rows()
    if gone:
        with bound_cursor() as cursor:
            cursor.execute(KEEP_ONLY, {"run": scores.pk, "keys": list(SCORE_KEYS), "gone": gone})
    current = ScoreRun.objects.filter(kind=SCORE_KIND, is_current=True).first()
    previous = RfmRun.objects.published().filter(score_run_id=current.pk).first() if current else None
    moved = _compare(rfm, previous, scores, who) if previous else 0
    published = publish_run(run=scores, by=by)
    rfm.completed_at = rfm.published_at = timezone.now()
    rfm.save()
    detail = {"people": rfm.people, "moved": moved, "as_of": rfm.as_of.isoformat() if rfm.as_of else None}
    record(by=by, action="rfm.published", object=rfm, purpose=rfm.purpose, detail=detail)
    _purge(by)
    return Ran(people=rfm.people, moved=moved, people_changed=published.people_changed)


def _compare(rfm: RfmRun, previous: RfmRun, scores: ScoreRun, who: Query) -> int:
    """How many changed group since the run before, which is noted in this one."""
    rfm.previous = previous
    rfm.is_same_scheme = previous.as_scheme == rfm.as_scheme and previous.purpose == rfm.purpose
    before, after = previous.as_thresholds, rfm.as_thresholds
    assert before is not None and after is not None
    rfm.drift = [one.as_json() for one in drift(before, after)]
    operands = {"before": previous.score_run_id, "run": scores.pk}
    pairs = Query(sql=PAIRS, params=operands)
    counted = {(old, new): people for old, new, people in pairs.of(FLOWS).rows()}
    rfm.flows = flows_by_name(counted)
    with bound_cursor() as cursor:
        moves = f"{who.before} {pairs.of(MOVES.replace('{who}', who.sql)).sql}"
        cursor.execute(moves, {**who.params, **operands, "rfm": rfm.pk})
    return sum(people for (old, new), people in counted.items() if old != new)


def _purge(by: Actor) -> None:
    """Forgets scores that are compared with no more, who moved long ago, and the figures of runs older still."""
    purge_runs(kind=SCORE_KIND, keep=KEPT_SCORES, by=by)
    kept = RfmRun.objects.published().values_list("pk", flat=True)
    RfmMove.objects.filter(run__in=list(kept[KEPT_MOVES:KEPT_RUNS])).delete()
    RfmRun.objects.filter(
        pk__in=list(RfmRun.objects.order_by("-requested_at").values_list("pk", flat=True)[KEPT_RUNS:])
    ).delete()

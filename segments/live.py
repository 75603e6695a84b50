"""The live rules, parsed and compiled once per process, in the order in which they must be evaluated.

A consumer may go on using a rule only while no new one can go live: both sides take `rules_lock`, the consumers
shared, whoever publishes exclusively. So no verdict of an old rule is written after a new one has taken its place.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from django.db import connection, transaction
from django.db.models import Q

from cdp.audit import SYSTEM
from cdp.audit.services import record
from cdp.errors import Conflict
from cdp.logs import get_logger
from segments.catalogue import catalog_for
from segments.engines.postgres import LeafQueries
from segments.ground import Ground, ground_of
from segments.models import RefreshStart, Segment, SegmentStatus, SweepState
from segments.rules import (
    HEALED_BY_PUBLISHING,
    Catalog,
    Dependencies,
    PositiveLeaf,
    Rule,
    RuleErrors,
    check,
    depends_on,
    leaves,
    parse,
    takes_in_strangers,
)

log = get_logger(__name__)

RULES_LOCK = 7305002


def flag_broken(segment_id: int, reason: str, *, waits_for_scores: bool = False) -> None:
    """Freezes the segment's members until its rule is mended and published again.

    Args:
        waits_for_scores: nothing else is wrong than scores that no published run has; with them it is well again.
    """
    with transaction.atomic():
        told = Q(broken_reason="") if waits_for_scores else Q(broken_reason="") | Q(waits_for_scores=True)
        if not Segment.objects.filter(told, pk=segment_id).update(
            broken_reason=reason[:300], waits_for_scores=waits_for_scores
        ):
            return
        end_sweeps(segment_id)
        segment = Segment.objects.select_related("live_version").get(pk=segment_id)
        # Why stands on its page until it is mended. It may quote the rule, so it has no place in what is never erased.
        number = segment.live_version.number if segment.live_version else None
        record(by=SYSTEM, action="segment.broken", object=segment, detail={"version": number})
    log.error("segment_broken", segment_id=segment_id)


def _mend(segment_id: int) -> None:
    """Takes back that the segment waits for scores: they have come. What its members missed the next full refresh finds,
    which the sweeper asks for, since there is nothing up to which it was swept."""
    with transaction.atomic():
        if Segment.objects.filter(pk=segment_id, waits_for_scores=True).update(
            broken_reason="", waits_for_scores=False
        ):
            segment = Segment.objects.get(pk=segment_id)
            record(by=SYSTEM, action="segment.mended", object=segment)
            log.info("segment_mended", segment_id=segment_id)


def refuse_unless_live(segment: Segment) -> None:
    """
    Raises:
        Conflict: it is paused, or not live.
    """
    if segment.status == SegmentStatus.PAUSED:
        said = f"“{segment.name}” is paused: its members stay as they were. Resume it first."
        raise Conflict("segment_paused", said)
    if segment.status != SegmentStatus.LIVE:
        raise Conflict("segment_not_live", f"“{segment.name}” is not live, so nobody is judged by it.")


def with_readers(segment_id: int) -> list[int]:
    """The segment, and all whose live rules read it, by way of others too."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE reader(id) AS (
                SELECT %s::bigint UNION SELECT u.user_id FROM segments_segmentuse u JOIN reader ON u.used_id = reader.id
            )
            SELECT id FROM reader
            """,
            [segment_id],
        )
        return [row[0] for row in cursor.fetchall()]


def end_sweeps(segment_id: int) -> None:
    """Leaves the segment, and all that read it, to a full refresh that begins from now on: what passed them by nothing else
    can find, nor one that has begun already."""
    forget_sweeps(with_readers(segment_id))


def forget_sweeps(segment_ids: Collection[int]) -> None:
    """The same of just these. Starts of refreshes go first: a refresh that ends now holds its own until it has committed
    from when on is swept, and then that goes too."""
    RefreshStart.objects.filter(pk__in=segment_ids).delete()
    SweepState.objects.filter(pk__in=segment_ids).delete()


def rules_lock(*, exclusive: bool) -> None:
    """Holds the live rules still until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s)" if exclusive else "SELECT pg_advisory_xact_lock_shared(%s)", [RULES_LOCK]
        )


@dataclass(frozen=True, slots=True, eq=False)
class LiveRule:
    """One live segment's rule, ready to be evaluated. Compared by identity: it is loaded once."""

    segment_id: int
    version_id: int
    key: str
    rule: Rule
    leaves: tuple[PositiveLeaf, ...]
    depends_on: Dependencies
    # Whether it is true of somebody of whom nothing is recorded: then everybody new must be evaluated.
    takes_in_strangers: bool


@dataclass(frozen=True, slots=True)
class LiveRules:
    """All that can be evaluated, in levels: a rule stands after those whose segments it reads.

    ``frozen`` says of the others why they can't: they read a segment that is broken or paused, and are well again with it.
    """

    levels: tuple[tuple[LiveRule, ...], ...]
    frozen: dict[int, str]
    queries: LeafQueries
    # What they were checked against that may change while they stay as they are.
    ground: Ground = field(default_factory=Ground)
    # Why those can't be evaluated that only lack scores; they are well again once these are published.
    waiting: dict[int, str] = field(default_factory=dict)

    @property
    def segment_ids(self) -> set[int]:
        return {rule.segment_id for level in self.levels for rule in level}

    def by_segment(self, segment_id: int) -> LiveRule | None:
        return next((rule for level in self.levels for rule in level if rule.segment_id == segment_id), None)


NO_RULES = LiveRules(levels=(), frozen={}, queries=LeafQueries(Catalog()))
_kept: tuple[tuple[tuple[int, int | None], ...], LiveRules] = ((), NO_RULES)


def forget() -> None:
    """Empties the cache; for tests, and for a process that moves to another database."""
    global _kept
    _kept = ((), NO_RULES)


# Asked in each transaction that judges people.
LIVE_NOW = """
    SELECT id, live_version_id, waits_for_scores FROM segments_segment
     WHERE status = %s AND (broken_reason = '' OR waits_for_scores) ORDER BY id
"""


def live_rules() -> LiveRules:
    """The rules of all live segments that aren't broken; call it under `rules_lock`."""
    global _kept
    with connection.cursor() as cursor:
        cursor.execute(LIVE_NOW, [SegmentStatus.LIVE])
        rows = cursor.fetchall()
    stamp = tuple((pk, version_id) for pk, version_id, _ in rows)
    kept_stamp, rules = _kept  # looked at once: other threads may put theirs in its place
    if stamp != kept_stamp or not rules.ground.is_as_it_was():
        live = Segment.objects.filter(pk__in=[pk for pk, _, _ in rows])
        rules = _load(list(live.select_related("live_version").order_by("pk")))
        _kept = stamp, rules
    # Said each time and not when they are loaded: that transaction may have come to nothing.
    flagged = {pk for pk, _, waits in rows if waits}
    for pk in rules.waiting.keys() - flagged:
        flag_broken(pk, rules.waiting[pk], waits_for_scores=True)
    for pk in flagged & rules.segment_ids:
        _mend(pk)
    return rules


@transaction.atomic
def rules_now() -> LiveRules:
    """The same, for whoever only looks and so needs no lock beyond this."""
    rules_lock(exclusive=False)
    return live_rules()


def _load(segments: list[Segment]) -> LiveRules:
    parsed: dict[str, tuple[Segment, Rule, Dependencies]] = {}
    frozen: dict[int, str] = {}
    for segment in segments:
        try:
            rule = parse(segment.live_version.rule)  # type: ignore[union-attr]  # live segments have one
            parsed[segment.key] = segment, rule, depends_on(rule)
        except RuleErrors as refused:
            flag_broken(segment.pk, str(refused))
    named = [dependencies for _, _, dependencies in parsed.values()]
    catalog, ground = catalog_for(named), ground_of(named)
    # Of these it is found out here, in order, whether they can be read; one that waited may do so no longer.
    known = {key: replace(info, usable=info.usable or key in parsed) for key, info in catalog.segments.items()}
    catalog = replace(catalog, segments=known)
    ready: dict[str, LiveRule] = {}
    waiting: dict[int, str] = {}
    for key in _in_order(parsed):
        segment, rule, dependencies = parsed[key]
        if missing := sorted(s for s in dependencies.segments if s not in ready):
            frozen[segment.pk] = f"It reads segments that can't be evaluated: {', '.join(missing)}"
            continue
        if errors := check(rule, catalog):
            lasting = [error for error in errors if error.code not in HEALED_BY_PUBLISHING]
            if lasting:
                flag_broken(segment.pk, str(lasting[0]))
            else:
                waiting[segment.pk] = str(errors[0])
            continue
        found = leaves(rule)
        ready[key] = LiveRule(
            segment_id=segment.pk,
            version_id=segment.live_version.pk,  # type: ignore[union-attr]
            key=key,
            rule=rule,
            leaves=found,
            depends_on=dependencies,
            takes_in_strangers=takes_in_strangers(rule, catalog),
        )
    for segment_id, reason in frozen.items():
        log.warning("segment_frozen", segment_id=segment_id, reason=reason)
    return LiveRules(
        levels=_levels(ready),
        frozen=frozen,
        queries=LeafQueries(catalog, [leaf for rule in ready.values() for leaf in rule.leaves]),
        ground=ground,
        waiting=waiting,
    )


def _in_order(parsed: dict[str, tuple[Segment, Rule, Dependencies]]) -> list[str]:
    """Keys with every segment after those it reads. Publishing refuses cycles; one found here breaks its segments."""
    graph = {key: set(dependencies.segments) & parsed.keys() for key, (_, _, dependencies) in parsed.items()}
    while True:
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as cycle:
            for key in cycle.args[1]:
                graph.pop(key, None)
            graph = {key: uses & graph.keys() for key, uses in graph.items()}


def _levels(ready: dict[str, LiveRule]) -> tuple[tuple[LiveRule, ...], ...]:
    depth: dict[str, int] = {}
    for key, rule in ready.items():  # in topological order, so what it reads is placed already
        depth[key] = 1 + max((depth[s] for s in rule.depends_on.segments), default=-1)
    return tuple(
        tuple(rule for key, rule in ready.items() if depth[key] == level)
        for level in range(max(depth.values(), default=-1) + 1)
    )

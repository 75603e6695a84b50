"""The live rules, parsed and compiled once per process, in the order in which they must be evaluated.

A consumer may go on using a rule only while no new one can go live: both sides take `rules_lock`, the consumers
shared, whoever publishes exclusively. So no verdict of an old rule is written after a new one has taken its place.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from django.db import connection, transaction

from cdp.audit import SYSTEM
from cdp.audit.services import record
from cdp.logs import get_logger
from cdp.profiles.models import Trait
from segments.catalogue import catalog_for
from segments.engines.postgres import LeafQueries
from segments.models import Segment, SegmentStatus, SweepState
from segments.rules import (
    Catalog,
    Dependencies,
    PositiveLeaf,
    Rule,
    RuleErrors,
    check,
    combine,
    depends_on,
    leaves,
    parse,
)

log = get_logger(__name__)

RULES_LOCK = 7305002


def flag_broken(segment_id: int, reason: str) -> None:
    """Freezes the segment's members until its rule is mended and published again."""
    with transaction.atomic():
        if not Segment.objects.filter(pk=segment_id, broken_reason="").update(broken_reason=reason[:300]):
            return
        _end_sweeps(segment_id)
        segment = Segment.objects.select_related("live_version").get(pk=segment_id)
        # Why stands on its page until it is mended. It may quote the rule, so it has no place in what is never erased.
        number = segment.live_version.number if segment.live_version else None
        record(by=SYSTEM, action="segment.broken", object=segment, detail={"version": number})
    log.error("segment_broken", segment_id=segment_id)


def _end_sweeps(segment_id: int) -> None:
    """While it is broken, events pass it by, and all that read it: what they missed only a full refresh can find."""
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
        SweepState.objects.filter(pk__in=[row[0] for row in cursor.fetchall()]).delete()


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

    ``frozen`` says of the others why they can't: they read a segment that is broken, and are well again with it.
    """

    levels: tuple[tuple[LiveRule, ...], ...]
    frozen: dict[int, str]
    queries: LeafQueries
    # Of each trait they name, the type that they were checked against.
    types: dict[str, str]

    @property
    def segment_ids(self) -> set[int]:
        return {rule.segment_id for level in self.levels for rule in level}

    def by_segment(self, segment_id: int) -> LiveRule | None:
        return next((rule for level in self.levels for rule in level if rule.segment_id == segment_id), None)


NO_RULES = LiveRules(levels=(), frozen={}, queries=LeafQueries(Catalog()), types={})
_kept: tuple[tuple[tuple[int, int | None], ...], LiveRules] = ((), NO_RULES)


def forget() -> None:
    """Empties the cache; for tests, and for a process that moves to another database."""
    global _kept
    _kept = ((), NO_RULES)


def live_rules() -> LiveRules:
    """The rules of all live segments that aren't broken; call it under `rules_lock`."""
    global _kept
    live = Segment.objects.filter(status=SegmentStatus.LIVE, broken_reason="")
    stamp = tuple(live.order_by("pk").values_list("pk", "live_version_id"))
    kept_stamp, rules = _kept  # looked at once: other threads may put theirs in its place
    if stamp != kept_stamp or rules.types != _types_now(rules.types):
        rules = _load(list(live.select_related("live_version").order_by("pk")))
        _kept = stamp, rules
    return rules


@transaction.atomic
def rules_now() -> LiveRules:
    """The same, for whoever only looks and so needs no lock beyond this."""
    rules_lock(exclusive=False)
    return live_rules()


def _types_now(keys: Iterable[str]) -> dict[str, str]:
    wanted = list(keys)
    return dict(Trait.objects.filter(key__in=wanted).values_list("key", "type")) if wanted else {}


def _load(segments: list[Segment]) -> LiveRules:
    parsed: dict[str, tuple[Segment, Rule, Dependencies]] = {}
    frozen: dict[int, str] = {}
    for segment in segments:
        try:
            rule = parse(segment.live_version.rule)  # type: ignore[union-attr]  # live segments have one
            parsed[segment.key] = segment, rule, depends_on(rule)
        except RuleErrors as refused:
            flag_broken(segment.pk, str(refused))
    catalog = catalog_for(d for _, _, d in parsed.values())
    ready: dict[str, LiveRule] = {}
    for key in _in_order(parsed):
        segment, rule, dependencies = parsed[key]
        if missing := sorted(s for s in dependencies.segments if s not in ready):
            frozen[segment.pk] = f"It reads segments that can't be evaluated: {', '.join(missing)}"
            continue
        if errors := check(rule, catalog):
            flag_broken(segment.pk, str(errors[0]))
            continue
        found = leaves(rule)
        ready[key] = LiveRule(
            segment_id=segment.pk,
            version_id=segment.live_version.pk,  # type: ignore[union-attr]
            key=key,
            rule=rule,
            leaves=found,
            depends_on=dependencies,
            takes_in_strangers=bool(combine(rule, {leaf: set() for leaf in found}, {0})),
        )
    for segment_id, reason in frozen.items():
        log.error("segment_frozen", segment_id=segment_id, reason=reason)
    return LiveRules(
        levels=_levels(ready),
        frozen=frozen,
        queries=LeafQueries(catalog),
        types={key: trait.type.value for key, trait in catalog.traits.items()},
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

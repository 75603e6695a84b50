"""Who enters and who leaves, for given people: the same leaves for a batch of events, a refresh and an edit by hand.

The caller has locked the people (in id order) before it took ``as_of``, and holds `rules_lock`: then nobody else can
write an older verdict after ours, and no threshold is missed between two writers who each saw only their own event.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, OperationalError, transaction
from psycopg.errors import TransactionTimeout

from cdp.database import ask_prepared, bound_cursor
from cdp.logs import get_logger
from segments.live import LiveRule, LiveRules, flag_broken
from segments.models import ChangeKind, ChangeWhy
from segments.rules import PositiveLeaf, combine

log = get_logger(__name__)

# More looks than these at the members of segments cost more than what they spare.
MOST_SCOPES = 8
# Up to so many pairs of a segment and a person are looked up by themselves.
MOST_ONE_BY_ONE = 2_000

FAILED = "A condition of its rule can't be evaluated"

Difference = tuple[LiveRule, int, ChangeKind]
"""Somebody whose membership disagrees with the rule, and what must become of it."""
Moments = Mapping[tuple[int, int], datetime]
"""By segment id and profile id, when it became true; who isn't in it changed as of the judgement."""


@dataclass(slots=True)
class Facts:
    """What changed, as sets of profile ids."""

    events: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    traits: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    segments: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    # By the kind of the run that was published.
    scores: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    consents: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    lists: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    # People who are new: only rules that are true of strangers, or of what came with them, can take them in.
    new: set[int] = field(default_factory=set)
    # People about whom anything may have changed.
    anything: set[int] = field(default_factory=set)
    # Rules to evaluate for given people whatever changed: a refresh, by segment id.
    demanded: dict[int, set[int]] = field(default_factory=dict)

    def scope_of(self, rule: LiveRule) -> set[int]:
        """The people whose verdict under this rule may have changed."""
        scope = set(self.anything) | self.demanded.get(rule.segment_id, set())
        if rule.takes_in_strangers:
            scope |= self.new
        for known, mentioned in (
            (self.events, rule.depends_on.events),
            (self.traits, rule.depends_on.traits),
            (self.segments, rule.depends_on.segments),
            (self.scores, rule.depends_on.score_kinds),
            (self.consents, rule.depends_on.purposes),
            (self.lists, rule.depends_on.lists),
        ):
            for name in mentioned & known.keys():
                scope |= known[name]
        return scope


@dataclass(frozen=True, slots=True)
class Changes:
    """How many came and went, by segment id."""

    entered: Counter[int]
    exited: Counter[int]


def evaluate(
    facts: Facts,
    rules: LiveRules,
    *,
    as_of: datetime,
    why: ChangeWhy,
    effective_at: Mapping[int, datetime] | None = None,
    became_true: Callable[[Sequence[Difference]], Moments] | None = None,
) -> Changes:
    """Who entered and left. Writes memberships and their changes; runs inside the caller's transaction.

    Args:
        effective_at: per profile, the moment of what made the difference, or of their last change in a segment that
            changes now where that is later; ``as_of`` where it has none.
        became_true: asked instead where that differs by segment, once for each level of rules, in order.
    """
    changes = Changes(Counter(), Counter())
    answers: dict[PositiveLeaf, tuple[Set[int], set[int]]] = {}
    written: list[Difference] = []
    moments: dict[tuple[int, int], datetime] = {}
    # Of a segment whose rule fails it isn't known who belongs; whoever reads it must not go by its members.
    unknown: set[str] = set()
    for level in rules.levels:
        unknown |= {rule.key for rule in level if rule.depends_on.segments & unknown}
        scopes = {rule: scope for rule in level if rule.key not in unknown and (scope := facts.scope_of(rule))}
        if not scopes:
            continue
        verdicts = _verdicts(scopes, answers, rules, as_of)
        unknown |= {rule.key for rule in scopes.keys() - verdicts.keys()}
        differences = _differences(verdicts, scopes)
        if became_true is not None:
            moments |= became_true(differences)
        else:
            at = effective_at or {}
            moments |= {(rule.segment_id, p): at[p] for rule, p, _ in differences if p in at}
        _change_members(differences, as_of, moments)
        written += differences
        for rule, profile_id, kind in differences:
            facts.segments[rule.key].add(profile_id)
            (changes.entered if kind == ChangeKind.ENTERED else changes.exited)[rule.segment_id] += 1
    _hold_back(moments, as_of, together=became_true is None)
    _announce(written, as_of, why, moments)
    return changes


def disagreeing(demanded: Mapping[int, set[int]], rules: LiveRules, *, as_of: datetime) -> dict[int, set[int]]:
    """By segment id, those of the given people whose membership disagrees with the rule. Writes nothing of theirs.

    Nobody is locked, so they are candidates only: who is to be written must be judged again under lock.
    """
    found: dict[int, set[int]] = {}
    answers: dict[PositiveLeaf, tuple[Set[int], set[int]]] = {}
    scopes = {rule: scope for level in rules.levels for rule in level if (scope := demanded.get(rule.segment_id))}
    for rule, profile_id, _ in _differences(_verdicts(scopes, answers, rules, as_of), scopes):
        found.setdefault(rule.segment_id, set()).add(profile_id)
    return found


def _verdicts(
    scopes: Mapping[LiveRule, set[int]],
    answers: dict[PositiveLeaf, tuple[Set[int], set[int]]],
    rules: LiveRules,
    as_of: datetime,
) -> dict[LiveRule, set[int]]:
    """Per rule, those of its scope it is true of. A rule that fails is flagged, and its members stay as they are."""
    wanted: dict[PositiveLeaf, set[int]] = {}
    for rule, scope in scopes.items():
        for leaf in rule.leaves:
            wanted[leaf] = wanted[leaf] | scope if leaf in wanted else scope
    missing = {leaf: scope for leaf, scope in wanted.items() if leaf not in answers or not scope <= answers[leaf][0]}
    for leaf, found in _answer(missing, rules, as_of).items():
        answers[leaf] = wanted[leaf], found
    verdicts: dict[LiveRule, set[int]] = {}
    for rule, scope in scopes.items():
        if all(leaf in answers and scope <= answers[leaf][0] for leaf in rule.leaves):
            verdicts[rule] = combine(rule.rule, {leaf: answers[leaf][1] for leaf in rule.leaves}, scope)
        else:
            flag_broken(rule.segment_id, FAILED)
    return verdicts


def _answer(wanted: Mapping[PositiveLeaf, set[int]], rules: LiveRules, as_of: datetime) -> dict[PositiveLeaf, set[int]]:
    """The answers of all leaves in one statement; when that fails, each on its own, so that only the guilty is missing."""
    try:
        with transaction.atomic():
            return rules.queries.answer(wanted, as_of=as_of)
    except OperationalError:
        raise  # the server, a deadlock or a time-out: the batch is tried again, no rule is to blame
    except DatabaseError as failed:
        if isinstance(failed.__cause__, TransactionTimeout):
            raise  # all of it took too long, and its connection is gone
        found: dict[PositiveLeaf, set[int]] = {}
        for leaf, scope in wanted.items():
            try:
                with transaction.atomic():
                    found |= rules.queries.answer({leaf: scope}, as_of=as_of, nothing_else=True)
            except OperationalError:
                raise
            except DatabaseError as error:
                log.error("leaf_failed", leaf=leaf.key[:200], reason=type(error).__name__)
        return found


def _differences(verdicts: Mapping[LiveRule, set[int]], scopes: Mapping[LiveRule, set[int]]) -> list[Difference]:
    members = _members({rule.segment_id: scopes[rule] for rule in verdicts})
    differences: list[Difference] = []
    for rule, matched in verdicts.items():
        before = members[rule.segment_id] & scopes[rule]
        differences += [(rule, p, ChangeKind.ENTERED) for p in matched - before]
        differences += [(rule, p, ChangeKind.EXITED) for p in before - matched]
    return differences


def _change_members(changes: Sequence[Difference], as_of: datetime, moments: Moments) -> None:
    """Makes the memberships what the rules say. Only differences are written."""
    enter = [(rule.segment_id, p) for rule, p, kind in changes if kind == ChangeKind.ENTERED]
    leave = [(rule.segment_id, p) for rule, p, kind in changes if kind == ChangeKind.EXITED]
    with bound_cursor() as cursor:
        if enter:
            cursor.execute(
                "INSERT INTO segments_membership (segment_id, profile_id, entered_at)"
                " SELECT s, p, at FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS g(s, p, at)",
                [[s for s, _ in enter], [p for _, p in enter], [moments.get(whose, as_of) for whose in enter]],
            )
        if leave:
            cursor.execute(
                "DELETE FROM segments_membership m USING unnest(%s::bigint[], %s::bigint[]) AS g(s, p)"
                " WHERE m.segment_id = g.s AND m.profile_id = g.p",
                [[s for s, _ in leave], [p for _, p in leave]],
            )


# Each is one probe of an index: nearly nobody has a change that took effect after what moves them now.
NEWER_CHANGES = """
    SELECT g.segment_id, g.profile_id, newer.effective_at
      FROM unnest(%(segments)s::bigint[], %(people)s::bigint[], %(moments)s::timestamptz[]) AS g(segment_id, profile_id, at)
     CROSS JOIN LATERAL (
           SELECT c.effective_at FROM segments_membershipchange c
            WHERE c.profile_id = g.profile_id AND c.effective_at > g.at AND c.segment_id = g.segment_id
            ORDER BY c.effective_at DESC LIMIT 1) AS newer
"""
# In one go through, whatever is in it: a table that looks empty to the planner would be gone through for each of the people.
PENDING_CHANGES = """
    SELECT segment_id, profile_id, effective_at FROM segments_pendingchange
     WHERE profile_id = ANY(%(people)s::bigint[]) AND effective_at > %(first)s
"""


def _hold_back(moments: dict[tuple[int, int], datetime], as_of: datetime, *, together: bool) -> None:
    """Lets no change take effect before the one before it, which a late event may lie before; written memberships follow.

    Whoever follows the feed, or asks who was in at some moment, would else find somebody who left before they came. A sweep may
    see what became of somebody before whoever changed them is heard, and so find an edge that lies further back.

    Args:
        together: what an event does to somebody in several segments goes on taking effect at one moment: by that it is told
            who went from one to another. What time does has a moment in each.
    """
    early = {whose: at for whose, at in moments.items() if at < as_of}
    if not early:
        return
    with bound_cursor() as cursor:
        cursor.execute(
            NEWER_CHANGES,
            {
                "segments": [segment_id for segment_id, _ in early],
                "people": [profile_id for _, profile_id in early],
                "moments": list(early.values()),
            },
        )
        newer = cursor.fetchall()
        people = list({profile_id for _, profile_id in early})
        cursor.execute(PENDING_CHANGES, {"people": people, "first": min(early.values())})
        newer += [(s, p, at) for s, p, at in cursor.fetchall() if (s, p) in early and at > early[s, p]]
        held: dict[tuple[int, int], datetime] = {}
        for segment_id, profile_id, at in newer:
            whose = (0 if together else segment_id, profile_id)
            held[whose] = max(at, held.get(whose, at))
        if not held:
            return
        late = [whose for whose in early if (0 if together else whose[0], whose[1]) in held]
        moments |= {whose: held[0 if together else whose[0], whose[1]] for whose in late}
        cursor.execute(
            "UPDATE segments_membership m SET entered_at = g.at"
            "  FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS g(s, p, at)"
            " WHERE m.segment_id = g.s AND m.profile_id = g.p",
            [[s for s, _ in late], [p for _, p in late], [moments[whose] for whose in late]],
        )


def _announce(changes: Sequence[Difference], as_of: datetime, why: ChangeWhy, moments: Moments) -> None:
    """Leaves the changes to the sequencer, each with the moment from which on it holds."""
    if not changes:
        return
    with bound_cursor() as cursor:
        cursor.execute(
            "INSERT INTO segments_pendingchange"
            " (segment_id, profile_id, profile_uuid, kind, effective_at, why, version_id, recorded_at)"
            " SELECT g.s, g.p, f.uuid, g.kind, g.at, %s, g.v, clock_timestamp()"
            "   FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::bigint[]) AS g(s, p, kind, at, v)"
            "   JOIN profiles_profile f ON f.id = g.p",
            [
                why,
                [rule.segment_id for rule, _, _ in changes],
                [p for _, p, _ in changes],
                [kind for _, _, kind in changes],
                [moments.get((rule.segment_id, p), as_of) for rule, p, _ in changes],
                [rule.version_id for rule, _, _ in changes],
            ],
        )


MEMBERS = """
    SELECT m.segment_id, m.profile_id FROM unnest(%(segments)s::bigint[], %(people)s::bigint[]) AS g(s, p)
      JOIN segments_membership m ON m.segment_id = g.s AND m.profile_id = g.p
"""


def _members(scopes: Mapping[int, Set[int]]) -> dict[int, set[int]]:
    """By segment id, its members; at least those among its scope.

    Segments that ask for the same people are read together, so that little is read that nobody asked for: somebody may
    be in hundreds of segments of which a batch touches three. A few are looked up one by one.
    """
    members: dict[int, set[int]] = defaultdict(set)
    if sum(map(len, scopes.values())) <= MOST_ONE_BY_ONE:
        pairs = [(segment_id, profile_id) for segment_id, scope in scopes.items() for profile_id in scope]
        (rows,) = ask_prepared([(MEMBERS, {"segments": [s for s, _ in pairs], "people": [p for _, p in pairs]})])
        for segment_id, profile_id in rows:
            members[segment_id].add(profile_id)
        return members
    asked: dict[frozenset[int], list[int]] = defaultdict(list)
    for segment_id, scope in scopes.items():
        asked[frozenset(scope)].append(segment_id)
    smallest = sorted(asked, key=len)[: 1 - MOST_SCOPES] if len(asked) > MOST_SCOPES else []
    together = [segment_id for scope in smallest for segment_id in asked.pop(scope)]
    if together:
        asked[frozenset[int]().union(*smallest)] += together
    parts = [
        "SELECT segment_id, profile_id FROM segments_membership"
        " WHERE profile_id = ANY(%s::bigint[]) AND segment_id = ANY(%s::bigint[])"
    ] * len(asked)
    if not parts:
        return members
    with bound_cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(parts), [ids for scope, segments in asked.items() for ids in (sorted(scope), segments)]
        )
        for segment_id, profile_id in cursor.fetchall():
            members[segment_id].add(profile_id)
    return members


def end_memberships(*, gone: Mapping[int, UUID], as_of: datetime, why: ChangeWhy) -> set[str]:
    """Keys of the segments that people who no longer exist were in; their memberships end and are announced."""
    if not gone:
        return set()
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH ended AS (
                DELETE FROM segments_membership m USING unnest(%(ids)s::bigint[], %(uuids)s::uuid[]) AS g(id, uuid)
                 WHERE m.profile_id = g.id RETURNING m.segment_id, m.profile_id, g.uuid
            ), announced AS (
                INSERT INTO segments_pendingchange
                       (segment_id, profile_id, profile_uuid, kind, effective_at, why, version_id, recorded_at)
                SELECT e.segment_id, e.profile_id, e.uuid, 'exited', %(as_of)s, %(why)s, s.live_version_id, clock_timestamp()
                  FROM ended e JOIN segments_segment s ON s.id = e.segment_id
            )
            SELECT DISTINCT s.key FROM ended e JOIN segments_segment s ON s.id = e.segment_id
            """,
            {"ids": list(gone), "uuids": list(gone.values()), "as_of": as_of, "why": why},
        )
        return {row[0] for row in cursor.fetchall()}

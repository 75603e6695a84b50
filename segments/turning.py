"""When a verdict turns: the moment at which it last did, and the one at which it next will if nothing happens.

The people concerned are loaded for the reference engine, which is asked at the few moments at which anything about them
can change. Finding those people among everybody is the sweep's part.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf

from django.conf import settings

from cdp.errors import Conflict
from cdp.logs import get_logger
from cdp.profiles.models import Profile, Workspace
from segments.evaluation import Difference, Moments
from segments.live import LiveRule, LiveRules, refuse_unless_live, rules_now
from segments.models import ChangeKind, Segment
from segments.moments import moment_of_judgement
from segments.people import MOST_EVENTS, load_people
from segments.rules import Person, Span, edges, edges_ahead, evaluate
from segments.rules.edges import sources

log = get_logger(__name__)

MOST_MOMENTS = 500
PEOPLE_AT_ONCE = 100
OUTLOOK_SECONDS = 5
# Of the time in which a verdict must be committed, what may go into finding the moments.
SHARE_OF_BATCH = 0.25


# ---- Looking back --------------------------------------------------------------------------------------------


class Turnings:
    """When each difference became true: asked by `evaluate` of each level of rules, in order.

    Left out, so that they count as of the judgement, are differences that no edge in the span explains, and those of
    people with more than `MOST_EVENTS` events: to find their moment would cost more than it tells. So are those for which
    no time is left, when very many change at once: the people are locked meanwhile, and their verdicts must be committed.
    """

    def __init__(self, rules: LiveRules, *, since: Mapping[int, datetime], as_of: datetime) -> None:
        """
        Args:
            since: by segment id, from when on its edges count; the earliest of all for segments that aren't in it.
        """
        self.rules, self.since, self.as_of = rules, since, as_of
        self._earliest = min(since.values(), default=as_of)
        self._patience = time.monotonic() + (settings.BATCH_SECONDS * SHARE_OF_BATCH or inf)
        # What became of memberships in this run, by segment key and profile id: rules that read them follow.
        self._turned: dict[tuple[str, int], tuple[datetime, ChangeKind]] = {}

    def __call__(self, differences: Sequence[Difference]) -> Moments:
        found: dict[tuple[int, int], datetime] = {}
        by_time = [difference for difference in differences if self._moves(difference[0])]
        ids = sorted({profile_id for _, profile_id, _ in by_time})
        by_person: dict[int, list[Difference]] = {}
        for difference in by_time:
            by_person.setdefault(difference[1], []).append(difference)
        for person in self._people(ids, {rule for rule, _, _ in by_time}):
            for rule, _, kind in by_person[person.id]:
                if at := self._turned_at(rule, person, kind):
                    found[rule.segment_id, person.id] = at
        for rule, profile_id, kind in differences:
            at = found.get((rule.segment_id, profile_id), self.as_of)
            self._turned[rule.key, profile_id] = at.astimezone(UTC), kind
        return found

    @property
    def late_by(self) -> float:
        """How long before the judgement the earliest of them became true, in seconds."""
        return max(((self.as_of - at).total_seconds() for at, _ in self._turned.values()), default=0.0)

    def _people(self, ids: Sequence[int], rules: Collection[LiveRule]) -> Iterator[Person]:
        """The people, one after the other, for as long as there is time."""
        people: dict[int, Person] = {}
        for number, profile_id in enumerate(ids):
            if time.monotonic() > self._patience:
                log.warning("moments_left_out", people=len(ids) - number)
                return
            if number % PEOPLE_AT_ONCE == 0:
                people = load_people(ids[number : number + PEOPLE_AT_ONCE], rules, asked_from=self._earliest)
            if profile_id in people:
                yield people[profile_id]

    def _moves(self, rule: LiveRule) -> bool:
        """Whether time alone can change the rule's verdict, so that somebody may have turned at another moment than now."""
        return self.rules.queries.have_edges(rule.leaves) and (
            bool(rule.depends_on.segments) or any(map(sources, rule.leaves))
        )

    def _turned_at(self, rule: LiveRule, person: Person, kind: ChangeKind) -> datetime | None:
        """The first of the moments from which on the verdict was what it is now."""
        since = self.since.get(rule.segment_id, self._earliest)
        span = Span(after=since, until=self.as_of, zone=self.as_of.tzinfo)
        moments = {at for leaf in rule.leaves for at in edges(leaf, person, span)}
        moments |= {self._turned[key, person.id][0] for key in self._read(rule, person)}
        turned = None
        for at in sorted(moments, reverse=True)[:MOST_MOMENTS]:
            local = at.astimezone(self.as_of.tzinfo)
            if evaluate(rule.rule, self._person_at(rule, person, at), local) != (kind == ChangeKind.ENTERED):
                return turned
            turned = at
        return turned

    def _read(self, rule: LiveRule, person: Person) -> list[str]:
        """Of the segments that the rule reads, those that the person came into or left in this run."""
        return [key for key in rule.depends_on.segments if (key, person.id) in self._turned]

    def _person_at(self, rule: LiveRule, person: Person, at: datetime) -> Person:
        """The person in the segments where they were at that moment: what turned later is undone."""
        segments = set(person.segments)
        for key in self._read(rule, person):
            turned_at, kind = self._turned[key, person.id]
            if turned_at > at:
                (segments.discard if kind == ChangeKind.ENTERED else segments.add)(key)
        return replace(person, segments=frozenset(segments))


# ---- Looking ahead -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Whether somebody belongs, and when that will change if nothing happens.

    ``changes_at`` None: it won't before ``looked_until``, and never where that is None too. It is looked no further than ten
    years ahead where something comes round every year.
    """

    as_of: datetime
    belongs: bool
    changes_at: datetime | None
    looked_until: datetime | None = None

    @property
    def leaves_at(self) -> datetime | None:
        """When they will leave if nothing happens; None for who isn't in, and for who stays."""
        return self.changes_at if self.belongs else None


def outlook(*, profile: Profile, segment: Segment) -> Outlook:
    """When the person's verdict would change if nothing happened: no event, no trait, no new rule.

    Segments that the rule reads change with time as well; they are followed at the moment when their own verdict turns.

    Raises:
        Conflict: the segment isn't live, it can't be evaluated, one of its conditions doesn't say when time changes it, or
            the person's history is too long to be gone through.
    """
    rules = rules_now()
    rule = rules.by_segment(segment.pk)
    if rule is None:
        refuse_unless_live(segment)
        raise Conflict("segment_broken", f"“{segment.name}” can't be evaluated now, so nobody's verdict is known.")
    read = in_order_of_reading(rule, rules)
    if not all(rules.queries.have_edges(one.leaves) for one in read):
        raise Conflict(
            "outlook_unknown", f"“{segment.name}” has a condition of which it can't be told yet when time changes it."
        )
    as_of = moment_of_judgement(Workspace.current())
    person = load_people([profile.pk], read, asked_from=as_of).get(profile.pk)
    if person is None:
        raise Conflict(
            "history_too_long", f"This person has more than {MOST_EVENTS} of the events that “{segment.name}” reads."
        )
    belongs = _verdict(read, person, as_of)
    ahead = edges_ahead([leaf for one in read for leaf in one.leaves], person, as_of=as_of, most=MOST_MOMENTS)
    patience = time.monotonic() + OUTLOOK_SECONDS
    for at in ahead.moments:
        # Events beside each other, in a sequence, may take long to look at: whoever asks is told how far it went.
        if time.monotonic() > patience:
            return Outlook(as_of=as_of, belongs=belongs, changes_at=None, looked_until=at)
        if _verdict(read, person, at.astimezone(as_of.tzinfo)) != belongs:
            return Outlook(as_of=as_of, belongs=belongs, changes_at=at)
    return Outlook(as_of=as_of, belongs=belongs, changes_at=None, looked_until=ahead.until)


def _verdict(read: Sequence[LiveRule], person: Person, as_of: datetime) -> bool:
    """The verdict of the last of the rules, each before it having decided about the segment that later ones read."""
    segments = set(person.segments)
    verdict = False
    for one in read:
        verdict = evaluate(one.rule, replace(person, segments=frozenset(segments)), as_of)
        (segments.add if verdict else segments.discard)(one.key)
    return verdict


def in_order_of_reading(rule: LiveRule, rules: LiveRules) -> list[LiveRule]:
    """The rule, last, after all those whose segments it reads, and those that these read."""
    by_key = {one.key: one for level in rules.levels for one in level}
    wanted, ahead = {rule.key}, [rule.key]
    while ahead:
        more = by_key[ahead.pop()].depends_on.segments - wanted
        wanted |= more
        ahead += more
    return [one for level in rules.levels for one in level if one.key in wanted]

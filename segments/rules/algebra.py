"""A rule as boolean algebra over its leaves: evaluate each distinct leaf once, then combine the sets of people.

How a leaf is evaluated doesn't belong here.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

from segments.rules.catalog import Catalog, ConsentMode
from segments.rules.nodes import (
    All,
    Any,
    Bucket,
    Compared,
    Consented,
    Everyone,
    Leaf,
    Not,
    Performed,
    PositiveLeaf,
    Rule,
    Score,
    Trait,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependencies:
    """What a change must touch for the rule's verdict to change.

    `is_time_dependent` says that time alone can change it too. That is so of every condition on events, even without
    a rolling window: an event dated ahead by a clock that runs fast counts only once `as_of` has passed it.
    `rankings` are those whose thresholds move as other people's figures do.
    """

    traits: frozenset[str]
    events: frozenset[str]
    segments: frozenset[str]
    is_time_dependent: bool
    rankings: frozenset[str] = frozenset()
    scores: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()

    @property
    def score_kinds(self) -> frozenset[str]:
        """The kinds of runs that its scores are from."""
        return frozenset(score.partition(".")[0] for score in self.scores)


def positive(rule: Rule) -> Rule:
    """The same rule with every negation moved out of its leaves, and text operands folded.

    Each leaf of the result but those that look at every profile (`PositiveLeaf`) is false of a person of whom nothing is
    recorded. So the people of whom it is true can be found by looking at records only, and "at most 2 orders" takes in
    those who never ordered: it becomes "not (more than 2 orders)".
    """
    match rule:
        case All(rules):
            return All(tuple(positive(one) for one in rules))
        case Any(rules):
            return Any(tuple(positive(one) for one in rules))
        case Not(inner):
            return Not(positive(inner))
        case Trait(trait=trait, comparison=comparison):
            if comparison.operator.negative:
                return Not(Trait(trait=trait, comparison=comparison.opposite.stored))
            return Trait(trait=trait, comparison=comparison.stored)
        case Performed() if rule.holds_of_nothing:
            return Not(replace(rule, amount=rule.amount.opposite))
        case Compared() if rule.holds_of_nothing:
            return Not(rule.opposite)
        case Score(comparison=comparison) | Bucket(comparison=comparison):
            if comparison.operator.negative:
                return Not(replace(rule, comparison=comparison.opposite.stored))
            return replace(rule, comparison=comparison.stored)
        case _:
            return rule


def leaves(rule: Rule) -> tuple[PositiveLeaf, ...]:
    """The distinct positive leaves that a verdict needs, in the order of the rule."""
    return tuple(dict.fromkeys(_walk(positive(rule))))


def combine(rule: Rule, results: Mapping[Leaf, Set[int]], scope: Set[int]) -> set[int]:
    """The people of the scope of whom the rule is true, given for each of `leaves(rule)` those of whom it is true.

    Raises:
        KeyError: a leaf has no result. It is never taken for false.
    """
    return _combine(positive(rule), results, scope)


def depends_on(rule: Rule) -> Dependencies:
    """What the rule mentions."""
    found = leaves(rule)
    return Dependencies(
        traits=frozenset[str]().union(*(leaf.traits for leaf in found)),
        events=frozenset[str]().union(*(leaf.events for leaf in found)),
        segments=frozenset[str]().union(*(leaf.segments for leaf in found)),
        is_time_dependent=any(leaf.is_time_dependent for leaf in found),
        rankings=frozenset[str]().union(*(leaf.rankings for leaf in found)),
        scores=frozenset[str]().union(*(leaf.scores for leaf in found)),
        purposes=frozenset[str]().union(*(leaf.purposes for leaf in found)),
        lists=frozenset[str]().union(*(leaf.lists for leaf in found)),
    )


def takes_in_strangers(rule: Rule, catalog: Catalog) -> bool:
    """Whether the rule may be true of somebody of whom nothing is recorded: then everybody new must be judged."""
    return _of_strangers(positive(rule), catalog)[0]


def _of_strangers(rule: Rule, catalog: Catalog) -> tuple[bool, bool]:
    """Whether it may be true of somebody of whom nothing is recorded, and whether it may be false."""
    match rule:
        case All(rules):
            each = [_of_strangers(one, catalog) for one in rules]
            return all(true for true, _ in each), any(false for _, false in each)
        case Any(rules):
            each = [_of_strangers(one, catalog) for one in rules]
            return any(true for true, _ in each), all(false for _, false in each)
        case Not(inner):
            true, false = _of_strangers(inner, catalog)
            return false, true
        case Everyone():
            return True, False
        case Bucket():
            return True, True  # a matter of chance
        case Consented(purpose=purpose):
            permits = catalog.purposes[purpose].mode is not ConsentMode.OPT_IN
            return permits, not permits
        case _:
            return False, True


def _walk(rule: Rule) -> Iterator[PositiveLeaf]:
    match rule:
        case All(rules) | Any(rules):
            for one in rules:
                yield from _walk(one)
        case Not(inner):
            yield from _walk(inner)
        case Everyone():
            return
        case _:
            yield rule


def _combine(rule: Rule, results: Mapping[Leaf, Set[int]], scope: Set[int]) -> set[int]:
    match rule:
        case All(rules):
            return set.intersection(*(_combine(one, results, scope) for one in rules))
        case Any(rules):
            return set.union(*(_combine(one, results, scope) for one in rules))
        case Not(inner):
            return set(scope) - _combine(inner, results, scope)
        case Everyone():
            return set(scope)
        case _:
            return set(scope & results[rule])

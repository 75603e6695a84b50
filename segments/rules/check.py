"""Whether a rule fits the catalogue: everything it names exists, can be used, and has a type that its operator takes.

Reading JSON doesn't belong here; errors point into the JSON document all the same, since a rule has its shape.
"""

from collections.abc import Iterator
from typing import Final

from segments.rules.catalog import Catalog
from segments.rules.errors import Path, RuleError, pointer, quoted
from segments.rules.kinds import EXACT, KIND_OF_TYPE, NUMBER, PRESENCE, TEXT
from segments.rules.nodes import (
    All,
    Any,
    Bucket,
    Compared,
    Consented,
    Everyone,
    InList,
    InSegment,
    Not,
    Performed,
    PositiveLeaf,
    Ranked,
    Rule,
    Score,
    Sequence,
    Trait,
)

HEALED_BY_PUBLISHING: Final = frozenset({"unpublished_score", "score_without_numbers", "score_without_labels"})
"""Codes of errors that end by themselves once a run of the model is published."""


def check(rule: Rule, catalog: Catalog) -> list[RuleError]:
    """All that is wrong with the rule, in the order of the document; an empty list when it can run.

    To run it takes one thing more than to be written: its thresholds.
    """
    return list(_errors(rule, catalog, ()))


def check_leaf(leaf: PositiveLeaf, catalog: Catalog, path: Path) -> Iterator[RuleError]:
    """All that is wrong with a leaf that stands at the path."""
    match leaf:
        case Trait():
            yield from _trait_errors(leaf, catalog, path)
        case Performed(event=event):
            yield from _event_errors(event, catalog, (*path, "performed"))
            if leaf.within.since is not None:
                yield from _event_errors(leaf.within.since, catalog, (*path, "within", "since"))
        case Compared(left=left, right=right):
            yield from check_leaf(left, catalog, path)
            yield from check_leaf(right, catalog, (*path, "than"))
        case Sequence(steps=steps, missing=missing):
            for position, step in enumerate(steps):
                yield from _event_errors(step.event, catalog, (*path, "sequence", position, "performed"))
            if missing is not None:
                yield from _event_errors(missing.event, catalog, (*path, "sequence", len(steps), "not_performed"))
        case InSegment(segment=segment):
            if segment not in catalog.segments:
                yield _error("unknown_segment", f"there is no segment {quoted(segment)}", *path, "in_segment")
            elif not catalog.segments[segment].usable:
                yield _error("unusable_segment", f"segment {quoted(segment)} can't be used", *path, "in_segment")
        case Ranked(figure=figure):
            yield from check_leaf(figure, catalog, path)
        case Score():
            yield from _score_errors(leaf, catalog, path)
        case Bucket():
            return
        case Consented(purpose=purpose):
            if purpose not in catalog.purposes:
                yield _error("unknown_purpose", f"there is no purpose {quoted(purpose)}", *path, "consented")
        case InList(list_key=key):
            if key not in catalog.lists:
                yield _error("unknown_list", f"there is no list {quoted(key)}", *path, "in_list")


def _event_errors(name: str, catalog: Catalog, path: Path) -> Iterator[RuleError]:
    if name not in catalog.events:
        yield _error("unknown_event", f"there is no event {quoted(name)}", *path)


def _errors(rule: Rule, catalog: Catalog, path: Path) -> Iterator[RuleError]:
    match rule:
        case All(rules) | Any(rules):
            name = "all" if isinstance(rule, All) else "any"
            for position, one in enumerate(rules):
                yield from _errors(one, catalog, (*path, name, position))
        case Not(inner):
            yield from _errors(inner, catalog, (*path, "not"))
        case Everyone():
            return
        case leaf:
            yield from check_leaf(leaf, catalog, path)
            if any(ranking not in catalog.thresholds for ranking in leaf.rankings):
                yield _error("threshold_unknown", "its threshold has not been computed yet", *path, "than")


def _trait_errors(leaf: Trait, catalog: Catalog, path: Path) -> Iterator[RuleError]:
    info = catalog.traits.get(leaf.trait)
    if info is None:
        yield _error("unknown_trait", f"there is no trait {quoted(leaf.trait)}", *path, "trait")
        return
    comparison = leaf.comparison
    says = f"{quoted(leaf.trait)} is {info.type.noun}"
    if info.type not in comparison.operator.accepts:
        yield _error("operator_not_for_type", f'{says}; "{comparison.op}" can\'t compare it', *path, "op")
    elif comparison.kind not in (PRESENCE, KIND_OF_TYPE[info.type]) and not (
        comparison.kind is EXACT and KIND_OF_TYPE[info.type] is TEXT
    ):
        received = f"{comparison.kind.noun} {quoted(comparison.said())}"
        yield _error("wrong_type", f"{says}; received {received}", *path, "value")
    else:
        for code, message, steps in comparison.operator.check(comparison.operand, info.type):
            yield _error(code, f"{says}; {message}", *path, "value", *steps)


def _score_errors(leaf: Score, catalog: Catalog, path: Path) -> Iterator[RuleError]:
    info, kind = catalog.scores.get(leaf.score), leaf.comparison.kind
    if info is None:
        yield _error("unpublished_score", f"no published run has a score {quoted(leaf.score)}", *path, "score")
    elif kind is NUMBER and not info.has_numbers:
        yield _error("score_without_numbers", f"{quoted(leaf.score)} has labels, and no numbers", *path, "value")
    elif kind is EXACT and not info.has_labels:
        yield _error("score_without_labels", f"{quoted(leaf.score)} has numbers, and no labels", *path, "value")


def _error(code: str, message: str, *path: str | int) -> RuleError:
    return RuleError(code=code, message=message, pointer=pointer(path))

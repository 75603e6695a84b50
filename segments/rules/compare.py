"""What changed between two wordings of a rule: conditions added, removed, changed, and groups that read otherwise.

Order means nothing, and neither does writing one thing in two ways. Whom a change takes in or leaves out doesn't
belong here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from segments.rules.catalog import Catalog
from segments.rules.describe import describe
from segments.rules.errors import Path, pointer
from segments.rules.explain import form_of, nodes
from segments.rules.nodes import All, Any, Everyone, Leaf, Not, Rule


class ChangeKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A group or condition of one of the two wordings, in its document and in English."""

    pointer: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference. What was added has no `before`, what was removed no `after`.

    A group that changed has other conditions or another word ("any of" for "all of"); what changed within it stands
    as changes of their own.
    """

    kind: ChangeKind
    before: Place | None
    after: Place | None
    sentence: str


def compare(before: Rule, after: Rule, catalog: Catalog) -> list[Change]:
    """What turns the first wording into the second, in the order of the first; an empty list when they say the same."""
    return list(_Comparison(catalog).of(before, (), after, ()))


Placed: TypeAlias = tuple[Path, Rule]
_WORDS: Final = {"all": "All of a group must hold now", "any": "Of a group, one is enough now"}


class _Comparison:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def of(self, before: Rule, path: Path, after: Rule, other: Path) -> Iterator[Change]:
        if _meaning(before) == _meaning(after):
            return
        match before, after:
            case (All() | Any(), All() | Any()):
                if form_of(before) != form_of(after):
                    yield self._change(before, path, after, other, _WORDS[form_of(after)])
                yield from self._within(_members(before, path), _members(after, other))
            case (All() | Any(), _):
                if isinstance(before, Any):  # what was one of several ways in must hold now
                    yield self._change(before, path, after, other, _WORDS["all"])
                yield from self._within(_members(before, path), [(other, after)])
            case (_, All() | Any()):
                if isinstance(after, Any):
                    yield self._change(before, path, after, other, _WORDS["any"])
                yield from self._within([(path, before)], _members(after, other))
            case (Not(inner), Not(other_inner)):
                yield from self.of(inner, (*path, "not"), other_inner, (*other, "not"))
            case _ if _alike(before, after):
                yield self._change(before, path, after, other)
            case _:
                yield self._removed(path, before)
                yield self._added(other, after)

    def _within(self, befores: list[Placed], afters: list[Placed]) -> Iterator[Change]:
        """Conditions side by side, in whatever order: equal ones are left out, then alike ones are paired."""
        left = list(afters)
        unmatched: list[Placed] = []
        for path, one in befores:
            same = next((placed for placed in left if _meaning(placed[1]) == _meaning(one)), None)
            if same is None:
                unmatched.append((path, one))
            else:
                left.remove(same)
        for path, one in unmatched:
            best = max(left, key=lambda placed: _likeness(one, placed[1]), default=None)
            if best is not None and _likeness(one, best[1]):
                left.remove(best)
                yield from self.of(one, path, best[1], best[0])
            else:
                yield self._removed(path, one)
        for path, one in left:
            yield self._added(path, one)

    def _change(self, before: Rule, path: Path, after: Rule, other: Path, said: str = "") -> Change:
        first, second = self._place(path, before), self._place(other, after)
        said = said or f"Changed: {_bare(first.sentence)} → {_bare(second.sentence)}"
        return Change(kind=ChangeKind.CHANGED, before=first, after=second, sentence=f"{said}.")

    def _added(self, path: Path, rule: Rule) -> Change:
        place = self._place(path, rule)
        return Change(kind=ChangeKind.ADDED, before=None, after=place, sentence=f"Added: {_bare(place.sentence)}.")

    def _removed(self, path: Path, rule: Rule) -> Change:
        place = self._place(path, rule)
        return Change(kind=ChangeKind.REMOVED, before=place, after=None, sentence=f"Removed: {_bare(place.sentence)}.")

    def _place(self, path: Path, rule: Rule) -> Place:
        return Place(pointer=pointer(path), sentence=describe(rule, self.catalog))


def _members(group: All | Any, path: Path) -> list[Placed]:
    return [((*path, form_of(group), position), one) for position, one in enumerate(group.rules)]


def _meaning(rule: Rule) -> str:
    """Text that wordings share which differ in order only, or in a group around a single condition."""
    match rule:
        case All(rules) | Any(rules) if len(rules) == 1:
            return _meaning(rules[0])
        case All(rules) | Any(rules):
            return json.dumps([form_of(rule), *sorted(_meaning(one) for one in rules)])
        case Not(Not(inner)):
            return _meaning(inner)
        case Not(inner):
            return json.dumps(["not", _meaning(inner)])
        case Everyone():
            return '["everyone"]'
        case leaf:
            return leaf.key


def _subjects(rule: Rule) -> set[str]:
    """What the conditions of a rule are about: this trait, that event."""
    return {
        json.dumps([form_of(one), *(sorted(names) for names in _named(one))]) if isinstance(one, Leaf) else "everyone"
        for _, one in nodes(rule)
        if isinstance(one, Leaf | Everyone)
    }


def _named(leaf: Leaf) -> tuple[frozenset[str], ...]:
    return leaf.traits, leaf.events, leaf.segments, leaf.scores, leaf.lists, leaf.purposes


def _likeness(one: Rule, other: Rule) -> float:
    """From 0, nothing in common, to 1, about the same things; a little more for the same form."""
    first, second = _subjects(one), _subjects(other)
    shared = len(first & second) / len(first | second)
    return shared + (0.1 if form_of(one) == form_of(other) else 0) if shared else 0


def _alike(one: Rule, other: Rule) -> bool:
    """Whether one is the other reworded: it speaks of the same thing, be it negated."""
    return _likeness(one, other) > 0


def _bare(sentence: str) -> str:
    return sentence.removesuffix(".")

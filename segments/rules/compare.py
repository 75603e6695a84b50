"""What changed between two wordings of a rule: conditions added, removed, changed, and groups that read otherwise.

Order means nothing, and neither does writing one thing in two ways. Whom a change takes in or leaves out doesn't
belong here.
"""

import json
from collections import deque
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
        # By the identity of groups and conditions, which live as long as the comparison: each is asked about many times.
        self._meanings: dict[int, str] = {}
        self._about: dict[int, frozenset[str]] = {}
        self._forms: dict[int, str] = {}

    def of(self, before: Rule, path: Path, after: Rule, other: Path) -> Iterator[Change]:
        if self._meaning(before) == self._meaning(after):
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
            case _ if self._likeness(before, after) > 0:
                yield self._change(before, path, after, other)
            case _:
                yield self._removed(path, before)
                yield self._added(other, after)

    def _within(self, befores: list[Placed], afters: list[Placed]) -> Iterator[Change]:
        """Conditions side by side, in whatever order: equal ones are left out, then alike ones are paired."""
        same: dict[str, deque[int]] = {}
        for number, (_, one) in enumerate(afters):
            same.setdefault(self._meaning(one), deque()).append(number)
        left = dict(enumerate(afters))
        unmatched: list[Placed] = []
        for path, one in befores:
            if numbers := same.get(self._meaning(one)):
                del left[numbers.popleft()]
            else:
                unmatched.append((path, one))
        about_the_same: dict[tuple[frozenset[str], str], deque[int]] = {}
        for number, (_, one) in left.items():
            about_the_same.setdefault((self._subjects(one), self._form(one)), deque()).append(number)
        for path, one in unmatched:
            numbers = about_the_same.get((self._subjects(one), self._form(one)), deque())
            while numbers and numbers[0] not in left:
                numbers.popleft()
            # None can be more alike than these, so nobody else need be asked.
            best = numbers[0] if numbers else self._most_alike(one, left)
            if best is not None and self._likeness(one, left[best][1]):
                other, rule = left.pop(best)
                yield from self.of(one, path, rule, other)
            else:
                yield self._removed(path, one)
        for path, one in left.values():
            yield self._added(path, one)

    def _most_alike(self, one: Rule, left: dict[int, Placed]) -> int | None:
        return max(left, key=lambda number: self._likeness(one, left[number][1]), default=None)

    def _meaning(self, rule: Rule) -> str:
        """JSON that wordings share which differ in order only, or in a group around a single condition."""
        if id(rule) not in self._meanings:
            self._meanings[id(rule)] = self._meant(rule)
        return self._meanings[id(rule)]

    def _meant(self, rule: Rule) -> str:
        match rule:
            case All(rules) | Any(rules) if len(rules) == 1:
                return self._meaning(rules[0])
            case All(rules) | Any(rules):
                # Put together as text: as strings within strings, each level would double the escapes of those below.
                return f'["{form_of(rule)}",{",".join(sorted(map(self._meaning, rules)))}]'
            case Not(Not(inner)):
                return self._meaning(inner)
            case Not(inner):
                return f'["not",{self._meaning(inner)}]'
            case Everyone():
                return '["everyone"]'
            case leaf:
                return leaf.key

    def _subjects(self, rule: Rule) -> frozenset[str]:
        """What the conditions of a rule are about: this trait, that event."""
        if id(rule) not in self._about:
            self._about[id(rule)] = frozenset(
                _subject(one) for _, one in nodes(rule) if isinstance(one, Leaf | Everyone)
            )
        return self._about[id(rule)]

    def _likeness(self, one: Rule, other: Rule) -> float:
        """From 0, nothing in common, to 1, about the same things; a little more for the same form."""
        first, second = self._subjects(one), self._subjects(other)
        shared = len(first & second) / len(first | second)
        return shared + (0.1 if self._form(one) == self._form(other) else 0) if shared else 0

    def _form(self, rule: Rule) -> str:
        if id(rule) not in self._forms:
            self._forms[id(rule)] = form_of(rule)
        return self._forms[id(rule)]

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


def _subject(one: Rule) -> str:
    if not isinstance(one, Leaf):
        return "everyone"
    named = (one.traits, one.events, one.segments, one.scores, one.lists, one.purposes)
    return json.dumps([form_of(one), *map(sorted, named)])


def _bare(sentence: str) -> str:
    return sentence.removesuffix(".")

"""Editing a rule's document step by step, as somebody does who builds it on a screen: `edit(document, action)`.

What is edited is a draft: JSON that need not be a sound rule yet. A group may be empty, a value may be missing; `load` says what
still stands in its way. Documents are never changed: each step gives a new one, so that undoing is going back to the one before.
Which values a condition can have, and how they are asked for, doesn't belong here.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from segments.rules.errors import Path, pointer
from segments.rules.limits import MAX_LEAVES, outsized
from segments.rules.nodes import VERSION

Document = dict[str, Any]


class GroupKind(StrEnum):
    """How the conditions of a group stand together; the last two are a group under "not"."""

    ALL = "all"
    ANY = "any"
    NONE = "none"
    NOT_ALL = "not_all"


# By kind: the word of its list, and whether it stands under "not".
_WRITTEN: Final = {
    GroupKind.ALL: ("all", False),
    GroupKind.ANY: ("any", False),
    GroupKind.NONE: ("any", True),
    GroupKind.NOT_ALL: ("all", True),
}
_KINDS: Final = {written: kind for kind, written in _WRITTEN.items()}
_LISTS: Final = ("all", "any")


class EditRefused(Exception):
    """The step can't be taken; ``code`` is stable, ``pointer`` says at which place of the document."""

    def __init__(self, code: str, message: str, path: Path) -> None:
        super().__init__(message)
        self.code, self.message, self.pointer = code, message, pointer(path)


class Action(ABC):
    """One step. Places are paths in the document as it is before the step.

    A place in a list of conditions, of filters (`where`) or of steps (`sequence`) ends with its position.
    """

    @abstractmethod
    def on(self, document: Document) -> Document:
        """The document after it.

        Raises:
            EditRefused: there is no such place, or the step makes no sense there.
        """


def edit(document: Document, action: Action) -> Document:
    """The document after one step; the one given stays as it is.

    Raises:
        EditRefused: there is no such place, the step makes no sense there, or the rule would become too large.
    """
    after = action.on(document)
    if (bomb := outsized(after)) is not None:
        raise EditRefused(bomb.code, bomb.message, ())
    if conditions(after) > max(MAX_LEAVES, conditions(document)):
        raise EditRefused("too_many_conditions", f"a rule may have {MAX_LEAVES:,} conditions", ())
    return after


def blank() -> Document:
    """A draft that says nothing yet. It is no rule, so it can't be taken for one of everybody."""
    return {"version": VERSION, "all": []}


def as_draft(document: Document) -> Document:
    """The same rule with a group at its root, so that there is a place for another condition, and nothing negated twice.

    Raises:
        EditRefused: it is too large or too deep to be built.
    """
    if (bomb := outsized(document)) is not None:
        raise EditRefused(bomb.code, bomb.message, ())
    version = document.get("version", VERSION)
    condition = _plain({key: value for key, value in document.items() if key != "version"})
    if group_kind(condition) is not None:
        return {"version": version, **condition}
    return {"version": version, "all": [condition] if condition else []}


def _plain(node: Any) -> Any:
    """The same without "not" around "not"."""
    if not isinstance(node, dict):
        return node
    while isinstance(node.get("not"), dict) and isinstance(node["not"].get("not"), dict):
        node = node["not"]["not"]
    inner = {word: [_plain(one) for one in node[word]] for word in _LISTS if isinstance(node.get(word), list)}
    return {**node, **inner, **({"not": _plain(node["not"])} if "not" in node else {})}


# ---- Reading a draft ---------------------------------------------------------------------------------------------


def group_kind(node: object) -> GroupKind | None:
    """How the conditions of this node stand together; None of what is no group."""
    inner, is_negated = (node["not"], True) if isinstance(node, dict) and "not" in node else (node, False)
    if not isinstance(inner, dict):
        return None
    word = next((word for word in _LISTS if isinstance(inner.get(word), list)), None)
    return None if word is None else _KINDS[word, is_negated]


def list_path(document: Document, path: Path) -> Path:
    """Where the list of the group at the path is.

    Raises:
        EditRefused: there is no group.
    """
    kind = group_kind(at(document, path))
    if kind is None:
        raise EditRefused("no_group", "there is no group at this place", path)
    word, is_negated = _WRITTEN[kind]
    return (*path, *(("not",) if is_negated else ()), word)


def at(document: Document, path: Path) -> Any:
    """What stands at the place.

    Raises:
        EditRefused: there is no such place.
    """
    found: Any = document
    for number, step in enumerate(path):
        is_there = (
            isinstance(found, dict) and step in found
            if isinstance(step, str)
            else isinstance(found, list) and 0 <= step < len(found)
        )
        if not is_there:
            raise EditRefused("no_such_place", "the rule has no such place any more", path[: number + 1])
        found = found[step]
    return found


def conditions(node: object) -> int:
    """How many conditions there are, groups not counted."""
    total, ahead = 0, [node]
    while ahead:
        one = ahead.pop()
        if not isinstance(one, dict):
            continue
        if "not" in one:
            ahead.append(one["not"])
            continue
        word = next((word for word in _LISTS if isinstance(one.get(word), list)), None)
        if word is None:
            total += bool(one.keys() - {"version"})
        else:
            ahead += one[word]
    return total


# ---- Steps -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Add(Action):
    """Puts conditions, filters or steps into a list, before the position; at its end if none is given.

    A list of filters is made where there is none yet.
    """

    into: Path
    nodes: tuple[Document, ...]
    position: int | None = None

    def on(self, document: Document) -> Document:
        if self.into[-1:] == ("where",) and "where" not in _dict(document, self.into[:-1]):
            document = _changed(document, self.into[:-1], lambda leaf: {**leaf, "where": []})
        return _changed(document, self.into, self._extended)

    def _extended(self, found: Any) -> Any:
        if not isinstance(found, list):
            raise EditRefused("no_group", "nothing can be added at this place", self.into)
        position = len(found) if self.position is None else min(max(self.position, 0), len(found))
        return [*found[:position], *self.nodes, *found[position:]]


@dataclass(frozen=True, kw_only=True)
class Put(Action):
    """Sets a part of a condition, or a whole one. A "not" around a condition stays."""

    at: Path
    value: Any

    def on(self, document: Document) -> Document:
        if not self.at:
            raise EditRefused("no_such_place", "the whole rule isn't a part of itself", self.at)
        *above, step = self.at
        if isinstance(step, int):
            return _changed(document, self.at, lambda _: self.value)
        _dict(document, tuple(above))
        return _changed(document, tuple(above), lambda found: {**found, step: self.value})


@dataclass(frozen=True, kw_only=True)
class Drop(Action):
    """Takes a part of a condition away; one that isn't there is gone already."""

    at: Path

    def on(self, document: Document) -> Document:
        *above, step = self.at
        _dict(document, tuple(above))
        return _changed(document, tuple(above), lambda found: {k: v for k, v in found.items() if k != step})


@dataclass(frozen=True, kw_only=True)
class Remove(Action):
    """Takes a condition, a group, a filter or a step away. With the last filter the list of filters goes."""

    what: Path

    def on(self, document: Document) -> Document:
        into, position = _entry(document, self.what)
        after = _changed(document, into, lambda found: [*found[:position], *found[position + 1 :]])
        return Drop(at=into).on(after) if into[-1] == "where" and not at(after, into) else after


@dataclass(frozen=True, kw_only=True)
class Move(Action):
    """Takes something out of one list and puts it into the same or another one, before the position that counts there now."""

    what: Path
    into: Path
    position: int

    def on(self, document: Document) -> Document:
        source, _ = _entry(document, self.what)
        if self.into[: len(self.what)] == self.what:
            raise EditRefused("into_itself", "a group can't be moved into itself", self.what)
        if _species(source) != _species(self.into):
            raise EditRefused("wrong_place", "it makes no sense at that place", self.into)
        target = at(document, self.into)
        if not isinstance(target, list):
            raise EditRefused("no_group", "there is no group at this place", self.into)
        node, position = at(document, self.what), min(max(self.position, 0), len(target))
        # Added first and taken away then: so the place it goes to is where it was said to be.
        after = Add(into=self.into, nodes=(node,), position=position).on(document)
        return Remove(what=_shifted(self.what, self.into, position)).on(after)


@dataclass(frozen=True, kw_only=True)
class Duplicate(Action):
    """Puts the same once more behind it."""

    what: Path

    def on(self, document: Document) -> Document:
        into, position = _entry(document, self.what)
        return Add(into=into, nodes=(at(document, self.what),), position=position + 1).on(document)


@dataclass(frozen=True, kw_only=True)
class Wrap(Action):
    """Puts a condition or a group into a group of its own."""

    what: Path
    kind: GroupKind

    def on(self, document: Document) -> Document:
        into, _ = _entry(document, self.what)
        if _species(into) == "sequence":
            raise EditRefused("wrong_place", "steps can't be grouped", self.what)
        return _changed(document, self.what, lambda node: _group(self.kind, [node]))


@dataclass(frozen=True, kw_only=True)
class Unwrap(Action):
    """Puts what is in a group in its place; the way in which it stood together is gone."""

    what: Path

    def on(self, document: Document) -> Document:
        into, position = _entry(document, self.what)
        inner = at(document, list_path(document, self.what))
        return _changed(document, into, lambda found: [*found[:position], *inner, *found[position + 1 :]])


@dataclass(frozen=True, kw_only=True)
class Negate(Action):
    """Says the opposite: with "not" around it, or without."""

    what: Path

    def on(self, document: Document) -> Document:
        if not self.what:
            word, is_negated = _WRITTEN[_root_kind(document)]
            return Regroup(what=(), kind=_KINDS[word, not is_negated]).on(document)
        into, _ = _entry(document, self.what)
        if _species(into) == "sequence":
            raise EditRefused("wrong_place", "of a step, choose that it did not follow", self.what)
        return _changed(document, self.what, lambda node: node.get("not", {"not": node}))


@dataclass(frozen=True, kw_only=True)
class Regroup(Action):
    """Has the conditions of a group stand together in another way."""

    what: Path
    kind: GroupKind

    def on(self, document: Document) -> Document:
        inner = at(document, list_path(document, self.what))
        if self.what:
            return _changed(document, self.what, lambda _: _group(self.kind, inner))
        return {"version": document.get("version", VERSION), **_group(self.kind, inner)}


# ---- Within --------------------------------------------------------------------------------------------------------


def _group(kind: GroupKind, inner: list[Any]) -> Document:
    word, is_negated = _WRITTEN[kind]
    return {"not": {word: inner}} if is_negated else {word: inner}


def _root_kind(document: Document) -> GroupKind:
    kind = group_kind(document)
    if kind is None:
        raise EditRefused("no_group", "the rule has no group at its root", ())
    return kind


def _dict(document: Document, path: Path) -> Document:
    found = at(document, path)
    if not isinstance(found, dict):
        raise EditRefused("no_such_place", "the rule has no such place any more", path)
    return found


def _entry(document: Document, path: Path) -> tuple[Path, int]:
    """The list in which it stands, and where; it must be there."""
    at(document, path)
    if not path or not isinstance(path[-1], int):
        raise EditRefused("no_such_place", "only what stands in a list can be moved or taken away", path)
    if not isinstance(at(document, path), dict):
        raise EditRefused("no_such_place", "the rule has no condition at this place", path)
    return path[:-1], path[-1]


def _species(into: Path) -> str:
    """What stands in the list: conditions, filters or steps."""
    words = [step for step in into if isinstance(step, str)]
    return "where" if "where" in words else "sequence" if words[-1:] == ["sequence"] else "conditions"


def _shifted(path: Path, into: Path, position: int) -> Path:
    """Where what was at the path is once something stands in the list before that position."""
    depth = len(into)
    step = path[depth] if path[:depth] == into and len(path) > depth else None
    return (*path[:depth], step + 1, *path[depth + 1 :]) if isinstance(step, int) and step >= position else path


def _changed(document: Document, path: Path, change: Callable[[Any], Any]) -> Document:
    """The document with another thing at the path; what isn't on the way there is shared."""
    at(document, path)
    after: Document = _replaced(document, path, change)
    return after


def _replaced(node: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(node)
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        return {**node, step: _replaced(node[step], rest, change)}
    return [*node[:step], _replaced(node[step], rest, change), *node[step + 1 :]]


def text_of(nodes: tuple[Document, ...]) -> str:
    """Conditions as they are copied, to be pasted into this or another rule."""
    return json.dumps({"version": VERSION, "conditions": list(nodes)}, ensure_ascii=False)


def pasted(document: object) -> tuple[Document, ...]:
    """The conditions in what somebody pastes: what `text_of` gives, a whole rule, one condition, or a list of them.

    Raises:
        EditRefused: there is none in it.
    """
    if isinstance(document, dict):
        found = document.get("conditions", [{key: value for key, value in document.items() if key != "version"}])
    else:
        found = document
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) and one for one in found):
        raise EditRefused("nothing_to_paste", "what was pasted holds no condition", ())
    if (bomb := outsized(found)) is not None:
        raise EditRefused(bomb.code, bomb.message, ())
    return tuple(_plain(one) for one in found)

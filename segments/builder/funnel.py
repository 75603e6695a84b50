"""How each condition narrows a rule down: which counts to ask for, and what they come to at each place. Pure.

A condition has the people it is true of alone, and those who are left once it and all before it are counted. In a group that takes
people in they become more, in one that keeps people out fewer. Counting is in `segments.previews`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from segments.rules import All, Any, Not, Rule
from segments.rules.edit import Document, GroupKind, group_kind, list_path
from segments.rules.errors import Path, pointer

# With more conditions the counts of what is left would cost more than they tell: each is counted alone then.
MOST_LEFT: Final = 60


@dataclass(frozen=True, kw_only=True)
class Question:
    """A rule of which people are counted: of what stands at the place alone, or of all up to it."""

    at: str
    is_left: bool
    rule: Rule


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """What a condition or group does where it stands, in people; None of what wasn't counted.

    ``before`` were there before it, ``left`` are there after it.
    """

    alone: int | None
    before: int | None
    left: int | None

    @property
    def share(self) -> float | None:
        """Of those before it, how many are left."""
        return None if self.left is None or not self.before else self.left / self.before

    @property
    def out(self) -> int | None:
        """How many it keeps out."""
        return None if self.left is None or self.before is None else self.before - self.left


def questions(rule: Rule) -> list[Question]:
    """What to count so that `narrowings` can be told; the first is the whole rule."""
    alone = [Question(at=pointer(path), is_left=False, rule=one) for path, one in _nodes(rule, ())]
    if len(alone) > MOST_LEFT:
        return alone
    return [*alone, *_left(rule, (), ())]


def narrowings(asked: Sequence[Question], counts: Sequence[int | None], everybody: int) -> dict[str, Narrowing]:
    """By place, what stands there does. A group's first condition has what was there before the group."""
    alone = {one.at: count for one, count in zip(asked, counts, strict=True) if not one.is_left}
    left = {one.at: count for one, count in zip(asked, counts, strict=True) if one.is_left}
    found: dict[str, Narrowing] = {}
    for at, count in alone.items():
        found[at] = Narrowing(alone=count, before=_before(at, left, everybody), left=left.get(at))
    return found


def _before(at: str, left: Mapping[str, int | None], everybody: int) -> int | None:
    """Those who were there before what stands at the place: left by its neighbour above, or by what its group follows."""
    if at not in left:
        return None
    group, _, place = at.rpartition("/")
    if place.isdecimal() and int(place) > 0:
        return left.get(f"{group}/{int(place) - 1}")
    above = group.rpartition("/")[0].removesuffix("/not")
    return _before(above, left, everybody) if above in left else everybody


def _nodes(rule: Rule, path: Path) -> Iterator[tuple[Path, Rule]]:
    yield path, rule
    inner, at = (rule.rule, (*path, "not")) if isinstance(rule, Not) else (rule, path)
    if isinstance(inner, All | Any):
        word = "all" if isinstance(inner, All) else "any"
        for position, one in enumerate(inner.rules):
            yield from _nodes(one, (*at, word, position))


def _left(rule: Rule, path: Path, context: tuple[Rule, ...]) -> Iterator[Question]:
    """Of the conditions of a group, from the first on, together with all that stands before the group."""
    inner, at = (rule.rule, (*path, "not")) if isinstance(rule, Not) else (rule, path)
    if not isinstance(inner, All | Any) or (isinstance(rule, Not) and isinstance(inner, All)):
        return
    word = "all" if isinstance(inner, All) else "any"
    for position, one in enumerate(inner.rules):
        so_far, before = inner.rules[: position + 1], inner.rules[:position]
        together: Rule = All(so_far) if isinstance(inner, All) else Any(so_far)
        held: Rule = Not(together) if isinstance(rule, Not) else together
        place = (*at, word, position)
        yield Question(at=pointer(place), is_left=True, rule=All((*context, held)))
        if isinstance(inner, All):
            yield from _left(one, place, (*context, *before))


# ---- Drafts that aren't sound yet --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Countable:
    """The part of a draft that can be counted; ``places`` leads from its places to those in the draft."""

    document: Document
    places: Mapping[str, str]
    left_out: int


def countable(document: Document, wrong: Sequence[str]) -> Countable | None:
    """The draft without the conditions at which something is wrong; None where nothing can be counted of it.

    Args:
        wrong: the pointers of its errors.
    """
    places: dict[str, str] = {}
    left_out = 0

    def kept(node: object, old: Path, new: Path) -> object | None:
        nonlocal left_out
        if not isinstance(node, dict):
            return None
        kind = group_kind(node)
        if kind is None:
            at = pointer(old)
            if any(one == at or one.startswith(f"{at}/") for one in wrong):
                left_out += 1
                return None
            places[pointer(new)] = at
            return node
        into = list_path(node, ())
        inner: list[object] = []
        group: object = node
        for step in into:
            group = group[step]  # type: ignore[index]
        for position, one in enumerate(group):  # type: ignore[arg-type, var-annotated]
            if (found := kept(one, (*old, *into, position), (*new, *into, len(inner)))) is not None:
                inner.append(found)
        if not inner:
            return None
        places[pointer(new)] = pointer(old)
        word = "any" if kind in (GroupKind.ANY, GroupKind.NONE) else "all"
        return {"not": {word: inner}} if into[0] == "not" else {word: inner}

    found = kept({key: value for key, value in document.items() if key != "version"}, (), ())
    if not isinstance(found, dict):
        return None
    return Countable(document={"version": document.get("version"), **found}, places=places, left_out=left_out)

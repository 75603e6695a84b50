"""What changed between two versions of a notice, word by word. Pure; how it is shown is the console's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from consent.notices import Content

# A word with the space behind it: spaces by themselves would tie together what has nothing in common.
WORDS: Final = re.compile(r"\S+\s*|\s+")
# Beyond so many words in one text the comparison takes shortcuts (what occurs very often is no anchor).
EXACT_WORDS: Final = 2000
PARTS: Final = {
    "title": "Title",
    "text": "Text",
    "accept": "Button: accept",
    "reject": "Button: reject",
    "choose": "Button: choose",
    "save": "Button: save",
    "link_text": "Link",
    "link": "Address of the link",
}


class Kind(StrEnum):
    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    kind: Kind
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What became of one part of a notice."""

    part: str
    pieces: tuple[Piece, ...]

    @property
    def added(self) -> int:
        return sum(len(piece.text.split()) for piece in self.pieces if piece.kind == Kind.ADDED)

    @property
    def removed(self) -> int:
        return sum(len(piece.text.split()) for piece in self.pieces if piece.kind == Kind.REMOVED)


def changes(before: Content | None, after: Content) -> list[Change]:
    """The parts that differ, in the order in which they are read; before the first version there was nothing."""
    was, now = _parts(before) if before is not None else {}, _parts(after)
    order = [*now, *(part for part in was if part not in now)]
    return [
        Change(part=part, pieces=pieces(was.get(part, ""), now.get(part, "")))
        for part in order
        if was.get(part, "") != now.get(part, "")
    ]


def pieces(before: str, after: str) -> tuple[Piece, ...]:
    """The words of both, each once: what is common, what went, what came. Put together they give either text."""
    was, now = WORDS.findall(before), WORDS.findall(after)
    matcher = SequenceMatcher(a=was, b=now, autojunk=max(len(was), len(now)) > EXACT_WORDS)
    found: list[Piece] = []
    for kind, low, high, first, last in matcher.get_opcodes():
        if kind == "equal":
            found.append(Piece(kind=Kind.SAME, text="".join(was[low:high])))
            continue
        found += _piece(Kind.REMOVED, was[low:high])
        found += _piece(Kind.ADDED, now[first:last])
    return tuple(found)


def _piece(kind: Kind, words: Sequence[str]) -> list[Piece]:
    return [Piece(kind=kind, text="".join(words))] if words else []


def _parts(content: Content) -> dict[str, str]:
    parts = {label: getattr(content, name) for name, label in PARTS.items()}
    for told in content.purposes:
        # By the key, which stays the same while its words are what is compared.
        purpose = told.key.replace("_", " ").capitalize()
        parts[f"{purpose}: label"] = told.label
        parts[f"{purpose}: text"] = told.text
    return parts

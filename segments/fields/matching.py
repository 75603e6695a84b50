"""How well a name fits what somebody types, and which of its letters do. Pure: no database here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from segments.rules.folding import fold

LONGEST_TEXT: Final = 60  # characters; nobody types more to find a field
Span = tuple[int, int]


class Fit(IntEnum):
    """The better the smaller. By the label a person finds it sooner than by its key, by that sooner than by its category."""

    WHOLE = 0
    BEGINNING = 1
    WORDS = 2
    WITHIN = 3
    KEY_BEGINNING = 4
    KEY_WITHIN = 5
    CATEGORY = 6
    LETTERS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """How a field fits, and the letters of its label and of its key that do, as (from, to) in their order."""

    fit: Fit
    label: tuple[Span, ...] = ()
    key: tuple[Span, ...] = ()


NOTHING_TYPED: Final = Match(fit=Fit.BEGINNING)


@dataclass(frozen=True, slots=True)
class Folded:
    """A text without case and accents, with the letter of the text that each of its own stands for."""

    text: str
    places: tuple[int, ...]

    # A catalogue's names are looked through again with each letter that is typed.
    @classmethod
    @lru_cache(maxsize=8192)
    def of(cls, text: str) -> "Folded":
        parts = [(part, place) for place, letter in enumerate(text) for part in fold(letter)]
        return cls("".join(part for part, _ in parts), tuple(place for _, place in parts))

    def span(self, start: int, end: int) -> Span:
        return self.places[start], self.places[end - 1] + 1

    def starts(self) -> list[int]:
        """Where words begin: after anything that is no letter or digit."""
        return [n for n, one in enumerate(self.text) if one.isalnum() and (n == 0 or not self.text[n - 1].isalnum())]


def match(text: str, *, label: str, key: str, category: str = "") -> Match | None:
    """How the field fits what was typed; None when it doesn't. All words that were typed must be found, in any order."""
    wanted = fold(text[:LONGEST_TEXT]).split()
    if not wanted:
        return NOTHING_TYPED
    return (
        _in_label(wanted, Folded.of(label))
        or _in_key(wanted, Folded.of(key))
        or (Match(fit=Fit.CATEGORY) if category and fold(category).startswith(" ".join(wanted)) else None)
        or _letters(wanted, Folded.of(label))
    )


def _in_label(wanted: Sequence[str], label: Folded) -> Match | None:
    typed = " ".join(wanted)
    if label.text.startswith(typed):
        fit = Fit.WHOLE if label.text == typed else Fit.BEGINNING
        return Match(fit=fit, label=(label.span(0, len(typed)),))
    for fit, spans in ((Fit.WORDS, _at_words(wanted, label)), (Fit.WITHIN, _anywhere(wanted, label))):
        if spans is not None:
            return Match(fit=fit, label=_joined(spans))
    return None


def _in_key(wanted: Sequence[str], key: Folded) -> Match | None:
    spans = _anywhere(wanted, key)
    if spans is None:
        return None
    fit = Fit.KEY_BEGINNING if _at_words(wanted, key) is not None else Fit.KEY_WITHIN
    return Match(fit=fit, key=_joined(spans))


def _at_words(wanted: Sequence[str], name: Folded) -> list[Span] | None:
    """The spans of the words that were typed, each at the beginning of another word."""
    free, spans = name.starts(), []
    for one in wanted:
        start = next((place for place in free if name.text.startswith(one, place)), None)
        if start is None:
            return None
        free.remove(start)
        spans.append(name.span(start, start + len(one)))
    return spans


def _anywhere(wanted: Sequence[str], name: Folded) -> list[Span] | None:
    found = [(name.text.find(one), len(one)) for one in wanted]
    return None if any(start < 0 for start, _ in found) else [name.span(start, start + size) for start, size in found]


def _letters(wanted: Sequence[str], label: Folded) -> Match | None:
    """Its letters as the beginnings of words: "aov" and "avorval" are in "Average order value". Of one letter much would fit."""
    typed = "".join(wanted)
    places = _beginnings(typed, label, 0) if len(typed) > 1 and _in_order(typed, label.text) else None
    if places is None:
        return None
    return Match(fit=Fit.LETTERS, label=_joined([label.span(place, place + 1) for place in places]))


def _in_order(typed: str, text: str) -> bool:
    """Whether its letters stand in the text in their order: most names are ruled out by that at once."""
    letters = iter(text)
    return all(letter in letters for letter in typed)


def _beginnings(typed: str, label: Folded, after: int) -> list[int] | None:
    """Where each letter stands: at the beginning of a word from here on, or right behind the letter before it."""
    if not typed:
        return []
    for start in (one for one in label.starts() if one >= after):
        length = 0
        while length < len(typed) and label.text.startswith(typed[: length + 1], start):
            length += 1
        for taken in range(length, 0, -1):
            rest = _beginnings(typed[taken:], label, start + taken)
            if rest is not None:
                return [*range(start, start + taken), *rest]
    return None


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """In their order, those that touch as one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)


def parts(text: str, spans: Sequence[Span]) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it was matched."""
    pieces: list[tuple[str, bool]] = []
    place = 0
    for start, end in spans:
        pieces += [(text[place:start], False), (text[start:end], True)]
        place = end
    return [piece for piece in [*pieces, (text[place:], False)] if piece[0]]

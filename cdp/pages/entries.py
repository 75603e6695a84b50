"""What else the preference centre leads to: asking for one's data, having it erased. Whoever builds such a page says so here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A link at the end of the preference centre.

    Args:
        text: what it says; a lazy translation, so that it follows the page's language.
        about: a sentence on what happens there.
        address: where it leads for whoever has this token. It takes the one by which the preference centre was opened: a
            fresh one would begin a link's days anew with each look, and none would ever end.
    """

    text: Any
    about: Any
    address: Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Link:
    text: Any
    about: Any
    url: str


_entries: list[Entry] = []


def offer(entry: Entry) -> None:
    """Has the preference centre of everybody lead there; called once, when the apps are ready."""
    _entries.append(entry)


def of(token: str) -> list[Link]:
    return [Link(text=one.text, about=one.about, url=one.address(token)) for one in _entries]

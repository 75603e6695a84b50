"""Visits to a site or an app: what a person's devices sent, cut where more than half an hour was silent.

Pure: how pieces become sessions. Reading and writing them is in `cdp.profiles.session_store`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

SESSION_STARTED: Final = "Session Started"
GAP: Final = timedelta(minutes=30)
TEXT_LIMIT: Final = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """The first event of a session: by which identifier it came, and from where."""

    message_id: str
    source_id: int
    identifier_id: int | None
    received_at: datetime | None
    page: str
    utm_source: str
    utm_medium: str
    utm_campaign: str

    @property
    def said(self) -> dict[str, str]:
        """What is known of it, as the properties of an event."""
        names = ("page", "utm_source", "utm_medium", "utm_campaign")
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Visit:
    """A session, or a piece of one: a lone event is a piece, too."""

    started_at: datetime
    ended_at: datetime
    events: int
    entry: Entry

    @property
    def key(self) -> tuple[datetime, str, int]:
        """The place of its first event; of those at one moment the smallest message id is the first."""
        return self.started_at, self.entry.message_id, self.entry.source_id


def joined(pieces: Iterable[Visit]) -> list[Visit]:
    """The sessions that the pieces form, in order of time: two are one unless more than `GAP` lies between them.

    Events only ever add to sessions and join them. So it doesn't matter which pieces were joined before.
    """
    sessions: list[Visit] = []
    for piece in sorted(pieces, key=lambda one: one.key):
        last = sessions[-1] if sessions else None
        if last is None or piece.started_at - last.ended_at > GAP:
            sessions.append(piece)
        else:
            ended_at = max(last.ended_at, piece.ended_at)
            sessions[-1] = Visit(last.started_at, ended_at, last.events + piece.events, last.entry)
    return sessions


def where_from(properties: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Page (a screen's name in an app), and the campaign's source, medium and name; "" for what isn't told."""
    page, campaign = context.get("page"), context.get("campaign")
    path = page.get("path") if isinstance(page, dict) else None
    said = campaign if isinstance(campaign, dict) else {}
    found = path or properties.get("path") or properties.get("name")
    return _text(found), _text(said.get("source")), _text(said.get("medium")), _text(said.get("name"))


def _text(value: Any) -> str:
    return value[:TEXT_LIMIT] if isinstance(value, str) else ""

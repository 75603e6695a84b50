"""What of a person's timeline is asked for: of which kind, from where, between which days, with which words in it.

Read from an address, so what can't be meant is left out; the entries themselves are in `cdp.console.timeline`.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import QueryDict
from django.utils import timezone

from cdp.profiles.models import Event, EventType

KINDS: Final = ("segments", "consent", "merges")
LONGEST_NUMBER: Final = 9  # digits of the number of an event name
LONGEST_TEXT: Final = 100


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The filters of a timeline.

    ``kind`` is "", one of KINDS, or the number of an event name. ``text`` is looked for in what events say: only for a
    reader who sees it unmasked, since whether it is found would tell what is hidden.
    """

    kind: str = ""
    source: int | None = None
    type: EventType | None = None
    since: date | None = None
    until: date | None = None
    text: str = ""

    @classmethod
    def of(cls, query: QueryDict, *, is_masked: bool) -> "Asked":
        kind = query.get("kind", "")
        number = kind.isascii() and kind.isdecimal() and len(kind) <= LONGEST_NUMBER
        text = "" if is_masked else query.get("text", "").strip()[:LONGEST_TEXT]
        types = {str(one.value): one for one in EventType}
        return cls(
            # A kind that isn't one shows nothing, as one that nobody has.
            kind=kind if number or kind in ("", *KINDS) else "none",
            source=_number(query.get("source", "")),
            type=types.get(query.get("type", "")),
            since=_day(query.get("since", "")),
            until=_day(query.get("until", "")),
            text=text if "\x00" not in text else "",
        )

    @property
    def is_of_events(self) -> bool:
        """Whether only events can be meant."""
        return self.source is not None or self.type is not None or bool(self.text)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.query)

    @property
    def query(self) -> str:
        """As it stands in an address."""
        said = {
            "kind": self.kind,
            "source": self.source,
            "type": self.type.value if self.type else "",
            "since": self.since or "",
            "until": self.until or "",
            "text": self.text,
        }
        return urlencode({name: value for name, value in said.items() if value not in ("", None)})

    def reads(self, kind: str) -> bool:
        """Whether entries of one of KINDS, or events (""), may be among what is asked for."""
        if kind == "":
            return self.kind == "" or self.kind.isdecimal()
        return not self.is_of_events and self.kind in ("", kind)

    @property
    def first(self) -> datetime | None:
        return _midnight(self.since) if self.since else None

    @property
    def end(self) -> datetime | None:
        """The moment at which the last day is over."""
        return _midnight(self.until + timedelta(days=1)) if self.until else None

    def among(self, events: QuerySet[Event]) -> QuerySet[Event]:
        """Those of the events that fit what is asked of events alone."""
        if self.source is not None:
            events = events.filter(source_id=self.source)
        if self.type is not None:
            events = events.filter(type=self.type)
        if self.text:
            events = events.annotate(said=Cast("properties", TextField())).filter(said__icontains=self.text)
        return events


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else None


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year < 9000 else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=timezone.get_current_timezone())

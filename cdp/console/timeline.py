"""One person's life in order of time: events, segments entered and left, decisions on consent, merges.

Four tables are read newest first and merged page by page; how an entry looks is the template's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from cdp.console.timeline_filters import Asked
from cdp.identity.models import Merge
from cdp.ingestion.models import Source
from cdp.profiles.masking import masked_properties
from cdp.profiles.models import Event, EventName, EventType, Profile, Trait
from consent.models import ConsentRecord, Decision
from segments.models import ChangeKind, MembershipChange, Segment

PAGE = 20
MOST_AT_ONCE = 10_000  # entries of one moment that can be paged through
TOGETHER = timedelta(minutes=30)  # as far apart as events of one visit are at most
NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry. ``fields`` are what unfolds below it; ``group`` are the entries that it stands for, newest first."""

    at: datetime
    icon: str
    tone: str
    title: str
    about: str = ""
    detail: str = ""
    source: str = ""
    link: tuple[str, str] | None = None
    fields: list[tuple[str, Any]] = field(default_factory=list)
    group: list["Item"] = field(default_factory=list)
    is_groupable: bool = False

    @property
    def since(self) -> datetime:
        return self.group[-1].at


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day with its entries. ``quiet`` is how many days without any lie between it and the one above it."""

    day: date
    items: list[Item]
    continues: bool
    quiet: int = 0


@dataclass(frozen=True, kw_only=True)
class Page:
    """Items by day. ``older`` is where the next page begins, or "" at the end."""

    days: list[Day]
    shown: int
    older: str


@dataclass(frozen=True)
class Cursor:
    """A moment, and how many entries of exactly that moment were shown already."""

    at: datetime
    shown: int

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        moment, _, shown = text.partition("~")
        try:
            at, number = datetime.fromisoformat(moment), int(shown)
        except ValueError:
            return None
        # The number says how many rows are read: it comes from an address, so it has a limit.
        return cls(at, number) if at.tzinfo and 0 <= number <= MOST_AT_ONCE else None

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.shown}"


def timeline(profile: Profile, *, asked: Asked, before: str, is_masked: bool, segments: QuerySet[Segment]) -> Page:
    """The page of entries older than the cursor ``before`` ("" for the newest), of what is asked for.

    Args:
        segments: those that the reader may see; of others nothing is told.
    """
    cursor = Cursor.parse(before) if before else None
    skip = cursor.shown if cursor else 0
    room = PAGE + skip + 1
    at = cursor.at if cursor else None
    found: list[Item] = []
    for reader in _readers(profile, asked, is_masked, segments):
        found.extend(reader(at, room))
    found.sort(key=lambda item: item.at, reverse=True)
    page = found[skip : skip + PAGE]
    older = ""
    if len(found) > skip + PAGE:
        last = page[-1].at
        same = sum(1 for item in found[: skip + PAGE] if item.at == last)
        older = str(Cursor(last, same))
    return Page(days=_by_day(page, cursor), shown=len(page), older=older)


def _by_day(items: list[Item], cursor: Cursor | None) -> list[Day]:
    days: list[Day] = []
    above = timezone.localtime(cursor.at).date() if cursor else None
    for item in items:
        day = timezone.localtime(item.at).date()
        if not days or days[-1].day != day:
            before = days[-1].day if days else above
            quiet = max(0, (before - day).days - 1) if before else 0
            days.append(Day(day=day, items=[], continues=not days and day == above, quiet=quiet))
        _put(item, days[-1].items)
    return days


def _put(item: Item, items: list[Item]) -> None:
    """Adds the entry to a day; the same thing done over and over in one visit is one entry that unfolds."""
    last = items[-1] if items else None
    alike = (
        last is not None
        and item.is_groupable
        and last.is_groupable
        and (last.title, last.source) == (item.title, item.source)
        and (last.since if last.group else last.at) - item.at <= TOGETHER
    )
    if last is None or not alike:
        items.append(item)
        return
    group = [*(last.group or [last]), item]
    names = list(dict.fromkeys(one.about for one in group if one.about))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    items[-1] = replace(last, about="", detail=", ".join(names[:NAMES_SHOWN]) + more, group=group, fields=[])


def _readers(profile: Profile, asked: Asked, is_masked: bool, segments: QuerySet[Segment]) -> Iterator[Any]:
    if asked.reads("segments"):
        yield lambda at, room: _changes(profile, at, room, segments, asked)
    if asked.reads("consent"):
        yield lambda at, room: _decisions(profile, at, room, asked)
    if asked.reads("merges"):
        yield lambda at, room: _merges(profile, at, room, asked)
    if asked.reads(""):
        yield lambda at, room: _events(profile, at, room, asked, is_masked)


def _newest(rows: QuerySet[Any], column: str, at: datetime | None, room: int, asked: Asked) -> QuerySet[Any]:
    if at is not None:
        rows = rows.filter(**{f"{column}__lte": at})
    if asked.first is not None:
        rows = rows.filter(**{f"{column}__gte": asked.first})
    if asked.end is not None:
        rows = rows.filter(**{f"{column}__lt": asked.end})
    return rows[:room]


def _events(profile: Profile, at: datetime | None, room: int, asked: Asked, is_masked: bool) -> list[Item]:
    name_id = int(asked.kind) if asked.kind else None
    rows = Event.objects.filter(profile_id=profile.pk).order_by("-occurred_at", "-message_id")
    # What follows from an event is told by the event; who asks for it by name sees it by itself.
    rows = rows.sent() if name_id is None else rows.filter(name_id__in=[name_id, -name_id])
    events = list(_newest(asked.among(rows), "occurred_at", at, room, asked))
    names = EventName.objects.in_bulk({event.named for event in events})
    sources = Source.objects.in_bulk({event.source_id for event in events})
    personal = set(Trait.objects.filter(is_pii=True).values_list("key", flat=True)) if is_masked else set()
    items = []
    for event in events:
        name = names[event.named]
        said = event.properties
        if is_masked:
            # An identify call's properties are traits; there the catalogue says which are personal.
            said = masked_properties(said, personal=personal if event.type == EventType.IDENTIFY else ())
        items.append(
            Item(
                at=event.occurred_at,
                icon=_icon_of(name),
                tone="acc" if event.value is not None and not event.is_superseded else "",
                title=name.label,
                about=_headline(event, said),
                detail=_order(said),
                is_groupable=event.value is None and event.amount is None,
                source=sources[event.source_id].name if event.source_id in sources else "",
                fields=[*said.items(), *_envelope(event)],
            )
        )
    return items


def _headline(event: Event, said: dict[str, Any]) -> str:
    if event.amount is not None:
        amount = f"{event.amount:,.2f} {event.currency or ''}".strip()
        return f"{amount}, superseded" if event.is_superseded else amount
    for key in ("product", "product_name", "name", "title", "path", "url", "query", "category"):
        if isinstance(said.get(key), str):
            return str(said[key])
    return ""


def _order(said: dict[str, Any]) -> str:
    """Which order it is of, and of how many products."""
    parts = [f"Order {said['order_id']}"] if isinstance(said.get("order_id"), str | int) else []
    if isinstance(said.get("products"), list):
        count = len(said["products"])
        parts.append(f"{count} product{'' if count == 1 else 's'}")
    return ", ".join(parts)


def _envelope(event: Event) -> list[tuple[str, Any]]:
    late = (event.received_at - event.occurred_at).total_seconds()
    fields: list[tuple[str, Any]] = [("messageId", event.message_id)]
    if event.is_superseded:
        fields.append(("superseded", "a newer version of this order counts in its place"))
    if event.value is not None and event.value != event.amount:
        fields.append(("in the reporting currency", f"{event.value:,.2f}"))
    fields.append(("received", f"{timezone.localtime(event.received_at):%Y-%m-%d %H:%M:%S}, {_lag(late)}"))
    if event.flags:
        fields.append(("taken with reserve", ", ".join(event.flags)))
    return fields


def _lag(seconds: float) -> str:
    if abs(seconds) < 60:
        return f"{seconds:.1f} s after"
    if abs(seconds) < 7200:
        return f"{seconds / 60:.0f} min after"
    return f"{seconds / 86400:.1f} days after" if abs(seconds) > 86400 else f"{seconds / 3600:.1f} h after"


# First match wins; a name that none knows gets the plain bolt.
ICONS = (("cart", "cart"), ("added", "cart"), ("order", "bag"), ("purchase", "bag"), ("refund", "undo"), ("mail", "mail"),
         ("newsletter", "mail"), ("viewed", "eye"), ("searched", "search"), ("support", "sms"), ("identified", "person"),
         ("aliased", "merge"), ("grouped", "users"))  # fmt: skip


def _icon_of(name: EventName) -> str:
    folded = name.name.lower()
    return next((icon for word, icon in ICONS if word in folded), "bolt")


def _changes(profile: Profile, at: datetime | None, room: int, segments: QuerySet[Segment], asked: Asked) -> list[Item]:
    rows = MembershipChange.objects.filter(profile_id=profile.pk, segment__in=segments.order_by())
    rows = rows.select_related("segment", "version")
    items = []
    for change in _newest(rows.order_by("-effective_at", "-position"), "effective_at", at, room, asked):
        entered = change.kind == ChangeKind.ENTERED
        items.append(
            Item(
                at=change.effective_at,
                icon="enter" if entered else "leave",
                tone="ok" if entered else "no",
                title="Entered" if entered else "Left",
                link=("admin:segments_segment_detail", str(change.segment.uuid)),
                about=change.segment.name,
                detail=change.get_why_display(),
                source=f"Rule {change.version.number}" if change.version else "",
            )
        )
    return items


def _decisions(profile: Profile, at: datetime | None, room: int, asked: Asked) -> list[Item]:
    rows = ConsentRecord.objects.filter(profile_id=profile.pk).select_related("purpose")
    tones = {Decision.GRANTED: "ok", Decision.DENIED: "no", Decision.WITHDRAWN: "no", Decision.PENDING: ""}
    return [
        Item(
            at=record.collected_at,
            icon="shield",
            tone=tones[Decision(record.decision)],
            title=f"Consent {record.get_decision_display().lower()}",
            about=record.purpose.label,
            detail=f"{record.get_method_display()}, for {record.get_reach_display().lower()}",
        )
        for record in _newest(rows.order_by("-collected_at", "-id"), "collected_at", at, room, asked)
    ]


def _merges(profile: Profile, at: datetime | None, room: int, asked: Asked) -> list[Item]:
    rows = Merge.objects.filter(survivor_id=profile.pk)
    return [
        Item(
            at=merge.merged_at,
            icon="merge",
            tone="",
            title="Merged with another profile",
            about="undone since" if merge.undone_at else "",
            detail=merge.reason,
            source="Identity",
        )
        for merge in _newest(rows.order_by("-merged_at", "-id"), "merged_at", at, room, asked)
    ]

"""Finding a field to write a condition about: by what somebody types, among what they may see.

What one field is like is in `segments.fields.cards`, how well a name fits in `segments.fields.matching`.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Max

from cdp.profiles.models import EventName, Trait, TraitCategory, Workspace
from cdp.profiles.score_services import published_scores
from consent.models import Purpose
from segments.fields.matching import Match, match, parts
from segments.fields.models import FieldKind, FieldStatistics
from segments.fields.personal import PERSONAL_TYPES, is_personal_property
from segments.models import SegmentStatus
from segments.personal import personal_traits
from segments.rules import Type
from segments.sharing import lists_in_rules, reads_people, visible_segments


class Beside(StrEnum):
    """What a condition can be about that is no field, and so has no figures."""

    MORE = "more"

    @property
    def label(self) -> str:
        return "Other"


ICONS: Final = {
    Type.TEXT: "text", Type.NUMBER: "hash", Type.BOOLEAN: "check", Type.DATE: "cal", Type.LIST: "list",
    Type.COUNTRY: "globe", Type.CURRENCY: "hash", Type.EMAIL: "mail", Type.PHONE: "sms",
    FieldKind.EVENT: "bolt", FieldKind.SCORE: "gauge", FieldKind.SEGMENT: "segments", FieldKind.LIST: "users",
    FieldKind.PURPOSE: "shieldcheck", FieldKind.PROPERTY: "tag", FieldKind.TRAIT: "tag",
}  # fmt: skip
MOST: Final = 50
# In this order they stand in the picker. Properties are asked for by themselves, of one event.
IN_PICKER: Final[tuple[FieldKind | Beside, ...]] = (
    FieldKind.EVENT,
    FieldKind.TRAIT,
    FieldKind.SCORE,
    FieldKind.SEGMENT,
    FieldKind.LIST,
    FieldKind.PURPOSE,
    Beside.MORE,
)
# The form of a condition about each.
_FORMS: Final = {
    FieldKind.TRAIT: "trait", FieldKind.EVENT: "performed", FieldKind.SCORE: "score", FieldKind.SEGMENT: "in_segment",
    FieldKind.LIST: "in_list", FieldKind.PURPOSE: "consented", FieldKind.PROPERTY: "property",
}  # fmt: skip
# By form: the key it begins with, what it is called, its icon, and what it is.
MORE: Final = {
    "sequence": ("", "Sequence of events", "steps", "People who did one thing and then another, or then did not, in the order you say."),
    "bucket": ("draw", "Random draw", "dice", "A share of all people drawn at random, the same each time: for tests and control groups."),
    "everyone": ("", "Everybody", "users", "All people there are."),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Field:
    """Something a condition can be about, as it stands in a list.

    Attributes:
        key: by which rules name it; of a property within its `event`.
        type: what its values are; None for what has none.
        fill: the share of people (of a property, of events) who have it; None while nobody has counted.
        count: of an event how often it came in 30 days, of segments, lists and permissions how many people they are.
        is_open: whether this reader may write a condition on it.
    """

    kind: FieldKind | Beside
    key: str
    label: str
    event: str = ""
    type: Type | None = None
    category: str = ""
    fill: float | None = None
    count: int | None = None
    is_personal: bool = False
    is_open: bool = True
    match: Match | None = None

    @property
    def form(self) -> str:
        """Of which form a condition about it is; what is no field is named by it."""
        return _FORMS[self.kind] if isinstance(self.kind, FieldKind) else self.key

    @property
    def about(self) -> str:
        """What the condition is about, as a rule names it."""
        return self.key if isinstance(self.kind, FieldKind) else MORE[self.key][0]

    @property
    def icon(self) -> str:
        if isinstance(self.kind, Beside):
            return MORE[self.key][2]
        return ICONS[self.type] if self.type is not None and self.kind != FieldKind.SCORE else ICONS[self.kind]

    @property
    def label_parts(self) -> list[tuple[str, bool]]:
        return parts(self.label, self.match.label if self.match else ())

    @property
    def key_parts(self) -> list[tuple[str, bool]]:
        """The key with what was matched in it; empty when the label alone was."""
        return parts(self.key, self.match.key) if self.match and self.match.key else []


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best of what fits, in their order; how many fit of each kind; and since when the figures are."""

    fields: list[Field]
    counts: dict[FieldKind | Beside, int]
    measured_at: datetime | None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def groups(self) -> list[tuple[FieldKind | Beside, list[Field]]]:
        """The fields by kind, the kinds as they stand in the picker."""
        found = {kind: [one for one in self.fields if one.kind == kind] for kind in (*IN_PICKER, FieldKind.PROPERTY)}
        return [(kind, fields) for kind, fields in found.items() if fields]


def search(
    user: User, text: str, *, kinds: Collection[FieldKind | Beside] | None = None, event: str = "", limit: int = MOST
) -> Found:
    """What fits the text, the best first and of these the commonest; everything when nothing is typed.

    Args:
        kinds: give only these; how many there are of each is told of all.
        event: look among the properties of this event, and nowhere else.
        limit: how many to give at most, of each kind alike when they don't all fit.
    """
    fields = fields_of_event(user, event) if event else all_fields(user)
    matched = [
        (fit, one) for one in fields if (fit := match(text, label=one.label, key=one.key, category=one.category))
    ]
    counts = Counter(one.kind for _, one in matched)
    chosen = [(fit, one) for fit, one in matched if kinds is None or one.kind in kinds]
    chosen.sort(key=lambda pair: (pair[0].fit, -(pair[1].fill or 0), -(pair[1].count or 0), pair[1].label, pair[1].key))
    # With nothing typed thousands fit alike: then each kind has its part of the room.
    present = {one.kind for _, one in chosen}
    room = Counter(dict.fromkeys(present, max(1, limit // max(1, len(present)))))
    best: list[tuple[Match, Field]] = []
    others: list[tuple[Match, Field]] = []
    for fit, one in chosen:
        room[one.kind] -= 1
        (best if room[one.kind] >= 0 else others).append((fit, one))
    best = sorted([*best, *others[: max(0, limit - len(best))]], key=lambda pair: pair[0].fit)[:limit]
    return Found(
        fields=[replace(one, match=fit) for fit, one in best],
        counts=dict(counts),
        # Those of properties are many, and taken together with the others.
        measured_at=FieldStatistics.objects.filter(event="").aggregate(newest=Max("computed_at"))["newest"],
    )


def all_fields(user: User) -> Iterator[Field]:
    """Everything this user's rules may speak of, with its figures; a handful of queries, however much there is."""
    figures: dict[tuple[str, str], tuple[float | None, int | None, int | None]] = {
        (kind, key): (filled / of if of else 0.0, filled, occurrences)
        for kind, key, filled, of, occurrences in FieldStatistics.objects.filter(event="").values_list(
            "kind", "key", "filled", "of", "occurrences"
        )
    }
    none = (None, None, None)
    may_read = reads_people(user)
    for name, label in EventName.objects.values_list("name", "label"):
        fill, _, count = figures.get((FieldKind.EVENT, name), none)
        yield Field(kind=FieldKind.EVENT, key=name, label=label, fill=fill, count=count)
    for key, label, kind, category, is_pii in Trait.objects.values_list("key", "label", "type", "category", "is_pii"):
        personal = is_pii or kind in PERSONAL_TYPES
        yield Field(
            kind=FieldKind.TRAIT,
            key=key,
            label=label,
            type=Type(kind),
            category=TraitCategory(category).label,
            fill=figures.get((FieldKind.TRAIT, key), none)[0],
            is_personal=personal,
            is_open=may_read or not is_pii,
        )
    for kind, keys in published_scores().items():
        for name, said in keys.items():
            key = f"{kind}.{name}"
            yield Field(
                kind=FieldKind.SCORE,
                key=key,
                label=f"{kind} {name}".replace("_", " "),
                type=Type.NUMBER if "numbers" in said else Type.TEXT,
                fill=figures.get((FieldKind.SCORE, key), none)[0],
            )
    segments = visible_segments(user).exclude(status=SegmentStatus.ARCHIVED)
    for key, name, status, broken, members in segments.order_by().values_list(
        "key", "name", "status", "broken_reason", "member_count"
    ):
        usable = status == SegmentStatus.LIVE and not broken
        yield Field(kind=FieldKind.SEGMENT, key=key, label=name, count=members if usable else None, is_open=usable)
    for key, name in lists_in_rules(user).values_list("key", "name"):
        count = figures.get((FieldKind.LIST, key), none)[1]
        # Whoever may not read people may not find out who is on a list by counting (`segments.personal`).
        yield Field(
            kind=FieldKind.LIST,
            key=key,
            label=name,
            count=count if may_read else None,
            is_personal=True,
            is_open=may_read,
        )
    for key, label in Purpose.objects.values_list("key", "label"):
        yield Field(kind=FieldKind.PURPOSE, key=key, label=label, count=figures.get((FieldKind.PURPOSE, key), none)[1])
    for key, (_, label, _, _) in MORE.items():
        yield Field(kind=Beside.MORE, key=key, label=label)


def fields_of_event(user: User, event: str) -> Iterator[Field]:
    """What the events of this name carried lately: their properties, as far as they were counted."""
    personal, may_read = personal_traits(), reads_people(user)
    rows = FieldStatistics.objects.filter(kind=FieldKind.PROPERTY, event=event)
    for key, kind, filled, of in rows.values_list("key", "type", "filled", "of"):
        is_personal = is_personal_property(key, personal)
        yield Field(
            kind=FieldKind.PROPERTY,
            key=key,
            label=key,
            event=event,
            type=Type(kind) if kind else None,
            fill=filled / of if of else 0.0,
            is_personal=is_personal,
            is_open=may_read or not is_personal,
        )


def unit_of_values() -> str:
    """In what the value of events is counted."""
    return Workspace.current().reporting_currency

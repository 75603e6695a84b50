"""What one field is like: how many have it, how its values lie, what they mostly are, where they come from, who uses it.

Finding a field is in `segments.fields.picking`; how its values are typed ahead in `segments.fields.suggesting`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.models import User

from cdp.errors import NotFound
from cdp.ingestion.models import Source
from cdp.profiles.models import EventName, Trait, TraitCategory
from cdp.profiles.score_services import published_scores
from consent.models import Purpose
from segments.fields.distributions import Distribution, Scale, day_of
from segments.fields.models import FieldKind, FieldStatistics
from segments.fields.numbers import said
from segments.fields.personal import PERSONAL_TYPES, is_personal_property
from segments.fields.picking import MORE, Beside, Field, unit_of_values
from segments.live import rules_now
from segments.models import ListUse, SegmentStatus, SegmentUse
from segments.personal import personal_traits
from segments.rules import Type
from segments.sharing import lists_in_rules, reads_people, visible_segments

MOST_EXAMPLES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Card:
    """One field.

    Attributes:
        filled, of: how many people (of a property: events) have it, of how many; None while nobody has counted.
        unit: in what its figures are, where they have one.
        top: the commonest values with how many people have each; empty for a personal field.
        used_by: how many live segments have a rule on it; None where nobody keeps account.
        is_shown: whether this reader may see more of it than counts.
    """

    field: Field
    description: str = ""
    unit: str = ""
    filled: int | None = None
    of: int | None = None
    people: int | None = None
    distinct: int | None = None
    distribution: Distribution | None = None
    top: Sequence[tuple[str, int]] = ()
    sources: Sequence[str] = ()
    last_seen_at: datetime | None = None
    used_by: int | None = None
    measured_at: datetime | None = None

    @property
    def share(self) -> float | None:
        return None if self.filled is None or self.of is None else self.filled / self.of if self.of else 0.0

    @property
    def examples(self) -> list[str]:
        """A few values that many have, or that lie between many; nobody's own."""
        if self.top:
            return [value for value, _ in self.top[:MOST_EXAMPLES]]
        lies = self.distribution
        if lies is None or not lies.is_shown:
            return []
        if lies.scale == Scale.DATE:
            return [f"{day_of(lies.at(percent)):%Y-%m-%d}" for percent in (25, 50, 75)]
        return list(dict.fromkeys(said(lies.at(percent)) for percent in (25, 50, 90)))


def card(user: User, kind: FieldKind | Beside, key: str, *, event: str = "") -> Card:
    """The field by this key, as this user may see it.

    Raises:
        NotFound: there is none, or none that they may see.
    """
    match kind:
        case FieldKind.TRAIT:
            return _trait(user, key)
        case FieldKind.EVENT:
            return _event(key)
        case FieldKind.PROPERTY:
            return _property(user, event, key)
        case FieldKind.SCORE:
            return _score(key)
        case FieldKind.SEGMENT:
            return _segment(user, key)
        case FieldKind.LIST:
            return _list(user, key)
        case FieldKind.PURPOSE:
            return _purpose(key)
        case _:
            return _more(key)


def _figures(kind: FieldKind, key: str, *, event: str = "") -> FieldStatistics | None:
    # Ordered as the index is: by number, the planner might go through them all for the one.
    return FieldStatistics.objects.filter(kind=kind, event=event, key=key).order_by("kind", "event", "key").first()


def _unknown(kind: FieldKind) -> NotFound:
    return NotFound("field_unknown", f"There is no such {kind.label.lower()}.")


def _more(key: str) -> Card:
    if key not in MORE:
        raise NotFound("field_unknown", "There is no such condition.")
    return Card(field=Field(kind=Beside.MORE, key=key, label=MORE[key][1]), description=MORE[key][3])


def _trait(user: User, key: str) -> Card:
    trait = Trait.objects.filter(key=key).first()
    if trait is None:
        raise _unknown(FieldKind.TRAIT)
    return card_of_trait(trait, may_read=reads_people(user), used_by=_using("traits", key))


def card_of_trait(trait: Trait, *, may_read: bool, used_by: int | None = None) -> Card:
    """The trait's card, for whoever has it already."""
    row = _figures(FieldKind.TRAIT, trait.key)
    # What is personal now may not have been when its values were counted.
    is_personal = trait.is_pii or trait.type in PERSONAL_TYPES
    found = Field(
        kind=FieldKind.TRAIT,
        key=trait.key,
        label=trait.label,
        type=Type(trait.type),
        category=TraitCategory(trait.category).label,
        fill=row.share if row else None,
        is_personal=is_personal,
        is_open=may_read or not trait.is_pii,
    )
    return _of(row, found, description=trait.description, used_by=used_by)


def _event(name: str) -> Card:
    event = EventName.objects.filter(name=name).first()
    if event is None:
        raise _unknown(FieldKind.EVENT)
    return card_of_event(event, used_by=_using("events", name))


def card_of_event(event: EventName, *, used_by: int | None = None) -> Card:
    """The event's card, for whoever has it already."""
    row = _figures(FieldKind.EVENT, event.name)
    count = row.occurrences if row else None
    found = Field(kind=FieldKind.EVENT, key=event.name, label=event.label, fill=row.share if row else None, count=count)
    return _of(row, found, description=event.description, used_by=used_by, unit=unit_of_values())


def _property(user: User, event: str, name: str) -> Card:
    row = _figures(FieldKind.PROPERTY, name, event=event)
    if row is None:
        raise _unknown(FieldKind.PROPERTY)
    return card_of_property(row, personal=personal_traits(), may_read=reads_people(user))


def card_of_property(row: FieldStatistics, *, personal: set[str], may_read: bool) -> Card:
    """The card of a property whose figures are at hand: there is no other record of one."""
    is_personal = is_personal_property(row.key, personal)
    found = Field(
        kind=FieldKind.PROPERTY,
        key=row.key,
        label=row.key,
        event=row.event,
        type=Type(row.type) if row.type else None,
        fill=row.share,
        is_personal=is_personal,
        is_open=may_read or not is_personal,
    )
    return _of(row, found)


def _score(key: str) -> Card:
    kind, _, name = key.partition(".")
    said_of = published_scores({kind}).get(kind, {}).get(name)
    if said_of is None:
        raise _unknown(FieldKind.SCORE)
    row = _figures(FieldKind.SCORE, key)
    label = f"{kind} {name}".replace("_", " ")
    kind_of = Type.NUMBER if "numbers" in said_of else Type.TEXT
    found = Field(kind=FieldKind.SCORE, key=key, label=label, type=kind_of, fill=row.share if row else None)
    return _of(row, found, used_by=_using("scores", key))


def _segment(user: User, key: str) -> Card:
    segment = visible_segments(user).filter(key=key).first()
    if segment is None:
        raise _unknown(FieldKind.SEGMENT)
    found = Field(
        kind=FieldKind.SEGMENT, key=key, label=segment.name, count=segment.member_count, is_open=segment.is_usable
    )
    users = SegmentUse.objects.filter(used=segment, user__status=SegmentStatus.LIVE).count()
    return Card(field=found, description=segment.description, filled=segment.member_count, used_by=users)


def _list(user: User, key: str) -> Card:
    one = lists_in_rules(user).filter(key=key).first()
    if one is None:
        raise _unknown(FieldKind.LIST)
    may_read, row = reads_people(user), _figures(FieldKind.LIST, key)
    found = Field(
        kind=FieldKind.LIST,
        key=key,
        label=one.name,
        count=row.filled if row and may_read else None,
        is_personal=True,
        is_open=may_read,
    )
    users = ListUse.objects.filter(used=one, user__status=SegmentStatus.LIVE).count()
    return _of(row if may_read else None, found, description=one.description, used_by=users)


def _purpose(key: str) -> Card:
    purpose = Purpose.objects.filter(key=key).first()
    if purpose is None:
        raise _unknown(FieldKind.PURPOSE)
    row = _figures(FieldKind.PURPOSE, key)
    found = Field(kind=FieldKind.PURPOSE, key=key, label=purpose.label, count=row.filled if row else None)
    return _of(row, found, description=purpose.text, used_by=_using("purposes", key))


def _of(
    row: FieldStatistics | None, found: Field, *, description: str = "", unit: str = "", used_by: int | None = None
) -> Card:
    if row is None:
        return Card(field=found, description=description, unit=unit, used_by=used_by)
    return Card(
        field=found,
        description=description,
        unit=unit,
        filled=row.filled,
        of=row.of,
        people=row.people,
        distinct=row.distinct,
        distribution=Distribution.from_json(row.distribution) if row.distribution and not found.is_personal else None,
        top=() if found.is_personal else tuple((value, people) for value, people in row.top),
        sources=_named(row),
        last_seen_at=row.last_seen_at,
        used_by=used_by,
        measured_at=row.computed_at,
    )


def _named(row: FieldStatistics) -> list[str]:
    """The names of the sources that set it last, the one of most people first; one that is gone is left out."""
    if not row.sources:
        return []
    names = dict(Source.objects.filter(pk__in=[pk for pk, _ in row.sources]).values_list("pk", "name"))
    return [names[pk] for pk, _ in row.sources if pk in names]


def _using(what: str, key: str) -> int:
    """How many live segments speak of it: counted over the rules as each process keeps them, parsed."""
    return sum(key in getattr(rule.depends_on, what) for level in rules_now().levels for rule in level)

"""The tracking plan as it is lived: every event with its properties and every trait, with how much of each came.

Figures are those of the nightly measurement (`segments.fields.measuring`): of people who permit internal analysis; properties that
fewer than five of them have are left out. What could not be used is counted by its reason, for its text may be anybody's.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min

from cdp.ingestion.models import Quarantined
from cdp.profiles.models import EventName, EventType, Trait
from segments.fields.models import FieldKind, FieldStatistics
from segments.fields.personal import PERSONAL_TYPES, is_personal_property
from segments.personal import personal_traits


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property of an event. ``share`` is of the event's messages in 30 days; ``type`` is what its values mostly are."""

    key: str
    type: str
    share: float
    people: int | None
    is_personal: bool


@dataclass(frozen=True, kw_only=True)
class Event:
    """``volume`` is how many there were in 30 days; None until they are counted."""

    name: str
    label: str
    kind: str
    first_seen: datetime
    last_seen: datetime | None
    volume: int | None
    properties: tuple[Property, ...]


@dataclass(frozen=True, kw_only=True)
class TraitPlan:
    """``share`` is of people; None until they are counted."""

    key: str
    label: str
    type: str
    category: str
    first_seen: datetime
    share: float | None
    people: int | None
    is_personal: bool


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Why messages could not be used: how many wait with this reason at this place, and since when."""

    code: str
    pointer: str
    messages: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Plan:
    events: tuple[Event, ...]
    traits: tuple[TraitPlan, ...]
    violations: tuple[Violation, ...]
    as_of: datetime | None


def tracking_plan() -> Plan:
    """All of it, in six statements however large the catalogues are."""
    personal = set(personal_traits())
    figures: dict[tuple[str, str, str], FieldStatistics] = {}
    properties: dict[str, list[Property]] = defaultdict(list)
    kinds = (FieldKind.EVENT, FieldKind.TRAIT, FieldKind.PROPERTY)
    rows = FieldStatistics.objects.filter(kind__in=kinds).defer("distribution", "top", "sources")
    for row in rows.order_by("-filled", "key"):
        figures[row.kind, row.event, row.key] = row
        if row.kind == FieldKind.PROPERTY:
            properties[row.event].append(
                Property(
                    key=row.key,
                    type=row.type,
                    share=row.share,
                    people=row.people,
                    is_personal=is_personal_property(row.key, personal),
                )
            )
    return Plan(
        events=tuple(_events(figures, properties)),
        traits=tuple(_traits(figures, personal)),
        violations=_violations(),
        as_of=max((row.as_of for row in figures.values()), default=None),
    )


def _events(
    figures: dict[tuple[str, str, str], FieldStatistics], properties: dict[str, list[Property]]
) -> Iterator[Event]:
    for one in EventName.objects.order_by("name"):
        found = figures.get((FieldKind.EVENT, "", one.name))
        yield Event(
            name=one.name,
            label=one.label,
            kind=EventType(one.type).name.lower(),
            first_seen=one.created_at,
            last_seen=found.last_seen_at if found else None,
            volume=found.occurrences if found else None,
            properties=tuple(properties.get(one.name, ())),
        )


def _traits(figures: dict[tuple[str, str, str], FieldStatistics], personal: set[str]) -> Iterator[TraitPlan]:
    for one in Trait.objects.order_by("key"):
        found = figures.get((FieldKind.TRAIT, "", one.key))
        yield TraitPlan(
            key=one.key,
            label=one.label,
            type=one.type,
            category=one.category,
            first_seen=one.created_at,
            share=found.share if found else None,
            people=found.filled if found else None,
            is_personal=one.is_pii or one.key in personal or one.type in PERSONAL_TYPES,
        )


def _violations() -> tuple[Violation, ...]:
    counted = (
        Quarantined.objects.open()
        .order_by()
        .values("code", "pointer")
        .annotate(messages=Count("pk"), first_at=Min("received_at"), last_at=Max("received_at"))
        .order_by("-messages", "code", "pointer")[:200]
    )
    return tuple(Violation(**row) for row in counted)

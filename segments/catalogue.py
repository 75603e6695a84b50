"""What rules may speak about, read from the database: all of it for editing, or just what some rules name."""

from collections.abc import Iterable
from hashlib import sha256

from cdp.profiles.models import EventName, Trait
from segments.models import PercentileThreshold, Segment
from segments.rules import Catalog, EventInfo, SegmentInfo, TraitInfo, Type
from segments.rules.algebra import Dependencies


def catalog() -> Catalog:
    """Everything a rule may name."""
    return _build(
        Trait.objects.all(), EventName.objects.all(), Segment.objects.all(), PercentileThreshold.objects.all()
    )


def catalog_for(dependencies: Iterable[Dependencies]) -> Catalog:
    """As much as these rules name."""
    wanted = list(dependencies)
    return _build(
        Trait.objects.filter(key__in={key for d in wanted for key in d.traits}),
        EventName.objects.filter(name__in={name for d in wanted for name in d.events}),
        Segment.objects.filter(key__in={key for d in wanted for key in d.segments}),
        PercentileThreshold.objects.filter(digest__in={digest(name) for d in wanted for name in d.rankings}),
    )


def digest(ranking: str) -> str:
    """By what a ranking's threshold is found: its name may be longer than an index can hold."""
    return sha256(ranking.encode()).hexdigest()


def _build(
    traits: Iterable[Trait],
    events: Iterable[EventName],
    segments: Iterable[Segment],
    thresholds: Iterable[PercentileThreshold],
) -> Catalog:
    return Catalog(
        traits={t.key: TraitInfo(id=t.pk, key=t.key, label=t.label, type=Type(t.type)) for t in traits},
        events={e.name: EventInfo(id=e.pk, name=e.name, label=e.label) for e in events},
        segments={s.key: SegmentInfo(id=s.pk, key=s.key, name=s.name, usable=s.is_usable) for s in segments},
        thresholds={t.ranking: t.pk for t in thresholds},
    )

"""What rules may speak about, read from the database: all of it for editing, or just what some rules name."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from cdp.profiles.models import EventName, Trait
from cdp.profiles.score_services import published_scores
from consent.models import Purpose
from segments.models import ByHand as HandKind
from segments.models import PercentileThreshold, Segment, StaticList
from segments.rules import (
    ByHand,
    Catalog,
    ConsentMode,
    EventInfo,
    ListInfo,
    PurposeInfo,
    ScoreInfo,
    SegmentInfo,
    TraitInfo,
    Type,
)
from segments.rules.algebra import Dependencies

# Columns, not instances: a catalogue is read with each step of the builder.
TRAIT = ("pk", "key", "label", "type")
EVENT = ("pk", "name", "label")


def catalog() -> Catalog:
    """Everything a rule may name."""
    return _build(
        Trait.objects.values_list(*TRAIT),
        EventName.objects.values_list(*EVENT),
        Segment.objects.all(),
        PercentileThreshold.objects.all(),
        _scores(None),
        Purpose.objects.all(),
        StaticList.objects.select_related("segment"),
    )


def catalog_for(dependencies: Iterable[Dependencies]) -> Catalog:
    """As much as these rules name."""
    wanted = list(dependencies)
    return _build(
        Trait.objects.filter(key__in={key for d in wanted for key in d.traits}).values_list(*TRAIT),
        EventName.objects.filter(name__in={name for d in wanted for name in d.events}).values_list(*EVENT),
        Segment.objects.filter(key__in={key for d in wanted for key in d.segments}),
        PercentileThreshold.objects.filter(digest__in={digest(name) for d in wanted for name in d.rankings}),
        _scores({kind for d in wanted for kind in d.score_kinds}),
        Purpose.objects.filter(key__in={key for d in wanted for key in d.purposes}),
        StaticList.objects.filter(key__in={key for d in wanted for key in d.lists}).select_related("segment"),
    )


def digest(ranking: str) -> str:
    """By what a ranking's threshold is found: its name may be longer than an index can hold."""
    return sha256(ranking.encode()).hexdigest()


def _scores(kinds: set[str] | None) -> dict[str, ScoreInfo]:
    """What the published runs have; of these kinds, or of all."""
    if kinds is not None and not kinds:
        return {}
    infos = [
        ScoreInfo(
            kind=kind,
            name=name,
            label=f"{kind} {name}".replace("_", " "),
            has_numbers="numbers" in said,
            has_labels="labels" in said,
        )
        for kind, keys in published_scores(kinds).items()
        for name, said in keys.items()
    ]
    return {info.key: info for info in infos}


def _build(
    traits: Iterable[tuple[int, str, str, str]],
    events: Iterable[tuple[int, str, str]],
    segments: Iterable[Segment],
    thresholds: Iterable[PercentileThreshold],
    scores: Mapping[str, ScoreInfo],
    purposes: Iterable[Purpose],
    lists: Iterable[StaticList],
) -> Catalog:
    return Catalog(
        traits={key: TraitInfo(id=pk, key=key, label=label, type=Type(type_)) for pk, key, label, type_ in traits},
        events={name: EventInfo(id=pk, name=name, label=label) for pk, name, label in events},
        segments={s.key: SegmentInfo(id=s.pk, key=s.key, name=s.name, usable=s.is_usable) for s in segments},
        thresholds={t.ranking: t.pk for t in thresholds},
        scores=scores,
        purposes={p.key: PurposeInfo(id=p.pk, key=p.key, label=p.label, mode=ConsentMode(p.mode)) for p in purposes},
        lists={one.key: _list(one) for one in lists},
    )


def _list(one: StaticList) -> ListInfo:
    if one.segment is None:
        return ListInfo(id=one.pk, key=one.key, name=one.name)
    kind = ByHand.ADDED if one.by_hand == HandKind.INCLUDE else ByHand.REMOVED
    return ListInfo(id=one.pk, key=one.key, name=one.segment.name, of=one.segment.key, by_hand=kind)

"""From features' keys to how they are counted in this database: numbers of event names, traits and their types.

Whatever a key names that isn't there, or that no analysis may read, is refused here.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cdp.database import bound_cursor
from cdp.errors import DomainError, DomainErrors
from cdp.profiles.catalogue import in_words, known_event_names
from cdp.profiles.models import Trait, TraitType
from segments.features import counting
from segments.features.catalogue import TRAIT, VALUE, Parts, parts_of
from segments.features.counting import Figure, Group, TraitInfo, figure_of
from segments.fields.personal import PERSONAL_TYPES

_BIRTH: Final = re.compile(r"(^|[_.])(birth(day|date)?|dob|born)($|[_.])")
# Which of a trait's readings can be counted at all.
NUMERIC: Final = frozenset({TraitType.NUMBER, TraitType.BOOLEAN, TraitType.DATE})
WORDED: Final = frozenset({TraitType.TEXT, TraitType.COUNTRY, TraitType.CURRENCY, TraitType.LIST})


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Figures in the order of their keys, and the operands that they need beside the people's."""

    figures: tuple[Figure, ...]
    params: dict[str, Any]


def is_personal(trait: Trait) -> bool:
    """Whether no analysis reads it: it is personal data, or reaches a person whatever the catalogue says."""
    return trait.is_pii or trait.type in PERSONAL_TYPES


def info_of(trait: Trait) -> TraitInfo:
    return TraitInfo(id=trait.pk, type=trait.type, is_birth=bool(_BIRTH.search(in_words(trait.key))))


def resolve(keys: Sequence[str], *, as_of: datetime, window_days: int) -> Resolved:
    """How these features are counted over the window that ends at the moment.

    Raises:
        DomainErrors: keys that name no feature, or what no analysis may read; each with its place.
        ValueError: no features, the same one twice, or a window without days.
    """
    if not keys or len(set(keys)) != len(keys):
        raise ValueError("features are named once each, and one at least")
    if window_days < 1:
        raise ValueError(f"a window of {window_days} days")
    parts = [parts_of(key) for key in keys]
    wanted = {one.name for one in parts if one is not None and one.kind in (TRAIT, VALUE)}
    traits = _traits(wanted) if wanted else {}
    errors = [
        DomainError("feature_unknown", why, f"/features/{place}")
        for place, (key, one) in enumerate(zip(keys, parts, strict=True))
        if (why := _refusal(key, one, traits))
    ]
    if errors:
        raise DomainErrors(errors, code="features_unknown", message=" ".join(one.message for one in errors))
    figures = tuple(
        figure_of(one, number, info_of(traits[one.name]) if one.kind in (TRAIT, VALUE) else None)
        for number, one in enumerate(parts)
        if one is not None
    )
    params = {"as_of": as_of, "since": as_of - timedelta(days=window_days), "window_days": window_days}
    return Resolved(figures=figures, params=params | _operands(figures))


# Not through the ORM, which would take as long as all else that is asked about one person.
def _traits(keys: Collection[str]) -> dict[str, Trait]:
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT id, key, label, type, is_pii FROM profiles_trait WHERE key = ANY(%s::text[])", [list(keys)]
        )
        return {
            key: Trait(id=pk, key=key, label=label, type=kind, is_pii=is_pii)
            for pk, key, label, kind, is_pii in cursor.fetchall()
        }


def _refusal(key: str, parts: Parts | None, traits: dict[str, Trait]) -> str:
    """Why it can't be counted; empty where it can."""
    if parts is None:
        return f"There is no feature {key[:80]!r}."
    if parts.kind not in (TRAIT, VALUE):
        return ""
    trait = traits.get(parts.name)
    if trait is None:
        return f"There is no trait {parts.name[:80]!r}, of which the feature {key[:80]!r} would be."
    if is_personal(trait):
        return f"The trait {trait.label} is personal data: people aren't grouped by it."
    if trait.type not in (NUMERIC if parts.kind == TRAIT else WORDED):
        return (
            f"The trait {trait.label} is now a {trait.get_type_display().lower()}, and the feature {key[:80]!r} isn't."
        )
    return ""


def _operands(figures: Sequence[Figure]) -> dict[str, Any]:
    """The operands of the figures. A name that no event has is numbered 0, which counts none."""
    names = {name for figure in figures for name in figure.events.values()}
    numbers = known_event_names(names) if names else {}
    params: dict[str, Any] = {}
    read: dict[Group | None, set[int]] = {counting.EVENTS: set(), counting.VIEWS: set()}
    for figure in figures:
        params |= figure.params
        for operand, name in figure.events.items():
            params[operand] = numbers.get(name, 0)
            read.setdefault(figure.group, set()).add(params[operand])
    params["event_names"] = sorted(read[counting.EVENTS])
    params["view_names"] = sorted(read[counting.VIEWS])
    return params

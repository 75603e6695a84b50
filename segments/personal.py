"""Which parts of a rule speak of personal data, and what may be kept of a rule for good.

Who may write such rules is decided in `segments.sharing`.
"""

from collections.abc import Collection, Iterator
from typing import Any

from cdp.profiles.catalogue import in_words
from cdp.profiles.masking import EMAIL, HIDDEN, PERSONAL_PROPERTY
from cdp.profiles.models import Trait
from segments.rules.errors import Path, RuleError, pointer

# Where a condition names what it is about.
NAMES = ("property", "of", "trait", "in_list")


def personal_traits() -> set[str]:
    """The keys of the traits that count as personal data."""
    return set(Trait.objects.filter(is_pii=True).values_list("key", flat=True))


def without_values(document: Any) -> Any:
    """The rule's document with hidden operands wherever they may be a person's: the audit log can't be erased."""
    return _hidden(document, personal_traits())


def personal_conditions(document: Any, traits: Collection[str] | None = None) -> list[RuleError]:
    """An error for each condition on personal data, at its place.

    Args:
        traits: the keys of those that count as personal data, for whoever asks of many documents.
    """
    return [
        RuleError(code="personal_data", message="conditions on personal data need the right to read people", pointer=at)
        for at in _personal(document, personal_traits() if traits is None else traits, ())
    ]


def _is_personal(condition: dict[str, Any], traits: Collection[str]) -> bool:
    if "in_list" in condition:
        return True  # it picks people out one by one: on a list of one, every other condition tells of that one
    named = condition.get("property", condition.get("of", condition.get("trait")))
    if not isinstance(named, str):
        return False
    return named in traits or ("trait" not in condition and bool(PERSONAL_PROPERTY.search(in_words(named))))


def _hidden(part: Any, traits: Collection[str]) -> Any:
    if isinstance(part, dict):
        kept = {key: _hidden(inner, traits) for key, inner in part.items()}
        return kept | {"value": HIDDEN} if "value" in part and _is_personal(part, traits) else kept
    if isinstance(part, list):
        return [_hidden(one, traits) for one in part]
    return HIDDEN if isinstance(part, str) and EMAIL.search(part) else part


def _personal(part: Any, traits: Collection[str], path: Path) -> Iterator[str]:
    if isinstance(part, dict):
        if _is_personal(part, traits):
            yield pointer((*path, next(key for key in NAMES if key in part)))
        for key, inner in part.items():
            yield from _personal(inner, traits, (*path, key))
    elif isinstance(part, list):
        for position, one in enumerate(part):
            yield from _personal(one, traits, (*path, position))

"""What live rules rest on that may change while their wording stays: types of traits, scores that are published, and the
modes of purposes. The rules are checked and compiled anew when it has changed.

What follows from a change for members is with whoever makes it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cdp.profiles.models import Trait
from cdp.profiles.score_services import published_scores
from consent.models import Purpose
from segments.rules import Dependencies


@dataclass(frozen=True, slots=True)
class Ground:
    """How things stood with what some rules name."""

    named: tuple[Dependencies, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, list[str]] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)

    def is_as_it_was(self) -> bool:
        return self == ground_of(self.named)


def ground_of(named: Iterable[Dependencies]) -> Ground:
    """How things stand now; nothing is asked of which no rule speaks."""
    found = tuple(named)
    traits = {key for one in found for key in one.traits}
    scores = {key for one in found for key in one.scores}
    purposes = {key for one in found for key in one.purposes}
    return Ground(
        named=found,
        types=_types(traits) if traits else {},
        scores=_scores(scores) if scores else {},
        modes=_modes(purposes) if purposes else {},
    )


def _types(keys: set[str]) -> dict[str, str]:
    return dict(Trait.objects.filter(key__in=keys).values_list("key", "type"))


def _modes(keys: set[str]) -> dict[str, str]:
    return dict(Purpose.objects.filter(key__in=keys).values_list("key", "mode"))


def _scores(keys: set[str]) -> dict[str, list[str]]:
    """What the published runs say under these keys, numbers or labels; only what they have."""
    published = published_scores({key.partition(".")[0] for key in keys})
    found: dict[str, list[str]] = {}
    for key in keys:
        kind, _, name = key.partition(".")
        said = published.get(kind, {}).get(name)
        if said is not None:
            found[key] = said
    return found

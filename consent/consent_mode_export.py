"""What a person or a browser permits, in the words of Google's tags. How the words are defined is in `consent.signals.consent_mode`.

What a yes and a no to a purpose say in those words is worked out here and nowhere else: the banner's script is given the same
`Terms`, since a choice in a browser is told to Google's tags there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from consent.models import Channel, Purpose, Reach
from consent.moments import Held, Standing
from consent.signals import consent_mode
from consent.signals.meaning import Capability, Meaning, Stance, together

SAYS_NO: Final = (Standing.DENIED, Standing.WITHDRAWN)
# By these something is kept or read on the device itself.
ON_DEVICES: Final = frozenset({Channel.ONSITE, Channel.ADS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a yes to a purpose grants, and what a no to it denies: what signals must grant for it, and what else ends it."""

    grants: frozenset[Capability]
    denies: frozenset[Capability]
    # What a yes grants besides, and a no leaves to others: to say yes to what happens on a device is to let it be stored there.
    brings: frozenset[Capability]


def terms_of(purpose: Purpose, *, beside: Iterable[Purpose]) -> Terms:
    """
    Args:
        beside: all purposes that are asked about together. Where one of them asks about storage by itself, no other brings it.
    """
    asked = any(Capability.DEVICE_STORAGE in one.needs_granted for one in beside)
    is_on_device = purpose.reach == Reach.DEVICE or purpose.channel in ON_DEVICES
    grants = frozenset(map(Capability, purpose.needs_granted))
    return Terms(
        grants=grants,
        denies=grants | frozenset(map(Capability, purpose.needs_undenied)),
        brings=frozenset({Capability.DEVICE_STORAGE} if is_on_device and not asked else ()),
    )


def of_person(held: Iterable[Held]) -> dict[str, str]:
    """The map for somebody, by how they stand to each purpose; what nothing is known of is denied, and what is stopped."""
    return of_choices({one.purpose: True if one.permits else _no(one) for one in held})


def _no(held: Held) -> bool | None:
    return False if held.is_stopped or held.standing in SAYS_NO else None


def of_choices(choices: Mapping[Purpose, bool | None], *, also: Meaning | None = None) -> dict[str, str]:
    """The map for whoever has just chosen, as a banner has it: True is a yes, False a no, None no answer.

    Args:
        also: what the browser says by itself.
    """
    meanings = [
        _meaning(terms_of(purpose, beside=choices), is_granted=choice, key=purpose.key)
        for purpose, choice in choices.items()
        if choice is not None
    ]
    return consent_mode.export(together(meanings if also is None else [*meanings, also]))


def _meaning(terms: Terms, *, is_granted: bool, key: str) -> Meaning:
    spoken = terms.grants | terms.brings if is_granted else terms.denies
    stance = Stance.GRANTED if is_granted else Stance.DENIED
    return Meaning(dict.fromkeys(spoken, stance), dict.fromkeys(spoken, (key,)))

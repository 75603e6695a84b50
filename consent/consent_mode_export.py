"""What a person or a browser permits, in the words of Google's tags. How the words are defined is in `consent.signals.consent_mode`."""

from collections.abc import Iterable, Mapping

from consent.models import Purpose
from consent.moments import Held, Standing
from consent.signals import consent_mode
from consent.signals.meaning import Capability, Meaning, Stance, together

SAYS_NO = (Standing.DENIED, Standing.WITHDRAWN)


def of_person(held: Iterable[Held]) -> dict[str, str]:
    """The map for somebody, by how they stand to each purpose; what nothing is known of is denied."""
    return of_choices(
        {one.purpose: True if one.permits else (False if one.standing in SAYS_NO else None) for one in held}
    )


def of_choices(choices: Mapping[Purpose, bool | None]) -> dict[str, str]:
    """The map for whoever has just chosen, as a banner has it: True is a yes, False a no, None no answer.

    A purpose speaks of what signals must grant for it (`Purpose.needs_granted`); a no also of what ends it.
    """
    return consent_mode.export(
        together([_of(purpose, choice) for purpose, choice in choices.items() if choice is not None])
    )


def _of(purpose: Purpose, is_granted: bool) -> Meaning:
    named = purpose.needs_granted if is_granted else [*purpose.needs_granted, *purpose.needs_undenied]
    stance = Stance.GRANTED if is_granted else Stance.DENIED
    capabilities = [Capability(one) for one in named]
    return Meaning(dict.fromkeys(capabilities, stance), dict.fromkeys(capabilities, (purpose.key,)))

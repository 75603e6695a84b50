"""Reading people for a purpose. Default-deny: a person of whom nothing is known is not in the answer."""

from django.db.models import Exists, OuterRef, QuerySet

from cdp.errors import DomainError
from cdp.profiles.models import Profile
from consent.models import ConsentState, Decision, Mode, Purpose

# The purpose of counting, of checking, and of looking at one person to help them.
INTERNAL_ANALYSIS = "internal_analysis"


def purpose_or_error(key: str | None, *, pointer: str = "/purpose") -> Purpose:
    """The purpose by this key.

    Raises:
        DomainError: none was named, or there is none by that name. The message lists what there is.
    """
    known = {p.key: p for p in Purpose.objects.all()}
    if not key:
        raise DomainError(
            "purpose_missing",
            f"Say what the people are read for: purpose is one of {', '.join(sorted(known))}.",
            pointer,
        )
    if key not in known:
        raise DomainError(
            "purpose_unknown", f"purpose must be one of {', '.join(sorted(known))}; received an unknown one.", pointer
        )
    return known[key]


def permitted(profiles: QuerySet[Profile], purpose: Purpose) -> QuerySet[Profile]:
    """Those of the profiles that permit this purpose now."""
    states = ConsentState.objects.filter(profile=OuterRef("pk"), purpose=purpose)
    if purpose.mode == Mode.OPT_IN:
        return profiles.filter(Exists(states.filter(decision=Decision.GRANTED)))
    return profiles.exclude(Exists(states.exclude(decision=Decision.GRANTED)))

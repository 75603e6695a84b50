"""What a law asks before something is done with a person's data: of everybody, and of somebody of an age.

Whether the person has said yes is known elsewhere (`consent.querysets`); this says only what they must have said.
"""

from dataclasses import dataclass
from datetime import date
from enum import Enum, IntEnum

from consent.law.ages import age
from consent.law.terms import REACHED_BY_GPC, Capability, Figure, Law, Model


class Asked(IntEnum):
    """What must be so before it is done; the larger, the stricter."""

    UNLESS_NO = 0
    PERSONS_YES = 1
    GUARDIANS_YES = 2
    NEVER = 3


class UnknownAge(Enum):
    """What somebody whose age isn't known is taken for."""

    AS_CHILD = "as_child"
    # The operator answers for it, as where nobody under age is admitted.
    AS_ADULT = "as_adult"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one law says of one capability.

    Args:
        model: of adults.
        gpc: whether the law takes a browser's Global Privacy Control for a no, to what that speaks of.
        guardian_below, opt_in_below, forbidden_below: years, as in `Law`.
    """

    capability: Capability
    model: Figure[Model]
    gpc: Figure[bool]
    guardian_below: Figure[int]
    opt_in_below: Figure[int]
    forbidden_below: Figure[int]

    @property
    def honours_gpc(self) -> bool:
        """Whether the signal is a no to this capability."""
        return self.gpc.value and self.capability in REACHED_BY_GPC


def demands(law: Law, capability: Capability) -> Demand:
    """All that the law says of the capability, with the source of each figure."""
    return Demand(
        capability=capability,
        model=law.consent[capability],
        gpc=law.gpc,
        guardian_below=law.guardian_below,
        opt_in_below=law.opt_in_below[capability],
        forbidden_below=law.forbidden_below[capability],
    )


def asked(demand: Demand, birth_date: date | None, on: date, *, unknown_age: UnknownAge = UnknownAge.AS_CHILD) -> Asked:
    """What must be so before it is done with data of somebody born on this date.

    Args:
        unknown_age: what is assumed without a birth date that can be true. As a child, unless the caller says otherwise: then
            nobody may do more because a birth date is missing.
    """
    years = age(birth_date, on)
    if years is None:
        years = 0 if unknown_age is UnknownAge.AS_CHILD else None
    if years is not None:
        if years < demand.forbidden_below.value:
            return Asked.NEVER
        if years < demand.guardian_below.value:
            return Asked.GUARDIANS_YES
        if years < demand.opt_in_below.value:
            return Asked.PERSONS_YES
    return Asked.PERSONS_YES if demand.model.value is Model.OPT_IN else Asked.UNLESS_NO

"""How old somebody is, and whether they can consent by themselves. What may be done with their data is in `demands`."""

from datetime import date
from enum import StrEnum
from typing import Final

from consent.law.terms import Law

OLDEST: Final = 125
"""Years. A birth date further back is a placeholder or a mistake, and nothing is known by it."""


class AgeBand(StrEnum):
    ADULT = "adult"
    MAY_CONSENT = "may_consent"
    GUARDIAN_NEEDED = "guardian_needed"
    UNKNOWN = "unknown"


def age_band(law: Law, birth_date: date | None, on: date) -> AgeBand:
    """Whether somebody consents by themselves under this law; unknown without a birth date that can be true.

    What an unknown age means is for `demands.asked` to be told; it isn't decided here.
    """
    years = age(birth_date, on)
    if years is None:
        return AgeBand.UNKNOWN
    # Where a law makes adults later than it lets people consent, as most do, there are three bands; else two.
    if years < law.guardian_below.value:
        return AgeBand.GUARDIAN_NEEDED
    return AgeBand.ADULT if years >= law.adult_from.value else AgeBand.MAY_CONSENT


def age(birth_date: date | None, on: date) -> int | None:
    """Full years; None where the birth date is missing, ahead, or further back than anybody lives.

    Who was born on 29 February is a year older on 1 March in years without one: some laws say the day before, and the later
    day is the stricter. The day is that of the person's own place; where it isn't known, take the earlier one.
    """
    if birth_date is None or birth_date > on:
        return None
    years = on.year - birth_date.year - ((on.month, on.day) < (birth_date.month, birth_date.day))
    return years if years <= OLDEST else None

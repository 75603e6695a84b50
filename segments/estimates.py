"""How many people there are of a kind, judged by a sample of them. Pure.

Which people are asked, and what, doesn't belong here.
"""

from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Final

# Nineteen of twenty intervals made this way have the true share in them.
Z_95: Final = 1.959964


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Whole numbers of people, both ends included."""

    low: int
    high: int


def wilson(found: int, of: int) -> tuple[float, float]:
    """The 95 % score interval of a share, both ends in [0, 1].

    Wilson, E. B. (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212: it
    holds for shares near 0 and 1, too, where the plain one is of no width.

    Raises:
        ValueError: nobody was asked, or more were found than asked.
    """
    if not 0 <= found <= of or of == 0:
        raise ValueError(f"{found} of {of} is no share")
    share, z2 = found / of, Z_95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    reach = Z_95 / (1 + z2 / of) * sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def about(found: int, of: int, everybody: int) -> tuple[int | None, Interval]:
    """How many of everybody there are when so many of a sample were found, and the interval around it.

    None when nobody was found: then there are few, which is not to say none. Nobody outside the interval is ruled out
    but those that the sample itself has shown.

    Raises:
        ValueError: it is no sample of everybody.
    """
    if of > everybody:
        raise ValueError(f"{of} people are no sample of {everybody}")
    low, high = wilson(found, of)
    interval = Interval(
        low=max(found, floor(low * everybody)), high=min(everybody - (of - found), ceil(high * everybody))
    )
    return (round(found / of * everybody) if found else None), interval


def rounded(count: int) -> int:
    """The count to three digits: an estimate that named the last one would claim to know it."""
    step = 10 ** max(0, len(str(count)) - 3)
    return round(count / step) * step

"""RFM's window and thresholds in words that a marketer reads. Pure."""

from collections.abc import Mapping, Sequence
from math import floor
from typing import Final

from cdp.charts import Unit, written
from segments.rfm.grid import STEPS

Number = float | int
NOBODY: Final = "nobody"
MONTHS: Final = {30: "30 days", 91: "3 months", 182: "6 months", 183: "6 months", 365: "12 months", 730: "24 months"}


def window_said(days: int) -> str:
    return MONTHS.get(days) or f"{days:,} day{'s' if days != 1 else ''}"


def thresholds_said(cuts: Mapping[str, Sequence[Number]], currency: str) -> list[tuple[int, str, str, str]]:
    """(Score, recency, frequency, spend) in words, the best score first.

    Args:
        cuts: for each measure four thresholds, ascending; a value that equals one belongs below it, of recency too.
    """
    return [
        (
            score,
            days_said(*_between(cuts["recency"], STEPS + 1 - score)),
            orders_said(*_between(cuts["frequency"], score)),
            amount_said(*_between(cuts["monetary"], score), currency=currency),
        )
        for score in range(STEPS, 0, -1)
    ]


def _between(cuts: Sequence[Number], step: int) -> tuple[Number | None, Number | None]:
    """What values of this step, 1 being the lowest, are more than, and at most."""
    return cuts[step - 2] if step > 1 else None, cuts[step - 1] if step < STEPS else None


def days_said(above: Number | None, upto: Number | None) -> str:
    if above is None and upto is not None:
        return f"bought in the last {_days(upto)}"
    if upto is None and above is not None:
        return f"more than {_days(above)} ago"
    return NOBODY if above == upto else f"{written(above)} to {_days(upto or 0)} ago"


def orders_said(above: Number | None, upto: Number | None) -> str:
    """Orders are whole: more than 1.0 and at most 3.0 are 2 or 3."""
    low = 1 if above is None else floor(above) + 1
    if upto is None:
        return f"{low:,} orders or more" if low > 1 else "1 order or more"
    high = floor(upto)
    if high < low:
        return NOBODY
    if low == high:
        return f"{low:,} order{'s' if low != 1 else ''}"
    return f"{low:,} {'or' if high == low + 1 else 'to'} {high:,} orders"


def amount_said(above: Number | None, upto: Number | None, *, currency: str) -> str:
    if upto is None and above is not None:
        return f"more than {written(above, Unit.MONEY, currency)}"
    if above is None and upto is not None:
        return f"at most {written(upto, Unit.MONEY, currency)}"
    return NOBODY if above == upto else f"{written(above, Unit.MONEY)} to {written(upto, Unit.MONEY, currency)}"


def _days(days: Number) -> str:
    return f"{written(days)} day{'s' if days != 1 else ''}"


def column_said(cuts: Sequence[Number], score: int) -> str:
    """Of recency, in as few words as a column's heading has room for."""
    above, upto = _between(cuts, STEPS + 1 - score)
    if above is None:
        return f"up to {_days(upto or 0)}"
    if upto is None:
        return f"over {_days(above)}"
    return NOBODY if above == upto else f"{written(above)} to {_days(upto)}"

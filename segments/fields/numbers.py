"""How figures of fields are written for people. Pure; dates and shares are written by the template tags."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from segments.fields.distributions import plain

CENT: Final = Decimal("0.01")


def said(value: Decimal) -> str:
    """A number with its thousands separated and at most two decimals; more of them only for what is smaller."""
    if value == value.to_integral_value():
        return f"{int(value):,}"
    if abs(value) >= 1:
        return f"{value.quantize(CENT, ROUND_HALF_UP):,.2f}"
    return plain(value)

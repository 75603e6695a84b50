"""The values a rule compares with, read from JSON: numbers, moments, durations and text, each within its limits.

What an operator does with them doesn't belong here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Final, TypeAlias

from segments.rules.errors import received

MAX_TEXT: Final = 512
MAX_LIST: Final = 1_000
NUMBER_LIMIT: Final = Decimal(10) ** 15  # numeric(19,4) holds 15 digits before the point
NUMBER_STEP: Final = Decimal("0.0001")
_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_UP)
_LONGEST_WINDOW: Final = timedelta(days=36_525)

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


class Unreadable(ValueError):
    """A JSON value that can't be the operand; carries the error's code and sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Moment:
    """A day or an instant as the half-open span `[start, end)` it covers; `text` is how it was written.

    A day covers its 24 hours in UTC. An instant covers the one microsecond that engines can tell apart, so
    "before", "after" and "between" mean the same for both.
    """

    text: str = field(compare=False)
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Duration:
    """A fixed number of seconds in UTC, written in the unit a person chose."""

    amount: int
    unit: str

    @property
    def length(self) -> timedelta:
        return timedelta(**{self.unit: self.amount})

    @property
    def seconds(self) -> int:
        return int(self.length.total_seconds())

    @staticmethod
    def largest(unit: str) -> int:
        """The largest amount of the unit that a rule may look back."""
        return int(_LONGEST_WINDOW // timedelta(**{unit: 1}))

    def __str__(self) -> str:
        return f"{self.amount} {self.unit if self.amount != 1 else self.unit.removesuffix('s')}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression as it was written; ``folded`` when it is matched against folded text."""

    text: str
    folded: bool = False


UNITS: Final = ("minutes", "hours", "days", "weeks")

Scalar: TypeAlias = str | Decimal | bool | Moment
Operand: TypeAlias = Scalar | Duration | Pattern | tuple[Scalar, ...] | None
Report: TypeAlias = Callable[..., None]
"""`report(code, message, *steps)`: notes an error at the place under the operand that the steps lead to."""


def read_text(raw: object) -> str:
    if not isinstance(raw, str):
        raise Unreadable("wrong_type", f"expected text; received {received(raw)}")
    return storable(raw, limit=MAX_TEXT)


def storable(text: str, *, limit: int) -> str:
    """The text itself, once it is sure that a database can hold it."""
    if len(text) > limit:
        raise Unreadable("too_long", f"text may have {limit} characters; received {len(text)}")
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise Unreadable("not_storable", "text may hold neither NUL nor lone surrogates")
    return text


def read_number(raw: object) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal):
        raise Unreadable("wrong_type", f"expected a number; received {received(raw)}")
    number = _exactly(raw)
    if not number.is_finite():
        raise Unreadable("number_out_of_range", "a number must be finite")
    if number.copy_abs() >= NUMBER_LIMIT:
        raise Unreadable("number_out_of_range", "a number may have 15 digits before the point")
    rounded = number.quantize(NUMBER_STEP, context=_WIDE)
    if rounded != number:
        raise Unreadable("number_too_precise", "a number may have 4 digits after the point")
    return rounded.normalize(_WIDE) if rounded else Decimal(0)


def number_in_range(raw: object) -> Decimal | None:
    """A number found in data, rounded half away from zero to 4 decimals as PostgreSQL does; None when it isn't one.

    What doesn't fit `numeric(19,4)` after rounding is not a number to a rule.
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal):
        return None
    number = _exactly(raw)
    if not number.is_finite() or number.copy_abs() >= NUMBER_LIMIT:
        return None
    rounded = number.quantize(NUMBER_STEP, context=_WIDE)
    return rounded if rounded.copy_abs() < NUMBER_LIMIT else None


def _exactly(raw: int | float | Decimal) -> Decimal:
    # The shortest decimal that reads back as the same float is what was typed, and what JSON carries.
    return Decimal(repr(raw)) if isinstance(raw, float) else Decimal(raw)


def read_percentile(raw: object) -> Decimal:
    percentile = read_number(raw)
    if not 0 < percentile < 100:
        raise Unreadable("number_out_of_range", "a percentile is more than 0 and less than 100")
    if percentile % Decimal("0.01"):
        raise Unreadable("number_too_precise", "a percentile may have 2 digits after the point")
    return percentile


def read_moment(raw: object) -> Moment:
    if not isinstance(raw, str) or not (_DAY.fullmatch(raw) or _INSTANT.fullmatch(raw)):
        raise Unreadable(
            "wrong_type",
            'expected a day such as "2026-05-31" or an instant such as "2026-05-31T18:00:00Z"; '
            f"received {received(raw)}",
        )
    is_day = _DAY.fullmatch(raw) is not None
    try:
        parsed = datetime.fromisoformat(raw.upper())
        start = parsed.replace(tzinfo=UTC) if is_day else parsed.astimezone(UTC)
        end = start + (timedelta(days=1) if is_day else timedelta(microseconds=1))
    except (ValueError, OverflowError) as impossible:
        raise Unreadable("no_such_moment", f"there is no such moment as {received(raw)}") from impossible
    return Moment(raw, start, end)


def read_duration(raw: object) -> Duration:
    if not isinstance(raw, dict) or len(raw) != 1 or next(iter(raw)) not in UNITS:
        raise Unreadable("wrong_type", f'expected a duration such as {{"days": 30}}; received {received(raw)}')
    unit, amount = next(iter(raw.items()))
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise Unreadable("wrong_type", f"{unit} must be a whole number; received {received(amount)}")
    if not 1 <= amount <= Duration.largest(unit):
        raise Unreadable("duration_out_of_range", "a duration is at least 1 and at most 100 years")
    return Duration(amount, unit)


def product(one: Decimal, other: Decimal) -> Decimal:
    """The exact product; Python's own would be rounded to 28 digits."""
    return _WIDE.multiply(one, other)


def cut(total: Decimal, parts: Decimal) -> Decimal:
    """The quotient, rounded down to 4 decimals. `total` has no more than 4, and `parts` is a whole number above 0."""
    # Unless it is a whole number of steps the quotient is further from one than 60 digits could hide.
    return _WIDE.divide(total, parts).quantize(NUMBER_STEP, rounding=ROUND_FLOOR, context=_WIDE)


def times(operand: Operand, factor: Decimal) -> Operand:
    """A number multiplied exactly; each of several numbers."""
    match operand:
        case Decimal():
            return product(operand, factor)
        case tuple():
            return tuple(product(item, factor) if isinstance(item, Decimal) else item for item in operand)
        case _:
            raise TypeError(f"expected numbers, got {operand!r}")


def plain(number: Decimal) -> str:
    """The number without exponent or trailing zeros: 500, 0.25."""
    return f"{number:f}".rstrip("0").rstrip(".") if "." in f"{number:f}" else f"{number:f}"


def canonical(operand: Operand) -> object:
    """The operand as JSON that is the same for equal operands and differs for different ones of a kind."""
    match operand:
        case Decimal():
            return plain(operand)
        case Moment():
            return [operand.start.isoformat(), operand.end.isoformat()]
        case Duration():
            return operand.seconds
        case Pattern():
            return [operand.text, operand.folded]
        case tuple():
            return [canonical(item) for item in operand]
        case _:
            return operand

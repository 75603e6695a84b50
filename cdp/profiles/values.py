"""How a raw JSON value is read as number, text, moment, yes/no or list, once, when it is written.

Rules compare what stands in the typed columns, so every engine compares the same bytes. Pure: no database here.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

TEXT_LIMIT = 512  # characters; an index entry must stay below a third of a page
ITEMS_LIMIT = 1000
NUMBER_LIMIT = Decimal(10) ** 15  # numeric(19,4): fifteen digits before the point
NO_CURRENCY = "XXX"
FOUR_PLACES = Decimal("0.0001")
DATE_LIKE = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def fold(text: str) -> str:
    """Text without case and accents: NFKD, combining marks dropped, casefolded, NFKD again (casefold can compose)."""
    if text.isascii():
        return text.lower()
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c for c in unicodedata.normalize("NFKD", bare.casefold()) if not unicodedata.combining(c))


def as_number(value: Any) -> Decimal | None:
    """The value to four places (half away from zero, as PostgreSQL rounds), or None when it is no number that fits."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    # repr gives the shortest decimal that reads back the same float: 0.1 is 0.1, as its sender wrote it.
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if abs(exact) >= NUMBER_LIMIT:
        return None
    rounded = exact.quantize(FOUR_PLACES, rounding=ROUND_HALF_UP)
    return rounded if abs(rounded) < NUMBER_LIMIT else None


def as_currency(value: Any) -> str | None:
    """The code of a currency in capitals; None when none is named.

    What can be no code gives ISO 4217's "no currency": it is never equal to the reporting one, and has no rate.
    """
    if value is None:
        return None
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha():
        return value.upper()
    return NO_CURRENCY


def as_moment(text: str) -> datetime | None:
    """The moment that an ISO 8601 text names, UTC when it names no zone; a bare date is its midnight UTC."""
    if not DATE_LIKE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        return None
    return moment if EARLIEST <= moment <= LATEST else None


@dataclass(frozen=True, slots=True)
class TypedValue:
    """One trait value in every type it can be read as."""

    number: Decimal | None = None
    text: str | None = None
    text_folded: str | None = None
    moment: datetime | None = None
    boolean: bool | None = None
    items: tuple[str, ...] | None = None


NOTHING = TypedValue()


def typed(value: Any) -> TypedValue:
    """The readings of a JSON value. A value that no rule can compare has none of them."""
    if isinstance(value, str):
        if len(value) > TEXT_LIMIT:
            return NOTHING
        folded = fold(value)
        # Folding can lengthen a text; an over-long one is not compared.
        if len(folded) > TEXT_LIMIT:
            return NOTHING
        return TypedValue(text=value, text_folded=folded, moment=as_moment(value))
    if isinstance(value, bool):
        return TypedValue(boolean=value)
    if isinstance(value, int | float | Decimal):
        return TypedValue(number=as_number(value))
    if isinstance(value, datetime):
        return TypedValue(moment=value.astimezone(UTC))
    if isinstance(value, date):
        return TypedValue(moment=datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, list):
        texts = [item for item in value if isinstance(item, str) and len(item) <= TEXT_LIMIT]
        if len(texts) != len(value) or len(value) > ITEMS_LIMIT:
            return NOTHING
        items = tuple(dict.fromkeys(fold(item) for item in texts))
        # As above: an item that folding made too long would not fit the index either.
        return NOTHING if any(len(item) > TEXT_LIMIT for item in items) else TypedValue(items=items)
    return NOTHING


def type_of(value: Any) -> str:
    """The catalogue type (`TraitType`) that fits a trait first seen with this value."""
    reading = typed(value)
    if reading.boolean is not None:
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    if reading.moment is not None:
        return "date"
    return "list" if isinstance(value, list) else "text"

"""What people type into a part of a condition, as the value of a rule. Pure.

What can't be read stays as it was typed: the rule then says at its place what is wrong, and `mended` may know what was meant.
"""

import re
from calendar import monthrange
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from segments.rules.operands import UNITS
from segments.rules.parts import Input

# Digits in groups of three, with or without the fraction: 1,200.50; thin spaces and apostrophes group as well.
_GROUPED: Final = re.compile(r"[+-]?[0-9]{1,3}([,'\u2019\u202f\u00a0 ][0-9]{3})+(\.[0-9]+)?")
_PLAIN: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?|[+-]?\.[0-9]+")
_SHORT: Final = re.compile(r"([+-]?[0-9]+(?:[.,][0-9]+)?)\s*(k|m|bn|%)?", re.IGNORECASE)
_TIMES: Final = {"k": 1_000, "m": 1_000_000, "bn": 1_000_000_000, "%": 1}
_AROUND: Final = re.compile(r"^[\s$€£¥]+|[\s$€£¥]+$|\b(usd|eur|gbp|chf)\b", re.IGNORECASE)
MOST: Final = 40
# Between values that are pasted together.
_SEPARATORS: Final = re.compile(r"[\n;,]")
_SPAN: Final = re.compile(r"(?:(?:in|within) )?(?:the )?(last|past|next|coming) ([0-9]{1,5} )?(minute|hour|day|week)s?")
_AWAY: Final = re.compile(r"(?:(in) )?([0-9]{1,5}|an?|one) (day|week|month|year)s?( ago)?")
_START: Final = re.compile(
    r"(?:the )?(?:start|beginning|first day) of (?:the )?(this|last|next) (week|month|quarter|year)"
)
_DAYS: Final = {"today": 0, "yesterday": -1, "tomorrow": 1}
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}


def read(text: str, asked: Input, *, kind: str = "", today: date | None = None) -> Any:
    """The value; the text itself where it can't be read, and None where nothing was said.

    Args:
        kind: of a part that takes text or a list, how its values are read: `number`, `boolean`, `text`, or nothing where all may be.
        today: from which days are told by a phrase; without it only dates are read.
    """
    text = text.strip()
    if not text:
        return None
    match asked:
        case Input.NUMBER:
            found = number(text)
            return text if found is None else found
        case Input.TEXT:
            return _of_kind(text, kind)
        case Input.LIST:
            return [_of_kind(one, kind) for one in split(text)]
        case Input.FLAG:
            return True if text in ("on", "true") else None
        case Input.MOMENT if today is not None and (meant := day(text, today)) is not None:
            return meant.isoformat()
        case _:
            return text


def split(text: str) -> list[str]:
    """Values that were typed or pasted at once, without repetition."""
    return list(dict.fromkeys(one for part in _SEPARATORS.split(text) if (one := part.strip())))


def number(text: str) -> int | float | None:
    """A number as it is written in English, thousands separated or not; None of what isn't one."""
    text = text.strip()
    if len(text) > MOST or not (_PLAIN.fullmatch(text) or _GROUPED.fullmatch(text)):
        return None
    found = Decimal(re.sub(r"[^0-9.+-]", "", text))
    return int(found) if found == found.to_integral_value() else float(found)


def mended(value: object) -> int | float | None:
    """The number that somebody may have meant by a text that is none: 1.2k, 500 USD, 1.200,50."""
    if not isinstance(value, str) or len(value) > MOST:
        return None
    bare = _AROUND.sub("", value).strip()
    if (found := number(bare)) is not None:
        return found
    if (short := _SHORT.fullmatch(bare)) is not None and short[2]:
        try:
            meant = Decimal(short[1].replace(",", ".")) * _TIMES[short[2].lower()]
        except InvalidOperation:
            return None
        return int(meant) if meant == meant.to_integral_value() else float(meant)
    # As it is written elsewhere: points between thousands, a comma before the fraction.
    if re.fullmatch(r"[+-]?[0-9]{1,3}(\.[0-9]{3})*(,[0-9]+)?", bare):
        return number(bare.replace(".", "").replace(",", "."))
    return None


def day(text: str, today: date) -> date | None:
    """The day that is meant: a date, "yesterday", "30 days ago", "in 2 weeks", "start of this month"; None of what is none.

    The same day of another month is its last where there is no such day. Weeks begin on Monday.
    """
    said = " ".join(text[:MOST].lower().split())
    try:
        if said in _DAYS:
            return today + timedelta(days=_DAYS[said])
        if (begun := _START.fullmatch(said)) is not None:
            return _start(begun[2], {"this": 0, "last": -1, "next": 1}[begun[1]], today)
        # Either "in 3 days" or "3 days ago"; "3 days" alone is no day.
        if (away := _AWAY.fullmatch(said)) is not None and bool(away[1]) != bool(away[4]):
            count = (int(away[2]) if away[2].isdigit() else 1) * (-1 if away[4] else 1)
            if away[3] in _MONTHS:
                return _months_later(today, count * _MONTHS[away[3]])
            return today + timedelta(days=count * (7 if away[3] == "week" else 1))
        return date.fromisoformat(said) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", said) else None
    except (ValueError, OverflowError):
        return None


def span(text: str) -> tuple[str, int, str] | None:
    """What moves on with time: "last 30 days" and "next 2 weeks" as the operator, the amount and the unit; None of what doesn't."""
    found = _SPAN.fullmatch(" ".join(text[:MOST].lower().split()))
    if found is None:
        return None
    amount = int(found[2]) if found[2] else 1
    return (
        ("within_last" if found[1] in ("last", "past") else "within_next", amount, f"{found[3]}s") if amount else None
    )


def _start(unit: str, later: int, today: date) -> date:
    if unit == "week":
        return today - timedelta(days=today.weekday()) + timedelta(weeks=later)
    length = _MONTHS[unit]
    first = today.replace(day=1, month=(today.month - 1) // length * length + 1)
    return _months_later(first, later * length)


def _months_later(one: date, months: int) -> date:
    years, month = divmod(one.month - 1 + months, 12)
    year = one.year + years
    return one.replace(year=year, month=month + 1, day=min(one.day, monthrange(year, month + 1)[1]))


def duration(lasts: object, *, amount: str | None = None, unit: str | None = None) -> dict[str, Any]:
    """A duration with another amount, or in another unit; what can't be read stays as it was typed."""
    known = {key: value for key, value in lasts.items() if key in UNITS} if isinstance(lasts, dict) else {}
    old_unit, old_amount = next(iter(known.items()), ("days", 30))
    chosen = unit if unit in UNITS else old_unit
    value = old_amount if amount is None else read(amount, Input.NUMBER)
    return {chosen: "" if value is None else value}


def _of_kind(text: str, kind: str) -> Any:
    if kind == "number":
        found = number(text)
        return text if found is None else found
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text

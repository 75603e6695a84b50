"""Days in the words people have for them, offered while one is typed.

A day that is said by a phrase is fixed: a rule has it as a date. What moves on with time is another condition ("is within the last
30 days"), and is offered beside it under its own name. How a phrase is read is in `segments.builder.reading`. Pure.
"""

import json
from dataclasses import dataclass
from datetime import date
from typing import Final

from segments.builder.reading import day, span
from segments.rules.operands import UNITS

_USUAL: Final = ("today", "yesterday", "7 days ago", "30 days ago", "start of this month", "start of this year")
_MOVING: Final = ("last 7 days", "last 30 days", "next 7 days")


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """What is offered: the words, what they come to, the value as a rule has it, and what else is posted with it, as JSON."""

    label: str
    note: str
    value: str
    vals: str = ""


def phrases(text: str, today: date, *, may_move: bool) -> list[Phrase]:
    """What somebody may mean by what they typed; the usual ones while nothing is typed.

    Args:
        may_move: whether the condition can be one that moves on with time.
    """
    typed = text.strip().lower()
    said = [typed] if typed else list(_USUAL)
    found = [_fixed(one, meant) for one in said if (meant := day(one, today)) is not None]
    if not may_move:
        return found
    spans = dict.fromkeys(lasts for one in _may_move(typed) if (lasts := span(one)) is not None)
    return [*found, *(_moving(*one) for one in spans)]


def _may_move(typed: str) -> list[str]:
    """What the words may mean that moves on: "30 days ago" may be said of all that has been since then."""
    if not typed:
        return list(_MOVING)
    bare = typed.removesuffix(" ago").removeprefix("in ")
    was, will = not typed.startswith("in "), not typed.endswith(" ago")
    return [typed, *([f"last {bare}"] if was else []), *([f"next {bare}"] if will else [])]


def _fixed(words: str, meant: date) -> Phrase:
    written = f"{meant.day} {meant:%b %Y}"
    is_date = words[:1].isdigit() and words[-1:].isdigit()
    return Phrase(
        label=written if is_date else words[:1].upper() + words[1:],
        note="" if is_date else written,
        value=f"{meant:%Y-%m-%d}",
    )


def _moving(op: str, amount: int, unit: str) -> Phrase:
    assert unit in UNITS
    lasts = f"{amount} {unit if amount != 1 else unit.removesuffix('s')}"
    label = f"Within the {'last' if op == 'within_last' else 'next'} {lasts}"
    vals = json.dumps({"do": "moving", "op": op, "amount": str(amount), "unit": unit})
    return Phrase(label=label, note="moves on with time", value=lasts, vals=vals)

"""What a consent string that came with a message says to us: what it chooses, and what of it is an opt-out. Kept by its text.

A browser sends the same string with every event, so each is decoded once. Whom it then speaks for is decided by callers.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from enum import StrEnum
from functools import lru_cache

from consent.signals import gpp, tcf
from consent.signals.canada import CanadianTcString
from consent.signals.errors import Flaw, SignalError
from consent.signals.meaning import NOTHING, Meaning, of_gpp, of_tcf
from consent.signals.tcf import TcString
from consent.signals.us import UsPrivacy, UsSection

# Bounds the memory, and not what is believed: what is forgotten is decoded again.
KEPT = 2_048


class Kind(StrEnum):
    GPC = "gpc"
    TCF = "tcf"
    GPP = "gpp"


@dataclass(frozen=True, slots=True)
class Told:
    """What one signal says.

    Args:
        choices: all of it.
        opt_outs: of it what is an opt-out under a law of opting out. Those laws have it hold for the person, if the person is
            known, and not for the browser alone.
        granted_at: when what is granted was granted, as the string says; None where nothing can be.
    """

    choices: Meaning
    opt_outs: Meaning = NOTHING
    granted_at: datetime | None = None


def told_by_tcf(text: object, received_on: date) -> Told:
    """
    Raises:
        SignalError: it is no TC string that may be relied on then.
    """
    return _tcf(_text(text, tcf.LONGEST), received_on)


def told_by_gpp(text: object, in_force: object, received_on: date) -> Told:
    """
    Args:
        in_force: numbers of sections, as a list or as text with “_” or “,” between them; None where it isn't said.

    Raises:
        SignalError: it is no GPP string, or the numbers can't be read.
    """
    return _gpp(_text(text, gpp.LONGEST), _sections(in_force), received_on)


@lru_cache(maxsize=KEPT)
def _tcf(text: str, received_on: date) -> Told:
    tc = tcf.read(text, as_of=_as_of(received_on))
    return Told(of_tcf(tc), granted_at=tc.last_updated)


@lru_cache(maxsize=KEPT)
def _gpp(text: str, in_force: Collection[int] | None, received_on: date) -> Told:
    said = gpp.read(text, as_of=_as_of(received_on))
    of_opting_out = [one for one in said.sections if isinstance(one.content, UsPrivacy | UsSection)]
    granting = [
        one.content.last_updated for one in said.sections if isinstance(one.content, TcString | CanadianTcString)
    ]
    return Told(
        of_gpp(said, in_force=in_force),
        of_gpp(replace(said, sections=tuple(of_opting_out))),
        min(granting, default=None),
    )


def _as_of(received_on: date) -> datetime:
    # Of the whole day the beginning: strings are dated by days, and reading allows for one ahead.
    return datetime.combine(received_on, time(), UTC)


def _text(text: object, longest: int) -> str:
    if not isinstance(text, str):
        raise SignalError(Flaw.NOT_TEXT, f"text was expected; received {type(text).__name__}")
    if len(text) > longest:
        raise SignalError(Flaw.TOO_LONG, f"at most {longest} characters are read; received {len(text)}")
    return text


def _sections(in_force: object) -> frozenset[int] | None:
    if in_force is None:
        return None
    parts = in_force.replace("_", ",").split(",") if isinstance(in_force, str) else in_force
    if not isinstance(parts, list) or len(parts) > 64:
        raise SignalError(Flaw.NOT_TEXT, "numbers of sections were expected", "/gpp_sid")
    found: set[int] = set()
    for part in parts:
        number = int(part) if isinstance(part, str) and part.strip().isdecimal() and len(part) < 5 else part
        if isinstance(number, bool) or not isinstance(number, int):
            raise SignalError(Flaw.VALUE_OUT_OF_RANGE, "a section has a number", "/gpp_sid")
        found.add(number)
    return frozenset(found)

"""What a tracking request says of consent: choices by purpose, consent strings, and what the browser asks for by its headers.

Pure. Whom it speaks for, and what is recorded, is decided by the pipeline and in `consent`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from typing import Any

from consent.signals import gpc
from consent.signals.errors import SignalError
from consent.signals.strings import Kind, Told, told_by_gpp, told_by_tcf


class Asks(IntFlag):
    """What a browser asked for with a request, as the inbox keeps it."""

    OPT_OUT = 1  # Sec-GPC: 1
    NO_TRACKING = 2  # DNT: 1; for the record


def asked_by(sec_gpc: str | None, dnt: str | None) -> int:
    """The two headers as one small number; 0 for almost every request."""
    if sec_gpc is None and dnt is None:
        return 0
    signal = gpc.read(sec_gpc, dnt)
    return (Asks.OPT_OUT if signal.opts_out else 0) | (Asks.NO_TRACKING if signal.do_not_track == "1" else 0)


@dataclass(frozen=True, slots=True)
class ConsentString:
    """One string that could be read."""

    kind: Kind
    text: str
    told: Told


def choices(context: dict[str, Any], flags: list[str]) -> dict[str, bool]:
    """Purpose key -> yes or no. Anything but true and false says nothing, and is flagged: malformed is not consent."""
    consent = context.get("consent")
    if consent is None:
        return {}
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if not isinstance(preferences, dict):
        if not (isinstance(consent, dict) and preferences is None and ("tcf" in consent or "gpp" in consent)):
            flags.append("consent_malformed")
        return {}
    if any(not isinstance(choice, bool) for choice in preferences.values()):
        flags.append("consent_malformed")
    return {key: choice for key, choice in preferences.items() if isinstance(choice, bool)}


def strings(context: dict[str, Any], received_at: datetime, flags: list[str]) -> tuple[ConsentString, ...]:
    """The consent strings of a message. One that isn't to the letter says nothing, and is flagged."""
    consent = context.get("consent")
    if not isinstance(consent, dict) or ("tcf" not in consent and "gpp" not in consent):
        return ()
    found: list[ConsentString] = []
    day = received_at.date()
    try:
        if (text := consent.get("tcf")) is not None:
            found.append(ConsentString(Kind.TCF, text, told_by_tcf(text, day)))
        if (text := consent.get("gpp")) is not None:
            found.append(ConsentString(Kind.GPP, text, told_by_gpp(text, consent.get("gpp_sid"), day)))
    except SignalError:
        flags.append("consent_string_malformed")
    return tuple(found)

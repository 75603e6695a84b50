"""GPP strings of IAB Tech Lab's Global Privacy Platform: a header and, one per law, sections.

Source: IAB Tech Lab, Global Privacy Platform, "Consent String Specification" 1.0. A section that can't be read is kept with
its error; the others are read all the same, so that one broken section takes no opt-out of another law away.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from consent.signals import canada, tables, tcf, us
from consent.signals.bits import checked_text
from consent.signals.canada import CanadianTcString
from consent.signals.errors import Flaw, SignalError
from consent.signals.tcf import TcString
from consent.signals.us import UsPrivacy, UsSection
from consent.signals.us_tables import US_TABLES

LONGEST = 16_384
_MOST_SECTIONS = 64
_WEB_SAFE = re.compile(r"[A-Za-z0-9_.~-]+")

TCF_EU, TCF_CANADA, US_PRIVACY = 2, 5, 6
# Sections that have a number. Of those without a decoder here, 1 is obsolete and 4 undefined so far; 3 is the header.
NAMES: Mapping[int, str] = {
    1: "tcfeuv1",
    TCF_EU: "tcfeuv2",
    3: "header",
    4: "integrity",
    TCF_CANADA: "tcfcav1",
    US_PRIVACY: "uspv1",
    **{table.id: table.prefix for table in US_TABLES.values()},
}
UNKNOWN = "unknown"

Content = TcString | CanadianTcString | UsPrivacy | UsSection


@dataclass(frozen=True, slots=True)
class Section:
    """One section, as far as it can be read.

    Args:
        id: its number in the header.
        name: its name in the client-side API, or "unknown".
        text: as it came.
        content: what it says; None where we don't know such sections, or it can't be read.
        error: why it can't be read.
    """

    id: int
    name: str
    text: str
    content: Content | None
    error: SignalError | None = None


@dataclass(frozen=True, slots=True)
class GppString:
    text: str
    sections: tuple[Section, ...]

    def section(self, id: int) -> Section | None:
        return next((section for section in self.sections if section.id == id), None)


def read(text: object, *, as_of: datetime) -> GppString:
    """What a GPP string says that may be relied on at that moment.

    Args:
        text: untrusted.
        as_of: now; what is dated later is not believed.

    Raises:
        SignalError: it is no GPP string. What is amiss within a section stands there.
    """
    text = checked_text(text, LONGEST)
    if not _WEB_SAFE.fullmatch(text):
        raise SignalError(Flaw.WRONG_CHARACTER, "only A-Z, a-z, 0-9, “-”, “_”, “.” and “~” are used")
    header, *parts = text.split("~")
    ids = tables.GPP_HEADER.read(header)[tables.SECTION_IDS]
    if len(ids) != len(parts) or len(parts) > _MOST_SECTIONS:
        raise SignalError(
            Flaw.WRONG_SECTIONS,
            f"the header names {len(ids)} sections, at most {_MOST_SECTIONS} are read; received {len(parts)}",
        )
    return GppString(text, tuple([_section(id, part, as_of) for id, part in zip(ids, parts, strict=True)]))


def _section(id: int, text: str, as_of: datetime) -> Section:
    name = NAMES.get(id, UNKNOWN)
    decode = _decoder(id, as_of)
    if decode is None:
        return Section(id, name, text, None)
    try:
        return Section(id, name, text, decode(text))
    except SignalError as error:
        return Section(id, name, text, None, error.under(f"/sections/{id}"))


def _decoder(id: int, as_of: datetime) -> Callable[[str], Content] | None:
    if id == TCF_EU:
        return lambda text: tcf.read(text, as_of=as_of)
    if id == TCF_CANADA:
        return lambda text: canada.read(text, as_of=as_of)
    if id == US_PRIVACY:
        return us.decode_us_privacy
    if id in US_TABLES:
        return lambda text: us.decode_section(id, text)
    return None

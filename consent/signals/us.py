"""The American sections of a GPP string, and the US Privacy string that came before them, as one typed value each.

Sources: see `us_tables`; IAB, "US Privacy String" (CCPA, version 1). What they mean for our purposes is in `meaning`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from consent.signals.bits import to_bits
from consent.signals.errors import Flaw, SignalError
from consent.signals.segments import Segment, Values
from consent.signals.us_tables import GPC, US_TABLES, UsTable

UsValue = int | tuple[int, ...]
_US_PRIVACY = re.compile(r"1([YN-])([YN-])([YN-])")
_ANSWERS = {"Y": True, "N": False, "-": None}


@dataclass(frozen=True, slots=True)
class UsSection:
    """What one section says, by the names of its specification: 1 is an opt-out or no consent, 2 the opposite, 0 neither.

    Args:
        id: its number among the sections.
        prefix: its name in the client-side API: "usca".
        version: of the section's specification.
        fields: by name; a tuple where several questions of one kind are asked.
        gpc: what the browser's Global Privacy Control said when the string was made; None where it isn't told.
    """

    id: int
    prefix: str
    version: int
    fields: Mapping[str, UsValue]
    gpc: bool | None


@dataclass(frozen=True, slots=True)
class UsPrivacy:
    """A US Privacy string; None stands for “-”, that the law doesn't apply."""

    has_notice: bool | None
    opted_out_of_sale: bool | None
    is_covered_by_lspa: bool | None


def decode_us_privacy(text: str) -> UsPrivacy:
    """What four characters like "1YNN" say.

    Raises:
        SignalError: these are others.
    """
    match = _US_PRIVACY.fullmatch(text)
    if match is None:
        raise SignalError(Flaw.WRONG_CHARACTER, "“1” and three of “Y”, “N” and “-” were expected")
    return UsPrivacy(*[_ANSWERS[character] for character in match.groups()])


def decode_section(id: int, text: str) -> UsSection:
    """What the section with this number says.

    Raises:
        SignalError: it is no such section, of no version known, or has parts that it can't have.
    """
    table = US_TABLES[id]
    first, *others = text.split(".", len(table.parts) + 1)
    if len(others) > len(table.parts):
        raise SignalError(Flaw.WRONG_SEGMENT, f"at most {len(table.parts)} segments follow the first")
    core, layout = _core(table, first)
    begin, *names = [field.name for field in layout.fields]
    fields = {name: cast(UsValue, core.by_name[name]) for name in names}
    gpc: bool | None = None
    for part, segment in zip(table.parts, others, strict=False):
        values = part.read(segment)
        if GPC in part.fields:
            gpc = values[GPC]
        else:
            fields |= {field.name: cast(UsValue, values[field]) for field in part.fields}
    return UsSection(table.id, table.prefix, cast(int, core.by_name[begin]), fields, gpc)


def _core(table: UsTable, text: str) -> tuple[Values, Segment]:
    """The values of the first segment, by whichever layout of its version has as many bits."""
    version = int(to_bits(text[:1]) or "0", 2)
    layouts = table.layouts.get(version)
    if layouts is None:
        raise SignalError(
            Flaw.WRONG_VERSION, f"versions {sorted(table.layouts)} are known; received {version}", "/core"
        )
    errors: list[SignalError] = []
    for layout in layouts:
        try:
            return layout.read(text), layout
        except SignalError as error:
            errors.append(error)
    raise errors[0]

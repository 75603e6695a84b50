"""The American sections of GPP strings as data: ids, versions, fields in their order.

Sources: IAB Tech Lab, Global Privacy Platform, "Sections/US-National" and "Sections/US-States" (December 2025), and for what
they leave open the reference encoders iabgpp-es 3.2.0 and iabgpp-java; each deviation says so. Names of fields are theirs.
Every field is two bits wide: 0 doesn't apply, 1 yes (opted out; no consent), 2 no (didn't opt out; consent); 3 is not in use.
"""

from dataclasses import dataclass
from typing import Any

from consent.signals.fields import Flag, Number, Numbers
from consent.signals.segments import Field, Segment

_TWO_BITS = Number(2, most=2)


@dataclass(frozen=True, slots=True)
class UsTable:
    """One section.

    Args:
        id: its number in the header of a GPP string.
        prefix: its name in the client-side API.
        layouts: by version of the section, the first segments that writers make of it, to be told apart by their length.
        parts: what may follow the first segment, at most once.
    """

    id: int
    prefix: str
    layouts: dict[int, tuple[Segment, ...]]
    parts: tuple[Segment, ...] = ()


def _field(name: str) -> Field[Any]:
    """A field by its name, with "*n" for n of them in a row."""
    name, _, count = name.partition("*")
    return Field(name, Numbers(int(count), _TWO_BITS) if count else _TWO_BITS)


def _core(version: int, names: str, begins_with: str = "Version") -> Segment:
    begin = Field(begins_with, Number(6, least=version, most=version))
    return Segment("core", (begin, *[_field(name) for name in names.split()]))


GPC = Field("Gpc", Flag())
_GPC = Segment("gpc", (Field("SubsectionType", Number(2, least=1, most=1)), GPC))
# The four newest states: it is told by its place, not by a type of its own.
_SENSITIVE = Segment("sensitive_data", (_field("SensitiveDataProcessing*8"),))

_MSPA = "MspaCoveredTransaction MspaOptOutOptionMode MspaServiceProviderMode"
_OPT_OUTS = "SaleOptOutNotice TargetedAdvertisingOptOutNotice SaleOptOut TargetedAdvertisingOptOut"
_NATIONAL = (
    "SharingNotice SaleOptOutNotice SharingOptOutNotice TargetedAdvertisingOptOutNotice "
    "SensitiveDataProcessingOptOutNotice SensitiveDataLimitUseNotice SaleOptOut SharingOptOut TargetedAdvertisingOptOut "
)
_NATIONAL_12 = f"{_NATIONAL} SensitiveDataProcessing*12 KnownChildSensitiveDataConsents*2 PersonalDataConsents {_MSPA}"
_NATIONAL_16 = f"{_NATIONAL} SensitiveDataProcessing*16 KnownChildSensitiveDataConsents*3 PersonalDataConsents {_MSPA}"


def _state(sensitive: int, children: int = 1, *, notice: str = "ProcessingNotice", more: bool = True) -> str:
    """What most states have in common.

    Args:
        sensitive: how many kinds of sensitive data are asked about.
        children: how many questions there are about known children.
        notice: what its first field is called.
        more: consent to further processing is asked about.
    """
    child = "KnownChildSensitiveDataConsents" + (f"*{children}" if children > 1 else "")
    further = "AdditionalDataProcessingConsent" if more else ""
    return f"{notice} {_OPT_OUTS} SensitiveDataProcessing*{sensitive} {child} {further} {_MSPA}"


def _newest(children: bool) -> str:
    child = "KnownChildSensitiveDataConsents" if children else ""
    return f"MspaCoveredTransaction MspaMode ProcessingNotice {_OPT_OUTS} {child} AdditionalDataProcessingConsent"


def _one(id: int, prefix: str, names: str, *parts: Segment, begins_with: str = "Version") -> UsTable:
    return UsTable(id, prefix, {1: (_core(1, names, begins_with),)}, parts)


US_TABLES = {
    table.id: table
    for table in (
        UsTable(
            7,
            "usnat",
            # iabgpp-java writes the fields of version 2 under the number 1.
            {1: (_core(1, _NATIONAL_12), _core(1, _NATIONAL_16)), 2: (_core(2, _NATIONAL_16),)},
            (_GPC,),
        ),
        _one(
            8,
            "usca",
            "SaleOptOutNotice SharingOptOutNotice SensitiveDataLimitUseNotice SaleOptOut SharingOptOut "
            f"SensitiveDataProcessing*9 KnownChildSensitiveDataConsents*2 PersonalDataConsents {_MSPA}",
            _GPC,
        ),
        _one(9, "usva", _state(8, notice="SharingNotice", more=False)),
        _one(10, "usco", _state(7, notice="SharingNotice", more=False), _GPC),
        _one(
            11,
            "usut",
            "SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SensitiveDataProcessingOptOutNotice "
            "SaleOptOut TargetedAdvertisingOptOut SensitiveDataProcessing*8 KnownChildSensitiveDataConsents " + _MSPA,
        ),
        _one(12, "usct", _state(8, 3, notice="SharingNotice", more=False), _GPC),
        _one(13, "usfl", _state(8, 3)),
        _one(14, "usmt", _state(8, 3, notice="SharingNotice"), _GPC),
        _one(15, "usor", _state(11, 3), _GPC),
        _one(16, "ustx", _state(8), _GPC),
        _one(17, "usde", _state(9, 5), _GPC),
        _one(
            18,
            "usia",
            "ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SensitiveDataOptOutNotice "
            "SaleOptOut TargetedAdvertisingOptOut SensitiveDataProcessing*8 KnownChildSensitiveDataConsents " + _MSPA,
            _GPC,
        ),
        _one(19, "usne", _state(8), _GPC),
        _one(20, "usnh", _state(8, 3), _GPC),
        _one(21, "usnj", _state(10, 5), _GPC),
        # The specification's table lacks MspaCoveredTransaction; the encoders write it.
        _one(22, "ustn", _state(8), _GPC),
        _one(23, "usmn", _state(8), _GPC),
        # The specification (public comment, October 2025) begins these four with a header that lists subsections from 0 on
        # in Fibonacci code, which has no 0 (Global-Privacy-Platform 154). What can be written is what iabgpp-es writes.
        _one(24, "usmd", _newest(children=False), _GPC, begins_with="MspaVersion"),
        _one(25, "usin", _newest(children=True), _SENSITIVE, begins_with="MspaVersion"),
        _one(26, "usky", _newest(children=True), _SENSITIVE, begins_with="MspaVersion"),
        _one(27, "usri", _newest(children=True), _SENSITIVE, begins_with="MspaVersion"),
    )
}

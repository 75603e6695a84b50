"""Signals written for tests, from the same tables that read them, and with whatever is amiss put in on purpose."""

from datetime import UTC, datetime
from typing import Any

from consent.signals import tables as t
from consent.signals.bits import padded_length, to_text
from consent.signals.fields import CustomPurposes
from consent.signals.ids import Ids
from consent.signals.segments import Segment, Values
from consent.signals.us_tables import US_TABLES

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = datetime(2026, 11, 1, tzinfo=UTC)

CORE: dict[str, Any] = {
    "Version": 2,
    "Created": DAY,
    "LastUpdated": DAY,
    "CmpId": 300,
    "CmpVersion": 1,
    "ConsentScreen": 1,
    "ConsentLanguage": "DE",
    "VendorListVersion": 150,
    "TcfPolicyVersion": 5,
    "IsServiceSpecific": True,
    "UseNonStandardTexts": False,
    "SpecialFeatureOptIns": frozenset(),
    "PurposesConsent": frozenset(),
    "PurposesLITransparency": frozenset(),
    "PurposeOneTreatment": False,
    "PublisherCC": "DE",
    "VendorConsent": Ids(),
    "VendorLegitimateInterest": Ids(),
    "PubRestrictions": (),
}


def ids(*numbers: int) -> Ids:
    """A set of these ids, one by one, in ranges."""
    return Ids(tuple((number, number) for number in numbers), max(numbers, default=0), as_bits=False)


def write(segment: Segment, values: dict[str, Any], unit: tuple[int, ...] = ()) -> str:
    return segment.write(Values(values), unit)


def tc_string(*, disclosed: Ids | None = None, publisher: frozenset[int] | None = None, **core: Any) -> str:
    """A TC string of TCF 2.3 that is valid at `NOW`, but for what is asked."""
    segments = [
        write(t.EU_CORE, CORE | core),
        write(t.EU_SEGMENTS[t.DISCLOSED], {"SegmentType": 1, "DisclosedVendors": disclosed or Ids()}),
    ]
    if publisher is not None:
        segments.append(
            write(
                t.EU_SEGMENTS[t.PUBLISHER],
                {
                    "SegmentType": 3,
                    "PubPurposesConsent": publisher,
                    "PubPurposesLITransparency": frozenset(),
                    "CustomPurposes": CustomPurposes(),
                },
            )
        )
    return ".".join(segments)


def us_section(id: int, *, version: int = 1, gpc: bool | None = None, **fields: Any) -> str:
    """An American section in which nothing is said but what is asked."""
    table = US_TABLES[id]
    layout = table.layouts[version][-1]
    begin, *others = layout.fields
    values: dict[str, Any] = {begin.name: version}
    for field in others:
        values[field.name] = (0,) * field.kind.count if hasattr(field.kind, "count") else 0
    text = write(layout, values | fields)
    return text if gpc is None else f"{text}.{write(table.parts[0], {'SubsectionType': 1, 'Gpc': gpc})}"


def gpp_string(sections: dict[int, str]) -> str:
    ranges = tuple((id, id) for id in sorted(sections))
    header = write(t.GPP_HEADER, {"Type": 3, "Version": 1, "Sections": Ids(ranges, None, as_bits=False)})
    return "~".join([header, *[sections[id] for id in sorted(sections)]])


def text_of(bits: str) -> str:
    """Whatever bits, as characters."""
    return to_text(bits.ljust(padded_length(len(bits)), "0"))

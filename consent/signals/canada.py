"""TCF Canada: section 5 of GPP strings, as one typed value. It differs from the EU's in bases and in how ids are written.

Source: IAB Tech Lab, "GPP Extension: IAB Canada TCF". What it means for our purposes is in `meaning`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from consent.signals import tables as t
from consent.signals.bits import checked_text
from consent.signals.errors import Flaw, SignalError
from consent.signals.fields import Restriction
from consent.signals.ids import Ids
from consent.signals.segments import Segment, Values
from consent.signals.tcf import LONGEST, PublisherTc, segment_type

_CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CanadianTcString:
    """What was agreed to in Canada. Implied consent is what follows from having been told, and is no yes.

    In `publisher`, as in the EU's, the second basis stands under `legitimate_interest`; here it is implied consent.
    """

    text: str
    created: datetime
    last_updated: datetime
    cmp_id: int
    consent_language: str
    vendor_list_version: int
    policy_version: int
    special_features: frozenset[int]
    purposes_express_consent: frozenset[int]
    purposes_implied_consent: frozenset[int]
    vendors_express_consent: Ids
    vendors_implied_consent: Ids
    restrictions: tuple[Restriction, ...]
    disclosed_vendors: Ids | None
    publisher: PublisherTc | None


def decode(text: object) -> CanadianTcString:
    """What the section says.

    Raises:
        SignalError: it is no such section to the last bit.
    """
    first, *others = checked_text(text, LONGEST).split(".", len(t.CA_SEGMENTS) + 1)
    core = _first_that_fits(t.CA_CORE, first)
    segments: dict[int, Values] = {}
    for place, segment in enumerate(others, start=1):
        kind = segment_type(segment, place)
        if kind not in t.CA_SEGMENTS or kind in segments:
            raise SignalError(Flaw.WRONG_SEGMENT, "an unknown or a second segment of its type", f"/{place}")
        segments[kind] = _first_that_fits(t.CA_SEGMENTS[kind], segment)
    disclosed, publisher = segments.get(t.DISCLOSED), segments.get(t.PUBLISHER)
    assert isinstance(text, str)
    return CanadianTcString(
        text=text,
        created=core[t.CREATED],
        last_updated=core[t.LAST_UPDATED],
        cmp_id=core[t.CMP_ID],
        consent_language=core[t.CONSENT_LANGUAGE],
        vendor_list_version=core[t.VENDOR_LIST_VERSION],
        policy_version=core[t.TCF_POLICY_VERSION],
        special_features=core[t.SPECIAL_FEATURE_EXPRESS_CONSENT],
        purposes_express_consent=core[t.PURPOSES_EXPRESS_CONSENT],
        purposes_implied_consent=core[t.PURPOSES_IMPLIED_CONSENT],
        vendors_express_consent=core[t.VENDOR_EXPRESS_CONSENT],
        vendors_implied_consent=core[t.VENDOR_IMPLIED_CONSENT],
        restrictions=core[t.CA_PUB_RESTRICTIONS],
        disclosed_vendors=disclosed[t.CA_DISCLOSED_VENDORS] if disclosed else None,
        publisher=_publisher(publisher) if publisher else None,
    )


def read(text: object, *, as_of: datetime) -> CanadianTcString:
    """What the section says, if its times can be.

    Raises:
        SignalError: it is no such section, or dated later than now.
    """
    tc = decode(text)
    if not tc.created <= tc.last_updated <= as_of + _CLOCKS_DIFFER:
        raise SignalError(
            Flaw.IMPLAUSIBLE_TIME,
            "it was created after its last update, or will be updated later than now",
            f"/core/{t.LAST_UPDATED.name}",
        )
    return tc


def _first_that_fits(layouts: Sequence[Segment], text: str) -> Values:
    """The values by the first layout that gives the same bits; of no layout's errors, the first one's."""
    first_error: SignalError | None = None
    for layout in layouts:
        try:
            return layout.read(text)
        except SignalError as error:
            first_error = first_error or error
    assert first_error is not None, "there is a layout"
    raise first_error


def _publisher(values: Values) -> PublisherTc:
    return PublisherTc(
        values[t.PUB_PURPOSES_EXPRESS_CONSENT], values[t.PUB_PURPOSES_IMPLIED_CONSENT], values[t.CUSTOM_PURPOSES]
    )

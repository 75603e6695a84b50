"""TC strings of IAB Europe's Transparency & Consent Framework, versions 2.2 and 2.3, as one typed value each.

Source: IAB Tech Lab, "Consent string and vendor list formats v2". What a string means for our purposes is in `meaning`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consent.signals import tables as t
from consent.signals.bits import checked_text, to_bits
from consent.signals.errors import Flaw, SignalError
from consent.signals.fields import CustomPurposes, Restriction, RestrictionType
from consent.signals.ids import Ids
from consent.signals.segments import Values

# A cookie holds half of it, and a request's headers little more. The longest lists of vendors and restrictions fit.
LONGEST = 8_192
_MOST_SEGMENTS = 3

# The policies that TCF 2.2 and 2.3 are under. Version 5 came with vendor list 62 in July 2024, a year before TCF 2.3, and
# 2.3 kept it; so the version doesn't tell the two apart, the day does.
POLICY_VERSIONS = frozenset({4, 5})
# The day on which TCF 2.2 was published: no string under its policies is older.
TCF_2_2_BEGINS = datetime(2023, 5, 16, tzinfo=UTC)
# From this day on the segment of disclosed vendors is mandatory; strings that were made before stay valid without it.
DISCLOSURE_BEGINS = datetime(2026, 3, 1, tzinfo=UTC)
# Since 2021 the time in a string is that of a day's beginning; some take the day of where they are, up to 14 hours ahead.
_CLOCKS_DIFFER = timedelta(days=1)
# Storing on devices rests on consent alone (TCF policies), and so, since 2.2, do profiles and what they are used for.
NO_LEGITIMATE_INTEREST = frozenset({1, 3, 4, 5, 6})


@dataclass(frozen=True, slots=True)
class PublisherTc:
    """What was said to the publisher itself, for its own use."""

    purposes_consent: frozenset[int]
    purposes_legitimate_interest: frozenset[int]
    custom_purposes: CustomPurposes


@dataclass(frozen=True, slots=True)
class TcString:
    """What a TC string says. Purposes, special features and vendors are numbers of the Global Vendor List.

    Args:
        text: as it came, for the record.
        purpose_one_treatment: purpose 1 was not asked about, because the publisher's country doesn't demand it.
        publisher_country: ISO 3166-1 alpha-2 code of the country whose law the publisher goes by; "AA" where none was set.
        disclosed_vendors: whom the person was told of; None where the string doesn't say.
        allowed_vendors: of the global scope, which ended in 2021.
    """

    text: str
    created: datetime
    last_updated: datetime
    cmp_id: int
    cmp_version: int
    consent_screen: int
    consent_language: str
    vendor_list_version: int
    policy_version: int
    is_service_specific: bool
    uses_non_standard_texts: bool
    special_features: frozenset[int]
    purposes_consent: frozenset[int]
    purposes_legitimate_interest: frozenset[int]
    purpose_one_treatment: bool
    publisher_country: str
    vendors_consent: Ids
    vendors_legitimate_interest: Ids
    restrictions: tuple[Restriction, ...]
    disclosed_vendors: Ids | None
    allowed_vendors: Ids | None
    publisher: PublisherTc | None

    def restrictions_for(self, purpose: int, vendor: int) -> frozenset[RestrictionType]:
        return frozenset(r.type for r in self.restrictions if r.purpose == purpose and vendor in r.vendors)


def read(text: object, *, as_of: datetime) -> TcString:
    """What a TC string says that may be relied on at that moment.

    Args:
        text: untrusted.
        as_of: now; a string dated later is not believed.

    Raises:
        SignalError: it is no TC string, or one that TCF 2.2 and 2.3 hold to be invalid.
    """
    tc = decode(text)
    _check_rules(tc)
    _check_times(tc, as_of)
    return tc


def decode(text: object) -> TcString:
    """What a TC string says, of whatever policy and time: for looking at old strings, and not to be relied on.

    Raises:
        SignalError: it is no TC string to the last bit.
    """
    first, *others = _split(checked_text(text, LONGEST))
    core = t.EU_CORE.read(first)
    segments: dict[int, Values] = {}
    for place, segment in enumerate(others, start=1):
        kind = segment_type(segment, place)
        if kind not in t.EU_SEGMENTS or kind in segments:
            raise SignalError(Flaw.WRONG_SEGMENT, "an unknown or a second segment of its type", f"/{place}")
        segments[kind] = t.EU_SEGMENTS[kind].read(segment)
    disclosed, allowed, publisher = (segments.get(kind) for kind in (t.DISCLOSED, t.ALLOWED, t.PUBLISHER))
    assert isinstance(text, str)
    return TcString(
        text=text,
        created=core[t.CREATED],
        last_updated=core[t.LAST_UPDATED],
        cmp_id=core[t.CMP_ID],
        cmp_version=core[t.CMP_VERSION],
        consent_screen=core[t.CONSENT_SCREEN],
        consent_language=core[t.CONSENT_LANGUAGE],
        vendor_list_version=core[t.VENDOR_LIST_VERSION],
        policy_version=core[t.TCF_POLICY_VERSION],
        is_service_specific=core[t.IS_SERVICE_SPECIFIC],
        uses_non_standard_texts=core[t.USE_NON_STANDARD_TEXTS],
        special_features=core[t.SPECIAL_FEATURE_OPT_INS],
        purposes_consent=core[t.PURPOSES_CONSENT],
        purposes_legitimate_interest=core[t.PURPOSES_LI_TRANSPARENCY],
        purpose_one_treatment=core[t.PURPOSE_ONE_TREATMENT],
        publisher_country=core[t.PUBLISHER_CC],
        vendors_consent=core[t.VENDOR_CONSENT],
        vendors_legitimate_interest=core[t.VENDOR_LEGITIMATE_INTEREST],
        restrictions=core[t.PUB_RESTRICTIONS],
        disclosed_vendors=disclosed[t.DISCLOSED_VENDORS] if disclosed else None,
        allowed_vendors=allowed[t.ALLOWED_VENDORS] if allowed else None,
        publisher=_publisher(publisher) if publisher else None,
    )


def segment_type(segment: str, place: int) -> int:
    """Which segment it is: the three bits that each but the first begins with."""
    try:
        return int(to_bits(segment[:1])[:3] or "0", 2)
    except SignalError as error:
        raise error.under(f"/{place}") from None


def _split(text: str) -> list[str]:
    segments = text.split(".", _MOST_SEGMENTS + 1)
    if len(segments) > _MOST_SEGMENTS + 1:
        raise SignalError(Flaw.WRONG_SEGMENT, f"at most {_MOST_SEGMENTS} segments follow the first")
    return segments


def _publisher(values: Values) -> PublisherTc:
    return PublisherTc(
        values[t.PUB_PURPOSES_CONSENT], values[t.PUB_PURPOSES_LI_TRANSPARENCY], values[t.CUSTOM_PURPOSES]
    )


def _check_rules(tc: TcString) -> None:
    if tc.policy_version not in POLICY_VERSIONS:
        raise SignalError(
            Flaw.WRONG_VERSION,
            f"policy version 4 or 5 was expected; received {tc.policy_version}",
            f"/core/{t.TCF_POLICY_VERSION.name}",
        )
    if not tc.is_service_specific:
        raise SignalError(
            Flaw.NOT_ALLOWED,
            "strings of the global scope are invalid since 2021",
            f"/core/{t.IS_SERVICE_SPECIFIC.name}",
        )
    if tc.allowed_vendors is not None:
        raise SignalError(
            Flaw.WRONG_SEGMENT, "allowed vendors are of the global scope, which ended", "/allowed_vendors"
        )
    if forbidden := tc.purposes_legitimate_interest & NO_LEGITIMATE_INTEREST:
        raise SignalError(
            Flaw.NOT_ALLOWED,
            f"legitimate interest is no basis for purposes {sorted(forbidden)}",
            f"/core/{t.PURPOSES_LI_TRANSPARENCY.name}",
        )
    if tc.disclosed_vendors is None and tc.last_updated >= DISCLOSURE_BEGINS:
        raise SignalError(
            Flaw.WRONG_SEGMENT, "from March 2026 on the disclosed vendors must be named", "/disclosed_vendors"
        )


def _check_times(tc: TcString, as_of: datetime) -> None:
    if not TCF_2_2_BEGINS <= tc.last_updated <= as_of + _CLOCKS_DIFFER:
        raise SignalError(
            Flaw.IMPLAUSIBLE_TIME,
            "it was last updated before TCF 2.2 began, or will be later than now",
            f"/core/{t.LAST_UPDATED.name}",
        )
    if tc.created > tc.last_updated:
        raise SignalError(Flaw.IMPLAUSIBLE_TIME, "it was created after its last update", f"/core/{t.CREATED.name}")

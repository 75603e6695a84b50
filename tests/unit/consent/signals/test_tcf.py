"""TC strings: published ones say what their publishers say they do, and invalid ones say nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consent.signals import tcf
from consent.signals.bits import to_bits
from consent.signals.errors import Flaw, SignalError
from consent.signals.fields import CustomPurposes, RestrictionType
from consent.signals.ids import Ids
from consent.signals.tables import ALLOWED, EU_CORE, EU_SEGMENTS
from consent.signals.tcf import PublisherTc
from tests.unit.consent.signals.writing import CORE, DAY, NOW, ids, tc_string, text_of, write


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- Published strings -----------------------------------------------------------------------------------------------
# Each with where it is published and what is said of it there. Most are older than TCF 2.2, so they are decoded, not relied on.
PUBLISHED: list[tuple[str, str, dict[str, Any]]] = [
    (
        "iabtcf-java TCStringV2Test, testCanConstructTCModelFromBase64String",
        "COtybn4PA_zT4KjACBENAPCIAEBAAECAAIAAAAAAAAAA",
        {
            "created": day("2020-01-26T17:01:00"),
            "last_updated": day("2021-02-02T17:01:00"),
            "cmp_id": 675,
            "cmp_version": 2,
            "consent_screen": 1,
            "vendor_list_version": 15,
            "policy_version": 2,
            "consent_language": "EN",
            "publisher_country": "AA",
            "is_service_specific": False,
            "purpose_one_treatment": True,
            "uses_non_standard_texts": False,
            "special_features": {1},
            "purposes_consent": {2, 10},
            "purposes_legitimate_interest": {2, 9},
            "disclosed_vendors": None,
            "publisher": None,
        },
    ),
    (
        "iabtcf-java TCStringV2Test, testConstructConsentsFromBitFields",
        "COrEAV4OrXx94ACABBENAHCIAD-AAAAAAACAAxAAAAgAIAwgAgAAAAEAgQAAAAAEAYQAQAAAACAAAABAAA",
        {
            "purposes_consent": {3, 4, 5, 6, 7, 8, 9},
            "vendors_consent": {23, 37, 47, 48, 53, 65, 98},
            "vendors_legitimate_interest": {37, 47, 48, 53, 65, 98, 129},
        },
    ),
    (
        "iabtcf-java TCStringV2Test, testCanParseDisclosedAndAllowedVendors",
        "COrEAV4OrXx94ACABBENAHCIAD-AAAAAAACAAxAAAAgAIAwgAgAAAAEAgQAAAAAEAYQAQAAAACAAAABAAA"
        ".IBAgAAAgAIAwgAgAAAAEAAAACA.QAagAQAgAIAwgA",
        {
            "allowed_vendors": {12, 23, 37, 47, 48, 53},
            "disclosed_vendors": {23, 37, 47, 48, 53, 65, 98, 129},
        },
    ),
    (
        "iabtcf-java TCStringV2Test, testCanParseRangeEncodedVendorLegitimateInterests",
        "COv__-wOv__-wC2AAAENAPCgAAAAAAAAAAAAA_wAQA_gEBABAEAAAA",
        {"vendors_legitimate_interest": {128}},
    ),
    (
        "iabtcf-java TCStringV2Test, testRange (two single ids)",
        "COwBOpCOwBOpCLqAAAENAPCAAAAAAAAAAAAAFfwAYFfAV-BVkAGBVYFWAAA",
        {"vendors_consent": {702, 703}},
    ),
    (
        "iabtcf-java TCStringV2Test, testRange (one group)",
        "COwBOpCOwBOpCLqAAAENAPCAAAAAAAAAAAAAFfwAQFfgUbABAUaAAA",
        {"vendors_consent": {703}},
    ),
    (
        "iabtcf-java TCStringV2Test, testPurposesConsent",
        "COwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA",
        {"purposes_consent": {1, 2}},
    ),
    (
        "the example of the specification of TCF 2.3 (“TC String Format”), which says of it no more than its segments",
        "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA",
        {
            "created": day("2025-06-03T00:00:00"),
            "last_updated": day("2025-06-03T00:00:00"),
            "cmp_id": 880,
            "is_service_specific": True,
            "publisher_country": "DE",
            "vendors_consent": {1, 2, 3, 4},
            "disclosed_vendors": {1, 2, 3, 4, 5, 100, 404},
            "publisher": PublisherTc(frozenset(), frozenset(), CustomPurposes()),
        },
    ),
    (
        "iabgpp-es TcfEuV2.test, “decode with vendor [11, 28, 29] and publisher TC”",
        "CPTtLAAPTtLAAAAAAAENAAFgALwAAEAAAAAAAOgAgABgAAAA.IAoAAgABgAAEAQAAEAAA.d4AACEAAAAAA",
        {
            "is_service_specific": True,
            "policy_version": 5,
            "created": day("2022-02-01T00:00:00"),
            "consent_language": "EN",
            "purposes_consent": {1, 3, 4, 5, 6},
            "purposes_legitimate_interest": {2},
            "vendors_consent": {11, 28, 29},
            "disclosed_vendors": {11, 28, 29, 50, 60, 80},
            "publisher": PublisherTc(frozenset({1, 3, 4, 5, 6}), frozenset({2, 7}), CustomPurposes()),
        },
    ),
    (
        "iabgpp-es TcfEuV2.test, “decode defaults”",
        "CAAAAAAAAAAAAAAAAAENAACAAAAAAAAAAAAAAAAAAAAA.QAAA.IAAA",
        {
            "created": day("1970-01-01T00:00:00"),
            "cmp_id": 0,
            "policy_version": 2,
            "is_service_specific": False,
            "publisher_country": "AA",
            "vendors_consent": set(),
            "restrictions": (),
            "allowed_vendors": set(),
            "disclosed_vendors": set(),
        },
    ),
]


@pytest.mark.parametrize(("source", "text", "said"), PUBLISHED, ids=[source for source, *_ in PUBLISHED])
def test_published_strings_say_what_is_published(source: str, text: str, said: dict[str, Any]) -> None:
    tc = tcf.decode(text)
    for name, expected in said.items():
        found = getattr(tc, name)
        assert (set(found) if isinstance(found, Ids) else found) == expected, name
    assert tc.text == text


def test_published_restrictions_say_what_is_published() -> None:
    # iabtcf-java TCStringV2Test, testPublisherRestrictions, which is published as bits.
    bits = (
        "0000100011101011100"
        "1000000000000001010"
        "0000001110101110010"
        "0000000000000101000"
        "0000110011111000000"
        "0000000000000000100"
        "0011010000000011110"
        "0001000000000000000" + "0" * 95 + "000000000011"
        "00000101000000000000"
        "00001000000000000000"
        "00001110000000000000"
    )
    restrictions = tcf.decode(text_of(bits)).restrictions
    assert [(r.purpose, r.type, list(r.vendors)) for r in restrictions] == [
        (1, RestrictionType.REQUIRE_CONSENT, []),
        (2, RestrictionType.NOT_ALLOWED, []),
        (3, RestrictionType.REQUIRE_LEGITIMATE_INTEREST, []),
    ]


def test_published_custom_purposes_say_what_is_published() -> None:
    # iabtcf-java TCStringV2Test, testPublisherPurposes: type, consent to purpose 1, legitimate interest for 24, 2 custom ones.
    bits = "011" + "1" + "0" * 23 + "0" * 23 + "1" + "000010" + "01" + "11"
    tc = tcf.decode(f"COtybn4PA_zT4KjACBENAPCIAEBAAECAAIAAAAAAAAAA.{text_of(bits)}")
    custom = CustomPurposes(2, frozenset({2}), frozenset({1, 2}))
    assert tc.publisher == PublisherTc(frozenset({1}), frozenset({24}), custom)


# ---- What may be relied on -------------------------------------------------------------------------------------------
def test_a_valid_string_is_read() -> None:
    text = tc_string(
        PurposesConsent=frozenset({1, 3, 4}),
        PurposesLITransparency=frozenset({2, 7, 8, 9, 10, 11}),
        VendorConsent=ids(7, 755),
        disclosed=ids(7, 755),
    )
    tc = tcf.read(text, as_of=NOW)
    assert (tc.purposes_consent, set(tc.vendors_consent), tc.publisher_country) == ({1, 3, 4}, {7, 755}, "DE")


@pytest.mark.parametrize("policy_version", [4, 5])
def test_the_policies_of_2_2_and_2_3_are_known(policy_version: int) -> None:
    assert tcf.read(tc_string(TcfPolicyVersion=policy_version), as_of=NOW).policy_version == policy_version


@pytest.mark.parametrize(
    ("core", "code", "pointer"),
    [
        ({"TcfPolicyVersion": 2}, Flaw.WRONG_VERSION, "/core/TcfPolicyVersion"),
        ({"TcfPolicyVersion": 3}, Flaw.WRONG_VERSION, "/core/TcfPolicyVersion"),
        ({"TcfPolicyVersion": 6}, Flaw.WRONG_VERSION, "/core/TcfPolicyVersion"),
        ({"IsServiceSpecific": False}, Flaw.NOT_ALLOWED, "/core/IsServiceSpecific"),
        *[
            ({"PurposesLITransparency": frozenset({2, purpose})}, Flaw.NOT_ALLOWED, "/core/PurposesLITransparency")
            for purpose in (1, 3, 4, 5, 6)
        ],
        ({"Created": DAY + timedelta(days=1)}, Flaw.IMPLAUSIBLE_TIME, "/core/Created"),
        ({"LastUpdated": NOW + timedelta(days=2)}, Flaw.IMPLAUSIBLE_TIME, "/core/LastUpdated"),
        (
            {"Created": day("2023-05-15"), "LastUpdated": day("2023-05-15")},
            Flaw.IMPLAUSIBLE_TIME,
            "/core/LastUpdated",
        ),
    ],
)
def test_strings_that_break_the_rules_are_decoded_but_not_read(core: dict[str, Any], code: Flaw, pointer: str) -> None:
    text = tc_string(**core)
    tcf.decode(text)
    with pytest.raises(SignalError) as refused:
        tcf.read(text, as_of=NOW)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_string_of_tomorrow_is_read_where_the_day_has_begun() -> None:
    tomorrow = NOW + timedelta(hours=14)
    assert tcf.read(tc_string(Created=tomorrow, LastUpdated=tomorrow), as_of=NOW).last_updated == tomorrow


def test_disclosed_vendors_are_mandatory_from_march_2026_on() -> None:
    march = day("2026-03-01")
    with pytest.raises(SignalError) as refused:
        tcf.read(write(EU_CORE, CORE | {"Created": march, "LastUpdated": march}), as_of=NOW)
    assert (refused.value.code, refused.value.pointer) == (Flaw.WRONG_SEGMENT, "/disclosed_vendors")

    # Policy version 5 is older than TCF 2.3, so strings of that version from before stay valid without the segment.
    february = march - timedelta(days=1)
    tc = tcf.read(write(EU_CORE, CORE | {"Created": february, "LastUpdated": february}), as_of=NOW)
    assert (tc.policy_version, tc.disclosed_vendors) == (5, None)


def test_the_global_scope_is_over() -> None:
    allowed = write(EU_SEGMENTS[ALLOWED], {"SegmentType": 2, "AllowedVendors": ids(7)})
    with pytest.raises(SignalError) as refused:
        tcf.read(f"{tc_string()}.{allowed}", as_of=NOW)
    assert (refused.value.code, refused.value.pointer) == (Flaw.WRONG_SEGMENT, "/allowed_vendors")


# ---- Form ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [5_000, 8_192, 8_193, 1_000_000])
def test_a_string_of_nothing_but_c_is_not_consent(length: int) -> None:
    with pytest.raises(SignalError):
        tcf.decode("C" * length)


VALID = tc_string(VendorConsent=ids(3, 9))
CORE_ONLY, DISCLOSED_ONLY = VALID.split(".")


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        (None, Flaw.NOT_TEXT, ""),
        (VALID.encode(), Flaw.NOT_TEXT, ""),
        ("", Flaw.EMPTY, ""),
        ("." + VALID, Flaw.TRUNCATED, "/core/Version"),
        (VALID + ".", Flaw.WRONG_SEGMENT, "/2"),
        (CORE_ONLY[:-1], Flaw.TRUNCATED, "/core/PubRestrictions"),
        (CORE_ONLY + "B", Flaw.NOT_CANONICAL, "/core"),
        (CORE_ONLY + "AAAAAA", Flaw.NOT_CANONICAL, "/core"),
        (CORE_ONLY + "==", Flaw.WRONG_CHARACTER, "/core"),
        (CORE_ONLY.replace("C", "С", 1), Flaw.WRONG_CHARACTER, "/core"),  # Cyrillic
        (CORE_ONLY[:10] + "\n" + CORE_ONLY[10:], Flaw.WRONG_CHARACTER, "/core"),
        ("B" + CORE_ONLY[1:], Flaw.VALUE_OUT_OF_RANGE, "/core/Version"),
        (f"{VALID}.{DISCLOSED_ONLY}", Flaw.WRONG_SEGMENT, "/2"),
        (f"{CORE_ONLY}.{CORE_ONLY}", Flaw.WRONG_SEGMENT, "/1"),
        (f"{CORE_ONLY}.gAAA", Flaw.WRONG_SEGMENT, "/1"),  # type 4
        (".".join([VALID, *[DISCLOSED_ONLY] * 3]), Flaw.WRONG_SEGMENT, ""),
    ],
)
def test_errors_name_the_place(text: object, code: Flaw, pointer: str) -> None:
    with pytest.raises(SignalError) as refused:
        tcf.decode(text)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def vendors(items: str, highest: int = 100) -> str:
    """A core segment in which the consent of vendors is written as these bits."""
    before = to_bits(write(EU_CORE, CORE))[:213]  # of a fixed length
    return text_of(before + f"{highest:016b}1" + items + "0" * 17 + "0" * 12)


@pytest.mark.parametrize(
    ("items", "code"),
    [
        (f"{1:012b}0{101:016b}", Flaw.VALUE_OUT_OF_RANGE),  # above the highest id
        (f"{1:012b}0{0:016b}", Flaw.VALUE_OUT_OF_RANGE),
        (f"{1:012b}1{9:016b}{8:016b}", Flaw.VALUE_OUT_OF_RANGE),  # backwards
        (f"{2:012b}1{1:016b}{9:016b}0{9:016b}", Flaw.VALUE_OUT_OF_RANGE),  # overlapping
        (f"{1:012b}1{9:016b}{9:016b}", Flaw.NOT_CANONICAL),  # a group of one
        (f"{4095:012b}0{9:016b}", Flaw.TRUNCATED),  # more items than there are
    ],
)
def test_ranges_must_be_possible(items: str, code: Flaw) -> None:
    with pytest.raises(SignalError) as refused:
        tcf.decode(vendors(items))
    assert (refused.value.code, refused.value.pointer) == (code, "/core/VendorConsent")


def test_ranges_may_be_in_any_order() -> None:
    tc = tcf.decode(vendors(f"{2:012b}0{50:016b}1{1:016b}{9:016b}"))
    assert set(tc.vendors_consent) == {*range(1, 10), 50}


def test_errors_never_repeat_what_was_sent() -> None:
    secret = "ann@example.com"
    with pytest.raises(SignalError) as refused:
        tcf.decode(CORE_ONLY + secret)
    assert secret not in str(refused.value)

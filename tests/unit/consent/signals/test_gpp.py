"""GPP strings: headers and sections as published, and what is done with sections that can't be read."""

from datetime import UTC, datetime
from typing import Any

import pytest

from consent.signals import canada, gpp, tables, us
from consent.signals.bits import BitReader, fibonacci_bits, to_bits, to_text
from consent.signals.canada import CanadianTcString
from consent.signals.errors import Flaw, SignalError
from consent.signals.fields import CustomPurposes, FibonacciRange, IntRange, RestrictionType
from consent.signals.tcf import PublisherTc
from consent.signals.us import UsPrivacy, UsSection
from consent.signals.us_tables import US_TABLES
from tests.unit.consent.signals.us_references import (
    CHILDREN,
    DATA,
    ENCODED,
    ENCODED_OTHERWISE,
    EVERY_SECTION,
    SECTION_IDS,
    SPECIFIED,
)
from tests.unit.consent.signals.writing import NOW, gpp_string, tc_string, text_of, us_section

# ---- Header ----------------------------------------------------------------------------------------------------------
# The first three from the specification's "Header Examples", the others from iabgpp-es HeaderV1.test and GppModel.test.
HEADERS = {
    "DBABM": [2],
    "DBACNY": [2, 6],
    "DBABjw": [5, 6],
    "DBAA": [],
    "DBABMA": [2],
    "DBACNYA": [2, 6],
    "DBABLA": [7],
    "DBABTA": [6],
    "DBACOcGA": [2, *range(5, 28)],
}


@pytest.mark.parametrize(("text", "ids"), HEADERS.items())
def test_published_headers_name_their_sections(text: str, ids: list[int]) -> None:
    assert list(tables.GPP_HEADER.read(text)[tables.SECTION_IDS]) == ids


# The specification's table "About Fibonacci Encoding".
@pytest.mark.parametrize(
    ("number", "bits"),
    [(1, "11"), (2, "011"), (3, "0011"), (4, "1011"), (5, "00011"), (6, "10011"), (7, "01011")],
)
def test_fibonacci_codes_are_those_of_the_specification(number: int, bits: str) -> None:
    assert fibonacci_bits(number) == bits
    assert BitReader(bits).fibonacci() == number


def test_ranges_are_those_of_the_specification() -> None:
    # "Section Encoding", Range (Fibonacci) and Range (Int): 3, and 5 to 8.
    fibonacci = "000000000010" + "00011" + "1011" + "0011"
    whole = "000000000010" + "0" + "0000000000000011" + "1" + "0000000000000101" + "0000000000001000"
    for kind, bits in ((FibonacciRange(), fibonacci), (IntRange(), whole)):
        ids = kind.read(BitReader(bits))
        assert list(ids) == [3, 5, 6, 7, 8]
        assert kind.write(ids) == bits


# ---- American sections -----------------------------------------------------------------------------------------------
def test_every_section_of_the_list_is_known_by_its_number() -> None:
    assert {table.prefix: table.id for table in US_TABLES.values()} == SECTION_IDS
    assert {gpp.NAMES[id] for id in SECTION_IDS.values()} == set(SECTION_IDS)


@pytest.mark.parametrize("prefix", SPECIFIED)
def test_the_tables_are_those_of_the_specification(prefix: str) -> None:
    table = US_TABLES[SECTION_IDS[prefix]]
    layout = table.layouts[max(table.layouts)][-1]
    _, *fields = layout.fields
    assert [
        f"{field.name}*{field.kind.count}" if hasattr(field.kind, "count") else field.name for field in fields
    ] == SPECIFIED[prefix].split()


@pytest.mark.parametrize("prefix", ENCODED)
def test_published_sections_say_what_is_published(prefix: str) -> None:
    text = ENCODED[prefix]
    section = us.decode_section(SECTION_IDS[prefix], text)
    expected: dict[str, int | tuple[int, ...]] = {}
    for name in SPECIFIED[prefix].split():
        name, _, count = name.partition("*")
        answers = DATA if name == "SensitiveDataProcessing" else CHILDREN
        expected[name] = answers[: int(count)] if count else 2 if name == "MspaServiceProviderMode" else 1
    assert section == UsSection(SECTION_IDS[prefix], prefix, 1, expected, True if "." in text else None)


@pytest.mark.parametrize(("prefix", "text", "said", "is_gpc"), ENCODED_OTHERWISE)
def test_further_published_sections_say_what_is_published(
    prefix: str, text: str, said: dict[str, Any], is_gpc: bool | None
) -> None:
    section = us.decode_section(SECTION_IDS[prefix], text)
    assert {name: section.fields[name] for name in said} == said
    assert section.gpc is is_gpc


def test_both_versions_of_the_national_section_are_told_apart() -> None:
    assert us.decode_section(7, "BAAAVVVVUQA.QA").version == 1
    assert us.decode_section(7, "CAAAVVVVVVRA.QA").version == 2
    with pytest.raises(SignalError) as refused:
        us.decode_section(7, "CVQqAAAACg")  # version 2 with the length of version 1; iabgpp-es fills it up
    assert refused.value.code == Flaw.TRUNCATED


@pytest.mark.parametrize(
    ("id", "text", "code"),
    [
        (8, "BbYbGwXY.YA", Flaw.VALUE_OUT_OF_RANGE),  # iabgpp-es UsCa.test decodes it, with threes in it
        (8, "CVWSSSVY", Flaw.WRONG_VERSION),
        (8, "z", Flaw.WRONG_VERSION),
        (8, "", Flaw.WRONG_VERSION),
        (8, "BVWSSSVY.YA.YA", Flaw.WRONG_SEGMENT),
        (8, "BVWSSSVY.QB", Flaw.NOT_CANONICAL),
        (8, "BVWSSSVY.", Flaw.TRUNCATED),
        (8, "BVWSSSV", Flaw.TRUNCATED),
        (8, "BVWSSSVYA", Flaw.NOT_CANONICAL),
        (9, "BVWSSVY.YA", Flaw.WRONG_SEGMENT),  # Virginia has no GPC
        (25, "ZBAAAA.BVVV", Flaw.WRONG_VERSION),  # the header of the draft, which can't be written
    ],
)
def test_sections_that_are_none_say_so(id: int, text: str, code: Flaw) -> None:
    with pytest.raises(SignalError) as refused:
        us.decode_section(id, text)
    assert refused.value.code == code


# The specification of the US Privacy string, and iabgpp-es UspV1.test.
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1YNN", UsPrivacy(True, False, False)),
        ("1NYN", UsPrivacy(False, True, False)),
        ("1YYY", UsPrivacy(True, True, True)),
        ("1---", UsPrivacy(None, None, None)),
        ("1YN-", UsPrivacy(True, False, None)),
    ],
)
def test_us_privacy_strings_say_what_is_published(text: str, said: UsPrivacy) -> None:
    assert us.decode_us_privacy(text) == said


@pytest.mark.parametrize("text", ["2YNY", "1ynn", "1YN", "1YNNN", "1YNN\n", "1YXN", "", "1ΥΝΝ"])
def test_other_texts_are_no_us_privacy_strings(text: str) -> None:
    with pytest.raises(SignalError):
        us.decode_us_privacy(text)


# ---- Canada ----------------------------------------------------------------------------------------------------------
# iabgpp-es TcfCaV1.test: the same answers before and after June 2026, when the encoders changed how they write ranges.
CANADIAN = [
    "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBhADVqxGAD0AILVgAA.fHHHA4444ao",
    "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBgABABAAABAB4AACACAAA.fHHHA4444ao",
]


@pytest.mark.parametrize("text", CANADIAN)
def test_canadian_strings_of_both_layouts_say_what_is_published(text: str) -> None:
    tc = canada.decode(text)
    assert (tc.cmp_id, tc.vendor_list_version, tc.consent_language) == (50, 413, "EN")
    assert tc.special_features == {7, 8, 9, 10, 11, 12}
    assert tc.purposes_express_consent == {1, 2, 3, 4, 5, 6, 13, 14, 15, 16, 17, 18}
    assert tc.purposes_implied_consent == {7, 8, 9, 10, 11, 12, 19, 20, 21, 22, 23, 24}
    assert list(tc.vendors_express_consent) == [12, 24, 48]
    assert list(tc.vendors_implied_consent) == [18, 30]
    assert tc.publisher == PublisherTc(
        frozenset({1, 2, 3, 7, 8, 9, 13, 14, 15, 19, 20, 21}),
        frozenset({4, 5, 6, 10, 11, 12, 16, 17, 18, 22, 23, 24}),
        CustomPurposes(3, frozenset({2}), frozenset({1, 3})),
    )


@pytest.mark.parametrize("core", ["CCgAS7o", "CCgBwABAAOAAoADgAJA"])
def test_canadian_restrictions_of_both_layouts_say_what_is_published(core: str) -> None:
    tc = canada.decode(f"BPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAA{core}.YAAAAAAAAAA")
    (restriction,) = tc.restrictions
    assert (restriction.purpose, restriction.type) == (1, RestrictionType.REQUIRE_CONSENT)
    assert set(restriction.vendors) == {1, 2, 3, 5, 6, 7, 9}


@pytest.mark.parametrize("disclosed", ["IAGO5w", "IAGO5wAA"])
def test_canadian_disclosed_vendors_are_read_however_they_are_padded(disclosed: str) -> None:
    tc = canada.decode(f"BPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAAAA.YAAAAAAAAAA.{disclosed}")
    assert tc.disclosed_vendors is not None
    assert set(tc.disclosed_vendors) == {1, 2, 3, 5, 6, 7, 10, 11, 12}


def test_a_canadian_string_from_the_wild_says_what_is_published() -> None:
    # iabgpp-es TcfCaV1.test, “should decode a legacy string and re-encode it”: both forms of one string.
    before = (
        "BQliWsAQliWsAPoABAELC9CoAKgAAJIAAApNAOABUAC0AGgAQwAlgBQAC6AG0AO4AfgBBATAAnMBSYEwYFgAXQBOwC3ALgAc4A7gCAAEmAJ2AT8A"
        "xQBmgDOgGfANeAcQA6oCJgEngJyAT-Ao8BUQCpQFvALhAXQAvcBf4DMAGggNNAbUA3EBxoDlgHiAPNAfIBAQCEgEbgI_gSlgmACYIAA"
        ".YAAAAAAAAAA"
    )
    after = (
        "BQliWsAQliWsAPoABAELC9CoAKgAAJIAAApNAOBMZZGDDAxMmWskIahojBMGBYoGiOJ4FlhahgNZUxMZiYDUwllGgYGJpYyBjLIwZFqasFllNGqa"
        "MhisVpTU1DyeAAA.YAAAAAAAAAA"
    )
    for text in (before, after):
        tc = canada.decode(text)
        assert (tc.cmp_id, tc.consent_language, tc.vendor_list_version) == (1000, "EL", 189)
        assert list(tc.vendors_express_consent) == [
            42, 45, 52, 67, 75, 80, 93, 109, 119, 126, 130, 1216, 1254, 1318,
        ]  # fmt: skip
        assert list(tc.vendors_implied_consent)[:6] == [93, 157, 183, 184, 231, 238]
        assert (len(tc.vendors_implied_consent), max(tc.vendors_implied_consent)) == (46, 1217)


EMPTY_CANADIAN = EVERY_SECTION.split("~")[2].split(".")[0]  # of 1 January 2022


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        (f"{EMPTY_CANADIAN}.IAGO5w.IAGO5w", Flaw.WRONG_SEGMENT, "/2"),
        (f"{EMPTY_CANADIAN}.QAAA", Flaw.WRONG_SEGMENT, "/1"),  # type 2
        (f"{EMPTY_CANADIAN}.", Flaw.WRONG_SEGMENT, "/1"),
        (f"{EMPTY_CANADIAN}.é", Flaw.WRONG_CHARACTER, "/1"),
        (EMPTY_CANADIAN[:-2], Flaw.TRUNCATED, "/core/PubRestrictions"),
        ("C" + EMPTY_CANADIAN[1:], Flaw.VALUE_OUT_OF_RANGE, "/core/Version"),
    ],
)
def test_what_is_no_canadian_string_is_refused(text: str, code: Flaw, pointer: str) -> None:
    with pytest.raises(SignalError) as refused:
        canada.decode(text)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_canadian_string_must_not_be_dated_later_than_now() -> None:
    assert (
        canada.read(EMPTY_CANADIAN, as_of=datetime(2021, 12, 31, 12, tzinfo=UTC)).cmp_id == 0
    )  # of tomorrow, somewhere
    with pytest.raises(SignalError) as refused:
        canada.read(EMPTY_CANADIAN, as_of=datetime(2021, 12, 30, tzinfo=UTC))
    assert refused.value.code == Flaw.IMPLAUSIBLE_TIME


def test_a_canadian_string_is_not_created_after_its_last_update() -> None:
    bits = to_bits(EMPTY_CANADIAN)
    earlier = int(bits[42:78], 2) - 1
    with pytest.raises(SignalError) as refused:
        canada.read(to_text(bits[:42] + f"{earlier:036b}" + bits[78:]), as_of=NOW)
    assert refused.value.code == Flaw.IMPLAUSIBLE_TIME


# ---- Whole strings ---------------------------------------------------------------------------------------------------
def test_a_published_string_with_every_section_is_read() -> None:
    read = gpp.read(EVERY_SECTION, as_of=NOW)
    assert [section.name for section in read.sections] == ["tcfeuv2", "tcfcav1", "uspv1", *SECTION_IDS]
    assert [section.id for section in read.sections if section.content is None] == [2]
    for section in read.sections[3:]:
        assert isinstance(section.content, UsSection)
        assert section.content.fields["MspaCoveredTransaction"] == 1
        assert not section.content.gpc
    assert isinstance(read.sections[1].content, CanadianTcString)
    # The EU's section is of policy 5 and of 2022, which can't be.
    error = read.sections[0].error
    assert error is not None
    assert (error.code, error.pointer) == (Flaw.IMPLAUSIBLE_TIME, "/sections/2/core/LastUpdated")


def test_a_broken_section_takes_no_opt_out_away_from_another() -> None:
    read = gpp.read(gpp_string({2: "CAAA", 8: us_section(8, SaleOptOut=1)}), as_of=NOW)
    broken, california = read.sections
    assert (broken.content, broken.error is not None) == (None, True)
    assert isinstance(california.content, UsSection) and california.content.fields["SaleOptOut"] == 1


def test_unknown_sections_are_kept_and_named_so() -> None:
    read = gpp.read(gpp_string({1: "BOEFEAyOEFEAy", 4: "x", 8: us_section(8), 99: "Whatever.it-is_"}), as_of=NOW)
    unknown = read.section(99)
    assert unknown is not None
    assert (unknown.name, unknown.text, unknown.content, unknown.error) == ("unknown", "Whatever.it-is_", None, None)
    assert [section.name for section in read.sections] == ["tcfeuv1", "integrity", "usca", "unknown"]
    assert read.section(7) is None


def test_a_string_without_sections_says_nothing() -> None:
    assert gpp.read("DBAA", as_of=NOW).sections == ()


def header(bits: str) -> str:
    return text_of("000011" + "000001" + bits)


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        (None, Flaw.NOT_TEXT, ""),
        ("", Flaw.EMPTY, ""),
        ("D" * 20_000, Flaw.TOO_LONG, ""),
        ("~1YNN", Flaw.TRUNCATED, "/header/Type"),
        ("DBABTA~1YNN ", Flaw.WRONG_CHARACTER, ""),
        ("DBABTA~１YNN", Flaw.WRONG_CHARACTER, ""),
        ("DBABTA", Flaw.WRONG_SECTIONS, ""),
        ("DBABTA~1YNN~1YNN", Flaw.WRONG_SECTIONS, ""),
        ("DBABTB~1YNN", Flaw.NOT_CANONICAL, "/header"),
        ("DBABTAA~1YNN", Flaw.NOT_CANONICAL, "/header"),
        ("DCABTA~1YNN", Flaw.VALUE_OUT_OF_RANGE, "/header/Version"),
        (tc_string(), Flaw.WRONG_CHARACTER, "/header"),  # dots are no part of a header
        (tc_string().split(".")[0], Flaw.VALUE_OUT_OF_RANGE, "/header/Type"),
        # A group of the first 46,369 sections; a code that never ends; one number above the highest.
        (header("000000000001" + "1" + "11" + fibonacci_bits(46_368)), Flaw.WRONG_SECTIONS, ""),
        (header("000000000001" + "0" + "0" * 600), Flaw.VALUE_OUT_OF_RANGE, "/header/Sections"),
        (header("000000000001" + "0" + fibonacci_bits(65_536)), Flaw.VALUE_OUT_OF_RANGE, "/header/Sections"),
        (header("111111111111" + "011"), Flaw.TRUNCATED, "/header/Sections"),
    ],
)
def test_what_is_no_gpp_string_is_refused(text: object, code: Flaw, pointer: str) -> None:
    with pytest.raises(SignalError) as refused:
        gpp.read(text, as_of=NOW)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_more_sections_than_anybody_has_laws_are_refused() -> None:
    with pytest.raises(SignalError) as refused:
        gpp.read(gpp_string(dict.fromkeys(range(100, 165), "A")), as_of=NOW)
    assert refused.value.code == Flaw.WRONG_SECTIONS

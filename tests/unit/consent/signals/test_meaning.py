"""What signals mean for us: the table of the guide, row by row; what is not said is not granted; opt-outs only take away."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.signals import canada, gpc, gpp, tcf, us
from consent.signals.fields import Restriction, RestrictionType
from consent.signals.ids import Ids
from consent.signals.meaning import (
    NOTHING,
    OUR_PURPOSES,
    PURPOSES,
    US_OPT_OUTS,
    Capability,
    Meaning,
    Needs,
    Stance,
    of_browser,
    of_canada,
    of_gpp,
    of_tcf,
    of_us_privacy,
    of_us_section,
    together,
)
from consent.signals.us_tables import US_TABLES
from tests.unit.consent.signals.writing import NOW, gpp_string, ids, tc_string, us_section

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/compliance.md"
G, D = Stance.GRANTED, Stance.DENIED
C = Capability
ACROSS = {C.SALE: D, C.SHARING: D, C.TARGETED_ADS: D}
OTHER_PURPOSES = {C.DEVICE_STORAGE: D, C.TARGETED_ADS: D, C.AD_MEASUREMENT: D, C.ANALYTICS: D, C.PERSONALISATION: D}


def tc(*purposes: int, vendor: int | None = None, publisher: frozenset[int] | None = None, **said: Any) -> Meaning:
    text = tc_string(PurposesConsent=frozenset(purposes), publisher=publisher, **said)
    return of_tcf(tcf.read(text, as_of=NOW), vendor=vendor)


def american(id: int, **said: Any) -> Meaning:
    return of_us_section(us.decode_section(id, us_section(id, **said)))


# ---- The table of the guide ------------------------------------------------------------------------------------------
# Signal → what follows. The guide shows the same rows in words; `test_the_guide_tells_the_same` holds it to them.
ROWS: dict[str, tuple[Meaning, dict[Capability, Stance]]] = {
    "Sec-GPC: 1": (of_browser(gpc.read("1")), ACROSS),
    "DNT: 1": (of_browser(gpc.read(None, "1")), {}),
    "TCF purpose 1": (tc(1), OTHER_PURPOSES | {C.DEVICE_STORAGE: G}),
    "TCF purposes 3 and 4": (tc(3, 4), OTHER_PURPOSES | {C.TARGETED_ADS: G}),
    "TCF purposes 5 and 6": (tc(5, 6), OTHER_PURPOSES | {C.PERSONALISATION: G}),
    "TCF purpose 7": (tc(7), OTHER_PURPOSES | {C.AD_MEASUREMENT: G}),
    "TCF purposes 8 and 9": (tc(8, 9), OTHER_PURPOSES | {C.ANALYTICS: G}),
    "TCF legitimate interest": (tc(PurposesLITransparency=frozenset({2, 7, 8, 9, 10, 11})), OTHER_PURPOSES),
    "GPP SaleOptOut": (american(9, SaleOptOut=1), {C.SALE: D}),
    "GPP SharingOptOut": (american(8, SharingOptOut=1), {C.SHARING: D, C.TARGETED_ADS: D}),
    "GPP TargetedAdvertisingOptOut": (american(9, TargetedAdvertisingOptOut=1), {C.TARGETED_ADS: D}),
    "GPP SensitiveDataProcessing": (
        american(9, SensitiveDataProcessing=(0, 0, 2, 0, 1, 0, 0, 0)),
        {C.SENSITIVE_DATA: D},
    ),
    "GPP KnownChildSensitiveDataConsents": (
        american(12, KnownChildSensitiveDataConsents=(0, 1, 2)),
        ACROSS | {C.SENSITIVE_DATA: D},
    ),
    "GPP PersonalDataConsents": (american(8, PersonalDataConsents=1), {C.TARGETED_ADS: D}),
    "GPP AdditionalDataProcessingConsent": (american(16, AdditionalDataProcessingConsent=1), {C.TARGETED_ADS: D}),
    "GPP MspaServiceProviderMode": (american(8, MspaServiceProviderMode=1), ACROSS),
    "GPP MspaMode": (american(24, MspaMode=2), ACROSS),
    "GPP Gpc": (american(8, gpc=True), ACROSS),
    "US Privacy 1YYN": (of_us_privacy(us.decode_us_privacy("1YYN")), ACROSS),
    "US Privacy 1YNN": (of_us_privacy(us.decode_us_privacy("1YNN")), {}),
}


@pytest.mark.parametrize("signal", ROWS)
def test_each_signal_means_what_the_table_says(signal: str) -> None:
    meaning, expected = ROWS[signal]
    assert dict(meaning.stances) == expected
    assert meaning.because.keys() == expected.keys()


def test_the_guide_tells_the_same() -> None:
    """Each row of the guide's table names a signal as above, and all that it grants or takes away."""
    shown: dict[str, tuple[set[str], set[str]]] = {}
    section = GUIDE.read_text().split("## Signals")[1].split("\n## ")[0]
    for signal, grants, takes in re.findall(r"^\| `([^`]+)`[^|]*\| ([^|]*) \| ([^|]*) \|$", section, re.MULTILINE):
        shown[signal] = set(re.findall(r"`(\w+)`", grants)), set(re.findall(r"`(\w+)`", takes))
    assert shown.keys() == ROWS.keys()
    for signal, (meaning, _) in ROWS.items():
        grants, takes = shown[signal]
        assert grants == {c for c, stance in meaning.stances.items() if stance is G}, signal
        if not signal.startswith("TCF"):  # of these the guide says once that what isn't consented to is refused
            assert takes == {c for c, stance in meaning.stances.items() if stance is D}, signal


def test_every_field_that_takes_away_is_a_field_of_some_section() -> None:
    fields = {
        field.name
        for table in US_TABLES.values()
        for layouts in table.layouts.values()
        for segment in (*(layout for layout in layouts), *table.parts)
        for field in segment.fields
    }
    assert set(US_OPT_OUTS) <= fields
    # What is left out says nothing about what the person wants.
    assert {name for name in fields - set(US_OPT_OUTS) if not name.endswith("Notice")} == {
        "Version", "MspaVersion", "SubsectionType", "Gpc", "MspaCoveredTransaction", "MspaOptOutOptionMode",
    }  # fmt: skip


# ---- The two rules ---------------------------------------------------------------------------------------------------
@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(US_TABLES)), st.data())
def test_an_american_section_never_grants(id: int, data: st.DataObject) -> None:
    table = US_TABLES[id]
    version = data.draw(st.sampled_from(sorted(table.layouts)))
    said = {}
    for field in table.layouts[version][-1].fields[1:]:
        count = getattr(field.kind, "count", 1)
        answers = tuple(data.draw(st.integers(0, 2)) for _ in range(count))
        said[field.name] = answers if count > 1 else answers[0]
    meaning = american(id, version=version, **said)
    assert Stance.GRANTED not in meaning.stances.values()


@settings(max_examples=100, deadline=None)
@given(st.frozensets(st.integers(1, 24)), st.frozensets(st.integers(1, 24)), st.booleans())
def test_what_is_not_said_is_not_granted(core: frozenset[int], publisher: frozenset[int], asked: bool) -> None:
    meaning = tc(*core, publisher=publisher if asked else None)
    consented = core & publisher if asked else core
    for capability in Capability:
        is_granted = capability in PURPOSES and consented >= PURPOSES[capability]
        assert (meaning[capability] is G) == is_granted


STANCES = st.dictionaries(st.sampled_from(Capability), st.sampled_from([G, D]))
MEANINGS = STANCES.map(lambda stances: Meaning(stances, dict.fromkeys(stances, ("said",))))


@given(st.lists(MEANINGS, max_size=5), MEANINGS)
def test_one_more_signal_never_lifts_a_denial(before: list[Meaning], another: Meaning) -> None:
    first, second = together(before), together([*before, another])
    for capability in Capability:
        assert not (first[capability] is D and second[capability] is not D)
        assert not (another[capability] is D and second[capability] is not D)
        assert not (second[capability] is G and G not in {meaning[capability] for meaning in [*before, another]})


@given(st.lists(MEANINGS, max_size=4))
def test_the_order_of_signals_does_not_matter(meanings: list[Meaning]) -> None:
    assert dict(together(meanings).stances) == dict(together(reversed(meanings)).stances)


def test_an_opt_out_outweighs_consent_and_says_why() -> None:
    meaning = together([tc(3, 4), of_browser(gpc.read("1")), american(8, SharingOptOut=1)])
    assert meaning[C.TARGETED_ADS] is D
    assert meaning.because[C.TARGETED_ADS] == ("Sec-GPC", "usca SharingOptOut")


# ---- Whose consent ---------------------------------------------------------------------------------------------------
def test_what_was_said_to_the_publisher_itself_narrows_what_was_said_to_all() -> None:
    assert tc(3, 4, publisher=frozenset({3}))[C.TARGETED_ADS] is D
    assert tc(3, publisher=frozenset({3, 4}))[C.TARGETED_ADS] is D
    assert tc(3, 4, publisher=frozenset({3, 4}))[C.TARGETED_ADS] is G


@pytest.mark.parametrize(
    ("said", "stance"),
    [
        ({"VendorConsent": ids(7), "disclosed": ids(7)}, G),
        ({"VendorConsent": ids(8), "disclosed": ids(7, 8)}, D),  # another vendor
        ({"VendorConsent": ids(7), "disclosed": ids(8)}, D),  # the person was never told of it
        ({"VendorLegitimateInterest": ids(7), "disclosed": ids(7)}, D),
    ],
)
def test_a_vendor_needs_consent_of_its_own_and_must_have_been_named(said: dict[str, Any], stance: Stance) -> None:
    assert tc(3, 4, vendor=7, **said)[C.TARGETED_ADS] is stance


@pytest.mark.parametrize(
    ("kind", "stance"),
    [
        (RestrictionType.NOT_ALLOWED, D),
        (RestrictionType.REQUIRE_CONSENT, G),
        (RestrictionType.REQUIRE_LEGITIMATE_INTEREST, D),
    ],
)
def test_a_vendor_keeps_to_what_the_publisher_lays_down(kind: RestrictionType, stance: Stance) -> None:
    said = {"VendorConsent": ids(7), "disclosed": ids(7)}
    restrictions = (Restriction(4, kind, Ids(((1, 9),), None, as_bits=False)),)
    assert tc(3, 4, vendor=7, **said, PubRestrictions=restrictions)[C.TARGETED_ADS] is stance
    others = (Restriction(4, kind, Ids(((8, 9),), None, as_bits=False)),)
    assert tc(3, 4, vendor=7, **said, PubRestrictions=others)[C.TARGETED_ADS] is G


def test_implied_consent_is_no_yes() -> None:
    # Express consent to purposes 1 to 6, implied to 7 to 12; the publisher has express consent to 1, 2, 3, 7, 8 and 9.
    text = "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBhADVqxGAD0AILVgAA"
    alone = of_canada(canada.read(text, as_of=NOW))
    assert {c for c, stance in alone.stances.items() if stance is G} == {
        C.DEVICE_STORAGE, C.TARGETED_ADS, C.PERSONALISATION,
    }  # fmt: skip
    narrowed = of_canada(canada.read(f"{text}.fHHHA4444ao", as_of=NOW))
    assert {c for c, stance in narrowed.stances.items() if stance is G} == {C.DEVICE_STORAGE}
    assert of_canada(canada.read(text, as_of=NOW), vendor=12)[C.TARGETED_ADS] is G
    assert of_canada(canada.read(text, as_of=NOW), vendor=18)[C.TARGETED_ADS] is D  # implied only


# ---- GPP -------------------------------------------------------------------------------------------------------------
CONSENTS = tc_string(PurposesConsent=frozenset(range(1, 12)))


def gpp_meaning(sections: dict[int, str], in_force: set[int] | None = None) -> Meaning:
    return of_gpp(gpp.read(gpp_string(sections), as_of=NOW), in_force=in_force)


def test_of_several_laws_the_stricter_holds() -> None:
    meaning = gpp_meaning({2: CONSENTS, 8: us_section(8, SaleOptOut=1, SharingOptOut=1)})
    assert (meaning[C.TARGETED_ADS], meaning[C.ANALYTICS], meaning[C.SALE]) == (D, G, D)


def test_a_law_that_is_not_in_force_grants_nothing_but_its_opt_outs_hold() -> None:
    sections = {2: CONSENTS, 6: "1YYN"}
    assert dict(gpp_meaning(sections, in_force={6}).stances) == ACROSS
    in_europe = gpp_meaning(sections, in_force={2})
    assert (in_europe[C.ANALYTICS], in_europe[C.TARGETED_ADS]) == (G, D)


def test_unknown_sections_mean_nothing() -> None:
    assert gpp_meaning({99: "Whatever"}) == NOTHING
    assert gpp_meaning({2: CONSENTS, 99: "Whatever"})[C.ANALYTICS] is G


def test_beside_a_section_that_cannot_be_read_nothing_is_granted() -> None:
    meaning = gpp_meaning({2: CONSENTS, 8: "garbage", 9: us_section(9, SaleOptOut=1)})
    assert dict(meaning.stances) == {C.SALE: D}


# ---- Our purposes ----------------------------------------------------------------------------------------------------
def test_signals_decide_for_the_purposes_that_come_with_an_installation() -> None:
    decided = together([tc(1, 3, 4, 8, 9), of_browser(gpc.read("1"))]).for_purposes()
    assert decided == {
        "targeted_ads": D,
        "partner_offers": D,
        "personalisation": D,
        "analytics": G,
        "marketing_email": Stance.UNSAID,
        "sms": Stance.UNSAID,
    }
    assert set(NOTHING.for_purposes().values()) == {Stance.UNSAID}


def test_no_signal_can_grant_what_it_does_not_speak_of() -> None:
    everything = tc(*range(1, 25)).for_purposes()
    assert {key for key, stance in everything.items() if stance is G} == {
        "targeted_ads",
        "personalisation",
        "analytics",
    }
    assert everything["partner_offers"] is Stance.UNSAID


def test_needing_nothing_is_no_permission() -> None:
    assert tc(*range(1, 25)).fulfils(Needs(frozenset())) is Stance.UNSAID


def test_our_purposes_are_those_that_are_installed() -> None:
    migration = GUIDE.parents[2] / "consent/migrations/0002_append_only_and_purposes.py"
    installed = set(re.findall(r'^    \("(\w+)", "', migration.read_text(), re.MULTILINE))
    assert set(OUR_PURPOSES) == installed - {"internal_analysis"}  # on legitimate interests: people object to us

"""Which law protects somebody, by country, region and day."""

from datetime import date

import pytest

from consent.law import AgeBand, Capability, Model, age_band, law_for, shipped
from consent.law.places import ALL_CELLS, COUNTRIES, REGIONS
from segments.rules.countries import COUNTRIES as COUNTRIES_OF_RULES

ON = date(2026, 6, 1)
STATES = {
    "VA": "us-va-vcdpa", "CO": "us-co-cpa", "CT": "us-ct-ctdpa", "UT": "us-ut-ucpa", "TX": "us-tx-tdpsa",
    "OR": "us-or-ocpa", "MT": "us-mt-mcdpa", "FL": "us-fl-fdbr", "DE": "us-de-dpdpa", "IA": "us-ia-icdpa",
    "NE": "us-ne-ndpa", "NH": "us-nh-nhpa", "NJ": "us-nj-njdpa", "TN": "us-tn-tipa", "MN": "us-mn-mncdpa",
    "MD": "us-md-modpa", "IN": "us-in-incdpa", "KY": "us-ky-kcdpa", "RI": "us-ri-ridtppa", "CA": "us-ca-ccpa",
}  # fmt: skip
EU = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905


def test_the_countries_are_those_of_rules() -> None:
    assert set(COUNTRIES_OF_RULES) == COUNTRIES
    assert {code: len(regions) for code, regions in REGIONS.items()} == {"US": 57, "CA": 13}


@pytest.mark.parametrize("country", [*EU, "IS", "LI", "NO"])
def test_the_gdpr_protects_the_union_and_the_economic_area(country: str) -> None:
    assert law_for(country, None, ON).key == "gdpr"


def test_there_are_27_states_in_the_union() -> None:
    assert len(EU) == 27


@pytest.mark.parametrize("country", ["GP", "GF", "MQ", "RE", "YT", "MF", "AX"])
def test_the_gdpr_protects_the_parts_of_the_union_that_have_a_country_code_of_their_own(country: str) -> None:
    assert law_for(country, None, ON).key == "gdpr"


@pytest.mark.parametrize(
    ("country", "region", "key"),
    [
        ("GB", None, "uk-gdpr"), ("CH", None, "ch-fadp"), ("BR", None, "br-lgpd"), ("JP", None, "jp-appi"),
        ("KR", None, "kr-pipa"), ("AU", None, "au-privacy"), ("ZA", None, "za-popia"),
        ("CA", "CA-ON", "ca-pipeda"), ("CA", "CA-QC", "ca-qc-law25"),
        *(("US", f"US-{code}", key) for code, key in STATES.items()),
    ],
)  # fmt: skip
def test_each_law_protects_its_own(country: str, region: str | None, key: str) -> None:
    assert law_for(country, region, ON).key == key


@pytest.mark.parametrize(
    ("country", "region"), [("KE", None), ("GG", None), ("GL", None), ("NC", None), ("US", "US-WA")]
)
def test_everywhere_else_is_treated_as_by_the_gdpr(country: str, region: str | None) -> None:
    law, gdpr = law_for(country, region, ON), law_for("DE", None, ON)
    assert law.key == "default"
    assert {of: law.consent[of].value for of in Capability} == {of: gdpr.consent[of].value for of in Capability}
    assert law.guardian_below.value == gdpr.guardian_below.value == 16


@pytest.mark.parametrize(
    ("country", "region", "last", "first", "before", "after"),
    [
        # Withdrawal agreement, Art. 126: Union law until 31 December 2020.
        ("GB", None, "2020-12-31", "2021-01-01", "gdpr", "uk-gdpr"),
        ("DE", None, "2018-05-24", "2018-05-25", "default", "gdpr"),  # GDPR Art. 99(2)
        ("NO", None, "2018-07-19", "2018-07-20", "default", "gdpr"),  # EEA Joint Committee 154/2018
        ("CH", None, "2023-08-31", "2023-09-01", "default", "ch-fadp"),
        ("CA", "CA-QC", "2023-09-21", "2023-09-22", "ca-pipeda", "ca-qc-law25"),
        ("IN", None, "2027-05-13", "2027-05-14", "default", "in-dpdp"),  # DPDP rules, third phase
        ("BR", None, "2020-09-17", "2020-09-18", "default", "br-lgpd"),
        ("US", "US-CA", "2019-12-31", "2020-01-01", "default", "us-ca-ccpa"),
        ("US", "US-UT", "2023-12-30", "2023-12-31", "default", "us-ut-ucpa"),
        ("US", "US-NJ", "2025-01-14", "2025-01-15", "default", "us-nj-njdpa"),
        ("US", "US-MN", "2025-07-30", "2025-07-31", "default", "us-mn-mncdpa"),
        ("US", "US-MD", "2025-09-30", "2025-10-01", "default", "us-md-modpa"),
        ("US", "US-RI", "2025-12-31", "2026-01-01", "default", "us-ri-ridtppa"),
    ],
)
def test_a_law_begins_on_its_day(
    country: str, region: str | None, last: str, first: str, before: str, after: str
) -> None:
    assert law_for(country, region, date.fromisoformat(last)).key == before
    assert law_for(country, region, date.fromisoformat(first)).key == after


@pytest.mark.parametrize("country", [None, "", "  ", "XX", "UK", "EU", "DEU", "Germany", "D E", "\x00", "🇩🇪"])
def test_of_an_unknown_country_the_strictest_of_all_holds(country: str | None) -> None:
    law = law_for(country, None, ON)
    assert set(law.keys) == {shipped().at((cell,), ON).key for cell in ALL_CELLS}
    assert all(figure.value is Model.OPT_IN for figure in law.consent.values())
    # POPIA's children, and PIPA's adults.
    assert (law.guardian_below.value, law.adult_from.value) == (18, 19)


@pytest.mark.parametrize("region", [None, "", "US-ZZ", "CA", "CA-QC", "California"])
def test_of_an_unknown_region_the_strictest_of_its_country_holds(region: str | None) -> None:
    law = law_for("US", region, ON)
    assert set(law.keys) == {*STATES.values(), "default"}
    assert law.consent[Capability.SALE].value is Model.OPT_IN  # as where no state has a law
    assert set(law_for("CA", None, ON).keys) == {"ca-pipeda", "ca-qc-law25"}


def test_a_region_is_looked_at_only_where_the_law_differs_by_it() -> None:
    assert law_for("DE", "DE-BY", ON) == law_for("DE", None, ON) == law_for("DE", "US-CA", ON)


def test_how_codes_are_written_does_not_matter() -> None:
    assert law_for(" us", "us-ca ", ON) == law_for("US", "US-CA", ON)


def test_a_composed_law_answers_like_any_other() -> None:
    law = law_for(None, None, ON)
    assert age_band(law, date(2009, 6, 1), ON) is AgeBand.GUARDIAN_NEEDED
    assert all(figure.sources for figure in law.consent.values())
    assert "us-ca-ccpa" in law.name

"""Who consents by themselves, and what is asked of whom at which age."""

from datetime import date

import pytest

from consent.law import AgeBand, Asked, Capability, UnknownAge, age, age_band, asked, demands, law_for
from consent.law.terms import Law

ON = date(2026, 6, 1)
ADULT, MAY, GUARDIAN, UNKNOWN = AgeBand.ADULT, AgeBand.MAY_CONSENT, AgeBand.GUARDIAN_NEEDED, AgeBand.UNKNOWN


def law(place: str) -> Law:
    country, _, region = place.partition("-")
    return law_for(country, place if region else None, ON)


@pytest.mark.parametrize(
    ("place", "born", "expected"),
    [
        ("DE", "2010-06-01", MAY),  # 16 today
        ("DE", "2010-06-02", GUARDIAN),  # 16 tomorrow
        ("DE", "2008-06-01", ADULT),
        ("DE", "2008-06-02", MAY),
        ("AT", "2012-06-01", MAY),  # 14
        ("AT", "2012-06-02", GUARDIAN),
        ("GB", "2013-06-01", MAY),  # 13
        ("US-CA", "2013-06-02", GUARDIAN),
        ("KR", "2007-06-02", MAY),  # 18, and adult from 19
        ("KR", "2007-06-01", ADULT),
        ("ZA", "2008-06-02", GUARDIAN),  # no age between
        ("ZA", "2008-06-01", ADULT),
    ],
)
def test_the_band_turns_on_the_birthday(place: str, born: str, expected: AgeBand) -> None:
    assert age_band(law(place), date.fromisoformat(born), ON) is expected


@pytest.mark.parametrize("born", [None, date(2026, 6, 2), date(1900, 6, 1), date(1900, 1, 1), date(1, 1, 1)])
def test_a_birth_date_that_is_missing_or_cannot_be_true_is_unknown(born: date | None) -> None:
    assert age_band(law("DE"), born, ON) is UNKNOWN


def test_whoever_was_born_today_is_known_to_be_a_child() -> None:
    assert age_band(law("DE"), ON, ON) is GUARDIAN


@pytest.mark.parametrize(
    ("on", "years"), [("2026-02-28", 13), ("2026-03-01", 14), ("2028-02-28", 15), ("2028-02-29", 16)]
)
def test_who_was_born_on_29_february_is_older_on_1_march(on: str, years: int) -> None:
    assert age(date(2012, 2, 29), date.fromisoformat(on)) == years


@pytest.mark.parametrize(
    ("place", "capability", "years", "expected"),
    [
        # CCPA: 1798.120(c)
        ("US-CA", Capability.SALE, 12, Asked.GUARDIANS_YES),
        ("US-CA", Capability.SALE, 13, Asked.PERSONS_YES),
        ("US-CA", Capability.SALE, 15, Asked.PERSONS_YES),
        ("US-CA", Capability.SALE, 16, Asked.UNLESS_NO),
        ("US-CA", Capability.SHARING, 15, Asked.PERSONS_YES),
        ("US-CA", Capability.MARKETING_EMAIL, 15, Asked.UNLESS_NO),
        ("US-CA", Capability.MARKETING_EMAIL, 12, Asked.GUARDIANS_YES),
        ("US-CA", Capability.MARKETING_SMS, 40, Asked.PERSONS_YES),
        ("US-MD", Capability.SALE, 17, Asked.NEVER),
        ("US-MD", Capability.SALE, 18, Asked.UNLESS_NO),
        ("US-OR", Capability.TARGETED_ADS, 15, Asked.NEVER),
        ("US-OR", Capability.TARGETED_ADS, 16, Asked.UNLESS_NO),
        # GDPR Art. 8, DSA Art. 28(2)
        ("DE", Capability.MARKETING_EMAIL, 15, Asked.GUARDIANS_YES),
        ("DE", Capability.MARKETING_EMAIL, 16, Asked.PERSONS_YES),
        ("DE", Capability.TARGETED_ADS, 17, Asked.NEVER),
        ("DE", Capability.TARGETED_ADS, 18, Asked.PERSONS_YES),
    ],
)
def test_what_is_asked_at_an_age(place: str, capability: Capability, years: int, expected: Asked) -> None:
    assert asked(demands(law(place), capability), date(ON.year - years, 1, 1), ON) is expected


def test_whose_age_is_unknown_is_asked_like_a_child_unless_the_caller_says_otherwise() -> None:
    sale, ads = demands(law("US-CA"), Capability.SALE), demands(law("US-MD"), Capability.TARGETED_ADS)
    assert asked(sale, None, ON) is Asked.GUARDIANS_YES
    assert asked(ads, None, ON) is Asked.NEVER
    assert asked(sale, None, ON, unknown_age=UnknownAge.AS_ADULT) is Asked.UNLESS_NO


def test_a_known_age_is_never_taken_for_an_adult_s() -> None:
    sale = demands(law("US-CA"), Capability.SALE)
    assert asked(sale, date(2014, 1, 1), ON, unknown_age=UnknownAge.AS_ADULT) is Asked.GUARDIANS_YES


def test_a_browser_s_signal_speaks_of_sale_sharing_and_targeted_ads_only() -> None:
    found = {of for of in Capability if demands(law("US-CA"), of).honours_gpc}
    assert found == {Capability.SALE, Capability.SHARING, Capability.TARGETED_ADS}
    assert not any(demands(law("US-VA"), of).honours_gpc for of in Capability)

"""What the shipped files say, spot-checked law by law, and that nothing in them allows more than somebody has read."""

from datetime import date

import pytest

from consent.law import Capability, Model, Right, law_for, shipped
from consent.law.places import ALL_CELLS
from consent.law.terms import Law

ON = date(2026, 6, 1)
IN, OUT = Model.OPT_IN, Model.OPT_OUT


def law(place: str, on: date = ON) -> Law:
    country, _, region = place.partition("-")
    return law_for(country, place if region else None, on)


# ---- Ages of digital consent -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "entered", "counts"),
    [
        # Read of in the gdpr trackers that the file names; the article is in the file.
        ("AT", 14, 14), ("BE", 13, 13), ("CZ", 15, 15), ("DK", 15, 15), ("ES", 14, 14), ("FI", 13, 13), ("FR", 15, 15),
        ("IE", 16, 16), ("IT", 14, 14), ("NL", 16, 16), ("SE", 13, 13), ("SK", 16, 16), ("GB", 13, 13),
        # States that made no use of Art. 8(1): its own 16.
        ("DE", 16, 16), ("HR", 16, 16), ("HU", 16, 16), ("LU", 16, 16), ("PL", 16, 16), ("RO", 16, 16), ("LI", 16, 16),
        # Known from mappings, not found in a text: Art. 8(1)'s 16 counts until somebody confirms them.
        ("BG", 14, 16), ("CY", 14, 16), ("EE", 13, 16), ("GR", 15, 16), ("LT", 14, 16), ("LV", 13, 16), ("MT", 13, 16),
        ("PT", 13, 16), ("SI", 15, 16), ("IS", 13, 16), ("NO", 13, 16),
    ],
)  # fmt: skip
def test_the_age_of_consent_of_each_european_state(country: str, entered: int, counts: int) -> None:
    figure = law(country).guardian_below
    assert (figure.entered, figure.value) == (entered, counts)
    assert figure.confirmed is (entered == counts)
    assert figure.confirmed or figure.check


def test_every_state_that_departs_from_16_names_a_law_of_its_own() -> None:
    for territory in (t for s, t in shipped().territories() if s.key == "gdpr" and "DE" in t.span.places):
        for country in territory.span.places:
            figure = law(country).guardian_below
            if figure.value != 16:
                assert "GDPR" not in figure.sources[0].law


def test_denmark_raised_its_age_in_2024() -> None:
    assert law("DK", date(2023, 12, 31)).guardian_below.value == 13
    assert law("DK", date(2024, 1, 1)).guardian_below.value == 15


@pytest.mark.parametrize(
    ("place", "guardian_below", "adult_from"),
    [
        ("US-CA", 13, 18),  # Civ. Code 1798.120(c)
        ("US-VA", 13, 18),  # COPPA
        ("CA-QC", 14, 18),  # P-39.1 s. 4.1
        ("KR", 14, 19),  # PIPA Art. 22-2, Civil Act Art. 4
        ("ZA", 18, 18),  # POPIA s. 1 and 35
        ("CA-BC", 16, 19),  # 13 by a guideline, not confirmed
        ("BR", 16, 18),  # 12, not confirmed
    ],
)
def test_ages_elsewhere(place: str, guardian_below: int, adult_from: int) -> None:
    assert (law(place).guardian_below.value, law(place).adult_from.value) == (guardian_below, adult_from)


def test_in_india_everybody_below_18_is_a_child() -> None:
    found = law("IN", date(2027, 6, 1))
    assert found.guardian_below.value == 18
    assert found.forbidden_below[Capability.TARGETED_ADS].value == 18  # DPDP Act s. 9(3)


# ---- What is asked first ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "email", "sms", "cookies", "ads", "sale"),
    [
        ("DE", IN, IN, IN, IN, IN),
        ("GB", IN, IN, OUT, IN, IN),
        ("US-CA", OUT, IN, OUT, OUT, OUT),
        ("US-TX", OUT, IN, OUT, OUT, OUT),
        ("CA-ON", IN, IN, IN, IN, IN),
        ("CA-QC", IN, IN, IN, IN, IN),
        ("KE", IN, IN, IN, IN, IN),
    ],
)
def test_what_is_asked_before_data_is_used(
    place: str, email: Model, sms: Model, cookies: Model, ads: Model, sale: Model
) -> None:
    asked = {of: figure.value for of, figure in law(place).consent.items()}
    assert asked == {
        Capability.MARKETING_EMAIL: email,
        Capability.MARKETING_SMS: sms,
        Capability.ANALYTICS_COOKIES: cookies,
        Capability.TARGETED_ADS: ads,
        Capability.SALE: sale,
        Capability.SHARING: sale,
    }


def test_british_statistics_need_no_consent_since_the_act_of_2025_is_in_force() -> None:
    """SI 2026/82, reg. 2(w): section 112 on 5 February 2026."""
    assert law("GB", date(2026, 2, 4)).consent[Capability.ANALYTICS_COOKIES].value is IN
    figure = law("GB", date(2026, 2, 5)).consent[Capability.ANALYTICS_COOKIES]
    assert figure.value is OUT and figure.sources[0].law.startswith("Data (Use and Access) Act 2025")


@pytest.mark.parametrize(
    ("state", "first_day"),
    [
        ("CA", "2020-01-01"), ("CO", "2024-07-01"), ("CT", "2025-01-01"), ("TX", "2025-01-01"), ("MT", "2025-01-01"),
        ("OR", "2026-01-01"), ("DE", "2026-01-01"), ("NE", "2025-01-01"), ("NH", "2025-01-01"), ("NJ", "2025-07-15"),
        ("MN", "2025-07-31"), ("MD", "2025-10-01"),
    ],
)  # fmt: skip
def test_the_twelve_states_that_ask_for_universal_opt_out_signals(state: str, first_day: str) -> None:
    assert law(f"US-{state}", date.fromisoformat(first_day)).gpc.value is True
    assert law(f"US-{state}", date(2030, 1, 1)).gpc.value is True


@pytest.mark.parametrize(("state", "last_day"), [("CO", "2024-06-30"), ("OR", "2025-12-31"), ("NJ", "2025-07-14")])
def test_before_that_day_they_did_not(state: str, last_day: str) -> None:
    assert law(f"US-{state}", date.fromisoformat(last_day)).gpc.value is False


@pytest.mark.parametrize("state", ["VA", "UT", "FL", "IA", "TN", "IN", "KY", "RI"])
def test_the_states_that_do_not(state: str) -> None:
    assert law(f"US-{state}").gpc.value is False


@pytest.mark.parametrize(
    ("state", "on", "opt_in_below", "forbidden_below"),
    [
        ("CA", "2026-06-01", 16, 0),  # Civ. Code 1798.120(c)
        ("CT", "2024-06-01", 16, 0),
        ("CT", "2026-07-01", 18, 18),  # SB 1295
        ("OR", "2025-06-01", 16, 0),
        ("OR", "2026-01-01", 16, 16),  # HB 2008
        ("NH", "2026-06-01", 16, 0),
        ("NJ", "2026-06-01", 17, 0),
        ("MD", "2026-06-01", 0, 18),
        ("VA", "2026-06-01", 0, 0),
    ],
)
def test_the_sale_of_data_of_minors(state: str, on: str, opt_in_below: int, forbidden_below: int) -> None:
    found = law(f"US-{state}", date.fromisoformat(on))
    assert found.opt_in_below[Capability.SALE].value == opt_in_below
    assert found.forbidden_below[Capability.SALE].value == forbidden_below


# ---- Rights and records ----------------------------------------------------------------------------------------


def given(place: str, on: date = ON) -> set[Right]:
    return {right for right, figure in law(place, on).rights.items() if figure.value}


def test_the_gdpr_gives_each_right_one_or_the_other_way() -> None:
    assert given("DE") == set(Right)


def test_california_gives_what_proposition_24_added_from_2023_on() -> None:
    before = {Right.ACCESS, Right.PORTABILITY, Right.ERASURE, Right.OPT_OUT_OF_SALE}
    assert given("US-CA", date(2022, 12, 31)) - {Right.HUMAN_REVIEW} == before
    assert given("US-CA", date(2023, 1, 1)) - {Right.HUMAN_REVIEW} == before | {
        Right.RECTIFICATION,
        Right.LIMIT_SENSITIVE,
    }


def test_iowa_has_no_right_to_correct_and_utah_has_one_since_july_2026() -> None:
    assert Right.RECTIFICATION not in given("US-IA")
    assert Right.RECTIFICATION not in given("US-UT", date(2026, 6, 30))
    assert Right.RECTIFICATION in given("US-UT", date(2026, 7, 1))


def test_california_wants_records_of_requests_for_24_months() -> None:
    assert law("US-CA").keep_records_months.value == 24
    assert law_for(None, None, ON).keep_records_months.value == 24


# ---- All files -------------------------------------------------------------------------------------------------


def figures_of(one: Law) -> list[tuple[str, object]]:
    return [
        *((f"consent.{of}", figure) for of, figure in one.consent.items()),
        *((f"right.{of}", figure) for of, figure in one.rights.items()),
        *((f"minors_opt_in.{of}", figure) for of, figure in one.opt_in_below.items()),
        *((f"minors_forbidden.{of}", figure) for of, figure in one.forbidden_below.items()),
        ("gpc", one.gpc),
        ("guardian", one.guardian_below),
        ("adult", one.adult_from),
        ("records", one.keep_records_months),
    ]


def test_every_figure_has_a_source_with_an_address() -> None:
    for cell in ALL_CELLS:
        for name, figure in figures_of(law(cell)):
            for source in figure.sources:  # type: ignore[attr-defined]
                assert source.law and source.article and source.url.startswith("https://"), (cell, name)


def test_what_allows_more_than_the_default_says_where_it_was_read() -> None:
    default = dict(figures_of(law("AQ")))
    unread = [
        (cell, name)
        for on in (date(2024, 1, 1), ON, date(2027, 6, 1))
        for cell in ALL_CELLS
        for name, figure in figures_of(law(cell, on))
        if is_wider(figure.value, default[name].value) and not any(source.read for source in figure.sources)  # type: ignore[attr-defined]
    ]
    assert unread == []


def is_wider(value: object, than: object) -> bool:
    if isinstance(value, tuple):  # clocks
        return not set(than) <= set(value)  # type: ignore[call-overload]
    if isinstance(value, Model):
        return value is OUT and than is IN
    return value < than  # type: ignore[operator]

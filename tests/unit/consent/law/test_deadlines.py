"""By when a request is answered in time, worked out by hand.

Sources: Regulation (EEC, Euratom) No 1182/71, Art. 3; ICO, "How long do we have to comply?"; EDPB Guidelines 01/2022 on the
right of access, section 5.3; 11 CCR 7021 and 7026. Weekdays were looked up in a calendar.
"""

from datetime import date

import pytest

from consent.law import LawError, Right, acknowledge_by, due, extendable, law_for, strictest
from consent.law.terms import Law

ON = date(2026, 6, 1)


def law(place: str) -> Law:
    country, _, region = place.partition("-")
    return law_for(country, place if region else None, ON)


def by(place: str, right: Right, received: str, *, extended: bool = False) -> str:
    return str(due(law(place), right, date.fromisoformat(received), extended))


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ("2025-09-03", "2025-10-03"),  # ICO's example: 3 September to 3 October; a Friday
        ("2024-03-05", "2024-04-05"),  # EDPB's example: 5 March to 5 April; a Friday
        ("2025-08-31", "2025-09-30"),  # EDPB's example: no 31 September
        ("2025-01-31", "2025-02-28"),  # a Friday
        ("2025-01-29", "2025-02-28"),
        ("2025-01-28", "2025-02-28"),
        ("2024-01-31", "2024-02-29"),  # leap year; a Thursday
        ("2024-01-30", "2024-02-29"),
        ("2023-12-31", "2024-01-31"),  # over the year; a Wednesday
        ("2024-02-29", "2024-03-29"),  # Good Friday: holidays are not known
        ("2025-03-31", "2025-04-30"),
        # Art. 3(4): ends that fall on a Saturday or Sunday.
        ("2026-01-31", "2026-03-02"),  # 28 February 2026 is a Saturday
        ("2026-04-03", "2026-05-04"),  # 3 May 2026 is a Sunday
        ("2025-10-31", "2025-12-01"),  # 30 November 2025 is a Sunday
        ("2026-05-30", "2026-06-30"),  # received on a Saturday: that moves nothing
    ],
)
@pytest.mark.parametrize("place", ["DE", "GB"])
def test_one_month(place: str, received: str, expected: str) -> None:
    assert by(place, Right.ACCESS, received) == expected


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ("2025-09-03", "2025-12-03"),  # three months from receipt, a Wednesday
        ("2025-11-28", "2026-03-02"),  # 28 February 2026 is a Saturday
        # 30 April by three months, 28 April by one and then two: the earlier, a Monday.
        ("2025-01-31", "2025-04-28"),
        ("2024-01-31", "2024-04-29"),
    ],
)
def test_two_further_months(received: str, expected: str) -> None:
    assert by("DE", Right.ERASURE, received, extended=True) == expected


@pytest.mark.parametrize(
    ("place", "right", "received", "expected", "extended"),
    [
        ("US-CA", Right.ACCESS, "2026-01-01", "2026-02-15", "2026-04-01"),  # 45 and 90 calendar days; a Sunday stays
        ("US-CA", Right.ERASURE, "2024-01-15", "2024-02-29", "2024-04-14"),
        ("US-VA", Right.OPT_OUT_OF_SALE, "2026-01-01", "2026-02-15", "2026-04-01"),
        ("US-IA", Right.ACCESS, "2026-01-01", "2026-04-01", "2026-05-16"),  # 90 and 135
        ("US-FL", Right.ACCESS, "2026-01-01", "2026-02-15", "2026-03-02"),  # 45 and 60
        ("CA-ON", Right.ACCESS, "2026-01-01", "2026-01-31", "2026-03-02"),  # 30 and 60
    ],
)
def test_calendar_days(place: str, right: Right, received: str, expected: str, extended: str) -> None:
    assert by(place, right, received) == expected
    assert by(place, right, received, extended=True) == extended


@pytest.mark.parametrize(
    ("place", "right", "received", "expected"),
    [
        ("BR", Right.ACCESS, "2026-02-20", "2026-03-07"),  # LGPD Art. 19(II): 15 days
        ("CA-QC", Right.ACCESS, "2026-01-01", "2026-01-31"),  # P-39.1 s. 32: 30 days
        ("CH", Right.ACCESS, "2026-01-31", "2026-03-02"),  # DPO Art. 18: 30 days
        ("KR", Right.ERASURE, "2026-02-20", "2026-03-02"),  # Decree Art. 43: 10 days
    ],
)
def test_days_that_no_law_extends(place: str, right: Right, received: str, expected: str) -> None:
    assert by(place, right, received) == expected
    assert not extendable(law(place), right)


@pytest.mark.parametrize(
    ("received", "fifteen", "ten"),
    [
        ("2026-01-02", "2026-01-23", "2026-01-16"),  # a Friday; three and two weeks later
        ("2026-01-03", "2026-01-23", "2026-01-16"),  # a Saturday, and
        ("2026-01-04", "2026-01-23", "2026-01-16"),  # a Sunday count like the Friday before
        ("2026-01-05", "2026-01-26", "2026-01-19"),
        ("2024-02-26", "2024-03-18", "2024-03-11"),  # over 29 February
        ("2025-12-24", "2026-01-14", "2026-01-07"),  # holidays count as business days: earlier, never later
    ],
)
def test_business_days(received: str, fifteen: str, ten: str) -> None:
    assert by("US-CA", Right.OPT_OUT_OF_SALE, received) == fifteen
    assert by("US-CA", Right.LIMIT_SENSITIVE, received) == fifteen
    assert str(acknowledge_by(law("US-CA"), Right.ACCESS, date.fromisoformat(received))) == ten


def test_only_some_requests_must_be_acknowledged() -> None:
    assert acknowledge_by(law("US-CA"), Right.OPT_OUT_OF_SALE, ON) is None
    assert acknowledge_by(law("DE"), Right.ACCESS, ON) is None


@pytest.mark.parametrize(
    ("place", "right", "extended", "code"),
    [
        ("US-CA", Right.RESTRICTION, False, "no_such_right"),
        ("US-IA", Right.RECTIFICATION, False, "no_such_right"),
        ("US-CA", Right.OPT_OUT_OF_SALE, True, "no_extension"),
        ("BR", Right.ACCESS, True, "no_extension"),
    ],
)
def test_what_a_law_does_not_give_is_said(place: str, right: Right, extended: bool, code: str) -> None:
    with pytest.raises(LawError) as refused:
        due(law(place), right, ON, extended)
    assert refused.value.code == code
    assert str(right) in refused.value.message and law(place).name in refused.value.message


@pytest.mark.parametrize("place", ["DE", "US-CA", "BR"])
def test_days_after_the_end_of_the_calendar_are_refused_and_not_guessed(place: str) -> None:
    with pytest.raises(LawError) as refused:
        due(law(place), Right.ACCESS, date.max)
    assert refused.value.code == "beyond_the_calendar"


def test_where_several_laws_may_apply_the_first_day_counts() -> None:
    both = strictest([law("DE"), law("US-CA")])
    assert due(both, Right.ACCESS, date(2025, 1, 31)) == date(2025, 2, 28)  # a month; 45 days end on 17 March
    assert due(both, Right.ACCESS, date(2025, 1, 31), True) == date(2025, 4, 28)  # 90 days end on 1 May
    assert due(both, Right.OPT_OUT_OF_SALE, date(2025, 1, 31)) == date(2025, 2, 21)  # 15 business days
    assert not extendable(both, Right.OPT_OUT_OF_SALE)
    assert acknowledge_by(both, Right.ACCESS, date(2026, 1, 2)) == date(2026, 1, 16)


def test_a_weekend_that_moves_one_end_does_not_hide_another_that_comes_first() -> None:
    both = strictest([law("DE"), law_for("KE", None, ON)])
    # 28 February 2026 is a Saturday: Monday by the GDPR, the day itself where no law is known.
    assert due(both, Right.ACCESS, date(2026, 1, 31)) == date(2026, 2, 28)

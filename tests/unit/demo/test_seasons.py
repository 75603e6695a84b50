"""The shop's calendar."""

from datetime import date
from itertools import pairwise

import pytest

from demo.seasons import BLACK_FRIDAY, black_friday, day_weight, is_newsletter_day, promotion_on


@pytest.mark.parametrize(("year", "day"), [(2019, 29), (2022, 25), (2023, 24), (2024, 29), (2025, 28)])  # as they were
def test_black_friday_is_the_day_after_the_fourth_thursday_of_november(year: int, day: int) -> None:
    assert black_friday(year) == date(year, 11, day)


def test_the_black_friday_sale_runs_from_monday_to_the_monday_after() -> None:
    assert promotion_on(date(2025, 11, 23)) is None
    assert promotion_on(date(2025, 11, 24)) is BLACK_FRIDAY
    assert promotion_on(date(2025, 12, 1)) is BLACK_FRIDAY
    assert promotion_on(date(2025, 12, 2)) is None


def test_a_sale_draws_those_more_who_hunt_bargains() -> None:
    sale, plain = date(2025, 7, 5), date(2025, 6, 7)  # both Saturdays
    everybody = day_weight(sale) / day_weight(plain)
    hunters = day_weight(sale, promotion_pull=5) / day_weight(plain, promotion_pull=5)
    assert hunters == pytest.approx(5 * everybody)


def test_a_newsletter_goes_out_every_second_tuesday() -> None:
    days = [date(2026, 1, day) for day in range(1, 32) if is_newsletter_day(date(2026, 1, day))]
    assert [day.weekday() for day in days] == [1] * len(days)
    assert [(b - a).days for a, b in pairwise(days)] == [14] * (len(days) - 1)

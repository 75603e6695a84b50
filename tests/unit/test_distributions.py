"""How figures lie: percentiles that are nobody's own, bins that hold everybody, and scales that fit."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.fields.distributions import (
    BINS,
    FEWEST,
    FEWEST_RANKED,
    Distribution,
    Scale,
    date_edges,
    edges_for,
    plain,
    rank,
    rounded,
)

AMOUNTS = st.decimals(min_value=-(10**6), max_value=10**9, places=2)


def distribution(*figures: Decimal | int, is_date: bool = False) -> Distribution:
    """What the database gives of these figures, worked out here."""
    ordered = sorted(map(Decimal, figures))
    points = tuple(ordered[rank(percent, len(ordered)) - 1] for percent in range(101))
    scale, period, edges = edges_for(points, is_date=is_date)
    inner = [sum(low <= one < high for one in ordered) for low, high in pairwise(edges)]
    counts = (sum(one < edges[0] for one in ordered), *inner, sum(one >= edges[-1] for one in ordered))
    return Distribution(people=len(ordered), quantiles=points, edges=edges, counts=counts, scale=scale, period=period)


@settings(max_examples=40, deadline=None)
@given(st.lists(AMOUNTS, min_size=FEWEST_RANKED, max_size=300))
def test_every_figure_is_in_one_bin_and_no_percentile_is_that_of_the_outermost(figures: list[Decimal]) -> None:
    found = distribution(*figures)
    assert sum(found.counts) == len(figures) == sum(one.people for one in found.bins)
    low, high = found.quantiles[0], found.quantiles[-1]
    assert sum(one <= low for one in figures) >= FEWEST and sum(one >= high for one in figures) >= FEWEST
    assert list(found.quantiles) == sorted(found.quantiles)
    assert len(found.edges) <= 2 * BINS + 2


@settings(max_examples=40, deadline=None)
@given(st.lists(AMOUNTS, min_size=FEWEST_RANKED, max_size=200), AMOUNTS)
def test_the_share_below_is_about_right_and_grows_with_the_figure(figures: list[Decimal], value: Decimal) -> None:
    found = distribution(*figures)
    share = found.share_below(value)
    assert 0 <= share <= 1 and share <= found.share_below(value + 1)
    low, high = (sum(test) / len(figures) for test in ([f < value for f in figures], [f <= value for f in figures]))
    # The outermost four count with the fifth, and percentiles are whole.
    slack = 0.011 + FEWEST / len(figures)
    assert low - slack <= share <= high + slack


@settings(max_examples=40, deadline=None)
@given(st.lists(AMOUNTS, min_size=FEWEST_RANKED, max_size=50))
def test_it_is_stored_and_read_back_as_it_is(figures: list[Decimal]) -> None:
    found = distribution(*figures)
    assert Distribution.from_json(found.as_json()) == found


def test_percentiles_by_hand() -> None:
    # Of 1 to 100 the 25th percentile is 25, and the outermost are the fifth from either end.
    found = distribution(*range(1, 101))
    assert [int(found.at(percent)) for percent in (0, 4, 5, 25, 50, 96, 97, 100)] == [5, 5, 5, 25, 50, 96, 96, 96]


def test_what_is_skewed_gets_a_log_scale_and_what_is_not_a_linear_one_with_round_edges() -> None:
    skewed = distribution(*(round(1.05**number * 10) for number in range(200)))
    assert skewed.scale == Scale.LOG
    level = distribution(*range(400))
    assert (level.scale, level.edges[0], level.edges[1] - level.edges[0]) == (Scale.LINEAR, 0, 10)
    assert distribution(*(-number for number in range(100))).scale == Scale.LINEAR


def test_whole_figures_have_whole_edges_on_either_scale() -> None:
    for figures in (range(1, 60), [1] * 50 + [2] * 30 + [3] * 10 + [number * 40 for number in range(1, 20)]):
        assert all(edge == int(edge) for edge in distribution(*figures).edges)


def test_of_one_figure_that_all_have_there_is_one_bin() -> None:
    found = distribution(*[7] * 20)
    assert [(one.low, one.high, one.people) for one in found.bins] == [(7, 8, 20)]


@pytest.mark.parametrize(
    ("first", "last", "period", "begins"),
    [
        ("2025-03-03", "2025-03-20", "day", "2025-03-03"),
        ("2025-01-01", "2025-12-31", "week", "2024-12-30"),
        ("2022-02-15", "2025-11-01", "month", "2022-02-01"),
        ("2015-05-05", "2025-11-01", "quarter", "2015-04-01"),
        ("1970-05-05", "2025-11-01", "year", "1970-01-01"),
        ("1890-05-05", "2025-11-01", "decade", "1890-01-01"),
    ],
)
def test_dates_are_counted_by_the_period_that_fits(first: str, last: str, period: str, begins: str) -> None:
    start, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (first, last))
    found, edges = date_edges(start, end)
    assert (found, edges[0].date().isoformat()) == (period, begins)
    assert edges[0] <= start < edges[1] and edges[-2] <= end < edges[-1] and len(edges) <= 62


@settings(max_examples=40, deadline=None)
@given(st.datetimes(timezones=st.just(UTC)).filter(lambda one: 1 < one.year < 9900), st.integers(0, 3 * 10**6))
def test_any_range_of_dates_has_edges_around_it(first: datetime, days: int) -> None:
    last = datetime.fromtimestamp(min(first.timestamp() + days * 86400, 250_000_000_000), UTC)
    _, edges = date_edges(first, max(first, last))
    assert edges[0] <= first and edges == sorted(set(edges))


def test_figures_read_well() -> None:
    assert [plain(rounded(Decimal(one), is_whole=False)) for one in ("163.77", "0.012345", "16377", "0")] == [
        "164",
        "0.0123",
        "16400",
        "0",
    ]
    assert rounded(Decimal("7.4"), is_whole=True) == 7


def test_what_makes_no_sense_cant_be_built() -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        Distribution(people=3, quantiles=(Decimal(1),))
    with pytest.raises(ValueError, match="ascend"):
        Distribution(people=3, edges=(Decimal(2), Decimal(1)), counts=(0, 1, 2))

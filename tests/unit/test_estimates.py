"""Estimates hold what they promise: the published intervals, and the truth within them nineteen times in twenty."""

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segments.estimates import about, by_chance, rounded, wilson


@pytest.mark.parametrize(
    ("found", "of", "low", "high"),
    [
        # Newcombe, R. G. (1998), Statistics in Medicine 17, 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_the_published_ones(found: int, of: int, low: float, high: float) -> None:
    assert wilson(found, of) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 20_000), st.data())
def test_an_interval_has_the_share_in_it_and_is_the_mirror_of_the_others(of: int, data: st.DataObject) -> None:
    found = data.draw(st.integers(0, of))
    low, high = wilson(found, of)
    assert 0 <= low <= found / of + 1e-12 and found / of <= high + 1e-12 and high <= 1
    assert wilson(of - found, of) == (pytest.approx(1 - high, abs=1e-9), pytest.approx(1 - low, abs=1e-9))


@pytest.mark.parametrize(("found", "of"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_has_no_interval(found: int, of: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(found, of)


@given(st.integers(1, 10_000), st.integers(0, 10_000_000), st.data())
def test_an_estimate_never_contradicts_its_sample(of: int, more: int, data: st.DataObject) -> None:
    found, everybody = data.draw(st.integers(0, of)), of + more
    count, interval = about(found, of, everybody)
    assert found <= interval.low <= interval.high <= everybody - (of - found)
    if found:
        assert count is not None and interval.low <= count <= interval.high
    else:
        assert count is None, "nobody in the sample is not nobody"
        assert interval.high > 0 or not more


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9])
def test_the_truth_is_in_nineteen_of_twenty_intervals(share: float) -> None:
    chance, everybody, of = random.Random(1927), 1_000_000, 2_000
    hits = 0
    for _ in range(400):
        _, interval = about(sum(chance.random() < share for _ in range(of)), of, everybody)
        hits += interval.low <= share * everybody <= interval.high
    assert hits / 400 > 0.92


@pytest.mark.parametrize(
    ("count", "said"), [(0, 0), (7, 7), (123, 123), (1234, 1230), (12_345, 12_300), (999_999, 1_000_000)]
)
def test_an_estimate_is_said_in_three_digits(count: int, said: int) -> None:
    assert rounded(count) == said


# ---- Two shares ----------------------------------------------------------------------------------------------------


def test_two_shares_are_compared_as_worked_out_by_hand() -> None:
    """15 of 100 and 25 of 100: together 0.2, z = 0.1 / sqrt(0.2 * 0.8 * 2 / 100) = 1.7678, and 0.0771 beyond it on both sides."""
    assert by_chance(15, 100, 25, 100) == pytest.approx(0.0771, abs=5e-5)
    assert by_chance(250, 1000, 340, 1000) < 0.0001
    assert by_chance(250, 1000, 250, 1000) == 1.0


def test_few_people_are_compared_exactly() -> None:
    """Fisher's lady tasting tea: 3 of 4 against 1 of 4 is 34/70; all right is 2/70."""
    assert by_chance(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert by_chance(4, 4, 0, 4) == pytest.approx(2 / 70)


def test_nobody_or_everybody_differs_from_nothing() -> None:
    assert by_chance(0, 10, 0, 1_000_000) == 1.0
    assert by_chance(10, 10, 7, 7) == 1.0
    assert 0 < by_chance(1, 3, 500_000, 1_000_000) <= 1.0
    with pytest.raises(ValueError, match="no share"):
        by_chance(1, 0, 1, 2)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_a_comparison_has_no_side(yes: int, no: int, other_yes: int, other_no: int) -> None:
    assume(yes + no and other_yes + other_no)
    chance = by_chance(yes, yes + no, other_yes, other_yes + other_no)
    assert 0 <= chance <= 1
    assert chance == pytest.approx(by_chance(other_yes, other_yes + other_no, yes, yes + no))
    assert chance == pytest.approx(by_chance(no, yes + no, other_no, other_yes + other_no))

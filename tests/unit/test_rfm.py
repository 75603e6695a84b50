"""RFM as pure rules: ties, thresholds, FM, the table of groups, drift, and what may be drawn."""

from dataclasses import replace
from decimal import Decimal
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.analytics.rfm import (
    CELLS,
    Cuts,
    Cutting,
    Drift,
    GroupRow,
    Measure,
    Scheme,
    Spread,
    Thresholds,
    Weights,
    cut_points,
    drift,
    flows_by_name,
    fm_of,
    groups_by_cell,
    problems,
    scores,
    verdicts,
    weighted_score,
    without_few,
)
from segments.analytics.rfm_groups import DEFAULT_GROUPS, DEFAULT_SCHEME

FIFTHS = (20, 40, 60, 80)
NAMES = (
    "Champions|Loyal|Potential loyalist|New|Promising|Need attention|About to sleep|At risk|Can't lose|Hibernating|Lost"
)
bounds = st.tuples(st.integers(1, 5), st.integers(1, 5)).map(sorted)
rectangles = st.builds(
    lambda name, r, fm: GroupRow(name=name, r_low=r[0], r_high=r[1], fm_low=fm[0], fm_high=fm[1]),
    st.sampled_from([f"g{n}" for n in range(30)]),
    bounds,
    bounds,
)


# ---- Scores ----------------------------------------------------------------------------------------------------------


def test_equal_values_are_never_parted() -> None:
    # Worked by hand: of ten the 2nd, 4th, 6th and 8th are 1, 1, 1 and 3. NTILE(5) would give those six with one order 1, 1, 2, 2, 3, 3.
    orders = np.array([1, 1, 1, 1, 1, 1, 2, 3, 5, 8])
    cuts = cut_points(orders, FIFTHS)
    assert cuts == (1, 1, 1, 3)
    assert scores(orders, cuts, Measure.FREQUENCY).tolist() == [1, 1, 1, 1, 1, 1, 4, 4, 5, 5]


def test_little_recency_is_good() -> None:
    days = np.array([0, 10, 20, 30, 40])
    assert cut_points(days, FIFTHS) == (0, 10, 20, 30)
    assert scores(days, (0, 10, 20, 30), Measure.RECENCY).tolist() == [5, 4, 3, 2, 1]
    # All alike have one score: the best of recency, the least of the others.
    same = np.array([7, 7, 7])
    assert set(scores(same, cut_points(same, FIFTHS), Measure.RECENCY)) == {5}
    assert set(scores(same, cut_points(same, FIFTHS), Measure.MONETARY)) == {1}


def test_fixed_thresholds_take_what_is_more_than_them() -> None:
    assert scores(np.array([-5, 10, 10.01, 20, 99, 100, 1e9]), (10, 20, 50, 99), Measure.MONETARY).tolist() == [
        1, 1, 2, 2, 4, 5, 5
    ]  # fmt: skip


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=60),
    st.lists(st.integers(1, 99), min_size=4, max_size=4, unique=True),
)
def test_cuts_are_sqls_percentiles_and_scores_keep_the_order(values: list[int], drawn: list[int]) -> None:
    percents, people = tuple(sorted(drawn)), np.array(values)
    cuts = cut_points(people, percents)
    # ISO/IEC 9075-2:2003, 10.9: the first value whose cumulative distribution is at least the fraction.
    for percent, cut in zip(percents, cuts, strict=True):
        assert 100 * sum(people <= cut) >= percent * len(values)
        assert 100 * sum(people < cut) < percent * len(values)
    given_scores = scores(people, cuts, Measure.MONETARY)
    assert set(given_scores) <= {1, 2, 3, 4, 5}
    for low, high in product(range(len(values)), repeat=2):
        if values[low] <= values[high]:
            assert given_scores[low] <= given_scores[high]
        if values[low] == values[high]:
            assert given_scores[low] == given_scores[high]
    assert (scores(people, cuts, Measure.RECENCY) == 6 - given_scores).all()


def test_nobody_has_no_thresholds() -> None:
    with pytest.raises(ValueError, match="nobody"):
        cut_points(np.array([]), FIFTHS)


def test_fm_is_the_weighted_mean_half_up() -> None:
    assert [fm_of(f, m, Weights()) for f, m in ((1, 1), (1, 2), (2, 3), (4, 5), (1, 4), (1, 5), (5, 5))] == [
        1,
        2,
        3,
        5,
        3,
        3,
        5,
    ]
    assert fm_of(1, 5, Weights(frequency=Decimal(3))) == 2
    assert fm_of(1, 5, Weights(frequency=Decimal(0))) == 5
    assert weighted_score(5, 4, 4, Weights()) == Decimal("4.3333")
    assert weighted_score(5, 1, 1, Weights(recency=Decimal("0.5"))) == Decimal("1.8000")


# ---- The table of groups ---------------------------------------------------------------------------------------------


def test_the_eleven_groups_cover_the_grid() -> None:
    assert problems(DEFAULT_SCHEME) == ()
    assert [row.name for row in DEFAULT_GROUPS] == NAMES.split("|")
    at = groups_by_cell(DEFAULT_GROUPS)
    assert {cell: DEFAULT_GROUPS[number].name for cell, number in at.items()} == {
        (5, 5): "Champions", (4, 5): "Champions", (3, 5): "Loyal", (2, 5): "At risk", (1, 5): "Can't lose",
        (5, 4): "Champions", (4, 4): "Champions", (3, 4): "Loyal", (2, 4): "At risk", (1, 4): "Can't lose",
        (5, 3): "Loyal", (4, 3): "Loyal", (3, 3): "Loyal", (2, 3): "At risk", (1, 3): "Hibernating",
        (5, 2): "Potential loyalist", (4, 2): "Potential loyalist", (3, 2): "Need attention", (2, 2): "Need attention",
        (1, 2): "Hibernating",
        (5, 1): "New", (4, 1): "Promising", (3, 1): "About to sleep", (2, 1): "About to sleep", (1, 1): "Lost",
    }  # fmt: skip
    assert all(row.description and row.action for row in DEFAULT_GROUPS)


def test_each_triple_of_scores_has_one_verdict() -> None:
    found = verdicts(DEFAULT_SCHEME)
    assert len({(one.recency, one.frequency, one.monetary) for one in found}) == 125
    champion = next(one for one in found if (one.recency, one.frequency, one.monetary) == (4, 3, 4))
    assert (champion.fm, champion.weighted, champion.group) == (4, Decimal("3.6667"), "Champions")


@given(st.lists(rectangles, max_size=8))
def test_a_table_without_a_problem_gives_each_cell_one_group_and_each_group_a_cell(rows: list[GroupRow]) -> None:
    found = problems(Scheme(window_days=30, groups=tuple(rows)))
    at = groups_by_cell(rows)
    codes = {one.code for one in found}
    assert ("cells_uncovered" in codes) == (set(at) != set(CELLS))
    assert ("group_unreachable" in codes) == (set(at.values()) != set(range(len(rows))))
    assert ("name_taken" in codes) == (len({row.name for row in rows}) != len(rows))
    assert not codes - {"cells_uncovered", "group_unreachable", "name_taken"}
    for (r, fm), number in at.items():
        assert rows[number].takes(r, fm) and not any(row.takes(r, fm) for row in rows[:number])


def test_what_is_wrong_is_said_at_its_place() -> None:
    wrong = replace(
        DEFAULT_SCHEME,
        window_days=4_000,
        recency=Cuts(percents=(20, 20, 60)),
        frequency=Cuts(percents=(0, 50, 40, 100)),
        monetary=Cuts(how=Cutting.FIXED, values=tuple(map(Decimal, ("10", "20", "NaN", "30")))),
        weights=Weights(frequency=Decimal(0), monetary=Decimal(0)),
        groups=(
            replace(DEFAULT_GROUPS[0], r_low=1, fm_low=1, fm_high=4),
            replace(DEFAULT_GROUPS[1], name="champions "),
            replace(DEFAULT_GROUPS[1], name="champions", r_low=5, r_high=4),
            replace(DEFAULT_GROUPS[10], action="x" * 501),
        ),
    )
    assert {(one.pointer, one.code) for one in problems(wrong)} == {
        ("/window_days", "window_out_of_range"),
        ("/recency/percents", "cuts_not_four"),
        ("/frequency/percents/2", "cuts_not_ascending"),
        ("/frequency/percents", "cut_out_of_range"),
        ("/monetary/values/2", "cut_not_a_number"),
        ("/weights/frequency", "weights_nothing"),
        ("/groups/1/name", "name_malformed"),
        ("/groups/2/name", "name_taken"),
        ("/groups/2/r_low", "bounds_malformed"),
        ("/groups/3/action", "text_too_long"),
        ("/groups/3", "group_unreachable"),
        ("/groups", "cells_uncovered"),
    }
    uncovered = next(one for one in problems(wrong) if one.code == "cells_uncovered")
    assert uncovered.message == "2 of 25 cells belong to no group: R 1, FM 5; R 2, FM 5."


def test_a_scheme_survives_json() -> None:
    scheme = replace(
        DEFAULT_SCHEME, monetary=Cuts(how=Cutting.FIXED, values=(Decimal("0.10"), Decimal(2), Decimal(3), Decimal(4)))
    )
    assert Scheme.from_json(scheme.as_json()) == scheme


# ---- Over time, and what may be drawn --------------------------------------------------------------------------------


def test_drift_is_a_share_of_what_was() -> None:
    before = Thresholds(
        recency=tuple(map(Decimal, (0, 10, 20, 40))), frequency=(Decimal(1),) * 4, monetary=(Decimal(-8),) * 4
    )
    after = replace(before, recency=tuple(map(Decimal, (5, 15, 20, 30))), monetary=(Decimal(-4),) * 4)
    found = drift(before, after)
    assert [one.change for one in found] == [None, 0.5, 0.0, -0.25, 0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5]
    assert found[1] == Drift(measure=Measure.RECENCY, cut=2, before=Decimal(10), after=Decimal(15), change=0.5)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=25))
def test_nothing_drawn_stands_for_a_few(counts: list[int]) -> None:
    spread = Spread(measure=Measure.MONETARY, edges=tuple(map(Decimal, range(len(counts) + 1))), counts=tuple(counts))
    found = without_few(spread, fewest=5)
    assert all(count == 0 or count >= 5 for count in found.counts)
    assert sum(found.counts) == (sum(counts) if sum(counts) >= 5 else 0)
    if found.counts:
        assert list(found.edges) == sorted(set(found.edges)) and len(found.edges) == len(found.counts) + 1
        assert (found.edges[0], found.edges[-1]) == (spread.edges[0], spread.edges[-1])


def test_flows_come_the_largest_first() -> None:
    assert flows_by_name({("a", "b"): 2, ("", "a"): 7, ("a", ""): 2}) == [
        {"before": "", "after": "a", "people": 7},
        {"before": "a", "after": "", "people": 2},
        {"before": "a", "after": "b", "people": 2},
    ]

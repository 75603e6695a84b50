"""What is told of features: right by another way of computing it, and nothing of it stands for fewer than five people."""

import numpy as np
import pytest
from scipy.stats import skew, spearmanr

from segments.features.matrix import FeatureMatrix
from segments.features.statistics import statistics_of
from segments.fields.distributions import FEWEST


def matrix(**columns: list[float]) -> FeatureMatrix:
    values = np.array(list(columns.values()), dtype=np.float64).T
    return FeatureMatrix(ids=np.arange(len(values)), values=values, keys=tuple(columns))


def drawn(people: int, seed: int) -> FeatureMatrix:
    chance = np.random.default_rng(seed)
    spent = np.round(chance.lognormal(3, 1.5, people), 2)
    orders = chance.poisson(2, people).astype(float)
    share = np.where(orders > 0, chance.beta(0.3, 0.5, people), np.nan)
    return FeatureMatrix(
        ids=np.arange(people), values=np.column_stack([spent, orders, share]), keys=("spent", "orders", "share")
    )


@pytest.mark.parametrize(("people", "seed"), [(10, 1), (13, 2), (60, 3), (500, 4), (5000, 5)])
def test_nothing_told_stands_for_fewer_than_five_people(people: int, seed: int) -> None:
    made = drawn(people, seed)
    for one in statistics_of(made, is_everybody=True).features:
        column = made.column(one.key)
        known = column[~np.isnan(column)]
        lies = one.distribution
        assert sum(lies.counts) == (len(known) if lies.edges else 0)
        assert lies.is_shown or people < 20
        assert all(many == 0 or many >= FEWEST for many in lies.counts)
        edges = [float(edge) for edge in lies.edges]
        if edges:
            assert np.histogram(known, [-np.inf, *edges, np.inf])[0].tolist() == list(lies.counts)
        for point in lies.quantiles:
            # The point is kept to six digits.
            assert (known <= float(point) * (1 + 1e-5)).sum() >= FEWEST
            assert (known >= float(point) * (1 - 1e-5)).sum() >= FEWEST


def test_figures_equal_those_of_scipy() -> None:
    made = drawn(3000, 7)
    found = statistics_of(made, is_everybody=False)
    for one in found.features:
        column = made.column(one.key)
        known = column[~np.isnan(column)]
        assert (one.filled, one.of) == (len(known), 3000) and one.distribution.sampled == 3000
        assert one.mean == pytest.approx(known.mean()) and one.deviation == pytest.approx(known.std())
        assert one.skew == pytest.approx(skew(known))
        assert one.skew_of_log == pytest.approx(skew(np.log1p(known)))
    wanted = spearmanr(made.values, nan_policy="omit").statistic
    assert np.allclose(np.array(found.correlations, dtype=float), np.asarray(wanted))


def test_features_that_say_the_same_are_named() -> None:
    rising = [float(number) for number in range(40)]
    found = statistics_of(
        matrix(a=rising, b=[-(one**3) for one in rising], c=[one % 7 for one in rising]), is_everybody=True
    )
    assert [(one, other) for one, other, _ in found.alike] == [("b", "a")]
    assert found.alike[0][2] == pytest.approx(-1)


def test_what_cannot_be_told_is_left_open() -> None:
    nan = float("nan")
    found = statistics_of(
        matrix(all_missing=[nan] * 20, constant=[0.1] * 20, four=[1.0, 2, 3, 4] + [nan] * 16), is_everybody=True
    )
    missing, constant, four = found.features
    assert (missing.filled, missing.mean, missing.fill_rate) == (0, None, 0)
    assert constant.is_constant and constant.skew is None and constant.distribution.counts
    assert (four.filled, four.mean, four.distribution.is_shown) == (4, None, False)
    assert found.correlations == ((None,) * 3,) * 3
    assert statistics_of(matrix(a=[], b=[]), is_everybody=True).sampled == 0

"""Figures are prepared alike for those they were fitted on and for whoever comes later, and what is odd about them is told."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.analytics.clustering import fit as fit_clusters
from segments.analytics.meaning import Words, meanings, picture
from segments.analytics.methods import Method
from segments.analytics.plain import CannotAnalyse
from segments.analytics.preparing import (
    Applied,
    Missing,
    OutlierAction,
    OutlierTest,
    Preparation,
    Prepared,
    Scaling,
    Transform,
    apply,
    fit,
)
from tests.unit.analytics.planted import Floats, kinds

KEYS = ("spent", "visits")
NAMES = {"spent": "Spent", "visits": "Visits"}
NONE = np.nan


def both(values: Floats, **how: Any) -> tuple[Prepared, Applied]:
    transforms = how.pop("transforms", {})
    prepared = fit(values, keys=KEYS, how=Preparation(**how), transforms=transforms, names=NAMES)
    return prepared, apply(values, prepared, keys=KEYS)


def column(*figures: float) -> Floats:
    return np.column_stack([figures, np.arange(len(figures), dtype=float)])


def test_gaps_are_filled_with_the_median_or_nought_or_leave_out() -> None:
    values = column(1, NONE, 3, 8)
    assert both(values, scaling=Scaling.NONE)[1].values[:, 0].tolist() == [1, 3, 3, 8]
    assert both(values, scaling=Scaling.NONE, missing=Missing.ZERO)[1].values[:, 0].tolist() == [1, 0, 3, 8]
    prepared, applied = both(values, missing=Missing.EXCLUDE)
    assert applied.left_out.tolist() == [False, True, False, False] and prepared.left_out == 1
    assert applied.values[applied.usable, 0].mean() == pytest.approx(0)
    assert "1 of 4 people lack a feature and were left out." in prepared.notes


def test_scales_are_those_of_the_text_books() -> None:
    values = column(1, 2, 3, 4, 10)
    (standard,) = (both(values)[1].values[:, 0],)
    assert standard.mean() == pytest.approx(0) and standard.std() == pytest.approx(1)
    assert both(values, scaling=Scaling.MIN_MAX)[1].values[:, 0].tolist() == pytest.approx([0, 1 / 9, 2 / 9, 3 / 9, 1])
    assert both(values, scaling=Scaling.ROBUST)[1].values[:, 0].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 3.5])
    mostly = column(0, 0, 0, 0, 10)
    assert np.isfinite(both(mostly, scaling=Scaling.ROBUST)[1].values).all(), (
        "quartiles of nought have no width to divide by"
    )


def test_outliers_are_counted_drawn_in_or_set_aside() -> None:
    values = column(1, 2, 3, 4, 5, 6, 7, 8, 9, 1000)
    test = {"outliers": OutlierTest.IQR, "outlier_limit": 1.5, "scaling": Scaling.NONE}
    prepared, applied = both(values, **test)
    assert prepared.features[0].outliers == 1 and applied.values[-1, 0] == 1000
    # Quartiles 3.25 and 7.75: 1.5 times their distance above the third is 14.5.
    assert both(values, **test, outlier_action=OutlierAction.CLIP)[1].values[-1, 0] == pytest.approx(14.5)
    prepared, applied = both(values, **{**test, "scaling": Scaling.STANDARD}, outlier_action=OutlierAction.SET_ASIDE)
    assert applied.set_aside.tolist() == [False] * 9 + [True] and prepared.set_aside == 1
    assert applied.values[applied.usable, 0].std() == pytest.approx(1), "the scale is that of those who stay"
    later = apply(np.array([[5000.0, 3.0]]), prepared, keys=KEYS)
    assert later.set_aside.tolist() == [True], "whoever comes later is judged alike"
    assert fit(column(1, 2, 3), keys=KEYS, how=Preparation(outliers=OutlierTest.ZSCORE)).features[0].outliers == 0


def test_negative_revenue_has_a_logarithm_too() -> None:
    _, applied = both(column(-9, 0, 9), transforms={"spent": Transform.LOG1P}, scaling=Scaling.NONE)
    assert applied.values[:, 0].tolist() == pytest.approx([-np.log(10), 0, np.log(10)])


def test_what_tells_nobody_apart_is_dropped_by_name_and_nothing_left_is_an_error() -> None:
    prepared, applied = both(np.column_stack([[NONE] * 3, [1.0, 2.0, 3.0]]))
    assert prepared.keys == ("visits",) and applied.values.shape == (3, 1)
    assert "“Spent” was left out, because nobody has it." in prepared.notes
    prepared, _ = both(np.column_stack([[7.0, NONE, 7.0], [1.0, 2.0, 3.0]]))
    assert "“Spent” was left out, because it is the same for everybody who has it." in prepared.notes
    with pytest.raises(CannotAnalyse, match="None of the chosen features tells people apart: Spent, Visits"):
        both(np.array([[1.0, NONE], [1.0, NONE]]))
    with pytest.raises(CannotAnalyse, match="nobody to be clustered"):
        both(np.empty((0, 2)))
    with pytest.raises(CannotAnalyse, match="drop “Spent”, which most people lack"):
        both(np.array([[NONE, 1.0], [NONE, 2.0], [NONE, 3.0], [3.0, NONE], [4.0, NONE]]), missing=Missing.EXCLUDE)


def test_one_customer_with_most_of_the_revenue_is_told_with_advice() -> None:
    values = column(*([1.0] * 99), 900.0)
    (note,) = [one for one in both(values)[0].notes if "Spent" in one]
    assert note.startswith("One person has 90% of the total of “Spent”. Take its logarithm")
    tamed = both(values, transforms={"spent": Transform.LOG1P})[0].notes
    assert "One person has 90% of the total of “Spent”." in tamed
    skewed = column(*np.random.default_rng(1).lognormal(sigma=1.2, size=500))
    assert any("is skewed" in one for one in both(skewed)[0].notes)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    missing=st.sampled_from(Missing),
    outliers=st.sampled_from(OutlierTest),
    action=st.sampled_from(OutlierAction),
    scaling=st.sampled_from(Scaling),
    transform=st.sampled_from(Transform),
)
def test_prepared_alone_everybody_is_as_among_the_others(
    seed: int, missing: Missing, outliers: OutlierTest, action: OutlierAction, scaling: Scaling, transform: Transform
) -> None:
    chance = np.random.default_rng(seed)
    values = chance.lognormal(size=(60, 2)) - 0.5
    values[chance.random(values.shape) < 0.2] = NONE
    prepared, applied = both(
        values,
        missing=missing,
        outliers=outliers,
        outlier_action=action,
        scaling=scaling,
        transforms={"spent": transform},
    )
    back = Prepared.from_json(json.loads(json.dumps(prepared.as_json())))
    assert back == prepared and np.isfinite(applied.values).all()
    assert (int(applied.left_out.sum()), int(applied.set_aside.sum())) == (prepared.left_out, prepared.set_aside)
    for place in range(0, 60, 7):
        # In another order of columns too, and with one that isn't used.
        alone = np.array([[values[place, 1], 5.0, values[place, 0]]])
        one = apply(alone, back, keys=("visits", "else", "spent"))
        assert one.values[0].tolist() == applied.values[place].tolist()
        assert (one.left_out[0], one.set_aside[0]) == (applied.left_out[place], applied.set_aside[place])


# ---- Meaning ---------------------------------------------------------------------------------------------------------

WORDS = {
    "spent": Words(name="Average order value", unit="EUR", high="large baskets", low="small baskets"),
    "visits": Words(name="Purchase frequency", unit="orders a month", high="frequent", low="seldom"),
    "discount": Words(name="Discount share", high="discount-led", low="full price", is_share=True),
}


def test_clusters_are_named_by_what_sets_them_apart_and_told_with_their_figures() -> None:
    chance = np.random.default_rng(4)
    small = np.column_stack([chance.normal(12, 2, 60), chance.normal(6, 1, 60), chance.normal(0.7, 0.1, 60)])
    large = np.column_stack([chance.normal(90, 9, 40), chance.normal(1, 0.3, 40), chance.normal(0.1, 0.05, 40)])
    raw = np.concatenate([small, large])
    labels = np.repeat([0, 1], [60, 40])
    first, second = meanings(raw, (raw - raw.mean(axis=0)) / raw.std(axis=0), labels, keys=tuple(WORDS), words=WORDS)
    assert set(first.label.lower().split(", ")) == {"small baskets", "frequent", "discount-led"}
    assert set(second.label.lower().split(", ")) == {"large baskets", "seldom", "full price"}
    assert first.label[0].isupper() and (first.people, first.share) == (60, 0.6)
    spent = first.features[0]
    assert spent.mean == pytest.approx(raw[:60, 0].mean()) and spent.others == pytest.approx(raw[60:, 0].mean())
    pooled = np.sqrt((60 * raw[:60, 0].var() + 40 * raw[60:, 0].var()) / 100)
    assert spent.effect == pytest.approx((raw[:60, 0].mean() - raw[60:, 0].mean()) / pooled)
    told = " ".join(first.sentences)
    assert "Average order value is lower: 11.8 EUR on average, 90.0 EUR among the others." in told
    assert "Discount share is higher: 72% on average" in told


def test_no_two_clusters_have_one_name_and_what_is_like_everybody_says_so() -> None:
    values, labels = kinds(600, 1, 4, apart=6, seed=1)
    found = meanings(values, values, labels, keys=("spent",), words=WORDS)
    assert len({one.label for one in found}) == 4
    alike = np.random.default_rng(1).normal(size=(200, 1))
    found = meanings(alike, alike, np.arange(200) % 2, keys=("spent",), words=WORDS)
    assert [one.label for one in found] == ["Like most people", "Like most people (2)"] and not found[0].sentences


def test_a_picture_shows_the_axes_along_which_people_differ_most() -> None:
    chance = np.random.default_rng(2)
    values = chance.normal(size=(3_000, 3)) * (5.0, 2.0, 0.1)
    made = fit_clusters(values, Method(clusters=2), features=("a", "b", "c"))
    seen = picture(values, made, names=("A", "B", "C"), seed=1)
    assert seen and len(seen.points) == seen.looked_at == 2_000 and seen.people == 3_000
    assert seen.x.variance == pytest.approx(25 / 29, abs=0.02) and seen.y.variance == pytest.approx(4 / 29, abs=0.02)
    assert seen.x.loadings[0][0] == "A" and seen.x.loadings[0][1] == pytest.approx(1, abs=0.01)
    assert picture(values[:, :1], made, names=("A",), seed=1) is None

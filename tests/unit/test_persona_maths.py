"""Key attributes, factors and sentences against values worked out by hand, published, or planted."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import FactorAnalysis
from sklearn.metrics import mutual_info_score

from segments.analytics.attributes import (
    Buying,
    entropy,
    mutual_information,
    relating_to_buying,
    standardised_difference,
    telling_apart,
)
from segments.analytics.factors import Factors, Words, _few_rows_like, by_chance, find_factors, name_of, place_of
from segments.analytics.narrative import Figure, Sentence, say, tell
from segments.analytics.portraits import Breakdown, Measure, Need, Portrait, Share, Unit, When

DICE = np.random.default_rng(7)
ABC = [("a", "Alpha"), ("b", "Beta"), ("c", "Gamma")]


# ---- What tells a group apart ----------------------------------------------------------------------------------------


def test_information_is_that_of_the_counts_less_what_chance_gives() -> None:
    """Two values and a flag: the plug-in estimate of scikit-learn, less (2 - 1) / (2 n ln 2) after Miller."""
    values = np.repeat([0.0, 0.0, 1.0, 1.0], [40, 10, 15, 35])
    flags = np.repeat([True, False, True, False], [40, 10, 15, 35])
    plug_in = mutual_info_score(values, flags) / np.log(2)
    assert mutual_information(values, flags) == pytest.approx(plug_in - 1 / (200 * np.log(2)), abs=1e-12)


def test_what_says_everything_says_the_whole_entropy_and_what_says_nothing_nothing() -> None:
    flags = DICE.random(4000) < 0.3
    assert mutual_information(flags.astype(float), flags) == pytest.approx(entropy(flags), abs=0.001)
    assert mutual_information(DICE.random(4000), flags) < 0.003
    assert mutual_information(np.full(4000, 3.0), flags) == 0
    assert mutual_information(np.full(4000, np.nan), flags) == 0
    assert entropy(np.zeros(5, dtype=bool)) == 0


def test_not_knowing_tells_too() -> None:
    flags = np.repeat([True, False], 500)
    values = np.where(flags, np.nan, DICE.random(1000))
    assert mutual_information(values, flags) == pytest.approx(1, abs=0.02)


def test_the_difference_is_cohens_d() -> None:
    """(3 - 5) / sqrt((2 * 1 + 2 * 4) / 4): means, and the pooled variance of 1 and 4."""
    mine, others = np.array([2.0, 3, 4, np.nan]), np.array([3.0, 5, 7])
    assert standardised_difference(mine, others) == pytest.approx(-2 / np.sqrt(2.5))
    assert standardised_difference(mine, np.array([1.0])) is None
    assert standardised_difference(np.full(9, 0.1), np.full(9, 0.1)) is None
    # 1/3 and 1, each over and over: by the deviation of all together, sqrt(n / (n - 1)) / 3.
    apart = standardised_difference(np.full(30, 1 / 3), np.full(30, 1.0))
    assert apart == pytest.approx(-2 * np.sqrt(59 / 60))


def test_planted_differences_come_in_the_order_of_their_size() -> None:
    belongs = np.arange(3000) % 3 == 0
    values = DICE.normal(size=(3000, 3))
    values[belongs, 1] += 2.0
    values[belongs, 2] -= 0.7
    found = telling_apart(ABC, values, belongs)
    assert [one.key for one in found] == ["b", "c", "a"]
    assert found[0].difference == pytest.approx(2, abs=0.15) and found[1].difference == pytest.approx(-0.7, abs=0.15)
    assert found[2].information < 0.01 and found[0].people == 1000 and found[0].other_people == 2000


def test_too_few_people_are_compared_with_nobody() -> None:
    belongs = np.arange(100) < 19
    assert telling_apart(ABC, DICE.normal(size=(100, 3)), belongs) == ()
    with pytest.raises(ValueError):
        telling_apart(ABC, DICE.normal(size=(100, 2)), belongs)


# ---- What goes along with buying -------------------------------------------------------------------------------------


def test_what_buying_depends_on_comes_first_and_the_score_says_what_that_is_worth() -> None:
    values = DICE.normal(size=(800, 3))
    bought = values[:, 2] + 0.5 * values[:, 0] + DICE.normal(scale=0.5, size=800) > 0
    found = relating_to_buying(ABC, values, bought, seed=1)
    assert [one.key for one in found.relations][:2] == ["c", "a"]
    assert found.is_predictive and found.score is not None and found.score > 0.85 and found.parts == 5
    assert found.relations[0].importance is not None and found.relations[0].importance > 0.1
    assert found == relating_to_buying(ABC, values, bought, seed=1), "the same for the same seed"
    assert Buying.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_a_model_that_cannot_predict_has_no_opinion() -> None:
    found = relating_to_buying(ABC, DICE.normal(size=(600, 3)), DICE.random(600) < 0.4, seed=1)
    assert not found.is_predictive and found.score is not None and found.why_not
    assert {one.importance for one in found.relations} == {None}


@pytest.mark.parametrize(("people", "buyers"), [(99, 50), (500, 5), (500, 495), (500, 0)])
def test_too_few_teach_nothing(people: int, buyers: int) -> None:
    found = relating_to_buying(ABC, DICE.normal(size=(people, 3)), np.arange(people) < buyers, seed=1)
    assert found.score is None and "Too few" in found.why_not and found.buyers == buyers


def test_constant_and_unknown_columns_are_no_reason() -> None:
    values = np.full((200, 3), np.nan)
    values[:, 0] = 4.0
    found = relating_to_buying(ABC, values, np.arange(200) % 2 == 0, seed=1)
    assert found.score is None and "varies" in found.why_not


# ---- Factors ---------------------------------------------------------------------------------------------------------

SIX = [(name, name.upper()) for name in ("p", "q", "r", "x", "y", "z")]
WORDS = {
    "p": Words("Buys", "often", "seldom"),
    "q": Words("Buys", "broadly", "narrowly"),
    "x": Words("Visits", "for long", "briefly"),
    "y": Words("", "on mobile", "not on mobile"),
}


def planted(people: int = 3000) -> np.ndarray:
    """Two factors: p, q, r load 0.8 on the one, x, y, z 0.7 on the other, z with the other sign."""
    common = DICE.normal(size=(people, 2))
    noise = DICE.normal(size=(people, 6))
    loadings = np.array([[0.8, 0.8, 0.8, 0, 0, 0], [0, 0, 0, 0.7, 0.7, -0.7]])
    return common @ loadings + noise * np.sqrt(1 - (loadings**2).sum(axis=0))


def test_planted_factors_are_found_with_their_number_and_loadings() -> None:
    values = planted()
    found = find_factors(SIX, values, words=WORDS, seed=3).found
    assert len(found.factors) == 2 == found.kaiser
    first, second = (np.array(one.loadings) for one in found.factors)
    assert np.allclose(np.abs(first), [0.8, 0.8, 0.8, 0, 0, 0], atol=0.06)
    assert np.allclose(np.abs(second), [0, 0, 0, 0.7, 0.7, 0.7], atol=0.06) and second[3] * second[5] < 0
    assert found.factors[0].explained == pytest.approx(3 * 0.64 / 6, abs=0.03)
    assert found.explained == pytest.approx((3 * 0.64 + 3 * 0.49) / 6, abs=0.04)
    assert sum(found.components) == pytest.approx(1) and sum(found.eigenvalues) == pytest.approx(6)
    assert "buys often and broadly" in found.factors[0].name.lower()
    assert Factors.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_the_fit_on_few_rows_is_that_on_all_people() -> None:
    values = planted(400)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    few, everybody = (
        FactorAnalysis(2, max_iter=5000, tol=1e-9, svd_method="lapack").fit(rows)
        for rows in (_few_rows_like(standard), standard)
    )
    assert np.allclose(few.get_covariance(), everybody.get_covariance(), atol=1e-4)


def test_where_nothing_hangs_together_no_factor_is_claimed() -> None:
    found = find_factors(SIX, DICE.normal(size=(2000, 6)), words=WORDS, seed=3).found
    assert found.factors == () and "by chance" in found.why_not
    assert found.kaiser > 0, "the older rule would have found some"


def test_chance_gives_eigenvalues_about_one_and_the_first_above_it() -> None:
    drawn = by_chance(500, 8, seed=5)
    assert drawn[0] > 1.1 > drawn[-1] and drawn.mean() == pytest.approx(1, abs=0.05)
    assert list(drawn) == sorted(drawn, reverse=True)


def test_columns_that_do_not_vary_are_left_out_and_said() -> None:
    values = np.column_stack([planted(500), np.full(500, 2.0), np.full(500, np.nan)])
    found = find_factors([*SIX, ("k", "Constant"), ("n", "Unknown")], values, words=WORDS, seed=3).found
    assert found.left_out == ("Constant", "Unknown") and len(found.features) == 6
    few = find_factors(SIX, values[:30, :6], words=WORDS, seed=3).found
    assert few.factors == () and "30" in few.why_not


def test_one_customer_with_nearly_all_of_it_is_no_factor() -> None:
    values = planted(1000)
    values[0] = 1e9
    found = find_factors(SIX, values, words=WORDS, seed=3).found
    assert len(found.factors) == 2


def test_factors_are_called_by_what_they_speak_of_most() -> None:
    assert name_of(SIX, np.array([0.9, 0.7, 0, 0.5, 0, 0]), WORDS) == "Buys often and broadly, visits for long"
    assert name_of(SIX, np.array([-0.9, 0.1, 0, 0, -0.6, 0]), WORDS) == "Buys seldom, not on mobile"
    assert name_of(SIX, np.array([0, 0, 0.2, 0, 0, 0]), WORDS) == "Has a high r"


def test_a_group_stands_where_its_people_do() -> None:
    fitted = find_factors(SIX, planted(), words=WORDS, seed=3)
    high = fitted.scores[:, 0] > 1
    place = place_of(fitted.scores, high)
    assert place[0] > 1 and abs(place[1]) < 0.2
    assert place_of(fitted.scores, ~(high | ~high)) == ()


# ---- Sentences -------------------------------------------------------------------------------------------------------


def figure(value: float | str = 7, unit: Unit = Unit.PEOPLE, people: int = 7) -> Figure:
    return Figure(name="People", value=value, unit=unit, people=people, source="tests")


def test_a_sentence_has_no_number_but_its_figures() -> None:
    said = say("Who", "{people} came.", people=figure())
    assert said is not None and said.text == "7 people came." and said.figures == (figure(),)
    for template, figures in [
        ("{people} came 3 times.", {"people": figure()}),
        ("Many came.", {}),
        ("{people} of {others}.", {"people": figure()}),
        ("{people}.", {"people": figure(), "more": figure()}),
    ]:
        with pytest.raises(ValueError):
            say("Who", template, **figures)


def test_nothing_is_said_that_fewer_than_five_stand_for() -> None:
    assert say("Who", "{people} came.", people=figure(4, people=4)) is None


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (1, Unit.PEOPLE, "1 person"), (1234, Unit.PEOPLE, "1,234 people"), (0.1234, Unit.SHARE, "12%"),
        (0.0123, Unit.SHARE, "1.2%"), (12.5, Unit.MONEY, "12.50 EUR"), (-1234.5, Unit.MONEY, "-1,234 EUR"),
        (1.2, Unit.DAYS, "1 day"), (17, Unit.HOUR, "17:00"), (1.55, Unit.TIMES, "1.6 times"), (2.5, Unit.NUMBER, "2.5"),
        ("Shoes", Unit.NAME, "Shoes"),
    ],
)  # fmt: skip
def test_values_are_written_as_readers_write_them(value: float | str, unit: Unit, written: str) -> None:
    made = Figure(
        name="x", value=value, unit=unit, people=9, source="tests", currency="EUR" if unit is Unit.MONEY else ""
    )
    assert made.written == written


numbers = st.one_of(st.none(), st.floats(0, 5000, allow_nan=False))
names = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="{}"), min_size=1, max_size=12)


@st.composite
def portraits(draw: st.DrawFn) -> Portrait:
    people = draw(st.integers(5, 5000))

    def measure(key: str, unit: Unit) -> Measure:
        return Measure(
            key=key, label=draw(names), unit=unit, value=draw(numbers), everyone=draw(numbers),
            people=draw(st.integers(0, people)), source="tests",
        )  # fmt: skip

    def breakdown() -> Breakdown:
        rows = tuple(
            Share(key=draw(names), label=draw(names), people=draw(st.integers(5, people)), share=draw(st.floats(0, 1)),
                  everyone=draw(st.one_of(st.none(), st.floats(0, 1))))
            for _ in range(draw(st.integers(0, 2)))
        )  # fmt: skip
        return Breakdown(key="k", label=draw(names), known=people, source="tests", rows=rows)

    cell = st.one_of(st.none(), st.integers(0, 90))
    grid = tuple(tuple(draw(st.lists(cell, min_size=24, max_size=24))) for _ in range(7))
    keys = {"buyers_share": Unit.SHARE, "revenue_share": Unit.SHARE, "orders_per_buyer": Unit.NUMBER,
            "order_value": Unit.MONEY, "recency_days": Unit.DAYS, "item_price": Unit.MONEY, "sessions": Unit.NUMBER}  # fmt: skip
    went_on = draw(st.integers(0, 40))
    return Portrait(
        people=people, everybody=people + draw(st.integers(0, 9000)), currency="EUR", window_days=365, zone="Europe/Zurich",
        measures=tuple(measure(key, unit) for key, unit in keys.items()),
        demographics=(breakdown(),), categories=breakdown(), channels=breakdown(), devices=breakdown(),
        when=When(what="visits", zone="Etc/GMT+5", source="tests", people=people, visits=grid, everyone=grid),
        needs=(Need(category=draw(names), after=draw(names), bought=40, went_on=went_on, buyers=90, otherwise=0.2,
                    ready=draw(st.integers(0, 9))),),
        feedback=(measure("nps", Unit.NUMBER),),
    )  # fmt: skip


@given(portraits())
@settings(max_examples=60, deadline=None)
def test_every_number_in_what_is_told_stands_in_the_figures_of_its_sentence(portrait: Portrait) -> None:
    sentences = tell(portrait)
    assert sentences
    for one in sentences:
        rest = one.text
        for written in sorted((figure.written for figure in one.figures), key=len, reverse=True):
            assert written in one.text or written[:1].upper() + written[1:] in one.text
            rest = rest.replace(written, "").replace(written[:1].upper() + written[1:], "")
        assert not re.search(r"\d", rest), (one.text, rest)
        assert min(figure.people for figure in one.figures) >= 5
        assert Sentence.from_json(json.loads(json.dumps(one.as_json()))) == one


@given(portraits())
@settings(max_examples=15, deadline=None)
def test_portraits_come_back_from_json_as_they_were(portrait: Portrait) -> None:
    assert Portrait.from_json(json.loads(json.dumps(portrait.as_json()))) == portrait


def test_of_fewer_than_five_nothing_is_told() -> None:
    assert tell(Portrait(people=None, everybody=100, currency="EUR", window_days=365, zone="UTC")) == ()

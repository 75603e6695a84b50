"""Clusters equal bare scikit-learn's on sets everybody knows, are kept as plain numbers, and are recovered where they were planted."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from segments.analytics import preparing
from segments.analytics.choosing import choose
from segments.analytics.clustering import Fitted, fit
from segments.analytics.hierarchy import cut_into, drawn, merges_of
from segments.analytics.matching import match
from segments.analytics.methods import COUNTS_ITSELF, NOISE, Algorithm, Linkage, Method
from segments.analytics.outcomes import Structure
from segments.analytics.plain import CannotAnalyse
from segments.analytics.preparing import Preparation, Scaling, Transform
from segments.analytics.quality import measure
from tests.unit.analytics.planted import Floats, kinds, wholesale

CENTROIDS = [Algorithm.KMEANS, Algorithm.MINIBATCH]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield


def prepared(values: Floats, **how: Any) -> tuple[Floats, tuple[str, ...]]:
    keys = [f"f{column}" for column in range(values.shape[1])]
    transforms = dict.fromkeys(keys, how.pop("transform", Transform.NONE))
    found = preparing.fit(values, keys=keys, how=Preparation(**how), transforms=transforms)
    return preparing.apply(values, found, keys=keys).values, found.keys


# ---- Known sets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "scaling", "known"),
    [("iris", 3, Scaling.NONE, 0.730), ("wine", 3, Scaling.STANDARD, 0.897), ("digits", 10, Scaling.NONE, 0.666)],
)
def test_k_means_is_as_good_as_bare_scikit_learn(name: str, count: int, scaling: Scaling, known: float) -> None:
    given = getattr(datasets, f"load_{name}")()
    values, keys = prepared(given.data, scaling=scaling)
    ours = adjusted_rand_score(given.target, fit(values, Method(clusters=count), features=keys).labels)
    plain = StandardScaler().fit_transform(given.data) if scaling == Scaling.STANDARD else given.data
    bare = adjusted_rand_score(given.target, KMeans(count, n_init=10, random_state=1).fit_predict(plain))
    assert ours == pytest.approx(bare, abs=0.01)
    assert ours == pytest.approx(known, abs=0.01)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_logarithm_of_skewed_spendings_finds_kinds_of_buyers_that_raw_figures_hide(seed: int) -> None:
    spent, planted = wholesale(seed)
    raw, keys = prepared(spent)
    logged, _ = prepared(spent, transform=Transform.LOG1P)
    method = Method(clusters=2)
    of_raw, of_logged = (
        adjusted_rand_score(planted, fit(values, method, features=keys).labels) for values in (raw, logged)
    )
    assert of_logged > 0.8 and of_raw < of_logged - 0.3, (of_raw, of_logged)


# ---- Planted, and not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_planted_kinds_are_recovered_by_every_method(algorithm: Algorithm) -> None:
    values, planted = kinds(1_500, 5, 4, apart=9, seed=3)
    values, keys = prepared(values)
    method = Method(algorithm=algorithm)
    if algorithm not in COUNTS_ITSELF:
        choice = choose(values[:1_000], method, fewest=2, most=8)
        assert choice.recommended == choice.elbow == 4 and "4 clusters" in choice.reason, choice.reason
        method = replace(method, clusters=choice.used)
    made = fit(values, method, features=keys)
    assert adjusted_rand_score(planted, made.labels) > 0.95
    quality = measure(values, made, method)
    assert quality.structure == Structure.CLEAR and "4 clear clusters" in quality.verdict
    assert quality.stability and quality.stability.mean > 0.9


def nobody_is_alike(kind: str, features: int) -> Floats:
    chance = np.random.default_rng(11)
    if kind == "uniform":
        return chance.uniform(size=(1_200, features))
    if kind == "normal":
        return chance.normal(size=(1_200, features))
    if kind == "correlated":
        return chance.normal(size=(1_200, 1)) + 0.5 * chance.normal(size=(1_200, features))
    return chance.lognormal(size=(1_200, features))


@pytest.mark.parametrize("kind", ["uniform", "normal", "correlated", "lognormal"])
@pytest.mark.parametrize("features", [2, 6])
def test_clusters_are_not_claimed_where_there_are_none(kind: str, features: int) -> None:
    values, keys = prepared(nobody_is_alike(kind, features))
    choice = choose(values, Method(), fewest=2, most=6)
    made = fit(values, method := Method(clusters=choice.used), features=keys)
    quality = measure(values, made, method)
    assert quality.structure == Structure.NONE, quality
    assert "no clear clusters" in quality.verdict and "slices" in quality.advice[0]


def test_advice_tells_broad_clusters_from_fragments() -> None:
    values, _ = kinds(1_000, 3, 4, apart=9, seed=3)
    values, keys = prepared(values)
    broad, fragments = Method(clusters=2), Method(clusters=7)
    told = measure(values, fit(values, broad, features=keys), broad, recommended=4).advice
    assert any("hold several kinds" in one for one in told), told
    told = measure(values, fit(values, fragments, features=keys), fragments, recommended=4).advice
    assert any("run into each other" in one for one in told) and any("parts of one kind" in one for one in told), told


# ---- Plain numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_what_is_kept_as_json_assigns_as_the_fit_did(algorithm: Algorithm) -> None:
    values, _ = kinds(900, 4, 3, apart=6, seed=5)
    values, keys = prepared(values)
    made = fit(values, Method(algorithm=algorithm, clusters=3), features=keys)
    back = Fitted.from_json(json.loads(json.dumps(made.fitted.as_json())))
    assert back == made.fitted and back.features == keys
    alike = (back.assign(values) == made.labels).mean()
    # A tree's own people stay where it put them, and noise of HDBSCAN may lie as near as whoever comes later.
    assert alike == 1 if algorithm in (*CENTROIDS, Algorithm.DBSCAN) else alike > 0.97
    assert (back.assign(np.array(back.points)) == np.array(back.clusters)).all()
    sizes = np.bincount(made.labels[made.labels != NOISE])
    assert list(sizes) == sorted(sizes, reverse=True), "numbered by size"


def test_core_points_leave_out_whoever_is_beyond_their_reach() -> None:
    values, _ = kinds(300, 2, 2, apart=20, seed=5)
    made = fit(values, Method(algorithm=Algorithm.DBSCAN, eps=1.0, min_samples=5), features=("x", "y"))
    point = np.array(max(made.fitted.points))  # nobody lies to its right
    at = [point + np.array([away, 0.0]) for away in (0, 0.99, 1.01, 1e6)]
    assert made.fitted.reach == (1.0, 1.0) and made.fitted.eps == 1.0
    own = made.fitted.clusters[made.fitted.points.index(tuple(point))]
    assert made.fitted.assign(np.array(at)).tolist() == [own, own, NOISE, NOISE]


def test_a_sample_is_looked_at_where_all_would_be_compared_with_all() -> None:
    values, planted = kinds(7_000, 3, 3, apart=9, seed=5)
    made = fit(values, Method(algorithm=Algorithm.HIERARCHICAL, clusters=3), features=("a", "b", "c"))
    assert made.fitted.looked_at == 5_000 and made.looked_at is not None and len(made.labels) == 7_000
    assert "5,000 of 7,000 people, drawn at random" in made.fitted.rule and "centre is nearest" in made.fitted.rule
    assert adjusted_rand_score(planted, made.labels) > 0.95


def test_what_cannot_be_clustered_says_why() -> None:
    values = np.repeat(np.arange(4.0), 5)[:, None]

    def why(given: Floats, method: Method) -> str:
        with pytest.raises(CannotAnalyse) as refused:
            fit(given, method, features=("x",))
        return str(refused.value)

    assert "it takes at least 10" in why(values[:9], Method(clusters=2))
    assert "25 clusters can't be made of 20 people" in why(values, Method(clusters=25))
    assert "only 4 different kinds of people, and 5 clusters" in why(values, Method(clusters=5))
    scattered = np.random.default_rng(1).uniform(size=(50, 2))
    assert "nowhere do 8 people lie within 0.0001" in why(
        scattered, Method(algorithm=Algorithm.DBSCAN, eps=1e-4, min_samples=8)
    )
    choice = choose(values, Method(), fewest=2, most=9)
    assert [one.clusters for one in choice.tried] == [2, 3, 4], "no more than there are kinds of people"


# ---- Trees -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linkage", list(Linkage))
def test_a_tree_is_cut_as_scikit_learn_cuts_it_and_drawn_without_crossings(linkage: Linkage) -> None:
    from sklearn.cluster import AgglomerativeClustering

    values, _ = kinds(200, 3, 4, apart=4, seed=8)
    merges = merges_of(values, linkage)
    for count in (2, 5, 200):
        theirs = AgglomerativeClustering(n_clusters=count, linkage=linkage.value).fit_predict(values)
        assert adjusted_rand_score(theirs, cut_into(merges, count)) == pytest.approx(1)
    tree = drawn(merges, cut_into(merges, 5), 5)
    assert len(tree.leaves) == 30 and len(tree.joins) == 29 and tree.joins[-1].people == 200
    assert sum(one.people for one in tree.leaves) == 200
    assert [one.height for one in tree.joins] == sorted(one.height for one in tree.joins)
    assert sum(one.height > tree.cut for one in tree.joins) == 4, "the cut leaves five branches"
    spans = [(place, place) for place in range(30)]
    for join in tree.joins:
        (first, middle), (next_one, last) = sorted((spans[join.left], spans[join.right]))
        assert middle + 1 == next_one, "the two branches stand side by side"
        spans.append((first, last))


# ---- From run to run -------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), count=st.integers(2, 6))
def test_identities_outlive_any_other_numbering_of_the_same_clusters(seed: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    ids = np.arange(200, dtype=np.int64) * 3
    before = chance.integers(0, count, 200)
    order = chance.permutation(count)
    matched = match(
        ids,
        order[before],
        before_ids=ids,
        before=before + 1,
        next_number=count + 1,
        hold_share=0.1,
        clusters_before=count,
    )
    assert matched.moved == 0 and not matched.drifted and not matched.new and not matched.vanished
    assert dict(matched.numbers) == {int(order[one]): one + 1 for one in range(count)}


def test_a_run_whose_clusters_are_others_is_drift() -> None:
    ids = np.arange(100, dtype=np.int64)
    before = np.repeat([1, 2], 50)
    now = np.repeat([0, 1, 2], [45, 45, 10])
    now[80:90] = NOISE

    def matched(labels: Any, **more: Any) -> Any:
        given = {"before_ids": ids, "before": before, "next_number": 7, "hold_share": 0.2, "clusters_before": 2}
        return match(ids, np.asarray(labels, dtype=np.int64), **(given | more))

    found = matched(now)
    assert dict(found.numbers) == {0: 1, 1: 2, 2: 7} and found.new == (7,) and not found.vanished
    assert (found.compared, found.moved, found.drifted) == (
        100,
        25,
        True,
    ) and "3 clusters where there were 2" in found.verdict
    two = np.repeat([0, 1], [35, 65])
    assert matched(two, hold_share=0.1).drifted and not matched(two, hold_share=0.2).drifted
    first = matched(two, before_ids=ids[:0], before=before[:0], clusters_before=None, next_number=1)
    assert dict(first.numbers) == {0: 1, 1: 2} and not first.drifted and first.share is None
    strangers = matched(two, before_ids=ids + 500)
    assert strangers.drifted and dict(strangers.numbers) == {0: 7, 1: 8} and strangers.vanished == (1, 2)


def test_valleys_are_figures_and_nothing_of_a_result_is_nan() -> None:
    values, keys = prepared(datasets.load_iris().data)
    method = Method(clusters=3)
    quality = measure(values, fit(values, method, features=keys), method)
    assert quality.structure == Structure.OVERLAPPING, "two of the three kinds of iris run into each other"
    assert "NaN" not in json.dumps(quality.as_json())
    assert all(one.valley is not None and math.isfinite(one.valley) for one in quality.clusters)

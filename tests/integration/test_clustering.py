"""Clusterings from people to scores: they keep identity and names from run to run, wait where they drift, begin anew when killed,
and say in a sentence why they can't be made."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import Group
from threadpoolctl import threadpool_limits

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainError, DomainErrors
from cdp.jobs.models import Job
from cdp.jobs.services import JobCancelled
from cdp.pipeline import drain_dirty
from cdp.profiles.models import Score, ScoreRun
from consent.models import StopKind
from consent.stops import stop
from segments.analytics.clustering import Fitted
from segments.analytics.methods import NOISE, Algorithm
from segments.analytics.outcomes import Structure
from segments.analytics.preparing import Missing, OutlierAction, OutlierTest
from segments.clustering import running
from segments.clustering.models import NOT_IN_ANY, Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.services import (
    change_clustering,
    create_clustering,
    decline_run,
    delete_clustering,
    publish_run,
    rename_cluster,
    request_due_runs,
    request_run,
    segment_rule_for,
)
from segments.clustering.settings import ClusteringSettings, FeatureChoice
from segments.live import forget
from segments.models import Segment
from segments.services import archive, create_segment, publish
from tests.factories import BY, identify, members, person, process_all, refresh_now, track, tracker

pytestmark = pytest.mark.django_db

CENTRES = {"a": (1.0, 1.0), "b": (9.0, 1.0), "c": (5.0, 9.0)}
EACH = 30
SETTINGS = ClusteringSettings(features=(FeatureChoice(key="trait:x"), FeatureChoice(key="trait:y")), most=5)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    forget()
    with threadpool_limits(limits=1):
        yield


@pytest.fixture
def people(db: None) -> Any:
    """Three kinds of people, thirty of each, of whom one of "b" bought something."""
    chance = np.random.default_rng(5)
    shop = tracker()
    shop.send(
        *(
            identify(f"{kind}{number}", traits={"x": round(x + dx, 3), "y": round(y + dy, 3), "same": 1})
            for kind, (x, y) in CENTRES.items()
            for number, (dx, dy) in enumerate(chance.normal(scale=0.6, size=(EACH, 2)).tolist())
        )
    )
    shop.send(track("Order Completed", "b0", properties={"order_id": "1", "revenue": 70, "currency": "USD"}))
    process_all()
    return shop


def clustering(settings: ClusteringSettings = SETTINGS, **more: Any) -> Clustering:
    return create_clustering(name="Kinds", settings=settings, by=BY, **more)


def ran(made: Clustering, progress: Callable[[int, int, str], None] = lambda done, total, phase: None) -> ClusterRun:
    run = request_run(clustering=made, by=BY)
    done = running.run_clustering(run=ClusterRun.objects.get(pk=run.pk), progress=progress)
    Job.objects.filter(pk=run.job_id).update(state="succeeded")
    return ClusterRun.objects.get(pk=done.pk)


def numbers(made: Clustering) -> dict[str, int]:
    """By user the cluster that is read."""
    current = Score.objects.filter(run__kind=made.kind, run__is_current=True, key="cluster")
    by_id = dict(current.values_list("profile_id", "number"))
    names = [f"{kind}{number}" for kind in CENTRES for number in range(EACH)]
    return {name: int(by_id[person(name).pk]) for name in names if person(name).pk in by_id}


def of_kind(made: Clustering, kind: str) -> int:
    (number,) = {number for name, number in numbers(made).items() if name.startswith(kind)}
    return number


def move(shop: Any, names: list[str], to: str) -> None:
    x, y = CENTRES[to]
    shop.send(*(identify(name, traits={"x": x + 0.01 * n, "y": y}) for n, name in enumerate(names)))
    process_all()


def test_a_run_finds_the_kinds_of_people_and_says_all_about_them(people: Any) -> None:
    made, seen = clustering(), []
    run = ran(made, lambda done, total, phase: seen.append((done, total, phase)))
    assert run.outcome == Outcome.LIVE and (run.people, run.clustered, run.noise) == (90, 90, 0)
    assert {kind: of_kind(made, kind) for kind in CENTRES}.keys() == set(CENTRES)
    assert sorted({of_kind(made, kind) for kind in CENTRES}) == [1, 2, 3]
    assert [one.size for one in run.clusters.all()] == [EACH] * 3
    choice, quality, prepared = run.as_choice, run.as_quality, run.as_prepared
    assert choice and choice.used == choice.recommended == 3 and "3 clusters" in choice.reason
    assert quality and quality.structure == Structure.CLEAR and len(quality.clusters) == 3
    assert prepared and prepared.keys == ("trait:x", "trait:y")
    assert run.as_picture and len(run.as_picture.points) == 90
    fitted = Fitted.from_json(run.fitted)
    assert fitted.features == prepared.keys and fitted.versions.keys() == {"numpy", "scikit-learn"}
    buyers = run.clusters.get(number=of_kind(made, "b"))
    assert buyers.revenue == run.revenue == 70
    assert buyers.as_meaning and buyers.as_meaning.apart[0] == "trait:x" and buyers.label
    done = [one[0] for one in seen]
    assert done == sorted(done) and len({phase for *_, phase in seen}) >= 7 and {one[1] for one in seen} == {100}
    assert AuditEntry.objects.filter(action="clustering.run_finished").get().purpose == "internal_analysis"


def test_rules_read_a_cluster_by_its_number_which_outlives_its_name_and_the_next_run(people: Any) -> None:
    made = clustering()
    run = ran(made)
    number = of_kind(made, "b")
    segment = create_segment(name="B", key="b", rule=segment_rule_for(made, number), by=BY)
    publish(segment=segment, version=segment.versions.get(), by=BY)
    refresh_now(segment)
    of_b = {f"b{one}" for one in range(EACH)}
    assert members(segment) == of_b
    rename_cluster(cluster=run.clusters.get(number=number), label="Beloved", by=BY)
    assert set(Score.objects.filter(run__is_current=True, label="Beloved").values_list("profile_id", flat=True)) == {
        person(name).pk for name in of_b
    }
    move(people, ["b1"], to="a")
    again = ran(made)
    assert again.outcome == Outcome.LIVE and again.as_matched and again.as_matched.moved == 1
    assert numbers(made)["b1"] == of_kind(made, "a") != number
    kept = again.clusters.get(number=number)
    assert (kept.label, kept.is_label_own) == ("Beloved", True)
    while drain_dirty():
        pass
    assert members(segment) == of_b - {"b1"}
    run.refresh_from_db()
    assert run.outcome == Outcome.PAST
    with pytest.raises(Conflict, match="used by “B”"):
        delete_clustering(clustering=made, by=BY)
    archive(segment=Segment.objects.get(pk=segment.pk), by=BY)
    delete_clustering(clustering=made, by=BY)
    assert not ScoreRun.objects.exists() and not ClusterRun.objects.exists()


def test_a_run_that_drifts_waits_until_somebody_accepts_or_declines_it(people: Any) -> None:
    made = clustering()
    first = ran(made)
    before = numbers(made)
    change_clustering(clustering=made, settings=replace(SETTINGS, clusters=4), by=BY)
    held = ran(made)
    assert (
        held.outcome == Outcome.HELD
        and held.as_matched
        and "There are 4 clusters where there were 3" in held.as_matched.verdict
    )
    assert numbers(made) == before, "what was live is read until somebody decides"
    with pytest.raises(Conflict):
        publish_run(run=first, by=BY)
    decline_run(run=held, by=BY)
    assert not ScoreRun.objects.filter(is_current=False).exists()
    held, newer = ran(made), ran(made)
    held.refresh_from_db()
    assert (held.outcome, newer.outcome) == (Outcome.OVERTAKEN, Outcome.HELD)
    stop(profile=person("a3"), kind=StopKind.PROFILING, by=BY)
    publish_run(run=newer, by=BY)
    made.refresh_from_db()
    assert made.live_run == newer and len(set(numbers(made).values())) == 4
    assert "a3" not in numbers(made), "who objected since it was made is in no cluster"
    publish_run(run=first, by=BY)
    assert {name: number for name, number in before.items() if name != "a3"} == numbers(made), "there is a way back"


def test_killed_at_any_phase_a_run_begins_anew_and_is_there_once(people: Any) -> None:
    made = clustering()
    first = ran(made)
    before = numbers(made)
    phases: list[str] = []
    ran(made, lambda done, total, phase: phases.append(phase))
    run = request_run(clustering=made, by=BY)
    for phase in dict.fromkeys(phases):

        def killed(done: int, total: int, now: str, phase: str = phase) -> None:
            if now == phase:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            running.run_clustering(run=ClusterRun.objects.get(pk=run.pk), progress=killed)
        assert numbers(made) == before and not run.clusters.exists()
    running.run_clustering(run=run, progress=lambda *told: None)
    assert numbers(made) == before and run.outcome == Outcome.LIVE
    running.run_clustering(run=ClusterRun.objects.get(pk=run.pk), progress=killed)  # told of twice, it does nothing
    assert ScoreRun.objects.filter(kind=made.kind).count() == 3, "the two before it, and none of those that were killed"
    assert run.clusters.count() == 3 and first.clusters.count() == 3


def test_cancelled_half_way_nothing_of_a_run_is_left(people: Any) -> None:
    made = clustering()

    def cancelled(done: int, total: int, phase: str) -> None:
        if phase == "putting it live":
            raise JobCancelled

    run = request_run(clustering=made, by=BY)
    with pytest.raises(JobCancelled):
        running.run_clustering(run=ClusterRun.objects.get(pk=run.pk), progress=cancelled)
    assert not Score.objects.exists() and not ScoreRun.objects.exists()
    Job.objects.filter(pk=run.job_id).update(state="cancelled")
    assert ClusterRun.objects.get(pk=run.pk).state == "cancelled"


def test_what_cannot_be_clustered_is_told_in_a_sentence(people: Any) -> None:
    def why(**changed: Any) -> str:
        change_clustering(clustering=made, settings=replace(SETTINGS, **changed), by=BY)
        run = request_run(clustering=made, by=BY)
        with pytest.raises(DomainError):
            running.run_clustering(run=ClusterRun.objects.get(pk=run.pk), progress=lambda *told: None)
        Job.objects.filter(pk=run.job_id).update(state="failed")
        run = ClusterRun.objects.get(pk=run.pk)
        assert run.outcome == Outcome.FAILED and run.score_run_id is None
        return run.problem

    made = clustering()
    live = ran(made)
    same = (FeatureChoice(key="trait:same"),)
    assert "None of the chosen features tells people apart: Same" in why(features=same)
    gaps = (FeatureChoice(key="order_gap_days"),)
    assert "None of the chosen features tells people apart" in why(features=gaps)
    assert "Nobody is in any cluster" in why(algorithm=Algorithm.DBSCAN, eps=1e-6)
    lacking = (FeatureChoice(key="trait:x"), FeatureChoice(key="net_revenue"), FeatureChoice(key="trait:y"))
    assert "only" in why(features=lacking[1:2], clusters=5)
    everybody = {"outliers": OutlierTest.ZSCORE, "outlier_limit": 1e-9, "outlier_action": OutlierAction.SET_ASIDE}
    assert "Everybody has an outlier" in why(**everybody)
    made.refresh_from_db()
    assert made.live_run == live, "what was live stays"


def test_features_without_figures_are_left_out_and_outliers_are_in_no_cluster(people: Any) -> None:
    people.send(identify("a0", traits={"x": 500, "y": 1}), identify("new", traits={"x": 1}))
    process_all()
    features = (*SETTINGS.features, FeatureChoice(key="trait:same"))
    settings = replace(
        SETTINGS, features=features, missing=Missing.EXCLUDE, outliers=OutlierTest.ZSCORE,
        outlier_action=OutlierAction.SET_ASIDE, clusters=3,
    )  # fmt: skip
    made = clustering(settings)
    run = ran(made)
    assert (run.people, run.clustered, run.noise, run.left_out) == (91, 89, 1, 1)
    assert run.as_prepared and any(
        "Same" in note and "the same for everybody" in note for note in run.as_prepared.notes
    )
    assert numbers(made)["a0"] == NOISE
    nobodys = run.clusters.get(number=NOISE)
    assert (nobodys.label, nobodys.size) == (NOT_IN_ANY, 1)
    with pytest.raises(Conflict):
        rename_cluster(cluster=nobodys, label="Odd", by=BY)
    assert not Score.objects.filter(profile_id=person("new").pk).exists(), "who lacks a feature isn't judged"


def test_a_hierarchical_run_has_its_tree_and_density_finds_its_own_number(people: Any) -> None:
    made = clustering(replace(SETTINGS, algorithm=Algorithm.HIERARCHICAL))
    run = ran(made)
    assert run.as_tree and sum(leaf.people for leaf in run.as_tree.leaves) == 90 and run.clusters.count() == 3
    change_clustering(clustering=made, settings=replace(SETTINGS, algorithm=Algorithm.HDBSCAN, hold_share=0.5), by=BY)
    run = ran(made)
    assert run.outcome == Outcome.LIVE and run.choice is None and run.tree is None
    assert {of.number for of in run.clusters.all()} - {NOISE} == {1, 2, 3}, "identities outlive even another method"


def test_settings_are_refused_all_at_once_with_their_places(db: None) -> None:
    wrong = ClusteringSettings(
        features=(FeatureChoice(key="net_revenue"), FeatureChoice(key="net_revenue")), fewest=1, most=1, window_days=0,
        hold_share=2, outlier_action=OutlierAction.CLIP,
    )  # fmt: skip
    with pytest.raises(DomainErrors) as refused:
        clustering(wrong)
    assert [one.pointer.removeprefix("/settings") for one in refused.value.errors] == [
        "/features/1/key", "/outliers", "/fewest", "/most", "/most", "/window_days", "/hold_share",
    ]  # fmt: skip
    with pytest.raises(DomainErrors) as refused:
        clustering(ClusteringSettings(features=(FeatureChoice(key="trait:nowhere"),)))
    assert refused.value.errors[0].pointer == "/settings/features/0"


def test_by_night_each_clustering_that_asks_for_it_runs_once(people: Any) -> None:
    made = clustering(is_nightly=True)
    create_clustering(name="By day", settings=SETTINGS, by=BY)
    (asked,) = request_due_runs()
    assert asked.clustering == made and not request_due_runs()
    assert request_run(clustering=made, by=BY) == asked, "asked for again while it waits, it is the same run"


def test_by_night_a_clustering_whose_feature_is_gone_says_so_once_and_the_others_run(people: Any) -> None:
    broken = clustering(is_nightly=True)
    settings = replace(SETTINGS, features=(FeatureChoice(key="trait:gone"),))
    Clustering.objects.filter(pk=broken.pk).update(settings=settings.as_json())
    well = create_clustering(name="Well", settings=SETTINGS, by=BY, is_nightly=True)
    assert [run.clustering for run in request_due_runs()] == [well] and not request_due_runs()
    (told,) = ClusterRun.objects.filter(clustering=broken)
    assert told.outcome == Outcome.FAILED and "trait" in told.problem and "gone" in told.problem


def test_groups_may_what_they_should(db: None) -> None:
    def may(group: str) -> set[str]:
        found = Group.objects.get(name=group).permissions.filter(content_type__model="clustering")
        return set(found.values_list("codename", flat=True))

    everything = {f"{verb}_clustering" for verb in ("view", "add", "change", "delete", "run")}
    assert may("marketer") == may("admin") == everything
    assert may("compliance") == {"view_clustering"} and not may("integrator")


def test_names_are_one_cluster_s_own(people: Any) -> None:
    made = clustering()
    run = ran(made)
    one, other = run.clusters.all()[:2]
    rename_cluster(cluster=one, label="Best", by=BY)
    with pytest.raises(DomainError, match="already"):
        rename_cluster(cluster=other, label="Best", by=BY)
    back = rename_cluster(cluster=one, label="", by=BY)
    assert (back.label, back.is_label_own) == (back.suggested_label, False)
    assert Cluster.objects.filter(label="Best").count() == 0

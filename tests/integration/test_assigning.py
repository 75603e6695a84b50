"""Whoever is new or did something is put into the clusters that are live, without running them again."""

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from cdp.errors import Conflict
from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Profile, Score, Trait
from cdp.profiles.score_services import scores_of
from consent.models import Decision, StopKind
from consent.stops import stop
from segments.analytics import clustering as maths
from segments.analytics.methods import NOISE, Algorithm, Method
from segments.analytics.preparing import Missing, OutlierAction, OutlierTest
from segments.clustering.assigning import Assigned, arrived, assign, assign_arrived
from segments.clustering.models import NOT_IN_ANY, Cluster, Clustering, ClusterRun
from tests.factories import BY, live, members, person, process_all, track, tracker
from tests.integration.callers import decide
from tests.integration.live_clusters import arrive, cluster, live_clustering, shop

pytestmark = pytest.mark.django_db


def test_somebody_new_joins_the_nearest_cluster_and_the_segments_that_ask_for_it() -> None:
    shop()
    live_clustering()
    assert cluster("u0") != cluster("u1") and {cluster("u0"), cluster("u1")} == {10, 11}
    lookers = live("lookers", {"score": "clusters-main.cluster", "op": "equals", "value": cluster("u1")})
    before = members(lookers)
    arrive("new", looks=10, points=2)
    assert cluster("new") is None
    done = assign_arrived()
    assert done == Assigned(people=1, changed=1)
    process_all()
    assert cluster("new") == cluster("u1") and members(lookers) == before | {"new"}
    label = Cluster.objects.get(run__clustering__key="main", number=cluster("u1")).label
    assert scores_of(person("new"))["clusters-main.cluster"]["label"] == label
    # What was done is not done again, but for what came a moment ago, and that changes nothing.
    assert assign_arrived().changed == 0


def test_everybody_is_assigned_as_the_run_itself_did() -> None:
    shop()
    made = live_clustering()
    before = list(Score.objects.order_by("profile_id").values_list("profile_id", "number", "label"))
    done = assign(list(Profile.objects.values_list("pk", flat=True)), clustering=made)
    assert done == Assigned(people=24, changed=0)
    assert list(Score.objects.order_by("profile_id").values_list("profile_id", "number", "label")) == before


def test_somebody_who_changed_moves_and_who_objects_stays_out() -> None:
    shop()
    made = live_clustering()
    arrive("u0", looks=14, points=0)
    arrive("u2", looks=14, points=0)
    arrive("u4", looks=14, points=0)
    stop(profile=person("u2"), kind=StopKind.PROFILING, by=BY)
    decide("u4", "internal_analysis", Decision.DENIED)
    assert cluster("u2") is None
    assert assign_arrived().people == 3
    assert cluster("u0") == cluster("u1") and cluster("u2") is None and cluster("u4") is None
    # A run that had looked at them before says it again: it is taken back.
    Score.objects.create(run_id=made.live_run.score_run_id, profile_id=person("u2").pk, key="cluster", number=10)
    assign_arrived()
    assert cluster("u2") is None


def test_noise_outliers_and_gaps_are_as_in_the_run() -> None:
    shop()
    live_clustering(
        Method(algorithm=Algorithm.DBSCAN, eps=0.8, min_samples=3, seed=1),
        algorithm=Algorithm.DBSCAN,
        missing=Missing.EXCLUDE,
        outliers=OutlierTest.ZSCORE,
        outlier_limit=3.0,
        outlier_action=OutlierAction.SET_ASIDE,
    )
    arrive("near", looks=10, points=2)
    arrive("between", looks=5, points=45)
    arrive("far", looks=1, points=9000)
    tracker().send(track("Product Viewed", "gap"))
    process_all()
    assert assign_arrived().people == 4
    assert cluster("near") == cluster("u1")
    assert cluster("between") == NOISE and cluster("far") == NOISE
    assert scores_of(person("far"))["clusters-main.cluster"]["label"] == NOT_IN_ANY
    assert cluster("gap") is None, "who lacks a figure is left out where the run left such people out"


def test_what_was_killed_is_done_again_and_a_run_that_is_gone_is_left_alone() -> None:
    shop()
    made = live_clustering()
    arrive("new", looks=10, points=2)
    since, until = made.live_run.requested_at, timezone.now()
    assert person("new").pk in arrived(since=since, until=until)
    assign([person("new").pk], clustering=made)  # ... and killed before it was noted
    assert ClusterRun.objects.get().assigned_until is None
    assert assign_arrived() == Assigned(people=1, changed=0)
    assert ClusterRun.objects.get().assigned_until >= until
    Trait.objects.filter(key="points").update(is_pii=True)
    arrive("later", looks=1, points=90)
    noted = ClusterRun.objects.get().assigned_until
    assert assign_arrived() == Assigned(), "a feature is gone: nothing is guessed"
    assert ClusterRun.objects.get().assigned_until == noted, "and they are found again once it is back"
    Clustering.objects.update(live_run=None)
    with pytest.raises(Conflict):
        assign([person("new").pk], clustering=made)
    assert assign_arrived() == Assigned()


def test_one_who_was_merged_away_or_erased_is_passed_over() -> None:
    shop()
    made = live_clustering()
    arrive("new", looks=10, points=2)
    gone = person("new").pk
    merge_profiles(survivor=person("u0"), absorbed=person("new"), reason="same", by=BY)
    process_all()
    assert assign([gone, person("u0").pk, 2**40], clustering=made).people == 3
    assert not Score.objects.filter(profile_id__in=[gone, 2**40]).exists()


def test_who_came_is_found_by_a_stretch_of_the_primary_key() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT DISTINCT profile_id FROM profiles_event WHERE occurred_at >= now() - interval '2 days'"
            " AND received_at >= now() - interval '3 minutes' AND received_at < now()"
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "occurred_at >=" in plan and "_pkey" in plan


def test_an_assigner_is_indifferent_to_how_many_come_at_once() -> None:
    chance = np.random.default_rng(1)
    values = chance.normal(size=(300, 3))
    fitted = maths.fit(values, Method(clusters=4, seed=1), features=("a", "b", "c")).fitted
    assigner = maths.Assigner(fitted)
    one_by_one = [int(assigner.assign(values[place : place + 1])[0]) for place in range(300)]
    assert one_by_one == assigner.assign(values).tolist()

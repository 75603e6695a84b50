"""The screens of clusterings: setting one up, what it found, and what is made of it."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from segments.analytics.methods import Algorithm
from segments.clustering.models import Cluster, Clustering, ClusterRun
from tests.integration.clusterings import made_clustering

pytestmark = pytest.mark.django_db


@pytest.fixture
def marketer(client: Client) -> Client:
    user = User.objects.create_user("mara", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name="marketer"))
    client.force_login(user)
    return client


def given(**more: Any) -> dict[str, Any]:
    return {
        "name": "Habits",
        "window_days": "365",
        "purpose": "internal_analysis",
        "feature": ["orders_per_month", "sessions"],
        "transform:orders_per_month": "log1p",
        "transform:sessions": "none",
        "algorithm": "kmeans",
        "choose_k": "auto",
        "fewest": "2",
        "most": "6",
        "missing": "median",
        "scaling": "standard",
        "outliers": "none",
        "outlier_limit": "3",
        "outlier_action": "keep",
        "seed": "7",
        "hold_percent": "25",
        **more,
    }


def new(client: Client, **more: Any) -> Any:
    return client.post(reverse("admin:segments_clustering_new"), given(**more))


def test_without_any_the_list_says_how_to_make_one(marketer: Client) -> None:
    page = marketer.get(reverse("admin:segments_clustering_changelist")).content.decode()
    assert "No clusters yet" in page and reverse("admin:segments_clustering_new") in page


def test_a_new_one_offers_features_with_some_chosen(marketer: Client) -> None:
    page = marketer.get(reverse("admin:segments_clustering_new")).content.decode()
    assert "Average order value" in page
    assert page.count('name="feature"') > 20 and page.count(" checked") == 4


def test_what_was_set_is_what_is_kept(marketer: Client) -> None:
    assert new(marketer).status_code == 302
    made = Clustering.objects.get()
    settings = made.as_settings
    assert made.name == "Habits" and not made.is_nightly
    assert [(one.key, one.transform) for one in settings.features] == [
        ("orders_per_month", "log1p"),
        ("sessions", "none"),
    ]
    assert settings.clusters is None and (settings.fewest, settings.most) == (2, 6)
    assert (settings.algorithm, settings.seed, settings.hold_share) == (Algorithm.KMEANS, 7, 0.25)
    assert not ClusterRun.objects.exists()


def test_saving_and_running_leads_to_the_run(marketer: Client) -> None:
    response = new(marketer, run="yes")
    made = Clustering.objects.get()
    assert response["Location"] == reverse("admin:segments_clustering_detail", args=[made.uuid])
    page = marketer.get(response["Location"]).content.decode()
    assert "Run 1 is under way" in page and "Waiting for its turn" in page and "Cancel" in page
    standing = marketer.get(reverse("admin:segments_clustering_standing", args=[made.uuid]))
    assert "HX-Refresh" not in standing.headers


def test_a_cancelled_run_says_so_and_the_bar_gives_way(marketer: Client) -> None:
    new(marketer, run="yes")
    made = Clustering.objects.get()
    job = made.runs.get().job
    assert job is not None
    address = reverse("admin:segments_clustering_detail", args=[made.uuid])
    response = marketer.post(reverse("admin:jobs_job_cancel", args=[job.uuid]), {"next": address})
    assert response["Location"] == address
    assert "was cancelled" in marketer.get(address).content.decode()
    assert marketer.get(reverse("admin:segments_clustering_standing", args=[made.uuid]))["HX-Refresh"] == "true"


@pytest.mark.parametrize(
    ("field", "wrong", "said"),
    [
        ("name", "", "needs a name"),
        ("window_days", "soon", "Type a whole number"),
        ("feature", [], "Choose at least one feature"),
        ("feature", ["orders_per_month", "shoe_size"], "There is no feature"),
        ("most", "2", "more than the fewest"),
        ("outlier_limit", "nan", "Type a number"),
        ("hold_percent", "400", "between 0 and 1"),
        ("purpose", "nothing", "purpose must be one of"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_made(
    marketer: Client, field: str, wrong: Any, said: str
) -> None:
    more = {"outliers": "zscore"} if field == "outlier_limit" else {}
    response = new(marketer, **{field: wrong}, **more)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert not Clustering.objects.exists()


def test_a_number_of_clusters_may_be_given(marketer: Client) -> None:
    assert new(marketer, choose_k="given", clusters="").status_code == 422
    assert new(marketer, choose_k="given", clusters="3").status_code == 302
    assert Clustering.objects.get().as_settings.clusters == 3


def test_how_features_lie_is_told_for_each_that_is_offered(marketer: Client) -> None:
    page = marketer.get(reverse("admin:segments_clustering_statistics"), {"window_days": "365"}).content.decode()
    assert 'hx-swap-oob="true"' in page and "0 people" in page


def test_how_the_chosen_go_together_is_a_table(marketer: Client) -> None:
    address = reverse("admin:segments_clustering_together")
    assert "Choose two features" in marketer.get(address, {"feature": ["sessions"]}).content.decode()
    page = marketer.get(address, {"feature": ["sessions", "orders_per_month"]}).content.decode()
    assert "Correlations of the chosen features" in page and page.count("<th scope") == 5


def test_jobs_of_runs_are_named_for_who_may_see_clusterings(marketer: Client) -> None:
    new(marketer, run="yes")
    assert "Habits" in marketer.get(reverse("admin:jobs_job_changelist")).content.decode()
    integrator = User.objects.create_user("ivo", password="x", is_staff=True)
    integrator.groups.add(Group.objects.get(name="integrator"))
    marketer.force_login(integrator)
    page = marketer.get(reverse("admin:jobs_job_changelist")).content.decode()
    assert "Cluster" in page and "Habits" not in page


# ---- What a run found ------------------------------------------------------------------------------------------------


def test_a_run_is_told_by_verdict_cards_heat_map_and_pictures(marketer: Client) -> None:
    made = made_clustering()
    page = marketer.get(reverse("admin:segments_clustering_detail", args=[made.uuid]), {"run": "1"}).content.decode()
    for said in ("There are two clear groups.", "Frequent small baskets", "Not in any cluster", "hm-n3", "hm-p3"):
        assert said in page
    for picture in ("plane", "radar", "elbow", "silhouette-curve", "tree", "knives"):
        assert f'id="{picture}-options"' in page, picture
    assert page.count("Make a segment") >= 2
    assert f"?source=cluster:{made.uuid}:2" in page
    assert "waits for your decision" in page


def test_a_run_that_waits_is_shown_first_and_offers_no_segment(marketer: Client) -> None:
    made = made_clustering()
    page = marketer.get(reverse("admin:segments_clustering_detail", args=[made.uuid])).content.decode()
    assert "This run waits for you" in page and "45% of people changed cluster" in page
    assert "Take this run" in page and "Make a segment" not in page


def test_two_runs_stand_side_by_side(marketer: Client) -> None:
    made = made_clustering()
    page = marketer.get(reverse("admin:segments_clustering_compare", args=[made.uuid])).content.decode()
    assert "Calinski-Harabasz" in page and "Purchase frequency" in page
    assert "it is forgotten" in page  # who was where is kept with scores, and these runs have none
    assert marketer.get(reverse("admin:segments_clustering_compare", args=[made.uuid]), {"a": "99"}).status_code == 404


def test_a_cluster_is_named_by_a_person(marketer: Client) -> None:
    made = made_clustering()
    address = reverse("admin:segments_clustering_rename", args=[made.uuid, 1, 2])
    marketer.post(address, {"label": "Gift buyers"})
    assert {one.label for one in Cluster.objects.filter(number=2)} == {"Gift buyers"}
    assert (
        "called “Gift buyers” already"
        in marketer.post(
            reverse("admin:segments_clustering_rename", args=[made.uuid, 1, 1]), {"label": "Gift buyers"}, follow=True
        ).content.decode()
    )


def test_who_may_only_look_is_offered_nothing_to_do(client: Client) -> None:
    made = made_clustering()
    user = User.objects.create_user("cora", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name="compliance"))
    client.force_login(user)
    page = client.get(reverse("admin:segments_clustering_detail", args=[made.uuid])).content.decode()
    assert "This run waits for you" in page
    for act in ("Take this run", "Make a segment", "Name it", "Delete for good", "Run again"):
        assert act not in page


def test_the_list_says_of_each_how_clear_it_is_and_what_waits(marketer: Client) -> None:
    made = made_clustering()
    page = marketer.get(reverse("admin:segments_clustering_changelist")).content.decode()
    assert "waits for you" in page and "clear" in page and "3 features" in page
    made.runs.filter(number=2).delete()
    page = marketer.get(reverse("admin:segments_clustering_changelist")).content.decode()
    assert "waits for you" not in page and "just now" in page

"""RFM, clusterings and personas over REST: what they found is read, runs are asked for and decided on, settings are checked."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cdp.jobs.models import Job
from segments.clustering.models import Clustering, Outcome
from segments.models import Segment
from segments.personas.models import Persona
from segments.personas.services import create_persona
from segments.personas.sources import group_of_segment
from segments.rfm.models import RfmRun, RfmSettings
from tests.factories import BY, live, performed, process_all, track, tracker
from tests.integration.callers import Caller, found, key, logged_in, problem
from tests.integration.clusterings import LABELS, made_clustering
from tests.integration.rfm_runs import complete_run

pytestmark = pytest.mark.django_db


# ---- RFM -------------------------------------------------------------------------------------------------------------


def test_the_newest_complete_run_is_read_with_all_it_found() -> None:
    caller = key("analyses:read")
    assert problem(caller.get("rfm/"), 404)["code"] == "rfm_never_ran"
    first = complete_run({(5, 5): 8, (1, 1): 12})
    newest = complete_run({(5, 5): 10, (1, 1): 12}, previous=first, flows=[("Lost", "Champions", 2)], notes=["Said."])
    said = found(caller.get("rfm/"))
    assert (said["uuid"], said["state"], said["people"]) == (str(newest.uuid), "published", 22)
    assert len(said["cells"]) == 25 and sum(one["people"] for one in said["cells"]) == 22
    assert {one["name"]: one["people"] for one in said["groups"]}["Champions"] == 10
    assert said["flows"] == [{"before": "Lost", "after": "Champions", "people": 2}] and said["notes"] == ["Said."]
    kept = RfmRun.objects.get(pk=newest.pk)
    assert (said["thresholds"], said["scheme"]) == (kept.thresholds, kept.scheme)
    listed = found(caller.get("rfm/runs/", limit=1))
    assert len(listed["results"]) == 1 and "cells" not in listed["results"][0]
    more = found(caller.get(listed["next"]))
    assert {listed["results"][0]["uuid"], more["results"][0]["uuid"]} == {str(first.uuid), str(newest.uuid)}
    assert found(caller.get(f"rfm/runs/{first.uuid}/"))["people"] == 20
    assert problem(caller.get("rfm/runs/7f8b2c9e-0000-4000-8000-000000000000/"), 404)["code"] == "rfm_run_not_found"


def test_a_run_is_asked_for_once_and_its_job_can_be_followed() -> None:
    caller = key("analyses:write", "analyses:read", "jobs:read")
    asked = caller.post("rfm/runs/")
    assert asked.status_code == 202
    run = RfmRun.objects.get()
    assert asked.json()["uuid"] == str(run.uuid) and asked.json()["state"] == "queued"
    assert found(caller.get(f"jobs/{asked.json()['job']}/"))["kind"] == "segments.rfm"
    other = key("analyses:write", "jobs:read")
    assert other.post("rfm/runs/").json()["uuid"] == str(run.uuid) and RfmRun.objects.count() == 1
    assert found(other.get(f"jobs/{asked.json()['job']}/"))["state"] == "queued"


def test_settings_are_changed_whole_or_refused_with_their_places() -> None:
    caller = key("analyses:read", "analyses:write")
    before = found(caller.get("rfm/settings/"))
    assert before["purpose"] == "internal_analysis" and before["is_nightly"] is True
    wrong = {**before["scheme"], "groups": before["scheme"]["groups"][:1]}
    refused = problem(caller.patch("rfm/settings/", {"scheme": wrong}), 400)
    assert all(one["pointer"].startswith("/scheme") for one in refused["errors"])
    assert problem(caller.patch("rfm/settings/", {"scheme": {"window_days": "x"}}), 400)["code"] == "scheme_malformed"
    assert problem(caller.patch("rfm/settings/", {"purpose": "nope"}), 400)["pointer"] == "/purpose"
    assert found(caller.get("rfm/settings/")) == before
    shorter = {**before["scheme"], "window_days": 180}
    said = found(caller.patch("rfm/settings/", {"scheme": shorter, "is_nightly": False}))
    assert said["scheme"]["window_days"] == 180 and said["is_nightly"] is False
    assert RfmSettings.current().as_scheme.window_days == 180


# ---- Clusterings -----------------------------------------------------------------------------------------------------


def test_a_clustering_is_read_with_its_runs_and_clusters() -> None:
    made_clustering("habits")
    caller = key("analyses:read")
    (listed,) = found(caller.get("clusterings/"))["results"]
    assert listed == found(caller.get("clusterings/habits/"))
    assert (listed["score"], listed["live_run"]) == ("clusters-habits.cluster", 1)
    runs = found(caller.get("clusterings/habits/runs/"))["results"]
    assert [(one["number"], one["state"]) for one in runs] == [(2, "held"), (1, "live")]
    run = found(caller.get("clusterings/habits/runs/1/"))
    assert [one["label"] for one in run["clusters"] if one["number"] > 0] == list(LABELS)
    assert run["quality"]["silhouette"] is not None and run["choice"]["reason"]
    for address in ("clusterings/none/", "clusterings/none/runs/", "clusterings/habits/runs/9/"):
        assert problem(caller.get(address), 404)["code"] in {"clustering_not_found", "cluster_run_not_found"}


def test_a_run_that_waits_is_declined_and_what_does_not_wait_is_refused() -> None:
    made_clustering("habits")
    caller = key("analyses:write", "analyses:read")
    assert found(caller.post("clusterings/habits/runs/2/decline/"))["state"] == "declined"
    assert problem(caller.post("clusterings/habits/runs/2/decline/"), 409)
    assert Clustering.objects.get().live_run.number == 1  # type: ignore[union-attr]
    assert problem(caller.post("clusterings/habits/runs/1/accept/"), 409)


def test_runs_of_clusterings_are_asked_for_once_and_clusters_named() -> None:
    made = made_clustering("habits")
    caller = key("analyses:write", "analyses:read")
    asked = caller.post("clusterings/habits/runs/")
    assert asked.status_code == 202 and asked.json()["number"] == 3 and asked.json()["state"] == "queued"
    assert caller.post("clusterings/habits/runs/").json()["number"] == 3
    assert made.runs.exclude(outcome=Outcome.LIVE).count() == 2
    assert found(caller.patch("clusterings/habits/clusters/1/", {"label": "Regulars"}))["label"] == "Regulars"
    assert found(caller.get("clusterings/habits/runs/1/"))["clusters"][0]["label"] in {"Regulars", "Not in any cluster"}
    assert problem(caller.patch("clusterings/habits/clusters/9/", {"label": "x"}), 404)["code"] == "cluster_not_found"
    assert problem(caller.patch("clusterings/habits/clusters/1/", {"label": ""}), 400)["pointer"] == "/label"


# ---- Personas --------------------------------------------------------------------------------------------------------


def a_persona() -> tuple[Persona, Segment]:
    tracker().send(track("Reader", "ann"))
    process_all()
    segment = live("readers", performed("Reader"))
    return create_persona(name="Readers", group=group_of_segment(segment), by=BY), segment


def test_a_persona_names_its_segment_only_to_who_sees_it() -> None:
    persona, segment = a_persona()
    stranger, friend = key("analyses:read"), key("analyses:read", sees=[segment])
    for caller, named in ((stranger, None), (friend, "readers")):
        (listed,) = found(caller.get("personas/"))["results"]
        assert listed["key"] == persona.key and listed["segment"] == named
        assert found(caller.get(f"personas/{persona.key}/"))["segment"] == named
    assert found(friend.get(f"personas/{persona.key}/"))["portrait"] is None
    assert problem(friend.get("personas/nobody/"), 404)["code"] == "persona_not_found"


def test_portraits_are_asked_for_once() -> None:
    a_persona()
    caller = key("analyses:write")
    first = caller.post("portraits/")
    assert first.status_code == 202 and first.json()["state"] == "queued"
    assert caller.post("portraits/").json()["uuid"] == first.json()["uuid"]
    assert Job.objects.filter(kind=first.json()["kind"]).count() == 1


def test_lists_cost_the_same_however_many_there_are() -> None:
    caller = logged_in("marketer")
    counts = []
    for number in range(2):
        made_clustering(f"habits-{number}")
        complete_run()
        counts.append(
            [cost(caller, address) for address in ("clusterings/", "rfm/runs/", "clusterings/habits-0/runs/")]
        )
    assert counts[0] == counts[1]


def cost(caller: Caller, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        found(caller.get(address))
    return len(queries)

"""Jobs and purposes over REST."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from cdp.audit.models import AuditEntry
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import enqueue, let_follow
from tests.factories import BY
from tests.integration.callers import found, key, logged_in, problem

pytestmark = pytest.mark.django_db


def job(user: User, kind: str = "tests.work", **fields: Any) -> Job:
    made = enqueue(kind=kind, params={}, by=BY, user=user)
    Job.objects.filter(pk=made.pk).update(**fields)
    made.refresh_from_db()
    return made


def test_a_key_follows_the_jobs_it_started_and_no_others() -> None:
    mine, other = key(), key()
    started = job(mine.user)
    assert [one["uuid"] for one in found(mine.get("jobs/"))["results"]] == [str(started.uuid)]
    assert found(other.get("jobs/"))["results"] == []
    assert problem(other.get(f"jobs/{started.uuid}/"), 404)["code"] == "job_not_found"
    assert problem(other.post(f"jobs/{started.uuid}/cancel/"), 404)["code"] == "job_not_found"
    assert len(found(logged_in("marketer").get("jobs/"))["results"]) == 1


def test_a_running_job_tells_how_far_it_is() -> None:
    caller = key()
    started = job(
        caller.user, state=JobState.RUNNING, done=25, total=100, phase="entering",
        started_at=datetime.now(UTC) - timedelta(seconds=10),
    )  # fmt: skip
    body = found(caller.get(f"jobs/{started.uuid}/"))
    assert (body["state"], body["phase"], body["done"], body["total"], body["share"]) == (
        "running",
        "entering",
        25,
        100,
        0.25,
    )
    assert body["seconds_left"] == pytest.approx(30, abs=2)
    assert (body["result"], body["error"]) == (None, None)


def test_a_finished_job_tells_what_came_of_it() -> None:
    caller = key()
    done = job(caller.user, state=JobState.SUCCEEDED, result={"entered": 3})
    assert found(caller.get(f"jobs/{done.uuid}/"))["result"] == {"entered": 3}
    failed = job(caller.user, state=JobState.FAILED, error_code="segment_not_live", error_message="It is not live.")
    error = found(caller.get(f"jobs/{failed.uuid}/"))["error"]
    assert error == {"code": "segment_not_live", "detail": "It is not live."}


def test_a_queued_job_is_stopped_at_once_and_a_finished_one_not_at_all() -> None:
    caller = key()
    started = job(caller.user)
    assert found(caller.post(f"jobs/{started.uuid}/cancel/"))["state"] == "cancelled"
    assert problem(caller.post(f"jobs/{started.uuid}/cancel/"), 409)["code"] == "job_finished"
    assert AuditEntry.objects.get(action="job.cancelled").actor_kind == "api_key"


def test_a_job_that_is_only_followed_is_stopped_by_who_started_it_or_may_stop_all() -> None:
    mine, other = key(), key()
    started = job(mine.user)
    let_follow(job=started, user=other.user)
    assert found(other.get(f"jobs/{started.uuid}/"))["state"] == "queued"
    assert problem(other.post(f"jobs/{started.uuid}/cancel/"), 403)["code"] == "permission_missing"
    marketer = logged_in("marketer")
    marketer.client.handler.enforce_csrf_checks = False
    assert found(marketer.post(f"jobs/{started.uuid}/cancel/"))["state"] == "cancelled"


def test_jobs_come_newest_first_in_pages_and_are_filtered() -> None:
    caller = key()
    same_moment = datetime.now(UTC)
    made = [job(caller.user, created_at=same_moment) for _ in range(3)]
    made.append(job(caller.user, kind="tests.other", state=JobState.SUCCEEDED))
    seen, address = [], "jobs/?limit=2"
    while address:
        page = found(caller.get(address))
        seen += [one["uuid"] for one in page["results"]]
        address = page["next"]
    assert seen == [str(one.uuid) for one in reversed(made)]
    assert len(found(caller.get("jobs/?state=succeeded"))["results"]) == 1
    assert len(found(caller.get("jobs/?kind=tests.work"))["results"]) == 3


def test_the_list_costs_the_same_however_long_it_is(django_assert_num_queries: Any) -> None:
    caller = key()
    job(caller.user)
    caller.get("jobs/")
    for _ in range(10):
        job(caller.user)
    with django_assert_num_queries(4):  # the key, what it may see, the rows
        assert len(found(caller.get("jobs/"))["results"]) == 11


def test_every_caller_may_know_the_purposes_and_nobody_else(django_assert_num_queries: Any) -> None:
    caller = key("jobs:read")
    caller.get("purposes/")
    with django_assert_num_queries(2):
        purposes = {one["key"]: one for one in found(caller.get("purposes/"))["results"]}
    assert purposes["internal_analysis"]["lawful_basis"] == "legitimate_interests"
    assert purposes["marketing_email"]["mode"] == "opt_in"
    assert len(found(logged_in().get("purposes/"))["results"]) == len(purposes)
    caller.headers = {}
    assert problem(caller.get("purposes/"), 401)

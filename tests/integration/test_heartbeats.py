"""Processes tell that they live; what falls silent is missed, on the page, to whatever watches, and in Prometheus."""

import re
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from cdp import health
from cdp.heartbeats import beating
from cdp.heartbeats.beating import KINDS, Heart, forget_old, standings
from cdp.heartbeats.models import Heartbeat
from cdp.heartbeats.tasks import beat
from cdp.jobs.models import Job, JobState
from cdp.keeper import AudienceKeeper
from cdp.sweeper import Sweeper
from tests.integration.callers import logged_in

ROOT = Path(__file__).parents[2]


def alarms() -> dict[str, str]:
    return {one["code"]: one["detail"] for one in Client().get("/readyz").json()["alarms"]}


def silent(process: str, **since: Any) -> Heartbeat:
    return Heartbeat.objects.create(instance=uuid4(), process=process, heard_at=timezone.now() - timedelta(**since))


@pytest.mark.parametrize(("process", "made"), [("keeper", AudienceKeeper), ("sweeper", Sweeper)])
def test_a_process_tells_from_its_own_loop_that_it_lives(own_database: object, process: str, made: Any) -> None:
    runner = made(seconds=0.02)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not Heartbeat.objects.filter(process=process).exists() and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        runner.stop()
        thread.join()
    assert [one.process for one in standings() if one.instances] == [process]


def test_it_tells_once_in_ten_seconds_however_often_it_turns(db: None, django_assert_num_queries: Any) -> None:
    heart = Heart("keeper")
    heart.beat()
    with django_assert_num_queries(0):
        for _ in range(100):
            heart.beat()
    before = Heartbeat.objects.get()
    heart._next = 0
    heart.beat()
    after = Heartbeat.objects.get()
    assert (after.started_at, after.heard_at >= before.heard_at) == (before.started_at, True)


def test_what_ran_and_is_silent_is_missed_and_what_never_ran_is_not(db: None) -> None:
    assert alarms() == {}
    silent("keeper", minutes=11)
    assert "manage.py keep_audiences" in alarms()["process_missing"]
    Heart("keeper").beat()
    assert alarms() == {}, "another one runs"
    assert Client().get("/readyz").json()["processes"]["sweeper"] is None


def test_of_each_kind_the_newest_row_stays(db: None) -> None:
    silent("keeper", days=3)
    silent("keeper", days=2)
    assert forget_old() == 1
    assert forget_old() == 0
    assert "process_missing" in alarms()


def test_clock_and_worker_tell_by_a_task(db: None) -> None:
    beat()
    beat()
    assert Heartbeat.objects.get().process == "celery"


def test_jobs_of_silent_workers_raise_an_alarm(db: None) -> None:
    Job.objects.create(kind="x", state=JobState.RUNNING, lease_until=timezone.now() - timedelta(minutes=6))
    assert "jobs_stuck" in alarms()


def test_the_page_says_what_is_missing_and_what_to_do(db: None) -> None:
    silent("deliverer", hours=1)
    Heart("sweeper").beat()
    reader = logged_in("integrator")
    type(reader.user).objects.filter(pk=reader.user.pk).update(is_staff=True)
    text = reader.client.get("/admin/health/").content.decode()
    assert "Something needs you" in text
    for said in ("start `manage.py deliver`", "Missing", "Alive", "Never heard", "Taking in what came"):
        assert said in text


def test_every_alarm_is_explained_in_the_guide(db: None) -> None:
    guide = (ROOT / "docs" / "guides" / "watching.md").read_text()
    assert {one for one in health.ALARMS if f"| `{one}` |" not in guide} == set()
    assert {one for one in KINDS if f"`{one}`" not in guide} == set()


def test_the_rules_for_prometheus_speak_of_metrics_that_there_are(db: None) -> None:
    Heart("keeper").beat()
    Job.objects.create(kind="x", state=JobState.FAILED, finished_at=timezone.now())
    told = set(re.findall(r"^# TYPE (\w+)", Client().get("/metrics").content.decode(), re.MULTILINE))
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    named = {
        word for group in rules["groups"] for rule in group["rules"] for word in re.findall(r"\bcdp_\w+", rule["expr"])
    }
    assert named and named <= told
    assert all(rule["annotations"]["summary"] for group in rules["groups"] for rule in group["rules"])
    assert beating.EVERY_SECONDS == 10

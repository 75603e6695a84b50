"""Whether the process lives, and whether it can work: what monitoring sees when something is away."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from cdp import health
from cdp.ingestion import inbox
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import enqueue
from segments.models import DriftCheck, SweepState
from tests.factories import BY, live, performed, process_all, track, tracker


@pytest.fixture(autouse=True)
def _forget_what_was_applied() -> None:
    health._migrated.clear()


def readyz() -> tuple[int, dict[str, Any]]:
    response = Client().get("/readyz")
    return response.status_code, response.json()


def test_a_living_process_asks_nothing_of_anybody() -> None:
    response = Client().get("/healthz")  # without access to the database, which this test doesn't have
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert Client().post("/healthz").status_code == 405


@pytest.mark.django_db
def test_all_is_well() -> None:
    status, body = readyz()
    assert status == 200
    assert body["status"] == "ready"
    assert {name: check["ok"] for name, check in body["checks"].items()} == {
        "database": True, "migrations": True, "valkey": True,
    }  # fmt: skip
    assert (body["inbox_lag_seconds"], body["alarms"]) == (0.0, [])


@pytest.mark.django_db
def test_a_waiting_inbox_is_told_and_raises_an_alarm_without_taking_the_process_out() -> None:
    waiting_since = datetime.now(UTC) - timedelta(minutes=5)
    inbox.put(source_id=tracker().source_id, endpoint="track", body=b"{}", message_count=1, received_at=waiting_since)
    status, body = readyz()
    assert status == 200
    assert body["inbox_lag_seconds"] == pytest.approx(300, abs=5)
    assert [one["code"] for one in body["alarms"]] == ["inbox_lags"]


@pytest.mark.django_db
def test_events_outside_all_months_raise_an_alarm() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at, properties, context)"
            " VALUES ('1971-01-01', 1, 1, 1, 'm', 1, now(), '{}', '{}')"
        )
    status, body = readyz()
    assert (status, [one["code"] for one in body["alarms"]]) == (200, ["default_partition"])


@pytest.mark.django_db
def test_segments_that_fall_behind_time_or_have_drifted_raise_alarms() -> None:
    tracker().send(track("Bought", "ann"))
    process_all()
    segment = live("recent", performed("Bought", within={"days": 1}), cadence="real_time")
    slow = live("slow", performed("Bought", within={"days": 1}), cadence="daily")
    assert readyz()[1]["alarms"] == []
    SweepState.objects.update(swept_to=datetime.now(UTC) - timedelta(minutes=6))
    DriftCheck.objects.create(segment=slow, as_of=datetime.now(UTC), missing=1, extra=0)
    status, body = readyz()
    assert (status, [one["code"] for one in body["alarms"]]) == (200, ["sweeps_lag", "segments_drifted"])
    assert body["sweep_lag_seconds"] == pytest.approx(360, abs=5)
    SweepState.objects.filter(pk=segment.pk).update(swept_to=datetime.now(UTC))
    DriftCheck.objects.create(segment=slow, as_of=datetime.now(UTC), missing=0, extra=0)
    assert readyz()[1]["alarms"] == [], "what isn't in real time may be behind, and the newest comparison counts"


@pytest.mark.django_db
def test_without_valkey_it_is_not_ready(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    health._valkey_client.cache_clear()
    status, body = readyz()
    health._valkey_client.cache_clear()
    assert (status, body["status"]) == (503, "not ready")
    assert body["checks"]["valkey"]["detail"] == "not reached (ConnectionError)"


def test_without_the_database_it_is_not_ready_and_still_answers(own_database: object) -> None:
    usual = connections.settings["default"]["NAME"]
    connections["default"].close()
    connections.settings["default"]["NAME"] = "there_is_no_such_database"
    try:
        status, body = readyz()
    finally:
        connections["default"].close()
        connections.settings["default"]["NAME"] = usual
    assert status == 503
    assert body["checks"]["database"]["ok"] is False
    assert "there_is_no" not in str(body)


def test_a_migration_that_waits_makes_it_unready(own_database: object) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'segments'")
    status, body = readyz()
    assert status == 503
    assert "wait to be applied" in body["checks"]["migrations"]["detail"]
    assert "inbox_lag_seconds" not in body


# ---- For Prometheus --------------------------------------------------------------------------------------------------


def collected(accept: str = "") -> dict[tuple[str, ...], float]:
    """Name and labels of each sample -> its value, as Prometheus' own parser reads them."""
    response = Client().get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    families = text_string_to_metric_families(response.content.decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


@pytest.mark.django_db
def test_prometheus_reads_how_the_platform_stands() -> None:
    quiet = collected()
    assert quiet["cdp_ready",] == 1 and quiet["cdp_check_ok", "valkey"] == 1
    assert quiet["cdp_inbox_lag_seconds",] == 0 and quiet["cdp_quarantined_messages",] == 0
    assert {key[1] for key in quiet if key[0] == "cdp_alarm"} == set(health.ALARMS)
    assert not any(value for key, value in quiet.items() if key[0] == "cdp_alarm")

    waiting_since = datetime.now(UTC) - timedelta(minutes=5)
    inbox.put(source_id=tracker().source_id, endpoint="track", body=b"{}", message_count=1, received_at=waiting_since)
    enqueue(kind="audit.verify", params={}, by=BY)
    for days in (0, 3):
        failed_at = datetime.now(UTC) - timedelta(days=days)
        Job.objects.create(kind="segments.refresh", state=JobState.FAILED, finished_at=failed_at)
    busy = collected()
    assert busy["cdp_inbox_lag_seconds",] == pytest.approx(300, abs=5) and busy["cdp_alarm", "inbox_lags"] == 1
    assert busy["cdp_jobs", "audit.verify", "queued"] == 1
    assert busy["cdp_jobs_failed_last_day", "segments.refresh"] == 1


@pytest.mark.django_db
def test_every_alarm_that_is_raised_is_among_those_that_are_told() -> None:
    raised = re.findall(r'"code": "(\w+)"', Path(health.__file__).read_text())
    assert sorted(raised) == sorted(health.ALARMS)


@pytest.mark.django_db
def test_metrics_come_in_the_form_that_is_asked_for_and_change_nothing() -> None:
    response = Client().get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")
    assert Client().post("/metrics").status_code == 405


def test_without_a_database_metrics_say_that_it_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> str:
        raise OperationalError

    monkeypatch.setitem(health.CHECKS, "database", away)
    monkeypatch.setitem(health.CHECKS, "migrations", away)
    told = collected()
    assert told["cdp_ready",] == 0 and told["cdp_check_ok", "database"] == 0 and ("cdp_inbox_lag_seconds",) not in told

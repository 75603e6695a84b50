"""The demo shop is loaded once, whole, through the tracking API, whatever interrupts it."""

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from django.contrib.auth import authenticate
from django.db.models import Sum

from cdp.ingestion.models import InboxMessage, Quarantined
from cdp.jobs.models import Job, JobState
from cdp.profiles.models import Event, EventTotal, Profile, Workspace
from cdp.profiles.services import events_without_partition
from demo.accounts import ROLES
from demo.shop import messages
from demo.shop_segments import SEGMENTS
from segments.models import Segment
from tests.conftest import OwnDatabase
from tests.harness.processes import Processes


@pytest.fixture
def home(processes: Processes, tmp_path: Path) -> Path:
    home = tmp_path / "demo home"
    processes.environ["CDP_DEMO_HOME"] = str(home)
    return home


def begin(processes: Processes, *, people: int = 300, url: str = "http://127.0.0.1:8123") -> subprocess.Popen[bytes]:
    return processes.manage("load_demo", "--people", str(people), "--url", url, "--consumers", "2")


def load(processes: Processes, **arguments: object) -> None:
    assert begin(processes, **arguments).wait(180) == 0, processes.output()  # type: ignore[arg-type]


def expected_messages() -> int:
    """How many different messages the simulator makes with the arguments of the load."""
    from datetime import datetime

    params = dict(Job.objects.get(kind="demo.load").params)
    as_of = datetime.fromisoformat(params.pop("as_of"))
    return len({sent.message["messageId"] for sent in messages(as_of=as_of, **params)})


def test_everything_the_simulator_says_becomes_an_event_and_nothing_is_quarantined(
    own_database: OwnDatabase, processes: Processes, home: Path
) -> None:
    load(processes)

    assert Event.objects.sent().count() == expected_messages()
    assert Quarantined.objects.count() == InboxMessage.objects.count() == events_without_partition() == 0
    assert Workspace.current().is_simulated, "made-up people are labelled as such"
    live = Segment.objects.filter(status="live")
    assert live.count() == len(SEGMENTS) >= 12
    assert sum(segment.memberships.exists() for segment in live) >= 10

    credentials = json.loads((home / "credentials.json").read_text())
    assert stat.S_IMODE((home / "credentials.json").stat().st_mode) == 0o600
    assert credentials.keys() == {"url", "users", "write_key", "api_key"}
    for role in ROLES:
        user = authenticate(**credentials["users"][role])
        assert user is not None and user.is_staff
        assert [group.name for group in user.groups.all()] == [role]


def test_a_second_load_changes_nothing_but_the_url_and_a_lost_file_is_made_anew(
    own_database: OwnDatabase, processes: Processes, home: Path
) -> None:
    load(processes, people=60)
    first = json.loads((home / "credentials.json").read_text())
    events, people = Event.objects.count(), Profile.objects.count()

    load(processes, people=60, url="http://127.0.0.1:9000")

    second = json.loads((home / "credentials.json").read_text())
    assert second == {**first, "url": "http://127.0.0.1:9000"}
    assert (Event.objects.count(), Profile.objects.count()) == (events, people)
    assert Job.objects.filter(kind="demo.load").count() == 1

    (home / "credentials.json").unlink()
    load(processes, people=60)

    third = json.loads((home / "credentials.json").read_text())
    assert not {first["write_key"], first["api_key"]} & {third["write_key"], third["api_key"]}
    assert authenticate(**first["users"]["admin"]) is None
    assert authenticate(**third["users"]["admin"]) is not None
    assert Event.objects.count() == events


def test_a_load_killed_half_way_goes_on_and_neither_loses_nor_doubles(
    own_database: OwnDatabase, processes: Processes, home: Path
) -> None:
    process = begin(processes, people=800)
    patience = time.monotonic() + 90
    while not Job.objects.filter(kind="demo.load", done__gt=3_000).exists():
        assert process.poll() is None and time.monotonic() < patience, processes.output()
        time.sleep(0.02)
    consumers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)  # it alone: its consumers must notice by themselves
    process.wait()
    assert psutil.wait_procs(consumers, timeout=30)[1] == []
    assert Job.objects.get(kind="demo.load").state == JobState.RUNNING

    load(processes, people=800)

    assert Event.objects.sent().count() == expected_messages()
    assert EventTotal.objects.aggregate(events=Sum("count"))["events"] == Event.objects.filter(name_id__gt=0).count()
    assert Job.objects.get(kind="demo.load").state == JobState.SUCCEEDED


def test_made_up_people_never_mix_with_others(own_database: OwnDatabase, processes: Processes, home: Path) -> None:
    from django.utils import timezone

    Profile.objects.create(first_seen_at=timezone.now(), last_seen_at=timezone.now())

    assert begin(processes).wait(60) != 0

    assert "holds other people" in processes.output()
    assert not Workspace.current().is_simulated

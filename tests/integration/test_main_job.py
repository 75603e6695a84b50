"""The check of the main job passes on a site that works, and fails on one that doesn't."""

import json
from pathlib import Path

import pytest

from segments.models import Segment
from tests.conftest import OwnDatabase
from tests.harness.processes import Processes


@pytest.fixture
def site(processes: Processes, tmp_path: Path) -> Path:
    """The credentials of a running demo with few people."""
    processes.environ["CDP_DEMO_HOME"] = str(tmp_path / "demo")
    url = processes.web()
    loading = processes.manage("load_demo", "--people", "60", "--consumers", "1", "--url", url)
    assert loading.wait(120) == 0, processes.output()
    processes.consumer()
    processes.celery_worker()
    return tmp_path / "demo" / "credentials.json"


def test_the_check_passes_on_a_working_site_as_often_as_wanted_and_fails_with_a_wrong_key(
    own_database: OwnDatabase, processes: Processes, site: Path
) -> None:
    for _ in range(2):
        check = processes.manage("check_main_job")
        assert check.wait(120) == 0, processes.output()
    assert set(Segment.objects.filter(key__startswith="check-").values_list("status", flat=True)) == {"archived"}

    credentials = json.loads(site.read_text())
    site.write_text(json.dumps({**credentials, "write_key": "wk_wrong"}))
    check = processes.manage("check_main_job", "--patience", "0.1")
    assert check.wait(120) != 0, "what went wrong is not passed over"
    assert "steps went wrong" in processes.output()

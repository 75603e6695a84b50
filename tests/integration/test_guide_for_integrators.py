"""Every command of the guide for integrators, run as it stands by a shell and curl against real processes."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cdp.activation.keeping import keep_all
from cdp.ingestion.models import InboxMessage
from cdp.rest.models import Scope
from cdp.rest.services import create_api_key
from consent.models import Purpose
from tests.factories import BY, tracker
from tests.harness.processes import Processes

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/integrators.md"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(chapter: str) -> str:
    """The commands of one chapter, in their order."""
    (text,) = re.findall(rf"^## {chapter}\n(.*?)(?=^## |\Z)", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    found = FENCE.findall(text)
    assert found, f"the chapter {chapter!r} shows nothing"
    return "\n".join(found)


def run(commands: str, environ: dict[str, str], where: Path) -> str:
    result = subprocess.run(
        ["/bin/sh", "-euxc", commands], env=environ, cwd=where, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{result.stderr}\n{result.stdout}"
    return result.stdout


def wait_for_an_empty_inbox() -> None:
    patience = time.monotonic() + 20
    while InboxMessage.objects.exists():
        assert time.monotonic() < patience, "the consumer left something"
        time.sleep(0.1)


def test_every_command_of_the_guide_works(live_site: str, processes: Processes, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl found: install it to check the guide's commands")
    processes.consumer()
    _, api_key = create_api_key(name="Guide", scopes=Scope.values, all_purposes=True, by=BY)
    environ = {"PATH": "/usr/bin:/bin", "URL": live_site, "WRITE_KEY": tracker().key, "API_KEY": api_key}
    said = run(blocks("Sending events"), environ, tmp_path)
    assert said.count('{"success":true}') == 7
    wait_for_an_empty_inbox()

    said = run(blocks("Reading and steering"), environ, tmp_path)
    assert '"count":2,"total":3' in said  # ann and bob bought; device-2 only looked
    assert all(f'"key":"{purpose.key}"' in said for purpose in Purpose.objects.all())
    assert '"within":{"days":90}' in said
    assert '"state":"cancelled"' in said
    assert said.count('"value":"ann@example.com"') == 2
    assert '"status": "ready"' in run(blocks("Watching the platform"), environ, tmp_path)

    said = run(blocks("In ten minutes"), environ, tmp_path)
    assert said.count('"key":"quick-start"') >= 3
    keep_all()
    (script,) = PYTHON.findall(GUIDE.read_text().partition("## In ten minutes")[2].partition("\n## ")[0])
    told = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    ).stdout
    assert "'quick-start'" in told and "go on from" in told


def test_the_guide_names_every_address_and_every_scope() -> None:
    from tests.integration.test_rest_doors import api_views

    text = GUIDE.read_text()
    for address, _ in api_views():
        parts = re.split(r"<[^>]+>", address)
        assert all(part.strip("/").split("/")[-1] in text for part in parts if part.strip("/")), address
    assert [scope for scope in Scope.values if f"`{scope}`" not in text] == []

"""A client that was generated from the description of the API, unchanged, against a real server: its types fit what comes."""

import copy
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdp.activation.keeping import keep_all
from cdp.rest.models import Scope
from cdp.rest.openapi import document
from cdp.rest.services import create_api_key
from consent.models import Decision
from segments.sharing import share_segment
from tests.factories import BY, identify, live, person, process_all, tracker
from tests.integration.callers import decide

PACKAGE = "generated_cdp_client"
Module = Callable[[str], Any]


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Module:
    """Imports a module of the generated package by its name."""
    where = tmp_path_factory.mktemp("client")
    described = copy.deepcopy(document())
    # Rules are JSON to clients: their language nests definitions within a component, which the generator can't follow.
    described["components"]["schemas"]["Rule"] = {"type": "object", "additionalProperties": True}
    (where / "openapi.json").write_text(json.dumps(described))
    (where / "how.json").write_text(json.dumps({"package_name_override": PACKAGE, "post_hooks": []}))
    generator = Path(sys.executable).with_name("openapi-python-client")
    made = subprocess.run(
        [generator, "generate", "--path", "openapi.json", "--config", "how.json", "--meta", "none", "--output-path", PACKAGE],
        cwd=where, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    left_out = [line for line in made.stdout.splitlines() if "Endpoint will not be generated" in line]
    assert [one for one in left_out if "consents/imports" not in one] == [], "what takes files of CSV alone is left out"
    sys.path.insert(0, str(where))
    return lambda name: importlib.import_module(f"{PACKAGE}.{name}")


def test_it_lists_segments_makes_an_audience_and_follows_its_changes(live_site: str, client: Module) -> None:
    tracker().send(identify("ann", traits={"email": "ann@example.com"}))
    process_all()
    decide("ann", "marketing_email", Decision.GRANTED)
    segment = live("everybody", {"everyone": True})
    key, secret = create_api_key(name="Generated", scopes=Scope.values, all_purposes=True, by=BY)
    share_segment(segment=segment, user=key.user, by=BY)
    calls = client("client").AuthenticatedClient(base_url=live_site, token=secret)

    with calls as calls:
        segments = client("api.segments.segments_list").sync(client=calls)
        assert [one.key for one in segments.results] == ["everybody"]

        new = client("models.new_audience").NewAudience(
            name="News", key="news", segment="everybody", purpose="marketing_email"
        )
        made = client("api.audiences.audiences_create").sync(client=calls, body=new)
        assert (made.key, made.size) == ("news", 0)
        keep_all()
        changes = client("api.audiences.audiences_changes").sync("news", client=calls, cursor=0)
        assert [str(one.profile) for one in changes.changes] == [str(person("ann").uuid)]

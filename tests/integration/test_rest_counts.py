"""A list asks the database as often for twelve things as for three, whoever reads it and however many segments there are."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from cdp.activation.services import create_audience
from cdp.collecting.models import ConsentImport
from cdp.jobs.models import Job
from cdp.privacy.models import CameBy, RequestKind
from cdp.privacy.services import open_request
from cdp.rest.openapi import document
from consent.models import Decision, Purpose
from segments.clustering.models import Clustering
from segments.lists import create_list
from segments.models import Segment
from segments.personas.services import create_persona
from segments.personas.sources import group_of_segment
from segments.services import save_version
from segments.sharing import share_segment
from tests.factories import BY, identify, live, process_all, rule, track, tracker
from tests.integration.callers import Caller, decide, key, logged_in
from tests.integration.hostile_rest import Operation, operations
from tests.integration.hostile_world import World, make_world
from tests.integration.notices import publish_notice
from tests.integration.rfm_runs import complete_run

NOT_COUNTED = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
FEW, MANY = 3, 12


@pytest.fixture
def world(db: None) -> Iterator[World]:
    with override_settings(CACHES=NOT_COUNTED, PUBLIC_URL="https://data.shop.example"):
        yield make_world()


def more(world: World, count: int, caller: Caller) -> None:
    """So many more of each thing that there are lists of, where a list may hold them; the caller sees those there are rights to."""
    shop = tracker()
    everybody = Segment.objects.get(key="everybody")
    purpose = Purpose.objects.get(key="marketing_email")
    clustering = Clustering.objects.get(key="habits")
    for number in range(count):
        name = f"more-{uuid4().hex[:8]}"
        shop.send(identify(name, traits={"email": f"{name}@example.com"}), track("Order Completed", name))
        shop.send({"type": "unheard", "messageId": name})
        segment = live(name, {"everyone": True})
        if caller.key:
            share_segment(segment=segment, user=caller.user, by=BY)
        save_version(segment=everybody, rule=rule({"trait": "points", "op": "gt", "value": number}), by=BY)
        create_audience(name=name, key=name, segment=segment, purpose=purpose, by=BY)
        create_list(name=name, key=name, by=BY)
        create_persona(name=name, group=group_of_segment(segment), by=BY)
        publish_notice(f"notice-{name}")
        publish_notice("banner", title=name)
        key("segments:read")
        open_request(kind=RequestKind.ACCESS, came_by=CameBy.STAFF, by=BY, profile=world.ann)
        Job.objects.create(kind="segments.refresh", params={"segment": segment.pk}, created_by=caller.user)
        decide("ann", "sms", Decision.WITHDRAWN if number % 2 else Decision.GRANTED)
        _copy(ConsentImport, sha256=uuid4().hex * 2)
        _copy(Clustering, key=name, live_run=None)
        complete_run(as_of=datetime.now(UTC))
    assert clustering.pk
    process_all()


def _copy(model: type, **other: object) -> None:
    """Another row like the first."""
    row = model._default_manager.order_by("pk")[0]  # type: ignore[attr-defined]
    row.pk, row.uuid = None, uuid4()
    for name, value in other.items():
        setattr(row, name, value)
    row._state.adding = True
    row.save()


def lists(world: World) -> list[Operation]:
    """The operations that the description calls lists: what they give has a next page."""
    described = document()
    found = []
    for operation in operations(world):
        content = (
            described["paths"][operation.template][operation.method]["responses"].get("200", {}).get("content", {})
        )
        name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        if name.startswith("Paginated"):
            found.append(operation)
    return found


def counts(caller: Caller, world: World) -> dict[str, int]:
    found = {}
    asking = World(master=world.master, caller=caller, ann=world.ann, write_key=world.write_key)
    for operation in lists(world):
        if "purpose" in operation.query:
            operation.query["purpose"] = "marketing_email"
        with CaptureQueriesContext(connection) as seen:
            answer = operation.send(asking, {})
        assert answer.status_code in (200, 403), f"{operation}: {answer.content[:200]!r}"
        if answer.status_code == 200:
            found[str(operation)] = len(seen)
    return found


@pytest.mark.parametrize("who", ["a key", "admin"])
def test_no_list_asks_more_often_for_more_rows(world: World, who: str) -> None:
    caller = world.caller if who == "a key" else logged_in(who)
    more(world, FEW - 1, caller)
    counts(caller, world)  # what a process remembers it has heard by now
    few = counts(caller, world)
    assert len(few) >= 15
    more(world, MANY - FEW, caller)
    many = counts(caller, world)
    assert {name: (few[name], many[name]) for name in few if many[name] > few[name]} == {}

"""Webhooks through failures, with real processes: receivers that fail, deliverers that are killed. Nothing is lost, and order stays."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User

from cdp.activation.models import Audience
from cdp.webhooks.models import EventType, Webhook
from cdp.webhooks.services import create_webhook
from consent.models import Decision, Purpose
from segments.lists import add_people, create_list, remove_people
from segments.models import StaticList
from tests.conftest import OwnDatabase
from tests.factories import BY, identify, live, person, process_all, tracker
from tests.harness.processes import Processes
from tests.integration.audiences import audience_of, keep
from tests.integration.callers import decide
from tests.integration.receivers import Receiver, Reply, receiving

Scale = Callable[..., int]


@pytest.fixture
def process_environ() -> dict[str, str]:
    backoff = ",".join(["0.05"] * 200)
    return {
        "CDP_OUTBOUND_ALLOW": "127.0.0.1",
        "CDP_WEBHOOK_BACKOFF_SECONDS": backoff,
        "CDP_WEBHOOK_THREADS": "16",
        "CDP_WEBHOOK_SECONDS": "2",
    }


@pytest.fixture(autouse=True)
def _inside(settings) -> None:  # type: ignore[no-untyped-def]
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]


def people_on_a_list(count: int) -> tuple[StaticList, Audience, list[int]]:
    """A list, an audience of who is on it, and people who permit it, none of them on it."""
    names = [f"p{n}" for n in range(count)]
    tracker().send(*(identify(name) for name in names))
    process_all()
    for name in names:
        decide(name, "marketing_email", Decision.GRANTED)
    listed = create_list(name="Guests", key="guests", by=BY)
    audience = audience_of(live("guests", {"in_list": "guests"}))
    return listed, audience, [person(name).pk for name in names]


def hook(receiver: Receiver, audience: Audience) -> Webhook:
    owner, _ = User.objects.get_or_create(username="wanda")
    owner.groups.add(Group.objects.get(name="marketer"))
    return create_webhook(
        url=receiver.url,
        events=[EventType.ENTERED, EventType.EXITED],
        audiences=[audience],
        purpose=Purpose.objects.get(key="marketing_email"),
        user=owner,
        by=BY,
    ).webhook


def come_and_go(listed: StaticList, people: list[int], turns: int) -> None:
    for turn in range(turns):
        change = remove_people if turn % 2 else add_people
        change(static_list=listed, profile_ids=people, by=BY)
        process_all()
        keep()


def positions_by_person(receiver: Receiver) -> dict[str, list[int]]:
    """Positions as each person's were first taken."""
    found: dict[str, list[int]] = defaultdict(list)
    for body in receiver.taken:
        one = body["data"]
        if one["position"] not in found[one["profile"]]:
            found[one["profile"]].append(one["position"])
    return found


def test_what_fails_and_who_is_killed_loses_no_change_and_no_order(
    own_database: OwnDatabase, processes: Processes, drill_scale: Scale
) -> None:
    count, turns = drill_scale(full=200, quick=5), drill_scale(full=50, quick=4)
    kills = drill_scale(full=20, quick=1)
    chance = random.Random(4)
    lock = threading.Lock()

    def unreliable(_: bytes) -> Reply:
        with lock:
            fails = chance.random() < 0.3
        return (500 if fails else 204), {}, b""

    listed, audience, people = people_on_a_list(count)
    with receiving(unreliable) as receiver:
        hook(receiver, audience)
        expected = count * turns
        running = [processes.manage("deliver"), processes.manage("deliver")]
        come_and_go(listed, people, turns)
        for number in range(kills):
            until = time.monotonic() + 10
            wanted = expected * (number + 1) // (kills + 2)
            while len(receiver.taken) < wanted and time.monotonic() < until:
                time.sleep(0.005)
            processes.kill(running.pop(0))
            running.append(processes.manage("deliver"))
        assert audience.changes.count() == expected
        until = time.monotonic() + drill_scale(full=900, quick=60)
        while len({body["data"]["position"] for body in receiver.taken}) < expected:
            assert time.monotonic() < until, f"{len(receiver.taken)} of {expected}\n{processes.output()}"
            time.sleep(0.05)
        assert all(one == sorted(one) for one in positions_by_person(receiver).values())
        ids: dict[int, set[str]] = defaultdict(set)
        for one in receiver.received:
            ids[one.said["data"]["position"]].add(one.headers["webhook-id"])
        assert {len(some) for some in ids.values()} == {1}, "the same change has the same id each time"


def test_one_dead_receiver_of_ten_costs_the_others_nothing(
    own_database: OwnDatabase, processes: Processes, drill_scale: Scale
) -> None:
    count = drill_scale(full=100, quick=6)
    listed, audience, people = people_on_a_list(count)
    let_go = threading.Event()

    def silent(_: bytes) -> Reply:
        let_go.wait(30)
        return 204, {}, b""

    def took(receivers: list[Receiver], turn: int) -> float:
        began = time.monotonic()
        change = remove_people if turn % 2 else add_people
        change(static_list=listed, profile_ids=people, by=BY)
        process_all()
        keep()
        while any(len(one.taken) < count * (turn + 1) for one in receivers):
            assert time.monotonic() - began < 30, processes.output()
            time.sleep(0.005)
        return time.monotonic() - began

    with receiving(silent) as dead:
        managers = [receiving() for _ in range(9)]
        receivers = [one.__enter__() for one in managers]
        try:
            for receiver in receivers:
                hook(receiver, audience)
            processes.manage("deliver")
            took(receivers, 0)  # started, connected
            alone = min(took(receivers, 1), took(receivers, 2))
            hook(dead, audience)
            beside = min(took(receivers, 3), took(receivers, 4))
            assert dead.received == []
            assert beside < 2 * alone + 0.5, f"{alone:.2f}s without, {beside:.2f}s with a dead one"
        finally:
            let_go.set()
            for one in managers:
                one.__exit__(None, None, None)

"""Every statement that runs somebody's rule has a time limit, whichever door it came through; each in its own transaction."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from segments import guard, previews, versions
from segments.engines import estimating, postgres
from segments.flows import flow_among, overlap
from segments.models import Segment
from segments.refresh import refresh
from segments.services import publish, save_version
from segments.sweep import sweep_due
from tests.factories import BY, draft, live, performed, person, process_all, rule, track, tracker
from tests.integration.callers import found, key

Limits = dict[str, set[tuple[str, str]]]
WATCHED = {
    guard: ["cost"],
    estimating: ["cost", "counted", "quickly_counted"],
    postgres: ["sample", "among", "difference"],
    postgres.LeafQueries: ["answer", "touched"],
}


@pytest.fixture
def limits(own_database: Any, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Limits:
    """By what asks, the limits on a statement and on a whole transaction in force where it was about to ask."""
    settings.BATCH_SECONDS, settings.LOOK_SECONDS, settings.REFRESH_SECONDS = 77, 88, 99
    seen: Limits = {}

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*given: Any, **more: Any) -> Any:
            assert connection.in_atomic_block, name
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT current_setting('statement_timeout'), current_setting('transaction_timeout', true)"
                )
                seen.setdefault(name, set()).add(cursor.fetchone())
            return real(*given, **more)

        monkeypatch.setattr(owner, name, watched)

    for owner, names in WATCHED.items():
        for name in names:
            watch(owner, name)
    previews.forget()
    return seen


def taken(limits: Limits) -> Limits:
    found = {name: set(those) for name, those in limits.items()}
    limits.clear()
    return found


def seconds(limit: int) -> set[tuple[str, str]]:
    return {(f"{limit}s", "0")}


def test_every_door_sets_a_limit(limits: Limits) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann", ago=timedelta(days=29, hours=23)), track("Bought", "bob"))
    process_all()
    segment = draft("buyers", performed("Bought", within={"days": 30}))
    caller = key(sees=[segment])
    asked = {"rule": rule(performed("Bought")), "purpose": "internal_analysis", "counts": True}

    found(caller.post("segments/preview/", asked))
    assert taken(limits) == {"cost": seconds(30), "counted": seconds(30), "sample": seconds(30)}

    found(caller.post("segments/preview/", {**asked, "accuracy": "sample"}))
    assert taken(limits) == {"cost": seconds(5), "quickly_counted": {("60ms", "0")}, "counted": {("60ms", "0")}}

    save_version(segment=segment, rule=rule(performed("Bought", within={"days": 60})), by=BY)
    difference = found(caller.get("segments/buyers/versions/1/diff/2/?purpose=internal_analysis"))
    assert difference["people"]["staying"]["count"] == 2
    assert taken(limits) == {"cost": seconds(30), "counted": seconds(30), "sample": seconds(30)}

    found(caller.get(f"segments/buyers/why/uuid:{person('ann').uuid}/"))
    assert taken(limits) == {"among": seconds(10)}

    publish(segment=segment, version=segment.versions.get(number=1), by=BY)
    assert taken(limits) == {"cost": seconds(10)}

    refresh(segment=segment, progress=lambda done, total, phase: None)
    first = taken(limits)
    assert first.pop("difference") == seconds(99)
    assert first == {"answer": {("0", "77s")}}, "the verdicts, and their writing, within the time of a batch"

    shop.send(track("Bought", "cyd"))
    process_all()
    assert taken(limits) == {"answer": {("0", "77s")}}


def test_a_sweep_has_a_limit(limits: Limits) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann", ago=timedelta(seconds=57)))
    process_all()
    segment = live("fresh", performed("Bought", within={"minutes": 1}))
    assert segment.member_count == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(3.2)")
    limits.clear()
    swept = sweep_due(everything=True)
    assert swept.exited == 1
    found = taken(limits)
    assert found["answer"] == {("88s", "0"), ("0", "77s")}, "a look without locks, and the verdicts"
    # Who turned when is asked where it is written.
    assert found["touched"] <= {("88s", "0"), ("0", "77s")} and ("88s", "0") in found["touched"]


def test_members_are_set_side_by_side_within_a_limit(own_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from segments import flows

    shop = tracker()
    shop.send(track("Bought", "ann"))
    process_all()
    two = [live("one", performed("Bought")), live("two", performed("Bought", 2))]
    seen: set[str] = set()
    real = flows.bound_cursor

    def watched() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            seen.add(cursor.fetchone()[0])
        return real()

    monkeypatch.setattr(flows, "bound_cursor", watched)
    now = Segment.objects.get(key="one").created_at
    assert overlap(two).people == 1
    flow_among(two, since=now - timedelta(days=1), until=now)
    assert seen == {"30s"}


def test_a_statement_that_takes_longer_is_stopped_and_said_to_be(
    own_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker().send(track("Bought", "ann"))
    process_all()
    monkeypatch.setattr(previews, "PREVIEW_SECONDS", 1)
    monkeypatch.setattr(versions, "PREVIEW_SECONDS", 1)

    def slow(statement: Any) -> list[int]:
        return real(postgres.Text("SELECT 1, pg_sleep(20)", {}))

    real = estimating.counted
    monkeypatch.setattr(estimating, "counted", slow)
    response = key().post("segments/preview/", {"rule": rule(performed("Bought")), "counts": True})
    assert (response.status_code, response.json()["code"]) == (503, "preview_too_slow")

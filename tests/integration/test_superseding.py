"""A newer preview ends the older one in the database, and nothing else; and there are only so many places for them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction
from django.http import HttpResponse

from segments import running
from segments.running import PreviewsBusy, Superseded, Ticket, cancel, place
from segments.services import save_version
from tests.factories import BY, draft, performed, process_all, rule, track, tracker
from tests.integration.callers import Caller, found, key, problem

RULE = rule(performed("Bought"))
SECONDS = 30


@pytest.fixture
def shop(own_database: Any) -> None:
    tracker().send(track("Bought", "ann"), track("Bought", "bob"))
    process_all()


@pytest.fixture
def crew() -> Iterator[Callable[..., "Future[Any]"]]:
    """Starts work in threads with connections of their own."""
    with ThreadPoolExecutor(8) as pool:

        def start(work: Callable[..., Any], *given: Any) -> "Future[Any]":
            def run() -> Any:
                try:
                    return work(*given)
                finally:
                    connections.close_all()

            return pool.submit(run)

        yield start


@contextmanager
def nothing_is_counted() -> Iterator[None]:
    """Whoever counts waits in the database, as if it took very long."""
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute("LOCK TABLE profiles_eventtotal, profiles_event IN ACCESS EXCLUSIVE MODE")
        yield


def counting() -> int:
    """How many statements wait for what nobody may read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND pid <> pg_backend_pid() AND query NOT LIKE '%advisory%'"
        )
        return int(cursor.fetchone()[0])


def until(happened: Callable[[], bool]) -> None:
    patience = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < patience, "it never happened"
        time.sleep(0.02)


def asked(caller: Caller, **more: Any) -> HttpResponse:
    return caller.post("segments/preview/", {"rule": RULE, **more})


# ---- Over REST -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accuracy", ["exact", "sample"])
def test_a_newer_preview_takes_the_place_of_the_older(shop: None, crew: Any, accuracy: str) -> None:
    caller, token = key(), str(uuid4())
    with nothing_is_counted():
        older = crew(lambda: asked(caller, preview=token, accuracy=accuracy))
        until(lambda: counting() == 1)
        newer = crew(lambda: asked(caller, preview=token))
        assert problem(older.result(20), 409)["code"] == "superseded"
        until(lambda: counting() == 1)
        assert not newer.done()
    assert found(newer.result(20))["count"] == 2


def test_a_preview_is_cancelled_by_its_token(shop: None, crew: Any) -> None:
    caller, token = key(), str(uuid4())
    with nothing_is_counted():
        running = crew(lambda: asked(caller, preview=token))
        until(lambda: counting() == 1)
        assert caller.client.delete(f"/api/v1/segments/preview/{token}/", headers=caller.headers).status_code == 204
        assert problem(running.result(20), 409)["code"] == "superseded"
    assert found(asked(caller, preview=token))["count"] == 2
    assert caller.client.delete(f"/api/v1/segments/preview/{token}/", headers=caller.headers).status_code == 204


def test_a_comparison_of_versions_is_cancelled_and_superseded_too(shop: None, crew: Any) -> None:
    segment = draft("buyers", performed("Bought"))
    save_version(segment=segment, rule=rule(performed("Bought", 2)), by=BY)
    caller, token = key(sees=[segment]), str(uuid4())
    with nothing_is_counted():
        older = crew(lambda: caller.get(f"segments/buyers/versions/1/diff/2/?preview={token}"))
        until(lambda: counting() == 1)
        newer = crew(lambda: asked(caller, preview=token))
        assert problem(older.result(20), 409)["code"] == "superseded"
    assert found(newer.result(20))["count"] == 2


def test_another_token_or_another_caller_ends_nothing(shop: None, crew: Any) -> None:
    caller, other, token = key(), key(), str(uuid4())
    with nothing_is_counted():
        mine = crew(lambda: asked(caller, preview=token))
        until(lambda: counting() == 1)
        theirs = crew(lambda: asked(other, preview=token))
        second = crew(lambda: asked(caller, preview=str(uuid4())))
        until(lambda: counting() == 3)
        other.client.delete(f"/api/v1/segments/preview/{token}/", headers=other.headers)
        until(lambda: counting() == 2)
        assert not mine.done()
    assert problem(theirs.result(20), 409)["code"] == "superseded", "they have cancelled their own"
    assert found(mine.result(20))["count"] == found(second.result(20))["count"] == 2


def test_over_the_limit_a_preview_waits_a_little_and_is_then_told_when_to_come_back(
    shop: None, crew: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PREVIEW_PLACES = 2
    monkeypatch.setattr(running, "WAIT_SECONDS", 0.3)
    caller = key()
    with nothing_is_counted():
        counted = [crew(lambda: asked(caller)) for _ in range(2)]
        until(lambda: counting() == 2)
        response = asked(caller)
        assert problem(response, 503)["code"] == "previews_busy"
        assert response["Retry-After"] == "5"
        quick = crew(lambda: asked(caller, accuracy="sample"))
        until(lambda: counting() == 3)  # what is quick has places of its own
        monkeypatch.setattr(running, "WAIT_SECONDS", 20)
        waiting = crew(lambda: asked(caller))
    for one in (*counted, quick, waiting):
        assert found(one.result(20))["count"] == 2


def test_places_of_a_connection_that_is_lost_are_free_again(shop: None, crew: Any, settings: Any) -> None:
    settings.PREVIEW_PLACES = 1
    ticket, held, lost = Ticket(caller=1, token=uuid4()), Event(), Event()

    def lose() -> None:
        with place(ticket=ticket, seconds=SECONDS):
            held.set()
            lost.wait(20)
            connection.close()

    gone = crew(lose)
    held.wait(20)
    lost.set()
    gone.result(20)
    with place(ticket=ticket, seconds=SECONDS):
        pass


# ---- Races -----------------------------------------------------------------------------------------------------


def test_only_the_preview_is_ended_never_what_its_connection_does_next(shop: None, crew: Any) -> None:
    """Previews of microseconds, each followed by another statement, under a hail of cancellations."""
    ticket, stop = Ticket(caller=7, token=uuid4()), Event()
    hits = {"superseded": 0, "counted": 0, "after": 0}

    def preview() -> None:
        chance = Random(7)
        for _ in range(300):
            try:
                with place(ticket=ticket, seconds=SECONDS), transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(%s)", [chance.choice((0, 0, 0.001, 0.005))])
                hits["counted"] += 1
            except Superseded:
                hits["superseded"] += 1
            # Whatever stops this would be somebody else's statement.
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.002)")
                cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
                assert cursor.fetchone() == (0,), "a lock was left behind"
            hits["after"] += 1

    def hail() -> None:
        while not stop.is_set():
            cancel(ticket)

    hailing = [crew(hail) for _ in range(2)]
    try:
        crew(preview).result(120)
    finally:
        stop.set()
    for one in hailing:
        one.result(20)
    assert hits["after"] == 300
    assert min(hits["superseded"], hits["counted"]) > 10, hits


def test_of_many_at_once_one_is_left(shop: None, crew: Any) -> None:
    ticket = Ticket(caller=7, token=uuid4())

    def preview() -> bool:
        try:
            with place(ticket=ticket, seconds=SECONDS), connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.5)")
            return True
        except (Superseded, PreviewsBusy):
            return False

    ended = [one.result(60) for one in [crew(preview) for _ in range(6)]]
    assert any(ended)

    def nothing_is_held() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
            )
            return bool(cursor.fetchone()[0])

    until(nothing_is_held)

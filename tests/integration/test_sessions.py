"""Sessions: visits are cut by half an hour of silence, whatever the order of arrival, and move with the people."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from cdp.identity.merging import undo_merge
from cdp.identity.models import Merge
from cdp.ingestion.models import SourceKind
from cdp.pipeline import process_batch
from cdp.profiles.models import Event, EventTotal, Session
from cdp.profiles.session_store import rebuild_sessions
from cdp.profiles.sessions import GAP, Entry, Visit, joined
from tests.factories import BY, Call, Tracker, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.books import assert_books_balance

START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)


@pytest.fixture
def browser(db: None) -> Tracker:
    return tracker(SourceKind.BROWSER)


def at(minute: float, path: str = "/", *, user: str | None = "ann", device: str = "x", **context: Any) -> Call:
    call = track("Looked", user, anonymousId=device, context={"page": {"path": path}, **context})
    return call | {"timestamp": (START + timedelta(minutes=minute)).isoformat(), "sentAt": None}


def sessions(user: str = "ann") -> list[tuple[float, float, int]]:
    """(from, to, events), in minutes."""
    found = Session.objects.filter(profile_id=person(user).pk).order_by("started_at")
    return [
        ((s.started_at - START).total_seconds() / 60, (s.ended_at - START).total_seconds() / 60, s.events)
        for s in found
    ]


def test_half_an_hour_of_silence_ends_a_session_and_not_a_second_less(browser: Tracker) -> None:
    browser.send(at(0), at(30), at(60.5), at(60.6))
    process_all()
    assert sessions() == [(0, 30, 2), (60.5, 60.6, 2)]
    assert_books_balance()


def test_a_late_event_joins_two_sessions_and_another_moves_a_beginning(browser: Tracker) -> None:
    twice = live("twice", performed("Session Started", 2, within={"days": 3}))
    ever = live("twice-ever", performed("Session Started", 2))
    browser.send(at(20, "/second"), at(60, "/third"))
    process_all()
    assert sessions() == [(20, 20, 1), (60, 60, 1)]
    assert members(twice) == members(ever) == {"ann"}
    browser.send(at(40))
    process_all()
    assert sessions() == [(20, 60, 3)] and members(twice) == members(ever) == set()
    browser.send(at(0, "/first"))
    process_all()
    assert sessions() == [(0, 60, 4)]
    assert Session.objects.get().entry_page == "/first"
    assert EventTotal.objects.get(name__name="Session Started").first_at == START
    assert_books_balance()


def test_what_a_session_tells_is_what_its_first_event_says(browser: Tracker) -> None:
    campaign = {"source": "newsletter", "medium": "email", "name": "fortnightly"}
    browser.send(at(0, "/landing", campaign=campaign), at(1, "/other"), at(90, "/", campaign="nonsense"))
    process_all()
    first, second = Session.objects.order_by("started_at")
    assert (first.entry_page, first.utm_source, first.utm_medium, first.utm_campaign) == (
        "/landing",
        "newsletter",
        "email",
        "fortnightly",
    )
    assert (second.entry_page, second.utm_source) == ("/", "")
    told = Event.objects.filter(type=7).order_by("occurred_at").values_list("properties", flat=True)
    assert list(told) == [
        {"page": "/landing", "utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "fortnightly"},
        {"page": "/"},
    ]
    by_mail = live(
        "by-mail",
        performed("Session Started", where=[{"property": "utm_source", "op": "equals", "value": "newsletter"}]),
    )
    assert members(by_mail) == {"ann"}


def test_servers_and_traits_make_no_sessions(browser: Tracker) -> None:
    server = tracker()
    server.send(track("Order Completed", "ann", properties={"order_id": "o1", "revenue": 5}))
    browser.send(identify("ann", anonymousId="x", traits={"plan": "gold"}))
    process_all()
    assert not Session.objects.exists()
    server.send(track("Looked", "ann"))
    with CaptureQueriesContext(connection) as queries:
        process_batch()
    assert not [query for query in queries.captured_queries if "profiles_session" in query["sql"]]


def test_a_log_in_joins_the_sessions_of_both_and_parting_parts_them(browser: Tracker) -> None:
    browser.send(
        at(0, user=None, device="phone"),
        at(45, user=None, device="phone"),
        at(20, device="laptop"),
        at(45, device="laptop"),
    )
    process_all()
    assert sessions() == [(20, 45, 2)] and Session.objects.count() == 3
    browser.send(identify("ann", anonymousId="phone"))
    process_all()
    assert sessions() == [(0, 45, 4)] and Session.objects.count() == 1
    assert_books_balance()
    undo_merge(merge=Merge.objects.get(), by=BY)
    process_all()
    assert sessions() == [(20, 45, 2)] and Session.objects.count() == 3
    assert_books_balance()


def test_any_arrival_gives_the_sessions_that_all_events_together_have(browser: Tracker) -> None:
    chance = random.Random(7)
    calls = [
        at(chance.randrange(0, 3000) / 2, f"/{n}", user=chance.choice(["ann", "bob"]), device=None) for n in range(120)
    ]  # type: ignore[arg-type]
    for call in calls:
        browser.send(call)
        if chance.random() < 0.3:
            process_all()
    process_all()
    assert_books_balance()
    kept = sorted(Session.objects.values_list())
    rebuild_sessions([person("ann").pk, person("bob").pk])
    assert sorted(Session.objects.values_list()) == kept
    assert_books_balance()


def test_sessions_take_the_same_number_of_statements_however_many_people(browser: Tracker) -> None:
    counts = []
    for size in (3, 150):
        browser.send(*(at(n % 7, user=f"u{size}-{n}", device=f"d{size}-{n}") for n in range(size)))
        with CaptureQueriesContext(connection) as queries:
            process_batch()
        counts.append(len(queries))
    assert counts[1] <= counts[0]


MINUTES = st.lists(st.integers(0, 200), min_size=1, max_size=12)


def piece(number: int, minute: int) -> Visit:
    moment = START + timedelta(minutes=minute)
    return Visit(moment, moment, 1, Entry(f"m{number:02}", 1, None, None, "", "", "", ""))


@given(minutes=MINUTES, cut=st.integers(0, 12), data=st.data())
def test_it_does_not_matter_which_pieces_were_joined_before(minutes: list[int], cut: int, data: st.DataObject) -> None:
    pieces = [piece(number, minute) for number, minute in enumerate(minutes)]
    shuffled = data.draw(st.permutations(pieces))
    whole = joined(pieces)
    assert joined([*joined(shuffled[:cut]), *shuffled[cut:]]) == whole
    assert sum(visit.events for visit in whole) == len(pieces)
    assert all(later.started_at - earlier.ended_at > GAP for earlier, later in pairwise(whole))

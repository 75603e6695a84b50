"""Audiences over REST: whoever loads the members and follows the changes has exactly the members, and nobody else's."""

import csv
import gzip
import io
import json
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.utils import timezone

from cdp.activation import waiting
from cdp.activation.keeping import checksum_of, keep_all, purge_changes
from cdp.activation.models import Audience
from cdp.audit.models import AuditEntry
from cdp.rest.models import Scope
from consent.models import Decision
from segments.models import Segment
from segments.sharing import share_segment
from tests.conftest import OwnDatabase
from tests.factories import BY, Tracker, live, performed, person, process_all, track, tracker
from tests.integration.audiences import audience_of, keep
from tests.integration.callers import Caller, decide, found, key, logged_in, problem

EMAIL = "marketing_email"
KEY = "audiences/buyers-for-marketing-email/"


def says_yes(*users: str) -> None:
    for user in users:
        decide(user, EMAIL, Decision.GRANTED)


def shop_of(*users: str) -> Tracker:
    shop = tracker()
    shop.send(*(track("Bought", user) for user in users))
    process_all()
    return shop


@pytest.fixture
def buyers(db: None) -> Segment:
    """Five people who bought; four of them want mail."""
    shop_of("ann", "bob", "cyd", "dan", "eve")
    says_yes("ann", "bob", "cyd", "dan")
    return live("buyers", performed("Bought"))


@pytest.fixture
def audience(buyers: Segment) -> Audience:
    return audience_of(buyers)


@pytest.fixture
def caller(audience: Audience) -> Caller:
    return key(sees=[audience.segment])


class Follower:
    """Another system: a set of ids and a cursor, as it would keep them."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self.people, self.cursor = caller, set[str](), 0

    def load(self, *, limit: int = 2) -> None:
        page = found(self.caller.get(f"{KEY}members/", purpose=EMAIL, limit=limit))
        self.cursor, self.people = page["position"], set()
        while True:
            self.people |= {one["profile"] for one in page["results"]}
            if not page["next"]:
                return
            page = found(self.caller.get(page["next"]))
            assert page["position"] == self.cursor

    def follow(self, *, limit: int = 3) -> None:
        while True:
            page = found(self.caller.get(f"{KEY}changes/", cursor=self.cursor, limit=limit))
            for change in page["changes"]:
                if change["kind"] == "entered":
                    self.people.add(change["profile"])
                elif change["kind"] == "exited":
                    self.people.discard(change["profile"])
            self.cursor = page["cursor"]
            if not page["has_more"]:
                return

    def checksum(self) -> str:
        total = 0
        for one in self.people:
            total ^= checksum_of(UUID(one))
        return f"{total & (1 << 64) - 1:016x}"


def uuids(*users: str) -> set[str]:
    return {str(person(user).uuid) for user in users}


# ---- Making and showing --------------------------------------------------------------------------------------


def test_an_audience_is_made_shown_called_otherwise_and_deleted(buyers: Segment) -> None:
    caller = key(sees=[buyers])
    body = {"name": "News", "key": "news", "segment": "buyers", "purpose": EMAIL}
    made = caller.post("audiences/", body)
    assert made.status_code == 201 and made["Location"] == "/api/v1/audiences/news/"
    assert made.json()["is_filled"] is False
    keep()
    shown = found(caller.get("audiences/news/"))
    assert (shown["size"], shown["is_filled"], shown["segment"], shown["purpose"]) == (4, True, "buyers", EMAIL)
    assert [one["key"] for one in found(caller.get("audiences/"))["results"]] == ["news"]
    assert found(caller.patch("audiences/news/", {"name": "Letters"}))["name"] == "Letters"
    assert problem(caller.post("audiences/", body), 409)["code"] == "audience_exists"
    assert caller.delete("audiences/news/").status_code == 204
    assert problem(caller.get("audiences/news/"), 404)["code"] == "audience_not_found"


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"purpose": "nothing"}, 400, "/purpose"),
        ({"purpose": "privacy_rights"}, 403, "/purpose"),
        ({"channel": "pigeon"}, 400, "/channel"),
        ({"key": "changes"}, 409, "/key"),
        ({"key": "Bad Key"}, 400, "/key"),
        ({"name": ""}, 400, "/name"),
    ],
)
def test_what_cannot_be_made_says_why_and_where(
    buyers: Segment, change: dict[str, str], status: int, pointer: str
) -> None:
    body = {"name": "News", "segment": "buyers", "purpose": EMAIL} | change
    assert problem(key(sees=[buyers]).post("audiences/", body), status)["pointer"] == pointer


def test_who_may_not_see_the_segment_finds_no_audience(audience: Audience) -> None:
    stranger = key()
    assert found(stranger.get("audiences/"))["results"] == []
    for path in ("", "members/", "changes/", "checksum/"):
        assert problem(stranger.get(KEY + path, **({"purpose": EMAIL} if path == "members/" else {})), 404)
    assert problem(stranger.delete(KEY), 404)
    assert found(stranger.get("audiences/changes/"))["changes"] == []
    body = {"name": "Mine", "segment": "buyers", "purpose": EMAIL}
    assert problem(stranger.post("audiences/", body), 404)


def test_who_sees_the_segment_and_may_not_read_its_members_reads_none(audience: Audience) -> None:
    integrator = logged_in("integrator")
    assert found(integrator.get(KEY))["size"] == 4
    for path in ("members/", "changes/", "checksum/"):
        assert problem(integrator.get(KEY + path), 403)
    assert problem(key(Scope.AUDIENCES_WRITE, sees=[audience.segment]).get(KEY), 403)["code"] == "scope_missing"


def test_a_key_reads_audiences_of_its_purposes_alone(audience: Audience) -> None:
    caller = key(sees=[audience.segment])
    assert caller.key
    caller.key.all_purposes, caller.key.purposes = False, ["internal_analysis"]
    caller.key.save()
    for path in ("members/", "changes/", "checksum/"):
        assert (
            problem(caller.get(KEY + path, **({"purpose": EMAIL} if path == "members/" else {})), 403)["code"]
            == "purpose_missing"
        )
    assert found(caller.get("audiences/changes/"))["changes"] == []
    body = {"name": "More", "segment": "buyers", "purpose": EMAIL}
    assert problem(caller.post("audiences/", body), 403)["code"] == "purpose_missing"


# ---- Members -------------------------------------------------------------------------------------------------


def test_members_are_read_for_the_purpose_of_the_audience_and_for_no_other(caller: Caller) -> None:
    assert problem(caller.get(f"{KEY}members/"), 400)["code"] == "purpose_missing"
    assert problem(caller.get(f"{KEY}members/", purpose="internal_analysis"), 403)["code"] == "purpose_of_another"
    page = found(caller.get(f"{KEY}members/", purpose=EMAIL))
    assert {one["profile"] for one in page["results"]} == uuids("ann", "bob", "cyd", "dan")
    entry = AuditEntry.objects.filter(action="audience.members_read").latest("recorded_at")
    assert entry.purpose == EMAIL and entry.detail["count"] == 4


def test_pages_are_of_one_position_whatever_happens_between_them(caller: Caller) -> None:
    first = found(caller.get(f"{KEY}members/", purpose=EMAIL, limit=2))
    decide("dan", EMAIL, Decision.WITHDRAWN)
    shop_of("zoe")
    says_yes("eve", "zoe")
    keep()
    second = found(caller.get(first["next"]))
    got = {one["profile"] for page in (first, second) for one in page["results"]}
    assert got == uuids("ann", "bob", "cyd"), "neither who left nor who came"
    follower = Follower(caller)
    follower.people, follower.cursor = got, first["position"]
    follower.follow()
    assert follower.people == uuids("ann", "bob", "cyd", "eve", "zoe")


def test_who_withdrew_a_moment_ago_is_in_no_page_though_nobody_has_judged_them_yet(caller: Caller) -> None:
    decide("ann", EMAIL, Decision.WITHDRAWN)
    page = found(caller.get(f"{KEY}members/", purpose=EMAIL))
    assert {one["profile"] for one in page["results"]} == uuids("bob", "cyd", "dan")


def text_of(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def as_file(caller: Caller, media_type: str, **headers: str) -> Any:
    sent = {**caller.headers, "Accept": media_type, **headers}
    return caller.client.get(f"/api/v1/{KEY}members/", {"purpose": EMAIL}, headers=sent)


def test_all_members_come_at_once_as_a_file(audience: Audience, caller: Caller) -> None:
    assert problem(as_file(caller, "text/csv"), 403)["code"]
    share_segment(
        segment=audience.segment,
        user=caller.user,
        permissions=["view_segment", "view_members", "export_members"],
        by=BY,
    )
    decide("ann", EMAIL, Decision.WITHDRAWN)  # whom nobody has judged yet
    expected = uuids("bob", "cyd", "dan")
    answer = as_file(caller, "text/csv")
    rows = list(csv.DictReader(io.StringIO(text_of(answer).decode())))
    assert {row["profile"] for row in rows} == expected and answer["Audience-Position"] == "4"
    lines = text_of(as_file(caller, "application/x-ndjson")).decode().splitlines()
    assert [json.loads(line) for line in lines] == rows
    table = pq.read_table(io.BytesIO(text_of(as_file(caller, "application/vnd.apache.parquet"))))
    assert set(table["profile"].to_pylist()) == expected
    assert [f"{one:%Y-%m-%dT%H:%M:%S.%fZ}" for one in table["entered_at"].to_pylist()] == [
        row["entered_at"] for row in rows
    ]
    packed = as_file(caller, "text/csv", **{"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip" and b"profile,entered_at" in gzip.decompress(text_of(packed))
    assert as_file(caller, "text/csv", **{"If-None-Match": answer["ETag"]}).status_code == 304
    entry = AuditEntry.objects.filter(action="audience.members_exported").latest("recorded_at")
    assert entry.purpose == EMAIL and entry.detail["format"] == "text/csv"


# ---- Changes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_the_beginning", [True, False])
def test_whoever_follows_from_any_cursor_has_exactly_the_members(caller: Caller, from_the_beginning: bool) -> None:
    follower = Follower(caller)
    if not from_the_beginning:
        follower.load()
    for step in range(4):
        decide("ann", EMAIL, Decision.WITHDRAWN if step % 2 == 0 else Decision.GRANTED)
        shop_of(f"new-{step}")
        says_yes(f"new-{step}")
        keep()
        follower.follow()
        assert follower.people == uuids(
            "bob", "cyd", "dan", *["ann"] * (step % 2), *(f"new-{n}" for n in range(step + 1))
        )
        check = found(caller.get(f"{KEY}checksum/", cursor=follower.cursor))
        assert (check["size"], check["checksum"]) == (len(follower.people), follower.checksum())
        assert check == found(caller.get(f"{KEY}checksum/")) | {"position": follower.cursor}


def test_an_entry_of_who_withdrew_since_is_withheld_and_the_exit_follows(caller: Caller) -> None:
    says_yes("eve")
    keep()
    decide("eve", EMAIL, Decision.WITHDRAWN)
    changes = found(caller.get(f"{KEY}changes/"))["changes"]
    assert [one["kind"] for one in changes] == ["entered"] * 4, (
        "the page ends before who withdrew and wasn't judged yet"
    )
    keep()
    changes = found(caller.get(f"{KEY}changes/"))["changes"]
    assert [one["kind"] for one in changes[4:]] == ["withheld", "exited"]
    assert changes[4]["profile"] is None and changes[4]["why"] is None
    follower = Follower(caller)
    follower.follow()
    assert follower.people == uuids("ann", "bob", "cyd", "dan")


def test_who_withdraws_and_permits_again_before_anybody_judged_them_is_not_lost(caller: Caller) -> None:
    says_yes("eve")
    keep()
    decide("eve", EMAIL, Decision.WITHDRAWN)
    follower = Follower(caller)
    follower.follow()
    assert follower.people == uuids("ann", "bob", "cyd", "dan")
    says_yes("eve")
    keep()
    follower.follow()
    assert follower.people == uuids("ann", "bob", "cyd", "dan", "eve")


def test_the_feed_of_all_has_the_changes_of_the_audiences_that_may_be_read(caller: Caller, buyers: Segment) -> None:
    tracker().send(track("Looked", "ann"))
    process_all()
    hidden = live("lookers", performed("Looked"))
    audience_of(hidden)
    audience_of(buyers, "internal_analysis")
    changes = found(caller.get("audiences/changes/", limit=100))["changes"]
    assert {one["audience"] for one in changes} == {"buyers-for-marketing-email", "buyers-for-internal-analysis"}
    positions = [one["position"] for one in changes]
    assert positions == sorted(positions) and len(positions) == 9


def test_what_is_no_longer_kept_and_what_never_was_is_gone(caller: Caller, settings: Any) -> None:
    settings.AUDIENCE_CHANGE_DAYS = 1
    purge_changes(now=timezone.now() + timedelta(days=2))
    decide("dan", EMAIL, Decision.WITHDRAWN)
    keep()
    for path in (f"{KEY}changes/", "audiences/changes/", f"{KEY}checksum/"):
        assert problem(caller.get(path, cursor=3), 410)["code"] == "cursor_gone"
        assert problem(caller.get(path, cursor=99), 410)["code"] == "cursor_gone"
    assert problem(caller.get(f"{KEY}members/", purpose=EMAIL, position=3), 410)
    assert found(caller.get(f"{KEY}changes/", cursor=4))["changes"][0]["kind"] == "exited"
    before = found(caller.get(f"{KEY}checksum/", cursor=4))
    assert before["size"] == 4, "told from the change that came next"
    follower = Follower(caller)
    follower.load()
    assert follower.people == uuids("ann", "bob", "cyd")


@pytest.mark.parametrize(
    "wrong", [{"cursor": "-1"}, {"cursor": "x"}, {"limit": "0"}, {"limit": "1001"}, {"wait": "31"}]
)
def test_a_parameter_out_of_its_range_is_refused(caller: Caller, wrong: dict[str, str]) -> None:
    assert problem(caller.get(f"{KEY}changes/", **wrong), 400)["pointer"] == f"/{next(iter(wrong))}"


def test_a_page_of_changes_asks_as_often_for_many_as_for_few(
    caller: Caller, django_assert_max_num_queries: Any
) -> None:
    caller.get(f"{KEY}changes/")
    with django_assert_max_num_queries(20):
        caller.get(f"{KEY}changes/", limit=1)
    users = [f"p{n}" for n in range(40)]
    shop_of(*users)
    says_yes(*users)
    keep()
    with django_assert_max_num_queries(20):
        assert len(found(caller.get(f"{KEY}changes/"))["changes"]) == 44


# ---- Waiting, and events as they come ------------------------------------------------------------------------


def test_whoever_waits_has_a_change_as_soon_as_it_is_there(own_database: OwnDatabase) -> None:
    shop_of("ann", "bob")
    says_yes("ann")
    audience = audience_of(live("buyers", performed("Bought")))
    caller = key(sees=[audience.segment])
    answers: list[Any] = []

    def ask() -> None:
        answers.append(found(caller.get(f"{KEY}changes/", cursor=1, wait=20)))
        connection.close()

    waiter = threading.Thread(target=ask)
    began = timezone.now()
    waiter.start()
    says_yes("bob")
    keep_all()
    waiter.join(timeout=15)
    assert [one["profile"] for one in answers[0]["changes"]] == [str(person("bob").uuid)]
    assert timezone.now() - began < timedelta(seconds=15)


def test_who_finds_no_place_to_wait_is_answered_at_once(caller: Caller) -> None:
    with waiting.place(), waiting.place():
        began = timezone.now()
        assert found(caller.get(f"{KEY}changes/", cursor=4, wait=20))["changes"] == []
        assert timezone.now() - began < timedelta(seconds=5)
        refused = caller.client.get(f"/api/v1/{KEY}changes/", headers={**caller.headers, "Accept": "text/event-stream"})
        assert problem(refused, 503)["code"] == "too_many_followers" and refused["Retry-After"] == "5"


def test_changes_come_as_events_after_the_last_one_that_was_seen(caller: Caller, settings: Any) -> None:
    settings.AUDIENCE_STREAM_SECONDS = 0.3
    headers = {**caller.headers, "Accept": "text/event-stream", "Last-Event-ID": "2"}
    answer = caller.client.get(f"/api/v1/{KEY}changes/", headers=headers)
    assert answer.status_code == 200 and answer["Content-Type"] == "text/event-stream"
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert [line for line in text.splitlines() if line.startswith("id:")] == ["id: 3", "id: 4"]
    assert "event: change\ndata: {" in text and ": still here" in text
    with waiting.place() as first, waiting.place() as second:
        assert first and second, "the stream gave its place back"


def test_a_stream_of_what_is_gone_is_refused_before_it_begins(caller: Caller) -> None:
    headers = {**caller.headers, "Accept": "text/event-stream", "Last-Event-ID": "999"}
    assert problem(caller.client.get(f"/api/v1/{KEY}changes/", headers=headers), 410)["code"] == "cursor_gone"
    headers["Last-Event-ID"] = "here"
    assert problem(caller.client.get(f"/api/v1/{KEY}changes/", headers=headers), 400)["code"] == "cursor_unknown"

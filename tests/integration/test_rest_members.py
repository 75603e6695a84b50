"""Members over REST: for a purpose, only who permits it now, page by page, each page on record."""

from typing import Any

import pytest

from cdp.audit.models import AuditEntry
from consent.models import Decision
from consent.querysets import purposes_for_lists
from segments.models import Segment
from segments.services import archive
from tests.factories import BY, draft, live, performed, person, process_all, track, tracker
from tests.integration.callers import Caller, decide, found, key, logged_in, problem

pytestmark = pytest.mark.django_db

PEOPLE = [f"p{number:02}" for number in range(9)]


@pytest.fixture
def buyers(db: None) -> Segment:
    """Nine people who bought."""
    tracker().send(*(track("Bought", one) for one in PEOPLE))
    process_all()
    return live("buyers", performed("Bought"))


def read(caller: Caller, purpose: str = "internal_analysis", **query: Any) -> list[str]:
    """Everybody that following the pages shows, by user id."""
    by_uuid = {str(person(one).uuid): one for one in PEOPLE}
    shown, address = [], None
    while True:
        response = caller.get(address) if address else caller.get("segments/buyers/members/", purpose=purpose, **query)
        page = found(response)
        shown += [by_uuid[one["profile"]] for one in page["results"]]
        address = page["next"]
        if not address:
            return shown


def test_without_a_purpose_nobody_is_shown_and_the_purposes_are_named(buyers: Segment) -> None:
    caller = key(sees=[buyers])
    body = problem(caller.get("segments/buyers/members/"), 400)
    assert (body["code"], body["pointer"]) == ("purpose_missing", "/purpose")
    assert all(one in body["detail"] for one in purposes_for_lists().values_list("key", flat=True))
    assert problem(caller.get("segments/buyers/members/?purpose="), 400)
    assert problem(caller.get("segments/buyers/members/?purpose=curiosity"), 400)["code"] == "purpose_unknown"
    assert not AuditEntry.objects.filter(action="members.read").exists()


def test_nobodys_members_are_read_to_answer_privacy_requests(buyers: Segment) -> None:
    for caller in (key(sees=[buyers]), logged_in("compliance")):
        response = caller.get("segments/buyers/members/?purpose=privacy_rights")
        assert problem(response, 403)["code"] == "purpose_not_open"
    sent = {"rule": {"version": 1, "everyone": True}, "purpose": "privacy_rights"}
    assert problem(key().post("segments/preview/", sent), 403)["code"] == "purpose_not_open"


def test_only_who_said_yes_is_shown_for_a_purpose_that_asks_first(buyers: Segment) -> None:
    caller = key(sees=[buyers])
    assert read(caller, "marketing_email") == []
    decide("p03", "marketing_email", Decision.GRANTED)
    assert read(caller, "marketing_email") == ["p03"]
    assert read(caller, "sms") == []
    decide("p03", "marketing_email", Decision.WITHDRAWN)
    assert read(caller, "marketing_email") == []


def test_who_objects_is_gone_from_the_next_page_on(buyers: Segment) -> None:
    caller = key(sees=[buyers])
    page = found(caller.get("segments/buyers/members/?purpose=internal_analysis&limit=5"))
    decide("p07", "internal_analysis", Decision.WITHDRAWN)
    rest = found(caller.get(page["next"]))["results"]
    assert {one["profile"] for one in rest} == {str(person(one).uuid) for one in ("p05", "p06", "p08")}


@pytest.mark.parametrize("limit", [1, 4, 9, 1000])
def test_pages_show_everybody_once(buyers: Segment, limit: int) -> None:
    assert sorted(read(key(sees=[buyers]), limit=limit)) == PEOPLE


def test_a_cursor_of_one_purpose_opens_no_other(buyers: Segment) -> None:
    caller = key(sees=[buyers])
    following = found(caller.get("segments/buyers/members/?purpose=internal_analysis&limit=2"))["next"]
    other = following.replace("internal_analysis", "marketing_email")
    assert problem(caller.get(other), 400)["code"] == "cursor_unknown"


def test_every_page_read_is_on_record(buyers: Segment) -> None:
    caller = key(sees=[buyers])
    read(caller, limit=5)
    first, second = AuditEntry.objects.filter(action="members.read").order_by("recorded_at")
    assert caller.key and (first.actor_kind, first.actor_id, first.purpose) == (
        "api_key", str(caller.key.pk), "internal_analysis",
    )  # fmt: skip
    assert first.object_id == str(buyers.uuid)
    assert first.detail == {"version": 1, "cursor": "", "count": 5, "fields": ["uuid", "entered_at"]}
    assert (second.detail["count"], bool(second.detail["cursor"])) == (4, True)
    assert first.ip_prefix == "127.0.0.0/24"


def test_a_page_costs_the_same_however_many_it_shows(buyers: Segment, django_assert_num_queries: Any) -> None:
    caller = key(sees=[buyers])
    read(caller)
    for limit in (1, 9):
        # The key; what it may see (3) and read (3); the purposes; the page and its entry, in a transaction (4).
        with django_assert_num_queries(11):
            caller.get("segments/buyers/members/", purpose="internal_analysis", limit=limit)


def test_what_is_not_live_has_no_members(buyers: Segment) -> None:
    later = draft("later", performed("Bought"))
    caller = key(sees=[buyers, later])
    for segment in (later, archive(segment=buyers, by=BY)):
        body = problem(caller.get(f"segments/{segment.key}/members/?purpose=internal_analysis"), 409)
        assert body["code"] == "segment_not_live"


def test_people_need_a_role_that_reads_members(buyers: Segment) -> None:
    assert sorted(read(logged_in("marketer"))) == PEOPLE
    assert sorted(read(logged_in("compliance"))) == PEOPLE
    integrator = logged_in("integrator").get("segments/buyers/members/?purpose=internal_analysis")
    assert problem(integrator, 403)["code"] == "permission_missing"

"""Adding people to a segment and removing them by hand over REST: by whom, with what answer, and on whose record."""

import base64
from typing import Any
from uuid import UUID

import pytest

from cdp.audit.models import AuditEntry
from cdp.rest.models import Scope
from cdp.vault.services import open_sealed
from segments.api_by_hand import MOST_BY_HAND
from segments.carrying import hand_lists
from segments.models import ByHand, ListEntry, Segment
from segments.services import pause
from segments.sharing import SHAREABLE, share_segment
from tests.factories import BY, draft, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.callers import Caller, found, key, logged_in, problem

pytestmark = pytest.mark.django_db

WRITES = (Scope.SEGMENTS_WRITE, Scope.PROFILES_READ)


@pytest.fixture
def buyers(db: None) -> Segment:
    """Ann and Bob bought; Cyd and Dee didn't."""
    shop = tracker()
    shop.send(*(identify(name, traits={"email": f"{name}@example.com"}) for name in ("ann", "bob", "cyd", "dee")))
    shop.send(track("Order Completed", "ann"), track("Order Completed", "bob"))
    process_all()
    return live("buyers", performed("Order Completed"))


def caller_of(segment: Segment, *scopes: str) -> Caller:
    caller = key(*(scopes or WRITES))
    share_segment(segment=segment, user=caller.user, by=BY, permissions=SHAREABLE)
    return caller


def asked(*people: str, **more: Any) -> dict[str, Any]:
    return {"people": list(people), "reason": "They said so", **more}


def test_people_are_added_removed_and_taken_back_and_members_follow(buyers: Segment) -> None:
    caller = caller_of(buyers)
    added = found(caller.post("segments/buyers/by-hand/add/", asked("user_id:cyd", "email:dee@example.com", "crm:7")))
    assert added == {"changed": 2, "matched": 2, "unmatched": ["crm:7"]}
    process_all()
    assert members(buyers) == {"ann", "bob", "cyd", "dee"}

    removed = found(caller.post("segments/buyers/by-hand/remove/", asked("user_id:cyd", f"uuid:{person('ann').uuid}")))
    assert removed == {"changed": 2, "matched": 2, "unmatched": []}
    again = found(caller.post("segments/buyers/by-hand/remove/", asked("user_id:cyd")))
    assert again["changed"] == 0, "who is removed already stays so, with the first reason"
    process_all()
    assert members(buyers) == {"bob", "dee"}

    undone = found(
        caller.post("segments/buyers/by-hand/undo/", {"people": ["user_id:ann", "user_id:dee", "user_id:bob"]})
    )
    assert undone == {"changed": 2, "matched": 3, "unmatched": []}
    process_all()
    assert members(buyers) == {"ann", "bob"}


def test_each_person_has_an_entry_whose_reason_opens_with_their_own_key_alone(buyers: Segment) -> None:
    caller = caller_of(buyers)
    found(caller.post("segments/buyers/by-hand/add/", asked("user_id:cyd", "user_id:dee", "user_id:dee")))
    entries = AuditEntry.objects.filter(action="segment.person_added")
    assert {one.detail["profile"] for one in entries} == {str(person(name).uuid) for name in ("cyd", "dee")}
    for entry in entries:
        kept = entry.detail["reason"]
        sealed = {"entry_id": UUID(kept["entry"]), "sealed": base64.b64decode(kept["sealed"])}
        assert "They said so" not in str(entry.detail)
        assert open_sealed(subject_id=kept["subject"], **sealed) == b"They said so"
        assert caller.key is not None and entry.actor_label == str(caller.key)
        assert entry.object_id == str(buyers.uuid)
    lists = hand_lists(buyers)
    assert lists is not None
    kept_reasons = ListEntry.objects.filter(list=lists.of(ByHand.INCLUDE)).values_list("reason", flat=True)
    assert list(kept_reasons) == ["They said so"] * 2
    found(caller.post("segments/buyers/by-hand/undo/", {"people": ["user_id:cyd"]}))
    undone = AuditEntry.objects.get(action="segment.by_hand_undone")
    assert undone.detail == {"profile": str(person("cyd").uuid), "was": ["include"]}


def test_it_takes_the_right_on_the_segment_and_the_right_to_look_people_up(buyers: Segment) -> None:
    without_people = caller_of(buyers, Scope.SEGMENTS_WRITE)
    seer = key(*WRITES)
    share_segment(segment=buyers, user=seer.user, by=BY, permissions=["view_segment", "change_segment", "view_members"])
    stranger = key(*WRITES)
    marketer, compliance = logged_in("marketer"), logged_in("compliance")
    for one in (marketer, compliance):
        one.client.handler.enforce_csrf_checks = False
    for act, body in (
        ("add", asked("user_id:cyd")),
        ("remove", asked("user_id:cyd")),
        ("undo", {"people": ["user_id:cyd"]}),
    ):
        address = f"segments/buyers/by-hand/{act}/"
        assert problem(without_people.post(address, body), 403)["code"] == "scope_missing"
        assert problem(seer.post(address, body), 403)["code"] == "permission_missing"
        assert problem(stranger.post(address, body), 404)["code"] == "segment_not_found"
        assert problem(compliance.post(address, body), 403)["code"] == "permission_missing"
        assert hand_lists(buyers) is None or act == "undo"
    assert found(marketer.post("segments/buyers/by-hand/add/", asked("user_id:cyd")))["changed"] == 1


def test_what_cannot_be_done_is_refused_whole_and_says_where(buyers: Segment) -> None:
    caller = caller_of(buyers)
    address = "segments/buyers/by-hand/add/"
    assert problem(caller.post(address, {"people": ["user_id:cyd"]}), 400)["pointer"] == "/reason"
    assert problem(caller.post(address, asked("user_id:cyd", reason="  ")), 400)["pointer"] == "/reason"
    assert problem(caller.post(address, asked("user_id:cyd", reason="x" * 201)), 400)["pointer"] == "/reason"
    assert problem(caller.post(address, asked()), 400)["pointer"] == "/people"
    assert problem(caller.post(address, asked(*["user_id:x"] * (MOST_BY_HAND + 1))), 400)["pointer"] == "/people"
    assert hand_lists(buyers) is None
    pause(segment=buyers, by=BY)
    assert problem(caller.post(address, asked("user_id:cyd")), 409)["code"] == "segment_not_live"
    idea = draft("idea", performed("Order Completed"))
    share_segment(segment=idea, user=caller.user, by=BY, permissions=SHAREABLE)
    assert (
        problem(caller.post("segments/idea/by-hand/remove/", asked("user_id:ann")), 409)["code"] == "segment_not_live"
    )
    assert found(caller.post("segments/idea/by-hand/undo/", {"people": ["user_id:ann"]}))["changed"] == 0


def test_a_thousand_cost_no_more_statements_than_two(buyers: Segment, django_assert_max_num_queries: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    source = tracker()
    source.send(*(identify(f"n{number}") for number in range(100)))
    process_all()
    caller = caller_of(buyers)
    found(caller.post("segments/buyers/by-hand/add/", asked("user_id:cyd")))  # which makes the lists
    with CaptureQueriesContext(connection) as few:
        found(caller.post("segments/buyers/by-hand/remove/", asked("user_id:cyd", "user_id:dee")))
    with django_assert_max_num_queries(len(few)):
        body = found(caller.post("segments/buyers/by-hand/remove/", asked(*(f"user_id:n{n}" for n in range(100)))))
    assert body["changed"] == 100

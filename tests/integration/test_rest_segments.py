"""Segments over REST: who sees which, what they say, how they are made and worded anew, previewed and refreshed."""

from typing import Any

import jsonschema
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cdp.audit.models import AuditEntry
from cdp.jobs.models import Job
from consent.models import Decision
from segments.models import Segment, SegmentStatus
from segments.refresh import refresh
from segments.services import archive
from segments.sharing import share_segment, unshare_segment
from tests.factories import BY, draft, identify, live, members, performed, person, process_all, rule, track, tracker
from tests.integration.callers import Caller, decide, found, key, logged_in, problem

pytestmark = pytest.mark.django_db

EVERYONE = {"everyone": True}
BOUGHT = performed("Bought")
TWICE = performed("Bought", 2)


@pytest.fixture
def shop(db: None) -> None:
    """Ann bought twice, Bob once; Cyd only looked."""
    source = tracker()
    source.send(track("Bought", "ann"), track("Bought", "ann"), track("Bought", "bob"), track("Looked", "cyd"))
    source.send(identify("ann", traits={"city": "Bern"}))
    process_all()


def keys(response: Any) -> list[str]:
    return [one["key"] for one in found(response)["results"]]


# ---- Which there are -----------------------------------------------------------------------------------------


def test_a_key_sees_the_segments_shared_with_it_and_no_others(shop: None) -> None:
    mine, _other = live("mine", BOUGHT), live("other", TWICE)
    caller = key(sees=[mine])
    assert keys(caller.get("segments/")) == ["mine"]
    found(caller.get("segments/mine/"))
    for address in ("segments/other/", "segments/other/members/?purpose=internal_analysis", "segments/never/"):
        assert problem(caller.get(address), 404)["code"] == "segment_not_found"
    for address in ("segments/other/refresh/", "segments/never/refresh/"):
        assert problem(caller.post(address), 404)["code"] == "segment_not_found"
    assert problem(caller.patch("segments/other/", {"name": "Mine now"}), 404)


def test_what_was_shared_can_be_taken_back(shop: None) -> None:
    segment = live("mine", BOUGHT)
    caller = key(sees=[segment])
    unshare_segment(segment=segment, user=caller.user, by=BY)
    assert keys(caller.get("segments/")) == []


def test_a_role_that_sees_all_segments_sees_all(shop: None) -> None:
    live("mine", BOUGHT), live("other", TWICE)
    assert keys(logged_in("marketer").get("segments/")) == ["mine", "other"]
    assert problem(logged_in().get("segments/"), 403)


def test_the_list_costs_the_same_however_long_it_is(shop: None, django_assert_num_queries: Any) -> None:
    caller = key(sees=[draft("a", EVERYONE)])
    caller.get("segments/")
    for number in range(12):
        share_segment(segment=draft(f"more-{number}", EVERYONE), user=caller.user, by=BY)
    # The key; what its role and what its grants let it see; the rows; what they are meant for.
    with django_assert_num_queries(5):
        assert len(keys(caller.get("segments/"))) == 13


def test_pages_follow_each_other_and_miss_nothing(shop: None) -> None:
    caller = key(sees=[draft(f"s-{number:02}", EVERYONE) for number in range(7)])
    seen, address = [], "segments/?limit=3"
    while address:
        page = found(caller.get(address))
        seen += [one["key"] for one in page["results"]]
        address = page["next"]
    assert seen == [f"s-{number:02}" for number in range(7)]


def test_a_cursor_opens_no_other_list_than_its_own(shop: None) -> None:
    caller = key(sees=[draft(f"s-{number:02}", EVERYONE) for number in range(3)])
    following = found(caller.get("segments/?limit=1"))["next"]
    assert problem(caller.get(f"{following}&status=draft"), 400)["code"] == "cursor_unknown"
    assert problem(caller.get(following.replace("/segments/", "/purposes/")), 400)["code"] == "cursor_unknown"


def test_the_list_is_filtered_by_state_and_searched_by_name(shop: None) -> None:
    caller = key(sees=[draft("first", EVERYONE), live("second", BOUGHT)])
    assert keys(caller.get("segments/?status=live")) == ["second"]
    assert keys(caller.get("segments/?search=IRS")) == ["first"]
    assert keys(caller.get("segments/?search=%25")) == []


# ---- What one says -------------------------------------------------------------------------------------------


def test_a_segment_tells_its_rule_in_json_and_in_english(shop: None) -> None:
    body = found(key(sees=[live("buyers", BOUGHT)]).get("segments/buyers/"))
    assert body["status"] == "live"
    assert body["member_count"] == 2
    assert body["broken_reason"] == ""
    assert body["live_version"]["rule"] == rule(BOUGHT)
    assert body["live_version"] == body["newest_version"]
    assert body["live_version"]["sentence"].startswith("People who")
    assert body["last_refreshed_at"]


def test_a_draft_has_no_live_version(shop: None) -> None:
    body = found(key(sees=[draft("later", BOUGHT)]).get("segments/later/"))
    assert (body["status"], body["live_version"], body["newest_version"]["number"]) == ("draft", None, 1)


# ---- Made and worded anew ------------------------------------------------------------------------------------


def test_a_segment_made_over_rest_is_its_makers_to_see_and_change(shop: None) -> None:
    caller = key()
    response = caller.post("segments/", {"name": "Buyers", "rule": rule(BOUGHT)})
    body = found(response, 201)
    assert response["Location"] == "/api/v1/segments/buyers/"
    assert (body["key"], body["status"], body["refresh_job"]) == ("buyers", "draft", None)
    assert keys(caller.get("segments/")) == ["buyers"]
    assert keys(key().get("segments/")) == []
    entry = AuditEntry.objects.get(action="segment.created")
    assert caller.key and (entry.actor_kind, entry.actor_id) == ("api_key", str(caller.key.pk))
    assert entry.request_id == response["X-Request-Id"]


def test_publishing_at_once_gives_a_job_to_follow(shop: None) -> None:
    caller = key()
    body = found(caller.post("segments/", {"name": "Buyers", "rule": rule(BOUGHT), "publish": True}), 201)
    job = found(caller.get(f"jobs/{body['refresh_job']['uuid']}/"))
    assert (body["status"], job["state"], job["kind"]) == ("live", "queued", "segments.refresh")
    segment = Segment.objects.get(key="buyers")
    refresh(segment=segment, progress=lambda done, total, phase: None)
    assert members(segment) == {"ann", "bob"}


def test_a_new_wording_is_a_new_version_and_lives_once_published(shop: None) -> None:
    caller = key(sees=[live("buyers", BOUGHT)])
    body = found(caller.patch("segments/buyers/", {"rule": rule(TWICE)}))
    assert (body["live_version"]["number"], body["newest_version"]["number"]) == (1, 2)
    body = found(caller.patch("segments/buyers/", {"publish": True}))
    assert body["live_version"]["rule"] == rule(TWICE)
    assert body["refresh_job"]["state"] == "queued"


def test_details_change_and_what_is_not_named_stays(shop: None) -> None:
    caller = key(sees=[draft("buyers", BOUGHT, description="All of them")])
    body = found(caller.patch("segments/buyers/", {"name": "Customers", "refresh_minutes": 5}))
    assert (body["name"], body["description"], body["refresh_minutes"]) == ("Customers", "All of them", 5)
    assert body["newest_version"]["number"] == 1


def test_every_error_of_a_rule_has_its_place_in_the_body(shop: None) -> None:
    broken = {"version": 1, "all": [{"trait": "shoe_size", "op": "is", "value": 1}, {"performed": "Danced"}]}
    body = problem(key().post("segments/", {"name": "Dancers", "rule": broken}), 400)
    assert {(one["code"], one["pointer"]) for one in body["errors"]} >= {
        ("unknown_trait", "/rule/all/0/trait"),
        ("unknown_event", "/rule/all/1/performed"),
    }
    assert not Segment.objects.exists()


def test_a_rule_that_fails_to_publish_leaves_nothing_behind(shop: None) -> None:
    caller = key(sees=[live("buyers", BOUGHT)])
    reads_itself = rule({"in_segment": "buyers"})
    body = problem(caller.patch("segments/buyers/", {"name": "Changed", "rule": reads_itself, "publish": True}), 400)
    assert body["errors"][0]["code"] == "segment_cycle"
    segment = Segment.objects.get()
    assert (segment.name, segment.versions.count()) == ("Buyers", 1)


def test_a_rule_may_not_read_a_segment_that_its_writer_may_not_see(shop: None) -> None:
    secret = live("secret", TWICE)
    caller = key()
    asked = {"name": "Probe", "rule": rule({"in_segment": "secret"})}
    for address in ("segments/", "segments/preview/"):
        sent = asked if address == "segments/" else {"rule": asked["rule"]}
        body = problem(caller.post(address, sent), 400)
        unknown = problem(caller.post(address, {**sent, "rule": rule({"in_segment": "nowhere"})}), 400)
        assert body["errors"][0]["code"] == unknown["errors"][0]["code"]
        assert body["errors"][0]["pointer"] == "/rule/in_segment"
    share_segment(segment=secret, user=caller.user, by=BY, permissions=["view_segment"])
    found(caller.post("segments/", asked), 201)


def test_seeing_a_segment_is_not_yet_changing_it(shop: None) -> None:
    segment, caller = live("buyers", BOUGHT), key()
    share_segment(segment=segment, user=caller.user, by=BY, permissions=["view_segment"])
    found(caller.get("segments/buyers/"))
    assert problem(caller.patch("segments/buyers/", {"name": "x"}), 403)["code"] == "permission_missing"
    assert problem(caller.post("segments/buyers/refresh/"), 403)["code"] == "permission_missing"
    assert (
        problem(caller.get("segments/buyers/members/?purpose=internal_analysis"), 403)["code"] == "permission_missing"
    )


def test_a_taken_key_is_a_conflict(shop: None) -> None:
    draft("buyers", BOUGHT)
    sent = {"name": "Buyers", "key": "buyers", "rule": rule(BOUGHT)}
    assert problem(key().post("segments/", sent), 409)["code"] == "key_taken"


def test_an_archived_segment_is_not_set_live_by_the_way(shop: None) -> None:
    segment = live("buyers", BOUGHT)
    archive(segment=segment, by=BY)
    caller = key(sees=[segment])
    assert problem(caller.patch("segments/buyers/", {"publish": True}), 409)["code"] == "segment_archived"
    assert Segment.objects.get().status == SegmentStatus.ARCHIVED


# ---- Previewed -----------------------------------------------------------------------------------------------


def test_a_preview_counts_exactly_and_shows_nobody(shop: None) -> None:
    body = found(key().post("segments/preview/", {"rule": rule(BOUGHT)}))
    assert (body["count"], body["total"], body["sample"]) == (2, 3, None)
    assert body["share"] == pytest.approx(2 / 3)
    assert body["sentence"].startswith("People who")


def test_a_sample_has_only_who_permits_the_purpose(shop: None) -> None:
    asked = {"rule": rule(BOUGHT), "purpose": "marketing_email"}
    assert found(key().post("segments/preview/", asked))["sample"] == []
    decide("ann", "marketing_email", Decision.GRANTED)
    body = found(key().post("segments/preview/", asked))
    assert (body["count"], body["sample"]) == (2, [str(person("ann").uuid)])


def test_a_sample_needs_the_right_to_read_members(shop: None) -> None:
    asked = {"rule": rule(BOUGHT), "purpose": "internal_analysis"}
    assert problem(key("segments:write").post("segments/preview/", asked), 403)["code"] == "scope_missing"
    assert problem(key().post("segments/preview/", {**asked, "purpose": "curiosity"}), 400)["code"] == "purpose_unknown"


def test_a_preview_is_on_record_with_whom_it_showed(shop: None) -> None:
    asked = {"rule": rule(BOUGHT), "purpose": "internal_analysis"}
    caller = key()
    sample = found(caller.post("segments/preview/", asked))["sample"]
    found(caller.post("segments/preview/", {"rule": rule(BOUGHT)}))
    with_sample, counted = AuditEntry.objects.filter(action="segment.previewed").order_by("recorded_at")
    assert (with_sample.purpose, with_sample.detail["sample"]) == ("internal_analysis", sample)
    assert len(sample) == 2 and counted.detail["sample"] == [] and counted.detail["count"] == 2
    assert with_sample.actor_label == str(caller.key)


def test_each_condition_of_a_preview_is_counted_by_itself(shop: None) -> None:
    known = {"trait": "city", "op": "exists"}
    asked = {"any": [{"all": [TWICE, {"not": known}]}, performed("Looked"), performed("Bought", 3)]}
    body = found(key().post("segments/preview/", {"rule": rule(asked), "counts": True}))
    assert {one["pointer"]: one["count"] for one in body["parts"]} == {
        "": 1, "/any/0": 0, "/any/0/all/0": 1, "/any/0/all/1": 2, "/any/0/all/1/not": 1, "/any/1": 1, "/any/2": 0,
    }  # fmt: skip
    assert (body["count"], body["total"]) == (1, 3)
    assert found(key().post("segments/preview/", {"rule": rule(asked)}))["parts"] is None


def test_the_parts_of_a_rule_are_counted_in_one_statement(shop: None, django_assert_max_num_queries: Any) -> None:
    asked, caller = {"all": [BOUGHT, TWICE, {"trait": "city", "op": "exists"}]}, key()
    sent = {"rule": rule(asked)}
    caller.post("segments/preview/", sent)
    with CaptureQueriesContext(connection) as plain:
        caller.post("segments/preview/", sent)
    with django_assert_max_num_queries(len(plain)):
        caller.post("segments/preview/", {**sent, "counts": True})


# ---- Refreshed -----------------------------------------------------------------------------------------------


def test_a_refresh_answers_with_the_job_to_follow(shop: None) -> None:
    caller = key(sees=[live("buyers", BOUGHT)])
    Job.objects.all().update(state="succeeded")
    response = caller.post("segments/buyers/refresh/")
    body = found(response, 202)
    assert response["Location"] == f"/api/v1/jobs/{body['uuid']}/"
    assert found(caller.get(response["Location"]))["state"] == "queued"


def test_who_asks_for_a_refresh_that_waits_already_follows_the_same_job(shop: None) -> None:
    segment = live("buyers", BOUGHT)
    first, second, stranger = key(sees=[segment]), key(sees=[segment]), key()
    job = found(first.post("segments/buyers/refresh/"), 202)["uuid"]
    assert found(second.post("segments/buyers/refresh/"), 202)["uuid"] == job
    found(second.get(f"jobs/{job}/"))
    assert problem(stranger.get(f"jobs/{job}/"), 404)


def test_a_draft_has_nothing_to_refresh(shop: None) -> None:
    caller = key(sees=[draft("later", BOUGHT)])
    assert problem(caller.post("segments/later/refresh/"), 409)["code"] == "segment_not_live"


# ---- The rule language ---------------------------------------------------------------------------------------


def test_the_schema_of_rules_is_published_to_everybody_and_describes_them() -> None:
    schema = found(Caller(user=None).get("rules/schema/"))  # type: ignore[arg-type]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(rule(TWICE), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(rule({"any": []}), schema)

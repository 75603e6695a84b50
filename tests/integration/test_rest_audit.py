"""The audit log and the versions of a segment over REST."""

import pytest

from cdp.audit.models import AuditEntry
from segments.services import save_version
from tests.factories import BY, draft, rule
from tests.integration.callers import found, key, logged_in, problem

pytestmark = pytest.mark.django_db
EVERYONE = {"everyone": True}


def test_the_log_is_read_page_by_page_newest_first_and_the_reading_is_on_record() -> None:
    caller = key("audit:read")
    for number in range(5):
        draft(f"s{number}", EVERYONE)
    first = found(caller.get("audit/", action="segment.created", limit=3))
    second = found(caller.get(first["next"]))
    moments = [one["recorded_at"] for one in first["results"] + second["results"]]
    assert len(moments) == 5 and moments == sorted(moments, reverse=True) and second["next"] is None
    entry = AuditEntry.objects.filter(action="audit.listed").first()
    assert entry and entry.detail == {"count": 2, "filters": ["action"]}


def test_the_log_is_looked_up_by_object_actor_and_time() -> None:
    caller = key("audit:read")
    draft("mine", EVERYONE)
    draft("theirs", EVERYONE)
    one = AuditEntry.objects.filter(action="segment.created")[0]
    by_object = found(caller.get("audit/", object_type=one.object_type, object_id=one.object_id))["results"]
    assert by_object and {each["object_id"] for each in by_object} == {one.object_id}
    assert caller.key
    mine = found(caller.get("audit/", actor_kind="api_key", actor_id=str(caller.key.pk)))["results"]
    assert {one["action"] for one in mine} == {"audit.listed"}
    assert found(caller.get("audit/", since="2100-01-01T00:00:00Z"))["results"] == []
    assert problem(caller.get("audit/", actor="me"), 400)["code"] == "unknown_parameter"


def test_the_log_is_for_who_may_read_it() -> None:
    assert problem(key("segments:read").get("audit/"), 403)["code"] == "scope_missing"
    problem(logged_in("marketer").get("audit/"), 403)
    found(logged_in("compliance").get("audit/"))


def test_versions_are_listed_newest_first_and_only_of_segments_one_sees() -> None:
    segment = draft("mine", EVERYONE)
    save_version(segment=segment, rule=rule({"everyone": True}), by=BY)
    versions = found(key(sees=[segment]).get("segments/mine/versions/", limit=1))
    assert [one["number"] for one in versions["results"]] == [segment.versions.count()]
    assert bool(versions["next"]) == (segment.versions.count() > 1)
    problem(key().get("segments/mine/versions/"), 404)

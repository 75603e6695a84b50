"""Two versions of a segment side by side: what changed in the rule, and exactly who would come and go."""

from typing import Any

import pytest

from cdp.audit.models import AuditEntry
from cdp.profiles.models import Trait
from cdp.rest.models import Scope
from consent.models import Decision
from segments.models import Segment
from segments.services import save_version
from segments.sharing import share_segment
from tests.factories import BY, draft, performed, person, rule
from tests.integration.callers import Caller, decide, found, key, logged_in, problem
from tests.integration.shoppers import DAY, ann_bob_and_cyd

pytestmark = pytest.mark.django_db

BOUGHT, LOOKED = performed("Bought"), performed("Looked")
RECENTLY = performed("Bought", within={"days": 30})
ADDRESS = "segments/asked/versions/1/diff/2/"


@pytest.fixture
def asked(db: None) -> Segment:
    """First who ever bought (Ann, Bob), then who bought recently or looked (Ann, Cyd)."""
    ann_bob_and_cyd()
    segment = draft("asked", BOUGHT)
    save_version(segment=segment, rule=rule({"any": [RECENTLY, LOOKED]}), by=BY)
    return segment


def sampled(side: dict[str, Any]) -> set[str]:
    names = {str(person(one).uuid): one for one in ("ann", "bob", "cyd")}
    return {names[uuid] for uuid in side["sample"]}


def test_who_would_come_and_go_is_counted_exactly(asked: Segment) -> None:
    body = found(key(sees=[asked]).get(ADDRESS))
    assert (body["before"], body["after"]) == (1, 2)
    assert {side: body["people"][side] for side in ("entering", "leaving", "staying")} == {
        side: {"count": 1, "sample": None} for side in ("entering", "leaving", "staying")
    }
    backwards = found(key(sees=[asked]).get("segments/asked/versions/2/diff/1/"))
    assert backwards["people"]["entering"]["count"] == 1


def test_with_a_purpose_there_are_samples_of_who_permits_it(asked: Segment) -> None:
    body = found(key(sees=[asked]).get(ADDRESS, purpose="internal_analysis"))["people"]
    assert {side: sampled(body[side]) for side in ("entering", "leaving", "staying")} == {
        "entering": {"cyd"}, "leaving": {"bob"}, "staying": {"ann"},
    }  # fmt: skip
    decide("bob", "marketing_email", Decision.GRANTED)
    body = found(key(sees=[asked]).get(ADDRESS, purpose="marketing_email"))["people"]
    assert (sampled(body["leaving"]), body["leaving"]["count"]) == ({"bob"}, 1)
    assert (sampled(body["entering"]), body["entering"]["count"]) == (set(), 1)


def test_what_changed_in_the_rule_is_told_with_its_places(asked: Segment) -> None:
    changes = found(key(sees=[asked]).get(ADDRESS))["changes"]
    assert [(one["kind"], one["before"] and one["before"]["pointer"], one["after"] and one["after"]["pointer"])
            for one in changes] == [("changed", "", ""), ("changed", "", "/any/0"), ("added", None, "/any/1")]  # fmt: skip
    assert changes[1]["sentence"] == (
        "Changed: People who did Bought at least once → People who did Bought in the last 30 days."
    )


def test_a_version_against_itself_changes_nothing(asked: Segment) -> None:
    body = found(key(sees=[asked]).get("segments/asked/versions/2/diff/2/"))
    assert body["changes"] == []
    assert (body["people"]["entering"]["count"], body["people"]["leaving"]["count"]) == (0, 0)
    assert body["people"]["staying"]["count"] == 2


def test_of_a_rule_that_can_not_be_run_the_wording_is_compared_and_the_people_are_not(asked: Segment) -> None:
    save_version(segment=asked, rule=rule({"trait": "city", "op": "exists"}), by=BY)
    Trait.objects.filter(key="city").update(key="town")
    body = found(key(sees=[asked]).get("segments/asked/versions/1/diff/3/"))
    assert body["people"] is None
    assert body["before_errors"] == []
    assert [(one["code"], one["pointer"]) for one in body["after_errors"]] == [("unknown_trait", "/trait")]
    assert [one["kind"] for one in body["changes"]] == ["removed", "added"]


def test_samples_need_the_right_to_read_members(asked: Segment) -> None:
    counts_only = key(Scope.SEGMENTS_READ, sees=[asked])
    found(counts_only.get(ADDRESS))
    assert problem(counts_only.get(ADDRESS, purpose="internal_analysis"), 403)["code"] == "scope_missing"
    viewer = key()
    share_segment(segment=asked, user=viewer.user, by=BY, permissions=["view_segment"])
    assert problem(viewer.get(ADDRESS, purpose="internal_analysis"), 403)["code"] == "permission_missing"
    assert problem(key(sees=[asked]).get(ADDRESS, purpose="privacy_rights"), 403)["code"] == "purpose_not_open"


def test_what_is_not_shared_or_not_there_is_not_found(asked: Segment) -> None:
    assert problem(key().get(ADDRESS), 404)["code"] == "segment_not_found"
    assert problem(key(sees=[asked]).get("segments/asked/versions/1/diff/9/"), 404)["code"] == "version_not_found"
    assert problem(key(sees=[asked]).get("segments/asked/versions/0/diff/1/"), 404)["code"] == "version_not_found"
    huge = f"segments/asked/versions/1/diff/{10**30}/"
    assert problem(key(sees=[asked]).get(huge), 404)["code"] == "version_not_found"
    assert problem(logged_in().get(ADDRESS), 403)["code"] == "permission_missing"


def test_a_comparison_is_on_record_with_whom_it_showed(asked: Segment) -> None:
    caller: Caller = key(sees=[asked])
    found(caller.get(ADDRESS, purpose="internal_analysis"))
    entry = AuditEntry.objects.get(action="segment.versions_compared")
    assert (entry.object_id, entry.purpose) == (str(asked.uuid), "internal_analysis")
    assert entry.detail["counts"] == {"entering": 1, "leaving": 1, "staying": 1}
    assert set(entry.detail["sample"]) == {str(person(one).uuid) for one in ("ann", "bob", "cyd")}


def test_counts_and_samples_are_of_one_moment(asked: Segment) -> None:
    windows = [performed("Bought", within={"days": days}) for days in (39, 41)]
    for number, condition in enumerate(windows, start=3):
        save_version(segment=asked, rule=rule(condition), by=BY)
        assert asked.versions.filter(number=number).exists()
    body = found(key(sees=[asked]).get("segments/asked/versions/3/diff/4/", purpose="internal_analysis"))
    assert sampled(body["people"]["entering"]) == {"bob"}, f"he bought {40 * DAY} ago"

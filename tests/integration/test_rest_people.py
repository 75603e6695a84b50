"""Looking one person up over REST: by any identifier, for a purpose, without telling who is unknown from who objects."""

from typing import Any
from urllib.parse import quote

import pytest

from cdp.audit.models import AuditEntry
from cdp.identity.merging import merge_profiles
from cdp.rest.models import Scope
from consent.models import Decision
from tests.factories import BY, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import Caller, decide, found, key, logged_in, problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(db: None) -> None:
    external = [{"id": "a/b:c d", "type": "crm", "collection": "users", "encoding": "none"}]
    source = tracker()
    source.send(
        identify("ann", anonymousId="dev-1", traits={"email": "Ann@Example.com", "city": "Bern", "age": 30}),
        track("Bought", "ann", context={"externalIds": external}),
        track("Bought", "bob"),
    )
    process_all()


def look_up(caller: Caller, identifier: str, **query: Any) -> Any:
    return caller.get(f"profiles/{quote(identifier, safe='')}/", **query)


@pytest.mark.parametrize(
    "identifier", ["user_id:ann", "email:ann@example.com", "email:ANN@Example.com", "anonymous_id:dev-1", "crm:a/b:c d"]
)
def test_a_person_is_found_by_any_identifier(ann: None, identifier: str) -> None:
    body = found(look_up(key(), identifier))
    assert body["uuid"] == str(person("ann").uuid)
    assert body["traits"] == {"email": "Ann@Example.com", "city": "Bern", "age": 30}
    assert {(one["namespace"], one["value"]) for one in body["identifiers"]} == {
        ("user_id", "ann"), ("email", "ann@example.com"), ("anonymous_id", "dev-1"), ("crm", "a/b:c d"),
    }  # fmt: skip
    assert body["is_masked"] is False


def test_an_id_that_another_system_calls_uuid_is_found_too(ann: None) -> None:
    external = [
        {"id": "7F8B2C9E-0000-4000-8000-000000000000", "type": "uuid", "collection": "users", "encoding": "none"}
    ]
    tracker().send(track("Bought", "bob", context={"externalIds": external}))
    process_all()
    assert found(look_up(key(), "uuid:7F8B2C9E-0000-4000-8000-000000000000"))["uuid"] == str(person("bob").uuid)


def test_whoever_was_merged_away_answers_as_the_survivor(ann: None) -> None:
    gone = person("bob")
    merge_profiles(survivor=person("ann"), absorbed=gone, reason="test", by=BY)
    assert found(look_up(key(), f"uuid:{gone.uuid}"))["uuid"] == str(person("ann").uuid)


def test_only_segments_that_the_caller_may_see_are_named(ann: None) -> None:
    mine = live("mine", performed("Bought"))
    live("other", performed("Bought"))
    caller = key(sees=[mine])
    (only,) = found(look_up(caller, "user_id:ann"))["segments"]
    assert (only["key"], only["name"]) == ("mine", "Mine")
    assert only["entered_at"]
    assert found(look_up(key(), "user_id:ann"))["segments"] == []


UNKNOWN = [
    "user_id:zoe",
    "email:not-an-address",
    "user_id:null",
    "uuid:0190a7c4-0000-7000-8000-000000000000",
    "uuid:7",
    "crm:",
    "user_id:\x00",
    "user_id:" + "x" * 600,
]


@pytest.mark.parametrize("identifier", UNKNOWN)
def test_nobody_is_found_by_what_identifies_nobody(ann: None, identifier: str) -> None:
    assert problem(look_up(key(), identifier), 404)["code"] == "profile_not_found"


@pytest.mark.parametrize("identifier", ["ann", ":ann", "User Id:ann", "%"])
def test_an_identifier_without_a_namespace_is_malformed(ann: None, identifier: str) -> None:
    assert problem(look_up(key(), identifier), 400)["code"] == "identifier_malformed"


def test_who_objects_can_not_be_told_from_who_is_unknown(ann: None) -> None:
    decide("ann", "internal_analysis", Decision.WITHDRAWN)
    decide("bob", "marketing_email", Decision.GRANTED)
    caller = key()
    unknown = problem(look_up(caller, "user_id:zoe"), 404)
    for response in (look_up(caller, "user_id:ann"), look_up(caller, "user_id:ann", purpose="marketing_email")):
        body = problem(response, 404)
        assert {**body, "request_id": ""} == {**unknown, "request_id": ""}
    found(look_up(caller, "user_id:bob", purpose="marketing_email"))
    assert problem(look_up(caller, "user_id:bob", purpose="curiosity"), 400)["code"] == "purpose_unknown"


def test_every_look_at_a_person_is_on_record_without_their_values(ann: None) -> None:
    look_up(key(), "email:ann@example.com")
    entry = AuditEntry.objects.get(action="profile.read")
    assert (entry.object_id, entry.purpose) == (str(person("ann").uuid), "internal_analysis")
    assert entry.detail == {"by": "email", "masked": False, "fields": ["traits", "identifiers", "segments"]}
    look_up(key(), "user_id:zoe")
    assert AuditEntry.objects.filter(action="profile.read").count() == 1


def test_people_who_are_logged_in_see_personal_data_masked(ann: None) -> None:
    body = found(look_up(logged_in("compliance"), "user_id:ann"))
    assert body["is_masked"] is True
    assert "ann@example.com" not in str(body).lower()
    assert body["traits"]["city"] == "Bern"


def test_a_key_sees_personal_data_only_with_a_scope_of_its_own_for_it(ann: None) -> None:
    body = found(look_up(key(Scope.PROFILES_READ), "user_id:ann"))
    assert body["is_masked"] is True
    assert "ann@example.com" not in str(body).lower()
    assert AuditEntry.objects.get(action="profile.read").detail["masked"] is True
    assert problem(look_up(key(Scope.PROFILES_REVEAL), "user_id:ann"), 403)["code"] == "scope_missing"


def test_a_request_of_theirs_is_answered_even_to_who_objects_by_who_may_reveal(ann: None) -> None:
    decide("ann", "internal_analysis", Decision.WITHDRAWN)
    for caller in (key(), logged_in("compliance")):
        found(look_up(caller, "user_id:ann", purpose="privacy_rights"))
    for caller in (key(Scope.PROFILES_READ), logged_in("marketer")):
        assert problem(look_up(caller, "user_id:ann", purpose="privacy_rights"), 403)["code"] == "purpose_not_open"


def test_a_look_up_costs_the_same_however_much_is_known(ann: None, django_assert_max_num_queries: Any) -> None:
    caller = key(sees=[live(f"s-{number}", performed("Bought")) for number in range(6)])
    with django_assert_max_num_queries(14):
        assert len(found(look_up(caller, "user_id:ann"))["segments"]) == 6

"""The catalogues over REST, and looking many people up at once."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cdp.audit.models import AuditEntry
from cdp.content.counting import counter
from cdp.content.models import LookupCount
from cdp.identity.merging import merge_profiles
from cdp.profiles.models import EventName, Trait
from cdp.rest.models import Scope
from consent.models import Decision
from tests.factories import BY, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import decide, found, key, problem

PURPOSE = "personalisation"


@pytest.fixture
def shop(db: None) -> None:
    people = ("ann", "bob", "cleo")
    tracker().send(
        *(identify(one, traits={"city": "Bern", "email": f"{one}@example.com"}) for one in people),
        *(track("Bought", one) for one in people),
    )
    process_all()
    for one in ("ann", "bob"):
        decide(one, PURPOSE, Decision.GRANTED)
    decide("cleo", PURPOSE, Decision.DENIED)


def test_traits_are_listed_and_described_and_that_is_on_record(shop: None) -> None:
    caller = key(Scope.CATALOGUE_READ, Scope.CATALOGUE_WRITE)
    listed = {one["key"]: one for one in found(caller.get("catalogue/traits/"))["results"]}
    assert (listed["city"]["is_personal"], listed["email"]["is_personal"]) == (False, True)
    assert listed["city"]["share_of_people"] is None, "nobody has counted yet"
    said = {"label": "Town", "is_personal": True, "description": "Where they live."}
    changed = found(caller.patch("catalogue/traits/city/", said))
    assert {name: changed[name] for name in said} == said
    assert Trait.objects.get(key="city").is_pii
    detail = AuditEntry.objects.get(action="trait.changed").detail
    assert detail["after"] == {"label": "Town", "is_pii": True, "description": "Where they live."}
    caller.patch("catalogue/traits/city/", said)
    assert AuditEntry.objects.filter(action="trait.changed").count() == 1, "nothing changed"
    problem(caller.get("catalogue/traits/nope/"), 404)
    assert (
        problem(caller.patch("catalogue/traits/city/", {"category": "moon"}), 400)["errors"][0]["pointer"]
        == "/category"
    )
    problem(key(Scope.CATALOGUE_READ).patch("catalogue/traits/city/", said), 403)


def test_events_are_listed_and_described(shop: None) -> None:
    caller = key(Scope.CATALOGUE_READ, Scope.CATALOGUE_WRITE)
    bought = next(one for one in found(caller.get("catalogue/events/"))["results"] if one["name"] == "Bought")
    path = f"catalogue/events/{bought['number']}/"
    answer = caller.get(path)
    caller.patch(path, {"label": "Purchase"}, **{"If-Match": answer["ETag"]})
    assert EventName.objects.get(name="Bought").label == "Purchase"
    assert problem(caller.patch(path, {"label": "x"}, **{"If-Match": answer["ETag"]}), 412)
    problem(caller.get("catalogue/events/999999/"), 404)


def looked_up(caller: Any, *identifiers: str) -> list[Any]:
    answer = found(caller.post("profiles/lookup/", {"purpose": PURPOSE, "identifiers": list(identifiers)}))
    return [one["person"] for one in answer["results"]]


def test_many_are_looked_up_each_at_its_place_as_one_by_one(shop: None) -> None:
    segment = live("buyers", performed("Bought"))
    caller = key(Scope.PROFILES_LOOKUP, sees=[segment])
    names = [
        "user_id:bob",
        "user_id:nobody",
        "email:ANN@example.com",
        "user_id:cleo",
        f"uuid:{person('ann').uuid}",
        "user_id:bob",
        "uuid:x",
    ]
    results = looked_up(caller, *names)
    assert [one and one["uuid"] for one in results] == [
        str(person("bob").uuid), None, str(person("ann").uuid), None, str(person("ann").uuid), str(person("bob").uuid), None,
    ]  # fmt: skip
    for name, one in zip(names, results, strict=True):
        if one is not None:
            alone = found(caller.get(f"profiles/{name}/segments/", purpose=PURPOSE))
            assert one == {field: alone[field] for field in one}
    counter.flush()
    assert sum(LookupCount.objects.values_list("reads", flat=True)) == 4 + 4


def test_whoever_was_merged_answers_as_who_they_are_now(shop: None) -> None:
    absorbed = person("bob").uuid
    merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="test", by=BY)
    [one] = looked_up(key(Scope.PROFILES_LOOKUP), f"uuid:{absorbed}")
    assert one["uuid"] == str(person("ann").uuid)


def test_many_take_no_more_statements_than_one(shop: None) -> None:
    caller = key(Scope.PROFILES_LOOKUP)
    looked_up(caller, "user_id:ann")

    def statements(count: int) -> int:
        with CaptureQueriesContext(connection) as asked:
            looked_up(caller, *(f"user_id:u{number}" for number in range(count)), "user_id:ann")
        return len(asked)

    assert statements(499) == statements(0)


def test_what_cannot_be_looked_up_is_named(shop: None) -> None:
    caller = key(Scope.PROFILES_LOOKUP)
    refused = problem(caller.post("profiles/lookup/", {"purpose": PURPOSE, "identifiers": ["user_id:ann", "ann"]}), 400)
    assert [one["pointer"] for one in refused["errors"]] == ["/identifiers/1"]
    problem(caller.post("profiles/lookup/", {"purpose": PURPOSE, "identifiers": ["a:b"] * 501}), 400)
    assert (
        problem(caller.post("profiles/lookup/", {"purpose": "made_up", "identifiers": ["a:b"]}), 400)["code"]
        == "purpose_unknown"
    )

"""Slots: what may stand in them, who is given which variant, and that each change is a version on record."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.content.models import Slot, SlotVersion
from cdp.content.services import change_slot, create_slot
from cdp.errors import Conflict
from consent.models import Decision
from segments.models import Segment
from segments.services import archive
from tests.factories import BY, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import Caller, decide, found, key, problem
from tests.integration.test_lookup import from_a_page, page_key, scored

pytestmark = pytest.mark.django_db
PURPOSE = "personalisation"
SWISS = {"rule": {"version": 1, "trait": "country", "op": "equals", "value": "CH"}}


@pytest.fixture(autouse=True)
def shop() -> Segment:
    sender = tracker()
    people = {"ann": "CH", "bob": "DE", "cem": "DE"}
    sender.send(*(identify(one, traits={"country": country}) for one, country in people.items()))
    sender.send(track("Bought", "bob", anonymousId="device-bob"))
    process_all()
    for one in people:
        decide(one, PURPOSE, Decision.GRANTED)
    return live("buyers", performed("Bought"))


def variant(name: str, when: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "content": {"title": name}, **more}


def document(*variants: dict[str, Any], default: Any = None) -> dict[str, Any]:
    return {"variants": list(variants), "default": default}


def slot(*variants: dict[str, Any], caller: Caller, default: Any = None, **more: Any) -> Slot:
    made = {"key": "hero", "name": "Hero", "is_live": True, **more, "document": document(*variants, default=default)}
    return create_slot(**made, by=BY, user=caller.user)


def given(caller: Caller, user: str, slots: str = "hero") -> dict[str, Any]:
    answer = found(caller.get(f"profiles/user_id:{user}/segments/", purpose=PURPOSE, slots=slots))
    return {name: one["variant"] for name, one in answer["slots"].items()}


def test_the_first_variant_that_fits_is_given(shop: Segment) -> None:
    caller = key(sees=[shop])
    slot(variant("Swiss", SWISS), variant("Buyers", {"segment": "buyers"}), caller=caller, default={"title": "Hello"})
    assert given(caller, "ann") == {"hero": "Swiss"}
    assert given(caller, "bob") == {"hero": "Buyers"}
    answer = found(caller.get("profiles/user_id:cem/segments/", purpose=PURPOSE, slots="hero,none"))
    assert answer["slots"] == {"hero": {"variant": None, "content": {"title": "Hello"}, "version": 1}}


def test_a_persona_gets_its_variant(shop: Segment) -> None:
    from segments.models import Persona

    Persona.objects.create(
        key="hunters", name="Hunters", source="segment", segment=shop, source_name="Buyers", position=1
    )
    caller = key()
    slot(variant("Hunters", {"persona": "hunters"}), caller=caller)
    assert given(caller, "ann") == {"hero": None}
    scored("1", kind="persona", name="hunters")
    assert given(caller, "ann") == {"hero": "Hunters"}


def test_drafts_and_what_is_over_or_not_yet_begun_are_not_served(shop: Segment) -> None:
    caller, now = key(sees=[shop]), timezone.now()
    hour = timedelta(hours=1)
    begun = {"starts_at": (now - hour).isoformat()}
    over = {"ends_at": (now - hour).isoformat()}
    ahead = {"starts_at": (now + hour).isoformat()}
    made = slot(
        variant("Over", None, **over), variant("Ahead", None, **ahead), variant("Now", None, **begun), caller=caller
    )
    assert given(caller, "ann") == {"hero": "Now"}
    for changes in ({"is_live": False}, {"ends_at": now - hour}, {"ends_at": None, "starts_at": now + hour}):
        change_slot(slot=made, changes={"is_live": True, **changes}, by=BY, user=caller.user)
        assert given(caller, "ann") == {}


def test_a_rule_that_cannot_be_judged_any_more_gives_the_variant_to_nobody(shop: Segment) -> None:
    caller = key(sees=[shop])
    made = slot(variant("Swiss", SWISS), caller=caller, default="Hello")
    Slot.objects.filter(pk=made.pk).update(
        document=document(variant("Swiss", {"rule": {"version": 1, "trait": "gone", "op": "equals", "value": "x"}},
                                  starts_at=None, ends_at=None), default="Hello")
    )  # fmt: skip
    assert given(caller, "ann") == {"hero": None}


def test_all_that_is_wrong_is_said_at_its_place() -> None:
    caller = key()
    bad = document(
        variant("", None),
        variant("Twice", {"segment": "none"}),
        variant("Twice", {"rule": {"version": 1, "trait": "nothing", "op": "equals", "value": 1}}),
        {"name": "Empty", "when": {"moon": "full"}, "content": None, "starts_at": "soon"},
        variant("Ends", {"persona": 3}, starts_at="2027-01-02T00:00:00Z", ends_at="2027-01-01T00:00:00Z"),
    )
    answer = problem(caller.post("slots/", {"key": "hero", "name": "Hero", "document": bad}), 400)
    at = "/document/variants/"
    assert {one["pointer"] for one in answer["errors"]} == {
        f"{at}0/name", f"{at}1/when/segment", f"{at}2/when/rule/trait", f"{at}3/content", f"{at}3/when",
        f"{at}3/starts_at", f"{at}4/when/persona", f"{at}4/ends_at",
    }  # fmt: skip
    assert problem(caller.post("slots/", {"key": "hero", "name": "Hero", "document": []}), 400)


def test_a_variant_may_ask_only_what_its_author_may_see(shop: Segment) -> None:
    body = {"key": "hero", "name": "Hero", "document": document(variant("Buyers", {"segment": "buyers"}))}
    assert problem(key().post("slots/", body), 400)["errors"][0]["code"] == "segment_unknown"
    assert found(key(sees=[shop]).post("slots/", body), 201)["version"] == 1
    pii = {"rule": {"version": 1, "in_segment": "buyers"}}
    body = {"key": "other", "name": "Hero", "document": document(variant("Buyers", pii))}
    assert problem(key().post("slots/", body), 400)


def test_slots_are_made_changed_and_deleted_over_rest(shop: Segment) -> None:
    caller = key()
    body = {"key": "hero", "name": "Hero", "document": document(variant("All", None))}
    assert found(caller.post("slots/", body), 201)["is_live"] is False
    assert problem(caller.post("slots/", body), 409)["code"] == "key_taken"
    changed = found(caller.patch("slots/hero/", {"is_live": True, "version": 1}))
    assert (changed["version"], changed["is_live"]) == (2, True)
    assert problem(caller.patch("slots/hero/", {"name": "New", "version": 1}), 409)["code"] == "saved_meanwhile"
    assert [one["key"] for one in found(caller.get("slots/"))["results"]] == ["hero"]
    assert SlotVersion.objects.get(number=1).body["is_live"] is False
    actions = list(AuditEntry.objects.filter(action__startswith="slot.").values_list("action", flat=True))
    assert sorted(actions) == ["slot.changed", "slot.created"]
    assert caller.delete("slots/hero/").status_code == 204
    assert problem(caller.get("slots/hero/"), 404)["code"] == "slot_not_found"
    assert problem(key("content:read").post("slots/", body), 403)["code"] == "scope_missing"


def test_saving_what_is_saved_makes_no_version() -> None:
    caller = key()
    made = slot(variant("All", None), caller=caller)
    same = change_slot(slot=made, changes={"document": document(variant("All", None))}, by=BY, user=caller.user)
    assert same.version == 1
    with pytest.raises(Conflict):
        change_slot(slot=made, changes={"name": "x"}, by=BY, user=caller.user, base=7)


def test_pages_are_given_public_slots_alone_and_strangers_the_default(client: Any, shop: Segment) -> None:
    caller, write_key = key(sees=[shop]), page_key()
    made = slot(variant("Buyers", {"segment": "buyers"}), variant("Not CH", {"rule": {"version": 1, "not": {
        "trait": "country", "op": "equals", "value": "CH"}}}), caller=caller, default={"title": "Hello"})  # fmt: skip
    body = {"anonymousId": "device-bob", "slots": ["hero"]}
    assert from_a_page(client, write_key, body).json()["slots"] == {}
    change_slot(slot=made, changes={"is_public": True}, by=BY, user=caller.user)
    said = from_a_page(client, write_key, body).json()
    assert said["slots"]["hero"]["content"] == {"title": "Buyers"} and said["segments"] == []
    decide("bob", PURPOSE, Decision.WITHDRAWN)
    assert person("bob")
    assert from_a_page(client, write_key, body).json()["slots"]["hero"]["content"] == {"title": "Hello"}


def test_the_script_is_small_and_writes_no_html(client: Any) -> None:
    script = client.get("/slots.js")
    assert script["Content-Type"].startswith("text/javascript") and len(script.content) < 3000
    assert b"innerHTML" not in script.content and b"eval" not in script.content


def test_a_segment_that_a_live_slot_shows_something_to_is_neither_archived_nor_deleted(shop: Segment) -> None:
    made = slot(variant("Buyers", {"segment": "buyers"}), caller=key(sees=[shop]))
    with pytest.raises(Conflict, match="the slot “Hero”"):
        archive(segment=shop, by=BY)
    Slot.objects.filter(pk=made.pk).update(is_live=False)
    archive(segment=shop, by=BY)

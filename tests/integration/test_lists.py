"""Static lists: only who is put on one is on it, rules follow at once, and of two who are one the survivor is on both's."""

from typing import Any

import pytest
from django.db.models import ProtectedError

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainError
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.pipeline import drain_dirty
from cdp.profiles.models import DirtyProfile, Profile
from cdp.rest.models import Scope
from segments import lists
from segments.engines.postgres import LeafQueries
from segments.lists import (
    Changed,
    ListInUse,
    add_people,
    change_list,
    create_list,
    delete_list,
    remove_people,
    replace_people,
    size_of,
)
from segments.models import ListEntry, ListUse, Segment, StaticList
from segments.rules import RuleErrors
from segments.services import archive, delete_segment
from tests.factories import (
    BY,
    Tracker,
    draft,
    identify,
    live,
    members,
    performed,
    person,
    process_all,
    rule,
    set_live,
    track,
    tracker,
)
from tests.integration.books import assert_books_balance, member_ids
from tests.integration.callers import found, key, logged_in, problem

pytestmark = pytest.mark.django_db

VIP = {"in_list": "vip"}
PEOPLE = ("ann", "bob", "cyd", "dee")


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(*(identify(name, traits={"email": f"{name}@example.com"}) for name in PEOPLE))
    process_all()
    return shop


@pytest.fixture
def vip(shop: Tracker) -> StaticList:
    return create_list(name="VIP", by=BY)


def ids(*names: str) -> list[int]:
    return [person(name).pk for name in names]


def on(static_list: StaticList) -> set[str]:
    entries = set(ListEntry.objects.filter(list=static_list).values_list("profile_id", flat=True))
    return {name for name in PEOPLE if Profile.objects.filter(identifiers__value=name, pk__in=entries).exists()}


# ---- Who is on it --------------------------------------------------------------------------------------------


def test_people_are_put_on_and_taken_off_once_each(vip: StaticList) -> None:
    assert add_people(static_list=vip, profile_ids=ids("ann", "bob", "ann"), by=BY, reason="asked") == Changed(added=2)
    assert add_people(static_list=vip, profile_ids=ids("bob", "cyd"), by=BY) == Changed(added=1)
    assert (on(vip), size_of(vip)) == ({"ann", "bob", "cyd"}, 3)
    entry = ListEntry.objects.get(profile=person("ann"))
    assert (entry.added_by, entry.reason, entry.origin_id) == (BY.label, "asked", entry.profile_id)
    assert remove_people(static_list=vip, profile_ids=ids("ann", "dee"), by=BY) == Changed(removed=1)
    assert replace_people(static_list=vip, profile_ids=ids("bob", "dee"), by=BY) == Changed(added=1, removed=1)
    assert on(vip) == {"bob", "dee"}
    assert replace_people(static_list=vip, profile_ids=[], by=BY) == Changed(removed=2)
    told = AuditEntry.objects.filter(action__startswith="list.").order_by("recorded_at")
    assert list(told.values_list("action", "detail")) == [
        ("list.created", {"key": "vip", "name": "VIP"}),
        ("list.people_added", {"count": 2}),
        ("list.people_added", {"count": 1}),
        ("list.people_removed", {"count": 1}),
        ("list.people_replaced", {"added": 1, "removed": 1}),
        ("list.people_replaced", {"added": 0, "removed": 2}),
    ]


def test_nobody_who_does_not_exist_is_put_on(vip: StaticList) -> None:
    assert add_people(static_list=vip, profile_ids=[*ids("ann"), 10**12], by=BY) == Changed(added=1)
    assert_books_balance()


def test_many_are_taken_in_chunks(vip: StaticList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "CHUNK", 3)
    everybody = ids(*PEOPLE)
    assert add_people(static_list=vip, profile_ids=(one for one in everybody), by=BY) == Changed(added=4)
    assert replace_people(static_list=vip, profile_ids=iter(everybody[1:]), by=BY) == Changed(removed=1)
    assert remove_people(static_list=vip, profile_ids=iter(everybody), by=BY) == Changed(removed=3)


def test_only_who_changed_is_evaluated_and_only_by_rules_that_read_the_list(
    vip: StaticList, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_people(static_list=vip, profile_ids=ids("ann"), by=BY)
    create_list(name="Staff", by=BY)
    guests, others = live("guests", VIP), live("others", {"not": VIP})
    live("staff", {"in_list": "staff"})
    reader = live("readers", {"in_segment": "guests"})
    process_all()
    asked: list[str] = []
    answer = LeafQueries.answer

    def listening(self: LeafQueries, wanted: Any, **more: Any) -> Any:
        asked.extend(leaf.key for leaf in wanted)
        return answer(self, wanted, **more)

    monkeypatch.setattr(LeafQueries, "answer", listening)
    replace_people(static_list=vip, profile_ids=ids("ann", "bob"), by=BY)
    assert list(DirtyProfile.objects.values_list("profile_id", "facts")) == [
        (person("bob").pk, {"why": "edit", "lists": ["vip"]})
    ]
    assert drain_dirty() == 1
    assert set(asked) == {'["in_list","vip"]', '["in_segment","guests"]'}
    assert members(guests) == members(reader) == {"ann", "bob"}
    assert members(others) == {"cyd", "dee"}
    remove_people(static_list=vip, profile_ids=ids("ann"), by=BY)
    process_all()
    assert members(guests) == {"bob"} and members(others) == {"ann", "cyd", "dee"}
    assert_books_balance()


def test_what_is_wrong_with_a_list_is_said(vip: StaticList) -> None:
    for wrong, code in (({"name": " "}, "name_missing"), ({"name": "x", "key": "Ü"}, "key_malformed")):
        with pytest.raises(DomainError) as refused:
            create_list(**wrong, by=BY)
        assert refused.value.code == code
    with pytest.raises(Conflict):
        create_list(name="Other", key="vip", by=BY)
    assert create_list(name="VIP!", by=BY).key == "vip-2"
    changed = change_list(static_list=vip, name="Very important", description="", by=BY)
    assert (changed.key, changed.name) == ("vip", "Very important")
    with pytest.raises(RuleErrors):
        draft("guests", {"in_list": "friends"})


# ---- While rules read it -------------------------------------------------------------------------------------


def test_a_list_that_a_live_rule_reads_is_kept(vip: StaticList) -> None:
    guests = live("guests", {"not": VIP})
    draft("only-a-draft", VIP)
    with pytest.raises(ListInUse) as refused:
        delete_list(static_list=vip, by=BY)
    assert refused.value.users == [guests] and "“Guests”" in str(refused.value)
    with pytest.raises(ProtectedError):
        vip.delete()
    archive(segment=guests, by=BY)
    add_people(static_list=vip, profile_ids=ids("ann"), by=BY)
    delete_list(static_list=vip, by=BY)
    assert not StaticList.objects.exists() and not ListEntry.objects.exists() and not ListUse.objects.exists()


def test_another_version_or_the_end_of_a_segment_lets_the_list_go(vip: StaticList, shop: Tracker) -> None:
    shop.send(track("Looked", "ann"))
    process_all()
    guests = live("guests", VIP)
    set_live(guests, performed("Looked"))
    assert not ListUse.objects.exists()
    again = live("again", VIP)
    delete_segment(segment=again, by=BY)
    delete_list(static_list=vip, by=BY)


# ---- Merging and parting -------------------------------------------------------------------------------------


def test_the_survivor_is_on_what_either_was_on_and_after_an_undo_each_on_its_own(vip: StaticList) -> None:
    staff = create_list(name="Staff", by=BY)
    add_people(static_list=vip, profile_ids=ids("bob"), by=BY, reason="bought a lot")
    add_people(static_list=staff, profile_ids=ids("ann", "bob"), by=BY)
    guests, crew = live("guests", VIP), live("crew", {"in_list": "staff"})
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="asked on the phone", by=BY)
    process_all()
    assert member_ids(guests) == member_ids(crew) == {merge.survivor_id}
    assert (size_of(vip), size_of(staff)) == (1, 1), "one person, however often"
    assert ListEntry.objects.get(list=vip).reason == "bought a lot"
    assert_books_balance()
    undo_merge(merge=merge, by=BY)
    process_all()
    assert (on(vip), on(staff)) == ({"bob"}, {"ann", "bob"})
    assert members(guests) == {"bob"} and members(crew) == {"ann", "bob"}
    assert_books_balance()


def test_a_batch_that_proves_two_to_be_one_brings_the_lists_along(vip: StaticList, shop: Tracker) -> None:
    shop.send(track("Looked", anonymousId="x"))
    process_all()
    device = Profile.objects.get(identifiers__namespace="anonymous_id")
    add_people(static_list=vip, profile_ids=[device.pk], by=BY)
    guests = live("guests", VIP)
    assert members(guests) == {"?"}
    shop.send(identify("ann", anonymousId="x"))
    process_all()
    assert members(guests) == {"ann"} and on(vip) == {"ann"}
    assert_books_balance()


def test_merges_upon_merges_are_undone_one_by_one(vip: StaticList) -> None:
    add_people(static_list=vip, profile_ids=ids("ann", "bob"), by=BY)
    people = {name: person(name) for name in PEOPLE}
    first = merge_profiles(survivor=people["cyd"], absorbed=people["ann"], reason="1", by=BY)
    second = merge_profiles(survivor=people["cyd"], absorbed=people["bob"], reason="2", by=BY)
    third = merge_profiles(survivor=people["dee"], absorbed=people["cyd"], reason="3", by=BY)
    process_all()
    assert set(ListEntry.objects.values_list("profile_id", flat=True)) == {people["dee"].pk}
    for merge, expected in ((third, {"cyd"}), (first, {"ann", "cyd"}), (second, {"ann", "bob"})):
        undo_merge(merge=merge, by=BY)
        process_all()
        now = set(ListEntry.objects.values_list("profile_id", flat=True))
        assert now == {people[name].pk for name in expected}
    assert_books_balance()


def test_who_was_taken_off_does_not_come_back_by_an_earlier_merge_nor_by_its_undoing(vip: StaticList) -> None:
    add_people(static_list=vip, profile_ids=ids("bob"), by=BY)
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="asked", by=BY)
    # The evaluator has not been there yet.
    assert remove_people(static_list=vip, profile_ids=[merge.survivor_id], by=BY) == Changed(removed=1)
    process_all()
    undo_merge(merge=merge, by=BY)
    process_all()
    assert size_of(vip) == 0


def test_what_was_given_to_both_at_once_stays_with_the_survivor(vip: StaticList) -> None:
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="asked", by=BY)
    process_all()
    add_people(static_list=vip, profile_ids=[merge.survivor_id], by=BY)
    undo_merge(merge=merge, by=BY)
    process_all()
    assert on(vip) == {"ann"}


# ---- Over REST -----------------------------------------------------------------------------------------------


def test_a_list_is_made_filled_and_emptied_over_rest(shop: Tracker) -> None:
    caller = key(Scope.SEGMENTS_READ, Scope.SEGMENTS_WRITE, Scope.PROFILES_READ)
    made = caller.post("lists/", {"name": "Opening night", "description": "Guests"})
    assert found(made, 201)["key"] == "opening-night" and made["Location"] == "/api/v1/lists/opening-night/"
    asked = {
        "people": ["user_id:ann", "email:BOB@example.com", f"uuid:{person('cyd').uuid}", "user_id:ann",
                   "user_id:nobody", "not an identifier", "user_id:null"],
        "reason": "invited",
    }  # fmt: skip
    assert found(caller.post("lists/opening-night/people/", asked)) == {
        "added": 3,
        "removed": 0,
        "matched": 3,
        "unmatched": ["user_id:nobody", "not an identifier", "user_id:null"],
    }
    assert Profile.objects.count() == 4, "nobody was made"
    assert set(ListEntry.objects.values_list("reason", flat=True)) == {"invited"}
    assert found(caller.put("lists/opening-night/people/", {"people": ["user_id:ann", "user_id:dee"]})) == {
        "added": 1, "removed": 2, "matched": 2, "unmatched": [],
    }  # fmt: skip
    removed = found(caller.post("lists/opening-night/people/remove/", {"people": ["user_id:ann", "user_id:x"]}))
    assert (removed["removed"], removed["unmatched"]) == (1, ["user_id:x"])
    guests = live("guests", {"in_list": "opening-night"})
    seer = key(*Scope.values, sees=[guests])
    shown = found(seer.get("lists/opening-night/"))
    assert (shown["people"], shown["used_by"]) == (1, ["guests"])
    assert found(caller.get("lists/opening-night/"))["used_by"] == [], "a segment that it may not see"
    assert problem(caller.delete("lists/opening-night/"), 409)["code"] == "list_in_use"
    renamed = found(caller.patch("lists/opening-night/", {"name": "First night"}))
    assert (renamed["name"], renamed["description"]) == ("First night", "Guests")
    archive(segment=Segment.objects.get(key="guests"), by=BY)
    assert caller.delete("lists/opening-night/").status_code == 204
    assert problem(caller.get("lists/opening-night/"), 404)["code"] == "list_not_found"


def test_whoever_was_merged_away_is_named_by_his_old_uuid(vip: StaticList) -> None:
    old = [person(name).uuid for name in ("ann", "bob")]
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="1", by=BY)
    merge_profiles(survivor=person("cyd"), absorbed=person("bob"), reason="2", by=BY)
    caller = key(Scope.SEGMENTS_WRITE, Scope.PROFILES_READ)
    body = found(caller.post("lists/vip/people/", {"people": [f"uuid:{one}" for one in old]}))
    assert (body["added"], body["matched"], body["unmatched"]) == (1, 1, [])


def test_telling_which_identifiers_are_known_takes_the_right_to_look_people_up(vip: StaticList) -> None:
    writes_only = key(Scope.SEGMENTS_READ, Scope.SEGMENTS_WRITE)
    asked = {"people": ["user_id:ann"]}
    for response in (
        writes_only.post("lists/vip/people/", asked),
        writes_only.put("lists/vip/people/", asked),
        writes_only.post("lists/vip/people/remove/", asked),
    ):
        assert problem(response, 403)["code"] == "scope_missing"
    refused = problem(writes_only.post("segments/preview/", {"rule": rule({"not": VIP})}), 400)
    assert [(one["code"], one["pointer"]) for one in refused["errors"]] == [("personal_data", "/rule/not/in_list")]
    looks_up = key(Scope.SEGMENTS_WRITE, Scope.PROFILES_READ)
    assert found(looks_up.post("segments/preview/", {"rule": rule({"not": VIP})}))["count"] == 4
    marketer = logged_in("marketer")
    marketer.client.handler.enforce_csrf_checks = False
    assert found(marketer.post("lists/vip/people/", asked))["added"] == 1
    compliance = logged_in("compliance")
    compliance.client.handler.enforce_csrf_checks = False
    assert found(compliance.get("lists/"))["results"]
    assert problem(compliance.post("lists/vip/people/", asked), 403)["code"] == "permission_missing"


@pytest.mark.parametrize(
    "body",
    [{}, {"people": "user_id:1"}, {"people": [1, None]}, {"people": ["x" * 601]}, {"people": ["a:1"] * 10_001}, [],
     {"people": ["user_id:ann"], "reason": "r" * 201}],
    ids=str,
)  # fmt: skip
def test_a_malformed_request_changes_nothing(vip: StaticList, body: Any) -> None:
    caller = key(Scope.SEGMENTS_WRITE, Scope.PROFILES_READ)
    assert problem(caller.put("lists/vip/people/", body), 400)
    assert not ListEntry.objects.exists()


def test_lists_come_in_pages_with_few_queries(shop: Tracker, django_assert_num_queries: Any) -> None:
    for number in range(5):
        create_list(name=f"List {number}", by=BY)
    caller = key(Scope.SEGMENTS_READ)
    with django_assert_num_queries(3):  # the key with its account and its last use, the lists
        body = found(caller.get("lists/", limit=3))
    assert [one["key"] for one in body["results"]] == ["list-0", "list-1", "list-2"] and body["next"]


def test_why_tells_of_lists(vip: StaticList) -> None:
    add_people(static_list=vip, profile_ids=ids("ann"), by=BY)
    asked = draft("asked", {"all": [VIP, {"everyone": True}]})
    body = found(key(sees=[asked]).get("segments/asked/why/user_id:ann/"))
    assert body["tree"]["conditions"][0]["finding"]["said"] == 'is on the list "VIP"'

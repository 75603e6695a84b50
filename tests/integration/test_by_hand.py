"""People added to a segment and removed from it by hand: members follow exactly, whatever becomes of rule, versions and people."""

import base64
from typing import Any
from uuid import UUID

import pytest

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.errors import Conflict, DomainError
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.pipeline import drain_dirty
from cdp.vault.services import open_sealed
from segments.by_hand import entries_of, put_by_hand, standing_by_hand, undo_by_hand
from segments.carrying import carried, hand_lists, rule_alone
from segments.lists import add_people, change_list, create_list, delete_list
from segments.models import ByHand, ListEntry, Segment, SegmentVersion, StaticList
from segments.rules import describe, parse
from segments.services import InUse, archive, delete_segment, publish, restore, save_version
from tests.factories import (
    BY,
    draft,
    identify,
    live,
    members,
    performed,
    person,
    process_all,
    refresh_now,
    rule,
    set_live,
    track,
    tracker,
)
from tests.integration.books import assert_books_balance

pytestmark = pytest.mark.django_db

BOUGHT = performed("Order Completed")


@pytest.fixture
def buyers() -> Segment:
    """Ann and Bob bought; Cyd and Dee didn't."""
    shop = tracker()
    shop.send(*(identify(name, traits={"city": "Bern"}) for name in ("ann", "bob", "cyd", "dee")))
    shop.send(track("Order Completed", "ann"), track("Order Completed", "bob"))
    process_all()
    return live("buyers", BOUGHT)


def put(segment: Segment, name: str, kind: ByHand, reason: str = "because") -> bool:
    changed = put_by_hand(segment=segment, profile=person(name), kind=kind, reason=reason, by=BY)
    process_all()
    return changed


def undo(segment: Segment, name: str) -> bool:
    undone = undo_by_hand(segment=segment, profile=person(name), by=BY)
    process_all()
    return undone


def live_rule(segment: Segment) -> Any:
    segment.refresh_from_db()
    assert segment.live_version is not None
    return segment.live_version.rule


# ---- Members follow exactly ------------------------------------------------------------------------------------------


def test_members_follow_each_change_at_once_and_a_refresh_finds_nothing_amiss(buyers: Segment) -> None:
    steps = [
        (lambda: put(buyers, "cyd", ByHand.INCLUDE), {"ann", "bob", "cyd"}),
        (lambda: put(buyers, "ann", ByHand.EXCLUDE), {"bob", "cyd"}),
        (lambda: put(buyers, "cyd", ByHand.EXCLUDE), {"bob"}),
        (lambda: put(buyers, "ann", ByHand.INCLUDE), {"ann", "bob"}),
        (lambda: undo(buyers, "ann"), {"ann", "bob"}),
        (lambda: undo(buyers, "cyd"), {"ann", "bob"}),
    ]
    for step, expected in steps:
        assert step()
        assert members(buyers) == expected
        done = refresh_now(buyers)
        assert (done.entered, done.exited) == (0, 0)
    assert_books_balance()
    assert not undo(buyers, "dee")


def test_whoever_was_added_stays_and_whoever_was_removed_stays_out_whatever_they_do(buyers: Segment) -> None:
    put(buyers, "cyd", ByHand.INCLUDE)
    put(buyers, "dee", ByHand.EXCLUDE)
    tracker().send(track("Order Completed", "dee"), track("Order Completed", "cyd"))
    process_all()
    assert members(buyers) == {"ann", "bob", "cyd"}
    assert undo(buyers, "dee") and members(buyers) == {"ann", "bob", "cyd", "dee"}


def test_only_the_first_change_writes_a_version(buyers: Segment) -> None:
    put(buyers, "cyd", ByHand.INCLUDE)
    put(buyers, "ann", ByHand.EXCLUDE)
    assert live_rule(buyers) == rule(
        {
            "all": [
                {"any": [BOUGHT, {"in_list": "buyers-added-by-hand"}]},
                {"not": {"in_list": "buyers-removed-by-hand"}},
            ]
        }
    )
    assert buyers.live_version is not None and buyers.live_version.number == 2
    assert not put_by_hand(segment=buyers, profile=person("cyd"), kind=ByHand.INCLUDE, reason="again", by=BY)


def test_the_rule_says_it_in_english(buyers: Segment) -> None:
    from segments.catalogue import catalog

    put(buyers, "cyd", ByHand.INCLUDE)
    Segment.objects.filter(pk=buyers.pk).update(name="Buyers of the year")
    assert describe(parse(live_rule(buyers)), catalog()) == (
        'People (who did Order Completed at least once or who were added to "Buyers of the year" by hand) and who were not'
        ' removed from "Buyers of the year" by hand.'
    )


# ---- Versions --------------------------------------------------------------------------------------------------------


def test_every_version_written_afterwards_carries_the_lists_wherever_an_editor_moved_them(buyers: Segment) -> None:
    put(buyers, "cyd", ByHand.INCLUDE)
    put(buyers, "ann", ByHand.EXCLUDE)
    lists = hand_lists(buyers)
    assert lists is not None
    berne = {"trait": "city", "op": "equals", "value": "Bern"}
    include, exclude = {"in_list": lists.include.key}, {"not": {"in_list": lists.exclude.key}}
    wanted = {"version": 1, "all": [{"any": [{"all": [BOUGHT, berne]}, include]}, exclude]}
    for written in (
        {"all": [BOUGHT, berne]},
        {"all": [{"any": [BOUGHT, include]}, exclude, berne]},
        {"all": [{"any": [{"all": [BOUGHT, berne]}, include]}, exclude]},
    ):
        assert save_version(segment=buyers, rule=rule(written), by=BY).rule == wanted
    assert buyers.versions.count() == 3
    set_live(buyers)
    assert members(buyers) == {"bob", "cyd"}


def test_going_back_to_a_version_from_before_takes_nobody_back_in_who_was_removed(buyers: Segment) -> None:
    first = buyers.versions.get()
    put(buyers, "ann", ByHand.EXCLUDE)
    put(buyers, "cyd", ByHand.INCLUDE)
    publish(segment=buyers, version=first, by=BY)
    refresh_now(buyers)
    assert members(buyers) == {"bob", "cyd"}
    assert rule_alone(live_rule(buyers), hand_lists(buyers)) == first.rule
    assert buyers.versions.filter(rule=first.rule).count() == 1, "what was written stays as it is"


def test_an_archived_segment_takes_nobody_and_comes_back_with_who_was_added(buyers: Segment) -> None:
    put(buyers, "cyd", ByHand.INCLUDE)
    archive(segment=buyers, by=BY)
    with pytest.raises(Conflict, match="not live"):
        put_by_hand(segment=buyers, profile=person("dee"), kind=ByHand.INCLUDE, reason="x", by=BY)
    undo(buyers, "cyd")
    put_back = restore(segment=buyers, by=BY)
    publish(segment=put_back, version=put_back.versions.earliest("number"), by=BY)
    refresh_now(buyers)
    assert members(buyers) == {"ann", "bob"}
    with pytest.raises(Conflict, match="not live"):
        put_by_hand(segment=draft("new", BOUGHT), profile=person("dee"), kind=ByHand.INCLUDE, reason="x", by=BY)


def test_a_reader_of_the_segment_follows_and_no_circle_arises(buyers: Segment) -> None:
    readers = live("readers", {"not": {"in_segment": "buyers"}})
    put(buyers, "ann", ByHand.EXCLUDE)
    assert members(readers) == {"ann", "cyd", "dee"}
    put(readers, "cyd", ByHand.EXCLUDE)
    assert members(readers) == {"ann", "dee"}


# ---- The lists themselves --------------------------------------------------------------------------------------------


def test_the_lists_are_the_segments_own_and_go_with_it(buyers: Segment) -> None:
    put(buyers, "cyd", ByHand.INCLUDE)
    own = StaticList.objects.get(by_hand=ByHand.INCLUDE)
    for act in (
        lambda: delete_list(static_list=own, by=BY),
        lambda: change_list(static_list=own, name="Mine", description="", by=BY),
    ):
        with pytest.raises(Conflict, match="belongs to a segment"):
            act()
    other = live("friends-of", {"in_list": own.key})
    with pytest.raises(InUse, match="Friends-of"):
        delete_segment(segment=buyers, by=BY)
    archive(segment=other, by=BY)
    delete_segment(segment=buyers, by=BY)
    assert not StaticList.objects.exists() and not ListEntry.objects.exists()


def test_a_segment_that_was_never_touched_by_hand_has_no_lists(buyers: Segment) -> None:
    assert hand_lists(buyers) is None
    assert carried(rule(BOUGHT), None) == rule(BOUGHT)
    with pytest.raises(DomainError, match="Say why"):
        put_by_hand(segment=buyers, profile=person("cyd"), kind=ByHand.INCLUDE, reason="  ", by=BY)
    with pytest.raises(DomainError, match="200"):
        put_by_hand(segment=buyers, profile=person("cyd"), kind=ByHand.INCLUDE, reason="x" * 201, by=BY)
    assert hand_lists(buyers) is None and SegmentVersion.objects.count() == 1


def test_a_segment_of_nothing_but_a_list_takes_people_by_hand_too(buyers: Segment) -> None:
    guests = create_list(name="Guests", by=BY)
    add_people(static_list=guests, profile_ids=[person("dee").pk], by=BY)
    segment = live("guests", {"in_list": "guests"})
    put(segment, "dee", ByHand.EXCLUDE)
    put(segment, "ann", ByHand.INCLUDE)
    assert members(segment) == {"ann"}


# ---- Who somebody is -------------------------------------------------------------------------------------------------


def test_of_two_who_merge_the_removal_holds_and_each_has_their_own_when_they_part(buyers: Segment) -> None:
    put(buyers, "cyd", ByHand.INCLUDE)
    put(buyers, "dee", ByHand.EXCLUDE)
    merge = merge_profiles(survivor=person("cyd"), absorbed=person("dee"), by=BY, reason="same")
    process_all()
    assert members(buyers) == {"ann", "bob"}
    undo_merge(merge=merge, by=BY)
    process_all()
    assert members(buyers) == {"ann", "bob", "cyd"}
    assert not refresh_now(buyers).entered


def test_with_the_person_the_entry_and_the_reason_go(buyers: Segment) -> None:
    put(buyers, "cyd", ByHand.INCLUDE, "Cyd Smith asked by phone")
    cyd = person("cyd")
    entry = AuditEntry.objects.get(action="segment.person_added")
    kept = entry.detail["reason"]
    assert "Smith" not in str(entry.detail) and entry.detail["profile"] == str(cyd.uuid)

    def opened() -> bytes | None:
        sealed = base64.b64decode(kept["sealed"])
        return open_sealed(subject_id=kept["subject"], entry_id=UUID(kept["entry"]), sealed=sealed)

    assert opened() == b"Cyd Smith asked by phone"
    erase_profile(profile=cyd, by=BY, reason="PR-1")
    while drain_dirty():
        pass
    assert opened() is None and not ListEntry.objects.exists() and members(buyers) == {"ann", "bob"}


def test_entries_are_listed_newest_first_and_the_one_that_decides_is_told(buyers: Segment) -> None:
    for name in ("cyd", "dee"):
        put(buyers, name, ByHand.INCLUDE, f"for {name}")
    put(buyers, "ann", ByHand.EXCLUDE, "staff")
    lists = hand_lists(buyers)
    assert lists is not None
    assert [one.reason for one in entries_of(lists, ByHand.INCLUDE)] == ["for dee", "for cyd"]
    decides = standing_by_hand(lists, person("ann"))
    assert decides is not None and (decides.reason, decides.added_by) == ("staff", BY.label)
    assert standing_by_hand(lists, person("bob")) is None and standing_by_hand(None, person("ann")) is None

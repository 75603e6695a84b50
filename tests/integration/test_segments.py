"""Segments as people use them: made, worded anew, set live, read by others, broken, mended, put away."""

from typing import Any

import pytest
from django.db import connections

from cdp.errors import Conflict, DomainError
from cdp.jobs.models import Job
from consent.models import Purpose
from segments.models import ChangeKind, MembershipChange, Segment, SegmentStatus
from segments.previews import preview
from segments.refresh import refresh, request_due_refreshes
from segments.rules import RuleErrors
from segments.services import InUse, archive, create_segment, delete_segment, publish, restore, save_version
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
)  # fmt: skip
from tests.integration.books import assert_books_balance
from tests.integration.shoppers import BUYERS, LOYAL, ann_bob_and_cyd


def nothing(done: int, total: int, phase: str) -> None:
    """Progress that nobody follows."""


@pytest.fixture
def shop(db: None) -> Tracker:
    return ann_bob_and_cyd()


# ---- Made, worded anew, set live, put away -------------------------------------------------------------------


def test_a_draft_has_no_members_until_it_is_published(shop: Tracker) -> None:
    segment = draft("buyers", BUYERS)
    shop.send(track("Bought", "cyd"))
    process_all()
    assert members(segment) == set()
    assert members(set_live(segment)) == {"ann", "bob", "cyd"}
    assert_books_balance()


def test_publishing_a_new_version_moves_the_members_to_it(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    set_live(segment, LOYAL)
    assert members(segment) == {"ann"}
    left = MembershipChange.objects.get(segment=segment, kind=ChangeKind.EXITED)
    assert left.profile_id == person("bob").pk and left.version.number == 2
    assert_books_balance()


def test_saving_the_same_rule_again_makes_no_version(shop: Tracker) -> None:
    segment = draft("buyers", BUYERS)
    assert save_version(segment=segment, rule=rule(BUYERS), by=BY).number == 1
    assert save_version(segment=segment, rule=rule(LOYAL), by=BY).number == 2


def test_a_new_version_changes_nothing_before_it_is_published(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    save_version(segment=segment, rule=rule(LOYAL), by=BY)
    shop.send(track("Bought", "cyd"))
    process_all()
    assert members(segment) == {"ann", "bob", "cyd"}


def test_a_segment_that_another_reads_is_neither_archived_nor_deleted(shop: Tracker) -> None:
    buyers = live("buyers", BUYERS)
    live("regulars", {"all": [{"in_segment": "buyers"}, LOYAL]})
    live("strangers", {"not": {"in_segment": "buyers"}})
    for put_away in (archive, delete_segment):
        with pytest.raises(InUse, match="“Regulars”, “Strangers”") as refused:
            put_away(segment=buyers, by=BY)
        assert [user.key for user in refused.value.users] == ["regulars", "strangers"]
    buyers.refresh_from_db()
    assert buyers.status == SegmentStatus.LIVE


def test_once_nobody_reads_it_any_more_it_can_go(shop: Tracker) -> None:
    buyers = live("buyers", BUYERS)
    set_live(live("regulars", {"in_segment": "buyers"}), LOYAL)
    delete_segment(segment=buyers, by=BY)
    assert not Segment.objects.filter(key="buyers").exists()
    process_all()


def test_an_archived_segment_keeps_its_members_and_follows_nothing(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    archive(segment=segment, by=BY)
    shop.send(track("Bought", "cyd"))
    process_all()
    assert members(segment) == {"ann", "bob"}
    with pytest.raises(Conflict):
        save_version(segment=segment, rule=rule(LOYAL), by=BY)
    with pytest.raises(Conflict):
        refresh(segment=segment, progress=nothing)


def test_only_its_own_versions_can_be_published_and_not_from_the_archive(shop: Tracker) -> None:
    segment, other = draft("buyers", BUYERS), draft("loyal", LOYAL)
    with pytest.raises(Conflict) as refused:
        publish(segment=segment, version=other.versions.get(), by=BY)
    assert refused.value.code == "version_of_another"
    archive(segment=segment, by=BY)
    with pytest.raises(Conflict) as refused:
        publish(segment=segment, version=segment.versions.get(), by=BY)
    assert refused.value.code == "segment_archived"


def test_a_restored_segment_catches_up_when_it_is_published(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    archive(segment=segment, by=BY)
    shop.send(track("Bought", "cyd"))
    process_all()
    restore(segment=segment, by=BY)
    assert members(set_live(segment)) == {"ann", "bob", "cyd"}
    assert_books_balance()


def test_a_segment_that_would_read_itself_is_refused(shop: Tracker) -> None:
    first = live("first", BUYERS)
    live("second", {"not": {"in_segment": "first"}})
    live("third", {"in_segment": "second"})
    for circle in ({"in_segment": "first"}, {"not": {"any": [BUYERS, {"in_segment": "third"}]}}):
        version = save_version(segment=first, rule=rule(circle), by=BY)
        with pytest.raises(RuleErrors) as refused:
            publish(segment=first, version=version, by=BY)
        assert [error.code for error in refused.value.errors] == ["segment_cycle"]
    first.refresh_from_db()
    assert first.live_version.number == 1


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ({"all": []}, "empty_group"),
        ({"any": []}, "empty_group"),
        ({"not": {"all": []}}, "empty_group"),
        ({"in_segment": "nowhere"}, "unknown_segment"),
        ({"not": {"in_segment": "nowhere"}}, "unknown_segment"),
        ({"not": {"trait": "shoe_size", "op": "gt", "value": 3}}, "unknown_trait"),
        ({"not": {"performed": "Flew to Mars"}}, "unknown_event"),
    ],
)
def test_a_rule_that_says_nothing_certain_never_becomes_a_segment(shop: Tracker, condition: Any, code: str) -> None:
    with pytest.raises(RuleErrors) as refused:
        create_segment(name="X", rule=rule(condition), by=BY)
    assert [error.code for error in refused.value.errors] == [code]
    with pytest.raises(RuleErrors):
        preview(rule=rule(condition), purpose=Purpose.objects.get(key="internal_analysis"))
    assert not Segment.objects.exists()


def test_an_archived_segment_can_not_be_read_by_a_new_rule(shop: Tracker) -> None:
    archive(segment=live("buyers", BUYERS), by=BY)
    with pytest.raises(RuleErrors) as refused:
        draft("strangers", {"not": {"in_segment": "buyers"}})
    assert [error.code for error in refused.value.errors] == ["unusable_segment"]


def test_a_key_is_taken_once_and_made_of_the_name(shop: Tracker) -> None:
    first = create_segment(name="Très Loyal!", rule=rule(LOYAL), by=BY)
    second = create_segment(name="Très loyal", rule=rule(LOYAL), by=BY)
    assert (first.key, second.key) == ("tres-loyal", "tres-loyal-2")
    with pytest.raises(Conflict):
        create_segment(name="Other", key="tres-loyal", rule=rule(LOYAL), by=BY)
    with pytest.raises(DomainError):
        create_segment(name="Other", key="Not a key", rule=rule(LOYAL), by=BY)


# ---- What fails, fails closed --------------------------------------------------------------------------------


@pytest.fixture
def own_shop(own_database: Any) -> Tracker:
    """As `shop`, where the owner's connection can take a right away from the app."""
    shop = tracker()
    shop.send(
        identify("ann", traits={"city": "Bern"}), vip("ann"), identify("bob", traits={"city": "Rome"}), track("Looked", "bob"),
    )  # fmt: skip
    process_all()
    return shop


class Unreadable:
    """While it lasts, conditions on properties fail in SQL and all others work: the app may not read that column."""

    def __enter__(self) -> None:
        others = "id, occurred_at, profile_id, name_id, value"
        self._run(
            "REVOKE SELECT ON profiles_event FROM {role}", f"GRANT SELECT ({others}) ON profiles_event TO {{role}}"
        )

    def __exit__(self, *_: object) -> None:
        self._run("GRANT SELECT ON profiles_event TO {role}")

    def _run(self, *statements: str) -> None:
        from django.conf import settings

        with connections["owner"].cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.format(role=settings.APP_ROLE))


VIPS = performed("Bought", where=[{"property": "tier", "op": "equals", "value": "vip"}])


def vip(user: str) -> Any:
    return track("Bought", user, properties={"tier": "vip"})


def test_a_failing_rule_is_flagged_and_stops_nobody_else(own_shop: Tracker) -> None:
    vips, swiss = live("vips", VIPS), live("swiss", {"trait": "city", "op": "equals", "value": "Bern"})
    others = live("others", {"not": {"in_segment": "vips"}})
    further = live("further", {"any": [{"in_segment": "others"}, performed("Looked", 9)]})
    assert (members(vips), members(others), members(further)) == ({"ann"}, {"bob"}, {"bob"})
    with Unreadable():
        own_shop.send(identify("bob", traits={"city": "Bern"}), vip("bob"), vip("cyd"))
        assert process_all().stored == 3
        own_shop.send(vip("cyd"), identify("dan", traits={"city": "Bern"}))
        assert process_all().stored == 2
        assert members(swiss) == {"ann", "bob", "dan"}
        assert members(vips) == {"ann"}, "its members stay as they were"
        assert members(others) == {"bob"}, "also under a negation: who isn't known to be in isn't known to be out"
        assert members(further) == {"bob"}
        vips.refresh_from_db()
        swiss.refresh_from_db()
        assert vips.broken_reason and not swiss.broken_reason
        for frozen in (vips, others, further):
            with pytest.raises(Conflict) as refused:
                refresh(segment=frozen, progress=nothing)
            assert refused.value.code == "segment_broken"
        with pytest.raises(RuleErrors):
            draft("new", {"not": {"in_segment": "vips"}})

    for mended in (vips, others, further):
        set_live(mended)
    assert members(vips) == {"ann", "bob", "cyd"}
    assert (members(others), members(further)) == ({"dan"}, {"dan"})
    assert_books_balance()


def test_a_failing_rule_stops_none_that_look_at_the_same_events(own_shop: Tracker) -> None:
    month = {"days": 30}
    good = live("good", performed("Bought", within=month))
    dear = {"performed": "Bought", "measure": "sum", "of": "price", "op": "gt", "value": 5, "within": month}
    bad = live("bad", dear)
    with Unreadable():
        own_shop.send(track("Bought", "zed", properties={"price": 9}))
        process_all()
        good.refresh_from_db()
        bad.refresh_from_db()
        assert bad.broken_reason and not good.broken_reason
        assert members(good) == {"ann", "zed"}


def test_a_rule_that_fails_in_its_refresh_is_flagged_too(own_shop: Tracker) -> None:
    vips = live("vips", VIPS)
    with Unreadable():
        with pytest.raises(Conflict) as refused:
            refresh(segment=vips, progress=nothing)
        assert refused.value.code == "segment_broken"
        vips.refresh_from_db()
        assert vips.broken_reason and members(vips) == {"ann"}


def test_what_is_broken_is_not_due_again_and_again(own_shop: Tracker) -> None:
    live("vips", VIPS)
    live("others", {"not": {"in_segment": "vips"}})
    Job.objects.update(state="succeeded")
    with Unreadable():
        own_shop.send(vip("bob"))
        process_all()
        Segment.objects.update(last_refreshed_at=None)
        assert request_due_refreshes() == 0

"""Segments as people use them: made, worded anew, set live, read by others, broken, mended, put away."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from cdp.errors import Conflict, DomainError
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.jobs.models import Job
from cdp.profiles.models import Profile, Workspace
from consent.models import Purpose
from segments.catalogue import catalog
from segments.engines import postgres
from segments.models import ChangeKind, ChangeWhy, Membership, MembershipChange, Segment, SegmentStatus
from segments.refresh import preview, refresh, request_due_refreshes
from segments.rules import RuleErrors, load
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
    refresh_now,
    rule,
    set_live,
    track,
    tracker,
)  # fmt: skip
from tests.integration.books import assert_books_balance, assert_feed_has_no_gaps, truth

DAY = timedelta(days=1)


def nothing(done: int, total: int, phase: str) -> None:
    """Progress that nobody follows."""


@pytest.fixture
def shop(db: None) -> Tracker:
    """Ann bought 3 times, Bob once, long ago; Cyd only looked."""
    shop = tracker()
    shop.send(*(track("Bought", "ann", properties={"revenue": 10 * n}) for n in (1, 2, 3)))
    shop.send(track("Bought", "bob", ago=40 * DAY, properties={"revenue": 500}), track("Looked", "cyd"))
    shop.send(
        identify("ann", traits={"city": "Bern", "tags": ["vip"], "age": 30}),
        identify("bob", traits={"city": "Rome", "tags": ["old"]}),
        identify("cyd", traits={"age": 71}),
    )
    process_all()
    return shop


BUYERS = performed("Bought")
LOYAL = performed("Bought", 2)


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


# ---- Events, traits and other segments move people -----------------------------------------------------------


def test_an_event_brings_in_whom_it_concerns_and_says_when(shop: Tracker) -> None:
    segment = live("loyal", LOYAL)
    shop.send(track("Bought", "bob", ago=2 * DAY))
    process_all()
    assert members(segment) == {"ann", "bob"}
    change = MembershipChange.objects.get(segment=segment, profile_id=person("bob").pk)
    assert change.why == ChangeWhy.EVENT
    assert timedelta(0) <= datetime.now(UTC) - 2 * DAY - change.effective_at < timedelta(minutes=5)


def test_a_trait_moves_its_owner_in_and_out(shop: Tracker) -> None:
    segment = live("swiss", {"trait": "city", "op": "equals", "value": "Bern"})
    assert members(segment) == {"ann"}
    shop.send(identify("ann", traits={"city": "Oslo"}), identify("bob", traits={"city": "BERN"}))
    process_all()
    assert members(segment) == {"bob"}
    shop.send(identify("bob", ago=timedelta(0), traits={"city": None}))
    process_all()
    assert members(segment) == set()
    assert_books_balance()


def test_an_older_word_on_a_trait_moves_nobody(shop: Tracker) -> None:
    segment = live("swiss", {"trait": "city", "op": "equals", "value": "Bern"})
    shop.send(identify("ann", ago=9 * DAY, traits={"city": "Oslo"}))
    process_all()
    assert members(segment) == {"ann"}


def test_somebody_new_enters_where_strangers_belong(shop: Tracker) -> None:
    segment = live("never-bought", {"not": BUYERS})
    shop.send(track("Looked", "dan"))
    process_all()
    assert members(segment) == {"cyd", "dan"}
    shop.send(track("Bought", "dan"))
    process_all()
    assert members(segment) == {"cyd"}
    assert_books_balance()


def test_a_chain_of_segments_moves_in_the_batch_that_moves_the_first(shop: Tracker) -> None:
    first = live("buyers", BUYERS)
    second = live("lookers", {"not": {"in_segment": "buyers"}})
    third = live("known", {"any": [{"in_segment": "lookers"}, {"in_segment": "buyers"}]})
    shop.send(track("Bought", "cyd"))
    process_all()
    assert (members(first), members(second)) == ({"ann", "bob", "cyd"}, set())
    assert members(third) == {"ann", "bob", "cyd"}
    assert_books_balance()


def test_a_refresh_moves_whoever_reads_the_refreshed_segment(shop: Tracker) -> None:
    recent = live("recent", performed("Bought", within={"days": 41}))
    lapsed = live("lapsed", {"all": [BUYERS, {"not": {"in_segment": "recent"}}]})
    assert members(lapsed) == set()
    set_live(recent, performed("Bought", within={"days": 30}))  # only the first of the two is refreshed
    assert (members(recent), members(lapsed)) == ({"ann"}, {"bob"})
    assert_books_balance()


# ---- Time ----------------------------------------------------------------------------------------------------


def test_a_purchase_leaves_its_window_at_the_next_refresh(shop: Tracker) -> None:
    segment = live(
        "recent",
        performed(
            "Bought",
            within={
                "days": 40,
            },
        ),
        refresh_minutes=15,
    )
    assert members(segment) == {"ann"}
    shop.send(track("Bought", "cyd", ago=40 * DAY - timedelta(milliseconds=400)))
    process_all()
    assert members(segment) == {"ann", "cyd"}
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.5)")
    assert members(segment) == {"ann", "cyd"}, "time alone moves nobody before a refresh"
    done = refresh_now(segment)
    assert (done.entered, done.exited, done.members) == (0, 1, 1)
    assert MembershipChange.objects.filter(segment=segment).latest("position").why == ChangeWhy.TIME
    assert_books_balance()


def test_a_refresh_that_finds_nothing_to_do_does_nothing(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    before = MembershipChange.objects.count()
    done = refresh_now(segment)
    assert (done.entered, done.exited, done.members) == (0, 0, 2)
    assert MembershipChange.objects.count() == before


def test_an_event_dated_ahead_counts_once_its_moment_has_come(shop: Tracker) -> None:
    segment = live("cyds", performed("Looked", 2))
    shop.send(track("Looked", "cyd", ago=timedelta(milliseconds=-400)))
    process_all()
    assert members(segment) == set()
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.5)")
    refresh_now(segment)
    assert members(segment) == {"cyd"}


def test_only_segments_that_are_due_are_refreshed(shop: Tracker) -> None:
    due, fresh, put_away = live("due", BUYERS, refresh_minutes=5), live("fresh", BUYERS), live("old", BUYERS)
    draft("draft", BUYERS)
    archive(segment=put_away, by=BY)
    Job.objects.update(state="succeeded")
    Segment.objects.filter(pk=due.pk).update(last_refreshed_at=datetime.now(UTC) - timedelta(minutes=6))
    Segment.objects.filter(pk=fresh.pk).update(last_refreshed_at=datetime.now(UTC) - timedelta(minutes=6))
    assert request_due_refreshes() == 1
    assert Job.objects.unfinished().get().params == {"segment": due.pk, "why": "time"}
    assert request_due_refreshes() == 1 and Job.objects.unfinished().count() == 1, "asked twice, it waits once"


def test_in_a_frozen_workspace_rules_are_asked_as_of_that_moment(shop: Tracker) -> None:
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": datetime.now(UTC) - 30 * DAY})
    segment = live("recent", performed("Bought", within={"days": 20}))
    assert members(segment) == {"bob"}
    shop.send(track("Bought", "cyd", ago=35 * DAY), track("Bought", "dan", ago=DAY))
    process_all()
    assert members(segment) == {"bob", "cyd"}
    Segment.objects.update(last_refreshed_at=None)
    assert request_due_refreshes() == 0, "where time stands still its passing changes nothing"


# ---- Merging and parting -------------------------------------------------------------------------------------


def test_a_merge_moves_memberships_and_ends_like_a_fresh_refresh(shop: Tracker) -> None:
    three = live("three", performed("Bought", 3))
    four = live("four", performed("Bought", 4))
    never = live("never", {"not": BUYERS})
    assert (members(three), members(four), members(never)) == ({"ann"}, set(), {"cyd"})
    absorbed, absorbed_uuid = person("ann"), person("ann").uuid
    merge = merge_profiles(survivor=person("bob"), absorbed=absorbed, reason="a clerk saw it", by=BY)
    process_all()
    bob = Membership.objects.filter(profile_id=merge.survivor_id).values_list("segment__key", flat=True)
    assert set(bob) == {"three", "four"}
    ended = MembershipChange.objects.get(segment=three, kind=ChangeKind.EXITED)
    assert (ended.profile_uuid, ended.why) == (absorbed_uuid, ChangeWhy.MERGE)
    assert_books_balance()

    undo_merge(merge=merge, by=BY)
    process_all()
    assert {m.segment.key for m in Membership.objects.filter(profile_id=merge.absorbed_id)} == {"three"}
    assert not Membership.objects.filter(profile_id=merge.survivor_id).exists()
    assert_books_balance()


def test_a_merge_that_a_message_brings_about_is_announced_in_its_batch(shop: Tracker) -> None:
    guests = live("guests", {"not": {"trait": "city", "op": "exists"}})
    four = live("four", performed("Bought", 4))
    shop.send(track("Bought", anonymousId="device-1"))
    process_all()
    assert Membership.objects.filter(segment=guests).count() == 2
    shop.send(track("Looked", "ann", anonymousId="device-1"))
    process_all()
    assert (members(guests), members(four)) == ({"cyd"}, {"ann"})
    assert_books_balance()


def test_merges_in_a_chain_before_any_drain_end_each_membership_once(shop: Tracker) -> None:
    live("buyers", BUYERS)
    four = live("four", performed("Bought", 4))
    shop.send(track("Bought", "dan"))
    process_all()
    for survivor, absorbed in (("bob", "ann"), ("dan", "bob")):
        merge_profiles(survivor=person(survivor), absorbed=person(absorbed), reason="a clerk saw it", by=BY)
    process_all()
    assert [one.profile_id for one in four.memberships.all()] == [person("ann").pk] == [person("dan").pk]
    assert_books_balance()


def test_a_merge_undone_before_any_drain_leaves_no_trace(shop: Tracker) -> None:
    segment = live("three", performed("Bought", 3))
    before = MembershipChange.objects.count()
    undo_merge(merge=merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="wrong", by=BY), by=BY)
    process_all()
    assert members(segment) == {"ann"}
    assert MembershipChange.objects.count() == before
    assert_books_balance()


def test_a_refresh_between_a_merge_and_its_drain_hides_no_exit(shop: Tracker) -> None:
    segment = live("buyers", BUYERS)
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="a clerk saw it", by=BY)
    refresh_now(segment)
    process_all()
    assert_books_balance()


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


# ---- One evaluator -------------------------------------------------------------------------------------------

RULES: dict[str, Any] = {
    "everyone": {"everyone": True},
    "bought": BUYERS,
    "bought often": performed("Bought", 3),
    "never bought": {"not": BUYERS},
    "at most one": {"performed": "Bought", "op": "lte", "value": 1},
    "recently": performed("Bought", within={"days": 30}),
    "not recently": {"all": [BUYERS, {"not": performed("Bought", within={"days": 30})}]},
    "big spenders": {"performed": "Bought", "measure": "sum", "op": "gte", "value": 300},
    "red things": performed("Bought", where=[{"property": "colour", "op": "equals", "value": "red"}]),
    "not from Bern": {"not": {"trait": "city", "op": "equals", "value": "Bern"}},
    "elsewhere": {"trait": "city", "op": "not_equals", "value": "Bern"},
    "of age, tagged": {"any": [{"trait": "age", "op": "gte", "value": 65}, {"trait": "tags", "op": "contains_any", "value": ["vip"]}]},
    "loyal, by another segment": {"all": [{"in_segment": "loyal"}, {"not": {"in_segment": "young"}}]},
    "nobody": {"all": [BUYERS, {"not": BUYERS}]},
    "between two days": performed("Looked", within={"from": "2020-01-01", "to": "2099-01-01"}),
}  # fmt: skip


def test_preview_and_refresh_and_scoped_evaluations_agree_in_one_snapshot(shop: Tracker) -> None:
    for number in range(60):
        user = f"u{number}"
        shop.send(
            identify(user, traits={"city": ["Bern", "Rome", "Oslo", 7][number % 4], "age": number * 2, "tags": ["vip"][: number % 2]}),
            *(
                track("Bought", user, ago=n * 9 * DAY, properties={"revenue": 40 * n, "colour": ["red", "blue"][n % 2]})
                for n in range(number % 7)
            ),
            *(track("Looked", user, ago=n * DAY) for n in range(number % 3)),
        )  # fmt: skip
    process_all()
    live("loyal", performed("Bought", 4))
    live("young", {"trait": "age", "op": "lt", "value": 40})
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": datetime.now(UTC)})
    purpose = Purpose.objects.get(key="internal_analysis")
    everybody = sorted(Profile.objects.values_list("pk", flat=True))
    known, as_of = catalog(), Workspace.current().now()
    for name, condition in RULES.items():
        with transaction.atomic():
            seen = preview(rule=rule(condition), purpose=purpose)
            loaded = load(rule(condition), known)
            chunks = [everybody[start : start + 7] for start in range(0, len(everybody), 7)]
            scoped = [postgres.among(loaded, known, as_of=as_of, scope=chunk) for chunk in chunks]
            segment = live(f"rule-{list(RULES).index(name)}", condition)
        assert seen.count == segment.memberships.count() == sum(map(len, scoped)), name
        assert set().union(*scoped) == truth(segment, as_of), name
        assert {p.pk for p in seen.sample} <= set().union(*scoped), name
    assert_feed_has_no_gaps()

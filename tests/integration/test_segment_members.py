"""What moves people in and out of segments: events, traits, other segments, time, merges; by one verdict everywhere."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from cdp.identity.merging import merge_profiles, undo_merge
from cdp.jobs.models import Job
from cdp.profiles.models import Profile, Workspace
from consent.models import Purpose
from segments.catalogue import catalog
from segments.engines import postgres
from segments.models import ChangeKind, ChangeWhy, Membership, MembershipChange, Segment, SweepState
from segments.previews import preview
from segments.refresh import request_due_refreshes
from segments.rules import load
from segments.services import archive
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
)  # fmt: skip
from tests.integration.books import assert_books_balance, assert_feed_has_no_gaps, truth
from tests.integration.shoppers import BUYERS, DAY, LOYAL, ann_bob_and_cyd


@pytest.fixture
def shop(db: None) -> Tracker:
    return ann_bob_and_cyd()


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
    """Nightly, and where nothing else can bring members in line; the hours between are the sweeps'."""
    due, fresh, put_away = live("due", BUYERS, refresh_minutes=5), live("fresh", BUYERS), live("old", BUYERS)
    draft("draft", BUYERS)
    archive(segment=put_away, by=BY)
    Job.objects.update(state="succeeded")
    assert request_due_refreshes() == 0
    Segment.objects.filter(pk=due.pk).update(last_refreshed_at=datetime.now(UTC) - timedelta(hours=25))
    assert SweepState.objects.filter(pk=fresh.pk).exists()
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

"""Retention: what is over goes with all that follows from it, and what isn't stays; whoever is killed or merged meanwhile."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as conf
from django.db import DatabaseError, transaction

from cdp.accountability import applying, periods
from cdp.accountability.models import Kind, RetentionRule, RetentionRun
from cdp.accountability.preview import preview
from cdp.accountability.rules import CONFIRMATION, remove_rule, set_lifetime, set_rule
from cdp.audit.models import AuditEntry
from cdp.errors import DomainError
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.ingestion.models import Quarantined, SourceKind
from cdp.profiles import services
from cdp.profiles.models import Event, EventName, EventTotal, Session, TraitRemoval, TraitValue
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from consent.models import Purpose
from segments.models import MembershipChange
from tests.factories import BY, Tracker, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.books import assert_books_balance, rows
from tests.integration.test_roles_and_partitions import partitions, refused

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def shop() -> Tracker:
    return tracker()


def rule(days: int | None, name: str = "", **more: Any) -> RetentionRule:
    """Events of the name, or all others, are kept for so many days."""
    of = EventName.objects.get(name=name) if name else None
    more = {"kind": Kind.EVENTS, "event_name": of, "confirmation": CONFIRMATION, "by": BY, **more}
    return set_rule(days=days, **more)


def apply() -> RetentionRun:
    run = RetentionRun.objects.create(job_uuid=uuid4(), as_of=datetime.now(UTC))
    applying.apply_retention(run=run, progress=lambda done, total, phase: None)
    run.refresh_from_db()
    return run


def total(user: str, name: str) -> tuple[int, Decimal] | None:
    found = EventTotal.objects.filter(profile=person(user), name__name=name).first()
    return found and (found.count, found.value_sum)


def order(user: str, order_id: str, revenue: int, kind: str = "Completed", **more: Any) -> Any:
    properties = {"order_id": order_id, "revenue": revenue, "products": [{"product_id": "p", "price": revenue}]}
    return track(f"Order {kind}", user, properties=properties, **more)


# ---- How long ------------------------------------------------------------------------------------------------------


def test_data_is_kept_as_long_as_its_longest_lived_purpose(shop: Tracker) -> None:
    shop.send(track("Bought", "ann"))
    process_all()
    mail, analysis = Purpose.objects.get(key="marketing_email"), Purpose.objects.get(key="internal_analysis")
    bought = EventName.objects.get(name="Bought").pk
    rule(None, "Bought", purposes=[mail, analysis])
    assert periods.current().days_for(Kind.EVENTS, name_id=bought) is None, "purposes have no end yet"
    set_lifetime(purpose=mail, days=400, by=BY, confirmation=CONFIRMATION)
    assert periods.current().days_for(Kind.EVENTS, name_id=bought) is None, "one of them has none"
    set_lifetime(purpose=analysis, days=90, by=BY, confirmation=CONFIRMATION)
    assert periods.current().days_for(Kind.EVENTS, name_id=bought) == 400
    rule(1000, "Bought", purposes=[mail])
    assert periods.current().days_for(Kind.EVENTS, name_id=bought) == 1000


def test_without_a_rule_nothing_goes(shop: Tracker) -> None:
    shop.send(track("Bought", "ann", ago=3000 * DAY))
    process_all()
    assert {name.name for name in periods.names_without_end(periods.current())} >= {"Bought"}
    assert preview(periods.current(), as_of=datetime.now(UTC)).rows == []
    apply()
    assert Event.objects.filter(type=1).count() == 1


def test_a_rule_of_its_own_comes_before_that_of_all_others(shop: Tracker) -> None:
    shop.send(*(track(name, "ann", ago=50 * DAY) for name in ("Bought", "Looked")))
    process_all()
    rule(10)
    rule(100, "Bought")
    apply()
    assert total("ann", "Bought") == (1, 0) and total("ann", "Looked") is None


def test_whole_days_are_kept(shop: Tracker) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for at, number in ((midnight - 5 * DAY, 1), (midnight - 5 * DAY - timedelta(microseconds=1), 2)):
        shop.send(track("Bought", "ann") | {"timestamp": at.isoformat(), "messageId": f"edge{number}"})
    process_all()
    rule(5, "Bought")
    apply()
    assert list(Event.objects.filter(type=1).values_list("message_id", flat=True)) == ["edge1"]


@pytest.mark.parametrize("days", [0, -1, 36_526])
def test_days_that_make_no_sense_are_refused(db: None, days: int) -> None:
    with pytest.raises(DomainError) as error:
        rule(days)
    assert (error.value.code, error.value.pointer) == ("days_out_of_range", "/days")


def test_what_can_be_no_rule_is_refused(shop: Tracker) -> None:
    shop.send(track("Bought", "ann"))
    process_all()
    with pytest.raises(DomainError, match="Give a number of days"):
        rule(None, "Bought")
    with pytest.raises(DomainError, match="derived"):
        rule(10, "Revenue Booked")
    with pytest.raises(DomainError, match="CDP_QUARANTINE_DAYS"):
        rule(conf.QUARANTINE_DAYS + 1, kind=Kind.QUARANTINE)


# ---- Shortening ----------------------------------------------------------------------------------------------------


def test_whatever_shortens_asks_for_the_word(shop: Tracker) -> None:
    shop.send(track("Bought", "ann"))
    process_all()
    for confirmation in ("", "yes", "delet"):
        with pytest.raises(DomainError) as error:
            rule(10, "Bought", confirmation=confirmation)
        assert (error.value.code, error.value.pointer) == ("confirmation_missing", "/confirmation")
    assert not RetentionRule.objects.exists()
    rule(10, "Bought", confirmation=" Delete ")
    rule(20, "Bought", confirmation="")  # longer needs none
    with pytest.raises(DomainError):
        rule(19, "Bought", confirmation="")
    # A rule for all others shortens whatever has none of its own; one taken away leaves its name to it.
    rule(5)
    with pytest.raises(DomainError):
        remove_rule(rule=RetentionRule.objects.get(event_name__name="Bought"), by=BY)
    remove_rule(rule=RetentionRule.objects.get(event_name__name="Bought"), by=BY, confirmation=CONFIRMATION)
    assert [
        e.action for e in AuditEntry.objects.filter(action__startswith="retention_rule").order_by("recorded_at")
    ] == [
        "retention_rule.created",
        "retention_rule.changed",
        "retention_rule.created",
        "retention_rule.deleted",
    ]


def test_a_purpose_that_gets_an_end_asks_for_the_word_where_something_is_kept_for_it(shop: Tracker) -> None:
    shop.send(track("Bought", "ann"))
    process_all()
    mail = Purpose.objects.get(key="marketing_email")
    set_lifetime(purpose=mail, days=30, by=BY)  # nothing is kept for it
    rule(None, "Bought", purposes=[mail])
    with pytest.raises(DomainError):
        set_lifetime(purpose=mail, days=29, by=BY)
    set_lifetime(purpose=mail, days=31, by=BY)
    set_lifetime(purpose=mail, days=None, by=BY)
    with pytest.raises(DatabaseError), transaction.atomic():
        mail.delete()


def test_the_preview_says_what_would_go_and_that_is_what_goes(shop: Tracker) -> None:
    shop.send(
        *(track("Bought", user, ago=ago * DAY) for user in ("ann", "bob") for ago in (1, 40, 400)),
        order("ann", "o1", 10, ago=80 * DAY),
        order("ann", "o1", 20, ago=70 * DAY),
        order("bob", "o2", 20, kind="Updated", ago=70 * DAY),
    )
    process_all()
    rule(30)
    given = preview(periods.current(), as_of=datetime.now(UTC))
    assert given.total == given.events == 7, "derived ones aren't counted, superseded ones are"
    run = apply()
    said = {(row.what, row.month): row.count for row in given.rows}
    assert {(row.what, row.month): row.count for row in run.deleted.all()} == said
    assert preview(periods.current(), as_of=datetime.now(UTC)).total == 0
    assert run.is_complete and run.people == 2
    assert_books_balance()


# ---- What follows from events --------------------------------------------------------------------------------------


def test_totals_and_members_are_as_if_it_had_never_been(shop: Tracker) -> None:
    shop.send(*(track("Bought", "ann", ago=ago * DAY, properties={"revenue": ago}) for ago in (1, 10, 100)))
    shop.send(track("Bought", "bob"), track("Bought", "bob"), track("Looked", "ann"))
    process_all()
    twice, thrice = live("twice", performed("Bought", 2)), live("thrice", performed("Bought", 3))
    assert (members(twice), members(thrice)) == ({"ann", "bob"}, {"ann"})
    rule(50, "Bought")
    apply()
    assert total("ann", "Bought") == (2, 11)
    process_all()
    assert (members(twice), members(thrice)) == ({"ann", "bob"}, set())
    assert MembershipChange.objects.order_by("-position")[0].why == "time"
    assert (
        person("ann").first_seen_at
        == Event.objects.filter(profile_id=person("ann").pk).order_by("occurred_at")[0].occurred_at
    )
    assert_books_balance()


def test_an_order_is_settled_anew_from_what_is_left_of_it(shop: Tracker) -> None:
    shop.send(
        order("ann", "o1", 10, ago=60 * DAY),
        order("ann", "o1", 25, ago=20 * DAY),
        order("ann", "o2", 40, ago=60 * DAY),
        track("Order Refunded", "ann", ago=DAY, properties={"order_id": "o2", "revenue": 5}),
        track("Order Refunded", "ann", ago=DAY, properties={"order_id": "o2"}),
    )
    process_all()
    assert total("ann", "Revenue Booked") == (4, 25)
    rule(30, "Order Completed")
    apply()
    assert total("ann", "Order Completed") == (1, 25), "the newer version stays"
    assert not Event.objects.filter(name_id__lt=0).exists(), "the one it replaced is gone"
    # What is refunded without an amount can't be known without its order; what is, counts on its own day.
    assert total("ann", "Revenue Booked") == (2, 20)
    assert total("ann", "Product Purchased") == (1, 25)
    assert_books_balance()


def test_a_session_is_cut_anew_around_what_went(db: None) -> None:
    browser = tracker(SourceKind.BROWSER)
    start = datetime.now(UTC).replace(microsecond=0) - 20 * DAY
    names = ["Looked", "Bought", "Looked", "Bought", "Looked"]
    for number, name in enumerate(names):
        at = start + number * timedelta(minutes=20)
        browser.send(track(name, "ann", context={"page": {"path": f"/{number}"}}) | {"timestamp": at.isoformat()})
    browser.send(track("Bought", "ann", ago=DAY))
    process_all()
    assert Session.objects.count() == 2 and total("ann", "Session Started") == (2, 0)
    rule(10, "Bought")
    apply()
    assert list(Session.objects.order_by("started_at").values_list("events", "entry_page"))[:3] == [
        (1, "/0"),
        (1, "/2"),
        (1, "/4"),
    ]
    assert total("ann", "Session Started") == (4, 0)
    assert_books_balance()
    rule(10)
    apply()
    assert Session.objects.count() == 1
    assert_books_balance()


def test_after_a_merge_nothing_of_either_is_forgotten_to_be_deleted(shop: Tracker) -> None:
    shop.send(
        *(track("Bought", user, ago=40 * DAY) for user in ("ann", "bob")), identify("ann", traits={"city": "Bern"})
    )
    process_all()
    merge = merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="a clerk saw it", by=BY)
    rule(30, "Bought")
    rule(30, "Identified")
    apply()
    assert total("bob", "Bought") is None
    undo_merge(merge=merge, by=BY)
    process_all()
    assert_books_balance()


def test_a_trait_whose_event_is_over_stays_when_a_merge_is_undone(shop: Tracker) -> None:
    shop.send(
        identify("bob", traits={"city": "Bern", "age": 30}, ago=90 * DAY),
        identify("ann", traits={"plan": "gold"}, ago=2 * DAY),
    )
    process_all()
    merge = merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="a clerk saw it", by=BY)
    rule(30, "Identified")
    apply()
    undo_merge(merge=merge, by=BY)
    assert person("bob").traits == {"city": "Bern", "age": 30}
    assert person("ann").traits == {"plan": "gold"}


def test_who_merges_while_it_runs_is_found_again(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between being found and being locked ann becomes bob, whose events have been passed by then."""
    shop.send(track("Bought", "bob", ago=90 * DAY), track("Bought", "ann", ago=80 * DAY))
    process_all()
    rule(30, "Bought")
    find = applying._next_events
    looks: list[int] = []

    def found(*arguments: Any) -> Any:
        rows_found = find(*arguments)
        looks.append(len(rows_found))
        if len(looks) == 1:
            assert len(rows_found) == 2
            merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="meanwhile", by=BY)
            return rows_found[1:]  # ann, who is nobody by now
        return rows_found

    monkeypatch.setattr(applying, "_next_events", found)
    apply()
    assert not Event.objects.filter(type=1).exists()
    assert_books_balance()


# ---- The other kinds -----------------------------------------------------------------------------------------------


def test_traits_go_by_category_when_nobody_has_repeated_them(shop: Tracker) -> None:
    shop.send(
        identify("ann", traits={"city": "Bern", "email": "ann@b.ch", "gone": 1}, ago=100 * DAY),
        identify("ann", traits={"gone": None}, ago=99 * DAY),
        identify("bob", traits={"city": "Rome"}, ago=100 * DAY),
        identify("bob", traits={"city": "Rome"}, ago=2 * DAY),
    )
    process_all()
    from_bern = live("bernese", {"trait": "city", "op": "equals", "value": "Bern"})
    assert members(from_bern) == {"ann"}
    rule(30, kind=Kind.TRAITS, category="demographic")
    rule(36_000, kind=Kind.TRAITS, category="behavioural")
    seen = preview(periods.current(), as_of=datetime.now(UTC))
    assert [(row.what, row.count) for row in seen.rows] == [("demographic", 2)]
    apply()
    process_all()
    assert set(TraitValue.objects.values_list("profile_id", "trait__key")) == {(person("bob").pk, "city")}
    assert person("ann").traits == {} and members(from_bern) == set()
    assert TraitRemoval.objects.exists(), "of another category"
    assert_books_balance()


def test_old_runs_of_scores_go_and_the_one_that_is_read_stays(shop: Tracker) -> None:
    shop.send(track("Bought", "ann"))
    process_all()
    for version in ("1", "2"):
        run = start_run(kind="rfm", version=version, by=BY)
        add_scores(run=run, scores=[Scored(person("ann").pk, "r", number=Decimal(3))])
        publish_run(run=run, by=BY)
        run.__class__.objects.filter(pk=run.pk).update(published_at=datetime.now(UTC) - 50 * DAY)
    rule(30, kind=Kind.SCORES)
    run_done = apply()
    assert rows("SELECT version FROM profiles_scorerun") == [("2",)]
    assert rows("SELECT count(*) FROM profiles_score") == [(1,)]
    assert [(row.what, row.count) for row in run_done.deleted.all()] == [("rfm", 1)]


def test_quarantined_messages_go(shop: Tracker) -> None:
    shop.send(
        {"type": "dance", "userId": "u1", "messageId": "m-x"}, {"type": "sing", "userId": "u1", "messageId": "m-y"}
    )
    process_all()
    Quarantined.objects.filter(pk=Quarantined.objects.first().pk).update(quarantined_at=datetime.now(UTC) - 9 * DAY)  # type: ignore[union-attr]
    rule(7, kind=Kind.QUARANTINE)
    apply()
    assert Quarantined.objects.count() == 1


# ---- Months --------------------------------------------------------------------------------------------------------


def test_a_month_is_dropped_when_all_it_held_is_over(shop: Tracker) -> None:
    shop.send(track("Bought", "ann", ago=400 * DAY), track("Looked", "ann", ago=200 * DAY), track("Bought", "ann"))
    process_all()
    services.maintain_partitions()
    old, older = ((datetime.now(UTC) - ago * DAY).strftime("profiles_event_%Y_%m") for ago in (200, 400))
    assert {old, older} <= partitions()
    rule(300, "Bought")
    run = apply()
    assert older not in partitions() and old in partitions()
    assert older[-7:].replace("_", "-") in run.months
    # What comes late finds a place all the same.
    shop.send(track("Bought", "ann", ago=400 * DAY))
    process_all()
    services.maintain_partitions()
    assert older in partitions()
    assert_books_balance()


def test_the_door_drops_neither_what_holds_events_nor_what_is_not_long_over(shop: Tracker) -> None:
    shop.send(track("Bought", "ann", ago=400 * DAY))
    process_all()
    services.maintain_partitions()
    month = (datetime.now(UTC) - 400 * DAY).date()
    assert rows(f"SELECT cdp_drop_event_month('{month}')") == [(False,)]
    assert Event.objects.filter(type=1).exists()
    assert rows("SELECT cdp_drop_event_month('1999-01-01')") == [(False,)], "there is none"
    for day in ("current_date", "current_date - 31", "current_date + 31"):
        assert "is not long over" in refused(f"SELECT cdp_drop_event_month({day})")
    assert "permission denied" in refused("DROP TABLE profiles_event_default") or "must be owner" in refused(
        "DROP TABLE profiles_event_default"
    )

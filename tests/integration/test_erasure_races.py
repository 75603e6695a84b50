"""Erasing somebody beside consumers, sweepers and clerks: nothing said before it began is left, and nobody waits for ever."""

import contextlib
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from cdp.erasure import Erased, erase_profile
from cdp.errors import DomainError
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.identity.models import Merge
from cdp.ingestion import inbox
from cdp.pipeline import drain_dirty, process_batch
from cdp.profiles.models import Event, Profile
from segments.feed import number_changes
from segments.models import ChangeKind, ChangeWhy, MembershipChange
from segments.sweep import sweep_due
from tests.factories import BY, Tracker, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.books import assert_books_balance
from tests.integration.crew import crew, seeded
from tests.integration.traces import LASTING, tables_that_know, tables_that_say

DAY = timedelta(days=1)


@pytest.fixture
def own_shop(own_database: Any, settings: LazySettings) -> Tracker:
    settings.BATCH_SECONDS = 30
    shop = tracker()
    shop.send(track("Bought", "first", ago=DAY), track("Looked", "first", ago=DAY))
    process_all()
    return shop


def erase(profile: Profile) -> Erased | None:
    return erase_profile(profile=profile, by=BY, reason="request 12")


def blocked_by_somebody() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0)")
        return bool(cursor.fetchone()[0])


def test_what_a_batch_stores_meanwhile_goes_too(own_shop: Tracker) -> None:
    segment = live("lookers", performed("Looked"))
    own_shop.send(track("Bought", "ann-4711"))
    process_all()
    ann = person("ann-4711")
    own_shop.send(track("Looked", "ann-4711"), track("Looked", "bob"))
    stored, may_commit = threading.Event(), threading.Event()

    def batch() -> None:
        with transaction.atomic():
            assert process_batch().stored == 2
            stored.set()
            assert may_commit.wait(20)

    def erasing() -> None:
        assert stored.wait(20)
        erased = erase(ann)
        assert erased is not None and (erased.events, erased.waiting) == (2, 0)

    def lets_it_commit() -> None:
        assert stored.wait(20)
        while not blocked_by_somebody():
            pass
        may_commit.set()

    with crew(3) as workers:
        workers.race([batch, erasing, lets_it_commit])
    process_all()
    assert tables_that_say("ann-4711") == set() and tables_that_know([ann.pk]) <= LASTING
    assert members(segment) == {"first", "bob"}
    assert MembershipChange.objects.get(profile_id=ann.pk, kind=ChangeKind.EXITED).why == ChangeWhy.ERASURE
    assert_books_balance()


def test_a_request_that_a_consumer_holds_is_waited_for_and_taken_when_it_comes_back(own_shop: Tracker) -> None:
    """The consumer dies: its rows wait again, and are the person's as before."""
    own_shop.send(track("Looked", "ann-4711"))
    process_all()
    ann = person("ann-4711")
    own_shop.send(track("Bought", "ann-4711"), track("Bought", "bob"))
    claimed, may_die = threading.Event(), threading.Event()

    def consumer() -> None:
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            assert len(list(inbox.claim(messages=10))) == 1
            claimed.set()
            assert may_die.wait(20)
            raise ZeroDivisionError

    def erasing() -> None:
        assert claimed.wait(20)
        erased = erase(ann)
        assert erased is not None and erased.waiting == 1

    def lets_it_die() -> None:
        assert claimed.wait(20)
        while not blocked_by_somebody():
            pass
        may_die.set()

    with crew(3) as workers:
        workers.race([consumer, erasing, lets_it_die])
    process_all()
    assert tables_that_say("ann-4711") == set()
    assert Event.objects.filter(profile_id=person("bob").pk).count() == 1


def test_a_sweep_that_found_somebody_who_is_erased_meanwhile_leaves_them_to_the_evaluator(own_shop: Tracker) -> None:
    segment = live("quiet", {"not": performed("Looked", within={"days": 1})}, cadence="real_time")
    own_shop.send(track("Looked", "ann-4711"))
    process_all()
    ann = person("ann-4711")
    before = members(segment)
    with crew(2) as workers:
        for _ in range(3):
            workers.race([lambda: erase(ann), lambda: sweep_due(everything=True)])  # type: ignore[arg-type, list-item, return-value]
    process_all()
    assert members(segment) == before == {"first"}
    assert_books_balance()


@pytest.mark.drill
def test_consumers_clerks_and_sweepers_race_with_erasures(own_shop: Tracker, drill_scale: Any) -> None:
    for key, condition in (
        ("lookers", performed("Looked")),
        ("recent", performed("Looked", within={"minutes": 1})),
        ("others", {"not": {"in_segment": "lookers"}}),
    ):
        live(key, condition, cadence="real_time")
    erasures = 0
    with crew(6) as workers:
        for number in range(drill_scale(full=200, quick=6)):
            chance = seeded("erasure", number)
            ann, bob, cyd = (f"{name}-{number}-4711" for name in ("ann", "bob", "cyd"))
            own_shop.send(*(track("Looked", user) for user in (ann, bob, cyd)), identify(ann, anonymousId=f"{ann}x"))
            process_all()
            gone, others = person(ann), [person(bob), person(cyd)]
            merged = (
                merge_profiles(survivor=gone, absorbed=others[0], reason="", by=BY) if chance.random() < 0.5 else None
            )
            for _ in range(chance.randint(2, 6)):
                own_shop.send(
                    *(track("Looked", chance.choice([ann, bob, cyd])) for _ in range(chance.randint(1, 3))),
                    {"type": "trick", "userId": ann},
                    track("Looked", anonymousId=f"{ann}x"),
                )

            def consume(chance: Any = chance) -> None:
                while process_batch(messages=chance.randint(1, 4)).requests:
                    number_changes()

            def clerk(merged: Merge | None = merged, gone: Profile = gone, other: Profile = others[1]) -> None:
                with contextlib.suppress(DomainError):  # who is gone by then can't be merged, nor parted
                    if merged is None:
                        merge_profiles(survivor=other, absorbed=gone, reason="", by=BY)
                    else:
                        undo_merge(merge=merged, by=BY)

            def erasing(gone: Profile = gone) -> None:
                assert erase(gone) is not None

            workers.race([consume, consume, erasing, clerk, drain_dirty, sweep_due])  # type: ignore[list-item]
            process_all()
            sweep_due(everything=True)
            number_changes()
            assert tables_that_say(ann) == set(), f"round {number}"
            assert tables_that_know([gone.pk]) <= LASTING, f"round {number}"
            assert_books_balance()
            erasures += 1
    assert erasures

"""Consumers, refreshes, publishing and draining race for the same people; the verdicts must be as if they had queued.

What is expected is counted by hand here, so that a healing refresh can't hide a verdict that was missed.
"""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from random import Random
from threading import Event
from typing import Any

import pytest
from django.db import OperationalError, transaction

from cdp.identity.merging import merge_profiles, undo_merge
from cdp.identity.models import Merge
from cdp.pipeline import drain_dirty, process_batch
from cdp.profiles.models import DirtyProfile, Identifier, Profile
from segments.feed import number_changes
from segments.live import live_rules, rules_lock
from segments.models import Membership, Segment
from segments.refresh import refresh
from segments.services import publish, save_version
from tests.factories import BY, Call, Tracker, identify, live, performed, process_all, rule, track, tracker
from tests.integration.books import assert_books_balance, rows
from tests.integration.crew import Work, crew, seeded

pytestmark = pytest.mark.drill


@pytest.fixture
def shop(own_database: Any) -> Tracker:
    shop = tracker()
    shop.send(track("Bought", "first"), track("Looked", "first"), identify("first", traits={"city": "Bern"}))
    process_all()
    return shop


def consume(chance: Random) -> Work:
    """A consumer with small batches, so that the events of one person fall into the batches of several."""
    sizes = [chance.choice((1, 1, 2, 3)) for _ in range(50)]

    def work() -> None:
        for size in sizes:
            if not process_batch(messages=size).requests:
                return
            number_changes()

    return work


def refreshing(segment: Segment, *, times: int = 2) -> Work:
    def work() -> None:
        for _ in range(times):
            refresh(segment=segment, progress=lambda done, total, phase: None)
            number_changes()

    return work


def draining(users: list[str]) -> Work:
    def work() -> None:
        people = Identifier.objects.filter(value__in=users).values_list("profile_id", flat=True)
        DirtyProfile.objects.bulk_create(DirtyProfile(profile_id=person, facts={"why": "edit"}) for person in people)
        drain_dirty()

    return work


def publishing(segment: Segment, condition: Call) -> Work:
    """A new version, and its refresh at once; nobody judges by the old one after that."""

    def work() -> None:
        publish(segment=segment, version=save_version(segment=segment, rule=rule(condition), by=BY), by=BY)
        refreshing(segment, times=1)()

    return work


def users_in(key: str, users: list[str]) -> set[str]:
    return set(
        Identifier.objects.filter(
            namespace="user_id", value__in=users, profile_id__in=Membership.objects.filter(segment__key=key).values("profile_id")
        ).values_list("value", flat=True)
    )  # fmt: skip


def test_no_threshold_is_missed_and_no_newer_verdict_overwritten(shop: Tracker, drill_scale: Any) -> None:
    """Each round 2 consumers, a refresh, and now and then a new version and a drain race over three people's events.

    Rules over one event's count would be guarded by that count's row alone; those over two kinds of events are guarded
    by nothing but the order of lock, moment and verdict.
    """
    for threshold in (1, 2, 3, 5):
        live(f"at-least-{threshold}", performed("Bought", threshold))
    live("two-or-three", {"performed": "Bought", "op": "between", "value": [2, 3]})
    live("few", {"not": performed("Bought", 3)})
    live("bought-and-looked", {"all": [performed("Bought"), performed("Looked")]})
    live("only-looked", {"all": [performed("Looked", 2), {"not": performed("Bought", 2)}]})
    live("recent", performed("Bought", 2, within={"days": 1}))
    moving = live("moving", performed("Bought", 2))
    live("both", {"all": [{"in_segment": "moving"}, {"not": {"in_segment": "at-least-3"}}]})
    threshold = 2
    bought, looked = Counter[str](), Counter[str]()
    with crew(5) as members:
        for number in range(drill_scale(full=2000, quick=25)):
            chance = seeded("race", number)
            # Everybody is met in four rounds running: first as somebody new, then across one threshold after another.
            users = [f"u{number // 4}-{one}" for one in range(3)]
            for _ in range(chance.randint(2, 6)):
                calls = []
                for user in chance.choices(users, k=chance.randint(1, 3)):
                    event, counter = chance.choice((("Bought", bought), ("Looked", looked)))
                    counter[user] += 1
                    calls.append(track(event, user, ago=timedelta(seconds=1)))
                shop.send(*calls)
            works = [consume(chance), consume(chance), refreshing(moving)]
            if number % 3 == 0:
                threshold = chance.randint(1, 6)
                works.append(publishing(moving, performed("Bought", threshold)))
            if number % 5 == 4:
                works.append(draining(users))
            members.race(works)

            def expected(low: int, high: float = float("inf"), users: list[str] = users) -> set[str]:
                return {user for user in users if low <= bought[user] <= high}

            where = f"round {number}"
            known = {user for user in users if bought[user] + looked[user]}
            for least in (1, 2, 3, 5):
                assert users_in(f"at-least-{least}", users) == expected(least), where
            assert users_in("two-or-three", users) == expected(2, 3), where
            assert users_in("few", users) == expected(0, 2) & known, where
            assert users_in("recent", users) == expected(2), where
            assert users_in("bought-and-looked", users) == {user for user in users if bought[user] and looked[user]}, (
                where
            )
            assert users_in("only-looked", users) == {u for u in users if looked[u] >= 2 and bought[u] < 2}, where
            assert users_in("moving", users) == expected(threshold), where
            assert users_in("both", users) == expected(threshold, 2), where
    number_changes()
    assert_books_balance()
    assert rows("SELECT count(*) FROM profiles_event WHERE type = 1") == [(2 + bought.total() + looked.total(),)]


def test_a_version_goes_live_only_once_nobody_judges_by_the_old_one(shop: Tracker) -> None:
    segment = live("buyers", performed("Bought"))
    version = save_version(segment=segment, rule=rule(performed("Bought", 2)), by=BY)
    judging, may_end, is_live = Event(), Event(), Event()

    def judge() -> None:
        with transaction.atomic():
            rules_lock(exclusive=False)
            assert live_rules().by_segment(segment.pk).version_id != version.pk  # type: ignore[union-attr]
            judging.set()
            assert may_end.wait(20)

    def set_live() -> None:
        assert judging.wait(20)
        publish(segment=segment, version=version, by=BY)
        is_live.set()

    def watch() -> None:
        assert judging.wait(20)
        too_early = is_live.wait(0.5)
        may_end.set()
        assert not too_early
        assert is_live.wait(20)

    with crew(3) as members:
        members.race([judge, set_live, watch])


def test_identifiers_linked_by_several_consumers_end_as_if_by_one(shop: Tracker, drill_scale: Any) -> None:
    """True people, each with several identifiers, of which every message shows only two or three, in any order."""
    live("buyers", performed("Bought", 3))
    live("strangers", {"not": {"trait": "city", "op": "exists"}})
    collisions = 0
    with crew(3) as members:
        for number in range(drill_scale(full=400, quick=10)):
            chance = seeded("identity", number)
            people = [_identifiers(f"{number}-{one}", chance) for one in range(4)]
            calls = [call for names in people for call in _glimpses(names, chance)]
            chance.shuffle(calls)
            while calls:
                size = chance.randint(1, 4)
                shop.send(*calls[:size])
                del calls[:size]
            caught: list[OperationalError] = []

            def work(chance: Random = chance, caught: list[OperationalError] = caught) -> None:
                while True:
                    try:
                        return consume(chance)()
                    except OperationalError as error:  # as the consumer does: the batch waits as before
                        caught.append(error)

            members.race([work] * 3)
            process_all()
            collisions += len(caught)
            found = {frozenset(_names_of(profile)) for profile in _profiles_of(people)}
            assert found == {frozenset(names.values()) for names in people}, f"round {number}"
    assert collisions == 0, "profiles are locked in one order, so nobody waits in a circle"
    assert_books_balance()


def _identifiers(who: str, chance: Random) -> dict[str, tuple[str, str]]:
    """Wire field -> (namespace, value), within the limits of every namespace."""
    names = {"user": ("user_id", f"user {who}")}
    for one in range(chance.randint(1, 3)):
        names[f"anonymous {one}"] = ("anonymous_id", f"device {who} {one}")
    for one in range(chance.randint(1, 2)):
        names[f"email {one}"] = ("email", f"mail-{who}-{one}@example.com")
    for one in range(chance.randint(0, 2)):
        names[f"crm {one}"] = ("crm", f"crm {who} {one}")
    return names


def _glimpses(names: dict[str, tuple[str, str]], chance: Random) -> list[Call]:
    """Messages that join all of the identifiers in a chain of random order, and some that only mention them."""
    fields = chance.sample(list(names), len(names))
    pairs = list(pairwise(fields)) + [tuple(chance.sample(fields, 2)) for _ in range(2)]
    calls = [
        _call(names, one) for field in fields for one in [(field,)] * chance.randint(0, 1) if _can_stand_alone(field)
    ]
    for pair in pairs:
        if not any(_can_stand_alone(field) for field in pair):
            pair = (*pair, "user")  # a message needs a user or an anonymous id
        calls.append(_call(names, pair))
    return calls


def _can_stand_alone(field: str) -> bool:
    return field == "user" or field.startswith("anonymous")


def _call(names: dict[str, tuple[str, str]], fields: tuple[str, ...]) -> Call:
    more: Call = {}
    context: Call = {}
    for field in fields:
        value = names[field][1]
        match field.split()[0]:
            case "user":
                more["userId"] = value
            case "anonymous":
                # One message has room for one anonymous id; a second one of a person is joined through the user.
                if "anonymousId" in more:
                    more["userId"] = names["user"][1]
                    context.setdefault("externalIds", []).append({"type": "anonymous_id", "id": value})
                more.setdefault("anonymousId", value)
            case "email":
                if "traits" in context:
                    context.setdefault("externalIds", []).append({"type": "email", "id": value})
                context.setdefault("traits", {"email": value})
            case "crm":
                context.setdefault("externalIds", []).append({"type": "crm", "id": value})
    return track("Bought", context=context, properties={"revenue": 5}, **more)


def _profiles_of(people: list[dict[str, tuple[str, str]]]) -> list[Profile]:
    values = [value for names in people for _, value in names.values()]
    return list(Profile.objects.filter(identifiers__value__in=values).distinct())


def _names_of(profile: Profile) -> list[tuple[str, str]]:
    return list(profile.identifiers.values_list("namespace", "value"))


def test_merging_and_parting_by_hand_while_events_flow_loses_nothing(shop: Tracker, drill_scale: Any) -> None:
    buyers = live("buyers", performed("Bought", 4))
    live("never", {"not": performed("Bought")})
    live("others", {"not": {"in_segment": "buyers"}})
    sent = 1
    with crew(4) as members:
        for number in range(drill_scale(full=400, quick=10)):
            chance = seeded("merging", number)
            users = [f"m{number}-{one}" for one in range(4)]
            shop.send(*(track("Looked", user) for user in users))
            process_all()
            for _ in range(6):
                calls = [track("Bought", user) for user in chance.choices(users, k=2)]
                sent += len(calls)
                shop.send(*calls)
            pair = chance.sample(users, 2)

            def by_hand(pair: list[str] = pair) -> None:
                one, other = (Profile.objects.get(identifiers__value=user) for user in pair)
                merge_profiles(survivor=one, absorbed=other, reason="a clerk saw it", by=BY)
                drain_dirty()

            members.race([consume(chance), consume(chance), refreshing(buyers), by_hand])
            if number % 2:
                last = Merge.objects.latest("pk")
                shop.send(*(track("Bought", user) for user in pair))
                sent += 2
                members.race([consume(chance), refreshing(buyers), lambda merge=last: undo_merge(merge=merge, by=BY)])  # type: ignore[misc]
            process_all()
    assert rows(
        "SELECT count(*) FROM profiles_event e JOIN profiles_eventname n ON n.id = e.name_id WHERE n.name = 'Bought'"
    ) == [(sent,)]
    assert_books_balance()

"""What was permitted at a moment, and what we knew then: worked out from records alone, and the same as the projection."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from cdp.identity.merging import merge_profiles, undo_merge
from cdp.identity.models import Merge
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, ConsentState, Decision, Method, Purpose
from consent.moments import held_at
from consent.querysets import permitted
from consent.services import record_decision
from tests.factories import BY, Tracker, identify, person, process_all, track, tracker

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
EMAIL, ANALYSIS = "marketing_email", "internal_analysis"


@pytest.fixture
def shop() -> Tracker:
    shop = tracker()
    for user in ("ann", "bob"):
        shop.send(identify(user, traits={"email": f"{user}@example.com"}, ago=20 * DAY))
    process_all()
    return shop


def say(user: str, decision: Decision, at: datetime, purpose: str = EMAIL) -> None:
    record_decision(
        profile=person(user), purpose=Purpose.objects.get(key=purpose), decision=decision, method=Method.FORM, at=at, by=BY
    )  # fmt: skip


def permits(user: str, at: datetime, purpose: str = EMAIL, **known: Any) -> bool:
    (found,) = [one for one in held_at(profile_id=person(user).pk, at=at, **known) if one.purpose.key == purpose]
    return found.permits


def test_each_decision_holds_from_its_moment_to_the_next(shop: Tracker) -> None:
    now = timezone.now()
    say("ann", Decision.GRANTED, now - 5 * DAY)
    say("ann", Decision.WITHDRAWN, now - 2 * DAY)
    told = [permits("ann", now - days * DAY) for days in (6, 5, 3, 2, 0)]
    assert told == [False, True, True, False, False]
    assert permits("ann", now - 6 * DAY, ANALYSIS), "they may object, and hadn't"


def test_what_was_known_then_is_another_question(shop: Tracker) -> None:
    """A withdrawal that reaches us late: it held already, and we couldn't know."""
    now = timezone.now()
    say("ann", Decision.GRANTED, now - 5 * DAY)
    before_we_learned = timezone.now()
    say("ann", Decision.WITHDRAWN, now - 3 * DAY)
    assert not permits("ann", now - DAY)
    assert permits("ann", now - DAY, known_at=before_we_learned)
    assert not permits("ann", now - DAY, known_at=now - 10 * DAY), "nothing had reached us"


def test_a_yes_ends_at_its_moment_by_the_lifetime_of_when_it_was_said(shop: Tracker) -> None:
    now = timezone.now()
    Purpose.objects.filter(key=EMAIL).update(lifetime_days=3)
    say("ann", Decision.GRANTED, now - 5 * DAY)
    Purpose.objects.filter(key=EMAIL).update(lifetime_days=None)
    say("bob", Decision.GRANTED, now - 5 * DAY)
    assert [permits("ann", now - days * DAY) for days in (4, 2.1, 2, 0)] == [True, True, False, False]
    assert permits("bob", now)


def test_a_repetition_counts_though_it_has_no_record(shop: Tracker) -> None:
    """What comes along with each event says the same again; an older word that comes late must not seem to be newer."""
    now = timezone.now()
    Purpose.objects.filter(key=EMAIL).update(lifetime_days=30)
    say("ann", Decision.GRANTED, now - 9 * DAY)
    stamp = track("Looked", "ann", ago=2 * DAY) | {"context": {"consent": {"categoryPreferences": {EMAIL: True}}}}
    shop.send(stamp)
    process_all()
    assert ConsentRecord.objects.count() == 1
    say("ann", Decision.WITHDRAWN, now - 5 * DAY)
    assert permits("ann", timezone.now())
    assert [permits("ann", now - days * DAY) for days in (8, 4, 1)] == [True, False, True]
    state = ConsentState.objects.get(profile=person("ann"), purpose__key=EMAIL)
    repeated = ConsentRecord.objects.get(method=Method.REPEATED)
    # It lengthened nothing.
    assert repeated.expires_at == state.expires_at == ConsentRecord.objects.earliest("pk").expires_at


def test_before_a_merge_each_had_said_what_they_had_said(shop: Tracker) -> None:
    now = timezone.now()
    say("ann", Decision.GRANTED, now - 5 * DAY)
    say("bob", Decision.WITHDRAWN, now - 4 * DAY)
    ann, bob = person("ann"), person("bob")
    before = timezone.now()
    merge_profiles(survivor=ann, absorbed=bob, reason="same", by=BY)
    told = {one.purpose.key: one.permits for one in held_at(profile_id=ann.pk, at=timezone.now())}
    assert not told[EMAIL]
    assert permits("ann", now - DAY, known_at=before), "then they were two, and one had said yes"
    assert [one.permits for one in held_at(profile_id=bob.pk, at=now) if one.purpose.key == EMAIL] == [False]


@pytest.mark.parametrize("seed", range(12))
def test_worked_out_from_records_it_is_what_readers_see(shop: Tracker, seed: int) -> None:
    """Random stories of decisions, late ones, repetitions, merges and their undoing; lifetimes that change."""
    chance = random.Random(seed)
    merged: list[Merge] = []
    for _ in range(25):
        now = timezone.now()
        user, purpose = chance.choice(("ann", "bob")), chance.choice((EMAIL, ANALYSIS))
        match chance.randrange(8):
            case 0 | 1 | 2:
                decision = chance.choice((Decision.GRANTED, Decision.WITHDRAWN, Decision.DENIED))
                say(user, decision, now - chance.random() * 10 * DAY, purpose)
            case 3 | 4 | 5:
                choice = {purpose: chance.random() < 0.6}
                sent = track("Looked", user, ago=chance.random() * 10 * DAY)
                shop.send(sent | {"context": {"consent": {"categoryPreferences": choice}}})
                process_all()
            case 6:
                Purpose.objects.filter(key=EMAIL).update(lifetime_days=chance.choice((None, 2, 5)))
            case _ if merged:
                undo_merge(merge=merged.pop(), by=BY)
            case _:
                if person("ann").pk != person("bob").pk:
                    merged.append(merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="same", by=BY))
        at = timezone.now()
        for purpose_row in Purpose.objects.all():
            readers = set(permitted(Profile.objects.all(), purpose_row, at=at).values_list("pk", flat=True))
            proved = {
                pk
                for pk in Profile.objects.values_list("pk", flat=True)
                if next(one for one in held_at(profile_id=pk, at=at) if one.purpose == purpose_row).permits
            }
            assert proved == readers, purpose_row.key
            known = {
                pk
                for pk in Profile.objects.values_list("pk", flat=True)
                if next(one for one in held_at(profile_id=pk, at=at, known_at=at) if one.purpose == purpose_row).permits
            }
            assert known == readers, purpose_row.key

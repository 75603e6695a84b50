"""A no that comes late, of somebody who was another person by then, counts against the yes of the one they became."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from cdp.collecting.services import Choice, collect
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.identity.models import Merge
from consent.models import ConsentConflict, ConsentRecord, Decision, Method, Purpose
from consent.moments import held_at
from consent.services import record_decision
from tests.factories import BY, Tracker, identify, person, process_all, tracker
from tests.integration.test_consent import EMAIL, NOW, allowed, decided, say


@pytest.fixture
def shop(db: None) -> Tracker:
    """Ann, Bob and Cyd, of whom Ann has permitted e-mail at the tenth minute."""
    shop = tracker()
    say(shop, identify("ann"), identify("bob"), identify("cyd"), decided("ann", 10, marketing_email=True))
    return shop


def become_one(one: str, other: str) -> Merge:
    merge = merge_profiles(survivor=person(one), absorbed=person(other), reason="the same", by=BY)
    process_all()
    return merge


def is_permitted() -> bool:
    """As readers see it, and as the records prove it."""
    (held,) = (one for one in held_at(profile_id=person("ann").pk, at=timezone.now()) if one.purpose.key == EMAIL)
    assert held.permits == ("ann" in allowed(EMAIL))
    return held.permits


@pytest.mark.parametrize(("one", "other"), [("ann", "bob"), ("bob", "ann")])
def test_it_counts_as_if_it_had_been_known_when_they_became_one(shop: Tracker, one: str, other: str) -> None:
    become_one(one, other)
    assert is_permitted()
    say(shop, decided("bob", 5, marketing_email=False))
    assert not is_permitted()
    (conflict,) = ConsentConflict.objects.all()
    assert (conflict.theirs, conflict.absorbed) == (
        (Decision.GRANTED, Decision.DENIED) if one == "ann" else (Decision.DENIED, Decision.GRANTED)
    )
    # A yes that is older than what it stands against is none; a newer one is.
    say(shop, decided("ann", 8, marketing_email=True))
    assert not is_permitted()
    say(shop, decided("ann", 11, marketing_email=True))
    assert is_permitted()


def test_ones_own_was_taken_back_by_the_yes(shop: Tracker) -> None:
    become_one("ann", "bob")
    say(shop, decided("ann", 5, marketing_email=False))
    assert is_permitted()
    assert not ConsentConflict.objects.exists()


def test_so_was_that_of_whoever_came_along_with_the_yes(shop: Tracker) -> None:
    become_one("cyd", "bob")
    become_one("bob", "ann")
    say(shop, decided("ann", 5, marketing_email=False))
    assert is_permitted()
    say(shop, decided("cyd", 4, marketing_email=False))
    assert not is_permitted()


def test_it_counts_of_somebody_who_came_along_with_somebody(shop: Tracker) -> None:
    become_one("bob", "cyd")
    become_one("ann", "bob")
    say(shop, decided("cyd", 5, marketing_email=False))
    assert not is_permitted()


def test_whoever_says_yes_as_one_says_it_for_all_they_were(shop: Tracker) -> None:
    become_one("ann", "bob")
    email = Purpose.objects.get(key=EMAIL)
    record_decision(
        profile=person("ann"), purpose=email, decision=Decision.GRANTED, method=Method.FORM, at=timezone.now(), by=BY
    )
    say(shop, decided("bob", 5, marketing_email=False))
    assert is_permitted()


@pytest.mark.parametrize(("user", "still"), [("ann", True), ("bob", False)])
def test_a_system_reports_it_by_the_name_it_knows(shop: Tracker, user: str, still: bool) -> None:
    become_one("ann", "bob")
    choice = Choice(
        user=f"user_id:{user}",
        purpose=Purpose.objects.get(key=EMAIL),
        decision=Decision.DENIED,
        collected_at=NOW + timedelta(minutes=5),
        method=Method.API,
    )
    collect(choices=[choice], by=BY)
    assert is_permitted() is still
    assert ConsentRecord.objects.get(method=Method.API).said_by in set(
        person("ann").identifiers.filter(value=user).values_list("pk", flat=True)
    )


def test_what_nobody_can_say_whose_it_was_counts(shop: Tracker) -> None:
    become_one("ann", "bob")
    record_decision(
        profile=person("ann"),
        purpose=Purpose.objects.get(key=EMAIL),
        decision=Decision.DENIED,
        method=Method.FORM,
        at=datetime.now(UTC) - timedelta(days=2),
        by=BY,
    )
    assert not is_permitted()


def test_who_was_nobody_elses_is_judged_by_their_newest_word(shop: Tracker) -> None:
    undo_merge(merge=become_one("ann", "bob"), by=BY)
    process_all()
    say(shop, decided("ann", 11, marketing_email=True))
    say(shop, decided("ann", 5, marketing_email=False))
    assert is_permitted()


def test_a_later_word_in_the_same_batch_stands_after_it(shop: Tracker) -> None:
    become_one("ann", "bob")
    say(shop, decided("bob", 5, marketing_email=False), decided("bob", 7, marketing_email=True))
    assert not is_permitted()
    say(shop, decided("bob", 6, marketing_email=False), decided("bob", 12, marketing_email=True))
    assert is_permitted()

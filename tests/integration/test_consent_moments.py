"""What was permitted at a moment, and what we knew then: worked out from records alone, and the same as the projection."""

import random
import re
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.identity.models import Merge
from cdp.profiles.models import Profile
from consent import stops
from consent.models import ConsentRecord, ConsentState, Decision, Method, Purpose, StopKind
from consent.moments import Held, held_at, held_by_many, spells
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


def test_what_they_became_counts_from_when_they_did(shop: Tracker) -> None:
    """The yes of two is dated at the earlier of both: that must not make a yes of a time at which one had said no."""
    now = timezone.now()
    say("bob", Decision.GRANTED, now - 9 * DAY)
    say("ann", Decision.WITHDRAWN, now - 7 * DAY)
    say("ann", Decision.GRANTED, now - 5 * DAY)
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="same", by=BY)
    assert permits("ann", timezone.now())
    assert [permits("ann", now - days * DAY) for days in (8, 6, 4)] == [False, False, True]
    undo_merge(merge=merge, by=BY)
    assert [permits("ann", now - days * DAY) for days in (8, 6, 4)] == [False, False, True]
    assert [permits("bob", now - days * DAY) for days in (10, 8, 6)] == [False, True, True]


@pytest.mark.parametrize("seed", range(12))
def test_worked_out_from_records_it_is_what_readers_see(shop: Tracker, seed: int) -> None:
    """Random stories of decisions, late ones, repetitions, stops, merges and their undoing; lifetimes that change. Also asked
    afterwards: what we knew then is what readers saw then."""
    chance = random.Random(seed)
    merged: list[Merge] = []
    saw: list[tuple[datetime, str, set[int], list[int]]] = []
    for _ in range(25):
        now = timezone.now()
        user, purpose = chance.choice(("ann", "bob")), chance.choice((EMAIL, ANALYSIS))
        match chance.randrange(9):
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
            case 7:
                stop_or_lift(person(user), chance.choice(list(StopKind)))
            case _ if merged:
                undo_merge(merge=merged.pop(), by=BY)
            case _:
                if person("ann").pk != person("bob").pk:
                    merged.append(merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="same", by=BY))
        at = timezone.now()
        people = list(Profile.objects.values_list("pk", flat=True))
        for known in ({}, {"known_at": at}):
            held = {pk: {one.purpose: one.permits for one in held_at(profile_id=pk, at=at, **known)} for pk in people}
            for purpose_row in Purpose.objects.all():
                readers = set(permitted(Profile.objects.all(), purpose_row, at=at).values_list("pk", flat=True))
                assert {pk for pk in people if held[pk][purpose_row]} == readers, (purpose_row.key, known)
                if not known:
                    saw.append((at, purpose_row.key, readers, people))
    purposes = {one.key: one for one in Purpose.objects.filter(key__in=(EMAIL, ANALYSIS))}
    for at, key, readers, everybody in saw:
        if key in purposes:
            told = held_by_many(everybody, purposes[key], at=at, known_at=at)
            assert {pk for pk, held in told.items() if held.permits} == readers, f"{key} at {at}"
    for profile_id in ConsentRecord.objects.values_list("profile_id", flat=True).distinct():
        spells_are_what_held(profile_id)


def spells_are_what_held(profile_id: int) -> None:
    """Told at once, they are what is told of each moment by itself: at their ends, and in between."""
    until = timezone.now()
    found = spells(profile_id=profile_id, until=until)
    for one in found.values():
        assert one[0].since is None and one[-1].until == until
        assert all(left.until == right.since and stand(left.held) != stand(right.held) for left, right in pairwise(one))
    instant = timedelta(microseconds=1)
    ends = {spell.since for one in found.values() for spell in one if spell.since}
    for at in ends | {end - instant for end in ends} | {end + (until - end) / 3 for end in ends} | {until - instant}:
        for held in held_at(profile_id=profile_id, at=at):
            (spell,) = [
                one for one in found[held.purpose.pk] if (one.since is None or one.since <= at) and at < one.until
            ]
            assert stand(spell.held) == stand(held), (held.purpose.key, at)


def stand(held: Held) -> tuple[bool, str, bool]:
    return held.permits, held.standing, held.is_stopped


def stop_or_lift(profile: Profile, kind: StopKind) -> None:
    try:
        stops.lift(profile=profile, kind=kind, by=BY)
    except Conflict:
        stops.stop(profile=profile, kind=kind, by=BY)


# ---- The screen ----------------------------------------------------------------------------------------------------


def staff(role: str) -> Client:
    user = User.objects.create_user(role, password="not used", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def shown(client: Client, user: str, **asked: str) -> tuple[int, str]:
    response = client.get(f"/admin/profiles/profile/{person(user).uuid}/consent/", asked)
    return response.status_code, response.content.decode()


def cells(page: str, purpose: str) -> str:
    """What stands in the row of the purpose, as plain words."""
    row = next(row for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL) if f">{purpose}<" in row)
    return " ".join(re.sub(r"<[^>]+>", " ", row).split())


def test_an_officer_sees_what_held_and_by_which_record(shop: Tracker) -> None:
    now = timezone.now()
    say("ann", Decision.GRANTED, now - 5 * DAY)
    say("ann", Decision.WITHDRAWN, now - 2 * DAY)
    officer = staff("compliance")
    status, page = shown(officer, "ann")
    assert status == 200 and "Withdrawn by Form" in cells(page, "Marketing email")
    assert "Not permitted" in cells(page, "Marketing email") and " Permitted " in cells(page, "Internal analysis")
    then = f"{now - 3 * DAY:%Y-%m-%dT%H:%M:%S}"
    _, page = shown(officer, "ann", at=then, known_at="")
    assert " Permitted " in cells(page, "Marketing email") and "Granted by Form" in cells(page, "Marketing email")
    _, page = shown(officer, "ann", at=then, known_at=then)
    assert "nothing on record" in cells(page, "Marketing email"), "nothing had reached us by then"
    entry = AuditEntry.objects.filter(action="profile.consent_viewed").latest("recorded_at")
    assert (entry.object_id, entry.purpose, set(entry.detail)) == (
        str(person("ann").uuid),
        "privacy_rights",
        {"at", "known_at"},
    )


def test_what_a_merged_profile_had_said_stands_beside_it(shop: Tracker) -> None:
    say("bob", Decision.GRANTED, timezone.now() - 5 * DAY)
    merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="same", by=BY)
    bob = ConsentRecord.objects.earliest("pk").profile_id
    officer = staff("compliance")
    _, page = shown(officer, "ann")
    assert page.count("A profile that was merged into theirs") == 1 and page.count("when it was merged, ") == 1
    now = timezone.now()
    refused = officer.get(f"/admin/consent/consentrecord/proof/{bob}/{EMAIL}/", {"at": now.isoformat()}, follow=True)
    assert "had been merged into another one" in refused.content.decode(), "nobody is read by its number any more"


def test_moments_to_come_and_no_moments_are_refused_with_words(shop: Tracker) -> None:
    officer = staff("compliance")
    for asked, said in (
        ({"at": "2999-01-01T00:00:00"}, "choose a moment that has been"),
        ({"at": "yesterday"}, "Enter a valid date"),
        ({"at": ""}, "required"),
        ({"at": "2026-01-01T00:00:00", "known_at": "2999-01-01T00:00:00"}, "Leave it empty"),
    ):
        status, page = shown(officer, "ann", **asked)
        assert (status, said in page) == (400, True), asked


def test_only_who_may_see_records_sees_them(shop: Tracker) -> None:
    assert shown(staff("marketer"), "ann")[0] == 403
    assert (
        "At a moment" not in staff("integrator").get(f"/admin/profiles/profile/{person('ann').uuid}/").content.decode()
    )

"""Rules that ask for a purpose take in exactly whom a read for it would let through; and a yes may end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cdp.identity.merging import merge_profiles, undo_merge
from cdp.pipeline import drain_dirty
from cdp.profiles.models import Profile, Workspace
from consent.models import ConsentState, Decision, Method, Purpose
from consent.querysets import permitted
from consent.services import record_decision
from segments.catalogue import catalog
from segments.engines import postgres
from segments.engines.postgres import LeafQueries
from segments.feed import number_changes
from segments.models import MembershipChange, Segment, SweepState
from segments.moments import moment_of_judgement
from segments.refresh import request_due_refreshes
from segments.rules import Person, RuleErrors, depends_on, evaluate, load
from segments.standing import how_people_stand
from segments.sweep import sweep_due
from segments.turning import outlook
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
    track,
    tracker,
)
from tests.integration.books import assert_books_balance
from tests.integration.callers import decide, found, key

pytestmark = pytest.mark.django_db

EMAIL, ANALYSIS, RIGHTS = "marketing_email", "internal_analysis", "privacy_rights"
DAY = timedelta(days=1)
PEOPLE = ("ann", "bob", "cyd", "dee", "eve")


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(*(identify(name, traits={"n": 1}) for name in PEOPLE))
    process_all()
    return shop


def lasts(days: int | None, purpose: str = EMAIL) -> None:
    Purpose.objects.filter(key=purpose).update(lifetime_days=days)


def say(user: str, decision: Decision, *, ago: timedelta = timedelta(0), purpose: str = EMAIL) -> None:
    record_decision(
        profile=person(user), purpose=Purpose.objects.get(key=purpose), decision=decision, method=Method.FORM,
        at=timezone.now() - ago, by=BY,
    )  # fmt: skip


def consenting(user: str, choice: bool, *, ago: timedelta = timedelta(minutes=1), is_stamp: bool = False) -> Any:
    call = track("Looked" if is_stamp else "Segment Consent Preference Updated", user, ago=ago)
    return call | {"context": {"consent": {"categoryPreferences": {EMAIL: choice}}}}


def names(ids: Any) -> set[str]:
    return {name for name in PEOPLE if person(name).pk in set(ids)}


def state_of(user: str) -> ConsentState:
    return ConsentState.objects.get(profile=person(user), purpose__key=EMAIL)


@pytest.mark.parametrize("purpose", [EMAIL, ANALYSIS, RIGHTS])
def test_a_rule_takes_in_whom_a_read_for_the_purpose_lets_through(shop: Tracker, purpose: str) -> None:
    lasts(10, purpose)
    say("ann", Decision.GRANTED, purpose=purpose)
    say("bob", Decision.GRANTED, ago=11 * DAY, purpose=purpose)  # ended
    say("cyd", Decision.DENIED, purpose=purpose)
    say("dee", Decision.GRANTED, purpose=purpose)
    say("dee", Decision.WITHDRAWN, purpose=purpose)
    expected = {EMAIL: {"ann"}, ANALYSIS: {"ann", "bob", "eve"}, RIGHTS: set(PEOPLE)}[purpose]
    one = Purpose.objects.get(key=purpose)
    as_of, known = moment_of_judgement(), catalog()
    asked = load(rule({"consented": purpose}), known)
    everybody = {person(name).pk for name in PEOPLE}
    assert names(permitted(Profile.objects.all(), one).values_list("pk", flat=True)) == expected
    assert names(permitted(Profile.objects.all(), one, at=as_of).values_list("pk", flat=True)) == expected
    assert names(postgres.among(asked, known, as_of=as_of, scope=everybody)) == expected
    assert postgres.count(asked, known, as_of=as_of) == len(expected)
    assert postgres.counts([asked], known, as_of=as_of) == (5, [len(expected)])
    negated = live("others", {"not": {"consented": purpose}})
    assert members(negated) == set(PEOPLE) - expected
    stands = how_people_stand(everybody, [depends_on(asked)])
    found_so = {pk for pk, one in stands.items() if evaluate(asked, Person(id=pk, **one.asked), as_of)}
    assert names(found_so) == expected, "the reference engine"


def test_a_decision_in_a_batch_moves_the_person_at_once_and_asks_no_other_rule(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment, other = live("mailed", {"consented": EMAIL}), live("people", {"trait": "n", "op": "exists"})
    asked: list[str] = []
    answer = LeafQueries.answer

    def listening(self: LeafQueries, wanted: Any, **more: Any) -> Any:
        asked.extend(leaf.key for leaf in wanted)
        return answer(self, wanted, **more)

    monkeypatch.setattr(LeafQueries, "answer", listening)
    shop.send(consenting("ann", True))
    process_all()
    assert members(segment) == {"ann"} and len(members(other)) == 5
    assert asked == ['["consented","marketing_email"]']
    assert MembershipChange.objects.get(segment=segment).why == "event"
    asked.clear()
    shop.send(consenting("ann", True, is_stamp=True, ago=timedelta(0)))
    process_all()
    assert asked == [], "it says nothing new"
    decide("bob", EMAIL, Decision.GRANTED)
    assert drain_dirty() == 0, "nobody has to wait for it"
    assert asked == ['["consented","marketing_email"]']
    decide("ann", EMAIL, Decision.WITHDRAWN)
    assert members(segment) == {"bob"}
    process_all()
    assert_books_balance()


def test_who_is_new_is_taken_in_by_what_one_may_only_object_to(shop: Tracker) -> None:
    analysed, mailed = live("analysed", {"consented": ANALYSIS}), live("mailed", {"consented": EMAIL})
    shop.send(identify("new", traits={"n": 2}), consenting("also", True))
    process_all()
    assert members(analysed) == {*PEOPLE, "new", "also"} and members(mailed) == {"also"}


def test_a_yes_ends_at_its_moment_by_time_alone(shop: Tracker) -> None:
    lasts(30)
    segment = live("mailed", {"consented": EMAIL})
    say("ann", Decision.GRANTED)
    say("bob", Decision.GRANTED)
    process_all()
    assert members(segment) == {"ann", "bob"}
    ends = state_of("ann").expires_at
    assert ends is not None and ends == state_of("ann").collected_at + 30 * DAY
    seen = outlook(profile=person("ann"), segment=segment)
    assert (seen.belongs, seen.leaves_at) == (True, ends)

    for moment, expected in ((ends - timedelta(microseconds=1), {"ann", "bob"}), (ends, {"bob"})):
        Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": moment})
        sweep_due(everything=True)
        number_changes()
        assert members(segment) == expected
        told = permitted(Profile.objects.all(), Purpose.objects.get(key=EMAIL), at=moment)
        assert names(told.values_list("pk", flat=True)) == expected
    change = MembershipChange.objects.filter(segment=segment).latest("position")
    assert (change.kind, change.why, change.effective_at) == ("exited", "time", ends)
    say("ann", Decision.GRANTED)
    process_all()
    Workspace.objects.update(frozen_at=None)


def test_reads_go_by_the_clock_of_the_database(shop: Tracker) -> None:
    lasts(1)
    say("ann", Decision.GRANTED, ago=DAY - timedelta(seconds=3))
    email = Purpose.objects.get(key=EMAIL)
    assert permitted(Profile.objects.all(), email).exists()
    ConsentState.objects.update(expires_at=timezone.now() - timedelta(milliseconds=1))
    assert not permitted(Profile.objects.all(), email).exists()


def test_only_a_new_decision_lengthens_a_yes_and_a_no_never_ends(shop: Tracker) -> None:
    lasts(30)
    shop.send(consenting("ann", True, ago=20 * DAY))
    process_all()
    first = state_of("ann").expires_at
    shop.send(consenting("ann", True, ago=10 * DAY, is_stamp=True))
    process_all()
    assert state_of("ann").expires_at == first
    assert state_of("ann").collected_at > datetime.now(UTC) - 11 * DAY, "it is known to hold since then"
    shop.send(consenting("ann", True, ago=5 * DAY))
    process_all()
    assert state_of("ann").expires_at == state_of("ann").collected_at + 30 * DAY
    shop.send(consenting("ann", False))
    process_all()
    assert state_of("ann").expires_at is None
    with pytest.raises(IntegrityError, match="consent_only_yes_ends"), transaction.atomic():
        ConsentState.objects.update(expires_at=timezone.now())
    with pytest.raises(IntegrityError, match="consent_lasts_days"), transaction.atomic():
        lasts(0)


def test_another_lifetime_counts_for_what_is_said_from_then_on(shop: Tracker) -> None:
    say("ann", Decision.GRANTED)
    lasts(5)
    assert state_of("ann").expires_at is None
    say("bob", Decision.GRANTED)
    assert state_of("bob").expires_at == state_of("bob").collected_at + 5 * DAY


def test_of_two_who_proved_to_be_one_the_yes_that_ends_first_counts_before_and_after(shop: Tracker) -> None:
    lasts(30)
    say("ann", Decision.GRANTED, ago=3 * DAY)
    say("bob", Decision.GRANTED, ago=9 * DAY)
    own = {name: state_of(name).expires_at for name in ("ann", "bob")}
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="asked", by=BY)
    assert state_of("ann").expires_at == own["bob"] < own["ann"]
    undo_merge(merge=merge, by=BY)
    assert {state_of(name).expires_at for name in ("ann", "bob")} == {own["bob"]}, "until it is renewed"
    say("cyd", Decision.GRANTED)
    say("dee", Decision.DENIED)
    merge = merge_profiles(survivor=person("cyd"), absorbed=person("dee"), reason="asked", by=BY)
    assert (state_of("cyd").decision, state_of("cyd").expires_at) == ("denied", None)
    merge_profiles(survivor=person("eve"), absorbed=person("ann"), reason="asked", by=BY)
    assert state_of("eve").expires_at == own["bob"], "silence has no end"


def test_another_mode_takes_in_others_and_members_follow(shop: Tracker, client: Client) -> None:
    root = User.objects.create_superuser("root")
    client.force_login(root)
    ads = Purpose.objects.create(key="ads", label="Ads", text="x", lawful_basis="legitimate_interests", mode="opt_in")
    segment = live("ads", {"consented": "ads"})
    reader = live("readers", {"in_segment": "ads"})
    other = live("others", {"consented": EMAIL})
    assert members(segment) == set()
    address = reverse("admin:consent_purpose_change", args=[ads.pk])
    given = {
        "label": "Ads",
        "text": "x",
        "lawful_basis": "legitimate_interests",
        "lifetime_days": "",
        "reach": "person",
    }
    assert client.post(address, given | {"mode": "opt_out"}).status_code == 302
    assert set(SweepState.objects.values_list("segment__key", flat=True)) == {"others"}
    shop.send(track("Looked", "ann"), identify("new", traits={"n": 3}))
    process_all()
    assert members(segment) == {"new"}, "judged by the new mode at once"
    assert request_due_refreshes() == 2
    refresh_now(segment)
    assert members(segment) == members(reader) == {*PEOPLE, "new"} and members(other) == set()
    assert_books_balance()


def test_a_purpose_that_a_live_rule_asks_for_is_kept(shop: Tracker, client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    ads = Purpose.objects.create(key="ads", label="Ads", text="x", lawful_basis="consent", mode="opt_in")
    live("ads", {"not": {"consented": "ads"}})
    address = reverse("admin:consent_purpose_delete", args=[ads.pk])
    assert client.post(address, {"post": "yes"}).status_code == 403
    together = {"action": "delete_selected", "_selected_action": [ads.pk], "post": "yes"}
    client.post(reverse("admin:consent_purpose_changelist"), together)
    assert Purpose.objects.filter(key="ads").exists()
    # By other means it is gone all the same: then nobody knows who is in.
    Purpose.objects.filter(key="ads").delete()
    shop.send(track("Looked", "ann"))
    process_all()
    assert Segment.objects.get(key="ads").broken_reason == '/not/consented: there is no purpose "ads"'
    with pytest.raises(RuleErrors):
        draft("more", {"consented": "ads"})


def test_why_tells_what_is_permitted_and_until_when(shop: Tracker) -> None:
    lasts(10)
    say("ann", Decision.GRANTED)
    shop.send(track("Looked", "ann"))
    process_all()
    asked = draft("asked", {"all": [{"consented": EMAIL}, {"consented": ANALYSIS}, performed("Looked")]})
    body = found(key(sees=[asked]).get("segments/asked/why/user_id:ann/"))
    until = state_of("ann").expires_at
    email, analysis, _ = (one["finding"] for one in body["tree"]["conditions"])
    assert email["said"] == f'permits "Marketing email" until {until:%Y-%m-%d}'
    assert datetime.fromisoformat(email["turns_at"]) == until
    assert analysis["said"] == 'permits "Internal analysis"'


def test_whose_yes_has_just_ended_is_found_by_an_index(shop: Tracker) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'consent_state_by_end'")
        (definition,) = cursor.fetchone()
    assert "(purpose_id, expires_at) INCLUDE (profile_id) WHERE (expires_at IS NOT NULL)" in definition

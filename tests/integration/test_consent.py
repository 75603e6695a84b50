"""Consent, the least of it: unknown is no, the newest decision holds, nothing widens by accident."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from cdp.errors import DomainError, NotFound
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.ingestion.models import Source, SourceKind
from cdp.profiles.models import Event, Profile
from consent.models import ConsentRecord, ConsentState, Decision, Method, Purpose, Reach
from consent.querysets import permitted, purpose_or_error
from consent.replay import replayed
from consent.services import record_decision
from tests.factories import BY, Call, Tracker, identify, person, process_all, track, tracker

NOW = datetime.now(UTC) - timedelta(days=1)
EMAIL, ANALYSIS = "marketing_email", "internal_analysis"


@pytest.fixture
def shop(db: None) -> Tracker:
    return tracker()


def allowed(purpose: str) -> set[str]:
    people = permitted(Profile.objects.all(), Purpose.objects.get(key=purpose))
    return set(people.filter(identifiers__namespace="user_id").values_list("identifiers__value", flat=True))


def decided(user: str, minute: int, /, *, by: str = "userId", **choices: bool) -> Call:
    return stamped(user, minute, by=by, **choices) | {"event": "Segment Consent Preference Updated"}


def stamped(user: str, minute: int, /, *, by: str = "userId", **choices: Any) -> Call:
    """A message that carries consent along, as some libraries do with each."""
    call = track("Looked") | {by: user, "timestamp": (NOW + timedelta(minutes=minute)).isoformat()}
    return call | {"context": {"consent": {"categoryPreferences": choices}}}


def say(source: Tracker, *calls: Call) -> None:
    for call in calls:
        source.send(call)
        process_all()


# ---- Reading -------------------------------------------------------------------------------------------------


def test_unknown_is_no_where_a_purpose_asks_first_and_yes_where_it_lets_people_object(shop: Tracker) -> None:
    say(shop, track("Looked", "ann"))
    assert allowed(EMAIL) == set()
    assert allowed(ANALYSIS) == {"ann"}


def test_yes_and_no_hold_for_the_next_read(shop: Tracker) -> None:
    say(shop, decided("ann", 0, marketing_email=True, internal_analysis=False))
    assert (allowed(EMAIL), allowed(ANALYSIS)) == ({"ann"}, set())
    say(shop, decided("ann", 1, marketing_email=False, internal_analysis=True))
    assert (allowed(EMAIL), allowed(ANALYSIS)) == (set(), {"ann"})
    assert ConsentState.objects.get(purpose__key=EMAIL).decision == Decision.WITHDRAWN


@pytest.mark.parametrize("key", [None, "", "marketing", "'; DROP TABLE consent_purpose"])
def test_people_are_read_for_a_known_purpose_only(db: None, key: str | None) -> None:
    with pytest.raises(DomainError) as refused:
        purpose_or_error(key)
    assert "marketing_email" in refused.value.message and refused.value.pointer == "/purpose"


# ---- What is said --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "consent",
    [None, {}, True, "granted", [], {"categoryPreferences": None}, {"categoryPreferences": {EMAIL: "true"}},
     {"categoryPreferences": {EMAIL: 1}}, {"categoryPreferences": [EMAIL]}, {"categoryPreference": {EMAIL: True}},
     {"categoryPreferences": {EMAIL.upper(): True}}],
)  # fmt: skip
def test_what_is_missing_or_malformed_is_no_consent(shop: Tracker, consent: Any) -> None:
    say(shop, decided("ann", 0) | {"context": {"consent": consent}})
    assert allowed(EMAIL) == set() and not ConsentRecord.objects.exists()
    flags = Event.objects.get().flags
    assert flags is None or flags in (["consent_malformed"], ["purpose_unknown"])


def test_a_malformed_word_takes_no_consent_away(shop: Tracker) -> None:
    say(shop, decided("ann", 0, marketing_email=True), stamped("ann", 1, marketing_email="no"))
    assert allowed(EMAIL) == {"ann"}


def test_a_browser_speaks_for_its_device_only(db: None) -> None:
    browser, server = tracker(SourceKind.BROWSER), tracker()
    say(browser, identify("ann", anonymousId="x"))
    say(browser, decided("ann", 0, marketing_email=True), decided("x", 1, by="anonymousId", marketing_email=True))
    assert allowed(EMAIL) == set()
    assert set(ConsentRecord.objects.values_list("reach", flat=True)) == {Reach.DEVICE}
    say(server, decided("ann", 2, marketing_email=True))
    assert allowed(EMAIL) == {"ann"}
    say(browser, stamped("ann", 3, marketing_email=False))
    assert ConsentRecord.objects.count() == 3, "a browser's stamps are no decisions"


# ---- The newest holds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [decided, stamped])
def test_a_late_yes_does_not_undo_a_newer_no(shop: Tracker, kind: Any) -> None:
    say(shop, kind("ann", 5, marketing_email=False), kind("ann", 1, marketing_email=True))
    assert allowed(EMAIL) == set()


@pytest.mark.parametrize("kind", [decided, stamped])
def test_a_no_that_was_repeated_outlives_a_yes_that_came_late(shop: Tracker, kind: Any) -> None:
    """No at 0, said again at 20; the yes of 10 arrives last. In the order in which it was said, no is the last word."""
    say(shop, decided("ann", 0, marketing_email=False), kind("ann", 20, marketing_email=False))
    say(shop, kind("ann", 10, marketing_email=True))
    assert allowed(EMAIL) == set()


def test_a_late_stamp_in_the_same_batch_does_not_swallow_a_newer_no(shop: Tracker) -> None:
    say(shop, decided("ann", 10, marketing_email=True))
    shop.send(stamped("ann", 5, marketing_email=False), stamped("ann", 12, marketing_email=False))
    process_all()
    assert allowed(EMAIL) == set()


@pytest.mark.parametrize("first", [True, False])
def test_of_two_decisions_at_one_moment_the_stricter_holds(shop: Tracker, first: bool) -> None:
    say(shop, decided("ann", 0, marketing_email=first), decided("ann", 0, marketing_email=not first))
    assert allowed(EMAIL) == set()


def test_stamps_that_say_nothing_new_leave_no_records(shop: Tracker) -> None:
    say(shop, *(stamped("ann", minute, marketing_email=True, sms=False) for minute in range(10)))
    assert ConsentRecord.objects.count() == 2
    say(shop, stamped("ann", 20, marketing_email=False))
    assert list(ConsentRecord.objects.filter(purpose__key=EMAIL).order_by("pk").values_list("decision", flat=True)) == [
        Decision.GRANTED, Decision.WITHDRAWN,
    ]  # fmt: skip


def test_every_decision_leaves_a_record_of_when_and_by_which_message(shop: Tracker) -> None:
    say(shop, decided("ann", 0, marketing_email=True), decided("ann", 1, marketing_email=True))
    records = ConsentRecord.objects.order_by("collected_at")
    assert [r.collected_at for r in records] == [NOW, NOW + timedelta(minutes=1)]
    assert all(r.message_id and r.source_id == shop.source_id and r.recorded_at > r.collected_at for r in records)


def test_a_decision_by_hand_is_refused_for_the_future_and_for_nobody(shop: Tracker) -> None:
    say(shop, track("Looked", "ann"))
    ann, email = person("ann"), Purpose.objects.get(key=EMAIL)
    with pytest.raises(DomainError, match="can't have been made after now"):
        record_decision(
            profile=ann, purpose=email, decision=Decision.GRANTED, method=Method.FORM, at=NOW + timedelta(days=9), by=BY
        )
    nobody = Profile(pk=ann.pk + 1)
    with pytest.raises(NotFound):
        record_decision(profile=nobody, purpose=email, decision=Decision.GRANTED, method=Method.FORM, at=NOW, by=BY)


@pytest.mark.parametrize(("place", "country", "decision", "law"), [
    ("US-CA", None, Decision.GRANTED, "US-CA"), ("DE", None, Decision.PENDING, "DE"),
    ("US-CA", "DE", Decision.PENDING, "DE"), ("", None, Decision.PENDING, "EU"),
])  # fmt: skip
def test_who_has_not_said_where_they_live_is_judged_by_the_place_of_the_source(
    db: None, settings: Any, place: str, country: str | None, decision: Decision, law: str
) -> None:
    """At fourteen: old enough to agree alone in California, and not in Germany."""
    settings.DEFAULT_JURISDICTION = "EU"
    source = tracker()
    Source.objects.filter(pk=source.source_id).update(place=place)
    born = (NOW - timedelta(days=14.5 * 365.25)).date().isoformat()
    say(source, identify("ann", traits={"birth_date": born} | ({"country": country} if country else {})))
    say(source, decided("ann", 0, marketing_email=True))
    record = ConsentRecord.objects.get()
    assert (record.decision, record.jurisdiction) == (decision, law)


# ---- Merging and parting -------------------------------------------------------------------------------------

CHOICES = [None, True, False]


@pytest.mark.parametrize("one", CHOICES)
@pytest.mark.parametrize("other", CHOICES)
def test_of_two_that_become_one_the_stricter_answer_holds(shop: Tracker, one: bool | None, other: bool | None) -> None:
    merge = merged(shop, one, other)
    said = [choice for choice in (one, other) if choice is not None]
    assert (allowed(EMAIL) == {"ann", "bob"}) == (bool(said) and all(said)), "no record is neutral"
    assert allowed(ANALYSIS) == ({"ann", "bob"} if all(said) else set())

    undo_merge(merge=merge, by=BY)
    # Each keeps a grant it gave itself, unless the other's no has been taken over; nobody gains one.
    no = False in said
    assert allowed(EMAIL) == {name for name, choice in (("ann", one), ("bob", other)) if choice and not no}
    assert allowed(ANALYSIS) == (set() if no else {"ann", "bob"})


def merged(shop: Tracker, one: bool | None, other: bool | None) -> Any:
    for name, choice in (("ann", one), ("bob", other)):
        choices = {} if choice is None else {EMAIL: choice, ANALYSIS: choice}
        say(shop, decided(name, 0, **choices))
    return merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="looked alike", by=BY)


def test_a_yes_given_while_merged_goes_to_whoever_gave_it(shop: Tracker) -> None:
    merge = merged(shop, None, None)
    say(shop, decided("bob", 5, marketing_email=True))
    assert allowed(EMAIL) == {"ann", "bob"}
    undo_merge(merge=merge, by=BY)
    assert allowed(EMAIL) == {"bob"}


def test_a_yes_given_by_hand_while_merged_is_nobodys_after(shop: Tracker) -> None:
    merge = merged(shop, None, None)
    email = Purpose.objects.get(key=EMAIL)
    record_decision(
        profile=person("ann"), purpose=email, decision=Decision.GRANTED, method=Method.FORM, at=timezone.now(), by=BY
    )
    assert allowed(EMAIL) == {"ann", "bob"}
    undo_merge(merge=merge, by=BY)
    assert allowed(EMAIL) == set()


def test_an_objection_comes_back_when_the_yes_that_overruled_it_was_the_others(shop: Tracker) -> None:
    merge = merged(shop, False, None)
    say(shop, decided("bob", 5, internal_analysis=True))
    assert allowed(ANALYSIS) == {"ann", "bob"}
    undo_merge(merge=merge, by=BY)
    assert allowed(ANALYSIS) == {"bob"}


def test_a_yes_of_somebody_who_has_parted_does_not_come_back_when_another_one_parts(shop: Tracker) -> None:
    say(shop, decided("ann", 0), decided("bob", 0), decided("cyd", 0))
    first = merge_profiles(survivor=person("cyd"), absorbed=person("ann"), reason="looked alike", by=BY)
    say(shop, decided("ann", 1, marketing_email=True))
    second = merge_profiles(survivor=person("cyd"), absorbed=person("bob"), reason="looked alike", by=BY)
    undo_merge(merge=first, by=BY)
    assert allowed(EMAIL) == {"ann"}
    email = Purpose.objects.get(key=EMAIL)
    record_decision(
        profile=person("bob"), purpose=email, decision=Decision.GRANTED, method=Method.FORM, at=timezone.now(), by=BY
    )
    assert allowed(EMAIL) == {"ann", "bob", "cyd"}
    undo_merge(merge=second, by=BY)
    assert allowed(EMAIL) == {"ann"}


def test_a_yes_that_came_with_somebody_goes_with_them_whoever_was_merged_in_between(shop: Tracker) -> None:
    say(shop, decided("ann", 0), decided("bob", 1, marketing_email=True), decided("cyd", 0))
    first = merge_profiles(survivor=person("cyd"), absorbed=person("bob"), reason="looked alike", by=BY)
    second = merge_profiles(survivor=person("ann"), absorbed=person("cyd"), reason="looked alike", by=BY)
    undo_merge(merge=second, by=BY)
    assert allowed(EMAIL) == {"bob", "cyd"}
    undo_merge(merge=first, by=BY)
    assert allowed(EMAIL) == {"bob"}


def test_a_yes_that_was_lost_while_they_were_one_does_not_come_back_on_record_alone(shop: Tracker) -> None:
    say(shop, decided("ann", 1, marketing_email=True), decided("bob", 0), decided("cyd", 2, marketing_email=True))
    first = merge_profiles(survivor=person("cyd"), absorbed=person("bob"), reason="looked alike", by=BY)
    third = merge_profiles(survivor=person("cyd"), absorbed=person("ann"), reason="looked alike", by=BY)
    undo_merge(merge=first, by=BY)
    undo_merge(merge=third, by=BY)
    for name in ("ann", "bob", "cyd"):
        records = ConsentRecord.objects.filter(profile_id=person(name).pk, purpose__key=EMAIL).order_by("pk")
        held = replayed(records)
        assert (held is not None and held.is_yes) == (name in allowed(EMAIL)), name


def test_the_no_they_had_as_one_is_kept_though_the_other_one_said_yes_since(shop: Tracker) -> None:
    say(shop, decided("ann", 1, marketing_email=True), decided("bob", 2, marketing_email=False))
    merge = merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="looked alike", by=BY)
    say(shop, decided("bob", 5, marketing_email=True))
    assert allowed(EMAIL) == {"ann", "bob"}
    undo_merge(merge=merge, by=BY)
    assert allowed(EMAIL) == {"bob"}
    say(shop, decided("ann", 6, marketing_email=True))
    assert allowed(EMAIL) == {"ann", "bob"}


def test_a_no_given_while_merged_stays_with_both(shop: Tracker) -> None:
    merge = merged(shop, True, True)
    say(shop, decided("bob", 5, marketing_email=False))
    undo_merge(merge=merge, by=BY)
    assert allowed(EMAIL) == set()
    say(shop, decided("ann", 6, marketing_email=True))
    assert allowed(EMAIL) == {"ann"}, "until it is renewed"

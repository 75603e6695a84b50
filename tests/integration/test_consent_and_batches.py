"""Consent doesn't depend on how messages happen to be cut into batches: every cut ends as one message at a time does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.ingestion.models import SourceKind
from cdp.profiles.models import Event, Identifier
from consent.models import ConsentState
from tests.factories import Call, Tracker, process_all, track, tracker
from tests.integration.books import assert_books_balance

NOW = datetime.now(UTC) - timedelta(days=1)
EMAIL = "marketing_email"

# (namespace, value) -> purpose -> whether it is granted, and since when that is known.
State = dict[tuple[str, str], dict[str, tuple[bool, datetime]]]


def word(minute: int, choice: bool | None, /, *, decides: bool = True, **who: str) -> Call:
    """A message about whoever has these ids; with a choice it also says what they permit."""
    said = {"timestamp": (NOW + timedelta(minutes=minute)).isoformat()} | who
    if "previousId" in who:
        call = track("") | said | {"type": "alias"}
    else:
        call = track("Segment Consent Preference Updated" if decides else "Looked") | said
    if choice is not None:
        call["context"] = {"consent": {"categoryPreferences": {EMAIL: choice}}}
    return call


def state() -> State:
    held: dict[int, dict[str, tuple[bool, datetime]]] = {}
    for profile_id, purpose, decision, since in ConsentState.objects.values_list(
        "profile_id", "purpose__key", "decision", "collected_at"
    ):
        held.setdefault(profile_id, {})[purpose] = (decision == "granted", since)
    everybody = Identifier.objects.values_list("namespace", "value", "profile_id")
    return {(namespace, value): held.get(profile_id, {}) for namespace, value, profile_id in everybody}


def granted(value: str) -> bool:
    held = next(held for (_, name), held in state().items() if name == value)
    return held.get(EMAIL, (False, NOW))[0]


def in_batches(*batches: tuple[Call, ...]) -> None:
    server = tracker()
    for batch in batches:
        server.send(*batch)
        process_all()


# ---- What was found by hand ----------------------------------------------------------------------------------

NO = word(0, False, userId="ann")
YES_OF_THE_DEVICE = word(1, True, anonymousId="dev-1")
THEY_ARE_ONE = word(2, None, decides=False, userId="ann", anonymousId="dev-1")


@pytest.mark.parametrize(
    "before",
    [(), (word(0, None, decides=False, anonymousId="dev-1"),)],
    ids=["a device never seen before", "a device that is known"],
)
@pytest.mark.parametrize("decides", [True, False], ids=["decision", "stamp"])
def test_a_devices_yes_is_not_its_persons_because_both_came_in_one_batch(
    db: None, before: tuple[Call, ...], decides: bool
) -> None:
    yes = word(1, True, decides=decides, anonymousId="dev-1")
    in_batches((NO, *before), (yes, THEY_ARE_ONE))
    assert not granted("ann") and not granted("dev-1")
    assert_books_balance()


def test_all_that_was_said_in_one_batch_of_people_never_seen_before(db: None) -> None:
    in_batches((NO, YES_OF_THE_DEVICE, THEY_ARE_ONE))
    assert not granted("ann")
    assert_books_balance()


def test_a_yes_of_the_person_after_they_became_one_holds(db: None) -> None:
    in_batches((NO, YES_OF_THE_DEVICE, THEY_ARE_ONE, word(3, True, anonymousId="dev-1")))
    assert granted("ann")
    assert Event.objects.count() == 4
    assert_books_balance()


def test_a_yes_that_came_before_they_became_one_is_not_lost_to_an_older_no(db: None) -> None:
    """The other way round: ann's own newer yes overrules her no before the device, of which nothing is known, is hers."""
    in_batches((NO,), (word(1, True, userId="ann"), YES_OF_THE_DEVICE, THEY_ARE_ONE))
    assert granted("ann")


# ---- Every cut of every story --------------------------------------------------------------------------------

USERS, DEVICES, PHONES = (
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(["dev-1", "dev-2"]),
    st.sampled_from(["+41", "+42"]),
)
MINUTES = st.integers(0, 4)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bool, Call]:
    """From the browser or not, and what is said."""
    who: dict[str, str] = {}
    kind = draw(st.sampled_from(["user", "device", "device", "both", "both", "phone", "alias"]))
    if kind in ("user", "both", "alias"):
        who["userId"] = draw(USERS)
    if kind in ("device", "both", "phone"):
        who["anonymousId"] = draw(DEVICES)
    if kind == "alias":
        who["previousId"] = draw(st.one_of(USERS, DEVICES))
    call = word(draw(MINUTES), draw(st.sampled_from([None, True, False])), decides=draw(st.booleans()), **who)
    if kind == "phone":
        call.setdefault("context", {})["externalIds"] = [{"type": "phone", "id": draw(PHONES)}]
    return draw(st.sampled_from([False, False, False, True])), call


def told(
    story: list[tuple[bool, Call]], cuts: set[int], trackers: tuple[Tracker, Tracker]
) -> tuple[State, list[State]]:
    """How it stands at the end, and after each batch; undone afterwards."""
    after: list[State] = []
    with transaction.atomic():
        for number, (from_browser, call) in enumerate(story, 1):
            trackers[from_browser].send(call)
            if number in cuts or number == len(story):
                process_all()
                after.append(state())
        assert_books_balance()
        transaction.set_rollback(True)
    return after[-1], after


@given(story=st.lists(messages(), min_size=2, max_size=9), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_messages_are_cut_into_batches_the_same_consent_holds(
    db: None, story: list[tuple[bool, Call]], data: st.DataObject
) -> None:
    trackers = tracker(), tracker(SourceKind.BROWSER)
    one_by_one, steps = told(story, set(range(len(story))), trackers)
    for number, (step, before) in enumerate(zip(steps, [{}, *steps], strict=False)):
        assert_never_wider(before, step, *story[number])
    assert told(story, set(), trackers)[0] == one_by_one, "all in one batch"
    cuts = data.draw(st.sets(st.integers(1, len(story) - 1)))
    assert told(story, cuts, trackers)[0] == one_by_one, f"cut after {sorted(cuts)}"


def assert_never_wider(before: State, after: State, from_browser: bool, call: Any) -> None:
    """Only a yes of its own makes a message turn a no into a yes: no proof that two are one does."""
    choices = call.get("context", {}).get("consent", {}).get("categoryPreferences", {})
    if choices.get(EMAIL) and not from_browser:
        return
    for who, held in before.items():
        if EMAIL in held and not held[EMAIL][0]:
            assert EMAIL in after[who] and not after[who][EMAIL][0]

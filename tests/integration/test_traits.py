"""Traits: the newest word wins whatever the order of arrival, repeats count once, a removal stays."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingestion.models import InboxMessage
from cdp.pipeline import process_batch
from cdp.profiles import catalogue, store
from cdp.profiles.models import Event, Profile, Trait, TraitValue
from cdp.profiles.values import TypedValue, fold
from tests.factories import Call, Tracker, identify, person, process_all, track, tracker
from tests.integration.books import assert_totals_equal_events

NOW = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def shop(db: None) -> Tracker:
    return tracker()


def said(minute: int, message_id: str, **traits: Any) -> Call:
    at = (NOW + timedelta(minutes=minute)).isoformat()
    return {"type": "identify", "userId": "ann", "messageId": message_id, "timestamp": at, "traits": traits}


def test_the_newest_word_wins_in_any_order_and_any_batching(shop: Tracker) -> None:
    words = [
        said(1, "a", city="Bern", age=30),
        said(2, "b", city="Rome"),
        said(3, "c", city=None),
        said(0, "d", city="Oslo", plan="gold"),
    ]
    for order in itertools.permutations(words):
        with transaction.atomic():
            for word in order:
                shop.send(word)
                process_batch()
            assert person("ann").traits == {"age": 30, "plan": "gold"}
            transaction.set_rollback(True)
        catalogue.forget()
        with transaction.atomic():
            shop.send(*order)
            process_batch()
            assert person("ann").traits == {"age": 30, "plan": "gold"}
            transaction.set_rollback(True)
        catalogue.forget()


WORDS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.dictionaries(
            st.sampled_from(["city", "age"]),
            st.sampled_from([None, "Bern", "Rome", 1, 2.5, True, ["a"], {"x": 1}]),
            min_size=1,
        ),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(words=WORDS, data=st.data())
def test_any_arrival_gives_the_same_end(django_db_blocker: Any, words: list[Any], data: st.DataObject) -> None:
    calls = [said(minute, f"m{number}", **traits) for number, (minute, traits) in enumerate(words)]
    expected: dict[str, Any] = {}
    for call in sorted(calls, key=lambda call: (call["timestamp"], call["messageId"])):
        for key, value in call["traits"].items():
            expected.pop(key, None)
            if value is not None:
                expected[key] = value
    arrival = data.draw(st.permutations(calls))
    cuts = data.draw(st.lists(st.booleans(), min_size=len(calls), max_size=len(calls)))
    with django_db_blocker.unblock(), transaction.atomic():
        catalogue.forget()
        shop = tracker()
        for call, cut in zip(arrival, cuts, strict=True):
            shop.send(call)
            if cut:
                process_batch()
        process_all()
        ann = person("ann")
        assert ann.traits == expected
        assert dict(TraitValue.objects.filter(profile=ann).values_list("trait__key", "raw")) == expected
        store.rebuild_traits([ann.pk])
        ann.refresh_from_db()
        assert ann.traits == expected, "rebuilt from events"
        transaction.set_rollback(True)
    catalogue.forget()


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_at_one_moment_the_greater_message_id_wins(shop: Tracker, order: tuple[str, str]) -> None:
    for message_id in order:
        shop.send(said(0, message_id, city=f"from {message_id}"))
        process_all()
    assert person("ann").traits == {"city": "from b"}


def test_a_null_takes_a_trait_away_and_an_older_value_that_comes_late_stays_away(shop: Tracker) -> None:
    shop.send(said(5, "b", city=None))
    process_all()
    shop.send(said(1, "a", city="Bern"))
    process_all()
    assert person("ann").traits == {}
    shop.send(said(9, "c", city="Rome"))
    process_all()
    assert person("ann").traits == {"city": "Rome"}


def test_a_value_of_another_type_is_read_anew(shop: Tracker) -> None:
    shop.send(said(1, "a", age="thirty"))
    process_all()
    shop.send(said(2, "b", age=31))
    process_all()
    value = TraitValue.objects.get(trait__key="age")
    assert (value.number, value.text, value.text_folded, value.raw) == (31, None, None, 31)


@pytest.mark.parametrize("together", [True, False])
def test_a_repeat_is_known_by_its_message_id_alone(shop: Tracker, together: bool) -> None:
    """A retry has another sentAt, and a library may even have changed its mind about the time."""
    first = track("Bought", "ann", properties={"revenue": 10}) | {
        "messageId": "same",
        "sentAt": datetime.now(UTC).isoformat(),
    }
    again = track("Bought", "bob", properties={"revenue": 99}) | {"messageId": "same"}
    shop.send(first)
    if not together:
        process_all()
    shop.send(again)
    shop.send(again)
    process_all()
    assert [event.properties["revenue"] for event in Event.objects.all()] == [10]
    assert Profile.objects.count() == 1
    assert_totals_equal_events()


def test_two_sources_may_use_one_message_id(shop: Tracker) -> None:
    for source in (shop, tracker()):
        source.send(track("Bought", "ann") | {"messageId": "same"})
    process_all()
    assert Event.objects.count() == 2


def test_messages_without_an_id_are_never_repeats(shop: Tracker) -> None:
    call = track("Bought", "ann")
    del call["messageId"]
    shop.send(call, call)
    shop.send(call)
    process_all()
    assert Event.objects.count() == 3


def test_a_retry_is_corrected_for_the_clock_of_its_own_sending(shop: Tracker) -> None:
    ahead = timedelta(hours=5)
    call = track("Bought", "ann") | {
        "timestamp": (datetime.now(UTC) + ahead - timedelta(minutes=10)).isoformat(),
        "sentAt": (datetime.now(UTC) + ahead).isoformat(),
    }
    shop.send(call)
    process_all()
    assert abs(Event.objects.get().occurred_at - (datetime.now(UTC) - timedelta(minutes=10))) < timedelta(seconds=30)


def test_late_events_count_where_they_belong(shop: Tracker) -> None:
    shop.send(track("Bought", "ann", ago=timedelta(days=1)))
    process_all()
    shop.send(track("Bought", "ann", ago=timedelta(days=400)))
    process_all()
    ann = person("ann")
    total = ann.event_totals.get()
    assert total.count == 2 and total.last_at - total.first_at == pytest.approx(
        timedelta(days=399), abs=timedelta(minutes=1)
    )
    assert ann.first_seen_at == pytest.approx(total.first_at, abs=timedelta(minutes=1))


def test_a_flood_of_trait_names_leaves_room_for_others(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_TRAITS", Trait.objects.count() + 5)
    shop.send(identify("bot", traits={f"zz_{n}": n for n in range(50)}), identify("ann", traits={"city": "Bern"}))
    process_all()
    assert person("ann").traits == {"city": "Bern"}
    assert len(person("bot").traits) == 4


def test_a_name_whose_label_is_longer_than_itself_enters_the_catalogue(shop: Tracker) -> None:
    shop.send(track("ß" + "x" * 199, "ann"), identify("ann", traits={"aB" * 60: 1}))
    assert process_all().quarantined == 0
    assert len(Trait.objects.get().label) == 128


def test_a_value_that_no_index_takes_stops_neither_the_consumer_nor_the_others(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Folded, these are 3,080 bytes that hardly compress; as a list's item they must not reach the index at all.
    chance = random.Random(1)
    hangul = chance.sample([chr(0xAC00 + n) for n in range(11_172) if n % 28], 204)
    others = [chr(chance.randrange(0x10000, 0x10FFFE)) for _ in range(308)]
    long = "".join(chance.sample([*hangul, *others], 512))
    shop.send(identify("ann", traits={"tags": [long]}), track("Bought", "bob"))
    assert process_all().stored == 2
    assert TraitValue.objects.get().items is None

    monkeypatch.setattr(store, "typed", lambda raw: TypedValue(items=tuple(map(fold, raw))))
    shop.send(identify("cyd", traits={"tags": [long]}), track("Bought", "bob"))
    report = process_all()
    assert (report.stored, report.quarantined) == (1, 1)


def test_nobody_can_use_up_the_id_that_a_message_without_one_will_get(shop: Tracker) -> None:
    call = track("Bought", "ann")
    del call["messageId"]
    shop.send(call)
    (waiting,) = InboxMessage.objects.values_list("pk", flat=True)
    shop.send(track("Bought", "eve") | {"messageId": f"inbox-{waiting + 2}-0"})
    process_all()
    shop.send(call)
    process_all()
    assert Event.objects.count() == 3

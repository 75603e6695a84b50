"""How much each source sends, what became of it, and what is seen of it while somebody looks."""

from datetime import timedelta

import pytest
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.ingestion import counting, watching
from cdp.ingestion.models import MinuteCount, Outcome, Source, Watch, WatchedMessage
from tests.factories import BY, Tracker, identify, process_all, track, tracker

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Tracker:
    return tracker()


def source() -> Source:
    return Source.objects.get()


def test_each_batch_adds_to_the_minute_of_its_source_what_came_and_what_became_of_it(shop: Tracker) -> None:
    shop.send(identify("ann"), track("Order Completed", "ann", messageId="m1"), track("Seen", "ann", messageId="m1"))
    shop.send({"type": "dance", "messageId": "m2"})
    process_all()
    row = MinuteCount.objects.get()
    assert (row.messages, row.repeated, row.quarantined, row.dropped) == (4, 1, 1, 0)
    shop.send(identify("bob"))
    process_all()
    assert MinuteCount.objects.get().messages == 5
    rates = counting.rates_of([source().pk, 99])
    assert (rates[source().pk].day, rates[source().pk].hours[-1], rates[99].day) == (5, 5, 0)
    assert rates[source().pk].quarantined_share == pytest.approx(0.2)
    MinuteCount.objects.update(minute=timezone.now() - timedelta(days=9))
    assert counting.purge() == 1


def test_nothing_is_noted_unless_somebody_looks(shop: Tracker) -> None:
    shop.send(identify("ann"))
    process_all()
    Watch.objects.create(source_id=source().pk, until=timezone.now() - timedelta(seconds=1))
    shop.send(identify("bob"))
    process_all()
    assert not WatchedMessage.objects.exists()


def test_whoever_looks_sees_what_became_of_each_message_and_names_but_no_value(shop: Tracker) -> None:
    watching.watch(source=source(), by=BY)
    shop.send(
        identify("ann-canary", traits={"email": "ann-canary@example.com", "points": 7}),
        track("Order Completed", "ann-canary", properties={"ann-canary@example.com": 1, "revenue": 10}, messageId="m1"),
        track("Order Completed", "ann-canary", messageId="m1"),
        {"type": "dance", "messageId": "m2", "userId": "ann-canary"},
    )
    process_all()
    rows = list(WatchedMessage.objects.order_by("id").values_list("type", "name", "outcome", "code"))
    assert sorted(rows) == [
        ("batch", "", Outcome.QUARANTINED, "type_unknown"),
        ("identify", "Identified", Outcome.ACCEPTED, ""),
        ("track", "Order Completed", Outcome.ACCEPTED, ""),
        ("track", "Order Completed", Outcome.REPEATED, ""),
    ]
    keys = set().union(*WatchedMessage.objects.values_list("keys", flat=True))
    assert keys == {"email", "points", "revenue", watching.HIDDEN}
    assert "canary" not in str(list(WatchedMessage.objects.values()))
    watching.stop(source=source(), by=BY)
    assert not WatchedMessage.objects.exists()
    acts = AuditEntry.objects.filter(action__startswith="source.watch").order_by("recorded_at")
    assert list(acts.values_list("action", flat=True)) == ["source.watched", "source.watch_ended"]


def test_notes_are_few_and_go_by_themselves(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    watching.watch(source=source(), by=BY)
    monkeypatch.setattr(watching, "PER_BATCH", 3)
    shop.send(*(identify(f"u{n}") for n in range(5)))
    process_all()
    assert WatchedMessage.objects.count() == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "TRIM", watching.TRIM.replace(f"OFFSET {watching.PER_SOURCE}", "OFFSET 3"))
        shop.send(identify("u9"))
        process_all()
    assert WatchedMessage.objects.count() == 3
    WatchedMessage.objects.update(noted_at=timezone.now() - timedelta(hours=1))
    assert watching.purge() == 3

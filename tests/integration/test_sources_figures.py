"""How much each source sends, what became of it, and what is seen of it while somebody looks."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict
from cdp.ingestion import bulk, counting, watching
from cdp.ingestion.models import MinuteCount, Outcome, Source, Watch, WatchedMessage
from cdp.ingestion.tasks import settle_quarantine
from segments.fields.measuring import measure
from tests.factories import BY, Tracker, identify, process_all, track, tracker
from tests.integration.callers import key

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
        ("batch", "", Outcome.QUARANTINED, "unknown_type"),
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


def test_sources_and_quarantine_over_rest_say_how_much_and_why_and_no_body_unless_it_may_be_seen(shop: Tracker) -> None:
    shop.send(identify("ann"), {"type": "dance", "messageId": "m2", "userId": "ann-canary"})
    process_all()
    reader, revealer = key("sources:read", "sources:write"), key("sources:read", "profiles:reveal")
    (told,) = reader.get("sources/").json()["results"]
    assert (told["messages"]["day"], told["messages"]["quarantined"], told["name"]) == (2, 1, source().name)
    (waiting,) = reader.get("quarantine/", code="unknown_type", source=source().pk).json()["results"]
    assert waiting["body"] is None and "canary" not in str(waiting)
    assert reader.get("quarantine/", code="other").json()["results"] == []
    assert reader.get("quarantine/", bodies="true").status_code == 403
    assert "ann-canary" in revealer.get("quarantine/", bodies="true").json()["results"][0]["body"]
    assert AuditEntry.objects.filter(action="quarantined.revealed").count() == 1
    assert reader.post(f"quarantine/{waiting['id']}/replay/").status_code == 202
    assert reader.post(f"quarantine/{waiting['id']}/replay/").status_code == 409
    assert revealer.post(f"quarantine/{waiting['id']}/replay/").status_code == 403
    process_all()
    assert len(reader.get("quarantine/").json()["results"]) == 1


def test_the_tracking_plan_names_what_came_and_why_some_of_it_could_not_be_used(shop: Tracker) -> None:
    people = [f"u{n}" for n in range(6)]
    shop.send(*(identify(who, traits={"email": f"{who}@example.com", "points": 1}) for who in people))
    shop.send(*(track("Order Completed", who, properties={"size": "M", "phone": "1"}) for who in people))
    shop.send({"type": "dance", "messageId": "m2"})
    process_all()
    caller = key("sources:read")
    before = caller.get("tracking-plan/").json()
    assert before["as_of"] is None and {"Order Completed", "Identified"} <= {one["name"] for one in before["events"]}
    measure(progress=lambda *_: None)
    plan = caller.get("tracking-plan/").json()
    (order,) = [one for one in plan["events"] if one["name"] == "Order Completed"]
    by_key = {one["key"]: one for one in order["properties"]}
    assert (order["volume"], by_key["size"]["share"], by_key["size"]["type"]) == (6, 1.0, "text")
    assert (by_key["size"]["is_personal"], by_key["phone"]["is_personal"]) == (False, True)
    traits = {one["key"]: one for one in plan["traits"]}
    assert traits["email"]["is_personal"] and not traits["points"]["is_personal"] and traits["points"]["people"] == 6
    assert [(one["code"], one["messages"]) for one in plan["violations"]] == [("unknown_type", 1)]


def test_much_of_quarantine_is_replayed_or_discarded_by_a_job_that_tries_nothing_twice(shop: Tracker) -> None:
    shop.send(*({"type": "dance", "messageId": f"m{n}"} for n in range(3)))
    process_all()
    user = User.objects.create_superuser("root")
    job = bulk.request(what="replay", code="unknown_type", source_id=None, by=BY, user=user)
    settle_quarantine.apply(args=[job.pk])
    job.refresh_from_db()
    assert (job.state, job.done, job.result) == ("succeeded", 3, {"settled": 3, "settled_by_others": 0})
    process_all()
    assert bulk.chosen(code="unknown_type").count() == 3
    settle_quarantine.apply(args=[bulk.request(what="discard", code="", source_id=source().pk, by=BY, user=user).pk])
    assert not bulk.chosen().exists()
    with pytest.raises(Conflict):
        bulk.request(what="discard", code="", source_id=None, by=BY, user=user)

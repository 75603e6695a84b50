"""The official Python client, unchanged, over a real socket: only its host is ours."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from segment import analytics
from segment.analytics.client import Client
from segment.analytics.request import APIError

from cdp.ingestion.models import Quarantined
from cdp.pipeline import process_batch
from cdp.profiles.models import Event, EventName, Profile
from tests.factories import person, tracker

NAMES = {"Identified", "Order Completed", "Page Viewed", "Screen Viewed", "Grouped", "Aliased"}


def drained() -> int:
    quarantined = 0
    while (report := process_batch()).requests:
        quarantined += report.quarantined
    return quarantined


def say_everything(client: Any, user: str) -> None:
    client.identify(
        user, {"email": f"{user}@b.ch", "plan": "gold", "since": datetime(2024, 1, 1, tzinfo=UTC), "nothing": None}
    )
    client.track(
        user, "Order Completed", {"revenue": 25.5, "currency": "USD", "products": [{"sku": "a"}], "note": "Grüezi 🐄"}
    )
    client.page(user, "Docs", "Python", {"url": "https://shop.example/docs"})
    client.screen(user, "Shop", "Home")
    client.group(user, "g-1", {"employees": 20})
    client.alias(f"{user}-visitor", user)


def test_every_call_arrives_plain_and_packed(live_site: str) -> None:
    errors: list[Exception] = []
    key = tracker().key
    for user, gzip in (("ann", False), ("bob", True)):
        client = Client(key, host=live_site, gzip=gzip, on_error=lambda error, batch: errors.append(error))
        say_everything(client, user)
        client.flush()
        client.join()
    analytics.write_key, analytics.host = key, live_site
    say_everything(analytics, "cyd")  # as a script does, with two lines of setting up
    analytics.shutdown()
    assert errors == []
    assert drained() == 0

    for user in ("ann", "bob", "cyd"):
        profile = person(user)
        events = named_events(profile)
        assert events.keys() == NAMES
        order = events["Order Completed"]
        assert (order.value, order.currency) == (25.5, "USD")
        assert order.properties["note"] == "Grüezi 🐄"
        assert order.context["library"]["name"] == "analytics-python"
        assert order.sent_at is not None and order.original_timestamp is not None
        assert abs(order.occurred_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert profile.traits == {"email": f"{user}@b.ch", "plan": "gold", "since": "2024-01-01T00:00:00+00:00"}
        assert set(profile.identifiers.values_list("namespace", "value")) == {
            ("user_id", user), ("email", f"{user}@b.ch"), ("anonymous_id", f"{user}-visitor"),
        }  # fmt: skip


def named_events(profile: Profile) -> dict[str, Event]:
    names = dict(EventName.objects.values_list("pk", "name"))
    return {names[event.name_id]: event for event in Event.objects.sent().filter(profile_id=profile.pk)}


def test_many_messages_come_in_batches_and_none_is_lost(live_site: str) -> None:
    client = Client(tracker().key, host=live_site, upload_size=100, gzip=True)
    for number in range(950):
        client.track(f"u{number % 50}", "Looked", {"number": number})
    # Python writes undecodable bytes as half characters; the library sends them on as they are.
    client.track("u1", "Looked", {"number": b"caf\xe9".decode("utf-8", "surrogateescape")})
    client.flush()
    client.join()
    assert drained() == 0
    assert {event.properties["number"] for event in Event.objects.all()} == {*range(950), "caf\ufffd"}


def test_a_refusal_reaches_the_client_as_code_and_message_and_is_not_retried(live_site: str) -> None:
    key = tracker().key
    for write_key, properties, code, status in (
        ("wk_nobody", {}, "write_key_unknown", 401),
        (key, {"x": float("nan")}, "invalid_json", 400),
    ):
        errors: list[APIError] = []
        client = Client(write_key, host=live_site, on_error=lambda error, batch, errors=errors: errors.append(error))
        started = time.monotonic()
        client.track("ann", "Looked", properties)
        client.flush()
        client.join()
        assert [(error.code, error.status) for error in errors] == [(code, status)]
        assert errors[0].message
        assert time.monotonic() - started < 10
    drained()
    assert not Event.objects.exists() and not Quarantined.objects.exists()

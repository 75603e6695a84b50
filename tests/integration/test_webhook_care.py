"""Who may hear what by webhooks, changing them, and what is kept of what they did."""

import time
from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from cdp.activation.models import Audience
from cdp.audit.models import AuditEntry
from cdp.deliverer import Deliverer
from cdp.erasure import erase_profile
from cdp.errors import Conflict, DomainError, Forbidden
from cdp.health import standing
from cdp.privacy.models import Tombstone
from cdp.privacy.running import drop_tombstones
from cdp.webhooks.hearing import hear_once, look_after
from cdp.webhooks.keeping import purge, record_sent
from cdp.webhooks.models import Attempt, Delivery, DeliveryState, EventType, OffReason, Webhook
from cdp.webhooks.sending import claim
from cdp.webhooks.services import (
    change_webhook,
    delete_webhook,
    disable,
    enable,
    send_test,
)
from consent.models import Decision
from tests.factories import BY, identify, live, person, process_all, tracker
from tests.integration.audiences import audience_of, keep
from tests.integration.callers import decide
from tests.integration.hooking import EMAIL, PEOPLE, audience, buy, deliver, deliverer, hook, inside, owner, uuid_of
from tests.integration.receivers import receiving

__all__ = ["audience", "deliverer", "inside", "owner"]  # fixtures


# ---- Who may hear ----------------------------------------------------------------------------------------------


def test_nobody_hears_of_people_they_may_not_read(audience: Audience) -> None:
    stranger = User.objects.create_user("stranger", password="not used")
    with pytest.raises(Forbidden, match="may not read the members"):
        hook("https://hooks.example.com/", stranger, audience)
    with pytest.raises(Forbidden, match="consents:read"):
        hook("https://hooks.example.com/", stranger, events=[EventType.CONSENT])


def test_who_may_not_read_them_any_more_hears_nothing_more(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        owner.groups.clear()
        buy("ann")
        look_after(now=timezone.now())
        deliver(deliverer)
        made.webhook.refresh_from_db()
        assert (made.webhook.state, made.webhook.off_reason) == ("disabled", OffReason.NO_ACCESS)
        assert receiver.received == []


def test_an_audience_for_another_purpose_is_refused(audience: Audience, owner: User) -> None:
    other = audience_of(audience.segment, "personalisation")
    with pytest.raises(DomainError, match="another purpose"):
        hook("https://hooks.example.com/", owner, audience, other)


@pytest.mark.parametrize(
    ("events", "code"), [(["audience.exploded"], "event_unknown"), ([EventType.TEST], "event_unknown")]
)
def test_what_there_is_not_cannot_be_heard(audience: Audience, owner: User, events: list[str], code: str) -> None:
    with pytest.raises(DomainError) as refused:
        hook("https://hooks.example.com/", owner, audience, events=events)
    assert refused.value.code == code


def test_an_address_inside_is_refused(audience: Audience, owner: User, settings: Any) -> None:
    settings.OUTBOUND_ALLOW = []
    made = hook("https://hooks.example.com/", owner, audience)
    for url in ("https://169.254.169.254/latest", "http://hooks.example.com/", "https://localhost/"):
        with pytest.raises(DomainError):
            hook(url, owner, audience)
        with pytest.raises(DomainError):
            change_webhook(webhook=made.webhook, url=url, by=BY)


# ---- Changing and taking away ----------------------------------------------------------------------------------


def test_what_happened_while_it_was_off_is_sent_when_it_is_on(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        disable(webhook=made.webhook, reason=OffReason.ASKED, by=BY)
        with pytest.raises(Conflict):
            send_test(webhook=Webhook.objects.get(), by=BY)
        buy("ann")
        deliver(deliverer)
        assert receiver.received == []
        enable(webhook=made.webhook, by=BY)
        deliver(deliverer)
        assert receiver.told() == [("audience.entered", uuid_of("ann"))]


def test_one_that_missed_what_is_no_longer_kept_cannot_go_on(audience: Audience, owner: User) -> None:
    made = hook("https://hooks.example.com/", owner, audience)
    disable(webhook=made.webhook, reason=OffReason.ASKED, by=BY)
    Audience.objects.update(kept_after=10_000)
    with pytest.raises(Conflict, match=audience.key):
        enable(webhook=made.webhook, by=BY)


def test_an_audience_that_is_added_is_heard_from_then_on(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    second = audience_of(live("everybody", {"everyone": True}))
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        change_webhook(webhook=made.webhook, audiences=[audience, second], by=BY)
        deliver(deliverer)
        assert receiver.received == []
        tracker().send(identify("dan"))
        process_all()
        decide("dan", EMAIL, Decision.GRANTED)
        keep()
        deliver(deliverer)
        assert [one["data"]["audience"] for one in receiver.taken] == [second.key]


def test_a_test_says_nothing_of_anybody(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        send_test(webhook=made.webhook, by=BY)
        deliver(deliverer)
        [body] = receiver.taken
        assert body["type"] == "webhook.test"
        assert body["data"] == {"purpose": EMAIL, "webhook": str(made.webhook.uuid)}


def test_a_webhook_goes_with_all_that_it_sent(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        buy("ann")
        deliver(deliverer)
    delete_webhook(webhook=made.webhook, by=BY)
    assert not Delivery.objects.exists() and not Attempt.objects.exists()
    assert AuditEntry.objects.filter(action="webhook.deleted").exists()


def test_the_database_lets_nobody_be_told_the_same_twice(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience)
        buy("ann")
        deliver(deliverer)
        Webhook.objects.update(position=0)  # as if a process had died before it remembered
        deliver(deliverer)
        assert len(receiver.received) == 1


def test_taking_changes_asks_no_more_for_more_webhooks(
    audience: Audience, owner: User, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        hook("https://hooks.example.com/", owner, audience)
    buy(*PEOPLE)
    with django_assert_num_queries(5):  # with the savepoint
        assert hear_once() == (9, False)


# ---- What is kept, and for how long ----------------------------------------------------------------------------


def test_what_was_told_is_on_record_by_positions_and_purpose(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        buy("ann", "bob")
        send_test(webhook=made.webhook, by=BY)
        deliver(deliverer)
    later = timezone.now() + timedelta(minutes=1)
    assert record_sent(now=later) == 2
    assert record_sent(now=later) == 0, "once"
    entry = AuditEntry.objects.get(action="webhook.told")
    positions = list(audience.changes.order_by("position").values_list("position", flat=True))
    assert entry.purpose == EMAIL
    assert (entry.detail["count"], entry.detail["first"], entry.detail["last"]) == (2, positions[0], positions[-1])


def test_deliveries_are_forgotten_in_time_and_those_of_one_that_stays_off_given_up(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience)
        off = hook(receiver, owner, audience).webhook
        buy("ann")
        hear_once()
        disable(webhook=off, reason=OffReason.ASKED, by=BY)
        deliver(deliverer, until=1)
    assert purge()["deliveries"] == 0
    later = timezone.now() + timedelta(days=31)
    done = purge(now=later)
    assert (done["given_up"], done["deliveries"]) == (1, 1)
    assert not Delivery.objects.filter(state=DeliveryState.WAITING).exists()


def test_somebody_who_is_erased_is_told_to_have_left_and_then_forgotten(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience)
        buy("ann")
        ann = person("ann")
        erase_profile(profile=ann, by=BY, reason="request 1")
        process_all()
        keep()
        deliver(deliverer)
        assert receiver.told() == [("audience.exited", str(ann.uuid))]
    Tombstone.objects.get_or_create(pk=ann.pk, defaults={"drop_after": timezone.now()})
    drop_tombstones()
    assert not Delivery.objects.filter(profile_id=ann.pk).exists()


def test_what_waits_too_long_raises_an_alarm_unless_its_receiver_fails(audience: Audience, owner: User) -> None:
    hook("https://hooks.example.com/", owner, audience)
    buy("ann")
    hear_once()
    assert [one["code"] for one in (standing().figures or {})["alarms"]] == []
    Delivery.objects.update(next_at=timezone.now() - timedelta(minutes=6))
    assert "webhooks_lag" in [one["code"] for one in (standing().figures or {})["alarms"]]
    Webhook.objects.update(failing_since=timezone.now())
    assert [one["code"] for one in (standing().figures or {})["alarms"]] == []


def test_who_is_stopped_gives_back_what_it_had_taken(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience)
        buy("ann")
        deliver(deliverer)
        buy("bob", "cleo")
        hear_once()
        outgoing = claim({Webhook.objects.get().pk: 2})
        assert len(outgoing) == 2 and claim({Webhook.objects.get().pk: 2}) == []
        deliverer._ready = {Webhook.objects.get().pk: deque((time.monotonic(), one) for one in outgoing)}
        deliverer.finish()
        assert not Delivery.objects.filter(lease__isnull=False).exists()
        deliver(deliverer)
        assert len(receiver.taken) == 3

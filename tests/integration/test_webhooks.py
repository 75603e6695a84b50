"""Webhooks tell receivers what happens to the people of audiences: signed, in order for each person, and until it is taken."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.contrib.auth.models import User
from django.utils import timezone

from cdp.activation.models import Audience
from cdp.audit.models import AuditEntry
from cdp.deliverer import Deliverer
from cdp.webhooks.hearing import look_after
from cdp.webhooks.models import Attempt, Delivery, DeliveryState, EventType, Happened, OffReason, SecretKind, Webhook
from cdp.webhooks.outcomes import masked, retry_after
from cdp.webhooks.services import (
    enable,
    replay,
    rotate_secret,
)
from consent.models import Decision
from tests.factories import BY, identify, process_all, tracker
from tests.integration.audiences import keep
from tests.integration.callers import decide
from tests.integration.hooking import EMAIL, PEOPLE, audience, buy, deliver, deliverer, hook, inside, owner, uuid_of
from tests.integration.receivers import receiving

__all__ = ["audience", "deliverer", "inside", "owner"]  # fixtures


# ---- What is told ----------------------------------------------------------------------------------------------


def test_who_enters_and_leaves_is_told_in_order_with_position_and_reason(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience)
        buy("ann")
        decide("ann", EMAIL, Decision.WITHDRAWN)
        keep()
        decide("ann", EMAIL, Decision.GRANTED)
        keep()
        deliver(deliverer)
        ann = uuid_of("ann")
        assert receiver.told() == [("audience.entered", ann), ("audience.exited", ann), ("audience.entered", ann)]
        data = [one["data"] for one in receiver.taken]
        assert [one["why"] for one in data] == ["event", "consent", "consent"]
        assert [one["position"] for one in data] == list(
            audience.changes.order_by("position").values_list("pk", flat=True)
        )
        assert {(one["audience"], one["segment"], one["purpose"]) for one in data} == {(audience.key, "buyers", EMAIL)}


def test_a_new_webhook_hears_nothing_of_before(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    buy("ann")
    with receiving() as receiver:
        hook(receiver, owner, audience)
        buy("bob")
        deliver(deliverer)
        assert receiver.told() == [("audience.entered", uuid_of("bob"))]


def test_an_entry_of_who_withdrew_meanwhile_is_never_sent(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience)
        buy("ann", "bob")
        decide("ann", EMAIL, Decision.WITHDRAWN)
        deliver(deliverer, until=1)
        assert receiver.told() == [("audience.entered", uuid_of("bob"))], "the keeper hasn't said yet that ann left"
        keep()
        Delivery.objects.filter(state="waiting").update(next_at=timezone.now() - timedelta(seconds=1))
        deliver(deliverer)
        assert receiver.told()[1:] == [("audience.exited", uuid_of("ann"))]
        assert Delivery.objects.get(state=DeliveryState.SKIPPED).why == "not_permitted"


def test_an_entry_of_who_permits_it_again_before_anybody_noticed_is_sent(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience)
        buy("ann")
        decide("ann", EMAIL, Decision.WITHDRAWN)
        deliver(deliverer, until=1)
        decide("ann", EMAIL, Decision.GRANTED)
        Delivery.objects.update(next_at=timezone.now() - timedelta(seconds=1))
        deliver(deliverer)
        keep()
        assert receiver.told() == [("audience.entered", uuid_of("ann"))]
        assert audience.changes.count() == 1


def test_traits_that_changed_are_named_for_members_only_and_never_with_values(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        hook(receiver, owner, audience, events=[EventType.UPDATED])
        buy("ann")
        shop = tracker()
        shop.send(
            identify("ann", traits={"city": "Genf", "plan": "gold"}, ago=timedelta(seconds=1)),
            identify("bob", traits={"city": "Genf"}, ago=timedelta(seconds=1)),
        )
        process_all()
        deliver(deliverer)
        [body] = receiver.taken
        assert body["data"] == {"purpose": EMAIL, "profile": uuid_of("ann"), "changed": ["city", "plan"]}
        shop.send(identify("ann", traits={"city": "Genf"}, ago=timedelta(0)))
        process_all()
        assert not Happened.objects.exists(), "a value that came again is no change"


def test_decisions_about_the_purpose_are_told_as_they_stand(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        hook(receiver, owner, events=[EventType.CONSENT])
        decide("ann", "personalisation", Decision.GRANTED)
        decide("ann", EMAIL, Decision.WITHDRAWN)
        decide("bob", EMAIL, Decision.GRANTED)
        deliver(deliverer)
        assert [one["data"] for one in receiver.taken] == [
            {"purpose": EMAIL, "profile": uuid_of("ann"), "decision": "withdrawn"}
        ], "bob had said so before"


def test_nothing_is_written_down_that_no_webhook_hears(audience: Audience, owner: User) -> None:
    made = hook("https://hooks.example.com/", owner, audience)
    buy("ann")
    tracker().send(identify("ann", traits={"city": "Thun"}, ago=timedelta(0)))
    process_all()
    decide("ann", EMAIL, Decision.WITHDRAWN)
    assert not Happened.objects.exists()
    assert made.webhook.deliveries.count() == 0


# ---- How it is signed ------------------------------------------------------------------------------------------


def test_libraries_of_the_standard_verify_what_comes(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        buy("ann")
        deliver(deliverer)
        [one] = receiver.received
        said = standardwebhooks.Webhook(made.secret).verify(one.body, one.headers)
        assert said["type"] == "audience.entered"
        svix.webhooks.Webhook(made.secret).verify(one.body, one.headers)  # raises where it finds no signature of ours
        with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
            standardwebhooks.Webhook(made.secret).verify(one.body + b" ", one.headers)
        assert one.headers["content-type"] == "application/json"


def test_a_key_pair_signs_so_that_the_receiver_holds_no_secret(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    import base64

    with receiving() as receiver:
        made = hook(receiver, owner, audience, kind=SecretKind.ED25519)
        buy("ann")
        deliver(deliverer)
        [one] = receiver.received
        version, _, signature = one.headers["webhook-signature"].partition(",")
        signed = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.body
        assert version == "v1a" and made.secret.startswith("whpk_")
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(made.secret.removeprefix("whpk_")))
        public.verify(base64.b64decode(signature), signed)


def test_until_the_overlap_is_over_the_old_secret_and_the_new_one_both_sign(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving() as receiver:
        made = hook(receiver, owner, audience)
        anew = rotate_secret(webhook=made.webhook, by=BY)
        buy("ann")
        deliver(deliverer)
        for secret in (made.secret, anew.secret):
            standardwebhooks.Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)
        made.webhook.secrets.filter(ends_at__isnull=False).update(ends_at=timezone.now())
        buy("bob")
        deliver(deliverer)
        standardwebhooks.Webhook(anew.secret).verify(receiver.received[1].body, receiver.received[1].headers)
        with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
            standardwebhooks.Webhook(made.secret).verify(receiver.received[1].body, receiver.received[1].headers)


def test_secrets_lie_sealed_in_the_database(audience: Audience, owner: User) -> None:
    import base64

    made = hook("https://hooks.example.com/", owner, audience)
    secret = base64.b64decode(made.secret.removeprefix("whsec_"))
    assert len(secret) == 32
    assert secret not in bytes(made.webhook.secrets.get().sealed)
    assert made.secret not in str(list(AuditEntry.objects.values_list("detail", flat=True)))


# ---- Until it is taken -----------------------------------------------------------------------------------------


def test_what_failed_is_sent_again_with_the_same_id_and_the_person_waits_in_order(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    failing = [True] * 3

    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        return (503, {}, b"later, ann@example.com 12345") if failing and failing.pop() else (200, {}, b"")

    with receiving(answer) as receiver:
        hook(receiver, owner, audience)
        buy("ann")
        decide("ann", EMAIL, Decision.WITHDRAWN)
        keep()
        decide("ann", EMAIL, Decision.GRANTED)
        keep()
        deliver(deliverer)
        assert [one[0] for one in receiver.told()] == ["audience.entered", "audience.exited", "audience.entered"]
        assert len({one.headers["webhook-id"] for one in receiver.received[:4]}) == 1
        first = Delivery.objects.order_by("pk")[0]
        assert [(one.number, one.status) for one in first.tries.all()] == [(1, 503), (2, 503), (3, 503), (4, 200)]


def test_what_never_gets_through_is_given_up_and_can_be_sent_again(
    audience: Audience, owner: User, deliverer: Deliverer, settings: Any
) -> None:
    settings.WEBHOOK_BACKOFF_SECONDS = [0.01, 0.01]
    answers = [500]
    with receiving(lambda _: (answers[0], {}, b"no: ann@example.com")) as receiver:
        made = hook(receiver, owner, audience)
        buy("ann")
        deliver(deliverer)
        dead = Delivery.objects.get()
        assert (dead.state, dead.attempts, dead.status, dead.why) == ("dead", 3, 500, "status")
        assert dead.excerpt == "no: …"
        answers[0] = 200
        assert replay(deliveries=Delivery.objects.all(), webhook=made.webhook, by=BY) == 1
        deliver(deliverer)
        assert receiver.told() == [("audience.entered", uuid_of("ann"))]
        assert len({one.headers["webhook-id"] for one in receiver.received}) == 1


def test_a_redirect_is_a_failure_and_is_followed_nowhere(
    audience: Audience, owner: User, deliverer: Deliverer, settings: Any
) -> None:
    settings.WEBHOOK_BACKOFF_SECONDS = []
    with receiving() as other, receiving(lambda _: (307, {"Location": other.url}, b"")) as receiver:
        hook(receiver, owner, audience)
        buy("ann")
        deliver(deliverer)
        assert Delivery.objects.get().state == DeliveryState.DEAD
        assert other.received == []


def test_who_answers_gone_is_told_nothing_more(audience: Audience, owner: User, deliverer: Deliverer) -> None:
    with receiving(lambda _: (410, {}, b"")) as receiver:
        made = hook(receiver, owner, audience)
        buy("ann")
        deliver(deliverer, until=1)
        buy("bob")
        deliver(deliverer, until=1)
        assert len(receiver.received) == 1
        webhook = Webhook.objects.get(pk=made.webhook.pk)
        assert (webhook.state, webhook.off_reason) == ("disabled", OffReason.GONE)
        receiver.answer = lambda _: (200, {}, b"")
        enable(webhook=webhook, by=BY)
        deliver(deliverer)
        assert {one[1] for one in receiver.told()} == {uuid_of("ann"), uuid_of("bob")}, "nothing was lost"


def test_a_webhook_through_which_nothing_gets_for_days_is_turned_off(
    audience: Audience, owner: User, deliverer: Deliverer
) -> None:
    with receiving(lambda _: (500, {}, b"")) as receiver:
        made = hook(receiver, owner, audience)
        buy("ann")
        deliverer.once()
        while not Attempt.objects.exists():
            deliverer._wait(0.05)
            deliverer.once()
        look_after(now=timezone.now())
        assert Webhook.objects.get().state == "enabled"
        Webhook.objects.update(failing_since=timezone.now() - timedelta(days=6))
        look_after(now=timezone.now())
        made.webhook.refresh_from_db()
        assert (made.webhook.state, made.webhook.off_reason) == ("disabled", OffReason.FAILING)


def test_a_receiver_is_left_alone_as_long_as_it_asks() -> None:
    from cdp.outbound import Answer

    def asking(said: str) -> float | None:
        answer = Answer(status=429, headers={"retry-after": said}, body=b"", is_cut=False, ms=1)
        return retry_after(answer, now=timezone.now())

    assert asking("120") == 120
    assert asking("999999999") == 86_400
    assert asking("soon") is None and asking("") is None and asking("-5") is None
    assert 0 <= (asking("Wed, 21 Oct 2015 07:28:00 GMT") or 0) < 1
    assert masked("no ann@b.ch at 079123 ok") == "no … at … ok"


# ---- One slows nobody ------------------------------------------------------------------------------------------


def test_one_that_never_answers_costs_the_others_nothing(
    audience: Audience, owner: User, deliverer: Deliverer, settings: Any
) -> None:
    let_go = threading.Event()

    def silent(_: bytes) -> tuple[int, dict[str, str], bytes]:
        let_go.wait(10)
        return 200, {}, b""

    settings.WEBHOOK_SECONDS = 1
    with receiving(silent) as dead, receiving() as one, receiving() as two:
        for receiver in (dead, one, two):
            hook(receiver, owner, audience)
        buy(*PEOPLE)
        began = time.monotonic()
        while len(one.taken) < 3 or len(two.taken) < 3:
            deliverer.once()
            deliverer._wait(0.01)
            assert time.monotonic() - began < 0.9, "sooner than the silent one is given up"
        let_go.set()


def test_a_webhook_sends_to_nobody_inside(audience: Audience, owner: User, deliverer: Deliverer, settings: Any) -> None:
    settings.WEBHOOK_BACKOFF_SECONDS = []
    with receiving() as receiver:
        hook(receiver, owner, audience)
        settings.OUTBOUND_ALLOW = []
        buy("ann")
        deliver(deliverer)
        assert Delivery.objects.get().why == "refused"
        assert receiver.received == []

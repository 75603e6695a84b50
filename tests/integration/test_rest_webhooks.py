"""Webhooks over REST: a system makes its own, sees its own, and hears only what it may read."""

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from cdp.activation.models import Audience
from cdp.rest.models import ApiKey, Scope
from cdp.rest.services import revoke_api_key
from cdp.webhooks.hearing import hear_once, look_after
from cdp.webhooks.models import Delivery, Webhook
from consent.models import Decision
from segments.sharing import share_segment
from tests.factories import BY, live, performed, process_all, track, tracker
from tests.integration.audiences import audience_of, keep
from tests.integration.callers import Caller, decide, found, key, logged_in, problem

URL = "https://hooks.example.com/cdp?token=9"
BOTH = ["audience.entered", "audience.exited"]


@pytest.fixture
def audience(db: None) -> Audience:
    shop = tracker()
    shop.send(track("Bought", "ann"))
    process_all()
    decide("ann", "marketing_email", Decision.GRANTED)
    return audience_of(live("buyers", performed("Bought")), key="buyers-email")


@pytest.fixture
def caller(audience: Audience) -> Caller:
    return key(sees=[audience.segment])


def asked(**more: Any) -> dict[str, Any]:
    return {"url": URL, "events": BOTH, "audiences": ["buyers-email"], "purpose": "marketing_email"} | more


def made(caller: Caller, **more: Any) -> dict[str, Any]:
    return found(caller.post("webhooks/", asked(**more)), 201)


def test_a_system_makes_a_webhook_and_sees_its_secret_once(caller: Caller) -> None:
    one = made(caller, description="Mail tool")
    assert one["secret"].startswith("whsec_") and one["signs"] == "v1"
    shown = found(caller.get(f"webhooks/{one['uuid']}/"))
    assert "secret" not in shown
    assert shown == {name: value for name, value in one.items() if name not in {"secret", "signs"}}
    assert (shown["events"], shown["audiences"], shown["state"]) == (BOTH, ["buyers-email"], "enabled")
    assert [row["uuid"] for row in found(caller.get("webhooks/"))["results"]] == [one["uuid"]]


def test_it_is_changed_turned_off_and_on_and_taken_away(caller: Caller) -> None:
    path = f"webhooks/{made(caller)['uuid']}/"
    changed = found(caller.patch(path, {"url": "https://b.example.com/", "events": ["audience.exited"]}))
    assert (changed["url"], changed["events"]) == ("https://b.example.com/", ["audience.exited"])
    off = found(caller.post(f"{path}disable/"))
    assert (off["state"], off["off_reason"]) == ("disabled", "asked")
    assert problem(caller.post(f"{path}test/"), 409)["code"] == "webhook_off"
    assert found(caller.post(f"{path}enable/"))["state"] == "enabled"
    assert found(caller.post(f"{path}test/"), 202)["event_id"]
    anew = found(caller.post(f"{path}rotate-secret/", {"signs": "v1a"}))
    assert anew["secret"].startswith("whpk_") and anew["signs"] == "v1a"
    assert caller.delete(path).status_code == 204
    assert problem(caller.get(path), 404)["code"] == "webhook_not_found"


def test_what_was_sent_is_listed_without_saying_of_whom_and_sent_again(caller: Caller) -> None:
    one = made(caller)
    tracker().send(track("Bought", "bob"))
    process_all()
    decide("bob", "marketing_email", Decision.GRANTED)
    keep()
    hear_once()
    path = f"webhooks/{one['uuid']}/"
    [row] = found(caller.get(f"{path}deliveries/"))["results"]
    assert (row["type"], row["state"], row["attempts"]) == ("audience.entered", "waiting", 0)
    assert not {"profile", "body"} & row.keys()
    assert found(caller.post(f"{path}replay/"))["deliveries"] == 0, "it waits already"
    Delivery.objects.update(state="dead", finished_at=timezone.now())
    assert found(caller.get(f"{path}deliveries/", state="waiting"))["results"] == []
    assert found(caller.post(f"{path}replay/"))["deliveries"] == 1
    Delivery.objects.update(state="delivered", finished_at=timezone.now())
    assert found(caller.post(f"{path}replay/"))["deliveries"] == 0
    assert found(caller.post(f"{path}replay/", {"since_position": 0}))["deliveries"] == 1
    Delivery.objects.update(state="delivered", finished_at=timezone.now())
    assert found(caller.post(f"{path}deliveries/{row['event_id']}/replay/"))["deliveries"] == 1
    assert problem(caller.post(f"{path}deliveries/{uuid4()}/replay/"), 404)["code"] == "delivery_not_found"


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"url": "http://hooks.example.com/"}, "url_not_https", "/url"),
        ({"url": "https://169.254.169.254/"}, "url_inside", "/url"),
        ({"url": "https://10.0.0.1:8443/"}, "url_inside", "/url"),
        ({"url": "https://me:pw@hooks.example.com/"}, "url_with_password", "/url"),
        ({"audiences": ["nobodys"]}, "audience_unknown", "/audiences/0"),
        ({"audiences": []}, "audiences_missing", "/audiences"),
        ({"purpose": "personalisation"}, "purpose_differs", "/audiences"),
        ({"purpose": "nonsense"}, "purpose_unknown", "/purpose"),
        ({"events": ["consent.changed"]}, "events_missing", "/events"),
    ],
)
def test_what_cannot_be_says_why(caller: Caller, change: dict[str, Any], code: str, pointer: str) -> None:
    told = problem(caller.post("webhooks/", asked(**change)), 400)
    assert (told["code"], told["pointer"]) == (code, pointer)


def test_a_system_sees_and_touches_only_its_own(caller: Caller, audience: Audience) -> None:
    path = f"webhooks/{made(caller)['uuid']}/"
    other = key(sees=[audience.segment])
    assert found(other.get("webhooks/"))["results"] == []
    for answer in (
        other.get(path),
        other.patch(path, {"url": "https://evil.example.com/"}),
        other.delete(path),
        other.get(f"{path}deliveries/"),
        *(other.post(path + act) for act in ("test/", "rotate-secret/", "enable/", "disable/", "replay/")),
        other.post(f"{path}deliveries/{uuid4()}/replay/"),
        other.delete(f"hooks/{path.split('/')[1]}/"),
    ):
        assert problem(answer, 404)["code"] == "webhook_not_found"
    assert Webhook.objects.get().url == URL


def test_an_audience_of_a_segment_that_it_may_not_see_does_not_exist_for_a_key(audience: Audience) -> None:
    assert problem(key().post("webhooks/", asked()), 400)["code"] == "audience_unknown"


def test_seeing_a_segment_is_not_enough_to_hear_of_its_members(audience: Audience) -> None:
    seer = key()
    share_segment(segment=audience.segment, user=seer.user, permissions=["view_segment"], by=BY)
    assert problem(seer.post("webhooks/", asked()), 403)["code"] == "members_not_open"


def test_decisions_are_heard_by_keys_that_may_read_decisions(audience: Audience) -> None:
    wanted = asked(events=["consent.changed"], audiences=[])
    lacks = key(Scope.WEBHOOKS_WRITE, Scope.AUDIENCES_READ)
    assert problem(lacks.post("webhooks/", wanted), 403)["code"] == "consent_not_open"
    assert found(key(Scope.WEBHOOKS_WRITE, Scope.CONSENTS_READ).post("webhooks/", wanted), 201)


def test_a_key_hears_only_for_the_purposes_that_it_was_given(audience: Audience) -> None:
    other = key(sees=[audience.segment])
    ApiKey.objects.filter(pk=other.key.pk).update(all_purposes=False, purposes=["personalisation"])  # type: ignore[union-attr]
    assert problem(other.post("webhooks/", asked()), 403)["code"] == "purpose_missing"


def test_a_key_that_is_revoked_hears_nothing_more(caller: Caller) -> None:
    made(caller)
    assert caller.key is not None
    revoke_api_key(key=caller.key, by=BY)
    look_after(now=timezone.now())
    assert Webhook.objects.get().off_reason == "no_access"


def test_people_see_webhooks_of_systems_whose_every_part_they_could_have_made(caller: Caller) -> None:
    made(caller)
    made(key(sees=[Audience.objects.get().segment]), events=["consent.changed"], audiences=[])
    assert len(found(logged_in("admin").get("webhooks/"))["results"]) == 2
    assert len(found(logged_in("marketer").get("webhooks/"))["results"]) == 1, "may not see the consent trail"
    assert len(found(logged_in("integrator").get("webhooks/"))["results"]) == 0, "may not read members"
    assert problem(logged_in("").get("webhooks/"), 403)["code"] == "permission_missing"


def test_a_tool_for_automation_subscribes_and_unsubscribes(caller: Caller) -> None:
    answer = found(
        caller.post("hooks/", {"target_url": URL, "event": "audience.entered", "audience": "buyers-email"}), 201
    )
    webhook = Webhook.objects.get()
    assert answer["id"] == str(webhook.uuid)
    assert (webhook.events, webhook.purpose.key) == (["audience.entered"], "marketing_email")
    assert caller.delete(f"hooks/{answer['id']}/").status_code == 204
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("event", [*BOTH, "profile.updated", "consent.changed"])
def test_samples_show_bodies_of_nobody(caller: Caller, event: str) -> None:
    [body] = caller.get("hooks/samples/", event=event, audience="buyers-email").json()
    assert body["type"] == event
    assert body["data"]["profile"] == "00000000-0000-0000-0000-000000000000"
    if event in BOTH:
        assert (body["data"]["audience"], body["data"]["segment"]) == ("buyers-email", "buyers")


def test_a_list_asks_no_more_for_more_webhooks(caller: Caller, django_assert_max_num_queries: Any) -> None:
    for _ in range(4):
        made(caller)
    with django_assert_max_num_queries(8):
        assert len(found(caller.get("webhooks/"))["results"]) == 4

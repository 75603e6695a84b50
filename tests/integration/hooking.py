"""What tests of webhooks share: an audience, whoever owns the webhook, and a deliverer whose rounds the test makes."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from cdp.activation.models import Audience
from cdp.deliverer import Deliverer
from cdp.webhooks.models import Delivery, DeliveryState, EventType, Happened
from cdp.webhooks.services import (
    Made,
    create_webhook,
)
from consent.models import Decision, Purpose
from tests.factories import BY, identify, live, performed, person, process_all, track, tracker
from tests.integration.audiences import audience_of, keep
from tests.integration.callers import decide
from tests.integration.receivers import Receiver

EMAIL = "marketing_email"
PEOPLE = ("ann", "bob", "cleo")


@pytest.fixture(autouse=True)
def inside(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.WEBHOOK_BACKOFF_SECONDS = [0.02] * 20
    settings.WEBHOOK_SECONDS = 2


@pytest.fixture
def deliverer() -> Iterator[Deliverer]:
    made = Deliverer(threads=16)
    yield made
    made._pool.shutdown()
    made.outbound.close()


@pytest.fixture
def owner(db: None) -> User:
    user = User.objects.create_user("wanda", password="not used")
    user.groups.add(Group.objects.get(name="marketer"), Group.objects.get(name="compliance"))
    return user


@pytest.fixture
def audience(db: None) -> Audience:
    """Whoever bought, for email; three people permit it, and nobody has bought."""
    shop = tracker()
    shop.send(*(identify(user, traits={"city": "Bern"}) for user in PEOPLE), track("Bought", "zoe"))
    process_all()
    for user in PEOPLE:
        decide(user, EMAIL, Decision.GRANTED)
    return audience_of(live("buyers", performed("Bought")))


def hook(receiver: Receiver | str, owner: User, *audiences: Audience, events: Any = None, **more: Any) -> Made:
    return create_webhook(
        url=receiver if isinstance(receiver, str) else receiver.url,
        events=events or [EventType.ENTERED, EventType.EXITED],
        audiences=audiences,
        purpose=Purpose.objects.get(key=EMAIL),
        user=owner,
        by=BY,
        **more,
    )


def buy(*users: str) -> None:
    shop = tracker()
    shop.send(*(track("Bought", user) for user in users))
    process_all()
    keep()


def deliver(deliverer: Deliverer, *, seconds: float = 5, until: int = 0) -> None:
    """Rounds until no more than so many wait."""
    patience = time.monotonic() + seconds
    while time.monotonic() < patience:
        deliverer.once()
        waiting = Delivery.objects.filter(state=DeliveryState.WAITING).count()
        if not deliverer._open and waiting <= until and not Happened.objects.exists():
            return
        deliverer._wait(0.01)
    raise AssertionError(list(Delivery.objects.values("type", "state", "attempts", "why", "status")))


def uuid_of(user: str) -> str:
    return str(person(user).uuid)

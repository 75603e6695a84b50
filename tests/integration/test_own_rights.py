"""What people ask for on their own pages: it begins only once a link that was sent to their address was used, and once."""

import re
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.ingestion.models import SourceKind
from cdp.privacy.models import PrivacyRequest, RequestState
from cdp.privacy.services import name_person
from cdp.profiles.models import Profile
from consent.links import Kind, token
from tests.factories import BY, Tracker, identify, person, process_all, tracker

WISHES = {"access": "access", "erasure": "erasure", "restriction": "restriction", "profiling": "objection"}


@pytest.fixture
def ann(db: None, settings: Any) -> Profile:
    cache.clear()
    settings.PUBLIC_URL = "https://data.shop.example"
    shop: Tracker = tracker()
    shop.send(identify("ann", traits={"email": "ann@example.com", "country": "DE"}))
    process_all()
    return person("ann")


def asking(profile: Profile) -> str:
    return f"/privacy/{token(Kind.PREFERENCES, profile.uuid)}/data/"


def sent_link() -> str:
    found = re.search(r"https://data\.shop\.example(/prove/\S+?/)\?lang", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("wish", WISHES)
def test_a_wish_waits_for_the_link_and_begins_with_it(ann: Profile, wish: str) -> None:
    visitor = Client(enforce_csrf_checks=True)
    assert visitor.get(asking(ann)).status_code == 200 and not PrivacyRequest.objects.exists(), "looking does nothing"
    page = visitor.post(asking(ann), {"wish": wish}).content.decode()
    asked = PrivacyRequest.objects.get()
    assert (asked.kind, asked.state, asked.came_by) == (WISHES[wish], RequestState.IDENTITY_NEEDED, "page")
    assert asked.country == "DE" and asked.number in page and "Look into your mail" in page
    assert mail.outbox[-1].to == ["ann@example.com"] and wish not in str(mail.outbox[-1].body)
    link = sent_link()
    assert "Was it you?" in visitor.get(link).content.decode()
    asked.refresh_from_db()
    assert asked.state == RequestState.IDENTITY_NEEDED, "programs that scan mail open links, too"
    assert "We have begun" in visitor.post(link).content.decode()
    asked.refresh_from_db()
    assert asked.identity_method == "signed_link" and asked.state != RequestState.IDENTITY_NEEDED
    again = visitor.post(link)
    assert again.status_code == 409 and "used already" in again.content.decode()


def test_who_asks_twice_has_asked_once(ann: Profile) -> None:
    for _ in range(2):
        Client().post(asking(ann), {"wish": "access"})
    assert PrivacyRequest.objects.count() == 1 and len(mail.outbox) == 2


def test_letters_have_an_end(ann: Profile) -> None:
    """Whoever was forwarded a link can't fill the letter box of the person."""
    answers = [Client().post(asking(ann), {"wish": "access"}).status_code for _ in range(7)]
    assert answers == [200] * 5 + [429] * 2 and len(mail.outbox) == 5


def test_a_browser_adds_no_address_to_which_the_link_would_go(ann: Profile) -> None:
    """Anybody can say to a browser's key that a user has one more address."""
    email = {"email": "thief@example.net"}
    external = {"externalIds": [{"type": "email", "id": "thief@example.net"}], "traits": email}
    tracker(SourceKind.BROWSER).send(identify("ann", traits=email, context=external))
    process_all()
    Client().post(asking(ann), {"wish": "access"})
    assert mail.outbox[-1].to == ["ann@example.com"]


def test_a_link_proves_nothing_for_somebody_else_who_is_found_to_have_asked(ann: Profile) -> None:
    tracker().send(identify("bob", traits={"email": "bob@example.com"}))
    process_all()
    Client().post(asking(ann), {"wish": "access"})
    asked = PrivacyRequest.objects.get()
    name_person(request=asked, profile=person("bob"), by=BY)
    assert Client().post(sent_link()).status_code == 404
    asked.refresh_from_db()
    assert asked.state == RequestState.IDENTITY_NEEDED


def test_nothing_is_asked_for_by_nothing(ann: Profile) -> None:
    for wish in ({}, {"wish": "x"}, {"wish": "rectification"}):
        response = Client().post(asking(ann), wish)
        assert response.status_code == 400 and "Choose one of these" in response.content.decode()
    assert not PrivacyRequest.objects.exists()


def test_without_an_address_the_wish_is_kept_for_somebody_to_ask(ann: Profile) -> None:
    ann.identifiers.filter(namespace="email").delete()
    assert "in another way" in Client().post(asking(ann), {"wish": "access"}).content.decode()
    assert PrivacyRequest.objects.get().state == RequestState.IDENTITY_NEEDED and not mail.outbox


def test_links_for_something_else_or_of_nobody_lead_to_nothing(ann: Profile) -> None:
    Client().post(asking(ann), {"wish": "access"})
    asked = PrivacyRequest.objects.get()
    wrong = [
        f"/prove/{token(Kind.PREFERENCES, ann.uuid)}/",
        f"/prove/{token(Kind.IDENTITY, ann.uuid)}/",
        f"/privacy/{token(Kind.IDENTITY, asked.uuid)}/data/",
        sent_link()[:-3] + "x/",
    ]
    assert [Client().post(one).status_code for one in wrong] == [404] * 4
    erase_profile(profile=ann, by=BY, reason="test")
    assert Client().get(sent_link()).status_code == 404 and Client().get(asking(ann)).status_code == 404


def test_each_step_is_on_record_and_names_nobody(ann: Profile) -> None:
    Client().post(asking(ann), {"wish": "access"})
    Client().post(sent_link())
    entries = AuditEntry.objects.filter(action__startswith="privacy.")
    assert {"privacy.requested", "privacy.identity_confirmed"} <= {entry.action for entry in entries}
    assert all("ann@example.com" not in bytes(entry.envelope).decode() for entry in entries)

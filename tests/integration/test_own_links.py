"""Links to people's pages, for systems that write messages and for staff: audited, with their purpose, and never kept."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from cdp.audit.models import AuditEntry
from cdp.profiles.models import Profile
from cdp.rest.models import Scope
from consent.models import ConsentState
from tests.factories import identify, person, process_all, tracker
from tests.integration.callers import Caller, found, key, logged_in, problem

pytestmark = pytest.mark.django_db
HOST = "https://data.shop.example"


@pytest.fixture(autouse=True)
def ann(settings: Any) -> Profile:
    cache.clear()
    settings.PUBLIC_URL = HOST
    tracker().send(identify("ann", traits={"email": "ann@example.com"}), identify("bob"))
    process_all()
    return person("ann")


def staff(role: str) -> Caller:
    caller = logged_in(role)
    User.objects.filter(pk=caller.user.pk).update(is_staff=True)
    return caller


def page_of(url: str) -> str:
    assert url.startswith(f"{HOST}/privacy/")
    response = Client().get(url.removeprefix(HOST))
    assert response.status_code == 200
    return response.content.decode()


def test_a_system_takes_links_for_its_messages(ann: Profile) -> None:
    asked = {"people": ["user_id:bob", "email:nobody@example.com", "email:ANN@example.com"], "why": "message"}
    response = key(Scope.CONSENTS_WRITE).post("links/", asked)
    links = found(response)["links"]
    assert [one["person"] for one in links] == asked["people"] and response["Cache-Control"] == "no-store, private"
    assert links[1] == {"person": "email:nobody@example.com", "url": None, "ends_at": None, "headers": {}}
    assert "Ask for your data" in page_of(links[2]["url"])
    assert links[0]["url"] != links[2]["url"] and links[0]["ends_at"]
    entries = AuditEntry.objects.filter(action="link.issued")
    assert {one.object_id for one in entries} == {str(ann.uuid), str(person("bob").uuid)}
    assert {(one.purpose, one.detail["why"], one.detail["kind"]) for one in entries} == {
        ("privacy_rights", "message", "preferences")
    }
    token = links[2]["url"].split("/")[-2]
    assert not any(token in bytes(one.envelope).decode() for one in AuditEntry.objects.all()), "it is kept nowhere"


def test_a_link_to_unsubscribe_comes_with_its_headers_and_works_by_one_click(ann: Profile) -> None:
    asked = {"people": ["user_id:ann"], "why": "message", "kind": "unsubscribe", "purpose": "marketing_email"}
    [link] = found(key(Scope.CONSENTS_WRITE).post("links/", asked))["links"]
    assert link["headers"]["List-Unsubscribe"] == f"<{link['url']}>" and link["ends_at"] is None
    field, _, value = link["headers"]["List-Unsubscribe-Post"].partition("=")
    assert Client().post(link["url"].removeprefix(HOST), {field: value}).status_code == 200
    assert ConsentState.objects.get(profile=ann, purpose__key="marketing_email").decision == "withdrawn"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"why": "because"}, "invalid_choice"),
        ({"people": []}, "min_length"),
        ({"people": ["user_id:ann"] * 501}, "max_length"),
        ({"kind": "identity"}, "invalid_choice"),
        ({"kind": "unsubscribe"}, "purpose_of_unsubscribing"),
        ({"purpose": "marketing_email"}, "purpose_of_unsubscribing"),
        ({"kind": "unsubscribe", "purpose": "made_up"}, "purpose_unknown"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], code: str) -> None:
    sent = {"people": ["user_id:ann"], "why": "message", **change}
    assert problem(key(Scope.CONSENTS_WRITE).post("links/", sent), 400)["code"] == code
    assert not AuditEntry.objects.filter(action="link.issued").exists()


def test_only_who_may_report_decisions_gets_links(settings: Any) -> None:
    """Whoever has somebody's link decides for them."""
    sent = {"people": ["user_id:ann"], "why": "message"}
    reader = key(Scope.CONSENTS_READ, Scope.PROFILES_REVEAL, Scope.PRIVACY_WRITE)
    assert problem(reader.post("links/", sent), 403)["code"] == "scope_missing"
    settings.PUBLIC_URL = ""
    assert problem(key(Scope.CONSENTS_WRITE).post("links/", sent), 400)["code"] == "no_public_address"


def test_staff_take_a_link_with_a_reason_see_it_once_and_it_says_so(ann: Profile) -> None:
    clerk = staff("compliance")
    person_page = reverse("admin:profiles_profile_detail", args=[ann.uuid])
    path = reverse("admin:profiles_profile_link", args=[ann.uuid])
    assert path in clerk.client.get(person_page).content.decode()
    page = clerk.client.get(path)
    assert HOST not in page.content.decode() and not AuditEntry.objects.filter(action="link.issued").exists()
    token = {"csrfmiddlewaretoken": str(page.context["csrf_token"])}
    assert clerk.client.post(path, token).status_code == 422, "not without a reason"
    shown = clerk.client.post(path, {**token, "why": "asked"})
    assert "no-store" in shown["Cache-Control"]
    [url] = set(re.findall(rf"{HOST}/privacy/[\w.-]+/", shown.content.decode()))
    assert page_of(url)
    entry = AuditEntry.objects.get(action="link.issued")
    assert (entry.actor_label, entry.object_id, entry.purpose) == (clerk.user.username, str(ann.uuid), "privacy_rights")
    assert entry.detail["why"] == "asked" and entry.detail["ends_at"]


@pytest.mark.parametrize("role", ["marketer", "integrator"])
def test_others_get_none_on_a_screen(ann: Profile, role: str) -> None:
    other = staff(role)
    path = reverse("admin:profiles_profile_link", args=[ann.uuid])
    token = {"csrfmiddlewaretoken": str(other.client.get(reverse("admin:index")).context["csrf_token"]), "why": "asked"}
    assert (other.client.get(path).status_code, other.client.post(path, token).status_code) == (403, 403)
    assert not AuditEntry.objects.filter(action="link.issued").exists()

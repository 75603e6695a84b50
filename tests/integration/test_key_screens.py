"""The screens of API keys: their limits, and the key that takes another's place."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.rest.models import ApiKey
from cdp.rest.services import create_api_key
from segments.sharing import share_segment, shares_of
from tests.factories import BY, draft

LIST = "/admin/rest/apikey/"


@pytest.fixture
def admin(db: None) -> Client:
    return staff("ada", "admin")


def staff(name: str, role: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def made() -> ApiKey:
    return create_api_key(name="Mail tool", scopes=["segments:read"], by=BY)[0]


def test_a_new_key_ends_in_a_year_unless_somebody_says_otherwise(admin: Client) -> None:
    page = admin.get(f"{LIST}new/").content.decode()
    year = (timezone.localdate() + timedelta(days=365)).isoformat()
    assert f'value="{year}"' in page
    given = {
        "name": "Mail tool",
        "scopes": ["segments:read"],
        "purposes": ["marketing_email"],
        "networks": "203.0.113.0/24",
    }
    answer = admin.post(f"{LIST}new/", given | {"expires_on": year})
    assert answer.status_code == 200 and "Copy it now" in answer.content.decode()
    key = ApiKey.objects.get()
    assert (key.purposes, key.all_purposes, key.networks) == (["marketing_email"], False, ["203.0.113.0/24"])
    assert key.expires_at and key.expires_at > timezone.now() + timedelta(days=364)


def test_a_network_that_can_not_be_read_is_said_to_be_so(admin: Client) -> None:
    answer = admin.post(f"{LIST}new/", {"name": "x", "scopes": ["segments:read"], "networks": "the office"})
    assert answer.status_code == 422 and "is no network" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_limits_are_changed_and_shown(admin: Client) -> None:
    key = made()
    assert "no purpose, so it reads nobody" in admin.get(f"{LIST}{key.pk}/").content.decode()
    given = {"name": "Mail", "all_purposes": "on", "networks": "2001:db8::/32\n203.0.113.9", "expires_on": ""}
    assert admin.post(f"{LIST}{key.pk}/limits/", given).status_code == 302
    page = admin.get(f"{LIST}{key.pk}/").content.decode()
    assert "every purpose" in page and "203.0.113.9/32" in page and "2001:db8::/32" in page
    entry = AuditEntry.objects.get(action="api_key.changed")
    assert entry.actor_label == "ada" and set(entry.detail["after"]) == {"name", "all_purposes", "networks"}


def test_saving_limits_as_they_are_leaves_no_trace(admin: Client) -> None:
    key = made()
    ApiKey.objects.update(expires_at=timezone.now() + timedelta(days=50, hours=3))
    page = admin.get(f"{LIST}{key.pk}/limits/")
    shown = {name: field.value() for name, field in ((f.name, f) for f in page.context["form"]) if field.value()}
    assert admin.post(f"{LIST}{key.pk}/limits/", shown).status_code == 302
    assert not AuditEntry.objects.filter(action="api_key.changed").exists()


def test_a_key_that_ends_soon_says_so_and_is_replaced(admin: Client) -> None:
    key = made()
    ApiKey.objects.update(expires_at=timezone.now() + timedelta(days=9))
    assert "Ends soon" in admin.get(LIST).content.decode()
    answer = admin.post(f"{LIST}{key.pk}/rotate/", {"overlap": "168"})
    fresh = ApiKey.objects.get(replaces=key)
    assert fresh.prefix in answer.content.decode() and "Copy it now" in answer.content.decode()
    assert "took its place" in admin.get(f"{LIST}{key.pk}/").content.decode()
    admin.post(f"{LIST}{fresh.pk}/rotate/", {"overlap": "3"})
    assert not ApiKey.objects.filter(replaces=fresh).exists()


def test_who_lacks_what_a_key_may_does_not_come_by_it_by_replacing_it(admin: Client) -> None:
    key, _ = create_api_key(name="Strong", scopes=["profiles:reveal"], by=BY)
    integrator = staff("ines", "integrator")
    assert "Make the new key" not in integrator.get(f"{LIST}{key.pk}/").content.decode()
    integrator.post(f"{LIST}{key.pk}/rotate/", {"overlap": "24"})
    assert not ApiKey.objects.filter(replaces=key).exists()


def test_a_segment_is_shared_with_a_group_on_its_screen(admin: Client) -> None:
    segment, group = draft("mine", {"everyone": True}), Group.objects.create(name="agency")
    address = f"/admin/segments/segment/{segment.uuid}/access/"
    admin.post(address, {"who": f"group-{group.pk}", "may": ["activate_segment", "export_members"]})
    assert [(share.group, share.permissions) for share in shares_of(segment)] == [
        (group, ["view_segment", "activate_segment", "export_members"])
    ]
    assert "Everybody in this group" in admin.get(address).content.decode()
    share_segment(segment=segment, user=made().user, by=BY)
    assert admin.post(f"{address}group/{group.pk}/remove/").status_code == 302
    assert all(share.group is None for share in shares_of(segment))

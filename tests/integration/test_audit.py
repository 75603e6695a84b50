"""What the audit log says: that something was done, and what it was before and after."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from cdp.audit.models import AuditEntry
from consent.models import Purpose
from segments.live import flag_broken
from segments.models import Segment
from tests.factories import live, performed, process_all, track, tracker

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(db: None) -> Client:
    user = User.objects.create_user("root", password="a-long-enough-password", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    return client


def only(action: str) -> dict[str, Any]:
    detail: dict[str, Any] = AuditEntry.objects.get(action=action).detail
    return detail


def test_who_was_made_an_admin_can_be_told(admin: Client) -> None:
    user = User.objects.create_user("ann", password="a-long-enough-password", is_staff=True)
    user.groups.add(Group.objects.get(name="marketer"))
    groups = list(Group.objects.filter(name__in=["admin", "marketer"]).values_list("pk", flat=True))
    sent = {"username": "ann", "is_active": "on", "is_staff": "on", "first_name": "Annabel", "groups": groups}
    assert admin.post(f"/admin/auth/user/{user.pk}/change/", sent).status_code == 302
    detail = only("user.changed")
    assert detail["before"] == {"groups": ["marketer"]}
    assert detail["after"] == {"groups": ["admin", "marketer"]}
    assert "First name" in str(detail) and "Annabel" not in str(detail)

    new = {"usable_password": "true", "password1": "another-long-password", "password2": "another-long-password"}
    assert admin.post(f"/admin/auth/user/{user.pk}/password/", new).status_code == 302
    assert AuditEntry.objects.filter(action="user.changed").count() == 2
    assert not [entry for entry in AuditEntry.objects.all() if "another-long" in str(entry.detail)]


def test_who_was_let_in_and_who_may_everything_can_be_told(admin: Client) -> None:
    user = User.objects.create_user("ann", password="a-long-enough-password", is_staff=True)
    sent = {"username": "ann", "is_staff": "on", "is_superuser": "on"}
    assert admin.post(f"/admin/auth/user/{user.pk}/change/", sent).status_code == 302
    detail = only("user.changed")
    assert detail["before"] == {"is_active": True, "is_superuser": False}
    assert detail["after"] == {"is_active": False, "is_superuser": True}


def test_what_a_role_was_allowed_and_what_was_taken_away_can_be_told(admin: Client) -> None:
    wanted = Permission.objects.get(codename="view_segment")
    assert admin.post("/admin/auth/group/add/", {"name": "guests", "permissions": [wanted.pk]}).status_code == 302
    assert only("group.created")["after"] == {"name": "guests", "permissions": ["segments.view_segment"]}
    guests = Group.objects.get(name="guests")
    assert admin.post(f"/admin/auth/group/{guests.pk}/delete/", {"post": "yes"}).status_code == 302
    assert only("group.deleted")["before"] == {"name": "guests", "permissions": ["segments.view_segment"]}


def test_that_a_purpose_no_longer_asks_first_can_be_told(admin: Client) -> None:
    purpose = Purpose.objects.get(key="analytics")
    sent = {"label": purpose.label, "text": purpose.text, "lawful_basis": "legitimate_interests", "mode": "opt_out",
            "reach": "person", "channel": purpose.channel, "needs_granted": purpose.needs_granted}  # fmt: skip
    assert admin.post(f"/admin/consent/purpose/{purpose.pk}/change/", sent).status_code == 302
    detail = only("purpose.changed")
    assert detail["before"] == {"lawful_basis": "consent", "mode": "opt_in"}
    assert detail["after"] == {"lawful_basis": "legitimate_interests", "mode": "opt_out"}


def test_reading_the_audit_log_and_logging_out_are_audited(admin: Client) -> None:
    assert admin.get("/admin/audit/auditentry/?object_id=secret&who=user:1").status_code == 200
    detail = only("audit.listed")
    assert detail["filters"] == ["object_id", "who"] and "secret" not in str(detail)
    entry = AuditEntry.objects.get(action="audit.listed")
    assert admin.get(f"/admin/audit/auditentry/{entry.pk}/change/").status_code == 200
    assert AuditEntry.objects.get(action="audit.viewed").object_id == str(entry.pk)
    assert admin.post("/admin/logout/").status_code == 200
    assert AuditEntry.objects.get(action="user.logged_out").actor_label == "root"


def test_a_segment_that_breaks_is_audited_once() -> None:
    tracker().send(track("Bought", "u1"))
    process_all()
    segment = live("buyers", performed("Bought"))
    for _ in range(2):
        flag_broken(segment.pk, 'it says "erika@example.com"')
    assert Segment.objects.get().broken_reason
    entry = AuditEntry.objects.get(action="segment.broken")
    assert (entry.object_id, entry.detail) == (str(segment.uuid), {"version": 1})

"""The screen of purposes: how they stand beneath each other, and what a change of one does to people."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cdp.audit.models import AuditEntry
from consent.merging import inherit_stops
from consent.models import (
    ConsentRecord,
    ConsentState,
    Decision,
    Method,
    Purpose,
    Reach,
)
from tests.factories import BY, person
from tests.integration.test_audit_screen import staff
from tests.integration.test_consent_screens import DAY, EMAIL, SMS, officer, say, text

pytestmark = pytest.mark.django_db
__all__ = ["officer"]
PURPOSES = "/admin/consent/purpose/"


def form_of(purpose: Purpose, **more: Any) -> dict[str, Any]:
    fields = ("label", "text", "lawful_basis", "mode", "channel", "reach", "needs_granted", "needs_undenied")
    sent = {name: getattr(purpose, name) for name in fields}
    sent |= {"parent": purpose.parent_id or "", "lifetime_days": purpose.lifetime_days or ""}
    sent |= {name: "on" for name in ("needs_double_opt_in", "covers_profiling") if getattr(purpose, name)}
    return {**sent, **more}


def change(admin: Client, purpose: Purpose, **more: Any) -> str:
    """What the form answers; empty where it took the change."""
    response = admin.post(f"{PURPOSES}{purpose.pk}/change/", form_of(purpose, **more))
    purpose.refresh_from_db()
    return "" if response.status_code == 302 else response.content.decode()


def test_purposes_stand_beneath_each_other_with_how_many_permit_them(officer: Client) -> None:
    admin = staff("admin")
    say("ann", Decision.GRANTED)
    say("bob", Decision.DENIED, purpose="internal_analysis")
    sms = Purpose.objects.get(key=SMS)
    assert change(admin, sms, parent=Purpose.objects.get(key=EMAIL).pk) == ""
    rows = officer.get(PURPOSES).context["rows"]
    told = {purpose.key: (depth, count) for purpose, depth, count in rows}
    assert told[EMAIL] == (0, 1) and told[SMS] == (1, 0)
    assert told["internal_analysis"] == (0, 3) and told["privacy_rights"] == (0, 4)
    keys = [purpose.key for purpose, _, _ in rows]
    assert keys.index(SMS) == keys.index(EMAIL) + 1
    assert AuditEntry.objects.get(action="purpose.changed").detail["after"] == {"parent": "Marketing email"}


def test_a_circle_of_purposes_is_refused(officer: Client) -> None:
    admin = staff("admin")
    email, sms, ads = (Purpose.objects.get(key=key) for key in (EMAIL, SMS, "targeted_ads"))
    assert change(admin, sms, parent=email.pk) == "" and change(admin, ads, parent=sms.pk) == ""
    for beneath in (email, sms, ads):
        assert "nor beneath what lies beneath it" in change(admin, email, parent=beneath.pk)
    assert email.parent is None


def test_a_new_parent_carries_its_noes_once_somebody_has_seen_how_many(officer: Client) -> None:
    admin = staff("admin")
    email, sms = Purpose.objects.get(key=EMAIL), Purpose.objects.get(key=SMS)
    say("ann", Decision.DENIED, timezone.now() - 2 * DAY)
    say("ann", Decision.GRANTED, timezone.now() - 3 * DAY, purpose=SMS)
    say("bob", Decision.DENIED, timezone.now() - 2 * DAY)
    say("bob", Decision.GRANTED, timezone.now() - DAY, purpose=SMS)  # newer than the no
    say("eve", Decision.DENIED, timezone.now() - 2 * DAY)
    say("dan", Decision.GRANTED, timezone.now() - 2 * DAY)
    assert "2 people have said no to Marketing email" in change(admin, sms, parent=email.pk)
    assert sms.parent is None
    assert change(admin, sms, parent=email.pk, carry_noes="on") == ""
    states = {
        user: ConsentState.objects.filter(profile=person(user), purpose=sms).first()
        for user in ("ann", "bob", "eve", "dan")
    }
    assert {user: state.decision if state else None for user, state in states.items()} == {
        "ann": "withdrawn", "bob": "granted", "eve": "denied", "dan": None,
    }  # fmt: skip
    records = ConsentRecord.objects.filter(method=Method.INHERITED)
    assert {record.evidence["beneath"] for record in records} == {EMAIL} and records.count() == 2


def test_what_is_decided_on_devices_inherits_nothing(officer: Client) -> None:
    say("ann", Decision.DENIED)
    sms = Purpose.objects.get(key=SMS)
    sms.parent, sms.reach = Purpose.objects.get(key=EMAIL), Reach.DEVICE
    assert inherit_stops(purpose=sms, by=BY) == 0
    sms.parent = None
    assert inherit_stops(purpose=sms, by=BY) == 0


def test_what_a_purpose_can_not_be_is_said_in_words(officer: Client) -> None:
    admin = staff("admin")
    email = Purpose.objects.get(key=EMAIL)
    assert "Silence is no consent" in change(admin, email, mode="opt_out")
    assert "A lifetime is at least 1 day" in change(admin, email, lifetime_days="0")
    assert "can need a double opt-in" in change(admin, email, reach="device", needs_double_opt_in="on")
    assert email.mode == "opt_in"
    page = text(admin, f"{PURPOSES}{Purpose.objects.get(key='internal_analysis').pk}/change/")
    assert "the platform itself" in page


def test_a_marketer_reads_purposes_and_changes_none(officer: Client) -> None:
    marketer, email = staff("marketer"), Purpose.objects.get(key=EMAIL)
    assert "Marketing email" in text(marketer, PURPOSES)
    assert marketer.post(f"{PURPOSES}{email.pk}/change/", form_of(email, label="x")).status_code == 403

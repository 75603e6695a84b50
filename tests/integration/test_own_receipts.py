"""Receipts for people themselves: each decision of theirs as a page and as a file, and nobody else's."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Profile
from consent.links import Kind, token
from consent.models import ConsentRecord, Decision, Method, NoticeVersion, Purpose
from consent.services import Shown, record_decisions
from tests.factories import BY, identify, person, process_all, tracker
from tests.integration.callers import decide

CONTROLLER = {
    "name": "", "contact": "", "address": "1 Quay Street", "country": "IE", "email": "privacy@boat.example",
    "phone": "+353 91 000 000", "url": "", "privacy_url": "https://boat.example/privacy",
    "choices_url": "https://boat.example/choices",
}  # fmt: skip


@pytest.fixture
def ann(db: None, settings: Any) -> Profile:
    cache.clear()
    settings.CONTROLLER, settings.AUDIT_KEY = CONTROLLER, ""
    tracker().send(identify("ann", traits={"email": "ann@example.com"}), identify("bob"))
    process_all()
    version = NoticeVersion.objects.filter(notice__key="banner", locale="de").latest("number")
    record_decisions(
        profile=person("ann"), decisions={Purpose.objects.get(key="marketing_email"): Decision.GRANTED},
        method=Method.FORM, at=timezone.now() - timedelta(days=3), by=BY, shown=Shown(version_id=version.pk),
    )  # fmt: skip
    decide("ann", "sms", Decision.DENIED)
    decide("bob", "sms", Decision.DENIED)
    return person("ann")


def link(profile: Profile) -> str:
    return f"/privacy/{token(Kind.PREFERENCES, profile.uuid)}/receipts/"


def of(profile: Profile, purpose: str) -> str:
    return str(ConsentRecord.objects.get(profile_id=profile.pk, purpose__key=purpose).uuid)


def test_each_decision_is_a_page_that_says_all_of_it(ann: Profile) -> None:
    listed = Client().get(link(ann)).content.decode()
    assert listed.count("Show the receipt") == 2 and "You said no" in listed and "ann@example.com" not in listed
    assert listed.index(of(ann, "sms")) < listed.index(of(ann, "marketing_email")), "the newest first"
    response = Client().get(f"{link(ann)}{of(ann, 'marketing_email')}/")
    text = response.content.decode()
    version = NoticeVersion.objects.filter(notice__key="banner", locale="de").latest("number")
    for said in ("You said yes", "In a form", "Your consent", version.sha256, "1 Quay Street", 'lang="de"'):
        assert said in text
    assert (response["Referrer-Policy"], response["Cache-Control"]) == ("no-referrer", "no-store, private")
    german = Client().get(f"{link(ann)}{of(ann, 'sms')}/?lang=de").content.decode()
    assert "Sie haben Nein gesagt" in german and "ist nicht festgehalten" in german


def test_the_file_is_the_receipt_that_systems_get_and_taking_it_is_on_record(ann: Profile) -> None:
    response = Client().get(f"{link(ann)}{of(ann, 'marketing_email')}/file/")
    assert response["Content-Type"] == "application/ld+json" and "no-store" in response["Cache-Control"]
    assert response["Content-Disposition"].startswith("attachment")
    told = json.loads(response.content)
    assert told["dpv:hasRecordOfActivity"]["dct:identifier"] == of(ann, "marketing_email")
    page = Client().get(f"{link(ann)}{of(ann, 'marketing_email')}/").content.decode()
    assert told["dct:identifier"] in page
    entry = AuditEntry.objects.get(action="consent.receipt_issued")
    assert (entry.actor_kind, entry.detail["form"]) == ("system", "iso-27560")


def test_without_a_controller_the_page_is_there_and_no_file(ann: Profile, settings: Any) -> None:
    settings.CONTROLLER = dict.fromkeys(CONTROLLER, "")
    one = f"{link(ann)}{of(ann, 'sms')}/"
    assert "as a file for other programs yet" in Client().get(one).content.decode()
    assert Client().get(f"{one}file/").status_code == 409
    assert not AuditEntry.objects.filter(action="consent.receipt_issued").exists()


def test_nobody_elses_receipt_is_told_from_none(ann: Profile) -> None:
    unknown = "1b2a6f2e-8b7d-5a0c-9c58-0d5c1b7ab9a4"
    for record in (of(person("bob"), "sms"), unknown):
        for path in (f"{link(ann)}{record}/", f"{link(ann)}{record}/file/"):
            assert Client().get(path).status_code == 404
    assert Client().get(link(ann).replace("/receipts/", "x/receipts/")).status_code == 404
    merge_profiles(survivor=ann, absorbed=person("bob"), reason="one person", by=BY)
    theirs = ConsentRecord.objects.filter(purpose__key="sms", method="form")
    assert {Client().get(f"{link(ann)}{one.uuid}/").status_code for one in theirs} == {200}, "both are them now"
    erase_profile(profile=ann, by=BY, reason="test")
    assert Client().get(link(ann)).status_code == 404


def test_who_decided_nothing_is_told_so(ann: Profile) -> None:
    tracker().send(identify("cyd"))
    process_all()
    assert "haven't decided anything" in Client().get(link(person("cyd"))).content.decode()

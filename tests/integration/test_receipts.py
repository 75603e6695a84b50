"""Receipts as they are handed out: over REST and from the trail, to who may see personal data, each on record."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.audit.signing import load_signer, make_key
from consent.models import ConsentRecord, Decision, Method, NoticeVersion, Purpose
from consent.services import Shown, record_decisions
from tests.factories import BY, identify, person, process_all, tracker
from tests.integration.callers import key, logged_in, problem
from tests.unit.consent.receipts.test_forms import KANTARA, RECEIPT, verify

pytestmark = pytest.mark.django_db


@pytest.fixture
def record(settings: Any, tmp_path: Path) -> ConsentRecord:
    settings.CONTROLLER = {
        "name": "", "contact": "", "address": "1 Quay Street", "country": "IE", "email": "privacy@boat.example",
        "phone": "+353 91 000 000", "url": "", "privacy_url": "https://boat.example/privacy",
        "choices_url": "https://boat.example/choices",
    }  # fmt: skip
    make_key(tmp_path / "key.pem")
    settings.AUDIT_KEY = str(tmp_path / "key.pem")
    tracker().send(identify("ann", traits={"email": "ann@example.com"}))
    process_all()
    version = NoticeVersion.objects.filter(notice__key="banner", locale="en").latest("number")
    record_decisions(
        profile=person("ann"), decisions={Purpose.objects.get(key="marketing_email"): Decision.GRANTED},
        method=Method.FORM, at=timezone.now(), by=BY, shown=Shown(version_id=version.pk),
    )  # fmt: skip
    return ConsentRecord.objects.get()


def path(record: ConsentRecord) -> str:
    return f"consents/{record.uuid}/receipt/"


def test_a_system_takes_a_signed_receipt_in_each_form(record: ConsentRecord, settings: Any) -> None:
    caller, public = key("profiles:reveal"), load_signer(Path(settings.AUDIT_KEY), name="x").key
    given = caller.get(path(record))
    assert (given.status_code, given["Content-Type"]) == (200, "application/ld+json"), given.content
    assert given["Cache-Control"] == "no-store, private"
    receipt = json.loads(given.content)
    jsonschema.validate(receipt, RECEIPT)
    verify(receipt, public)
    assert receipt["dpv:hasRecordOfActivity"]["dct:identifier"] == str(record.uuid)
    plain = json.loads(caller.get(path(record), format="kantara").content)
    jsonschema.validate(plain, KANTARA)
    assert plain["piiPrincipalId"] == str(person("ann").uuid)
    assert caller.get(path(record), format="kantara-jwt").content.count(b".") == 2
    entries = AuditEntry.objects.filter(action="consent.receipt_issued").order_by("recorded_at")
    assert [(entry.detail["form"], entry.detail["signed"]) for entry in entries] == [
        ("iso-27560", True), ("kantara", False), ("kantara-jwt", True),
    ]  # fmt: skip
    assert {entry.object_id for entry in entries} == {str(record.uuid)}


def test_a_receipt_holds_no_identifier_but_ours(record: ConsentRecord) -> None:
    for form in ("iso-27560", "kantara"):
        assert b"ann@example.com" not in key("profiles:reveal").get(path(record), format=form).content


def test_it_is_for_who_may_see_personal_data(record: ConsentRecord) -> None:
    assert problem(key("profiles:read").get(path(record)), 403)["code"] == "scope_missing"
    assert logged_in("marketer").get(path(record)).status_code == 403
    assert logged_in("compliance").get(path(record)).status_code == 200


def test_what_can_not_be_given_is_said(record: ConsentRecord, settings: Any) -> None:
    caller = key("profiles:reveal")
    unknown = path(record).replace(str(record.uuid), "00000000-0000-4000-8000-000000000000")
    assert problem(caller.get(unknown), 404)["code"] == "record_not_found"
    assert problem(caller.get(path(record), format="pdf"), 400)["pointer"] == "/format"
    record_decisions(
        profile=person("ann"),
        decisions={record.purpose: Decision.WITHDRAWN},
        method=Method.FORM,
        at=timezone.now(),
        by=BY,
    )
    no = ConsentRecord.objects.get(decision="withdrawn")
    assert problem(caller.get(path(no), format="kantara"), 409)["code"] == "not_a_yes"
    assert caller.get(path(no)).status_code == 200
    settings.CONTROLLER = {**settings.CONTROLLER, "phone": ""}
    refused = problem(caller.get(path(record)), 409)
    assert refused["code"] == "controller_unknown" and "CDP_CONTROLLER_PHONE" in refused["detail"]


def test_without_a_key_only_what_needs_none_is_given(record: ConsentRecord, settings: Any) -> None:
    settings.AUDIT_KEY = ""
    caller = key("profiles:reveal")
    assert "proof" not in json.loads(caller.get(path(record)).content)
    assert problem(caller.get(path(record), format="kantara-jwt"), 409)["code"] == "no_key"

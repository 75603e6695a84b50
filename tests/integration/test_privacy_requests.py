"""The life of a privacy request: due days, identity first, target by target, and each step on record with no word of anybody."""

import csv
import io
import json
import os
import tracemalloc
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainError, NotFound
from cdp.privacy import correcting, running, services
from cdp.privacy.due import due_of
from cdp.privacy.exporting import export_folder, open_export, path_of, purge_exports
from cdp.privacy.models import (
    ObjectsTo,
    PrivacyExport,
    PrivacyRequest,
    RequestKind,
    RequestState,
    TargetState,
)
from cdp.profiles.models import Event, Profile
from consent.models import ConsentRecord, ConsentStop, Decision, Purpose
from consent.querysets import permitted
from tests.factories import BY, Tracker, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.callers import decide, key, logged_in
from tests.integration.rights import ANN, asked, begun, done, run

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.PRIVACY_EXPORT_DIR = str(tmp_path / "exports")


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(
        identify(ANN, traits={"email": f"{ANN}@b.ch", "city": "Bern"}), track("Bought", ANN), track("Bought", "bob")
    )
    process_all()
    return shop


# ---- When it is due ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "region", "kind", "due", "extended"),
    [
        # GDPR Art. 12(3): one month, and two more; 4 July 2026 is a Saturday, so Monday.
        ("DE", "", RequestKind.ACCESS, date(2026, 7, 6), date(2026, 9, 4)),
        # CCPA, Cal. Civ. Code 1798.130(a)(2): 45 days, and 45 more.
        ("US", "US-CA", RequestKind.ERASURE, date(2026, 7, 19), date(2026, 9, 2)),
        # It knows no restriction: we answer by the default.
        ("US", "US-CA", RequestKind.RESTRICTION, date(2026, 7, 4), date(2026, 9, 4)),
    ],
)
def test_the_last_day_is_the_laws(country: str, region: str, kind: RequestKind, due: date, extended: date) -> None:
    found = due_of(kind, country=country, region=region, received_on=date(2026, 6, 4))
    assert (found.on, found.extended_to) == (due, extended), found.law


def test_where_nobody_knows_the_strictest_law_counts() -> None:
    anywhere = due_of(RequestKind.ACCESS, country="", region="", received_on=date(2026, 6, 4))
    assert anywhere.on < due_of(RequestKind.ACCESS, country="DE", region="", received_on=date(2026, 6, 4)).on


def test_it_is_extended_once_with_a_reason(shop: Tracker) -> None:
    request = asked(RequestKind.ACCESS, country="de")
    first = request.due_on
    with pytest.raises(DomainError, match="Say why"):
        services.extend(request=request, reason="  ", by=BY)
    request = services.extend(request=request, reason="Three archives to read", by=BY)
    assert request.was_due_on == first and request.due_on > first + 50 * DAY
    with pytest.raises(Conflict):
        services.extend(request=request, reason="More", by=BY)


def test_it_is_not_extended_once_its_last_day_is_over(shop: Tracker) -> None:
    """The person had to be told within the first month (GDPR Art. 12(3))."""
    request = asked(RequestKind.ACCESS, country="DE", received_at=timezone.now() - 45 * DAY)
    with pytest.raises(Conflict, match="last day is over"):
        services.extend(request=request, reason="Three archives", by=BY)
    PrivacyRequest.objects.filter(pk=request.pk).update(due_on=timezone.localdate())
    assert services.extend(request=request, reason="Three archives", by=BY).was_due_on == timezone.localdate()


# ---- What may be done when -----------------------------------------------------------------------------------------


def test_nothing_is_done_for_somebody_who_has_not_shown_who_they_are(shop: Tracker) -> None:
    request = asked(RequestKind.ERASURE)
    assert request.state == RequestState.IDENTITY_NEEDED and not request.targets.exists()
    running.carry_out(request, progress=lambda *_: None)
    assert person(ANN).traits["city"] == "Bern"
    with pytest.raises(IntegrityError), transaction.atomic():
        PrivacyRequest.objects.filter(pk=request.pk).update(state=RequestState.IN_PROGRESS)


def test_somebody_is_named_later(shop: Tracker) -> None:
    request = asked(RequestKind.ACCESS, profile=None)
    assert request.state == RequestState.RECEIVED
    with pytest.raises(Conflict, match="who asks"):
        begun(request)
    services.name_person(request=request, profile=person(ANN), by=BY)
    assert begun(request).state == RequestState.IN_PROGRESS
    with pytest.raises(Conflict, match="in progress by now"):
        services.name_person(request=request, profile=person("bob"), by=BY)


def test_it_is_refused_with_a_reason_or_withdrawn(shop: Tracker) -> None:
    refused, withdrawn = asked(RequestKind.ACCESS), asked(RequestKind.ERASURE)
    with pytest.raises(DomainError, match="Say why"):
        services.refuse(request=refused, reason="", by=BY)
    services.refuse(request=refused, reason="Asked for the tenth time this month", by=BY)
    services.withdraw(request=withdrawn, by=BY)
    for request in (refused, withdrawn):
        request.refresh_from_db()
        assert not request.is_open
        with pytest.raises(Conflict):
            begun(request)


@pytest.mark.parametrize(
    ("kind", "more", "pointer"),
    [
        (RequestKind.OBJECTION, {}, "/objects_to"),
        (RequestKind.ACCESS, {"objects_to": ObjectsTo.PROFILING}, "/objects_to"),
        (RequestKind.OBJECTION, {"objects_to": ObjectsTo.PURPOSE}, "/purpose"),
        (RequestKind.RECTIFICATION, {}, "/corrections"),
        (RequestKind.ACCESS, {"corrections": {"city": "Bern"}}, "/corrections"),
        (RequestKind.RECTIFICATION, {"corrections": dict.fromkeys(map(str, range(51)))}, "/corrections"),
        (RequestKind.ACCESS, {"received_at": datetime(2999, 1, 1, tzinfo=UTC)}, "/received_at"),
    ],
)
def test_what_a_kind_needs_is_asked_for(shop: Tracker, kind: RequestKind, more: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DomainError) as raised:
        asked(kind, **more)
    assert raised.value.pointer == pointer


def test_every_step_is_on_record_under_privacy_rights(shop: Tracker) -> None:
    request = asked(RequestKind.ACCESS, country="DE")
    services.extend(request=request, reason="much", by=BY)
    run(begun(request))
    entries = AuditEntry.objects.filter(object_id=str(request.uuid)).order_by("recorded_at")
    assert [entry.action for entry in entries] == [
        "privacy.requested", "privacy.extended", "privacy.identity_confirmed", "privacy.export_made", "privacy.target_done",
        "privacy.completed",
    ]  # fmt: skip
    assert {entry.purpose for entry in entries} == {"privacy_rights"}
    assert ANN not in str([entry.detail for entry in entries]) and "much" not in str([e.detail for e in entries])


# ---- Access --------------------------------------------------------------------------------------------------------


def test_the_file_has_everything_and_only_theirs(shop: Tracker) -> None:
    live("buyers", performed("Bought"))
    decide(ANN, "marketing_email", Decision.GRANTED)
    request = done(RequestKind.ACCESS)
    export = request.exports.get()
    with open_export(export=export, by=BY) as file:
        archive = zipfile.ZipFile(io.BytesIO(file.read()))
    data = json.loads(archive.read("data.json"))
    assert {row["value"] for row in data["identifiers"]} == {ANN, f"{ANN}@b.ch"}
    assert {row["key"]: row["value"] for row in data["traits"]} == {"city": "Bern", "email": f"{ANN}@b.ch"}
    assert {row["name"] for row in data["events"]} == {"Bought", "Identified"}
    [segment] = data["segments"]
    assert segment["key"] == "buyers" and "did Bought" in segment["rule"] and segment["brought_in_by"] == "time"
    [granted] = [row for row in data["consents"] if row["decision"]]
    assert (granted["key"], granted["decision"]) == ("marketing_email", "granted")
    assert [row["method"] for row in data["consent_records"]] == ["form"]
    # A file for each kind, of the same rows, and a page that needs nothing from outside.
    for kind, rows in data.items():
        if isinstance(rows, list):
            read = list(csv.DictReader(io.StringIO(archive.read(f"{kind}.csv").decode())))
            assert len(read) == len(rows) and (not rows or list(read[0]) == list(rows[0])), kind
    page = archive.read("index.html").decode()
    assert ANN in page and "default-src 'none'" in page and "complain to a data protection authority" in page
    assert not [word for word in ("http:", "https:", "src=", "<script", "@import", "url(") if word in page]
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"bob" not in everything


def test_the_file_has_what_they_stopped_asked_and_what_could_not_be_used(shop: Tracker) -> None:
    shop.send({"type": "trick", "userId": ANN, "note": "theirs"}, {"type": "trick", "userId": "bob"})
    process_all()
    done(RequestKind.RESTRICTION)
    request = done(RequestKind.ACCESS)
    data = _data(request)
    assert [(row["code"], json.loads(row["message"])["note"]) for row in data["unusable_messages"]] == [
        ("unknown_type", "theirs")
    ]
    assert [(row["kind"], row["lifted_at"]) for row in data["stops"]] == [("restriction", None)]
    assert [row["kind"] for row in data["requests"]] == ["restriction", "access"]
    assert data["requests"][1]["number"] == request.number and data["signals"] == []


def test_who_read_them_is_told_without_naming_staff(shop: Tracker) -> None:
    segment = live("buyers", performed("Bought"))
    system = key(sees=[segment])
    system.get("segments/buyers/members/", purpose="internal_analysis")
    system.get(f"profiles/user_id:{ANN}/", purpose="internal_analysis")
    clerk = logged_in("compliance")
    clerk.user.is_staff = True
    clerk.user.save()
    clerk.client.get(f"/admin/profiles/profile/{person(ANN).uuid}/")
    data = _data(done(RequestKind.ACCESS))
    told = {(row["reader"], row["action"], row["purpose"], row["segment"]) for row in data["read_by"]}
    assert (str(system.key), "members.read", "internal_analysis", "buyers") in told
    assert (str(system.key), "profile.read", "internal_analysis", "") in told
    assert ("staff", "profile.viewed", "privacy_rights", "") in told
    assert clerk.user.username not in json.dumps(data)


def _data(request: PrivacyRequest) -> dict[str, Any]:
    with open_export(export=request.exports.get(), by=BY) as file:
        found: dict[str, Any] = json.loads(zipfile.ZipFile(io.BytesIO(file.read())).read("data.json"))
    return found


def test_what_spreadsheets_would_run_is_text(shop: Tracker) -> None:
    wide = "\uff1dHYPERLINK(1)"  # as East Asian keyboards write it
    traits = {"note": "=cmd|' /C calc'!A0", "html": "<script>alert(1)</script>", "wide": wide}
    shop.send(identify(ANN, traits=traits))
    process_all()
    request = done(RequestKind.PORTABILITY)
    with open_export(export=request.exports.get(), by=BY) as file:
        archive = zipfile.ZipFile(io.BytesIO(file.read()))
    assert "'=cmd|" in archive.read("traits.csv").decode() and f"'{wide}" in archive.read("traits.csv").decode()
    assert "<script>alert" not in archive.read("index.html").decode()
    assert {"=cmd|' /C calc'!A0"} <= {row["value"] for row in json.loads(archive.read("data.json"))["traits"]}


def test_a_long_history_is_written_as_it_is_read(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of ours doesn't grow with it: 6,000 events of a kilobyte, and far less than that at its peak."""
    for _ in range(15):
        shop.send(*(track("Looked", ANN, properties={"text": "x" * 1000}) for _ in range(400)))
    process_all()
    request = begun(asked(RequestKind.ACCESS))
    tracemalloc.start()
    run(request)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    export = request.exports.get()
    with zipfile.ZipFile(path_of(export)) as archive:
        assert archive.getinfo("data.json").file_size > 6_000_000
        page = archive.read("index.html").decode()
    assert "These are the first 500" in page
    assert peak < 6_000_000, peak


def test_files_lie_where_nobody_else_looks_and_go_with_time(shop: Tracker, settings: Any) -> None:
    request = done(RequestKind.ACCESS)
    export = request.exports.get()
    assert path_of(export).stat().st_mode & 0o077 == 0 and export_folder().stat().st_mode & 0o077 == 0
    assert list(export_folder().iterdir()) == [path_of(export)]
    assert purge_exports() == 0
    stray = export_folder() / f"{uuid4()}.zip"
    stray.write_bytes(b"killed before its row was written")
    os.utime(stray, (0, 0))
    PrivacyExport.objects.filter(pk=export.pk).update(expires_at=timezone.now())
    assert purge_exports() == 2 and not list(export_folder().iterdir())
    export.refresh_from_db()
    assert export.deleted_at is not None
    with pytest.raises(NotFound):
        open_export(export=export, by=BY)


# ---- Rectification, restriction, objection -------------------------------------------------------------------------


def test_a_correction_comes_as_anything_else_is_said(shop: Tracker) -> None:
    segment = live("bernese", {"trait": "city", "op": "equals", "value": "Bern"})
    request = done(RequestKind.RECTIFICATION, corrections={"city": "Basel", "email": None})
    assert request.corrections == {}
    process_all()
    assert person(ANN).traits == {"city": "Basel"}
    assert members(segment) == set()
    said = Event.objects.filter(profile_id=person(ANN).pk, message_id=f"privacy-{request.uuid}").get()
    assert said.properties == {"city": "Basel", "email": None}, "what was said before stays in their history"


def test_a_correction_that_the_pipeline_refuses_is_not_done(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    # What can't be named any more is the only way in which our own message can be refused.
    monkeypatch.setattr(correcting, "_naming", lambda *_: {"userId": "undefined"})
    request = run(begun(asked(RequestKind.RECTIFICATION, corrections={"city": "Basel"})))
    failed = request.targets.get(key="correction")
    assert (failed.state, failed.error_code) == (TargetState.FAILED, "correction_not_taken")
    assert request.corrections == {"city": "Basel"}, "so that it can be tried again"
    monkeypatch.undo()
    services.retry_target(target=failed, by=BY)
    assert run(request).state == RequestState.DONE and person(ANN).traits["city"] == "Basel"


def test_an_address_that_is_not_theirs_is_removed_and_its_trait_with_it(shop: Tracker) -> None:
    wrong = f"{ANN}@b.ch"
    request = done(RequestKind.RECTIFICATION, wrong_identifiers=[f"email: {wrong.upper()}"])
    ann = person(ANN)
    assert set(ann.identifiers.values_list("namespace", "value")) == {("user_id", ANN)}
    assert ann.traits == {"city": "Bern"} and request.wrong_identifiers == []
    [entry] = AuditEntry.objects.filter(action="profile.identifier_removed")
    assert (entry.object_id, entry.detail) == (str(ann.uuid), {"namespace": "email", "why": request.number})
    assert ANN not in "".join(
        bytes(one.envelope).decode() for one in AuditEntry.objects.filter(object_id=str(request.uuid))
    )
    # It is nobody's now, so whose it is can be known by it.
    shop.send(identify("cyd", traits={"email": wrong}))
    process_all()
    assert person("cyd").pk != ann.pk and person("cyd").identifiers.filter(value=wrong).exists()


def test_what_is_right_comes_before_what_is_wrong_goes(shop: Tracker) -> None:
    """Of somebody who is known by nothing but the wrong address."""
    shop.send(identify(traits={"email": "typo@b.ch"}, anonymousId="phone"))
    process_all()
    them = Profile.objects.get(identifiers__value="typo@b.ch")
    them.identifiers.filter(value="phone").delete()
    asked_for = {"profile": them, "wrong_identifiers": ["email:typo@b.ch"]}
    request = run(begun(asked(RequestKind.RECTIFICATION, **asked_for)))
    assert request.targets.get(key="identifiers").error_code == "last_identifier", "nobody could find them again"
    request = done(RequestKind.RECTIFICATION, **asked_for, corrections={"email": "right@b.ch"})
    assert list(them.identifiers.values_list("value", flat=True)) == ["right@b.ch"]
    them.refresh_from_db()
    assert them.traits == {"email": "right@b.ch"}


@pytest.mark.parametrize(
    ("named", "code"), [("email:bob@b.ch", "identifier_not_theirs"), ("email", "identifier_malformed")]
)
def test_nobody_loses_an_identifier_that_they_do_not_have(shop: Tracker, named: str, code: str) -> None:
    with pytest.raises(DomainError) as raised:
        asked(RequestKind.RECTIFICATION, wrong_identifiers=[f"email:{ANN}@b.ch", named])
    assert (raised.value.code, raised.value.pointer) == (code, "/wrong_identifiers/1")
    later = asked(RequestKind.RECTIFICATION, profile=None, wrong_identifiers=["user_id:x"])
    with pytest.raises(DomainError, match="nothing to remove"):
        services.name_person(request=later, profile=person(ANN), by=BY)


def test_a_restriction_hides_them_everywhere_until_it_is_lifted(shop: Tracker) -> None:
    ann = person(ANN)
    request = done(RequestKind.RESTRICTION)
    for purpose in Purpose.objects.exclude(key="privacy_rights"):
        assert not permitted(Profile.objects.filter(pk=ann.pk), purpose).exists(), purpose.key
    assert permitted(Profile.objects.filter(pk=ann.pk), Purpose.objects.get(key="privacy_rights")).exists()
    services.lift_stop(request=request, by=BY)
    assert permitted(Profile.objects.filter(pk=ann.pk), Purpose.objects.get(key="internal_analysis")).exists()
    with pytest.raises(Conflict):
        services.lift_stop(request=request, by=BY)


@pytest.mark.parametrize("objects_to", [ObjectsTo.PROFILING, ObjectsTo.LEGITIMATE_INTERESTS])
def test_an_objection_to_more_than_one_purpose_is_a_stop(shop: Tracker, objects_to: ObjectsTo) -> None:
    done(RequestKind.OBJECTION, objects_to=objects_to)
    assert ConsentStop.objects.get(lifted_at=None).kind == objects_to.value
    assert not ConsentRecord.objects.exists()


def test_an_objection_to_one_purpose_is_their_decision(shop: Tracker) -> None:
    purpose = Purpose.objects.get(key="internal_analysis")
    request = done(RequestKind.OBJECTION, objects_to=ObjectsTo.PURPOSE, purpose=purpose)
    word = ConsentRecord.objects.get(purpose=purpose)
    assert (word.decision, word.method, word.evidence) == ("denied", "privacy_request", {"request": request.number})
    assert word.collected_at == request.received_at
    assert services.stop_of(request) is None

"""One person's marks are planted through every door there is. After their erasure none of them is found: in no row of any table
of the database, in no file of ours, in no line of our logs."""

import base64
import io
import json
import logging
import zipfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.audit.services import record
from cdp.collecting import files
from cdp.collecting.models import ConsentImport, ImportRow
from cdp.ingestion.models import Quarantined, SourceKind
from cdp.jobs.models import Job
from cdp.privacy import running, services
from cdp.privacy.models import CameBy, IdentityMethod, PrivacyRequest, RequestKind, RequestState
from cdp.privacy.tasks import carry_out
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from cdp.vault.services import Item, open_sealed, seal
from consent.models import ConsentRecord, Decision, Method, NoticeVersion, Purpose, ServedNotice
from consent.notices import serve
from consent.services import record_decision
from segments.by_hand import put_by_hand
from segments.fields.measuring import measure
from segments.lists import add_people, create_list
from segments.models import ByHand, SegmentVersion, StaticList, UploadRow
from segments.uploads import services as uploading
from segments.uploads.models import UploadMode
from tests.factories import (
    BY,
    draft,
    identify,
    live,
    members,
    performed,
    person,
    process_all,
    set_live,
    track,
    tracker,
)
from tests.integration.traces import tables_that_say

MARK = "zq7canary"
EMAIL = f"{MARK}.mail@example.com"
DAY = timedelta(days=1)


@pytest.fixture
def exports(settings: Any, tmp_path: Path) -> Path:
    settings.PRIVACY_EXPORT_DIR = str(tmp_path / "exports")
    return tmp_path / "exports"


def request_of(kind: RequestKind, **more: Any) -> PrivacyRequest:
    made = services.open_request(kind=kind, profile=person(f"{MARK}-user"), came_by=CameBy.EMAIL, by=BY, **more)
    services.confirm_identity(request=made, method=IdentityMethod.KNOWN, note=f"{MARK} showed a card", by=BY)
    made.refresh_from_db()
    carry_out.apply(args=[Job.objects.get(uuid=made.job_uuid).pk])
    made.refresh_from_db()
    return made


def files_that_say(folder: Path, mark: str) -> list[Path]:
    """Files with the mark in them, also packed ones."""
    found = []
    for path in filter(Path.is_file, folder.rglob("*")):
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content += b"".join(archive.read(name) for name in archive.namelist())
        if mark.encode() in content.lower():
            found.append(path)
    return found


def seal_into_audit(subject_id: int) -> AuditEntry:
    """An entry whose personal payload is sealed, as the log can hold it: the number says whose key opens it."""
    entry_id = uuid4()
    with transaction.atomic():
        [sealed] = seal([Item(subject_id, entry_id, f"{MARK} asked by phone".encode())])
        detail = {"sealed": base64.b64encode(sealed).decode(), "entry": str(entry_id), "subject": subject_id}
        return record(by=BY, action="test.called", object=person(f"{MARK}-user"), detail=detail)


def plant() -> None:
    """Through every door: messages of servers and browsers, refused ones, waiting ones, staff, models, rules, requests."""
    shop, browser = tracker(), tracker(SourceKind.BROWSER)
    user, device = f"{MARK}-user", f"{MARK}-device"
    browser.send(
        track(
            "Looked",
            anonymousId=device,
            context={"page": {"path": f"/{MARK}", "url": f"https://shop.test/{MARK}?u={MARK}"}},
        )
    )
    shop.send(
        identify(
            user,
            traits={"email": EMAIL, "name": f"{MARK} Name", "gone": f"{MARK} once"},
            ago=3 * DAY,
            anonymousId=device,
        ),
        identify("bob", traits={"name": "Bob"}),
        identify(
            user, traits={"gone": None}, ago=2 * DAY, context={"externalIds": [{"type": "crm", "id": f"{MARK}-crm"}]}
        ),
        track(
            "Bought", user, properties={"order_id": f"{MARK}-1", "revenue": 7, "products": [{"name": f"{MARK} gift"}]}
        ),
        track(
            "Order Completed",
            user,
            properties={"order_id": f"{MARK}-2", "revenue": 9, "note": MARK.upper()},
            ago=400 * DAY,
        ),
        track("Bought", "bob", properties={"note": "of somebody else"}),
        track("", user, properties={"note": MARK}),  # has no name: to quarantine
    )
    process_all()
    one = person(user)
    decision = {
        "purpose": Purpose.objects.get(key="marketing_email"),
        "decision": Decision.GRANTED,
        "method": Method.FORM,
    }
    record_decision(profile=one, at=timezone.now(), by=BY, evidence={"form": "newsletter"}, **decision)
    seal_evidence(one.pk)
    add_people(static_list=create_list(name="VIP", by=BY), profile_ids=[one.pk], reason=f"{MARK} asked", by=BY)
    run = start_run(kind="rfm", version="1", by=BY)
    add_scores(
        run=run, scores=[Scored(one.pk, "label", label=f"{MARK} champion"), Scored(one.pk, "r", number=Decimal(3))]
    )
    publish_run(run=run, by=BY)
    # By what they are called: once alone, once beside what bob is called, too.
    draft("called", {"trait": "name", "op": "equals", "value": f"{MARK} NAME"})
    draft("several", {"trait": "name", "op": "any_of", "value": ["Bob", f"{MARK} name"]})
    plant_showing(one.pk)
    imported = f"namespace,value,purpose,decision,collected_at\nemail,{EMAIL},sms,denied,2026-01-01T00:00:00Z\n"
    imported += f"uuid,{one.uuid},sms,denied,2026-01-01T00:00:00Z\nuser_id,bob,sms,denied,2026-01-01T00:00:00Z\n"
    files.upload(name="old.csv", content=io.BytesIO(imported.encode()), creates_people=True, by=BY)
    kept = uploading.upload(
        static_list=StaticList.objects.get(key="vip"), mode=UploadMode.APPEND, name="vip.csv", by=BY,
        content=io.BytesIO(f"who,note\n{EMAIL},{MARK}\nbob,x\n".encode()),
    )  # fmt: skip
    assert kept.rows == 2
    by_hand = live("by-hand", performed("Bought"))
    put_by_hand(segment=by_hand, profile=one, kind=ByHand.EXCLUDE, reason=f"{MARK} asked by phone", by=BY)
    live("named", {"trait": "email", "op": "equals", "value": EMAIL})
    set_live(draft("any", {"trait": "email", "op": "any_of", "value": ["bob@example.com", EMAIL]}))
    draft(
        "not-them", {"all": [performed("Bought"), {"not": {"trait": "email", "op": "equals", "value": EMAIL.upper()}}]}
    )
    request_of(RequestKind.ACCESS)
    # And what comes just before: one message that waits, and one correction that was never carried out.
    services.open_request(
        kind=RequestKind.RECTIFICATION, profile=one, came_by=CameBy.PHONE, corrections={"name": f"{MARK} Nom"}, by=BY
    )
    shop.send(track("Bought", "bob"), identify(user, traits={"city": f"{MARK}ville"}))
    measure(progress=lambda done, total, phase: None)


def plant_showing(subject_id: int) -> None:
    """A notice on a page whose address says who they are: once shown to them, once told to be theirs by what they decided."""
    version = NoticeVersion.objects.filter(notice__key="banner").latest("pk")
    serve(version=version, place=f"https://shop.test/account/{MARK}", profile_id=subject_id)
    before = serve(version=version, place=f"https://shop.test/welcome/{MARK}")
    ConsentRecord.objects.create(
        profile_id=subject_id, purpose=Purpose.objects.get(key="sms"), decision=Decision.DENIED, method=Method.BANNER,
        collected_at=timezone.now(), served=before, notice_version=version,
    )  # fmt: skip
    serve(version=version, place="https://shop.test/of-somebody-else")


def seal_evidence(subject_id: int) -> None:
    """A record whose personal evidence is sealed under its own id, as consent keeps it."""
    purpose = Purpose.objects.get(key="marketing_email")
    record_id = uuid4()
    with transaction.atomic():
        [sealed] = seal([Item(subject_id, record_id, json.dumps({"ip": f"10.0.0.1 {MARK}"}).encode())])
        ConsentRecord.objects.create(
            uuid=record_id, profile_id=subject_id, purpose=purpose, decision=Decision.GRANTED, method=Method.FORM,
            collected_at=timezone.now(), sealed_evidence=sealed,
        )  # fmt: skip


def test_no_trace_is_left_anywhere(db: None, exports: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        plant()
        one = person(f"{MARK}-user")
        called = seal_into_audit(one.pk)
        evidence = ConsentRecord.objects.get(sealed_evidence__isnull=False)
        everywhere = tables_that_say(MARK)
        assert everywhere >= {
            "profiles_identifier", "profiles_event", "profiles_traitvalue", "profiles_profile", "profiles_score",
            "ingestion_inboxmessage", "ingestion_quarantined", "segments_listentry", "segments_segmentversion",
            "profiles_session", "privacy_privacyrequest", "consent_servednotice", "collecting_importrow", "segments_uploadrow",
        }, "or the test would prove nothing"  # fmt: skip
        assert files_that_say(exports, MARK)
        before = Quarantined.objects.count()
        assert members_of("named") == {f"{MARK}-user"}

        erasure = request_of(RequestKind.ERASURE)
        assert erasure.state == RequestState.DONE, list(erasure.targets.values("key", "state", "error_code"))
        process_all()

    assert tables_that_say(MARK) == set()
    assert files_that_say(exports, MARK) == []
    assert MARK not in caplog.text.lower()
    # What can't be taken away can't be read any more.
    sealed = base64.b64decode(called.detail["sealed"])
    assert open_sealed(subject_id=one.pk, entry_id=called.detail["entry"], sealed=sealed) is None
    found = open_sealed(subject_id=one.pk, entry_id=evidence.uuid, sealed=bytes(evidence.sealed_evidence or b""))
    assert found is None
    # And of others everything is there, and judged as before.
    assert person("bob").pk and Quarantined.objects.count() == before - 1
    assert members_of("named") == set()
    rules = {v.segment.key: v.rule for v in SegmentVersion.objects.select_related("segment")}
    assert rules["any"]["value"] == ["bob@example.com", "••••"]
    assert rules["several"]["value"] == ["Bob", "••••"]
    assert erasure.targets.get(key="rules").counts == {
        "versions": 5, "segments": ["any", "called", "named", "not-them", "several"]
    }  # fmt: skip
    assert erasure.targets.get(key="imports").counts == {"rows": 3}
    assert UploadRow.objects.get().cells == ["bob", "x"]
    assert ImportRow.objects.get().value == "bob" and ConsentImport.objects.get().unknown == 2
    # That words were shown, and which, stays: it is the proof of what was decided.
    shown = ServedNotice.objects.order_by("served_at")
    assert [(one.profile_id, one.place) for one in shown] == [
        (None, ""), (None, ""), (None, "https://shop.test/of-somebody-else"),
    ]  # fmt: skip
    assert ConsentRecord.objects.get(served__isnull=False).served == shown[1]


def test_what_others_are_called_too_stays_in_rules_and_is_told(db: None, exports: Path) -> None:
    plant()
    tracker().send(identify("namesake", traits={"name": f"{MARK} NaMe"}))
    process_all()
    erasure = request_of(RequestKind.ERASURE)
    assert erasure.targets.get(key="rules").counts == {
        "versions": 3, "segments": ["any", "named", "not-them"], "shared": ["called", "several"]
    }  # fmt: skip
    assert SegmentVersion.objects.get(segment__key="called").rule["value"] == f"{MARK} NAME"


def test_names_are_found_in_rules_after_a_kill_in_between(db: None, exports: Path) -> None:
    """Once the person is gone nothing says what they were called; the places were noted before."""
    plant()
    made = services.open_request(kind=RequestKind.ERASURE, profile=person(f"{MARK}-user"), came_by=CameBy.EMAIL, by=BY)
    services.confirm_identity(request=made, method=IdentityMethod.KNOWN, by=BY)

    def killed(done: int, total: int, phase: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.carry_out(PrivacyRequest.objects.get(pk=made.pk), progress=killed)
    assert "segments_segmentversion" in tables_that_say(MARK)
    running.carry_out(PrivacyRequest.objects.get(pk=made.pk), progress=lambda *_: None)
    assert tables_that_say(MARK) == set()


def members_of(key: str) -> set[str]:
    return members(SegmentVersion.objects.get(segment__key=key).segment)


def test_what_is_said_afterwards_leaves_no_trace_either(db: None, exports: Path) -> None:
    plant()
    request_of(RequestKind.ERASURE)
    process_all()
    shop, browser = tracker(), tracker(SourceKind.BROWSER)
    shop.send(
        identify(f"{MARK}-user", traits={"email": EMAIL}),
        identify("new-account", traits={"email": EMAIL, "city": "Bern"}),
        track("", f"{MARK}-user", properties={"note": MARK}),
    )
    browser.send(track("Looked", anonymousId=f"{MARK}-device", context={"page": {"url": f"https://shop.test/{MARK}"}}))
    report = process_all()
    assert (report.suppressed, report.stored) == (3, 1)
    assert tables_that_say(MARK) == set()


def test_a_rule_of_old_can_be_blotted_out_and_nothing_else_of_it_changed(db: None) -> None:
    shop = tracker()
    shop.send(identify("bob", traits={"email": "bob@example.com"}))
    process_all()
    segment = draft("named", {"trait": "email", "op": "equals", "value": EMAIL})
    version = segment.versions.get()
    for changed in (
        {**version.rule, "value": "somebody@else.com"},
        {**version.rule, "more": "••••"},
        {key: value for key, value in version.rule.items() if key != "op"},
        {**version.rule, "version": "••••"},
    ):
        with pytest.raises(Exception, match="append-only"), transaction.atomic():
            SegmentVersion.objects.filter(pk=version.pk).update(rule=changed)
    SegmentVersion.objects.filter(pk=version.pk).update(rule={**version.rule, "value": "••••"})
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        SegmentVersion.objects.filter(pk=version.pk).update(rule=version.rule)


def test_the_tombstones_are_all_that_names_their_numbers_and_go_too(db: None, exports: Path) -> None:
    plant()
    request = request_of(RequestKind.ERASURE)
    process_all()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE privacy_tombstone SET drop_after = now()")
        running.drop_tombstones()
        cursor.execute(
            "SELECT count(*) FROM segments_membershipchange WHERE profile_id = ANY(%s)", [request.subject_ids]
        )
        assert cursor.fetchone() == (0,)

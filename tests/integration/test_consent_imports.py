"""Files of decisions: read whole, told row by row what is to be mended, and applied in batches that may be killed."""

import csv
import io
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from cdp.audit.models import AuditEntry
from cdp.collecting import files
from cdp.collecting.api_files import CsvParser
from cdp.collecting.foreseeing import preview
from cdp.collecting.models import ConsentImport, ImportRow, ImportState
from cdp.collecting.tasks import apply_import, discard_forgotten
from cdp.erasure import erase_profile
from cdp.errors import Conflict, DomainError, DomainErrors
from cdp.identity.merging import merge_profiles
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import cancel
from cdp.profiles.models import Profile
from consent.evidence import opened
from consent.models import Confirmation, ConsentRecord, Decision, Method, Purpose
from consent.querysets import permitted
from tests.factories import BY, identify, live, members, person, process_all, track, tracker
from tests.integration.callers import Caller, decide, found, key, problem

pytestmark = pytest.mark.django_db

EMAIL = "marketing_email"
HEADING = "namespace,value,purpose,decision,collected_at,jurisdiction,evidence_form,evidence_ip"
DAY_BEFORE = (datetime.now(UTC) - timedelta(days=1)).isoformat()


@pytest.fixture(autouse=True)
def people(db: None) -> None:
    source = tracker()
    source.send(identify("ann", traits={"email": "ann@example.com"}), track("Bought", "bob"))
    process_all()


def row(
    user: str = "user_id,ann", decision: str = "granted", at: str = DAY_BEFORE, purpose: str = EMAIL, **more: str
) -> str:
    form = more.get("form", "paper 118" if decision == "granted" else "")
    return f"{user},{purpose},{decision},{at},{more.get('where', '')},{form},{more.get('ip', '')}"


def uploaded(*rows: str, heading: str = HEADING, creates: bool = False) -> ConsentImport:
    content = io.BytesIO("\n".join([heading, *rows]).encode())
    return files.upload(name="old-crm.csv", content=content, creates_people=creates, by=BY)


def applied(file: ConsentImport) -> ConsentImport:
    files.ask_to_apply(file=file, by=BY, user=None)
    return files.apply(file=file, by=BY, progress=lambda done, total, phase: None)


def allowed() -> set[str]:
    people = permitted(Profile.objects.all(), Purpose.objects.get(key=EMAIL))
    return set(people.filter(identifiers__namespace="user_id").values_list("identifiers__value", flat=True))


def test_what_a_file_comes_to_is_said_before_anything_is_recorded() -> None:
    decide("bob", EMAIL, Decision.WITHDRAWN)
    file = uploaded(
        row(), row("user_id,bob"), row("email,zoe@example.com", "denied"), row("EMAIL,Ann@Example.com", "withdrawn")
    )
    assert file.state == ImportState.READY and not ConsentRecord.objects.filter(method=Method.IMPORT).exists()
    said = preview(file)
    assert (said.granted, said.denied, said.people, said.unknown, said.outdated) == (2, 2, 2, 1, 1)
    done = applied(file)
    assert (done.state, done.recorded, done.repeated, done.unknown) == (ImportState.APPLIED, 3, 0, 1)
    assert not ImportRow.objects.exists(), "personal data goes with what was applied"


@pytest.mark.parametrize("creates", [False, True])
def test_what_is_foretold_is_what_the_job_ends_with(creates: bool) -> None:
    Purpose.objects.filter(key="sms").update(needs_double_opt_in=True)
    source = tracker()
    source.send(identify("cleo"), identify("dora", traits={"email": "dora@example.com"}))
    process_all()
    cleo, dora = person("cleo").uuid, person("dora")
    applied(uploaded(row("user_id,cleo"), row("user_id,dora", "denied", purpose="personalisation")))
    merge_profiles(survivor=dora, absorbed=person("cleo"), reason="one person", by=BY)
    long_ago = (datetime.now(UTC) - timedelta(days=300)).isoformat()
    rows = [
        row("user_id,cleo"), row(f"uuid,{cleo}"), row(f"uuid,{str(cleo).upper()}", "denied"),  # once on record, twice the same
        row("email,dora@example.com", "denied", purpose="personalisation"), row("email,DORA@example.com", at=long_ago),
        row("user_id,ann", purpose="sms"), row("user_id,ann", purpose="sms", at=long_ago), row("email,ann@example.com", purpose="sms"),
        row("user_id,bob", purpose="sms", at=long_ago), row("user_id,bob", "denied", purpose="sms"),
        row("email,zoe@example.com", purpose="sms"), row("email,zoe@example.com", purpose="sms"), row(f"uuid,{uuid4()}", "denied"),
    ]  # fmt: skip
    file = uploaded(*rows, creates=creates)
    said = preview(file)
    done = applied(file)
    assert (said.recorded, said.repeated, said.unreported) == (done.recorded, done.repeated, done.unknown)
    assert said.recorded + said.repeated + said.unreported == len(rows)
    assert said.to_confirm == ConsentRecord.objects.filter(decision=Decision.PENDING).count() == 3 + creates
    can_be_sent = Confirmation.objects.filter(expires_at__gt=datetime.now(UTC)).values("record__profile_id").distinct()
    assert said.letters == can_be_sent.count() == 1 + creates
    again = preview(uploaded(*rows, creates=creates))
    assert (again.recorded, again.letters) == (0, 0), "nothing would be recorded twice"


def test_a_large_file_takes_the_memory_of_some_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "AT_ONCE", 100)
    content = "\n".join([HEADING, *(row(f"user_id,u{n}", "denied", form="x" * 2_000) for n in range(3_000))]).encode()
    tracemalloc.start()
    with CsvParser().parse(io.BytesIO(content)) as parsed:
        file = files.upload(name="large.csv", content=parsed, creates_people=False, by=BY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.rows == 3_000 and peak < len(content) / 2


def test_tabs_and_ids_of_our_own_are_read_as_they_are_written() -> None:
    content = (
        "\n".join([HEADING, row(f"uuid,{person('ann').uuid.hex}"), row("uuid,made-up")]).replace(",", "\t").encode()
    )
    file = files.upload(name="x.tsv", content=io.BytesIO(content), creates_people=False, by=BY)
    assert [error[:3] for error in file.errors] == [[3, "value", "identifier_malformed"]] and file.rows == 2


def test_decisions_hold_with_sealed_evidence_and_segments_follow() -> None:
    segment = live("readers", {"consented": EMAIL})
    applied(uploaded(row(where="de", ip="203.0.113.7")))
    assert allowed() == members(segment) == {"ann"}
    record = ConsentRecord.objects.get()
    assert (record.method, record.jurisdiction, record.evidence["row"]) == (Method.IMPORT, "DE", 2)
    assert "203.0" not in str(record.evidence) and opened([record]) == {
        record.pk: {"form": "paper 118", "ip": "203.0.113.7"}
    }
    assert AuditEntry.objects.get(action="consent_import.applied").detail == {
        "recorded": 1,
        "repeated": 0,
        "unknown": 0,
    }


def test_an_import_never_widens_what_is_known_better() -> None:
    decide("ann", EMAIL, Decision.WITHDRAWN)
    done = applied(uploaded(row()))
    assert done.recorded == 1 and allowed() == set()


def test_the_same_file_twice_records_nothing_twice() -> None:
    rows = [row(), row("user_id,bob", "denied"), row()]
    first, second = applied(uploaded(*rows)), applied(uploaded(*rows))
    assert (first.recorded, first.repeated, second.recorded, second.repeated) == (2, 1, 0, 3)
    assert ConsentRecord.objects.count() == 2


def test_people_who_are_not_known_are_made_when_that_is_asked_for() -> None:
    done = applied(
        uploaded(row("email,zoe@example.com"), row("uuid,0190a7c4-0000-7000-8000-000000000000"), creates=True)
    )
    assert (done.recorded, done.unknown) == (1, 1)
    process_all()
    assert Profile.objects.get(identifiers__value="zoe@example.com").consent_states.get().decision == Decision.GRANTED


def test_every_row_to_mend_is_named_without_what_stands_there() -> None:
    bad = [
        row(form=""), row(purpose="canary"), row(decision="canary"), row(at="2026-11-21"), row(at="2026-11-21T08:00:00"),
        row(at="2999-01-01T00:00:00Z"), row("user_id,null"), row("Can ary,ann"), row(where="canary"), "one,two", row() + "\x00",
    ]  # fmt: skip
    file = uploaded(row(), *bad)
    assert (file.state, file.rows, file.error_count) == (ImportState.REFUSED, 12, 11)
    codes = {(number, code) for number, _, code, _ in file.errors}
    assert codes == {
        (3, "evidence_missing"), (4, "purpose_unknown"), (5, "decision_unknown"), (6, "moment_unclear"), (7, "moment_unclear"),
        (8, "moment_out_of_range"), (9, "identifier_blocked"), (10, "identifier_namespace"), (11, "jurisdiction_unknown"),
        (12, "fields_wrong"), (13, "text_unusable"),
    }  # fmt: skip
    assert "anary" not in str(file.errors) and not ImportRow.objects.exists()
    with pytest.raises(Conflict, match="Mend them"):
        files.ask_to_apply(file=file, by=BY, user=None)


@pytest.mark.parametrize(("content", "code"), [
    (b"", "heading_wrong"), (HEADING.encode(), "file_empty"), (b"\xff\xfe" + HEADING.encode(), "file_not_utf8"),
    (HEADING.encode() + b'\n"', "file_not_csv"), (b"namespace,value", "heading_wrong"),
    (HEADING.encode() + b",evidence_\n", "heading_wrong"), (HEADING.encode() + b",value\n", "heading_wrong"),
    (HEADING.encode() + b",evidense_x\n", "heading_wrong"),
])  # fmt: skip
def test_what_is_no_such_file_is_refused_whole(content: bytes, code: str) -> None:
    with pytest.raises(DomainError) as refused:
        files.upload(name="x.csv", content=io.BytesIO(content), creates_people=False, by=BY)
    assert refused.value.code == code
    assert isinstance(refused.value, DomainErrors) == (code == "heading_wrong")


def test_semicolons_and_a_byte_order_mark_are_read_too() -> None:
    content = b"\xef\xbb\xbf" + "\n".join([HEADING, row()]).replace(",", ";").encode()
    file = files.upload(name="x.csv", content=io.BytesIO(content), creates_people=False, by=BY)
    assert file.state == ImportState.READY


def test_a_job_that_was_killed_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "AT_ONCE", 1)
    file = uploaded(row(), row("user_id,bob"), row("user_id,ann", "withdrawn", purpose="sms"))
    job = files.ask_to_apply(file=file, by=BY, user=None)

    class Killed(Exception):
        pass

    def dies(done: int, total: int, phase: str) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        files.apply(file=file, by=BY, progress=dies)
    assert (ConsentRecord.objects.count(), ImportRow.objects.count()) == (2, 1)
    apply_import.apply(args=[job.pk]).get()
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.SUCCEEDED, {"recorded": 3, "repeated": 0, "unknown": 0})
    apply_import.apply(args=[job.pk]).get()
    assert ConsentRecord.objects.count() == 3
    with pytest.raises(Conflict):
        files.ask_to_apply(file=file, by=BY, user=None)
    with pytest.raises(Conflict):
        files.discard(file=file, by=BY)


def test_a_job_that_was_stopped_can_be_asked_for_again() -> None:
    file = uploaded(row())
    cancel(job=files.ask_to_apply(file=file, by=BY, user=None), by=BY)
    again = files.ask_to_apply(file=file, by=BY, user=None)
    apply_import.apply(args=[again.pk]).get()
    assert allowed() == {"ann"}


def test_of_a_job_that_was_stopped_the_rows_that_are_left_can_be_let_go() -> None:
    file = uploaded(row(), row("user_id,bob"))
    job = files.ask_to_apply(file=file, by=BY, user=None)
    with pytest.raises(Conflict):
        files.discard(file=file, by=BY)
    cancel(job=job, by=BY)
    files.discard(file=file, by=BY)
    file.refresh_from_db()
    assert (file.state, file.recorded) == (ImportState.APPLIED, 0) and not ImportRow.objects.exists()
    assert AuditEntry.objects.get(action="consent_import.discarded").detail["rows"] == 2


def test_a_file_that_nobody_applies_is_not_kept_for_ever() -> None:
    uploaded(row())
    stopped, fresh, done = uploaded(row()), uploaded(row()), applied(uploaded(row()))
    cancel(job=files.ask_to_apply(file=stopped, by=BY, user=None), by=BY)
    long_ago = datetime.now(UTC) - timedelta(days=31)
    ConsentImport.objects.exclude(pk=fresh.pk).update(uploaded_at=long_ago)
    assert discard_forgotten.apply().get() == 2
    assert set(ConsentImport.objects.values_list("pk", flat=True)) == {stopped.pk, fresh.pk, done.pk}
    assert set(ImportRow.objects.values_list("file", flat=True)) == {fresh.pk}, "people's data has gone"


# ---- Doors -------------------------------------------------------------------------------------------------------------


def send(caller: Caller, content: str, **query: str) -> Any:
    from urllib.parse import urlencode

    address = f"/api/v1/consents/imports/?{urlencode(query)}"
    return caller.client.post(address, content.encode(), content_type="text/csv", headers=caller.headers)


def test_a_system_uploads_looks_applies_and_follows() -> None:
    caller = key()
    response = send(caller, "\n".join([HEADING, row(), row("email,zoe@example.com", "denied")]), name="crm.csv")
    body = found(response, 201)
    assert (body["state"], body["preview"]["granted"], body["preview"]["unknown"]) == ("ready", 1, 1)
    assert found(caller.get(response["Location"])) == body
    started = caller.post(f"consents/imports/{body['uuid']}/apply/")
    assert started.status_code == 202
    apply_import.apply(args=[Job.objects.get().pk]).get()
    assert found(caller.get(started["Location"]))["result"] == {"recorded": 1, "repeated": 0, "unknown": 1}
    assert found(caller.get("consents/imports/"))["results"][0]["state"] == "applied"
    assert problem(caller.post(f"consents/imports/{body['uuid']}/apply/"), 409)["code"] == "import_applied"
    bad = found(send(caller, "\n".join([HEADING, row(form="")])), 201)
    assert bad["state"] == "refused" and bad["errors"][0]["row"] == 2 and bad["preview"] is None
    assert problem(send(caller, "nothing"), 400)["code"] == "heading_wrong"
    assert problem(caller.post("consents/imports/", {}), 415)


def staff(role: str) -> Client:
    user = User.objects.create_user(role, password="not used", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def test_an_officer_uploads_a_file_and_records_it() -> None:
    officer = staff("compliance")
    page = officer.get("/admin/collecting/consentimport/")
    assert "No imports yet" in page.content.decode()
    content = "\n".join([HEADING, row(), row("user_id,bob", "denied")]).encode()
    response = officer.post("/admin/collecting/consentimport/new/", {"file": SimpleUploadedFile("crm.csv", content)})
    file = ConsentImport.objects.get()
    assert response.status_code == 302 and str(file.uuid) in response["Location"]
    shown = officer.get(response["Location"]).content.decode()
    assert "What it comes to" in shown and "Record these decisions" in shown and "ann" not in shown.split("<main")[-1]
    officer.post(f"/admin/collecting/consentimport/{file.uuid}/apply/")
    apply_import.apply(args=[Job.objects.get().pk]).get()
    assert "2 of 2 rows" in officer.get(response["Location"]).content.decode()
    assert "crm.csv" in officer.get("/admin/collecting/consentimport/").content.decode()


def test_what_is_to_be_mended_can_be_taken_away_as_a_file() -> None:
    officer = staff("compliance")
    content = "\n".join([HEADING, row(form=""), row("user_id,null")]).encode()
    response = officer.post("/admin/collecting/consentimport/new/", {"file": SimpleUploadedFile("crm.csv", content)})
    shown = officer.get(response["Location"]).content.decode()
    assert "2 things to mend in 2 rows" in shown
    taken = officer.get(response["Location"] + "errors.csv").content.decode()
    assert [line[:3] for line in csv.reader(io.StringIO(taken))][1:] == [
        ["2", "evidence_", "evidence_missing"], ["3", "value", "identifier_blocked"],
    ]  # fmt: skip
    wrong = officer.post("/admin/collecting/consentimport/new/", {"file": SimpleUploadedFile("x.csv", b"no,such")})
    assert wrong.status_code == 422 and "The file needs this column." in wrong.content.decode()
    file = ConsentImport.objects.get()
    assert officer.post(f"/admin/collecting/consentimport/{file.uuid}/discard/").status_code == 302
    assert not ConsentImport.objects.exists()


def test_only_who_may_report_decisions_imports_them() -> None:
    marketer, file = staff("marketer"), uploaded(row())
    for path in ("", "new/", f"{file.uuid}/", f"{file.uuid}/errors.csv"):
        assert marketer.get(f"/admin/collecting/consentimport/{path}").status_code == 403
    assert marketer.post(f"/admin/collecting/consentimport/{file.uuid}/apply/").status_code == 403
    assert person("ann") and allowed() == set()


def test_a_file_brings_nobody_back_who_was_erased(people: None) -> None:
    """Neither by what they were known by, nor by the id of ours that another system kept."""
    ann = person("ann")
    rows = (row("user_id,ann"), row("email,ann@example.com"), row(f"uuid,{ann.uuid}"), row("user_id,new"))
    erase_profile(profile=ann, by=BY, reason="PR-1")
    file = applied(uploaded(*rows, creates=True))
    assert (file.recorded, file.unknown) == (1, 3)
    assert not Profile.objects.filter(identifiers__value__in=["ann", "ann@example.com"]).exists()
    assert person("new").pk and ImportRow.objects.count() == 0

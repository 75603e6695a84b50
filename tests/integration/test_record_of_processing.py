"""The record of processing: read from what is set up, missing where nobody entered it, kept as it was when published."""

import csv
import hashlib
import io
import json
import re

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from cdp.accountability import record
from cdp.accountability.models import Kind, PublishedRecord
from cdp.accountability.rules import CONFIRMATION, set_lifetime, set_rule
from cdp.audit.models import AuditEntry
from cdp.errors import Conflict
from cdp.profiles.models import EventName
from consent.models import Purpose
from tests.factories import BY, identify, process_all, track, tracker
from tests.integration.callers import key
from tests.integration.test_audit_screen import staff

pytestmark = pytest.mark.django_db
HOME = "/admin/accountability/publishedrecord/"


@pytest.fixture
def shop(db: None) -> None:
    tracker().send(
        track("Bought", "ann"), identify("ann", traits={"email": "ann@b.ch", "city": "Bern", "plan": "gold"})
    )
    process_all()


def activity(key: str) -> record.Content:
    [found] = [one for one in record.compose()["activities"] if one["key"] == key]
    return found


def pointers() -> set[str]:
    return {one.pointer for one in record.missing(record.compose())}


def test_what_nobody_entered_is_missing_and_what_is_set_up_is_read(shop: None) -> None:
    content = record.compose()
    assert len(content["activities"]) == Purpose.objects.count()
    assert {"/controller/name", "/measures/entered", "/data/events", "/activities/0/recipients"} <= pointers()
    assert [one["category"] for one in content["data"]["traits"]] == ["Demographic", "Behavioural"]
    [demographic, _] = content["data"]["traits"]
    assert {one["key"]: one["personal"] for one in demographic["traits"]} == {"email": True, "city": False}
    assert {"Bought", "Identified"} <= {one["name"] for one in content["data"]["events"]}
    assert {one["days"] for one in content["data"]["events"]} == {None}
    assert "Revenue Booked" in content["data"]["derived"] and "user_id" in content["data"]["identifiers"]


def test_entries_periods_and_keys_come_into_it(shop: None) -> None:
    mail = Purpose.objects.get(key="marketing_email")
    caller = key()
    before = activity("marketing_email")["changed_at"]
    set_lifetime(purpose=mail, days=400, by=BY)
    bought = EventName.objects.get(name="Bought")
    set_rule(
        kind=Kind.EVENTS,
        event_name=bought,
        days=None,
        purposes=[mail],
        reason="bookkeeping",
        by=BY,
        confirmation=CONFIRMATION,
    )
    record.save_entry(
        purpose=mail, values={"recipients": "Mail Ltd.", "transfers": "None.", "safeguards": "", "subjects": ""}, by=BY
    )
    record.save_controller(values={"name": "Paper Boat Goods", "subjects": "Customers"}, by=BY)
    found = activity("marketing_email")
    assert found["kept_for_it"] == ["Events: Bought"] and found["retention_days"] == 400
    assert (found["recipients"], found["subjects"]) == ("Mail Ltd.", "Customers")
    assert caller.key is not None
    assert [one["name"] for one in found["systems_that_may_read"]] == [caller.key.name]
    assert found["changed_at"] >= before
    number = [one["key"] for one in record.compose()["activities"]].index("marketing_email")
    assert not [one for one in pointers() if one.startswith(f"/activities/{number}/")], (
        "it transfers nothing, so needs no safeguards"
    )
    assert "/controller/name" not in pointers() and "/controller/address" in pointers()
    [entry] = AuditEntry.objects.filter(action="controller.changed")
    assert entry.detail == {"fields": ["name", "subjects"]}
    [entry] = AuditEntry.objects.filter(action="purpose.record_changed")
    assert entry.detail["after"]["recipients"] == "Mail Ltd."


def test_a_transfer_without_safeguards_is_missing_them(shop: None) -> None:
    mail = Purpose.objects.get(key="marketing_email")
    record.save_entry(purpose=mail, values={"transfers": "United States"}, by=BY)
    number = [one["key"] for one in record.compose()["activities"]].index("marketing_email")
    assert f"/activities/{number}/safeguards" in pointers()


def test_a_published_version_stays_as_it_was(shop: None) -> None:
    first = record.publish(by=BY)
    with pytest.raises(Conflict, match="Nothing has changed since version 1"):
        record.publish(by=BY)
    record.save_controller(values={"name": "Paper Boat Goods"}, by=BY)
    second = record.publish(by=BY)
    assert (first.number, second.number) == (1, 2) and second.missing == first.missing - 1
    assert record.content_of(first)["controller"]["name"] == ""
    assert record.content_of(second)["controller"]["name"] == "Paper Boat Goods"
    assert hashlib.sha256(bytes(first.content)).hexdigest() == first.sha256
    entry = AuditEntry.objects.filter(action="record_of_processing.published").order_by("recorded_at")[1]
    assert entry.detail["sha256"] == second.sha256
    for statement in (
        "UPDATE accountability_publishedrecord SET number = 9",
        "DELETE FROM accountability_publishedrecord",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    first.content = b"{}"
    with pytest.raises(Conflict, match="its hash differs"):
        record.content_of(first)


def test_measures_are_facts_of_this_installation(shop: None, settings: object) -> None:
    def in_place() -> dict[str, bool]:
        return {one["measure"]: one["in_place"] for one in record.compose()["measures"]["by_the_platform"]}

    settings.BEHIND_TLS, settings.ONE_LOGIN_FOR_BOTH_ROLES = False, True  # type: ignore[attr-defined]
    before = in_place()
    settings.BEHIND_TLS, settings.ONE_LOGIN_FOR_BOTH_ROLES = True, False  # type: ignore[attr-defined]
    assert {text for text, holds in in_place().items() if holds != before[text]} == {
        "Connections are encrypted (TLS), and cookies sent over nothing else",
        "Another log-in than the platform's owns the database",
    }
    assert before["The audit log is sealed in a signed tree of hashes"] is False


def test_more_purposes_and_names_need_no_more_queries(shop: None) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            record.compose()
        return len(queries)

    before = asked()
    for number in range(5):
        Purpose.objects.create(
            key=f"more{number}", label=f"More {number}", text="-", lawful_basis="contract", mode="opt_out"
        )
        name = EventName.objects.create(name=f"More {number}", label="-")
        set_rule(kind=Kind.EVENTS, event_name=name, days=9, by=BY, confirmation=CONFIRMATION)
    assert asked() <= before + 1  # the names of rules


# ---- The doors -----------------------------------------------------------------------------------------------------


def test_the_screens_are_for_compliance_and_admins(shop: None) -> None:
    version = record.publish(by=BY)
    for role, status in (("marketer", 403), ("integrator", 403), ("compliance", 200), ("admin", 200)):
        client = staff(role)
        for where in (
            "",
            "controller/",
            f"{version.number}/",
            "now/json/",
            "now/csv/",
            "now/print/",
            f"{version.number}/csv/",
        ):
            assert client.get(HOME + where).status_code == status, (role, where)
        assert client.post(f"{HOME}publish/").status_code == (302 if status == 200 else 403)


def test_it_is_taken_away_as_json_csv_and_a_page_to_print(shop: None) -> None:
    version = record.publish(by=BY)
    officer = staff("compliance")
    taken = officer.get(f"{HOME}{version.number}/json/").content
    assert hashlib.sha256(taken).hexdigest() == version.sha256, "the very bytes that were hashed"
    rows = list(csv.DictReader(io.StringIO(officer.get(f"{HOME}now/csv/").content.decode())))
    said = {row["pointer"]: row["value"] for row in rows}
    assert said["/controller/name"] == "missing" and said["/format"] == "record-of-processing/1"
    assert {row["section"] for row in rows} == {
        "format",
        "organisation",
        "controller",
        "activities",
        "data",
        "sources",
        "kept",
        "measures",
    }
    page = officer.get(f"{HOME}{version.number}/print/").content.decode()
    assert version.sha256 in page and "<script" not in page
    assert officer.get(f"{HOME}now/pdf/").status_code == 404
    assert AuditEntry.objects.filter(action="record_of_processing.exported").count() == 3


def test_what_is_entered_shows_and_what_is_missing_is_said(shop: None) -> None:
    officer = staff("compliance")
    page = officer.get(HOME).content.decode()
    told = int(re.findall(r'Missing</h2><span class="n">(\d+)</span>', page)[0])
    assert told == len(pointers())
    purpose = Purpose.objects.get(key="marketing_email")
    sent = {"recipients": "Mail Ltd.", "transfers": "none"}
    assert officer.post(f"{HOME}purpose/{purpose.pk}/", sent).status_code == 302
    assert officer.post(f"{HOME}controller/", {"name": "Paper Boat Goods"}).status_code == 302
    page = officer.get(HOME).content.decode()
    assert "Mail Ltd." in page and "Paper Boat Goods" in page
    assert officer.post(f"{HOME}controller/", {"name": "x" * 201}).status_code == 422
    assert json.loads(bytes(record.publish(by=BY).content))["controller"]["name"] == "Paper Boat Goods"
    assert PublishedRecord.objects.count() == 1

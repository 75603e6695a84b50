"""What compliance staff see of the audit log's seal, and what they take away to verify."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client

from cdp.audit.actors import SYSTEM, Actor, ActorKind
from cdp.audit.context import request_id_var
from cdp.audit.models import AuditEntry, Leaf
from cdp.audit.reading import actions, actors, object_types
from cdp.audit.sequencing import sequence
from cdp.audit.services import Act, record_all
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.audit.verify import open_note, read_export, verify
from cdp.sequencer import Sequencer
from tests.integration.test_audit_sequencer import act

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditentry/"


@pytest.fixture
def signer(tmp_path: Path, settings: Any) -> Signer:
    settings.AUDIT_ANCHOR_DIR = str(tmp_path / "anchors")
    make_key(tmp_path / "key.pem")
    return load_signer(tmp_path / "key.pem", name="test.example/audit")


def staff(role: str) -> Client:
    user = User.objects.create_user(role, password="not used", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def test_the_list_says_how_far_the_log_is_sealed(signer: Signer) -> None:
    officer = staff("compliance")
    page = officer.get(LIST).content.decode()
    assert "nothing is signed yet" in page and "not yet" in page
    act()
    Sequencer(signer).once()
    size = Leaf.objects.count()
    page = officer.get(LIST).content.decode()
    assert f"<dt>Entries in the tree</dt><dd>{size}</dd>" in page
    assert f"{size} entries" in page and "nothing is signed yet" not in page


def test_an_entry_shows_its_place_once_it_has_one(signer: Signer) -> None:
    officer = staff("compliance")
    act()
    entry = AuditEntry.objects.get(action="thing.made")
    assert "waits for its place" in officer.get(f"{LIST}{entry.pk}/change/").content.decode()
    sequence(signer)
    assert "leads to the root" in officer.get(f"{LIST}{entry.pk}/change/").content.decode()


def test_what_is_taken_away_verifies_elsewhere(signer: Signer, tmp_path: Path) -> None:
    officer = staff("compliance")
    assert officer.get(f"{LIST}checkpoint/").status_code == 404
    act()
    sequence(signer)
    saved = officer.get(f"{LIST}checkpoint/")
    note = saved.content.decode()
    assert (
        saved["Content-Disposition"] == f'attachment; filename="audit-{open_note(note, [signer.key]).size}.checkpoint"'
    )
    export = officer.get(f"{LIST}export/")
    (tmp_path / "log.jsonl").write_bytes(b"".join(export.streaming_content))  # type: ignore[attr-defined]
    report = verify(read_export(tmp_path / "log.jsonl"), keys=[signer.key], saved=[note])
    assert (report.findings, report.saved) == ([], 1)
    taken = list(AuditEntry.objects.filter(action__startswith="audit.").values_list("action", flat=True))
    assert {"audit.exported", "audit.checkpoint_saved"} <= set(taken)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert note in first["notes"]


def test_only_who_may_read_the_log_takes_it_away(signer: Signer) -> None:
    for role in ("marketer", "integrator"):
        client = staff(role)
        for door in ("export", "checkpoint"):
            assert client.get(f"{LIST}{door}/").status_code == 403
    assert Client().get(f"{LIST}export/").status_code == 302


# ---- Looking things up ---------------------------------------------------------------------------------------------


def acts(*codes: str, by: Actor = SYSTEM, **more: Any) -> None:
    with transaction.atomic():
        record_all(by=by, acts=[Act(code, more.get("object_type", ""), more.get("object_id", "")) for code in codes])


def shown(client: Client, query: str) -> list[str]:
    return [entry.action for entry in client.get(LIST + query).context["rows"]]


def test_entries_are_found_by_what_was_done_to_what_by_whom_and_when(db: None) -> None:
    officer = staff("compliance")
    claire = Actor(kind=ActorKind.USER, id="77", label="claire")
    acts("thing.made", object_type="app.thing", object_id="t1")
    acts("thing.changed", "thing.changed", by=claire, object_type="app.thing", object_id="t1")
    acts("other.made", object_type="app.other", object_id="t1")
    assert shown(officer, "?action=thing.made") == ["thing.made"]
    assert shown(officer, "?who=user:77") == ["thing.changed"] * 2
    assert sorted(shown(officer, "?object_id=t1")) == ["other.made", "thing.changed", "thing.changed", "thing.made"]
    assert shown(officer, "?object_type=app.other&object_id=t1") == ["other.made"]
    assert shown(officer, "?object_id=t1&until=2001-01-01T00:00") == []
    assert len(shown(officer, "?object_id=t1&since=2001-01-01T00:00")) == 4
    page = officer.get(LIST + "?object_id=t1&since=yesterday").content.decode()
    assert "Enter a valid date/time" in page


def test_what_was_looked_for_is_not_kept_but_that_it_was(db: None) -> None:
    officer = staff("compliance")
    shown(officer, "?object_id=secret-id&action=")
    detail = AuditEntry.objects.get(action="audit.listed").detail
    assert detail == {"count": 0, "filters": ["object_id"]}


def test_what_the_filters_find_is_taken_away_as_csv_and_that_is_on_record(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cdp.console import audit

    monkeypatch.setattr(audit, "AT_ONCE", 2)  # more pages than one
    officer = staff("compliance")
    acts("thing.made", "thing.changed", "thing.changed", object_type="app.thing", object_id="=t1")
    acts("other.made", object_type="app.other", object_id="o1")
    taken = officer.get(f"{LIST}csv/", {"object_id": "=t1"})
    rows = list(csv.DictReader(io.StringIO(b"".join(taken.streaming_content).decode())))  # type: ignore[attr-defined]
    assert sorted(row["action"] for row in rows) == ["thing.changed", "thing.changed", "thing.made"]
    assert {row["object_id"] for row in rows} == {"'=t1"}, "no cell runs as a formula"
    entry = AuditEntry.objects.get(action="audit.exported")
    assert entry.detail == {"form": "csv", "filters": ["object_id"]}
    refused = officer.get(f"{LIST}csv/", {"since": "yesterday"})
    assert refused.status_code == 302, "what can't be understood isn't taken for everything"
    assert staff("marketer").get(f"{LIST}csv/").status_code == 403


def test_pages_follow_each_other_without_gap_or_repetition(db: None) -> None:
    officer = staff("compliance")
    with transaction.atomic():  # all at one moment: then the id decides
        record_all(by=SYSTEM, acts=[Act(f"thing.{number:03}", "app.thing", "t1") for number in range(120)])
    seen: list[str] = []
    after = ""
    for _ in range(9):
        response = officer.get(LIST, {"object_id": "t1", "after": after} if after else {"object_id": "t1"})
        seen += [entry.action for entry in response.context["rows"]]
        if response.context["next"] is None:
            break
        after = str(response.context["next"])
    assert sorted(seen) == sorted({f"thing.{number:03}" for number in range(120)})
    for wrong in ("x", "2026-01-01~x", "2026-01-01T00:00:00~0e8a3b9e-0000-4000-8000-000000000000"):
        assert officer.get(LIST, {"after": wrong}).status_code == 404


def test_an_entry_leads_to_the_life_of_its_object_and_to_the_rest_of_its_request(db: None) -> None:
    officer = staff("compliance")
    token = request_id_var.set("req-1")
    try:
        acts("thing.made", object_type="app.thing", object_id="t1")
        acts("other.made", object_type="app.other", object_id="o1")
    finally:
        request_id_var.reset(token)
    acts("thing.changed", object_type="app.thing", object_id="t1")
    entry = AuditEntry.objects.get(action="thing.made")
    context = officer.get(f"{LIST}{entry.pk}/change/").context
    assert [one.action for one in context["life"]] == ["thing.changed", "thing.made"]
    assert [one.action for one in context["request_entries"]] == ["other.made"]
    assert officer.get(f"{LIST}nonsense/change/").status_code == 404


def test_choices_are_found_by_hopping_through_indexes(db: None) -> None:
    acts("a.b", "c.d", "a.b", object_type="app.thing", object_id="t1")
    acts("a.b", by=Actor(kind=ActorKind.USER, id="7", label="Zoe"))
    acts("a.b", by=Actor(kind=ActorKind.USER, id="7", label="Zoë"))
    assert {"a.b", "c.d"} <= set(actions()) and len(actions()) == len(set(actions()))
    assert "app.thing" in object_types()
    assert ("user", "7", "Zoë") in actors() and len(actors()) == len({one[:2] for one in actors()})

"""What compliance staff see of the audit log's seal, and what they take away to verify."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from cdp.audit.models import AuditEntry, Leaf
from cdp.audit.sequencing import sequence
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

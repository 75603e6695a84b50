"""Verifying the audit log from inside, at night and when asked: it says what it walked, and names what is wrong."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connections
from django.test import Client
from django.utils import timezone

from cdp.audit.actors import SYSTEM
from cdp.audit.sequencing import sequence
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.jobs.models import Job, JobState
from cdp.tasks import verify as verify_task
from cdp.verification import request_due, request_verification, verified
from tests.conftest import OwnDatabase
from tests.integration.test_audit_screen import LIST, staff
from tests.integration.test_audit_sequencer import act


def key_in(tmp_path: Path, settings: Any) -> Signer:
    settings.AUDIT_KEY, settings.AUDIT_ORIGIN = str(tmp_path / "key.pem"), "test.example/audit"
    make_key(tmp_path / "key.pem")
    return load_signer(tmp_path / "key.pem", name="test.example/audit")


def test_a_verification_says_what_it_walked_and_what_is_wrong(
    own_database: OwnDatabase, tmp_path: Path, settings: Any
) -> None:
    signer = key_in(tmp_path, settings)
    act()
    act()
    sequence(signer)
    job = request_verification(by=SYSTEM)
    assert request_verification(by=SYSTEM) == job, "one at a time"
    assert verified().running == job and not verified().is_good
    verify_task.apply(args=[job.pk])
    told = verified()
    assert told.is_good and told.entries >= 2 and told.checkpoints >= 1
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_auditentry SET action = 'thing.never' WHERE action = 'thing.made'")
        cursor.execute("ALTER TABLE audit_auditentry ENABLE TRIGGER USER")
    verify_task.apply(args=[request_verification(by=SYSTEM).pk])
    told = verified()
    assert not told.is_good and {one["code"] for one in told.findings} == {"column_changed"}
    assert "audit_changed" in {alarm["code"] for alarm in Client().get("/readyz").json()["alarms"]}
    page = staff("compliance").get(LIST).content.decode()
    assert "not as it was written" in page and "column_changed" in page


def test_without_a_key_a_verification_says_so(db: None, settings: Any) -> None:
    settings.AUDIT_KEY = ""
    assert request_due() is False
    verify_task.apply(args=[request_verification(by=SYSTEM).pk])
    assert "can't be verified here" in verified().error


def test_a_verification_is_due_once_a_day(db: None, tmp_path: Path, settings: Any) -> None:
    key_in(tmp_path, settings)
    assert request_due() is True
    assert request_due() is False
    Job.objects.update(created_at=timezone.now() - timedelta(days=1, hours=1), state=JobState.SUCCEEDED)
    assert request_due() is True

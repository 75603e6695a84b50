"""The sequencer's life: it anchors, it goes over to another key, and whoever is killed, nothing is lost or doubled."""

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from cdp import embedded
from cdp.audit import SYSTEM
from cdp.audit.anchors import anchor_due, check_against_files
from cdp.audit.models import Anchor, AuditEntry, Checkpoint, Head
from cdp.audit.sequencing import LogBroken, sequence
from cdp.audit.services import record
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.audit.verify import Key, open_note, read_database, verify
from cdp.databases import Urls, ensure_database
from cdp.embedded.place import Place
from cdp.embedded.postgres import PostgresServer
from cdp.sequencer import Sequencer
from tests.harness.processes import Processes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def signer(tmp_path: Path, settings: Any) -> Signer:
    settings.AUDIT_KEY, settings.AUDIT_ORIGIN = str(tmp_path / "key.pem"), "test.example/audit"
    settings.AUDIT_ANCHOR_DIR = str(tmp_path / "anchors")
    make_key(tmp_path / "key.pem")
    return load_signer(tmp_path / "key.pem", name="test.example/audit")


def act() -> None:
    with transaction.atomic():
        record(by=SYSTEM, action="thing.made")


def anchored(tmp_path: Path) -> list[str]:
    return [path.read_text() for path in sorted((tmp_path / "anchors").glob("*"))]


# ---- Anchors -------------------------------------------------------------------------------------------------------


def test_the_newest_checkpoint_is_anchored_when_it_is_due_and_new(db: None, signer: Signer, tmp_path: Path) -> None:
    act()
    assert Sequencer(signer).once() > 0
    first = Head.objects.get().note
    assert anchored(tmp_path) == [first]
    act()
    sequence(signer)
    assert anchor_due(signer.key) == 0, "too soon"
    later = timezone.now() + timedelta(seconds=300)
    assert anchor_due(signer.key, now=later) == 1
    assert anchored(tmp_path) == [first, Head.objects.get().note]
    assert anchor_due(signer.key, now=later + timedelta(hours=1)) == 0, "there is nothing new"
    # What was anchored is kept, so that the log itself can be compared with it.
    kept = set(Checkpoint.objects.values_list("note", flat=True))
    assert set(anchored(tmp_path)) <= kept


def test_checkpoints_are_mailed(db: None, signer: Signer, settings: Any) -> None:
    settings.AUDIT_ANCHOR_DIR, settings.AUDIT_ANCHOR_EMAILS = "", ["auditor@example.com", "other@example.com"]
    act()
    assert Sequencer(signer).once() > 0
    (sent,) = mail.outbox
    assert sent.to == ["auditor@example.com", "other@example.com"]
    note = sent.body[sent.body.index("\n\n") + 2 :]
    assert open_note(note, [signer.key]).size == Head.objects.get().size


def test_an_anchor_that_cannot_be_set_is_on_record_and_raises_an_alarm(
    db: None, signer: Signer, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "in the way").write_text("")
    settings.AUDIT_ANCHOR_DIR = str(tmp_path / "in the way")
    act()
    sequence(signer)
    assert anchor_due(signer.key) == 0
    assert Anchor.objects.get().error.startswith("FileExistsError") or Anchor.objects.get().error.startswith(
        "NotADirectory"
    )
    alarms = Client().get("/readyz").json()["alarms"]
    assert "audit_not_anchored" in {alarm["code"] for alarm in alarms}
    settings.AUDIT_ANCHOR_DIR = str(tmp_path / "anchors")
    assert anchor_due(signer.key, now=timezone.now() + timedelta(minutes=10)) == 1
    assert "audit_not_anchored" not in {alarm["code"] for alarm in Client().get("/readyz").json()["alarms"]}


def test_another_checkpoint_of_the_same_size_is_never_written_over(db: None, signer: Signer, tmp_path: Path) -> None:
    act()
    sequence(signer)
    size = Head.objects.get().size
    (tmp_path / "anchors").mkdir()
    path = tmp_path / "anchors" / f"{size:015d}.checkpoint"
    other = signer.checkpoint(size=size, root=bytes(32))
    path.write_text(other)
    assert anchor_due(signer.key) == 0
    assert "another checkpoint" in Anchor.objects.get().error
    assert path.read_text() == other
    with pytest.raises(LogBroken, match="aren't those that were anchored"):
        check_against_files([signer.key])


def test_a_sequencer_that_starts_finds_out_that_the_log_was_set_back(db: None, signer: Signer, tmp_path: Path) -> None:
    act()
    Sequencer(signer).once()
    assert check_against_files([signer.key]) == Head.objects.get().size
    ahead = signer.checkpoint(size=10**6, root=bytes(32))
    (tmp_path / "anchors" / f"{10**6:015d}.checkpoint").write_text(ahead)
    act()
    with pytest.raises(LogBroken, match="an old copy was restored"):
        Sequencer(signer).once()
    (tmp_path / "anchors" / f"{10**7:015d}.checkpoint").write_text("no note")
    with pytest.raises(LogBroken, match="can't be used"):
        Sequencer(signer).once()


def test_entries_that_wait_for_long_raise_an_alarm(db: None, signer: Signer) -> None:
    sequence(signer)
    act()
    body = Client().get("/readyz").json()
    assert 0 <= body["audit_lag_seconds"] < 60
    assert "audit_lags" not in {alarm["code"] for alarm in body["alarms"]}
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_pending")
        cursor.execute(
            "INSERT INTO audit_pending (entry_id, queued_at) SELECT id, now() - interval '2 minutes' FROM audit_auditentry LIMIT 1"
        )
    assert "audit_lags" in {alarm["code"] for alarm in Client().get("/readyz").json()["alarms"]}


# ---- Keys ----------------------------------------------------------------------------------------------------------


def test_the_old_key_vouches_for_the_new_one(
    own_database: Any, signer: Signer, settings: Any, tmp_path: Path, capsys: Any
) -> None:
    act()
    Sequencer(signer).once()
    call_command("audit_key", "--new", str(tmp_path / "next.pem"))
    told = Key.read(capsys.readouterr().out)
    call_command("audit_key", "--rotate", str(tmp_path / "next.pem"))
    assert str(told) in capsys.readouterr().out
    changed = AuditEntry.objects.get(action="audit.key_changed")
    assert changed.detail == {"from": str(signer.key), "to": str(told)}

    settings.AUDIT_KEY = str(tmp_path / "next.pem")
    act()
    call_command("sequence_audit", "--once")
    with psycopg.connect(own_database.environ["DATABASE_OWNER_URL"]) as reader:
        assert verify(read_database(reader), keys=[signer.key, told]).is_good
        reader.rollback()
        # The old key signed the entry that names the new one.
        olds = Checkpoint.objects.filter(key_id=signer.key.id.hex()).values_list("note", flat=True)
        signed = [open_note(note, [signer.key]).size for note in olds]
        place = reader.execute('SELECT "index" FROM audit_leaf WHERE entry_id = %s', [changed.pk]).fetchone()
        assert place is not None and place[0] < max(signed)
        reader.rollback()
        only_new = verify(read_database(reader), keys=[told])
        assert {finding.code for finding in only_new.findings} == {"bad_checkpoint"}
    assert sequence(load_signer(tmp_path / "next.pem", name=signer.name)) == 0
    act()
    with pytest.raises(LogBroken):
        sequence(signer)


def test_commands_say_what_is_missing(db: None, settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_KEY = str(tmp_path / "none.pem")
    for command in (["sequence_audit", "--once"], ["audit_key"], ["audit_key", "--rotate", str(tmp_path / "x")]):
        with pytest.raises(CommandError, match="CDP_AUDIT_KEY"):
            call_command(*command)
    call_command("audit_key", "--if-missing")
    call_command("audit_key", "--if-missing")
    with pytest.raises(CommandError, match="never written over"):
        call_command("audit_key", "--new", settings.AUDIT_KEY)
    with pytest.raises(CommandError, match="ends in"):
        call_command("export_audit", str(tmp_path / "log.csv"), by="ann")


# ---- Whoever is killed ---------------------------------------------------------------------------------------------


def until(what: str, true: Callable[[], bool], *, seconds: float = 60) -> None:
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience, f"waited {seconds} seconds until {what}"
        time.sleep(0.05)


@pytest.mark.drill
def test_sequencers_are_killed_and_servers_stopped_and_the_log_is_whole(
    tmp_path: Path, drill_scale: Callable[..., int]
) -> None:
    """Sixteen writers go on meanwhile. What they were told is committed is in the tree, once, and all checkpoints agree."""
    kills, stops = drill_scale(full=10, quick=1), drill_scale(full=2, quick=1)
    make_key(tmp_path / "key.pem")
    signer = load_signer(tmp_path / "key.pem", name="test.example/audit")
    with embedded.postgres(tmp_path / "server", profile="demo", database="cdp") as (app, owner, admin):
        server = PostgresServer(Place.of(tmp_path / "server"), "demo")
        urls = Urls(database_url=app, database_owner_url=owner, database_admin_url=admin, redis_url="")
        ensure_database(urls)
        environ = {**urls.environ(), "CDP_SECRET_KEY": "x" * 50, "DJANGO_SETTINGS_MODULE": "cdp.settings",
                   "CDP_AUDIT_KEY": str(tmp_path / "key.pem"), "CDP_AUDIT_ORIGIN": signer.name,
                   "CDP_AUDIT_ANCHORS": str(tmp_path / "anchors"), "CDP_AUDIT_ANCHOR_SECONDS": "1"}  # fmt: skip
        processes = Processes(environ, tmp_path)
        try:
            assert processes.manage("migrate", "--database", "owner").wait(300) == 0
            writers = [
                processes.start(
                    "writers", [sys.executable, "-m", "tests.integration.audit_writers", str(tmp_path / f"w{n}"), "4"]
                )
                for n in range(4)
            ]

            def size() -> int:
                try:
                    with psycopg.connect(owner, connect_timeout=2) as reader:
                        row = reader.execute("SELECT size FROM audit_head").fetchone()
                        return int(row[0]) if row else 0
                except psycopg.OperationalError:
                    return -1

            events = ["kill"] * kills + ["stop"] * stops
            random.Random(16).shuffle(events)
            for number, event in enumerate(events):
                before = max(size(), 0)
                sequencer = processes.manage("sequence_audit")
                until("entries are sequenced", lambda before=before: size() > before)
                time.sleep(0.1 + 0.13 * number % 0.7)
                if event == "kill":
                    os.killpg(sequencer.pid, signal.SIGKILL)
                    sequencer.wait(10)
                    continue
                lock = server.data / "postmaster.pid"
                os.kill(int(lock.read_text().split()[0]), signal.SIGQUIT)  # immediate: no checkpoint, no goodbye
                until("the server is gone", lambda lock=lock: not lock.exists())
                server.ensure_running()
                until("it goes on by itself", lambda before=before: size() > before, seconds=90)
                os.killpg(sequencer.pid, signal.SIGTERM)
                assert sequencer.wait(30) == 0
            for writer in writers:
                writer.terminate()
            for writer in writers:
                assert writer.wait(60) == 0
            assert processes.manage("sequence_audit", "--once").wait(120) == 0
            with psycopg.connect(owner) as reader:
                report = verify(read_database(reader), keys=[signer.key], saved=anchored(tmp_path))
                assert (report.findings, report.waiting) == ([], 0)
                assert report.saved >= 1
                rows = reader.execute(
                    "SELECT e.object_id, count(*) FROM audit_leaf l JOIN audit_auditentry e ON e.id = l.entry_id"
                    " WHERE e.action = 'thing.made' GROUP BY 1"
                ).fetchall()
        finally:
            processes.end_all()
    placed = dict(rows)
    noted: Counter[str] = Counter()
    for path in tmp_path.glob("w?.?"):
        for line in path.read_text().splitlines():
            mark, count = line.split()
            noted[mark] = int(count)
    assert len(noted) > 100
    assert {mark: placed.get(mark) for mark in noted} == dict(noted), "acknowledged, but not in the tree as often"
    # A commit whose answer was lost may be there without having been noted; nothing else may.
    assert len(placed.keys() - noted.keys()) <= 16 * stops

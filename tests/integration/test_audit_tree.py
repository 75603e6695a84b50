"""The audit log's tree: every entry gets its place, and whoever changes anything is found out by the stand-alone verifier."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import rfc8785
from django.db import DatabaseError, connections, transaction

from cdp.audit import SYSTEM
from cdp.audit.exporting import lines
from cdp.audit.models import AuditEntry, Checkpoint, Head, Leaf, Pending
from cdp.audit.sequencing import LogBroken, sequence, stored_hashes
from cdp.audit.services import Act, record, record_all
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.audit.standing import sealing
from cdp.audit.tree import inclusion_proof, root_of
from cdp.audit.verify import COLUMNS, Frontier, Report, leaf_hash, open_note, read_database, root_of_inclusion, verify


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    make_key(tmp_path / "key.pem")
    return load_signer(tmp_path / "key.pem", name="test.example/audit")


def acts(count: int, *, of: str = "made") -> None:
    with transaction.atomic():
        record_all(
            by=SYSTEM,
            acts=[Act(f"thing.{of}", "things.thing", str(number), detail={"n": number}) for number in range(count)],
        )


@pytest.fixture
def owner(own_database: Any) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who owns the database, and so may do what the app may not."""
    with psycopg.connect(own_database.environ["DATABASE_OWNER_URL"], autocommit=True) as connection:
        yield connection


def checked(owner: psycopg.Connection[Any], signer: Signer, *saved: str, **more: Any) -> Report:
    """As an auditor checks it, who has the public key and the checkpoints they kept."""
    owner.autocommit = False
    try:
        return verify(read_database(owner), keys=[signer.key], saved=saved, **more)
    finally:
        owner.rollback()
        owner.autocommit = True


def head() -> str:
    return Head.objects.get().note


# ---- Places --------------------------------------------------------------------------------------------------------


def test_every_entry_gets_its_place_in_the_order_of_the_queue(owner: psycopg.Connection[Any], signer: Signer) -> None:
    before = AuditEntry.objects.count()
    acts(300)
    assert Pending.objects.count() == before + 300
    assert checked(owner, signer).waiting == before + 300
    assert sequence(signer) == before + 300
    acts(700)
    assert sequence(signer) == 700
    assert sequence(signer) == 0
    assert not Pending.objects.exists()
    report = checked(owner, signer, head())
    assert (report.findings, report.entries, report.waiting) == ([], before + 1000, 0)
    places = list(Leaf.objects.order_by("index").values_list("entry_id", flat=True))
    entries = AuditEntry.objects.in_bulk(places)
    numbers = [entries[place].detail["n"] for place in places if entries[place].action == "thing.made"]
    assert numbers == [*range(300), *range(700)]


def test_an_act_that_is_undone_leaves_nothing_in_the_queue(owner: psycopg.Connection[Any], signer: Signer) -> None:
    sequence(signer)
    with transaction.atomic():
        record(by=SYSTEM, action="thing.made")
        transaction.set_rollback(True)
    assert not Pending.objects.exists()
    assert sequence(signer) == 0


def test_any_entry_can_be_proved_from_what_is_stored(owner: psycopg.Connection[Any], signer: Signer) -> None:
    acts(1000)
    sequence(signer)
    signed = open_note(head(), [signer.key])
    assert signed.root == root_of(signed.size, stored_hashes)
    for leaf in Leaf.objects.order_by("?")[:20]:
        proof = inclusion_proof(index=leaf.index, size=signed.size, hashes=stored_hashes)
        told = root_of_inclusion(leaf=bytes(leaf.hash), index=leaf.index, size=signed.size, proof=proof)
        assert told == signed.root


def test_a_checkpoint_is_kept_once_a_minute_and_the_newest_at_the_head(
    owner: psycopg.Connection[Any], signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        acts(2)
        sequence(signer)
    assert Checkpoint.objects.count() == 1
    monkeypatch.setattr("cdp.audit.sequencing.KEEP_EVERY", timedelta(0))
    acts(2)
    sequence(signer)
    assert Checkpoint.objects.count() == 2
    assert Checkpoint.objects.first().note == head()  # type: ignore[union-attr]


@pytest.mark.parametrize("table", ["audit_auditentry", "audit_leaf", "audit_node", "audit_checkpoint", "audit_anchor"])
def test_the_app_can_change_nothing_of_it(own_database: Any, table: str) -> None:
    for change in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"UPDATE {table} SET id = id"):
        with pytest.raises(DatabaseError), transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute(change)


# ---- Whoever changes it --------------------------------------------------------------------------------------------

MIDDLE = '(SELECT entry_id FROM audit_leaf WHERE "index" = 700)'
PROTECTED = ("audit_auditentry", "audit_leaf", "audit_node", "audit_checkpoint")
OTHER = '(SELECT entry_id FROM audit_leaf WHERE "index" = 701)'
FLIPPED = {
    "id": "gen_random_uuid()",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "detail": "detail || '{\"n\": -1}'",
    "actor_kind": "'user'",
} | dict.fromkeys(
    ("actor_id", "actor_label", "action", "object_type", "object_id", "purpose", "request_id", "ip_prefix"), "'x'"
)


@pytest.fixture
def filled(owner: psycopg.Connection[Any], signer: Signer) -> str:
    """A log of some thousand entries with two checkpoints; the note that an auditor saved halfway."""
    acts(600)
    sequence(signer)
    saved = head()
    acts(600)
    sequence(signer)
    assert checked(owner, signer, saved).is_good
    for table in PROTECTED:
        for trigger in ("append_only", "append_only_truncate"):
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    return saved


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_is_changed_is_named(
    owner: psycopg.Connection[Any], signer: Signer, filled: str, column: str
) -> None:
    assert FLIPPED.keys() == set(COLUMNS)
    owner.execute(f"UPDATE audit_auditentry SET {column} = {FLIPPED[column]} WHERE id = {MIDDLE}")
    report = checked(owner, signer, filled)
    assert any("index 700," in one.entry for one in report.findings), report.findings
    if column != "id":
        (finding,) = report.findings
        assert (finding.code, column in finding.message) == ("column_changed", True)


def test_an_envelope_that_is_changed_is_named(owner: psycopg.Connection[Any], signer: Signer, filled: str) -> None:
    owner.execute(
        "UPDATE audit_auditentry SET detail = detail || '{\"n\": 7}', envelope ="
        " convert_to(replace(convert_from(envelope, 'UTF8'), '\"n\":', '\"n\":1'), 'UTF8')"
        f" WHERE id = {MIDDLE}"
    )
    report = checked(owner, signer, filled)
    assert "envelope_changed" in {one.code for one in report.findings if "index 700," in one.entry}


def test_a_change_that_is_made_everywhere_but_for_the_signature_is_found_between_two_checkpoints(
    owner: psycopg.Connection[Any], signer: Signer, filled: str
) -> None:
    _rewrite(owner, 700)
    report = checked(owner, signer, filled)
    size = open_note(filled, [signer.key]).size
    assert [(one.code, one.entry) for one in report.findings] == [
        ("root_differs", f"entries {size} to {report.entries - 1}")
    ]


def _rewrite(owner: psycopg.Connection[Any], index: int) -> None:
    """Another story for one entry: columns, envelope and leaf fit each other."""
    entry_id, envelope = owner.execute(
        'SELECT e.id, e.envelope FROM audit_auditentry e JOIN audit_leaf l ON l.entry_id = e.id WHERE l."index" = %s',
        [index],
    ).fetchone()  # type: ignore[misc]
    told = json.loads(envelope)
    told["actor_label"] = "somebody else"
    changed = rfc8785.dumps(told)
    owner.execute(
        "UPDATE audit_auditentry SET actor_label = 'somebody else', envelope = %s WHERE id = %s", [changed, entry_id]
    )
    owner.execute('UPDATE audit_leaf SET hash = %s WHERE "index" = %s', [leaf_hash(changed), index])


def test_the_platform_itself_says_of_a_changed_entry_that_it_does_not_fit(
    owner: psycopg.Connection[Any], signer: Signer, filled: str
) -> None:
    places = dict(Leaf.objects.values_list("index", "entry_id"))
    _rewrite(owner, 700)
    told = {index: sealing(AuditEntry.objects.get(pk=places[index])) for index in (0, 700, 900)}
    assert [one is not None and one.holds for one in told.values()] == [True, False, True]


def test_an_entry_that_is_deleted_is_missed(owner: psycopg.Connection[Any], signer: Signer, filled: str) -> None:
    owner.execute(f"DELETE FROM audit_auditentry WHERE id = {MIDDLE}")
    (finding,) = [one for one in checked(owner, signer, filled).findings if one.code != "root_differs"]
    assert (finding.code, "index 700," in finding.entry) == ("entry_missing", True)


def test_an_entry_that_is_deleted_with_its_place_leaves_a_gap(
    owner: psycopg.Connection[Any], signer: Signer, filled: str
) -> None:
    owner.execute(f"DELETE FROM audit_auditentry WHERE id = {MIDDLE}")
    owner.execute('DELETE FROM audit_leaf WHERE "index" = 700')
    report = checked(owner, signer, filled)
    assert ("gap", "index 700") in {(one.code, one.entry) for one in report.findings}


def test_entries_that_are_moved_up_to_close_the_gap_are_found_by_the_root(
    owner: psycopg.Connection[Any], signer: Signer, filled: str
) -> None:
    owner.execute(f"DELETE FROM audit_auditentry WHERE id = {MIDDLE}")
    owner.execute('DELETE FROM audit_leaf WHERE "index" = 700')
    owner.execute('UPDATE audit_leaf SET "index" = -"index" WHERE "index" > 700')
    owner.execute('UPDATE audit_leaf SET "index" = -"index" - 1 WHERE "index" < 0')
    assert {one.code for one in checked(owner, signer, filled).findings} == {"truncated"}


def test_an_entry_that_is_slipped_in_has_no_place(owner: psycopg.Connection[Any], signer: Signer, filled: str) -> None:
    owner.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER queue")
    owner.execute(
        "INSERT INTO audit_auditentry SELECT gen_random_uuid(), recorded_at, actor_kind, actor_id, actor_label, action, object_type,"
        f" object_id, purpose, request_id, ip_prefix, detail, envelope FROM audit_auditentry WHERE id = {MIDDLE}"
    )
    assert "not_sequenced" in {one.code for one in checked(owner, signer, filled).findings}


def test_two_entries_that_change_places_are_named(owner: psycopg.Connection[Any], signer: Signer, filled: str) -> None:
    a, b = (owner.execute(f"SELECT {one}").fetchone()[0] for one in (MIDDLE, OTHER))  # type: ignore[index]
    owner.execute('DELETE FROM audit_leaf WHERE "index" IN (700, 701)')
    for index, entry_id in ((700, b), (701, a)):
        owner.execute(
            "INSERT INTO audit_leaf (\"index\", entry_id, hash) SELECT %s, id, sha256('\\x00'::bytea || envelope)"
            " FROM audit_auditentry WHERE id = %s",
            [index, entry_id],
        )
    assert "root_differs" in {one.code for one in checked(owner, signer, filled).findings}


def _go_back_to(owner: psycopg.Connection[Any], note: str, signer: Signer) -> None:
    """The tables as they were at that checkpoint."""
    size = open_note(note, [signer.key]).size
    owner.execute(
        'DELETE FROM audit_auditentry e USING audit_leaf l WHERE l.entry_id = e.id AND l."index" >= %s', [size]
    )
    owner.execute('DELETE FROM audit_leaf WHERE "index" >= %s', [size])
    owner.execute('DELETE FROM audit_node WHERE ("index" + 1) * (256 ^ level) > %s', [size])
    owner.execute("DELETE FROM audit_checkpoint WHERE size > %s", [size])
    frontier = Frontier()
    for (leaf,) in owner.execute('SELECT hash FROM audit_leaf ORDER BY "index"').fetchall():
        frontier.append(bytes(leaf))
    owner.execute("UPDATE audit_head SET size = %s, frontier = %s, note = %s", [size, b"".join(frontier.nodes), note])


def test_an_old_copy_that_is_restored_is_found_by_a_newer_saved_checkpoint_alone(
    owner: psycopg.Connection[Any], signer: Signer, filled: str
) -> None:
    newest = head()
    _go_back_to(owner, filled, signer)
    assert checked(owner, signer, filled).is_good  # nobody can tell who saved nothing newer
    (finding,) = checked(owner, signer, newest).findings
    assert finding.code == "truncated"
    # Nor does it help to go on from there.
    acts(700)
    sequence(signer)
    assert {one.code for one in checked(owner, signer, newest).findings} == {"root_differs"}


def test_a_log_made_anew_with_the_signing_key_is_found_by_a_saved_checkpoint(
    owner: psycopg.Connection[Any], signer: Signer, filled: str
) -> None:
    _rewrite(owner, 100)
    for table in ("audit_leaf", "audit_node", "audit_checkpoint", "audit_pending"):
        owner.execute(f"DELETE FROM {table}")
    owner.execute("UPDATE audit_head SET size = 0, frontier = '', note = ''")
    owner.execute("INSERT INTO audit_pending (entry_id) SELECT id FROM audit_auditentry ORDER BY recorded_at")
    sequence(signer)
    assert checked(owner, signer).is_good  # the owner and the signer together deceive who saved nothing
    assert not checked(owner, signer, filled).is_good


def test_the_sequencer_builds_on_nothing_that_was_changed(
    owner: psycopg.Connection[Any], signer: Signer, filled: str, tmp_path: Path
) -> None:
    acts(1)
    owner.execute("UPDATE audit_head SET size = size - 1")
    with pytest.raises(LogBroken):
        sequence(signer)
    owner.execute("UPDATE audit_head SET size = size + 1")
    make_key(tmp_path / "other.pem")
    with pytest.raises(LogBroken, match="isn't one of this key"):
        sequence(load_signer(tmp_path / "other.pem", name=signer.name))
    assert sequence(signer) == 1


def test_an_entry_that_waits_too_long_is_found(owner: psycopg.Connection[Any], signer: Signer, filled: str) -> None:
    acts(1)
    assert checked(owner, signer, filled).is_good
    owner.execute("UPDATE audit_pending SET queued_at = queued_at - interval '2 minutes'")
    (finding,) = checked(owner, signer, filled).findings
    assert finding.code == "waits_too_long"


# ---- The verifier by itself ----------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path, signer: Signer) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The verifier as one file, copied away from the project."""
    copy = tmp_path / "auditor" / "verify.py"
    copy.parent.mkdir()
    copy.write_text(Path("cdp/audit/verify.py").read_text())
    (copy.parent / "keys").write_text(f"{signer.key}\n")

    def run(*given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-W", "error", str(copy), "--key", str(copy.parent / "keys"), *given]
        return subprocess.run(command, capture_output=True, text=True, cwd=copy.parent, check=False)

    return run


def test_the_verifier_alone_checks_an_export_and_a_database(
    own_database: Any, owner: psycopg.Connection[Any], signer: Signer, filled: str, alone: Any, tmp_path: Path
) -> None:
    acts(3)
    (tmp_path / "saved").write_text(filled)
    (tmp_path / "export.jsonl").write_text("".join(lines()))
    with gzip.open(tmp_path / "export.jsonl.gz", "wt") as file:
        file.writelines(lines())
    dsn = own_database.environ["DATABASE_OWNER_URL"]
    for source in ([str(tmp_path / "export.jsonl")], [str(tmp_path / "export.jsonl.gz")], ["--dsn", dsn]):
        done = alone(*source, "--checkpoint", str(tmp_path / "saved"), "--save", str(tmp_path / "newest"))
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "3 waiting" in done.stdout and "none is missing" in done.stdout
        assert (tmp_path / "newest").read_text() == head()
        (tmp_path / "newest").unlink()

    changed = (tmp_path / "export.jsonl").read_text().replace('"object_id":"99"', '"object_id":"98"', 1)
    (tmp_path / "export.jsonl").write_text(changed)
    done = alone(str(tmp_path / "export.jsonl"), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["good"], report["findings"][0]["code"]) == (1, False, "column_changed")


def test_the_verifier_says_what_it_needs(alone: Any, tmp_path: Path) -> None:
    assert "--checkpoint" in alone("--help").stdout
    (tmp_path / "nothing").write_text("no export")
    for given in (
        [],
        [str(tmp_path / "nothing")],
        [str(tmp_path / "missing")],
        ["--dsn", "postgresql://nobody@127.0.0.1:1/none"],
    ):
        done = alone(*given)
        assert done.returncode == 2
        assert done.stderr and "Traceback" not in done.stderr

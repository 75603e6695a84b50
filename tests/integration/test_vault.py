"""Keys of people in the database: made once whoever asks, destroyed for good, wrapped anew without anything being lost."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, connection, transaction

from cdp.audit.models import AuditEntry
from cdp.audit.services import record
from cdp.errors import Conflict
from cdp.vault import rotation
from cdp.vault.models import SubjectKey
from cdp.vault.ring import Ring, VaultUnusable, alone, load_ring, make_ring, replace_ring
from cdp.vault.sealing import Unopenable
from cdp.vault.services import Item, Sealed, SubjectShredded, destroy, open_all, open_sealed, ring_of_settings, seal
from tests.factories import BY


@pytest.fixture
def key_file(settings: Any, tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    make_ring(path)
    settings.VAULT_KEY_FILE = str(path)
    return path


def sealed_of(*people: int) -> list[Sealed]:
    items = [Item(one, uuid4(), f"about {one}".encode()) for one in people]
    with transaction.atomic():
        given = seal(items)
    return [Sealed(item.subject_id, item.entry_id, sealed) for item, sealed in zip(items, given, strict=True)]


@pytest.mark.django_db
def test_each_person_has_one_key_and_many_are_sealed_with_three_statements(
    key_file: Path, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(3):  # look, make, look again
        items = [Item(one % 500, uuid4(), b"%d" % one) for one in range(2000)]
        given = seal(items)
    assert SubjectKey.objects.count() == 500
    with django_assert_num_queries(1):
        opened = open_all([Sealed(i.subject_id, i.entry_id, s) for i, s in zip(items, given, strict=True)])
    assert opened == [item.payload for item in items]
    with django_assert_num_queries(1):  # all have one already
        seal(items)
    assert seal([]) == [] and open_all([]) == []


@pytest.mark.django_db
def test_a_destroyed_key_opens_nothing_and_is_never_made_again(key_file: Path) -> None:
    ann, bob = sealed_of(1, 2)
    assert destroy(subject_ids=[1, 3], by=BY) == 1
    assert open_all([ann, bob]) == [None, b"about 2"]
    assert SubjectKey.objects.get(pk=1).wrapped is None and SubjectKey.objects.get(pk=1).destroyed_at
    for one in (1, 3):  # the third never had any, and gets none now
        with pytest.raises(SubjectShredded) as raised, transaction.atomic():
            seal([Item(2, uuid4(), b"x"), Item(one, uuid4(), b"x")])
        assert raised.value.subject_ids == {one}
    assert destroy(subject_ids=[1, 3], by=BY) == 0
    [entry] = AuditEntry.objects.filter(action="vault.keys_destroyed")
    assert entry.detail == {"destroyed": 1, "marked": 1}
    assert destroy(subject_ids=[], by=BY) == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vault_subjectkey SET wrapped = 'x', destroyed_at = NULL WHERE subject_id = 1",
        "UPDATE vault_subjectkey SET subject_id = 9 WHERE subject_id = 2",
        "DELETE FROM vault_subjectkey",
    ],
)
def test_the_database_itself_refuses_to_bring_a_key_back(key_file: Path, statement: str) -> None:
    sealed_of(1, 2)
    destroy(subject_ids=[1], by=BY)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.django_db
def test_what_was_sealed_for_one_entry_or_person_does_not_open_for_another(key_file: Path) -> None:
    ann, bob = sealed_of(1, 2)
    for changed in (Sealed(2, ann.entry_id, ann.sealed), Sealed(1, bob.entry_id, ann.sealed)):
        with pytest.raises(Unopenable):
            open_sealed(subject_id=changed.subject_id, entry_id=changed.entry_id, sealed=changed.sealed)
    assert open_sealed(subject_id=5, entry_id=ann.entry_id, sealed=ann.sealed) is None, "no key was ever made"


def test_sealing_without_a_transaction_is_refused(own_database: Any, key_file: Path) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        seal([Item(1, uuid4(), b"x")])


def test_writers_at_once_agree_on_one_key(own_database: Any, key_file: Path) -> None:
    """Eight threads seal for the same two hundred people, each in another order; all of it opens."""
    gate, failures, sealed = threading.Barrier(8), [], []

    def write(number: int) -> None:
        people = list(range(200))
        people = people[number * 25 :] + people[: number * 25]
        try:
            gate.wait()
            for start in range(0, 200, 50):
                sealed.extend(sealed_of(*people[start : start + 50]))
        except Exception as error:  # noqa: BLE001  (told by the test's own thread)
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(sealed) == 1600 and SubjectKey.objects.count() == 200
    assert open_all(sealed) == [f"about {one.subject_id}".encode() for one in sealed]


# ---- Rotation ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_rotation_wraps_everybody_anew_and_changes_nothing_that_was_sealed(key_file: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(rotation, "AT_ONCE", 7)
    before = sealed_of(*range(40))
    destroy(subject_ids=[39], by=BY)
    old = load_ring(key_file)
    assert rotation.rotate(key_file, by=BY) == 39
    new = load_ring(key_file)
    assert rotation.wrapped_by_each() == {new.current: 39}
    assert open_all(before) == [*(f"about {n}".encode() for n in range(39)), None]
    assert new.suppression_key() == old.suppression_key()
    # Only now does the old one lead nowhere.
    assert rotation.retire(key_file, by=BY) == [old.current]
    assert set(load_ring(key_file).masters) == {new.current}
    assert open_all(before)[:39] == [f"about {n}".encode() for n in range(39)]
    actions = set(AuditEntry.objects.filter(action__startswith="vault.").values_list("action", flat=True))
    assert actions == {"vault.keys_destroyed", "vault.key_rotated", "vault.key_retired"}


@pytest.mark.django_db
def test_a_rotation_that_was_killed_is_finished_and_no_key_in_use_is_retired(key_file: Path) -> None:
    before = sealed_of(1, 2, 3)
    old = load_ring(key_file)
    replace_ring(key_file, old.with_new_master())  # and killed here, before anything was wrapped anew
    with pytest.raises(Conflict, match=old.current):
        rotation.retire(key_file, by=BY)
    before += sealed_of(4)
    assert rotation.rewrap(load_ring(key_file)) == 3
    assert rotation.retire(key_file, by=BY) == [old.current]
    assert open_all(before) == [b"about 1", b"about 2", b"about 3", b"about 4"]


@pytest.mark.django_db
def test_of_two_who_rotate_at_once_the_second_waits(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one would write over the other's master key, and what it had wrapped by then could never be opened again."""
    monkeypatch.setattr(rotation, "record", lambda **_: None)
    monkeypatch.setattr(rotation, "rewrap", lambda ring: 0)

    def rotate() -> None:
        rotation.rotate(key_file, by=BY)
        connection.close()

    other = threading.Thread(target=rotate)
    with alone(key_file):
        before = load_ring(key_file)
        other.start()
        other.join(0.3)
        assert other.is_alive() and load_ring(key_file) == before
        replace_ring(key_file, before.with_new_master())
    other.join(10)
    assert len(load_ring(key_file).masters) == 3


@pytest.mark.django_db
def test_no_master_key_is_retired_while_somebody_may_be_wrapping_by_it(key_file: Path) -> None:
    old = load_ring(key_file).current
    rotation.rotate(key_file, by=BY)
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:  # not committed yet, so nobody else sees it
            cursor.execute("INSERT INTO vault_subjectkey (subject_id, wrapped, wrapped_by) VALUES (9, 'x', %s)", [old])
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '200ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            rotation.retire(key_file, by=BY)
    finally:
        other.rollback()
        other.close()
    assert old in load_ring(key_file).masters


@pytest.mark.django_db
def test_a_ring_without_the_key_that_wraps_says_so(key_file: Path) -> None:
    [ann] = sealed_of(1)
    replace_ring(key_file, Ring.new())
    with pytest.raises(VaultUnusable, match="not in the file"):
        open_all([ann])


# ---- The command and the check -------------------------------------------------------------------------------------


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    def run(*arguments: str) -> str:
        call_command("vault_key", *arguments)
        return capsys.readouterr().out

    return run


@pytest.mark.django_db
def test_the_command_makes_rotates_and_retires(said: Any, settings: Any, tmp_path: Path) -> None:
    settings.VAULT_KEY_FILE = str(tmp_path / "keys.json")
    with pytest.raises(CommandError, match="vault_key --new"):
        call_command("vault_key")
    said("--if-missing")
    first = ring_of_settings()
    said("--if-missing")
    assert ring_of_settings() == first, "what is there stays"
    with pytest.raises(CommandError, match="never written over"):
        call_command("vault_key", "--new", settings.VAULT_KEY_FILE)
    sealed_of(1, 2)
    assert f"{first.current}  current  wraps 2" in said()
    assert "2 keys are wrapped" in said("--rotate")
    assert f"{first.current}  old  wraps 0" in said()
    assert "0 keys had been left" in said("--finish")
    assert first.current in said("--retire") and first.current not in said()
    with transaction.atomic():
        record(by=BY, action="test.done")
    assert not any(value in str(list(AuditEntry.objects.values())) for value in map(bytes.hex, first.masters.values()))


@pytest.mark.django_db
@pytest.mark.parametrize(("file", "found"), [("", "cdp.W005"), ("/nowhere/keys.json", "cdp.E003")])
def test_start_up_says_loudly_that_keys_are_missing(settings: Any, file: str, found: str) -> None:
    settings.VAULT_KEY_FILE = file
    assert found in {one.id for one in run_checks(tags=[Tags.database], databases=["default"])}
    with pytest.raises(VaultUnusable, match="CDP_VAULT_KEY_FILE"):
        seal([Item(1, uuid4(), b"x")])


@pytest.mark.django_db
def test_with_keys_the_check_is_silent(key_file: Path) -> None:
    assert not {"cdp.W005", "cdp.E003"} & {one.id for one in run_checks(tags=[Tags.database], databases=["default"])}

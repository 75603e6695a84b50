"""Sealing and the ring of master keys: published vectors of the cipher, what opens, and what is refused."""

import json
import stat
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.vault import sealing
from cdp.vault.ring import Ring, VaultUnusable, load_ring, make_ring, replace_ring
from cdp.vault.sealing import Unopenable, open_with, seal_with, unwrap, wrap

ENTRY = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")


def test_the_cipher_is_the_published_one() -> None:
    """Test case 16 of McGrew and Viega, The Galois/Counter Mode of Operation: AES-256 with associated data."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    text = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )
    nonce, associated = (
        bytes.fromhex("cafebabefacedbaddecaf888"),
        bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
    )
    assert AESGCM(key).encrypt(nonce, text, associated) == sealed


@settings(deadline=None)
@given(payload=st.binary(max_size=300))
def test_what_was_sealed_opens_for_its_entry_under_its_key_and_for_nothing_else(payload: bytes) -> None:
    key = sealing.new_key()
    sealed = seal_with(key, entry_id=ENTRY, payload=payload)
    assert len(sealed) == 1 + 12 + len(payload) + 16
    assert open_with(key, entry_id=ENTRY, sealed=sealed) == payload
    for other_key, other_entry in ((sealing.new_key(), ENTRY), (key, uuid4())):
        with pytest.raises(Unopenable):
            open_with(other_key, entry_id=other_entry, sealed=sealed)


def test_a_change_of_any_byte_is_noticed() -> None:
    key = sealing.new_key()
    sealed = seal_with(key, entry_id=ENTRY, payload=b"who it was")
    for place in range(len(sealed)):
        changed = bytes([*sealed[:place], sealed[place] ^ 1, *sealed[place + 1 :]])
        with pytest.raises(Unopenable):
            open_with(key, entry_id=ENTRY, sealed=changed)
    for length in range(len(sealed)):
        with pytest.raises(Unopenable):
            open_with(key, entry_id=ENTRY, sealed=sealed[:length])


def test_the_same_text_is_never_sealed_to_the_same_bytes() -> None:
    key = sealing.new_key()
    assert len({seal_with(key, entry_id=ENTRY, payload=b"x") for _ in range(100)}) == 100


def test_a_wrapped_key_is_of_one_person_and_one_master() -> None:
    master, key = sealing.new_key(), sealing.new_key()
    wrapped = wrap(key, master=master, subject_id=7)
    assert len(wrapped) == 61 and key not in wrapped
    assert unwrap(wrapped, master=master, subject_id=7) == key
    for other_master, subject in ((sealing.new_key(), 7), (master, 8)):
        with pytest.raises(Unopenable):
            unwrap(wrapped, master=other_master, subject_id=subject)


# ---- The ring ------------------------------------------------------------------------------------------------------


def test_a_ring_is_made_once_and_only_we_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "vault" / "keys.json"
    ring = make_ring(path)
    assert load_ring(path) == ring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        make_ring(path)
    assert load_ring(path) == ring
    assert list(path.parent.iterdir()) == [path], "nothing is left beside it"


def test_a_rotation_keeps_what_knows_suppressed_identifiers_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ring = make_ring(path)
    turned = ring.with_new_master()
    replace_ring(path, turned)
    read = load_ring(path)
    assert read.current != ring.current and set(read.masters) == {ring.current, read.current}
    assert read.suppression_key() == ring.suppression_key()
    assert read.suppression_key() not in (*read.masters.values(), read.lasting)
    assert set(read.without({ring.current, read.current}).masters) == {read.current}, "the current one stays"


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "no json", '{"format": "cdp-vault-ring/1", "masters": {}, "current": "a"}',
        '{"format": "cdp-vault-ring/1", "masters": {"a": "c2hvcnQ="}, "current": "a", "lasting": "c2hvcnQ="}',
        '{"format": "cdp-vault-ring/1", "masters": {"a": 5}, "current": "a"}',
    ],
)  # fmt: skip
def test_what_is_no_ring_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(VaultUnusable, match="CDP_VAULT_KEY_FILE"):
        load_ring(path)
    with pytest.raises(VaultUnusable, match="vault_key --new"):
        load_ring(tmp_path / "none.json")


def test_keys_are_not_in_what_a_ring_shows_of_itself() -> None:
    ring = Ring.new()
    shown = f"{ring!r} {ring}"
    assert not any(key.hex() in shown or repr(key) in shown for key in (*ring.masters.values(), ring.lasting))
    assert set(json.loads(ring.text())) == {"format", "current", "masters", "lasting"}


def test_a_key_that_is_not_on_the_ring_is_named() -> None:
    with pytest.raises(VaultUnusable, match="'ffff0000'"):
        Ring.new().master("ffff0000")

"""Keys, signed checkpoints and envelopes: what is published of them, and what is refused."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.audit.envelope import envelope, told
from cdp.audit.signing import KeyUnusable, Signer, load_signer, make_key
from cdp.audit.verify import COLUMNS, Checkpoint, Key, open_note, signed_text

# The key and note of golang.org/x/mod/sumdb/note, whose form C2SP signed-note describes.
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.fixture
def signer() -> Signer:
    return Signer(name="shop.example/audit", private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def test_a_published_key_is_read_and_its_signature_holds() -> None:
    key = Key.read(PUBLISHED_KEY)
    assert (key.name, key.id.hex(), str(key)) == ("PeterNeumann", "c74f20a3", PUBLISHED_KEY)
    signer, text = signed_text(PUBLISHED_NOTE, [key])
    assert signer == key and text.startswith("If you think") and text.endswith("problem is.\n")
    with pytest.raises(ValueError, match="has an origin"):
        open_note(PUBLISHED_NOTE, [key])


@pytest.mark.parametrize(
    "text", ["", "a", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a+00000000+AQ==",
             "a+00000000+\u00e4", "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"],
)  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"key"):
        Key.read(text)


def test_a_checkpoint_is_written_as_logs_write_it(signer: Signer) -> None:
    note = signer.checkpoint(size=3, root=bytes(32))
    assert note.startswith(
        "shop.example/audit\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u2014 shop.example/audit "
    )
    assert open_note(note, [signer.key]) == Checkpoint(origin=signer.name, size=3, root=bytes(32))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_changed_note_is_taken_for_signed(data: st.DataObject) -> None:
    signer = Signer(name="a", private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    note = signer.checkpoint(size=data.draw(st.integers(0, 2**63)), root=data.draw(st.binary(min_size=32, max_size=32)))
    place = data.draw(st.integers(0, note.rindex(" ") - 1))
    other = data.draw(st.characters().filter(lambda c: c != note[place]))
    with pytest.raises(ValueError):
        open_note(note[:place] + other + note[place + 1 :], [signer.key])


def test_another_key_of_the_same_name_is_not_taken_for_it(signer: Signer) -> None:
    other = Signer(name=signer.name, private=Ed25519PrivateKey.generate())
    note = signer.checkpoint(size=1, root=bytes(32))
    with pytest.raises(ValueError, match="isn't signed by a key you gave"):
        open_note(note, [other.key])
    assert open_note(note, [other.key, signer.key]).size == 1


@pytest.mark.parametrize("size", ["01", "+1", "-1", " 1", "1 ", "\u0661", "", "x"])
def test_a_size_is_written_in_one_way(signer: Signer, size: str) -> None:
    note = signer.sign(f"{signer.name}\n{size}\n{'A' * 43}=\n")
    with pytest.raises(ValueError, match="a size"):
        open_note(note, [signer.key])


# ---- Files of keys -------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "audit.pem"
    make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_signer(path, name="a").key == load_signer(path, name="a").key
    with pytest.raises(FileExistsError):
        make_key(path)


def test_what_is_no_usable_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="CDP_AUDIT_KEY"):
        load_signer(tmp_path / "missing.pem", name="a")
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(KeyUnusable, match="CDP_AUDIT_KEY"):
        load_signer(tmp_path / "text.pem", name="a")
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ec.pem").write_bytes(other)
    with pytest.raises(KeyUnusable, match="--new"):
        load_signer(tmp_path / "ec.pem", name="a")


# ---- Envelopes -----------------------------------------------------------------------------------------------------


class Colour(StrEnum):
    RED = "red"


def columns(**more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    return plain | {"recorded_at": datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC), "detail": {}} | more


def test_an_envelope_is_canonical_json() -> None:
    text = envelope(columns(detail=told({"b": 1, "a": [True, None, 1.5, "\u20ac\n"], "\U0001f600": 2**60}))).decode()
    assert text.startswith(
        '{"action":"","actor_id":"","actor_kind":"","actor_label":"","detail":{"a":[true,null,1.5,"\u20ac\\n"],"b":1,'
    )
    assert '"\U0001f600":"1152921504606846976"' in text
    assert '"recorded_at":"2026-03-01T12:00:00.000005Z"' in text
    assert text.endswith('"request_id":"","v":"1"}')
    assert " " not in text


def test_the_same_act_is_the_same_bytes_however_it_was_told() -> None:
    first = envelope(columns(detail=told({"a": 1, "b": {"x": 1.0, "y": (1, 2)}})))
    second = envelope(columns(detail=told({"b": {"y": [1, 2], "x": 1.0}, "a": True + 0})))
    assert first == second


# RFC 8785, 3.2.4 and appendix B: numbers as ECMAScript writes them.
@pytest.mark.parametrize(
    ("value", "text"),
    [(333333333.33333329, "333333333.3333333"), (1e30, "1e+30"), (4.50, "4.5"), (2e-3, "0.002"), (1e-27, "1e-27"),
     (-0.0, "0"), (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"), (9007199254740991, "9007199254740991"),
     (1e21, "1e+21"), (295147905179352830000.0, "295147905179352830000")],
)  # fmt: skip
def test_numbers_are_written_as_the_standard_writes_them(value: float, text: str) -> None:
    assert f'"detail":{{"n":{text}}}' in envelope(columns(detail=told({"n": value}))).decode()


def test_names_are_sorted_by_their_utf_16_units() -> None:
    """RFC 8785, 3.2.3: its own sample."""
    sample = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
              "\U0001f600": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}  # fmt: skip
    found = json.loads(envelope(columns(detail=told(sample))))["detail"]
    assert list(found.values()) == [
        "Carriage Return", "One", "Control", "Latin Small Letter O With Diaeresis", "Euro Sign", "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]  # fmt: skip


def test_what_is_told_is_plain() -> None:
    assert told({"colour": Colour.RED, "price": Decimal("1.10"), "big": -(2**53), "ok": 2**53 - 1, "no": None}) == {
        "colour": "red", "price": "1.10", "big": "-9007199254740992", "ok": 2**53 - 1, "no": None,
    }  # fmt: skip
    assert type(told(Colour.RED)) is str


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), object(), b"x", {1: 2}, {"a": {"b": set()}}]
)
def test_what_json_has_no_word_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="audit entry"):
        told(value)

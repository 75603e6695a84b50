"""Signatures checked in plain Python: the published vectors, and the same answers as `cryptography` gives."""

import pytest
from cryptography.exceptions import InvalidSignature as TheirInvalid
from cryptography.hazmat.primitives.asymmetric import ed25519 as theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.audit.ed25519 import ORDER, Ed25519PublicKey, InvalidSignature

# RFC 8032, 7.1: public key, message, signature.
PUBLISHED = [
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]  # fmt: skip


def accepts(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def they_accept(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        theirs.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except TheirInvalid:
        return False
    return True


@pytest.mark.parametrize(("key", "message", "signature"), PUBLISHED)
def test_published_signatures_are_right_and_no_others(key: str, message: str, signature: str) -> None:
    public, text, signed = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    assert accepts(public, signed, text)
    assert not accepts(public, signed, text + b"!")
    assert not accepts(public, signed[:-1], text) and not accepts(public[:-1], signed, text)
    # The same number plus the order of the group would be a second signature of one message (8.4).
    again = int.from_bytes(signed[32:], "little") + ORDER
    assert not accepts(public, signed[:32] + again.to_bytes(32, "little"), text)


@settings(max_examples=30, deadline=None, database=None)
@given(
    seed=st.binary(min_size=32, max_size=32),
    message=st.binary(max_size=80),
    place=st.integers(0, 95),
    bit=st.integers(0, 7),
)
def test_it_answers_as_the_usual_package_does(seed: bytes, message: bytes, place: int, bit: int) -> None:
    private = theirs.Ed25519PrivateKey.from_private_bytes(seed)
    key, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert accepts(key, signature, message)
    other = bytearray(signature + key)
    other[place] ^= 1 << bit
    changed, with_key = bytes(other[:64]), bytes(other[64:])
    assert accepts(with_key, changed, message) == they_accept(with_key, changed, message)

"""Sealing: one person's data under their own key, and that key under a master key. Pure, bytes in and bytes out.

Both are AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits. A master key may so wrap four thousand million keys, and a
person's key seal as many texts, before nonces may be expected to repeat (section 8.3). Where keys are kept belongs in
`cdp.vault.ring` and `cdp.vault.services`.
"""

import os
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SEALED: Final = b"\x01"
"""The first byte of what is sealed: the version of its format."""
WRAPPED: Final = b"\x01"


class Unopenable(Exception):
    """The bytes are not what was sealed for this entry under this key: changed, mixed up, or of another format."""


def new_key() -> bytes:
    return AESGCM.generate_key(bit_length=8 * KEY_BYTES)


def seal_with(key: bytes, *, entry_id: UUID, payload: bytes) -> bytes:
    """Version (1), nonce (12), ciphertext (as long as the payload), tag (16). The entry's id is associated: the bytes open
    for that entry alone."""
    nonce = os.urandom(NONCE_BYTES)
    return SEALED + nonce + AESGCM(key).encrypt(nonce, payload, entry_id.bytes)


def open_with(key: bytes, *, entry_id: UUID, sealed: bytes) -> bytes:
    """
    Raises:
        Unopenable: see there.
    """
    return _open(key, sealed, version=SEALED, associated=entry_id.bytes)


def wrap(key: bytes, *, master: bytes, subject_id: int) -> bytes:
    """A person's key as the database keeps it: 61 bytes that lead nowhere without the master key, nor for anybody else."""
    nonce = os.urandom(NONCE_BYTES)
    return WRAPPED + nonce + AESGCM(master).encrypt(nonce, key, _subject(subject_id))


def unwrap(wrapped: bytes, *, master: bytes, subject_id: int) -> bytes:
    """
    Raises:
        Unopenable: it was wrapped under another master key or for somebody else, or was changed.
    """
    return _open(master, wrapped, version=WRAPPED, associated=_subject(subject_id))


def _subject(subject_id: int) -> bytes:
    return b"cdp-vault-subject" + subject_id.to_bytes(8, "big", signed=True)


def _open(key: bytes, sealed: bytes, *, version: bytes, associated: bytes) -> bytes:
    nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    if sealed[:1] != version or len(rest) < TAG_BYTES:
        raise Unopenable("This is not in the format that is sealed here.")
    try:
        return AESGCM(key).decrypt(nonce, rest, associated)
    except InvalidTag:
        raise Unopenable("The bytes are not what was sealed for this entry under this key.") from None

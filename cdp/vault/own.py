"""Sealing secrets of the platform's own: what it signs or logs in by elsewhere. People's data is sealed by `cdp.vault.services`.

The key comes from the ring's secret that stays, so turning master keys over changes nothing here. The id of the row that holds
a secret is associated: its bytes open for that row alone.
"""

from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cdp.vault.sealing import KEY_BYTES, open_with, seal_with
from cdp.vault.services import ring_of_settings

OWN: Final = b"cdp secrets of its own v1"


def seal_own(secret: bytes, *, row: UUID) -> bytes:
    """The secret as the database may keep it.

    Raises:
        cdp.vault.ring.VaultUnusable: there are no keys.
    """
    return seal_with(_key(), entry_id=row, payload=secret)


def open_own(sealed: bytes, *, row: UUID) -> bytes:
    """
    Raises:
        cdp.vault.ring.VaultUnusable: there are no keys.
        cdp.vault.sealing.Unopenable: the bytes were sealed for another row, or by other keys.
    """
    return open_with(_key(), entry_id=row, sealed=bytes(sealed))


def _key() -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=OWN).derive(ring_of_settings().lasting)

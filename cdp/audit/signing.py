"""The key that signs checkpoints: made, kept in a file where the database's owner can't read it, and used.

Pure but for files. How signatures are checked stands in `cdp.audit.verify`.
"""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cdp.audit.verify import Checkpoint, Key


class KeyUnusable(Exception):
    """There is no key in the file, or not one that we sign with; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A name and its private key."""

    name: str
    private: Ed25519PrivateKey

    @property
    def key(self) -> Key:
        return Key(name=self.name, public=self.private.public_key().public_bytes_raw())

    def sign(self, body: str) -> str:
        """The text with the signature under it (C2SP signed-note)."""
        signature = self.key.id + self.private.sign(body.encode())
        return f"{body}\n\u2014 {self.name} {base64.b64encode(signature).decode()}\n"

    def checkpoint(self, *, size: int, root: bytes) -> str:
        """What commits the log to its first ``size`` entries."""
        return self.sign(Checkpoint(origin=self.name, size=size, root=root).body)


def make_key(path: Path) -> None:
    """A new private key in a file that only we may read.

    Raises:
        FileExistsError: there is a file already; a key that is written over is lost.
    """
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def load_signer(path: Path, *, name: str) -> Signer:
    """
    Raises:
        KeyUnusable: nothing is there, or something else.
    """
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyUnusable(f"The audit log's key can't be read ({type(error).__name__}); see CDP_AUDIT_KEY.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnusable("The file in CDP_AUDIT_KEY has no private key in PEM without a password.") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyUnusable("The audit log signs with an Ed25519 key; `manage.py audit_key --new FILE` makes one.")
    return Signer(name=name, private=private)

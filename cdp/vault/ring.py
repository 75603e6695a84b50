"""The ring: the file with the master keys, which lies where the database's owner can't read it. Pure but for that file.

Beside the master keys, of which new ones come and old ones go, it holds one secret that stays: from it comes the key by which
suppressed identifiers are known again (RFC 5869). A new one would make every suppression of before worthless, unnoticed.
"""

import base64
import binascii
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cdp.vault.sealing import KEY_BYTES, new_key

FORMAT: Final = "cdp-vault-ring/1"
SUPPRESSION: Final = b"cdp suppression of identifiers v1"


class VaultUnusable(Exception):
    """There is no ring, or the key that is asked for is not on it; the text says what to do."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Ring:
    """Master keys by their ids, which of them wraps what is new, and the secret that stays."""

    current: str
    masters: Mapping[str, bytes]
    lasting: bytes

    @classmethod
    def new(cls) -> Self:
        key_id = _new_id()
        return cls(current=key_id, masters={key_id: new_key()}, lasting=new_key())

    def master(self, key_id: str) -> bytes:
        """
        Raises:
            VaultUnusable: it is not on the ring.
        """
        try:
            return self.masters[key_id]
        except KeyError:
            raise VaultUnusable(
                f"Keys are wrapped by the master key {key_id!r}, which is not in the file that CDP_VAULT_KEY_FILE names."
            ) from None

    def with_new_master(self) -> Self:
        key_id = _new_id()
        return replace(self, current=key_id, masters={**self.masters, key_id: new_key()})

    def without(self, key_ids: set[str]) -> Self:
        """The current one stays."""
        gone = key_ids - {self.current}
        return replace(self, masters={key_id: key for key_id, key in self.masters.items() if key_id not in gone})

    def suppression_key(self) -> bytes:
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=SUPPRESSION).derive(self.lasting)

    def text(self) -> str:
        keys = {key_id: _told(key) for key_id, key in self.masters.items()}
        return json.dumps({"format": FORMAT, "current": self.current, "masters": keys, "lasting": _told(self.lasting)})

    @classmethod
    def read(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is no ring.
        """
        said = json.loads(text)
        if not isinstance(said, dict) or said.get("format") != FORMAT or not isinstance(said.get("masters"), dict):
            raise ValueError("not a ring of this format")
        masters = {str(key_id): _read(key) for key_id, key in said["masters"].items()}
        if said.get("current") not in masters:
            raise ValueError("the current key is not among them")
        return cls(current=said["current"], masters=masters, lasting=_read(said.get("lasting")))


def make_ring(path: Path) -> Ring:
    """A new ring in a file that only we may read.

    Raises:
        FileExistsError: there is a file already; keys that are written over are lost, and what they sealed with them.
    """
    ring = Ring.new()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _written_beside(path, ring) as beside:
        os.link(beside, path)  # which, unlike a renaming, refuses to write over
    return ring


def load_ring(path: Path) -> Ring:
    """
    Raises:
        VaultUnusable: nothing is there, or something else.
    """
    try:
        return Ring.read(path.read_text())
    except OSError as error:
        raise VaultUnusable(
            f"The vault's keys can't be read ({type(error).__name__}); `manage.py vault_key --new FILE` makes them, and "
            "CDP_VAULT_KEY_FILE names the file."
        ) from None
    except (ValueError, UnicodeDecodeError):
        raise VaultUnusable(
            "The file in CDP_VAULT_KEY_FILE has no keys as `vault_key --new FILE` makes them."
        ) from None


def replace_ring(path: Path, ring: Ring) -> None:
    """Puts the ring into the file, so that a reader finds the old or the new one, also after a crash."""
    with _written_beside(path, ring) as beside:
        beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else changes the ring in this folder meanwhile: of two who added a master key at once one would take the other's away,
    and with it all that it has wrapped by then."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def _written_beside(path: Path, ring: Ring) -> Iterator[Path]:
    """A file with the whole ring that only we may read; gone afterwards, unless it took the path's place."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(ring.text() + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _new_id() -> str:
    return secrets.token_hex(4)


def _told(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _read(text: Any) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (TypeError, binascii.Error):
        raise ValueError("a key is not in base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    return key

"""A folder of an SFTP server, whose host key was looked at when the destination was made: another key, and nothing is sent."""

import base64
import io
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import paramiko

from cdp.errors import DomainError
from cdp.exports.places.place import (
    CHECK,
    CHECK_NAME,
    PAUSE_SECONDS,
    KeepOn,
    PlaceError,
    blocks,
    checked_name,
    checked_prefix,
    not_reached,
)
from cdp.outbound import Unreachable, connected

SSH: Final = 22


@dataclass(frozen=True, kw_only=True, slots=True)
class SftpPlace:
    """Logs in with the private key, where there is one, else with the password. ``host_key`` is a line as ``ssh-ed25519 AAAA…``."""

    host: str
    port: int
    username: str
    host_key: str
    path: str = ""
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)

    def put(self, name: str, file: Path, *, content_type: str, sha256: str, keep_on: KeepOn) -> None:
        checked_name(name)
        with self._opened() as sftp:
            _leave(sftp, self._at(name), blocks(file, keep_on), file.stat().st_size)

    def check(self) -> None:
        with self._opened() as sftp:
            path = self._at(CHECK_NAME)
            _leave(sftp, path, iter([CHECK]), len(CHECK))
            sftp.remove(path)

    def _at(self, name: str) -> str:
        return posixpath.join(checked_path(self.path), name)

    @contextmanager
    def _opened(self) -> Iterator[paramiko.SFTPClient]:
        with _said(), _transport(self.host, self.port) as transport:
            expected = parsed_host_key(self.host_key)
            transport.get_security_options().key_types = _key_types(expected)
            transport.start_client(timeout=PAUSE_SECONDS)
            found = transport.get_remote_server_key()
            if (found.get_name(), found.asbytes()) != (expected.get_name(), expected.asbytes()):
                raise PlaceError("host_key", "The server shows another host key than the one that was agreed on.")
            if self.private_key:
                transport.auth_publickey(self.username, parsed_private_key(self.private_key))
            else:
                transport.auth_password(self.username, self.password)
            sftp = paramiko.SFTPClient.from_transport(transport)
            if sftp is None:
                raise PlaceError("refused", "The server opened no channel for files.")
            with sftp:
                channel = sftp.get_channel()
                if channel is not None:
                    channel.settimeout(PAUSE_SECONDS)
                yield sftp


def _leave(sftp: paramiko.SFTPClient, path: str, content: Iterator[bytes], size: int) -> None:
    """Under another name until all of it is there."""
    part = f"{path}.{uuid4().hex[:8]}.part"
    try:
        with sftp.open(part, "wb") as target:
            target.set_pipelined(True)
            for block in content:
                target.write(block)
        if sftp.stat(part).st_size != size:
            raise PlaceError("broke_off", "Not all of the file arrived.")
        try:
            sftp.posix_rename(part, path)
        except OSError:  # a server without that extension of OpenSSH
            _remove(sftp, path)
            sftp.rename(part, path)
    except BaseException:
        _remove(sftp, part)
        raise


def _remove(sftp: paramiko.SFTPClient, path: str) -> None:
    # It isn't there, or nobody is any more.
    with suppress(OSError, EOFError, paramiko.SSHException):
        sftp.remove(path)


@contextmanager
def _transport(host: str, port: int) -> Iterator[paramiko.Transport]:
    try:
        link = connected(host, port, own_port=SSH)
    except Unreachable as error:
        raise not_reached(error) from None
    transport = paramiko.Transport(link)
    try:
        yield transport
    finally:
        transport.close()
        link.close()


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except paramiko.AuthenticationException:
        raise PlaceError("not_allowed", "The server refused the user name, or the password or key.") from None
    except PermissionError:
        raise PlaceError("not_allowed", "This user may not write there.") from None
    except FileNotFoundError:
        raise PlaceError("not_found", "The folder isn't there.") from None
    except TimeoutError:
        raise PlaceError("took_too_long", "It took too long.") from None
    except (paramiko.SSHException, EOFError, OSError):
        raise PlaceError("broke_off", "The connection broke off.") from None


# ---- Keys ------------------------------------------------------------------------------------------------------------

PRIVATE_KINDS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


def host_key_of(host: str, port: int) -> str:
    """The key that the server shows now, as a line; for somebody to compare with what its operator says.

    Raises:
        PlaceError: it couldn't be asked.
        cdp.outbound.Refused: nothing is sent there.
    """
    with _said(), _transport(host, port) as transport:
        transport.start_client(timeout=PAUSE_SECONDS)
        key = transport.get_remote_server_key()
        return f"{key.get_name()} {key.get_base64()}"


def fingerprint_of(line: str) -> str:
    """As ``ssh-keygen -l`` writes it: SHA256:…"""
    return str(parsed_host_key(line).fingerprint)


def parsed_host_key(line: str) -> paramiko.PKey:
    """
    Raises:
        DomainError: it is none.
    """
    malformed = DomainError("host_key_malformed", "A host key is a line like “ssh-ed25519 AAAA…”.", "/host_key")
    entry: Any = None
    try:
        kind, data = line.split()[:2]
        entry = paramiko.PKey.from_type_string(kind, base64.b64decode(data, validate=True))
    except (ValueError, paramiko.SSHException, IndexError):
        raise malformed from None
    if entry is None:
        raise malformed
    found: paramiko.PKey = entry
    return found


def parsed_private_key(text: str) -> paramiko.PKey:
    """
    Raises:
        DomainError: it is none of the kinds we can use, or is locked by a passphrase.
    """
    for kind in PRIVATE_KINDS:
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            raise DomainError(
                "private_key_locked", "This private key is locked by a passphrase; use one without.", "/private_key"
            ) from None
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise DomainError(
        "private_key_malformed", "A private key is in PEM or OpenSSH's format: Ed25519, ECDSA or RSA.", "/private_key"
    )


def checked_path(path: str) -> str:
    """A path on the server: its parts as those of a prefix, from its root with a slash before them."""
    inner = checked_prefix(path, pointer="/path")
    return f"/{inner}" if path.startswith("/") else inner


def _key_types(expected: paramiko.PKey) -> tuple[str, ...]:
    """Only the kind of key that was agreed on is asked for: a server may have several."""
    name = expected.get_name()
    return ("rsa-sha2-512", "rsa-sha2-256") if name == "ssh-rsa" else (name,)

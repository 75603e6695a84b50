"""What every place can do, and how it says that it couldn't."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from cdp.errors import DomainError
from cdp.outbound import Unreachable

NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
BLOCK: Final = 256 * 1024
WHOLE_SECONDS: Final = 4 * 3600
PAUSE_SECONDS: Final = 60.0
CHECK: Final = b"This file was put here to try whether one can be. It may be deleted.\n"
CHECK_NAME: Final = "cdp-check.txt"

KeepOn = Callable[[int], None]
"""Told how many bytes are on their way; what it raises ends the transfer, of which nothing is left."""


class PlaceError(Exception):
    """A place didn't take a file. ``why`` is one of a few words that can be counted, ``detail`` says it without secrets."""

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(f"{why}: {detail}")
        self.why, self.detail = why, detail


UNREACHABLE: Final = {
    "not_connected": "There was no connection.",
    "took_too_long": "It took too long.",
    "certificate": "Its certificate proves nothing.",
    "broke_off": "The connection broke off.",
}


def not_reached(error: Unreachable) -> PlaceError:
    return PlaceError(error.why, UNREACHABLE[error.why])


class Place(Protocol):
    """Somewhere files are left."""

    def put(self, name: str, file: Path, *, content_type: str, sha256: str, keep_on: KeepOn) -> None:
        """Leaves the whole file under this name, in place of one of the same name.

        Raises:
            PlaceError: it didn't; under the name is what was there before.
            cdp.outbound.Refused: nothing is sent to this address.
        """
        ...

    def check(self) -> None:
        """Puts a small file, and removes it where the place can.

        Raises:
            PlaceError: files can't be put.
        """
        ...


def checked_name(name: str) -> str:
    """
    Raises:
        DomainError: a place could take it for something else than a name.
    """
    if not NAME.fullmatch(name):
        raise DomainError(
            "name_malformed", "A file's name has letters, digits, “.”, “_” and “-”, and begins with no full stop."
        )
    return name


def checked_prefix(prefix: str, *, pointer: str) -> str:
    """The parts of a path before a name, without slashes around it.

    Raises:
        DomainError: a part could lead elsewhere.
    """
    parts = [one for one in prefix.split("/") if one]
    if not all(NAME.fullmatch(one) for one in parts) or len(prefix) > 500:
        raise DomainError(
            "path_malformed", "A path has parts of letters, digits, “.”, “_” and “-”, none of them “..”.", pointer
        )
    return "/".join(parts)


def blocks(file: Path, keep_on: KeepOn, *, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    """The file, or a stretch of it, in blocks."""
    with file.open("rb") as source:
        source.seek(start)
        left = file.stat().st_size - start if size is None else size
        done = start
        while left > 0 and (block := source.read(min(BLOCK, left))):
            yield block
            left -= len(block)
            done += len(block)
            keep_on(done)

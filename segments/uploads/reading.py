"""Reading files of people: which separator, whether the first line is a heading, and what its columns seem to hold.

Nothing here looks at people that are known.
"""

import csv
import hashlib
import io
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final
from uuid import UUID

from cdp.errors import DomainError
from cdp.identity.normalise import ANONYMOUS_ID, EMAIL, EMAIL_SHAPE, MAX_LENGTH, USER_ID
from segments.list_people import PUBLIC_ID

MOST_BYTES: Final = 50 * 1024 * 1024
MOST_ROWS: Final = 500_000
MOST_COLUMNS: Final = 30
LONGEST_LINE: Final = 20_000
# Of two that stand equally often, as where there is one column, the first.
SEPARATORS: Final = (",", ";", "\t")
# What others call what we know people by, written as small letters and digits alone.
CALLED: Final = {
    "email": EMAIL, "emailaddress": EMAIL, "mail": EMAIL, "userid": USER_ID, "user": USER_ID, "customerid": USER_ID,
    "customer": USER_ID, "customernumber": USER_ID, "anonymousid": ANONYMOUS_ID, "device": ANONYMOUS_ID, "deviceid": ANONYMOUS_ID,
    "uuid": PUBLIC_ID, "profile": PUBLIC_ID, "profileid": PUBLIC_ID,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heading:
    """Names of the columns, and whether they stand in the file's first line or were made up for one that has none."""

    names: list[str]
    is_in_file: bool


def digest(content: IO[bytes]) -> str:
    """The file's SHA-256; it is read through once and stands at its beginning again.

    Raises:
        DomainError: it is too large.
    """
    found, size = hashlib.sha256(), 0
    while part := content.read(1024 * 1024):
        size += len(part)
        found.update(part)
        if size > MOST_BYTES:
            raise DomainError("file_too_large", f"A file has at most {MOST_BYTES // 1024**2} MB.", "/file", status=413)
    content.seek(0)
    return found.hexdigest()


def rows_of(content: IO[bytes]) -> Generator[list[str], None, None]:
    """The lines of the file, each as its cells.

    Raises:
        DomainError: it is no CSV in UTF-8.
    """
    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    try:
        first = next(lines := _lines(text), "")
        separator = max(SEPARATORS, key=first.count)
        yield next(csv.reader([first], delimiter=separator, strict=True), [])
        yield from csv.reader(lines, delimiter=separator, strict=True)
    except UnicodeDecodeError:
        raise DomainError("file_not_utf8", "The file is not UTF-8. Save it as “CSV UTF-8”.", "/file") from None
    except csv.Error:
        message = "The file is not CSV: a quotation mark isn't closed, or a field is too long."
        raise DomainError("file_not_csv", message, "/file") from None
    finally:
        text.detach()  # or it would close what isn't ours


def _lines(text: IO[str]) -> Iterator[str]:
    """The file's lines, none of which is longer than memory should be asked for: a row of separators alone takes many times its size.

    Raises:
        DomainError: one is too long.
    """
    number = 0
    while line := text.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            message = f"Line {number} is too long: a line has at most {LONGEST_LINE:,} characters."
            raise DomainError("line_too_long", message, "/file")
        yield line


def heading_of(first: Sequence[str]) -> Heading:
    """
    Raises:
        DomainError: there is nothing in the first line, or too many columns.
    """
    if not any(cell.strip() for cell in first):
        raise DomainError("file_empty", "The file has nothing in its first line.", "/file")
    if len(first) > MOST_COLUMNS:
        raise DomainError(
            "too_many_columns", f"A file has at most {MOST_COLUMNS} columns; leave out the others.", "/file"
        )
    if any(_looks_like(cell) for cell in first):  # somebody's identifier is no heading
        return Heading([f"Column {number}" for number in range(1, len(first) + 1)], is_in_file=False)
    names = [cell.replace("\x00", "").strip()[:100] or f"Column {number}" for number, cell in enumerate(first, start=1)]
    return Heading(names, is_in_file=True)


def cells_of(row: Sequence[str], columns: int) -> list[str]:
    """The row's cells, one for each column; what can be nobody's identifier is left out."""
    cells = [cell.strip() for cell in row[:columns]]
    usable = [cell if len(cell) <= MAX_LENGTH and "\x00" not in cell else "" for cell in cells]
    return usable + [""] * (columns - len(usable))


def guessed(names: Sequence[str], first: Sequence[Sequence[str]], known: Collection[str]) -> list[str]:
    """For each column the namespace that its name says, or else its first rows; "" where neither says one.

    Args:
        known: the namespaces in use.
    """
    return [_guess(name, [row[place] for row in first if row[place]], known) for place, name in enumerate(names)]


def _guess(name: str, cells: Sequence[str], known: Collection[str]) -> str:
    plain = "".join(one for one in name.lower() if one.isalnum())
    by_name = {"".join(one for one in namespace if one.isalnum()): namespace for namespace in known}
    if found := by_name.get(plain) or CALLED.get(plain):
        return found
    seen = [_looks_like(cell) for cell in cells]
    return next((one for one in (EMAIL, PUBLIC_ID) if seen and seen.count(one) * 2 >= len(seen)), "")


def _looks_like(cell: str) -> str:
    text = cell.strip().lower()
    if EMAIL_SHAPE.fullmatch(text):
        return EMAIL
    try:
        return PUBLIC_ID if len(text) >= 32 and UUID(text) else ""
    except ValueError:
        return ""

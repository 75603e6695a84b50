"""Lists as CSV for people who open them in a spreadsheet: line by line, with no cell that would run as a formula.

What a list holds, who may take it away and that this is on record are its screen's part.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from django.http import StreamingHttpResponse

FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """A file that gives back what is written to it, so that rows can be streamed."""

    def write(self, line: str) -> str:
        return line


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The header and the rows as CSV, in bounded memory. What a spreadsheet would take for a formula is marked as text."""
    writer = csv.writer(_Line())
    for row in chain([header], rows):  # a heading can be a trait's name, which whoever sends events chooses
        yield writer.writerow([f"'{cell}" if cell.startswith(FORMULAS) else cell for cell in row])


def as_file(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> StreamingHttpResponse:
    """The list as a file to be kept by nobody between us and the reader."""
    return StreamingHttpResponse(
        lines(header, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )

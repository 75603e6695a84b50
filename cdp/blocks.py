"""Bytes that come in pieces: joined to larger ones, and read as a file. In memory is one block, however much comes."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

Piece = bytes | bytearray | memoryview


def joined(pieces: Iterable[Piece], *, size: int) -> Iterator[bytes]:
    """The same bytes in blocks of about so many; none is empty. What COPY sends comes row by row, and to hand on each row
    costs more than to make it."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece  # copied at once: to keep thousands of the driver's views costs more than to copy them
        if len(gathered) >= size:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


class BlockFile(io.RawIOBase):
    """Blocks as a file that can be read once."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks, self.left = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any, /) -> int:
        while not self.left:
            block = next(self.blocks, None)
            if block is None:
                return 0
            self.left = memoryview(block)
        size = min(len(into), len(self.left))
        into[:size] = self.left[:size]
        self.left = self.left[size:]
        return size

"""Files as they come out of the database: CSV, NDJSON or Parquet, in memory that doesn't grow with them.

The rows are read over a connection of its own, all as of one moment, so that meanwhile the work's connection can say how far it is.
"""

import csv
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from django.db import DEFAULT_DB_ALIAS, connections

from cdp.blocks import BlockFile
from cdp.exports.asking import Column, Question
from cdp.exports.fields import Kind
from cdp.exports.models import Format
from cdp.spreadsheet import FORMULAS

BLOCK: Final = 1 << 20
GZIP_LEVEL: Final = 1  # ids hardly shrink: level 5 takes 2.5 times as long for 4.3 % less
TYPES: Final = {
    Kind.TEXT: pa.string(),
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.MOMENT: pa.timestamp("us", tz="UTC"),
}
KeepOn = Callable[[int], None]
"""Told how many rows were read so far, now and then; what it raises ends the work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    rows: int
    bytes: int
    sha256: str


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _Counting(io.RawIOBase):
    """What is written, counted and hashed on its way."""

    def __init__(self, inner: BinaryIO) -> None:
        self.inner, self.size, self.digest = inner, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any, /) -> int:
        self.inner.write(data)
        self.digest.update(data)
        length = len(memoryview(data).cast("B"))
        self.size += length
        return length


@contextmanager
def reading(*, seconds: int) -> Iterator[psycopg.Connection[Any]]:
    """A connection beside Django's, in a transaction that sees one moment and changes nothing; each statement may take so long."""
    other = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        other.ensure_connection()
        raw: psycopg.Connection[Any] = other.connection
        with raw.transaction():
            raw.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            raw.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])
            yield raw
    finally:
        other.close()


def asked(raw: psycopg.Connection[Any], sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All rows of a small answer."""
    with psycopg.ClientCursor(raw) as cursor:
        return cursor.execute(sql.encode(), params).fetchall()


def write(
    file: BinaryIO, question: Question, *, raw: psycopg.Connection[Any], format: str, is_gzipped: bool, keep_on: KeepOn
) -> Written:
    """The whole answer in the file."""
    counted = _Counting(file)
    sink: _Writable = counted
    packer = _Gzip(counted) if is_gzipped else None
    if packer is not None:
        sink = packer
    with psycopg.ClientCursor(raw) as cursor:
        rows = _Rows(cursor, question, as_csv=format != Format.NDJSON, keep_on=keep_on)
        if format == Format.PARQUET:
            _parquet(counted, rows, question.columns)
        else:
            if format == Format.CSV:
                sink.write(_heading(question.columns))
            for block in rows.blocks():
                sink.write(block)
    if packer is not None:
        packer.end()
    return Written(rows=rows.count, bytes=counted.size, sha256=counted.digest.hexdigest())


class _Gzip:
    def __init__(self, inner: _Writable) -> None:
        self.inner, self.packer = inner, zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)

    def write(self, data: bytes, /) -> None:
        self.inner.write(self.packer.compress(data))

    def end(self) -> None:
        self.inner.write(self.packer.flush())


class _Rows:
    """What COPY sends, in blocks of about `BLOCK` bytes; the server sends each row by itself, so rows are counted as they pass."""

    def __init__(self, cursor: Any, question: Question, *, as_csv: bool, keep_on: KeepOn) -> None:
        self.cursor, self.question, self.keep_on, self.count = cursor, question, keep_on, 0
        # As lines of JSON it is CSV by signs that never occur in any, so that nothing is quoted or escaped.
        self.options = "(FORMAT csv)" if as_csv else "(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"

    def blocks(self) -> Iterator[bytes]:
        statement = f"COPY ({self.question.sql}) TO STDOUT {self.options}"
        gathered, size = [], 0
        with self.cursor.copy(statement.encode(), self.question.params) as copy:
            for row in copy:
                gathered.append(bytes(row))
                size += len(row)
                if size >= BLOCK:
                    self.count += len(gathered)
                    yield b"".join(gathered)
                    self.keep_on(self.count)
                    gathered, size = [], 0
        self.count += len(gathered)
        yield b"".join(gathered)


def _heading(columns: Sequence[Column]) -> bytes:
    """A heading can be a trait's name, which whoever sends events chooses."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        f"'{one.name}" if one.name.startswith(FORMULAS) else one.name for one in columns
    )
    return line.getvalue().encode()


def _parquet(sink: Any, rows: _Rows, columns: Sequence[Column]) -> None:
    """A group of rows for each block. An empty text stays one: it is quoted, what is missing isn't."""
    schema = pa.schema([(one.name, TYPES[one.kind]) for one in columns])
    blocks = rows.blocks()
    first = next(blocks)
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        if not first:
            return  # of nobody; the reader would take it for a mistake
        stream = BlockFile(_chained(first, blocks))
        batches = pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(column_names=schema.names, block_size=4 * BLOCK, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                true_values=["true"],
                false_values=["false"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in batches:
            writer.write_batch(batch)


def _chained(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks

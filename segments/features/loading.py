"""Loads features of people from the database into arrays: the only bridge from the one to the others.

What is counted is in `segments.features.counting`; what is computed from it in `segments.analytics`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray

from cdp.database import ask_prepared, bound_cursor
from cdp.profiles.models import Profile
from consent.models import Purpose
from segments.features.counting import statement_for
from segments.features.matrix import FeatureMatrix
from segments.features.people import profiled
from segments.features.resolving import resolve
from segments.queries import Query, query_of

# Up to so many people are looked up one by one, by plans that the connection keeps (docs/adr/0020).
FEW: Final = 50
# What is read between two looks at it; it bounds what is held beside the arrays themselves.
BLOCK_BYTES: Final = 8 * 2**20

# Of the server, for each grouping of everybody; what it takes is as much as the people need.
GROUPING_MEMORY: Final = "128MB"

# The binary form of COPY: a signature, flags and an extension's length; then the rows; then -1 as a number of fields.
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES: Final = 19
_TRAILER: Final = b"\xff\xff"


def load_features(
    keys: Sequence[str],
    *,
    as_of: datetime,
    window_days: int,
    purpose: Purpose,
    profile_ids: Collection[int] | None = None,
) -> FeatureMatrix:
    """The figures of everybody who may be profiled for the purpose and was seen in the window, in one look at the database.

    Args:
        keys: of features, as `segments.features.catalogue` has them; each once.
        window_days: what happened in [as_of - window_days, as_of) counts. Traits count as they are now.
        profile_ids: only of these people; those who may not be profiled, or weren't seen, aren't in the answer.

    Raises:
        DomainErrors: keys of what isn't there, or what no analysis may read.
        Forbidden: people aren't grouped for this purpose.
    """
    resolved = resolve(keys, as_of=as_of, window_days=window_days)
    people = people_seen(purpose, as_of=as_of, window_days=window_days)
    params = {**people.params, **resolved.params}
    if profile_ids is None:
        return _copied(statement_for(resolved.figures, people.sql), params, tuple(keys))
    ids = sorted(set(profile_ids))
    few = f"SELECT * FROM ({people.sql}) AS permitted WHERE permitted.id = ANY(%(ids)s::bigint[])"
    params["ids"] = ids
    if len(ids) > FEW:
        return _copied(statement_for(resolved.figures, few, few=True), params, tuple(keys))
    (rows,) = ask_prepared([(statement_for(resolved.figures, few, one_by_one=True), params)])
    rows.sort()
    found = np.array([row[0] for row in rows], dtype=np.int64)
    values = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), len(keys))
    return FeatureMatrix(ids=found, values=values, keys=tuple(keys))


def people_seen(purpose: Purpose, *, as_of: datetime, window_days: int) -> Query:
    """`id` and `first_seen_at` of those who may be profiled for the purpose and were seen in the window."""
    sql, operands, since, until = _seen_by(
        purpose.pk, purpose.key, purpose.mode, purpose.lawful_basis, purpose.covers_profiling
    )
    return Query(sql=sql, params={**operands, since: as_of - timedelta(days=window_days), until: as_of})


_SINCE, _UNTIL = datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC)


# Putting a queryset into words takes longer than asking about one person.
@lru_cache(maxsize=64)
def _seen_by(pk: int, key: str, mode: str, basis: str, covers_profiling: bool) -> tuple[str, dict[str, Any], str, str]:
    """The text for a purpose that is set up so, its operands, and the names of those two that are the window."""
    purpose = Purpose(pk=pk, key=key, mode=mode, lawful_basis=basis, covers_profiling=covers_profiling)
    seen = Profile.objects.filter(last_seen_at__gte=_SINCE, first_seen_at__lt=_UNTIL)
    query = query_of(profiled(seen, purpose).values("id", "first_seen_at"))
    named = {value: name for name, value in query.params.items() if value in (_SINCE, _UNTIL)}
    return query.sql, dict(query.params), named[_SINCE], named[_UNTIL]


def _copied(sql: str, params: dict[str, Any], keys: tuple[str, ...]) -> FeatureMatrix:
    blocks = list(_blocks(sql, params, len(keys)))
    ids = np.concatenate([np.empty(0, dtype=np.int64), *(ids for ids, _ in blocks)])
    values = np.empty((len(ids), len(keys)), dtype=np.float64)
    # The server gives them as it meets them; ordering them here costs less than having it order whole rows.
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = np.arange(len(ids))
    at = 0
    for number, (of_block, figures) in enumerate(blocks):
        values[place[at : at + len(of_block)]] = figures
        at += len(of_block)
        blocks[number] = (of_block, figures[:0])  # it is copied: two of everything are never held
    return FeatureMatrix(ids=ids[order], values=values, keys=keys)


def _blocks(sql: str, params: dict[str, Any], width: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Ids and figures, a stretch of the answer at a time.

    No field is NULL, so all rows are of one length and the stream is an array of records.
    """
    record = np.dtype(
        [
            ("fields", ">i2"),
            ("id_bytes", ">i4"),
            ("id", ">i8"),
            ("figures", [("bytes", ">i4"), ("figure", ">f8")], (width,)),
        ]
    )
    held, header = bytearray(), True
    with (
        transaction.atomic(),
        _memory_to_group(),
        bound_cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT BINARY)", params) as copy,
    ):
        for part in copy:
            held += part
            if len(held) < BLOCK_BYTES:
                continue
            header = _without_header(held) if header else header
            yield _read(held, record, width)
        if header:
            _without_header(held)
        if len(held) % record.itemsize != len(_TRAILER) or not held.endswith(_TRAILER):
            raise ValueError("the answer ended within a row")
        del held[-len(_TRAILER) :]
        yield _read(held, record, width)


@contextmanager
def _memory_to_group() -> Iterator[None]:
    """Room for the server to group a million people without writing them to disk and reading them again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('work_mem')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('work_mem', %s, true)", [GROUPING_MEMORY])
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", [before])


def _without_header(held: bytearray) -> bool:
    if not held.startswith(_SIGNATURE):
        raise ValueError("the server answers in another form than COPY's binary one")
    del held[: _HEADER_BYTES + int.from_bytes(held[_HEADER_BYTES - 4 : _HEADER_BYTES], "big")]
    return False


def _read(held: bytearray, record: np.dtype[Any], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The whole rows at the beginning of what is held, which are taken off it."""
    whole = len(held) // record.itemsize
    rows = np.frombuffer(bytes(held[: whole * record.itemsize]), dtype=record)
    if not (
        (rows["fields"] == width + 1).all() and (rows["id_bytes"] == 8).all() and (rows["figures"]["bytes"] == 8).all()
    ):
        raise ValueError("a row of the answer has other fields than were asked for")
    del held[: whole * record.itemsize]
    return rows["id"].astype(np.int64), rows["figures"]["figure"].astype(np.float64)

"""The work of an export: its people are written to a file of ours, and the file is handed over to where it goes.

A worker may be killed at any point. A file has its name only once it is whole, a worker that lost its lease writes nothing of it down,
and whoever takes the work over goes on with what is written, or begins anew.
"""

import errno
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from cdp.exports.access import refuse_who_may_not
from cdp.exports.asking import Stretch, question
from cdp.exports.fields import chosen
from cdp.exports.handing import hand_over
from cdp.exports.keeping import folder, path_of
from cdp.exports.models import Export
from cdp.exports.writing import Written, asked, reading, write

READ_SECONDS: Final = 4 * 3600  # that one statement may take
STILL_TRUE: Final = timedelta(minutes=15)
"""How old a file may be that a worker left behind: later its people are asked anew what they permit."""
EVERY_SECONDS: Final = 0.5
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    file: str
    written: Written
    as_of: datetime
    after: int | None
    position: int
    withheld: list[int]


class _Slowly:
    """Progress told twice a second at most."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.next = progress, time.monotonic()

    def __call__(self, done: int, total: int, phase: str) -> None:
        if time.monotonic() >= self.next:
            self.progress(done, total, phase)
            self.next = time.monotonic() + EVERY_SECONDS


def make(export: Export, *, progress: Progress) -> dict[str, Any]:
    """Figures of what came of it.

    Args:
        progress: told rows or bytes, of how many, and which; what it raises ends the work.

    Raises:
        DomainError: whoever asked may not have it any more, or it can't be written or handed over; says why.
    """
    refuse_who_may_not(export.user, export)
    if not _is_still_there(export):
        _enter(export, _write(export, progress), progress)
    if export.destination is not None:
        hand_over(export, progress=_Slowly(progress))
    _finish(export, progress)
    return {"rows": export.rows, "bytes": export.bytes}


def _is_still_there(export: Export) -> bool:
    if not export.file or export.as_of is None or timezone.now() - export.as_of > STILL_TRUE:
        return False
    path = path_of(export)
    return path.exists() and path.stat().st_size == export.bytes


# ---- Writing -------------------------------------------------------------------------------------------------------


def _write(export: Export, progress: Progress) -> _Made:
    slowly = _Slowly(progress)
    progress(0, 0, "finding people")
    fields = chosen(export.fields, may_reveal=True)
    as_of = timezone.now()
    name = f"{export.uuid}.{uuid4().hex[:8]}.{export.ending}"
    with reading(seconds=READ_SECONDS) as raw, _new_file(name) as file:
        audience, after = export.audience, export.after
        audience.position, audience.size, kept_after, is_filled = _standing(raw, audience.pk)
        if not is_filled:
            raise Conflict("audience_not_filled", "The audience isn't filled yet; try again in a minute.")
        if after is not None and not kept_after <= after <= audience.position:
            after = None  # what changed since can't be told any more
        again = tuple(export.since.withheld) if export.since is not None and after is not None else ()
        stretch = Stretch(audience=audience, after=after, again=again)
        asks = question(stretch, fields, format=export.format, is_for_spreadsheets=export.is_for_spreadsheets)
        total = audience.size if after is None else 0
        written = write(
            file,
            asks,
            raw=raw,
            format=export.format,
            is_gzipped=export.is_gzipped,
            keep_on=lambda rows: slowly(rows, max(rows, total), "writing"),
        )
        withheld = [] if after is None and written.rows == audience.size else _withheld(raw, stretch)
    return _Made(file=name, written=written, as_of=as_of, after=after, position=audience.position, withheld=withheld)


def _standing(raw: psycopg.Connection[Any], audience: int) -> tuple[int, int, int, bool]:
    found = asked(
        raw,
        "SELECT position, size, kept_after, compared_at IS NOT NULL FROM activation_audience WHERE id = %s",
        [audience],
    )
    if not found:
        raise DomainError("audience_gone", "The audience was deleted.")
    position, size, kept_after, is_filled = found[0]
    return position, size, kept_after, is_filled


def _withheld(raw: psycopg.Connection[Any], stretch: Stretch) -> list[int]:
    sql, params = stretch.withheld.order_by("profile_id").values_list("profile_id").query.sql_with_params()
    return [row[0] for row in asked(raw, sql, params)]


@contextmanager
def _new_file(name: str) -> Any:
    """A file that has its name once all of it is on the disk; without a word of it if not."""
    part, path = folder() / f".{name}.part", folder() / name
    try:
        with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DomainError("no_room", "There is no room for the file where exports are kept.") from None
        raise
    finally:
        part.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@transaction.atomic
def _enter(export: Export, made: _Made, progress: Progress) -> None:
    """Writes down that it is made, before anybody has it; unless somebody else makes it by now."""
    try:
        progress(made.written.rows, made.written.rows, "written")
    except BaseException:
        (folder() / made.file).unlink(missing_ok=True)
        raise
    export.file, export.as_of, export.after = made.file, made.as_of, made.after
    export.position, export.withheld = made.position, made.withheld
    export.rows, export.bytes, export.sha256 = made.written.rows, made.written.bytes, made.written.sha256
    export.expires_at = timezone.now() + timedelta(days=settings.EXPORT_DAYS)
    export.save(
        update_fields=["file", "as_of", "after", "position", "withheld", "rows", "bytes", "sha256", "expires_at"]
    )
    record(
        by=SYSTEM,
        action="export.made",
        object=export.audience,
        purpose=export.audience.purpose.key,
        detail={
            "export": str(export.uuid),
            "for": export.user.get_username() if export.user else None,
            "position": made.position,
            "after": made.after,
            "count": made.written.rows,
            "fields": ["uuid", *export.fields],
            "format": export.format,
            "sha256": made.written.sha256,
        },
    )


@transaction.atomic
def _finish(export: Export, progress: Progress) -> None:
    assert export.rows is not None
    progress(export.rows, export.rows, "done")
    export.finished_at = timezone.now()
    if export.destination is not None:
        # It is where it was wanted; what we kept of it was for handing it over.
        path_of(export).unlink(missing_ok=True)
        export.file = ""
    export.save(update_fields=["finished_at", "file"])

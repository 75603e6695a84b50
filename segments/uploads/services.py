"""Files of people, from their upload to their end: looked at first, then matched in batches that may be killed and run again, then
applied all at once. Until then nothing of a list has changed, and nobody is made.

How a file is read is in `segments.uploads.reading`; how a list is changed, in `segments.lists`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import IO, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, DomainError
from cdp.identity.normalise import NAMESPACE
from cdp.jobs.models import Job
from cdp.jobs.services import Progress, enqueue
from cdp.profiles.querysets import namespaces
from segments.list_people import PUBLIC_ID, who_is
from segments.lists import Changed, add_people, remove_people, replace_people, storable
from segments.models import StaticList
from segments.uploads.models import ListUpload, Problem, UploadMode, UploadRow, UploadState
from segments.uploads.reading import MOST_ROWS, cells_of, digest, guessed, heading_of, rows_of

APPLY_KIND: Final = "segments.apply_upload"
AT_ONCE: Final = 5_000
LOOKED_AT: Final = 200
MOST_PROBLEMS: Final = 10_000
PURGE: Final = Actor.system("purge of uploads")

COPY_ROWS = "COPY segments_uploadrow (upload_id, line, cells, problem) FROM STDIN"

MATCHED = """
    UPDATE segments_uploadrow r SET profile_id = g.profile_id, problem = g.problem, cells = NULL
      FROM unnest(%(ids)s::bigint[], %(people)s::bigint[], %(problems)s::text[]) AS g(id, profile_id, problem)
     WHERE r.id = g.id
"""
# Who was merged since their row was matched is whoever absorbed them; the ledger says who that is.
SETTLE = """
    WITH RECURSIVE now(was, who) AS (
        SELECT DISTINCT profile_id, profile_id FROM segments_uploadrow WHERE upload_id = %(upload)s AND profile_id IS NOT NULL
        UNION ALL
        SELECT now.was, m.survivor_id FROM now JOIN identity_merge m ON m.absorbed_id = now.who AND m.undone_at IS NULL
    )
    UPDATE segments_uploadrow r SET profile_id = now.who FROM now
     WHERE r.upload_id = %(upload)s AND r.profile_id = now.was AND now.was <> now.who
       AND NOT EXISTS (SELECT FROM identity_merge m WHERE m.absorbed_id = now.who AND m.undone_at IS NULL)
"""
REPEATED = """
    UPDATE segments_uploadrow r SET problem = 'repeated'
      FROM (SELECT id, row_number() OVER (PARTITION BY profile_id ORDER BY line) AS nth FROM segments_uploadrow
             WHERE upload_id = %(upload)s AND problem = '') AS one
     WHERE one.id = r.id AND one.nth > 1
"""


# ---- Uploading and looking -------------------------------------------------------------------------------------------


@transaction.atomic
def upload(
    *, static_list: StaticList, mode: UploadMode, name: str, content: IO[bytes], by: Actor, reason: str = ""
) -> ListUpload:
    """The file with its rows put aside, and for each column what it seems to hold.

    Raises:
        DomainError: it is no CSV in UTF-8, has no rows, or too many; or the reason can't be kept.
    """
    file = ListUpload(
        static_list=static_list,
        mode=mode,
        name=name.replace("\x00", "")[:150],
        reason=storable(reason.strip(), "/reason")[:200],
        sha256=digest(content),
        uploaded_by=by.label[:150],
    )
    with closing(rows_of(content)) as lines:
        _take(lines, file)
    detail = {"list": static_list.key, "mode": file.mode, "rows": file.rows, "sha256": file.sha256}
    record(by=by, action="list_upload.uploaded", object=file, detail=detail)
    return file


def _take(lines: Iterator[list[str]], file: ListUpload) -> None:
    first = next(lines, [])
    heading = heading_of(first)
    file.headings = heading.names
    file.save()
    numbered = enumerate(lines, start=2) if heading.is_in_file else _with_first(first, lines)
    # Cut to the heading's columns one by one: rows of separators alone would take many times the size of the file.
    columns = len(file.headings)
    filled = ((line, cells_of(row, columns)) for line, row in numbered if any(cell.strip() for cell in row))
    while rows := list(islice(filled, AT_ONCE)):
        file.rows += len(rows)
        if file.rows > MOST_ROWS:
            raise DomainError("too_many_rows", f"A file has at most {MOST_ROWS:,} rows; split it.", "/file")
        if not file.namespaces:
            file.namespaces = guessed(file.headings, [cells for _, cells in rows[:LOOKED_AT]], namespaces())
        with bound_cursor() as cursor, cursor.copy(COPY_ROWS) as copy:
            for line, cells in rows:
                copy.write_row((file.pk, line, cells, ""))
    if not file.rows:
        raise DomainError("file_empty", "The file has no rows below its heading.", "/file")
    file.save()


def _with_first(first: list[str], lines: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    yield 1, first
    yield from enumerate(lines, start=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The first rows, and of how many of those looked at each column leads to somebody; None where it isn't read."""

    rows: list[UploadRow]
    looked_at: int
    found: list[int | None]


def look(file: ListUpload) -> Look:
    """What the file's first rows would come to."""
    rows = list(UploadRow.objects.filter(upload=file).order_by("line")[:LOOKED_AT])
    found: list[int | None] = []
    for place, namespace in enumerate(file.namespaces):
        names = [f"{namespace}:{row.cells[place]}" for row in rows if row.cells and row.cells[place]]
        known = who_is(names) if namespace else {}
        found.append(sum(known[one] is not None for one in names) if namespace else None)
    return Look(rows=rows, looked_at=len(rows), found=found)


@transaction.atomic
def choose_columns(*, file: ListUpload, chosen: Sequence[str], by: Actor) -> ListUpload:
    """The file with other namespaces for its columns, in their order; "" for one that isn't read.

    Raises:
        DomainError: not as many as there are columns, or no such namespace.
        Conflict: it is being applied, or was.
    """
    file = _locked(file)
    if file.state != UploadState.READY:
        raise Conflict("upload_begun", "The file is being applied, or was.")
    if len(chosen) != len(file.headings) or not all(
        one in ("", PUBLIC_ID) or NAMESPACE.fullmatch(one) for one in chosen
    ):
        raise DomainError("columns_wrong", "Choose for each column what it holds, or that it isn't read.", "/column")
    if list(chosen) != file.namespaces:
        file.namespaces = list(chosen)
        file.save(update_fields=["namespaces"])
        record(by=by, action="list_upload.columns_chosen", object=file, detail={"namespaces": file.namespaces})
    return file


# ---- Applying --------------------------------------------------------------------------------------------------------


@transaction.atomic
def ask_to_apply(*, file: ListUpload, by: Actor, user: User | None) -> Job:
    """The job that applies it; the one that is waiting already, when there is one.

    Raises:
        DomainError: no column is read.
        Conflict: it was applied.
    """
    file = _locked(file)
    if file.state == UploadState.APPLIED:
        raise Conflict("upload_applied", "The file was applied already. Uploading it again is harmless, too.")
    if not any(file.namespaces):
        raise DomainError("no_column_chosen", "Choose at least one column by which people are known.", "/column")
    job = enqueue(
        kind=APPLY_KIND, params={"upload": str(file.uuid)}, by=by, user=user, dedupe_key=f"{APPLY_KIND}:{file.uuid}"
    )
    file.state, file.job = UploadState.APPLYING, job
    file.save(update_fields=["state", "job"])
    record(by=by, action="list_upload.asked_for", object=file, detail={"namespaces": file.namespaces})
    return job


def apply(*, file: ListUpload, by: Actor, progress: Progress) -> ListUpload:
    """The file with what it came to. Killed or stopped while rows are matched, nothing of the list has changed, and it goes on
    where it was; the list changes in one transaction at the end."""
    file.refresh_from_db()  # which columns are read was chosen after it was uploaded
    total = file.rows
    waiting = UploadRow.objects.filter(upload=file, cells__isnull=False)
    left, after = waiting.count(), 0
    progress(total - left, total, "finding people")
    while left > 0:
        lines = _match_some(file, after)
        # Without any, somebody else has matched them meanwhile: what is left is looked for from the beginning.
        left, after = (left - len(lines), lines[-1]) if lines else (waiting.count(), 0)
        progress(total - left, total, "finding people")
    progress(total, total, "changing the list")
    return _change(file, by)


@transaction.atomic
def _match_some(file: ListUpload, after: int) -> list[int]:
    """Which lines were matched, of those after this one; so that what was matched before isn't read anew each time."""
    waiting = UploadRow.objects.select_for_update().filter(upload=file, line__gt=after, cells__isnull=False)
    rows = list(waiting.order_by("line")[:AT_ONCE])
    names = [
        [
            f"{namespace}:{cell}"
            for namespace, cell in zip(file.namespaces, row.cells or (), strict=True)
            if namespace and cell
        ]
        for row in rows
    ]
    known = who_is([one for some in names for one in some])
    people: list[int | None] = []
    problems: list[str] = []
    for some in names:
        found = {known[one] for one in some} - {None}
        people.append(found.pop() if len(found) == 1 else None)
        problem = Problem.AMBIGUOUS if found else Problem.UNMATCHED if some else Problem.EMPTY
        problems.append("" if people[-1] is not None else problem)
    with bound_cursor() as cursor:
        cursor.execute(MATCHED, {"ids": [row.pk for row in rows], "people": people, "problems": problems})
    return [row.line for row in rows]


@transaction.atomic
def _change(file: ListUpload, by: Actor) -> ListUpload:
    file = _locked(file)
    if file.state == UploadState.APPLIED:
        return file
    with bound_cursor() as cursor:
        cursor.execute(SETTLE, {"upload": file.pk})
        cursor.execute(REPEATED, {"upload": file.pk})
    changed = _changed(file, by)
    rows = UploadRow.objects.filter(upload=file)
    counts = Counter(file.problem_counts)
    troubled = rows.exclude(problem="")
    for problem in troubled.values_list("problem", flat=True).iterator():
        counts[problem] += 1
    file.problem_counts = dict(counts)
    file.problems = [list(one) for one in troubled.order_by("line").values_list("line", "problem")[:MOST_PROBLEMS]]
    file.matched, file.added, file.removed = rows.filter(problem="").count(), changed.added, changed.removed
    file.state, file.applied_at = UploadState.APPLIED, timezone.now()
    file.save()
    _forget(file)
    detail = {"matched": file.matched, "added": file.added, "removed": file.removed, "problems": file.problem_counts}
    record(by=by, action="list_upload.applied", object=file, detail=detail)
    return file


def _changed(file: ListUpload, by: Actor) -> Changed:
    people = _people(file)
    if file.mode == UploadMode.REMOVE:
        return remove_people(static_list=file.static_list, profile_ids=people, by=by)
    act = replace_people if file.mode == UploadMode.REPLACE else add_people
    return act(static_list=file.static_list, profile_ids=people, by=by, reason=file.reason)


def _people(file: ListUpload) -> Iterator[int]:
    """Whom the rows name, each once, a part of them at a time."""
    after = 0
    while True:
        rows = UploadRow.objects.filter(upload=file, line__gt=after, problem="").order_by("line")
        some = list(rows.values_list("line", "profile_id")[: 2 * AT_ONCE])
        yield from (profile_id for _, profile_id in some if profile_id is not None)
        if not some:
            return
        after = some[-1][0]


# ---- Ending ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def discard(*, file: ListUpload, by: Actor) -> None:
    """Lets a file go that nobody wants to apply, with its rows.

    Raises:
        Conflict: it is being applied, or was.
    """
    file = _locked(file)
    if file.state == UploadState.APPLIED or (
        file.state == UploadState.APPLYING and file.job and not file.job.is_finished
    ):
        raise Conflict("upload_begun", "The file is being applied, or was. Stop its job first.")
    _forget(file)
    record(by=by, action="list_upload.discarded", object=file, detail={"sha256": file.sha256, "rows": file.rows})
    file.delete()


def discard_forgotten() -> int:
    """How many files were let go that nobody applied in time: their rows hold people's data."""
    before = timezone.now() - timedelta(days=settings.IMPORT_DAYS)
    forgotten = ListUpload.objects.filter(uploaded_at__lt=before).exclude(state=UploadState.APPLIED)
    discarded = 0
    for file in forgotten.order_by("pk")[:AT_ONCE]:
        with suppress(Conflict):  # its job has just begun, or ended
            discard(file=file, by=PURGE)
            discarded += 1
    return discarded


def _locked(file: ListUpload) -> ListUpload:
    return ListUpload.objects.select_for_update(of=("self",)).select_related("job", "static_list").get(pk=file.pk)


def _forget(file: ListUpload) -> None:
    with bound_cursor() as cursor:
        cursor.execute("DELETE FROM segments_uploadrow WHERE upload_id = %s", [file.pk])

"""Files of decisions: read whole before anything is applied, then applied in batches that may be killed and run again.

An import widens nothing by itself: it says what people decided and when, and an older word changes nothing. A yes needs evidence.
How one decision is recorded is in `cdp.collecting.services`; how a row is read, in `cdp.collecting.rows`; what a file would come to,
in `cdp.collecting.foreseeing`.
"""

import csv
import hashlib
import io
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from itertools import islice
from typing import IO, Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.collecting.models import ConsentImport, ImportRow, ImportState
from cdp.collecting.rows import RowReader
from cdp.collecting.services import Choice, collect_known
from cdp.errors import Conflict, DomainError
from cdp.jobs.models import Job
from cdp.jobs.services import Progress, enqueue
from consent.models import Decision, Method, Purpose
from consent.services import Shown

APPLY_KIND: Final = "collecting.apply_import"
MOST_BYTES: Final = 50 * 1024 * 1024
MOST_ROWS: Final = 500_000
MOST_ERRORS: Final = 10_000
AT_ONCE: Final = 1_000
LONGEST_HEADING: Final = 20_000
PURGE: Final = Actor.system("purge of imports")
# Of two that stand equally often, as where there is one column, the first.
SEPARATORS: Final = (",", ";", "\t")


@transaction.atomic
def upload(*, name: str, content: IO[bytes], creates_people: bool, by: Actor) -> ConsentImport:
    """The file as it was found: ready, or refused with what is to be mended in it, row by row.

    Raises:
        DomainError: it is no CSV in UTF-8, has no rows, too many, or not the columns that are needed.
    """
    file = ConsentImport.objects.create(
        name=name[:150],
        sha256=_digest(content),
        state=ImportState.READY,
        creates_people=creates_people,
        uploaded_by=by.label[:150],
    )
    with closing(_read(content)) as rows:
        _take(rows, file)
    if file.error_count:
        file.state = ImportState.REFUSED
        ImportRow.objects.filter(file=file).delete()
    file.save()
    detail = {"rows": file.rows, "errors": file.error_count, "sha256": file.sha256, "creates_people": creates_people}
    record(by=by, action="consent_import.uploaded", object=file, detail=detail)
    return file


def _digest(content: IO[bytes]) -> str:
    digest, size = hashlib.sha256(), 0
    while part := content.read(1024 * 1024):
        size += len(part)
        digest.update(part)
        if size > MOST_BYTES:
            raise DomainError("file_too_large", f"A file has at most {MOST_BYTES // 1024**2} MB.", status=413)
    content.seek(0)
    return digest.hexdigest()


def _take(rows: Iterator[list[str]], file: ConsentImport) -> None:
    """Puts the rows aside, as long as none is wrong, and what is wrong into the file's own row."""
    reader = RowReader(next(rows, []))
    numbered = ((number, row) for number, row in enumerate(rows, start=2) if row)
    while some := list(islice(numbered, AT_ONCE)):
        found = reader.read(some)
        room = MOST_ERRORS - len(file.errors)
        file.errors += [[one.row, one.column, one.code, one.message] for one in found.errors[:room]]
        file.error_count += len(found.errors)
        file.rows += len(some)
        if file.rows > MOST_ROWS:
            raise DomainError("too_many_rows", f"A file has at most {MOST_ROWS:,} rows; split it.")
        if not file.error_count:
            ImportRow.objects.bulk_create(ImportRow(file=file, **row) for row in found.rows)
    if not file.rows:
        raise DomainError("file_empty", "The file has no rows below its heading.")


def _read(content: IO[bytes]) -> Generator[list[str], None, None]:
    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    try:
        heading = text.readline(LONGEST_HEADING)
        separator = max(SEPARATORS, key=heading.count)
        yield next(csv.reader([heading], delimiter=separator, strict=True), [])
        yield from csv.reader(text, delimiter=separator, strict=True)
    except UnicodeDecodeError:
        raise DomainError("file_not_utf8", "The file is not UTF-8. Save it as “CSV UTF-8”.") from None
    except csv.Error:
        raise DomainError(
            "file_not_csv", "The file is not CSV: a quotation mark isn't closed, or a field is too long."
        ) from None
    finally:
        text.detach()  # or it would close what isn't ours


@transaction.atomic
def ask_to_apply(*, file: ConsentImport, by: Actor, user: User | None) -> Job:
    """The job that applies it.

    Raises:
        Conflict: there is something to mend first, or it was applied already.
    """
    file = ConsentImport.objects.select_for_update().get(pk=file.pk)
    if file.state == ImportState.REFUSED:
        raise Conflict("import_refused", "The file has errors. Mend them and upload it again.")
    if file.state == ImportState.APPLIED:
        raise Conflict("import_applied", "The file was applied already. Uploading it again is harmless, too.")
    job = enqueue(
        kind=APPLY_KIND, params={"import": str(file.uuid)}, by=by, user=user, dedupe_key=f"{APPLY_KIND}:{file.uuid}"
    )
    file.state, file.job = ImportState.APPLYING, job
    file.save(update_fields=["state", "job"])
    record(by=by, action="consent_import.asked_for", object=file)
    return job


def apply(*, file: ConsentImport, by: Actor, progress: Progress) -> ConsentImport:
    """The file with what it came to. Each batch is recorded, and its rows go, in one transaction: killed and run again it goes
    on where it was."""
    progress(file.rows - ImportRow.objects.filter(file=file).count(), file.rows, "recording decisions")
    while left := _apply_some(file, by):
        progress(file.rows - left, file.rows, "recording decisions")
    with transaction.atomic():
        file = ConsentImport.objects.select_for_update().get(pk=file.pk)
        if file.state != ImportState.APPLIED:
            file.state, file.applied_at = ImportState.APPLIED, timezone.now()
            file.save(update_fields=["state", "applied_at"])
            counts = {"recorded": file.recorded, "repeated": file.repeated, "unknown": file.unknown}
            record(by=by, action="consent_import.applied", object=file, detail=counts)
    progress(file.rows, file.rows, "recording decisions")
    return file


@transaction.atomic
def _apply_some(file: ConsentImport, by: Actor) -> int:
    """How many rows are left, 0 when there was none to apply."""
    rows = list(ImportRow.objects.select_for_update().filter(file=file).order_by("number")[:AT_ONCE])
    if not rows:
        return 0
    purposes = Purpose.objects.in_bulk({row.purpose_id for row in rows})
    done = collect_known(choices=[_choice(row, purposes, file) for row in rows], by=by, create=file.creates_people)
    recorded = len({one.record.pk for one in done if one is not None and not one.is_repeat})
    unknown = sum(one is None for one in done)
    ConsentImport.objects.filter(pk=file.pk).update(
        recorded=F("recorded") + recorded,
        repeated=F("repeated") + len(done) - unknown - recorded,
        unknown=F("unknown") + unknown,
    )
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM collecting_importrow WHERE id = ANY(%s)", [[row.pk for row in rows]])
    # At least one, so that whoever counts on goes on; the last look finds none.
    return ImportRow.objects.filter(file=file).count() or 1


def _choice(row: ImportRow, purposes: dict[int, Purpose], file: ConsentImport) -> Choice:
    said: dict[str, Any] = row.said
    return Choice(
        user=f"{row.namespace}:{row.value}",
        purpose=purposes[row.purpose_id],
        decision=Decision(said["decision"]),
        collected_at=row.collected_at,
        method=Method.IMPORT,
        shown=Shown(version_id=said.get("version")),
        jurisdiction=said.get("jurisdiction", ""),
        evidence={"import": str(file.uuid), "row": row.number},
        personal=said.get("evidence", {}),
    )


@transaction.atomic
def discard(*, file: ConsentImport, by: Actor) -> None:
    """Lets a file go that nobody wants to apply, with its rows; of one whose job was stopped, the rows that are left.

    Raises:
        Conflict: it is being applied, or was.
    """
    file = ConsentImport.objects.select_for_update(of=("self",)).select_related("job").get(pk=file.pk)
    is_moving = file.state == ImportState.APPLYING and not (file.job and file.job.is_finished)
    if is_moving or file.state == ImportState.APPLIED:
        raise Conflict("import_applied", "The file is being applied, or was: what it said is on record.")
    left, _ = ImportRow.objects.filter(file=file).delete()
    record(by=by, action="consent_import.discarded", object=file, detail={"sha256": file.sha256, "rows": left})
    if file.state != ImportState.APPLYING:
        file.delete()
        return
    # Records name the file that they came from.
    file.state, file.applied_at = ImportState.APPLIED, timezone.now()
    file.save(update_fields=["state", "applied_at"])


def discard_forgotten() -> int:
    """How many files were let go that nobody applied in time, or went on applying: their rows hold people's data."""
    before = timezone.now() - timedelta(days=settings.IMPORT_DAYS)
    forgotten = ConsentImport.objects.filter(uploaded_at__lt=before).exclude(state=ImportState.APPLIED)
    discarded = 0
    for file in forgotten.order_by("pk")[:AT_ONCE]:
        with suppress(Conflict):  # its job has just begun, or ended
            discard(file=file, by=PURGE)
            discarded += 1
    return discarded

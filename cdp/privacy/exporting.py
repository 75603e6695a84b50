"""A person's data as one file: for machines (JSON, CSV per kind) and for people (a page). Written as it is read, so a long
history needs no more memory than a short one; all of it from one snapshot.

The file lies in a folder of ours until it is fetched through an authorised view or its days are over.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.services import record
from cdp.database import snapshot
from cdp.errors import Conflict, NotFound
from cdp.identity import ledger
from cdp.identity.merging import survivor_of
from cdp.identity.normalise import Identifier as Named
from cdp.ingestion.erasure import Whose as Theirs
from cdp.ingestion.erasure import quarantined_of
from cdp.privacy.dossier import KINDS, Kind, Whose, rows_of
from cdp.privacy.models import PrivacyExport, PrivacyRequest, RequestKind, RequestState
from cdp.privacy.page import page
from cdp.profiles import store
from cdp.profiles.models import Identifier, Profile, Workspace
from consent.querysets import PRIVACY_RIGHTS

EXPORT_SECONDS: Final = 3600  # that one kind may take
# What a spreadsheet would run as a formula, also as East Asian keyboards write it.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def make_export(*, request: PrivacyRequest, by: Actor) -> PrivacyExport:
    """The file with all that is known of who asked, and its row. One that was begun and never finished is purged with time.

    Raises:
        NotFound: nobody is known by the request's id any more.
        Conflict: they are being erased.
    """
    export = PrivacyExport(request=request, profile_uuid=request.asker)
    folder = export_folder()
    path, part = path_of(export), folder / f".{export.file}.part"
    try:
        with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            as_of = timezone.now()
            with snapshot(seconds=EXPORT_SECONDS):
                _write(file, _with_quarantine(whose(request.asker)), as_of=as_of)
            file.flush()
            os.fsync(file.fileno())
            export.bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
            export.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    export.made_at = as_of
    export.expires_at = timezone.now() + timedelta(days=settings.PRIVACY_EXPORT_DAYS)
    try:
        _enter(export, by=by)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return export


@transaction.atomic
def _enter(export: PrivacyExport, *, by: Actor) -> None:
    """Enters the file, unless the person was erased while it was written, or is about to be: an erasure deletes what was entered
    before it looks, and waits for whoever holds the person."""
    request = export.request
    person = survivor_of(request.asker)
    if not store.lock_profiles([person.pk]):
        raise NotFound("profile_not_found", "They were merged or erased while the file was written; try again.")
    erasures = PrivacyRequest.objects.filter(kind=RequestKind.ERASURE, state=RequestState.IN_PROGRESS)
    if erasures.filter(profile_uuid__in=whose(person.uuid).uuids).exists():
        raise Conflict("erasure_begun", "They are being erased, and asked for that later than for this.")
    export.save(force_insert=True)
    detail = {"request": request.number, "bytes": export.bytes, "sha256": export.sha256}
    record(by=by, action="privacy.export_made", object=request, purpose=PRIVACY_RIGHTS, detail=detail)


def whose(profile_uuid: UUID) -> Whose:
    """
    Raises:
        NotFound: nobody is known by it.
    """
    person = survivor_of(profile_uuid)
    inside = ledger.all_inside(person.pk)
    return Whose(ids=sorted(inside), uuids=[person.uuid, *sorted(ledger.uuids_inside(inside))])


def _with_quarantine(person: Whose) -> Whose:
    held = Identifier.objects.filter(profile_id__in=person.ids).values_list("namespace", "value")
    named = {Named(*pair) for pair in held}
    [survivor] = Profile.objects.filter(pk__in=person.ids).values_list("pk", flat=True)
    return replace(person, quarantined=quarantined_of(Theirs(survivor, named)))


def open_export(*, export: PrivacyExport, by: Actor) -> BinaryIO:
    """The file, opened for reading; that it was fetched is on record before the first byte.

    Raises:
        NotFound: its days are over.
    """
    gone = NotFound("export_gone", "This file was deleted; ask for another one.")
    if export.deleted_at is not None or export.expires_at <= timezone.now():
        raise gone
    try:
        file = open(path_of(export), "rb")  # noqa: SIM115  (closed by whoever sends it)
    except FileNotFoundError:
        raise gone from None
    with transaction.atomic():
        detail = {"request": export.request.number, "sha256": export.sha256, "profile": str(export.profile_uuid)}
        record(by=by, action="privacy.export_downloaded", object=export.request, purpose=PRIVACY_RIGHTS, detail=detail)
    return file


def delete_exports(exports: Iterable[PrivacyExport], *, by: Actor) -> int:
    """How many files were deleted. The row stays, which says that there was one."""
    count = 0
    for export in exports:
        path_of(export).unlink(missing_ok=True)
        with transaction.atomic():
            if PrivacyExport.objects.filter(pk=export.pk, deleted_at__isnull=True).update(deleted_at=timezone.now()):
                detail = {"request": export.request.number}
                record(by=by, action="privacy.export_deleted", object=export.request, detail=detail)
                count += 1
    return count


def purge_exports() -> int:
    """How many files were deleted because their days are over, or because nobody knows of them."""
    over = PrivacyExport.objects.filter(deleted_at__isnull=True, expires_at__lte=timezone.now())
    count = delete_exports(over.select_related("request"), by=SYSTEM)
    known = {
        f"{one}.zip" for one in PrivacyExport.objects.filter(deleted_at__isnull=True).values_list("file", flat=True)
    }
    yesterday = (timezone.now() - timedelta(days=1)).timestamp()
    for path in export_folder().iterdir():
        if path.name not in known and path.suffix in (".zip", ".part") and path.stat().st_mtime < yesterday:
            path.unlink(missing_ok=True)
            count += 1
    return count


def export_folder() -> Path:
    """Where they lie; only we may look into it."""
    folder = Path(settings.PRIVACY_EXPORT_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def path_of(export: PrivacyExport) -> Path:
    return export_folder() / f"{export.file}.zip"


# ---- What is in it -------------------------------------------------------------------------------------------------


def _write(file: BinaryIO, person: Whose, *, as_of: datetime) -> None:
    name = Workspace.current().name
    rows: Callable[[Kind], Iterator[dict[str, Any]]] = partial(rows_of, whose=person)
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        with _entry(archive, "data.json") as out:
            out.writelines(_json(name, as_of, rows))
        for kind in KINDS:
            with _entry(archive, f"{kind.name}.csv") as out:
                _csv(out, rows(kind))
        with _entry(archive, "index.html") as out:
            out.writelines(page(by=name, as_of=as_of, rows=lambda kind, most: rows_of(kind, person, most=most)))


@contextmanager
def _entry(archive: ZipFile, name: str) -> Iterator[io.TextIOWrapper]:
    # More than 4 GB may come, and how much isn't known beforehand.
    with archive.open(name, "w", force_zip64=True) as raw, io.TextIOWrapper(raw, "utf-8", newline="") as out:
        yield out


def _json(name: str, as_of: datetime, rows: Callable[[Kind], Iterator[dict[str, Any]]]) -> Iterator[str]:
    """One object: `format`, `by`, `as_of`, and a list for each kind."""
    yield f'{{"format": "cdp-person/1", "by": {json.dumps(name)}, "as_of": "{as_of.isoformat()}"'
    for kind in KINDS:
        yield f',\n"{kind.name}": ['
        for number, row in enumerate(rows(kind)):
            yield ("" if number == 0 else ",") + "\n" + json.dumps(row, ensure_ascii=False, default=_plain)
        yield "]"
    yield "}\n"


def _csv(out: io.TextIOWrapper, rows: Iterator[dict[str, Any]]) -> None:
    writer = csv.writer(out)
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow([_field(value) for value in row.values()])


def _field(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return _plain(value) if isinstance(value, datetime) else value


def _plain(value: Any) -> Any:
    match value:
        case date():  # a moment is one, too
            return value.isoformat()
        case Decimal():
            return str(value)
        case UUID():
            return str(value)
        case bytes() | memoryview():
            return bytes(value).hex()
        case _:
            raise TypeError(f"an export can't hold {type(value).__name__}")

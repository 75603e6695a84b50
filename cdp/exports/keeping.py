"""Files of exports while they are kept: where they lie, opening one, and when they go."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from cdp.activation.models import AudienceChange, AudienceMember, Why
from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.exports.models import Export, Gone

FORGOTTEN_AFTER: Final = timedelta(days=1)


def folder() -> Path:
    """Where they lie; only we may look into it."""
    found = Path(settings.EXPORT_DIR)
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def path_of(export: Export) -> Path:
    return folder() / export.file


def kept() -> QuerySet[Export]:
    """Exports of which there is a file."""
    return Export.objects.exclude(file="")


def open_file(*, export: Export, by: Actor, is_by_link: bool = False) -> BinaryIO:
    """The file, opened for reading; that it was fetched is on record before the first byte. May it be is the caller's to say.

    Raises:
        DomainError: status 410, it isn't kept any more; or 409, it isn't finished.
    """
    if export.finished_at is None:
        raise DomainError("export_unfinished", "This export isn't finished; look at its state.", status=409)
    gone = DomainError("export_gone", "This file isn't kept any more; ask for another export.", status=410)
    if not export.is_kept or erased_since(Export.objects.filter(pk=export.pk)).exists():
        raise gone
    try:
        file = open(path_of(export), "rb")  # noqa: SIM115  (closed by whoever sends it)
    except FileNotFoundError:
        raise gone from None
    with transaction.atomic():
        Export.objects.filter(pk=export.pk).update(downloads=F("downloads") + 1)
        record(
            by=by,
            action="export.downloaded",
            object=export.audience,
            purpose=export.audience.purpose.key,
            detail={"export": str(export.uuid), "sha256": export.sha256, "count": export.rows, "by_link": is_by_link},
        )
    return file


def erased_since(exports: QuerySet[Export]) -> QuerySet[Export]:
    """Those of whose audience somebody was erased after they were made: who that is may be in the file."""
    erasures = AudienceChange.objects.filter(
        audience=OuterRef("audience"), position__gt=OuterRef("position"), why=Why.ERASURE
    )
    return exports.filter(Exists(erasures))


def files_that_may_hold(profile_ids: Iterable[int]) -> QuerySet[Export]:
    """The files of audiences that any of these people was ever in, as far as that is still known."""
    ids = list(profile_ids)
    was = AudienceChange.objects.filter(profile_id__in=ids).order_by().values("audience")
    is_in = AudienceMember.objects.filter(profile_id__in=ids).order_by().values("audience")
    return kept().filter(Q(audience__in=was) | Q(audience__in=is_in))


def delete_files(exports: Iterable[Export], *, why: Gone, by: Actor) -> int:
    """How many files were deleted. The row stays, which says that there was one."""
    count = 0
    for export in exports:
        with transaction.atomic():
            locked = (
                Export.objects.select_for_update(of=("self",)).select_related("audience__purpose").get(pk=export.pk)
            )
            if not locked.file:
                continue
            path_of(locked).unlink(missing_ok=True)
            locked.file, locked.gone = "", why
            locked.save(update_fields=["file", "gone"])
            detail = {"export": str(locked.uuid), "why": why}
            purpose = locked.audience.purpose.key
            record(by=by, action="export.file_deleted", object=locked.audience, purpose=purpose, detail=detail)
            count += 1
    return count


def purge() -> int:
    """How many files were deleted because their days are over, because somebody in them was erased, or because nobody knows of them."""
    finished = kept().filter(finished_at__isnull=False)
    count = delete_files(erased_since(finished), why=Gone.ERASED, by=SYSTEM)
    # Also of those that never came to an end: their job is done with or forgotten by then.
    count += delete_files(kept().filter(expires_at__lte=timezone.now()), why=Gone.OVER, by=SYSTEM)
    return count + _sweep()


def _sweep() -> int:
    known = set(kept().values_list("file", flat=True))
    before = (timezone.now() - FORGOTTEN_AFTER).timestamp()
    count = 0
    for path in folder().iterdir():
        if path.is_file() and path.name not in known and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            count += 1
    return count

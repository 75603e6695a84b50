"""Puts checkpoints where the database's owner can't change them: files on another mount, mailboxes, an authority's time stamps.

From there an auditor takes the checkpoint to verify with, and a sequencer that starts sees whether the log was set back.
"""

import os
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Max
from django.utils import timezone

from cdp.audit.models import Anchor, AnchorKind, Head
from cdp.audit.sequencing import LogBroken, keep, stored_hashes
from cdp.audit.timestamps import stamp
from cdp.audit.tree import root_of
from cdp.audit.verify import Checkpoint, Key, open_note
from cdp.logs import get_logger

log = get_logger(__name__)

SUFFIX: Final = ".checkpoint"
# Puts a checkpoint somewhere; gives what has to be kept of it.
Place: TypeAlias = Callable[[Checkpoint, str], bytes | None]


class Elsewhere(Exception):
    """Where the checkpoint should go lies another one of the same size: somebody signs two logs."""


def configured() -> list[AnchorKind]:
    """The kinds of anchors that are set up."""
    return [
        *([AnchorKind.FILE] if settings.AUDIT_ANCHOR_DIR else []),
        *([AnchorKind.EMAIL] if settings.AUDIT_ANCHOR_EMAILS else []),
        *([AnchorKind.STAMP] if settings.AUDIT_TSA_URL else []),
    ]


def anchor_due(key: Key, *, now: datetime | None = None) -> int:
    """How many anchors were set: of each kind that is due, and that doesn't have the newest checkpoint yet."""
    now = now or timezone.now()
    head = Head.objects.get()
    if not head.note:
        return 0
    done = 0
    for kind in configured():
        tried = Anchor.objects.filter(kind=kind).aggregate(at=Max("anchored_at"))["at"]
        reached = Anchor.objects.filter(kind=kind, error="").aggregate(size=Max("size"))["size"]
        too_soon = tried is not None and now - tried < timedelta(seconds=settings.AUDIT_ANCHOR_SECONDS)
        if too_soon or reached == head.size:
            continue
        checkpoint = open_note(head.note, [key])
        stamp, error = _tried(PLACES[kind], checkpoint, head.note)
        Anchor.objects.create(kind=kind, size=checkpoint.size, anchored_at=now, error=error, stamp=stamp)
        if error:
            log.error("audit_not_anchored", kind=kind, reason=error)
            continue
        keep(size=checkpoint.size, root=checkpoint.root, note=head.note, key_id=key.id.hex(), at=now)
        done += 1
    return done


def not_anchored() -> bool:
    """Whether the last try of a kind of anchor that is set up failed."""
    last = (Anchor.objects.filter(kind=kind).values_list("error", flat=True).first() for kind in configured())
    return any(last)


def _tried(place: Place, checkpoint: Checkpoint, note: str) -> tuple[bytes | None, str]:
    """What came of it, and why it couldn't be; empty when it was."""
    try:
        return place(checkpoint, note), ""
    except Elsewhere as error:
        return None, str(error)
    except OSError as error:  # SMTP's and HTTP's errors are among them
        reason = os.strerror(error.errno) if error.errno else error.strerror or "no connection"
        return None, f"{type(error).__name__}: {reason}"[:200]


def _to_file(checkpoint: Checkpoint, note: str) -> None:
    directory = Path(settings.AUDIT_ANCHOR_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{checkpoint.size:015d}{SUFFIX}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    except FileExistsError:
        if path.read_text() != note:
            raise Elsewhere(
                f"another checkpoint of {checkpoint.size} entries lies in the directory of anchors"
            ) from None
        return
    with open(handle, "w") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    listing = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(listing)  # else the name may be lost though the file isn't
    finally:
        os.close(listing)


def _to_mailboxes(checkpoint: Checkpoint, note: str) -> None:
    EmailMessage(
        subject=f"Audit log {checkpoint.origin}: checkpoint of {checkpoint.size:,} entries",
        body=f"Keep this message: with it the audit log can be verified later.\n\n{note}",
        to=settings.AUDIT_ANCHOR_EMAILS,
    ).send()


def _to_authority(checkpoint: Checkpoint, note: str) -> bytes:
    return stamp(note.encode(), url=settings.AUDIT_TSA_URL, certificates=Path(settings.AUDIT_TSA_CERTS))


PLACES: Final[dict[AnchorKind, Place]] = {
    AnchorKind.FILE: _to_file,
    AnchorKind.EMAIL: _to_mailboxes,
    AnchorKind.STAMP: _to_authority,
}


def check_against_files(keys: Iterable[Key]) -> int:
    """The size of the newest checkpoint among the files, once it is sure that the log goes on from it; 0 without files.

    Raises:
        LogBroken: the log is shorter than that, or another.
    """
    if not settings.AUDIT_ANCHOR_DIR:
        return 0
    newest = max(Path(settings.AUDIT_ANCHOR_DIR).glob(f"*{SUFFIX}"), default=None)
    if newest is None:
        return 0
    try:
        anchored = open_note(newest.read_text(), keys)
    except (OSError, ValueError) as error:
        raise LogBroken(f"The newest file of anchors can't be used: {error}.") from None
    size = Head.objects.get().size
    if anchored.size > size:
        raise LogBroken(f"The log has {size} entries and was anchored with {anchored.size}: an old copy was restored.")
    if root_of(anchored.size, stored_hashes) != anchored.root:
        raise LogBroken(f"The first {anchored.size} entries aren't those that were anchored.")
    return anchored.size

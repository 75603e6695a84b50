"""Handing a finished file over to its destination, with its manifest beside it; again after a while where that may help."""

import json
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.exports.destinations import place_of
from cdp.exports.keeping import folder, path_of
from cdp.exports.manifest import manifest_of
from cdp.exports.models import MEDIA_TYPES, Export
from cdp.exports.places import PlaceError
from cdp.outbound import Refused

PASSES: frozenset[str] = frozenset({"not_connected", "took_too_long", "broke_off"})
"""What may be otherwise in a minute."""


def hand_over(export: Export, *, progress: Callable[[int, int, str], None]) -> None:
    """Leaves the file at the destination, then its manifest: whoever finds a manifest finds the whole file.

    Raises:
        DomainError: the destination didn't take it; says why.
    """
    destination = export.destination
    assert destination is not None and export.bytes is not None
    size = export.bytes
    waits = iter(settings.EXPORT_RETRY_SECONDS)
    while True:
        try:
            place = place_of(destination)
            place.put(
                export.name,
                path_of(export),
                content_type=MEDIA_TYPES[export.format],  # type: ignore[index]  # a value of its choices
                sha256=export.sha256,
                keep_on=lambda done: progress(done, size, "handing over"),
            )
            _put_manifest(export, place.put)
            break
        except Refused as error:
            _tell(export, error.message[:200])
            raise DomainError(error.code, f"{destination.name} didn't take the file: {error.message}") from None
        except PlaceError as error:
            wait = next(waits, None)
            if error.why not in PASSES or wait is None:
                _tell(export, f"{error.why}: {error.detail}"[:200])
                raise DomainError(
                    f"place_{error.why}", f"{destination.name} didn't take the file: {error.detail}"
                ) from None
            until = time.monotonic() + wait
            while time.monotonic() < until:
                progress(0, size, "waiting to try again")
                time.sleep(min(1.0, wait))
    _tell(export, "")
    with transaction.atomic():
        detail = {
            "export": str(export.uuid),
            "destination": destination.name,
            "sha256": export.sha256,
            "count": export.rows,
        }
        purpose = export.audience.purpose.key
        record(by=SYSTEM, action="export.handed_over", object=export.audience, purpose=purpose, detail=detail)


def _put_manifest(export: Export, put: Callable[..., None]) -> None:
    text = json.dumps(manifest_of(export), indent=2, ensure_ascii=False).encode() + b"\n"
    with tempfile.NamedTemporaryFile(dir=folder(), prefix=".manifest", suffix=".part") as file:
        file.write(text)
        file.flush()
        put(
            f"{export.name}.manifest.json",
            Path(file.name),
            content_type="application/json",
            sha256=sha256(text).hexdigest(),
            keep_on=lambda _: None,
        )


def _tell(export: Export, failure: str) -> None:
    destination = export.destination
    assert destination is not None
    destination.tried_at, destination.failure = timezone.now(), failure
    destination.save(update_fields=["tried_at", "failure"])

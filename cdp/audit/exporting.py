"""The log as a file that can be checked elsewhere: JSON lines, in the form that `cdp.audit.verify` reads."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.db import connection, transaction

from cdp.audit.anchors import SUFFIX
from cdp.audit.models import Anchor, AnchorKind, Checkpoint, Head
from cdp.audit.verify import COLUMNS, moment_text

HEAD: Final = """
    SELECT coalesce(jsonb_object_agg(entry_id, extract(epoch FROM clock_timestamp() - queued_at)), '{}') FROM audit_pending
"""
ENTRIES: Final = """
    SELECT l.index, e.envelope, e.id::text, e.recorded_at, e.actor_kind, e.actor_id, e.actor_label, e.action, e.object_type,
           e.object_id, e.purpose, e.request_id, e.ip_prefix, e.detail
      FROM audit_auditentry e LEFT JOIN audit_leaf l ON l.entry_id = e.id ORDER BY l.index NULLS LAST, e.recorded_at
"""


def lines() -> Iterator[str]:
    """The export, line by line, of one snapshot, in bounded memory."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            if not connection.savepoint_ids:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(HEAD)
            waiting = cursor.fetchone()[0]
        notes = [*Checkpoint.objects.order_by("size").values_list("note", flat=True)]
        notes += [note for note in Head.objects.values_list("note", flat=True) if note and note not in notes[-1:]]
        waiting = waiting if isinstance(waiting, dict) else json.loads(waiting)
        yield _line({"notes": notes, "waiting_seconds": waiting})
        with connection.chunked_cursor() as cursor:
            cursor.execute(ENTRIES)
            while rows := cursor.fetchmany(2000):
                for index, envelope, *columns in rows:
                    told: dict[str, Any] = dict(zip(COLUMNS, columns, strict=True))
                    told["recorded_at"] = moment_text(told["recorded_at"])
                    if isinstance(told["detail"], str):
                        told["detail"] = json.loads(told["detail"])
                    packed = base64.b64encode(bytes(envelope)).decode()
                    yield _line({"index": index, "envelope": packed, "columns": told})


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def write_stamps(directory: Path) -> int:
    """How many time stamps were written, each beside the checkpoint it is of."""
    directory.mkdir(parents=True, exist_ok=True)
    stamps = Anchor.objects.filter(kind=AnchorKind.STAMP, stamp__isnull=False).order_by("size")
    written = 0
    for anchor in stamps.iterator():
        name = f"{anchor.size:015d}"
        (directory / f"{name}{SUFFIX}").write_text(Checkpoint.objects.get(pk=anchor.size).note)
        (directory / f"{name}.tsr").write_bytes(bytes(anchor.stamp or b""))
        written += 1
    return written

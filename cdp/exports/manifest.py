"""What stands beside a file: how to know that it is whole, what is in it, for what and for whom it was made."""

from typing import Any

from cdp.exports.models import MEDIA_TYPES, Export

VERSION = "cdp-export/1"


def manifest_of(export: Export) -> dict[str, Any]:
    """As JSON has it. Names nobody who is in the file."""
    assert export.as_of is not None  # there is a manifest once there is a file
    audience = export.audience
    return {
        "manifest": VERSION,
        "export": str(export.uuid),
        "file": export.name,
        "media_type": MEDIA_TYPES[export.format],  # type: ignore[index]  # a value of its choices
        "compression": "gzip" if export.is_gzipped else None,
        "sha256": export.sha256,
        "bytes": export.bytes,
        "rows": export.rows,
        "audience": audience.key,
        "segment": audience.segment.key,
        "purpose": audience.purpose.key,
        "channel": audience.channel,
        "kind": "full" if export.after is None else "changes",
        "after": export.after,
        "position": export.position,
        "since": str(export.since.uuid) if export.since and export.after is not None else None,
        "as_of": export.as_of.isoformat(),
        "fields": [*([] if export.after is None else ["change"]), "profile", *export.fields],
        "has_personal_data": export.has_personal,
        "is_for_spreadsheets": export.is_for_spreadsheets and export.format == "csv",
        "requested_by": export.user.get_username() if export.user else None,
        "schedule": export.schedule.name if export.schedule else None,
    }

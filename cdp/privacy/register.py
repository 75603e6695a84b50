"""The register of privacy requests as a list for an authority: what came, by when it was due, what became of it.

Nobody is named in it but by our id, and no word that anybody wrote stands in it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone

from cdp.audit.verify import moment_text
from cdp.privacy.models import PrivacyRequest

COLUMNS: Final = (
    "number", "kind", "objects_to", "state", "came_by", "received_at", "due_on", "was_due_on", "closed_at", "in_time", "law",
    "country", "region", "person", "identity_method", "identity_at", "targets", "targets_done", "targets_failed",
)  # fmt: skip
CHUNK: Final = 1000


def rows(requests: QuerySet[Any]) -> Iterator[tuple[str, ...]]:
    """A row for each; they come with their counts (`cdp.privacy.querysets.with_counts`)."""
    for one in requests.select_related("purpose").iterator(chunk_size=CHUNK):
        yield (
            one.number, one.kind, one.purpose.key if one.purpose else one.objects_to, one.state, one.came_by,
            moment_text(one.received_at), one.due_on.isoformat(), one.was_due_on.isoformat() if one.was_due_on else "",
            _moment(one.closed_at), _in_time(one), one.law, one.country, one.region, str(one.profile_uuid or ""),
            one.identity_method, _moment(one.identity_at),
            str(one.targets_all), str(one.targets_done), str(one.targets_failed),
        )  # fmt: skip


def _moment(moment: datetime | None) -> str:
    return moment_text(moment) if moment else ""


def _in_time(one: PrivacyRequest) -> str:
    """By the workspace's calendar; empty while it is open."""
    return "" if one.closed_at is None else "yes" if timezone.localdate(one.closed_at) <= one.due_on else "no"

"""Looking things up in the audit log: by who acted, what was done and to what, and when; newest first.

Every look-up goes along an index, however long the log is. That reading it is an act too, is the screens' part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from cdp.audit.models import AuditEntry

PAGE: Final = 50
# A request is over within this time, so its entries stand together.
REQUEST_TAKES: Final = timedelta(minutes=10)
MOST_CHOICES: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Sought:
    """What is looked for; what is empty is no condition. ``until`` is the first moment that no longer counts."""

    action: str = ""
    actor_kind: str = ""
    actor_id: str = ""
    object_type: str = ""
    object_id: str = ""
    purpose: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a page ended; the next one goes on after it."""

    recorded_at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{self.recorded_at.isoformat()}~{self.id}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """
        Raises:
            ValueError: it isn't one of ours.
        """
        moment, _, key = text.partition("~")
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError("a moment without its zone")
        return cls(recorded_at=at, id=UUID(key))


def entries(sought: Sought, *, after: Place | None = None, size: int = PAGE) -> tuple[list[AuditEntry], Place | None]:
    """A page of entries, and where the next one begins; None when there is none."""
    found = list(matching(sought, after).defer("envelope").order_by("-recorded_at", "-id")[: size + 1])
    if len(found) <= size:
        return found, None
    last = found[size - 1]
    return found[:size], Place(recorded_at=last.recorded_at, id=last.pk)


def matching(sought: Sought, after: Place | None = None) -> QuerySet[AuditEntry]:
    """The entries that are looked for, in no order yet."""
    rows = AuditEntry.objects.all()
    for name in ("action", "actor_kind", "actor_id", "object_type", "object_id", "purpose"):
        if value := getattr(sought, name):
            rows = rows.filter(**{name: value})
    if sought.object_id and not sought.object_type:
        # The index begins with the type, of which there are few.
        rows = rows.filter(object_type__in=object_types())
    if sought.since is not None:
        rows = rows.filter(recorded_at__gte=sought.since)
    if sought.until is not None:
        rows = rows.filter(recorded_at__lt=sought.until)
    if after is not None:
        rows = rows.filter(
            Q(recorded_at__lt=after.recorded_at) | Q(recorded_at=after.recorded_at, id__lt=after.id),
            recorded_at__lte=after.recorded_at,
        )
    return rows


def life_of(entry: AuditEntry, *, size: int = 20) -> list[AuditEntry]:
    """What was done to the entry's object, newest first."""
    if not entry.object_id:
        return []
    return entries(Sought(object_type=entry.object_type, object_id=entry.object_id), size=size)[0]


def same_request(entry: AuditEntry) -> list[AuditEntry]:
    """What else was done by the same request, in order."""
    if not entry.request_id:
        return []
    near = (entry.recorded_at - REQUEST_TAKES, entry.recorded_at + REQUEST_TAKES)
    others = AuditEntry.objects.filter(recorded_at__range=near, request_id=entry.request_id).exclude(pk=entry.pk)
    return list(others.defer("envelope").order_by("recorded_at", "id")[:PAGE])


# ---- What there is to choose from: found by hopping through an index, since a DISTINCT would read all of the log ----------

HOP: Final = """
WITH RECURSIVE hop AS (
    (SELECT {names} FROM audit_auditentry ORDER BY {names} LIMIT 1)
    UNION ALL
    SELECT next.* FROM hop CROSS JOIN LATERAL (
           SELECT {names} FROM audit_auditentry e WHERE ({ours}) > ({last}) ORDER BY {names} LIMIT 1) AS next
)
SELECT {names} FROM hop LIMIT %s
"""


def actions() -> list[str]:
    return [action for (action,) in _distinct("action")]


def object_types() -> list[str]:
    return [kind for (kind,) in _distinct("object_type")]


def actors() -> list[tuple[str, str, str]]:
    """(kind, id, what they are called in their newest entry) of everybody who ever acted."""
    found = []
    for kind, actor_id in _distinct("actor_kind", "actor_id"):
        newest = AuditEntry.objects.filter(actor_kind=kind, actor_id=actor_id).order_by("-recorded_at")
        found.append((kind, actor_id, newest.values_list("actor_label", flat=True)[0]))
    return sorted(found, key=lambda one: one[2].lower())


def _distinct(*columns: str) -> Sequence[tuple[str, ...]]:
    query = HOP.format(
        names=", ".join(columns),
        ours=", ".join(f"e.{name}" for name in columns),
        last=", ".join(f"hop.{name}" for name in columns),
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [MOST_CHOICES])
        return list(cursor.fetchall())

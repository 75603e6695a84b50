"""Writing the audit log, in the caller's transaction: if the act is undone, so is its entry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, models
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.context import request_id_var
from cdp.audit.envelope import envelope, told
from cdp.audit.models import AuditEntry


@dataclass(frozen=True, slots=True)
class Act:
    """One of many acts that are recorded together; the fields are those of `record`."""

    action: str
    object_type: str
    object_id: str
    purpose: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


def record_all(*, by: Actor, acts: Iterable[Act]) -> None:
    """Records many acts of one actor, in the transaction of the acts themselves."""
    if not connection.in_atomic_block:
        raise RuntimeError("acts must be recorded in the transaction they happen in")
    AuditEntry.objects.bulk_create([_entry(by, act) for act in acts], batch_size=1000)


def _entry(by: Actor, act: Act) -> AuditEntry:
    columns = {
        "recorded_at": timezone.now(),
        "actor_kind": str(by.kind),
        "actor_id": by.id,
        "actor_label": by.label[:150],
        "action": act.action,
        "object_type": act.object_type,
        "object_id": act.object_id,
        "purpose": act.purpose,
        "request_id": request_id_var.get(),
        "ip_prefix": by.ip_prefix,
        "detail": told(act.detail),
    }
    entry = AuditEntry(**columns)
    entry.envelope = envelope(columns | {"id": str(entry.id)})
    return entry


def record(
    *,
    by: Actor,
    action: str,
    object: models.Model | None = None,
    purpose: str = "",
    detail: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """The entry just written.

    Args:
        action: stable code, ``noun.verb_in_past``.
        object: what was acted on; its public id is kept (``uuid`` where it has one, else its key).
        detail: definitions, ids and counts. Never a person's values.

    Raises:
        RuntimeError: outside a transaction, since entry and act must stand or fall together.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(f"{action} must be recorded in the transaction of the act itself")
    entry = _entry(
        by,
        Act(
            action,
            object._meta.label_lower if object is not None else "",
            str(getattr(object, "uuid", None) or object.pk) if object is not None else "",
            purpose,
            detail or {},
        ),
    )
    entry.save(force_insert=True)
    return entry

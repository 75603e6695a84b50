"""Reads of privacy requests that screens and the API share."""

from datetime import date
from typing import Any

from django.db.models import Count, Q, QuerySet

from cdp.audit.models import AuditEntry
from cdp.privacy.models import PrivacyRequest, TargetState

SHOWN = ("open", "overdue", "failed", "closed")


def open_requests() -> QuerySet[PrivacyRequest]:
    return PrivacyRequest.objects.filter(closed_at__isnull=True)


def shown(which: str, *, today: date) -> QuerySet[PrivacyRequest]:
    """Those of one of `SHOWN`; the open ones by their last day, so that what is overdue comes first."""
    failed = Q(targets__state=TargetState.FAILED)
    match which:
        case "overdue":
            return open_requests().filter(due_on__lt=today).order_by("due_on", "pk")
        case "failed":
            return open_requests().filter(failed).distinct().order_by("due_on", "pk")
        case "closed":
            return PrivacyRequest.objects.filter(closed_at__isnull=False).order_by("-closed_at", "-pk")
        case _:
            return open_requests().order_by("due_on", "pk")


def with_counts(requests: QuerySet[PrivacyRequest]) -> QuerySet[Any]:
    """Each with how many targets it has, and how many of them are done or failed."""
    return requests.annotate(
        targets_all=Count("targets"),
        targets_done=Count("targets", filter=Q(targets__state=TargetState.DONE)),
        targets_failed=Count("targets", filter=Q(targets__state=TargetState.FAILED)),
    )


def life_of(request: PrivacyRequest) -> QuerySet[AuditEntry]:
    """What was done about it, newest first, without who merely looked."""
    entries = AuditEntry.objects.filter(object_type="privacy.privacyrequest", object_id=str(request.uuid))
    return entries.exclude(action="privacy.viewed").order_by("-recorded_at")

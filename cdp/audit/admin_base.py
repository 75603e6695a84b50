"""What the admin screens of every app share: who acts, stock changes written to the audit log, read-only models.

What a screen shows stands in the `admin.py` of its app.
"""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest

from cdp.audit.actors import Actor, ActorKind
from cdp.audit.context import ip_prefix
from cdp.audit.services import record


def reader_of(request: HttpRequest) -> User:
    """The logged-in user; the admin site lets nobody else come this far."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def actor_of(request: HttpRequest) -> Actor:
    """The logged-in user as the one answerable for a write."""
    user = reader_of(request)
    return Actor(
        kind=ActorKind.USER,
        id=str(user.pk),
        label=user.get_username(),
        ip_prefix=ip_prefix(request.META.get("REMOTE_ADDR")),
    )


class AuditedAdmin(ModelAdmin):  # type: ignore[type-arg]  # works for any model; django-stubs can't subscript at run time
    """A stock change list and form whose every save stands in the audit log too, with the names of the fields changed."""

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        self._record(request, obj, "created", message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        if message:
            self._record(request, obj, "changed", message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._record(request, obj, "deleted", [])
        return super().log_deletions(request, queryset)

    @staticmethod
    def _record(request: HttpRequest, obj: models.Model, verb: str, message: Any) -> None:
        detail = {"changes": message} if isinstance(message, list) else {}
        with transaction.atomic():
            record(by=actor_of(request), action=f"{obj._meta.model_name}.{verb}", object=obj, detail=detail)


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[type-arg]
    """A model that people may look at, but that only services change."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

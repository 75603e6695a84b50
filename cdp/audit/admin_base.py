"""What the admin screens of every app share: who acts, stock changes written to the audit log, read-only models.

What a screen shows stands in the `admin.py` of its app.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
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


def definition(obj: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """What these fields of the object say, in plain values; what is no field of it is left out."""
    fields = {field.name: field for field in [*obj._meta.fields, *obj._meta.many_to_many]}
    return {name: _plain(obj, fields[name]) for name in names if name in fields}


def _plain(obj: models.Model, field: Any) -> Any:
    if field.many_to_many:
        return sorted(_called(one) for one in getattr(obj, field.name).all())
    value = getattr(obj, field.name)
    if isinstance(value, models.Model):
        return _called(value)
    # Strings of a choice are enum members, which JSON would write as they print.
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


def _called(obj: models.Model) -> str:
    if isinstance(obj, Permission):
        return f"{obj.content_type.app_label}.{obj.codename}"
    return str(obj)


class AuditedAdmin(ModelAdmin):  # type: ignore[type-arg]  # works for any model; django-stubs can't subscript at run time
    """A stock change list and form whose every save stands in the audit log too, with the fields before and after.

    Of the fields in ``unaudited`` only the names are kept: they hold secrets, or the data of a person.
    """

    unaudited: tuple[str, ...] = ()

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        names = [name for name in form.fields if name not in self.unaudited]
        before = definition(self.model._default_manager.get(pk=form.instance.pk), names) if change else {}
        request.audited = names, before  # type: ignore[attr-defined]  # until what is related is saved too
        return super().save_form(request, form, change)

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        _, after = self._before_and_after(request, obj)
        self._record(request, obj, "created", {"after": after})
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        if message:
            before, after = self._before_and_after(request, obj)
            changed = [name for name in after if before.get(name) != after[name]]
            detail = {
                "before": {name: before.get(name) for name in changed},
                "after": {name: after[name] for name in changed},
            }
            named = {"changes": message} if isinstance(message, list) else {}
            self._record(request, obj, "changed", {**named, **(detail if changed else {})})
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            names = [
                field.name
                for field in [*obj._meta.fields, *obj._meta.many_to_many]
                if field.editable and not field.primary_key
            ]
            before = definition(obj, [name for name in names if name not in self.unaudited])
            self._record(request, obj, "deleted", {"before": before})
        return super().log_deletions(request, queryset)

    @staticmethod
    def _before_and_after(request: HttpRequest, obj: models.Model) -> tuple[dict[str, Any], dict[str, Any]]:
        names, before = getattr(request, "audited", ((), {}))
        return before, definition(type(obj)._default_manager.get(pk=obj.pk), names)

    @staticmethod
    def _record(request: HttpRequest, obj: models.Model, verb: str, detail: dict[str, Any]) -> None:
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

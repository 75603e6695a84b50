"""The audit log as a read-only list: filter it, follow one object's life."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from cdp.audit.admin_base import ReadOnlyAdmin
from cdp.audit.models import AuditEntry


class ActionFilter(admin.SimpleListFilter):
    """The codes in use, found by hopping through the index: a distinct over the whole log would read all of it."""

    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        codes: list[tuple[str, str]] = []
        code = AuditEntry.objects.order_by("action").values_list("action", flat=True).first()
        while code is not None:
            codes.append((code, code))
            code = (
                AuditEntry.objects.filter(action__gt=code).order_by("action").values_list("action", flat=True).first()
            )
        return codes

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("recorded_at", "action", "actor_label", "actor_kind", "life", "purpose")
    list_filter = (ActionFilter, "actor_kind")
    search_fields = ("=object_id", "=actor_label", "=request_id")
    search_help_text = "Object id, actor or request id"
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 50
    fields = (
        "recorded_at", "action", "actor_label", "actor_kind", "actor_id", "object_type", "object_id", "purpose",
        "request_id", "ip_prefix", "what",
    )  # fmt: skip

    @admin.display(description="Object")
    def life(self, entry: AuditEntry) -> str:
        """The object, as a link to everything that was done to it."""
        if not entry.object_id:
            return ""
        url = f"{reverse('admin:audit_auditentry_changelist')}?{urlencode({'q': entry.object_id})}"
        return format_html('<a href="{}">{} {}</a>', url, entry.object_type.partition(".")[2], entry.object_id[:13])

    @admin.display(description="Detail")
    def what(self, entry: AuditEntry) -> str:
        return format_html("<pre>{}</pre>", json.dumps(entry.detail, indent=2, ensure_ascii=False))

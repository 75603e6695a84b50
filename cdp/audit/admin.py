"""The audit log as a read-only list: filter it, follow one object's life."""

import json
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of
from cdp.audit.models import AuditEntry
from cdp.audit.services import record


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

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, whose reading is an act too: which filters were set, not what was looked for."""
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", None) or {}
        if "cl" in shown:
            with transaction.atomic():
                detail = {"count": len(shown["cl"].result_list), "filters": sorted(request.GET)}
                record(by=actor_of(request), action="audit.listed", detail=detail)
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            with transaction.atomic():
                record(by=actor_of(request), action="audit.viewed", object=self.get_object(request, object_id))
        return response

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

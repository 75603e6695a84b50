"""The audit log as a read-only list: filter it, follow one object's life."""

import json
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of
from cdp.audit.exporting import lines
from cdp.audit.models import AuditEntry
from cdp.audit.services import record
from cdp.audit.standing import sealing, standing


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
        "request_id", "ip_prefix", "what", "place",
    )  # fmt: skip
    change_list_template = "audit/list.html"

    def get_urls(self) -> list[Any]:
        doors = [
            path("export/", self.admin_site.admin_view(self.export_view), name="audit_auditentry_export"),
            path("checkpoint/", self.admin_site.admin_view(self.checkpoint_view), name="audit_auditentry_checkpoint"),
        ]
        return [*doors, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, whose reading is an act too: which filters were set, not what was looked for."""
        response = super().changelist_view(request, {**(extra_context or {}), "standing": standing()})
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

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """All of the log, in the form that the verifier reads."""
        self._refuse_unless_allowed(request)
        with transaction.atomic():
            record(by=actor_of(request), action="audit.exported")
        return StreamingHttpResponse(
            lines(),
            content_type="application/jsonl",
            headers={"Content-Disposition": 'attachment; filename="audit-log.jsonl"', "Cache-Control": "no-store"},
        )

    def checkpoint_view(self, request: HttpRequest) -> HttpResponse:
        """The newest signed checkpoint, for an auditor to keep."""
        self._refuse_unless_allowed(request)
        seen = standing()
        if not seen.note:
            raise Http404("Nothing is signed yet.")
        with transaction.atomic():
            record(by=actor_of(request), action="audit.checkpoint_saved", detail={"size": seen.size})
        name = f"audit-{seen.size}.checkpoint"
        return HttpResponse(
            seen.note,
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )

    def _refuse_unless_allowed(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    @admin.display(description="Place in the tree")
    def place(self, entry: AuditEntry) -> str:
        """Looked up and proved anew each time it is shown."""
        found = sealing(entry)
        if found is None:
            return "It waits for its place: the sequencer gives it within a second, if it runs."
        said = (
            "leads to the root that was signed last" if found.holds else "DOESN'T LEAD to the root that was signed last"
        )
        rows = format_html_join("\n", "{}", ((node.hex(),) for node in found.proof))
        return format_html(
            "<p>Entry {} of {}. Its hash, {}, {}, by these {} hashes:</p><pre>{}</pre>",
            found.index, found.size, found.leaf.hex(), said, len(found.proof), rows,
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

"""Consent in the admin, the least of it: the purposes, and the trail of decisions as a read-only list."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from cdp.audit.admin_base import AuditedAdmin, ReadOnlyAdmin
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Purpose
from consent.querysets import BUILT_IN, PRIVACY_RIGHTS
from consent.reliance import relying_on, tell_of_new_mode


@admin.register(Purpose)
class PurposeAdmin(AuditedAdmin):
    list_display = ("label", "key", "lawful_basis", "mode")
    list_filter = ("lawful_basis", "mode")
    search_fields = ("label", "key")
    search_help_text = "Label or key"
    fields = ("label", "key", "text", "lawful_basis", "mode", "lifetime_days")

    def get_readonly_fields(self, request: HttpRequest, obj: Purpose | None = None) -> tuple[str, ...]:
        """A key is what rules and systems know a purpose by: it stays. What the law decides isn't ours to change."""
        if obj is not None and obj.key == PRIVACY_RIGHTS:
            return ("key", "lawful_basis", "mode")
        return ("key",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Purpose | None = None) -> bool:
        if not super().has_delete_permission(request, obj):
            return False
        return obj is None or not (obj.key in BUILT_IN or relying_on(obj.key))

    def save_model(self, request: HttpRequest, obj: Purpose, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and {"mode", "covers_profiling", "lawful_basis"}.intersection(form.changed_data):
            tell_of_new_mode(obj.key)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Purpose]) -> None:
        """Without those that are needed: several at once are not asked about one by one."""
        kept = [purpose.pk for purpose in queryset if not self.has_delete_permission(request, purpose)]
        super().delete_queryset(request, queryset.exclude(pk__in=kept))


@admin.register(ConsentRecord)
class ConsentRecordAdmin(ReadOnlyAdmin):
    list_display = ("collected_at", "purpose", "decision", "method", "reach", "person", "recorded_at")
    list_display_links = ("collected_at",)
    list_filter = ("purpose", "decision", "method", "reach")
    list_select_related = ("purpose",)
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConsentRecord]:
        whose = Profile.objects.filter(pk=OuterRef("profile_id")).values("uuid")
        return super().get_queryset(request).annotate(person_uuid=Subquery(whose))

    @admin.display(description="Person")
    def person(self, record: ConsentRecord) -> str:
        """A link to the person; a profile that was merged away is named by its number only."""
        uuid = record.person_uuid  # type: ignore[attr-defined]  # annotated by get_queryset
        if uuid is None:
            return f"profile {record.profile_id}, merged since"
        return format_html('<a href="{}">{}</a>', reverse("admin:profiles_profile_detail", args=[uuid]), str(uuid)[:13])

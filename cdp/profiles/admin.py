"""The catalogues of traits and events, and the workspace, as stock admin screens. People have screens of their own."""

from django.contrib import admin
from django.http import HttpRequest

from cdp.audit.admin_base import AuditedAdmin
from cdp.profiles.models import EventName, Trait, Workspace


class CatalogueAdmin(AuditedAdmin):
    """Entries come by themselves, with the first event that names them; people only describe them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(Trait)
class TraitAdmin(CatalogueAdmin):
    list_display = ("label", "key", "type", "category", "is_pii")
    list_filter = ("category", "type", "is_pii")
    search_fields = ("label", "key")
    search_help_text = "Label or key"
    readonly_fields = ("key", "created_at")
    fields = ("key", "label", "type", "category", "is_pii", "description", "created_at")


@admin.register(EventName)
class EventNameAdmin(CatalogueAdmin):
    list_display = ("label", "name", "type", "created_at")
    list_filter = ("type",)
    search_fields = ("label", "name")
    search_help_text = "Label or name"
    readonly_fields = ("name", "type", "created_at")
    fields = ("name", "label", "type", "description", "created_at")


@admin.register(Workspace)
class WorkspaceAdmin(CatalogueAdmin):
    """There is one. Its clock and currency decide what every figure means, so both can be read here and are set once."""

    list_display = ("name", "reporting_currency", "time_zone", "is_simulated")
    readonly_fields = ("reporting_currency", "frozen_at", "is_simulated")
    fields = ("name", "time_zone", "reporting_currency", "frozen_at", "is_simulated")

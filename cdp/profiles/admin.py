"""Exchange rates and the workspace, as stock admin screens. The catalogues of traits and events are shown with figures from
above, in `cdp.console.catalogue`; people have screens of their own."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest

from cdp.audit.admin_base import AuditedAdmin, actor_of
from cdp.profiles.models import ExchangeRate, Workspace
from cdp.profiles.rate_services import Rate, set_rates


class CatalogueAdmin(AuditedAdmin):
    """Entries come by themselves; people only describe them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


class _ListByDay(ChangeList):
    """A year that no calendar has is a wrong address, and no error of ours."""

    def get_filters(self, request: HttpRequest) -> Any:
        try:
            return super().get_filters(request)
        except OverflowError:
            raise IncorrectLookupParameters from None


@admin.register(ExchangeRate)
class ExchangeRateAdmin(AuditedAdmin):
    """Rates can be added and corrected, never taken away: what was converted by one must stay explained."""

    list_display = ("currency", "day", "rate", "changed_at")
    list_filter = ("currency",)
    date_hierarchy = "day"
    fields = ("currency", "day", "rate", "changed_at")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _ListByDay

    def get_readonly_fields(self, request: HttpRequest, obj: object | None = None) -> tuple[str, ...]:
        return ("currency", "day", "changed_at") if obj else ("changed_at",)

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ExchangeRate, form: object, change: bool) -> None:
        job = set_rates(rates=[Rate(obj.currency, obj.day, obj.rate)], by=actor_of(request))
        obj.pk = ExchangeRate.objects.get(currency=obj.currency, day=obj.day).pk
        if job:
            messages.info(request, f"Job {job.pk} converts again what this rate changes.")


@admin.register(Workspace)
class WorkspaceAdmin(CatalogueAdmin):
    """There is one. Its clock and currency decide what every figure means, so both can be read here and are set once."""

    list_display = ("name", "reporting_currency", "time_zone", "is_simulated")
    readonly_fields = ("reporting_currency", "frozen_at", "is_simulated")
    fields = ("name", "time_zone", "reporting_currency", "frozen_at", "is_simulated")

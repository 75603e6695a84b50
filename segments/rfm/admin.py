"""The addresses of RFM's screens."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin
from segments.rfm import past_screens, screens, settings_screen
from segments.rfm.models import RfmRun


@admin.register(RfmRun)
class RfmRunAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        get = self.admin_site.admin_view

        def post(view: Any) -> Any:
            return get(require_POST(view))

        name = "segments_rfmrun_{}".format
        return [
            path("standing/", get(screens.standing_view), name=name("standing")),
            path("start/", post(screens.start_view), name=name("start")),
            path("cancel/", post(screens.cancel_view), name=name("cancel")),
            path("segment/", post(screens.segment_view), name=name("segment")),
            path("groups.csv", get(screens.groups_csv), name=name("groups_csv")),
            path("cells.csv", get(screens.cells_csv), name=name("cells_csv")),
            path("distributions/", get(past_screens.distributions_page), name=name("distributions")),
            path("movers/", get(past_screens.movers_page), name=name("movers")),
            path("runs/", get(past_screens.runs_page), name=name("runs")),
            path("settings/", get(settings_screen.page), name=name("settings")),
            path("settings/draft/", post(settings_screen.draft_view), name=name("draft")),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return screens.page(request)

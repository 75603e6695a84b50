"""The addresses of clusterings' screens."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin
from segments.clustering import comparing, setting_up, views
from segments.clustering.models import Clustering


@admin.register(Clustering)
class ClusteringAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        get = self.admin_site.admin_view

        def post(view: Any) -> Any:
            return get(require_POST(view))

        name = "segments_clustering_{}".format
        return [
            path("new/", get(setting_up.new_view), name=name("new")),
            path("statistics/", get(setting_up.statistics_view), name=name("statistics")),
            path("together/", get(setting_up.together_view), name=name("together")),
            path("<uuid:uuid>/", get(views.detail_view), name=name("detail")),
            path("<uuid:uuid>/settings/", get(setting_up.edit_view), name=name("settings")),
            path("<uuid:uuid>/standing/", get(views.standing_view), name=name("standing")),
            path("<uuid:uuid>/compare/", get(comparing.page), name=name("compare")),
            path("<uuid:uuid>/run/", post(views.run_view), name=name("run")),
            path("<uuid:uuid>/runs/<int:number>/accept/", post(views.accept_view), name=name("accept")),
            path("<uuid:uuid>/runs/<int:number>/decline/", post(views.decline_view), name=name("decline")),
            path(
                "<uuid:uuid>/runs/<int:run>/clusters/<int:number>/name/", post(views.rename_view), name=name("rename")
            ),
            path("<uuid:uuid>/clusters/<int:number>/segment/", post(views.segment_view), name=name("segment")),
            path("<uuid:uuid>/delete/", post(views.delete_one_view), name=name("delete_one")),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return views.list_view(request)

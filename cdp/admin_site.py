"""Our admin site: Django's own, with our frame around it and a home screen that says how things stand.

Which screens there are is in `cdp.console.navigation`; what each does is in the `admin.py` of its app.
"""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path


class PlatformAdminSite(AdminSite):
    site_title = "Customer data"
    site_header = "Customer data"
    index_title = "Home"
    site_url = None
    enable_nav_sidebar = False

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        # Deleting in bulk would pass by the audit log.
        self.disable_action("delete_selected")

    def get_urls(self) -> list[Any]:
        from cdp.console import home

        return [path("waiting/", self.admin_view(home.waiting_view), name="home_waiting"), *super().get_urls()]

    def index(  # type: ignore[override]  # any answer will do, Django only returns it
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        from cdp.console import home

        return home.home_view(request)

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The sidebar is the index of everything; a page per Django app would mean nothing to its readers."""
        return redirect("admin:index")

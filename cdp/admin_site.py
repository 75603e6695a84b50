"""Our admin site: Django's own, with our frame around it and a home screen that says how things stand.

Which screens there are is in `cdp.console.navigation`; what each does is in the `admin.py` of its app.
"""

from dataclasses import replace
from typing import Any

from django.contrib.admin import AdminSite
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from cdp.audit.actors import Actor
from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.context import ip_prefix
from cdp.audit.services import record
from cdp.console import home


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
        return [path("waiting/", self.admin_view(home.waiting_view), name="home_waiting"), *super().get_urls()]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's own, with what came of it in the audit log. Who was refused is not said: it may be a mistyped secret."""
        response = super().login(request, extra_context)
        if request.method == "POST":
            with transaction.atomic():
                if request.user.is_authenticated and response.status_code == 302:
                    record(by=actor_of(request), action="user.logged_in", object=reader_of(request))
                else:
                    prefix = ip_prefix(request.META.get("REMOTE_ADDR"))
                    record(by=replace(Actor.system("log-in"), ip_prefix=prefix), action="user.login_refused")
        return response

    def index(  # type: ignore[override]  # any answer will do, Django only returns it
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return home.home_view(request)

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The sidebar is the index of everything; a page per Django app would mean nothing to its readers."""
        return redirect("admin:index")

"""Our admin site: Django's own, with our frame around it and a home screen that says how things stand.

Which screens there are is in `cdp.console.navigation`; what each does is in the `admin.py` of its app.
"""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.contrib.admin import AdminSite
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.context import ip_prefix
from cdp.audit.services import record
from cdp.console import consent_rates, home, log_in_brake


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
        # When the site is made no model is loaded yet; by now they are.
        from cdp.accountability import breach_screens

        # Of no model: what waits, who was read, and who said yes.
        own = [
            path("figures/", self.admin_view(home.figures_view), name="home_figures"),
            path("waiting/", self.admin_view(home.waiting_view), name="home_waiting"),
            path("breach/", self.admin_view(breach_screens.breach_view), name="breach"),
            path("breach/people/", self.admin_view(breach_screens.people_view), name="breach_people"),
            path("consent/rates/", self.admin_view(consent_rates.rates_view), name="consent_rates"),
        ]
        # Nothing here has a page on a site of its own to lead to.
        return [*own, *(one for one in super().get_urls() if getattr(one, "name", "") != "view_on_site")]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's own, with what came of it in the audit log. Who was refused is not said: it may be a mistyped secret."""
        if request.method != "POST":
            return super().login(request, extra_context)
        network = ip_prefix(request.META.get("REMOTE_ADDR"))
        nobody = replace(Actor.system("log-in"), ip_prefix=network)
        attempt = log_in_brake.attempt(account=request.POST.get("username", ""), network=network)
        if attempt.is_held:
            if attempt.is_first_held:
                with transaction.atomic():
                    record(by=nobody, action="user.logins_held")
            return self._held(request)
        response = super().login(request, extra_context)
        is_in = request.user.is_authenticated and response.status_code == 302
        if is_in:
            attempt.succeeded()
        with transaction.atomic():
            if is_in:
                record(by=actor_of(request), action="user.logged_in", object=reader_of(request))
            else:
                record(by=nobody, action="user.login_refused")
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST" and request.user.is_authenticated:
            with transaction.atomic():
                record(by=actor_of(request), action="user.logged_out", object=reader_of(request))
        return super().logout(request, extra_context)

    @staticmethod
    def _held(request: HttpRequest) -> HttpResponse:
        """When the next log-in will be looked at."""
        seconds = log_in_brake.seconds_left()
        until = timezone.localtime(timezone.now() + timedelta(seconds=seconds + 59))
        context = {"minutes": math.ceil(seconds / 60), "until": until}
        headers = {"Retry-After": str(seconds)}
        return TemplateResponse(request, "admin/login_held.html", context, status=429, headers=headers)

    def index(  # type: ignore[override]  # any answer will do, Django only returns it
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return home.home_view(request)

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The sidebar is the index of everything; a page per Django app would mean nothing to its readers."""
        return redirect("admin:index")

"""Our admin site: Django's own, with our frame around it and a home screen that says how things stand.

Which screens there are is in `cdp.console.navigation`; what each does is in the `admin.py` of its app.
"""

from typing import Any

from django.contrib.admin import AdminSite
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.services import record
from cdp.console import consent_rates, home, tracking_plan
from cdp.log_in import administering, door, screens, sessions


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
        from cdp.console import health_screen

        # Of no model: what waits, who was read, and who said yes.
        own = [
            path("figures/", self.admin_view(home.figures_view), name="home_figures"),
            path("waiting/", self.admin_view(home.waiting_view), name="home_waiting"),
            path("breach/", self.admin_view(breach_screens.breach_view), name="breach"),
            path("breach/people/", self.admin_view(breach_screens.people_view), name="breach_people"),
            path("login/second/", door.factor_view, name="second_factor"),
            path("account/", self.admin_view(screens.account_view), name="account"),
            path("account/prove/", self.admin_view(screens.prove_view), name="account_prove"),
            path("account/totp/", self.admin_view(screens.totp_view), name="account_totp"),
            path("account/passkey/", self.admin_view(screens.passkey_view), name="account_passkey"),
            path("account/codes/", self.admin_view(screens.codes_view), name="account_codes"),
            path("account/factors/<int:pk>/remove/", self.admin_view(screens.remove_view), name="account_remove"),
            path("account/sessions/end/", self.admin_view(screens.end_others_view), name="account_end_others"),
            path("lockouts/", self.admin_view(administering.lockouts_view), name="lockouts"),
            path("lockouts/<int:pk>/lift/", self.admin_view(administering.lift_view), name="lockout_lift"),
            path("health/", self.admin_view(health_screen.health_view), name="health"),
            path("tracking-plan/", self.admin_view(tracking_plan.plan_view), name="tracking_plan"),
            path("tracking-plan.<slug:form>", self.admin_view(tracking_plan.file_view), name="tracking_plan_file"),
            path("consent/rates/", self.admin_view(consent_rates.rates_view), name="consent_rates"),
        ]
        # Nothing here has a page on a site of its own to lead to.
        return [*own, *(one for one in super().get_urls() if getattr(one, "name", "") != "view_on_site")]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Our own way in (`cdp.log_in.door`) in the place of Django's."""
        if request.method == "GET" and self.has_permission(request):
            return redirect("admin:index")
        request.current_app = self.name  # type: ignore[attr-defined]
        return door.password_view(
            request,
            {
                **self.each_context(request),
                "title": "Log in",
                "subtitle": None,
                "app_path": request.get_full_path(),
                "username": request.user.get_username(),
                **(extra_context or {}),
            },
        )

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Django's own; it ends all sessions but this one, which goes on under another key."""
        old_key = request.session.session_key
        response = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            user, by = reader_of(request), actor_of(request)
            sessions.note_new_key(request, old_key)
            with transaction.atomic():
                record(by=by, action="user.password_changed", object=user)
                sessions.end_sessions(user=user, by=by, why="password changed", but=request.session.session_key)
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST" and request.user.is_authenticated:
            with transaction.atomic():
                record(by=actor_of(request), action="user.logged_out", object=reader_of(request))
        return super().logout(request, extra_context)

    def index(  # type: ignore[override]  # any answer will do, Django only returns it
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return home.home_view(request)

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The sidebar is the index of everything; a page per Django app would mean nothing to its readers."""
        return redirect("admin:index")

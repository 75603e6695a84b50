"""Ends sessions that were idle or lasted too long, and sends those without a second factor to set one up where it is required."""

from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone

from cdp.audit.admin_base import actor_of
from cdp.audit.services import record
from cdp.log_in import factors, sessions
from cdp.log_in.sessions import Over

SAID: Final = {
    Over.IDLE: "You were logged out because nothing was done for a while.",
    Over.OLD: "You were logged out because the log-in was a long time ago.",
}
# What somebody may open before they have the second factor that is required of them.
BEFORE: Final = {
    "account", "account_prove", "account_totp", "account_passkey", "account_codes", "logout", "login", "password_change",
    "password_change_done", "jsi18n",
}  # fmt: skip
POLL: Final = "X-Poll"
"""Sent by what asks by itself again and again: a screen that is left open is nobody who is there."""


class SessionPolicyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._stopped(request) or self.get_response(request)

    def _stopped(self, request: HttpRequest) -> HttpResponse | None:
        """What is answered instead of the screen; None when it may be shown."""
        console = reverse("admin:index")
        is_console = request.path_info.startswith(console)
        if not (is_console or request.path_info.startswith("/api/")):
            return None
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return None
        now = timezone.now()
        if ended := sessions.over(request, now=now):
            with transaction.atomic():
                record(by=actor_of(request), action="user.session_expired", detail={"why": str(ended)})
            logout(request)
            messages.info(request, SAID[ended])
            return self._to(request, reverse("admin:login")) if "HX-Request" in request.headers else None
        if POLL not in request.headers:
            sessions.touch(request, now=now)
        if settings.MFA == "required" and not request.session.get(sessions.FACTOR):
            return self._without_factor(request, is_console=is_console)
        return None

    def _without_factor(self, request: HttpRequest, *, is_console: bool) -> HttpResponse | None:
        if not is_console:
            request.user = AnonymousUser()  # the API answers as it does to anybody who isn't logged in
            return None
        if factors.has_factor(request.user):  # the factor, or the setting, came after this log-in
            logout(request)
            return self._to(request, reverse("admin:login"))
        try:
            name = resolve(request.path_info).url_name
        except Resolver404:
            return None
        return None if name in BEFORE else self._to(request, reverse("admin:account"))

    @staticmethod
    def _to(request: HttpRequest, address: str) -> HttpResponse:
        """Sends the whole window there, also when only a part of the page was asked for."""
        if "HX-Request" in request.headers:
            return HttpResponse(status=204, headers={"HX-Redirect": address})
        return redirect(address)

"""What every request carries along: a request id, for the logs and the audit, on screens the workspace's time zone; what none may."""

import re
import uuid
from collections.abc import Callable
from ipaddress import ip_address
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone
from structlog.contextvars import bind_contextvars, clear_contextvars

from cdp.audit.context import request_id_var
from cdp.profiles.models import Workspace

ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")


def client_address(request: HttpRequest) -> str:
    """Where the request came from: behind a proxy, what the proxy itself wrote last; the rest anybody can make up."""
    address = str(request.META.get("REMOTE_ADDR", ""))
    if not settings.BEHIND_TLS:
        return address
    last = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        return str(ip_address(last))
    except ValueError:
        return address


class RequestContextMiddleware:
    """Takes a caller's X-Request-Id when it is well formed, else makes one; and the client's address from the proxy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META["REMOTE_ADDR"] = client_address(request)
        given = request.headers.get("X-Request-Id", "")
        request_id = given if ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex
        token = request_id_var.set(request_id)
        bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            request_id_var.reset(token)
            clear_contextvars()
        response["X-Request-Id"] = request_id
        return response


class TrackingApiMiddleware:
    """Hands the tracking API's requests to their views straight away: they have no session, log-in, form or page.

    What the middleware below would do for them costs as much as keeping them.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/v1/"):
            return self.get_response(request)
        try:
            view, arguments, named = resolve(request.path_info)
        except Resolver404:
            return self.get_response(request)
        response: HttpResponse = view(request, *arguments, **named)
        response["Content-Length"] = str(len(response.content))
        response["X-Content-Type-Options"] = "nosniff"
        return response


class NulMiddleware:
    """Refuses a NUL in the address of a page: forms refuse it in their fields, and no database can look for it.

    The APIs tell of it by themselves, with its place.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", "") and not request.path_info.startswith("/api/"):
            raise BadRequest("There is a NUL in the address.")
        return self.get_response(request)


class WorkspaceTimeMiddleware:
    """Writes times in the workspace's time zone on the console's screens; the APIs speak UTC and ask nothing of the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(reverse("admin:index")):
            return self.get_response(request)
        with timezone.override(ZoneInfo(Workspace.current().time_zone)):
            return self.get_response(request)

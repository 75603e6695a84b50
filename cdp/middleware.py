"""What every request carries along: a request id, for the logs and the audit, sent back in the answer."""

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bind_contextvars, clear_contextvars

from cdp.audit.context import request_id_var

ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestContextMiddleware:
    """Takes a caller's X-Request-Id when it is well formed, else makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
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

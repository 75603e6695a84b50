"""Every error a client sees, as RFC 9457 ``application/problem+json``. What can go wrong is said where it does.

An error that nobody foresaw is answered without a word of its own: its text may hold internals or a person's data.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from cdp.audit.context import request_id_var
from cdp.errors import DomainError, DomainErrors

MEDIA_TYPE = "application/problem+json"
API_PATH = "/api/"


class ProblemRenderer(JSONRenderer):
    """JSON, named as what it is."""

    media_type = MEDIA_TYPE


def problem(
    status: int, *, code: str, detail: str, pointer: str = "", errors: Sequence[DomainError] = ()
) -> dict[str, Any]:
    """The body of an answer that is an error. `code` is stable; `detail` is written for people and may change."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": _sendable(detail),
        "code": code,
    }
    if pointer:
        body["pointer"] = _sendable(pointer)
    if errors:
        body["errors"] = [
            {"code": one.code, "detail": _sendable(one.message), "pointer": _sendable(one.pointer)} for one in errors
        ]
    return body | {"request_id": request_id_var.get()}


def problem_details(raised: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler. None for what nobody foresaw: Django logs it and `server_error` answers."""
    headers: dict[str, str] = {}
    if isinstance(raised, DomainErrors):
        status = raised.status
        body = problem(status, code=raised.code, detail=raised.message, pointer=raised.pointer, errors=raised.errors)
    elif isinstance(raised, DomainError):
        status = raised.status
        body = problem(status, code=raised.code, detail=raised.message, pointer=raised.pointer)
    elif isinstance(raised, Http404):
        status, body = 404, problem(404, code="not_found", detail="There is nothing at this address.")
    elif isinstance(raised, PermissionDenied):
        status, body = 403, problem(403, code="permission_missing", detail="Your role does not allow this.")
    elif isinstance(raised, SuspiciousOperation):
        status, body = 400, problem(400, code="bad_request", detail="The request can't be read.")
    elif isinstance(raised, exceptions.APIException):
        status, body = raised.status_code, _of_drf(raised)
        if header := getattr(raised, "auth_header", None):
            headers["WWW-Authenticate"] = header
    else:
        return None
    if wait := getattr(raised, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    set_rollback()
    return _answer(body, status, headers, context)


def _answer(body: dict[str, Any], status: int, headers: dict[str, str], context: Mapping[str, Any]) -> Response:
    response = Response(body, status=status, headers=headers, content_type=MEDIA_TYPE)
    request = context.get("request")
    if request is not None:
        # Whatever the caller wanted to accept: an error he can read beats one he can't.
        request.accepted_renderer, request.accepted_media_type = ProblemRenderer(), MEDIA_TYPE
    return response


def _of_drf(raised: exceptions.APIException) -> dict[str, Any]:
    if isinstance(raised, exceptions.ValidationError):
        found = list(flattened(raised.detail, ""))
        return invalid(found)
    detail = str(raised.detail)
    code = raised.get_codes()
    if isinstance(raised, exceptions.Throttled):
        detail = "Too many requests; Retry-After says in how many seconds the next will be answered."
    elif isinstance(raised, exceptions.MethodNotAllowed):
        detail = "This address doesn't take that method."
    elif isinstance(raised, exceptions.NotAuthenticated):
        detail = "Send an API key: Authorization: Bearer cdp_…"
    elif isinstance(raised, exceptions.UnsupportedMediaType):
        detail = "Send JSON, with Content-Type: application/json."
    return problem(raised.status_code, code=code if isinstance(code, str) else "bad_request", detail=detail)


def invalid(found: Sequence[DomainError]) -> dict[str, Any]:
    """The problem of an input in which these errors were found; a single one also stands at the top."""
    if len(found) == 1:
        (only,) = found
        return problem(400, code=only.code, detail=only.message, pointer=only.pointer, errors=found)
    return problem(400, code="invalid", detail=f"{len(found)} things need mending.", errors=found)


def flattened(detail: Any, pointer: str) -> Iterator[DomainError]:
    """DRF's nested messages as a flat list, each with the JSON pointer of its place."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            step = "" if key == "non_field_errors" else "/" + str(key).replace("~", "~0").replace("/", "~1")
            yield from flattened(inner, pointer + step)
    elif isinstance(detail, list):
        for position, inner in enumerate(detail):
            # A list of messages is about one place; a list of mappings is about the items of a list.
            yield from flattened(inner, f"{pointer}/{position}" if isinstance(inner, Mapping) else pointer)
    else:
        yield DomainError(str(getattr(detail, "code", "invalid")), str(detail), pointer)


def _sendable(text: str) -> str:
    # A lone surrogate quoted from the input could not be encoded into the answer.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# ---- Django's own answers, below the API's address ----------------------------------------------------------


def _plain(status: int, code: str, detail: str) -> HttpResponse:
    return JsonResponse(problem(status, code=code, detail=detail), status=status, content_type=MEDIA_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API_PATH):
        return _plain(400, "bad_request", "The request can't be read.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API_PATH):
        return _plain(403, "permission_missing", "Your role does not allow this.")
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API_PATH):
        return _plain(404, "not_found", "There is nothing at this address. Addresses end with a slash.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith(API_PATH):
        return _plain(500, "internal", "Something went wrong on our side; the request id finds it in our logs.")
    return defaults.server_error(request)


def located(errors: Iterable[Any], prefix: str) -> DomainErrors:
    """Errors that have a code, a message and a pointer, as errors of the place ``prefix`` of an input."""
    return DomainErrors([DomainError(one.code, one.message, prefix + one.pointer) for one in errors])

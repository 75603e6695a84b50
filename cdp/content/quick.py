"""The short way of a look-up that finds somebody: by key alone, past what sessions, forms and pages need.

Who may ask, and how often, is decided where it is for every other address (`cdp.rest`). All that isn't simply answered goes the
long way, to the view in `cdp.content.api_lookup`, which looks anew and says what is amiss.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.exceptions import APIException

from cdp.content.api_lookup import LookupQuery, answered, served, slot_keys
from cdp.content.counting import counter
from cdp.content.deciding import segments_asked
from cdp.errors import DomainError
from cdp.rest.authentication import ApiKeyAuthentication, actor_of
from cdp.rest.models import Scope
from cdp.rest.throttles import PerKeyThrottle
from segments.lookup import look_up

BEFORE: Final = "/api/v1/profiles/"
AFTER: Final = "/segments/"
ASKED: Final = frozenset(LookupQuery().fields)
encoder: Final = msgspec.json.Encoder()


class LookupMiddleware:
    """Answers look-ups by key that find somebody, and leaves everything else to what comes after it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if request.method == "GET" and path.startswith(BEFORE) and path.endswith(AFTER):
            response = quickly(request, path[len(BEFORE) : -len(AFTER)])
            if response is not None:
                return response
        return self.get_response(request)


def quickly(request: HttpRequest, identifier: str) -> HttpResponse | None:
    """The answer; None where it takes the long way."""
    given = request.GET
    if not given.keys() <= ASKED or any(len(given.getlist(name)) > 1 for name in given):
        return None
    try:
        request.get_host()
        caller = ApiKeyAuthentication().authenticate(request)  # type: ignore[arg-type]  # it reads nothing but headers
        if caller is None:
            return None
        user, key = caller
        if Scope.PROFILES_LOOKUP not in key.scopes or not key.may_read_for(given.get("purpose", "")):
            return None
        request.user, request.auth = user, key  # type: ignore[assignment,attr-defined]
        throttle = PerKeyThrottle()
        slots = served(slot_keys(given.get("slots", "")))
        standing = look_up(
            identifier, purpose=given.get("purpose", ""), user_id=key.user_id, asked=segments_asked(slots)
        )
        if not throttle.allow_request(request, None):  # type: ignore[arg-type]
            return None
    except (DomainError, APIException):
        return None
    counter.count(by=actor_of(request), purpose=given["purpose"])
    body = answered(standing, given["purpose"], slots, at=timezone.now())
    headers = {"Cache-Control": "no-store, private", "X-Content-Type-Options": "nosniff", "Vary": "Accept, Cookie"}
    return HttpResponse(encoder.encode(body), content_type="application/json", headers={**headers, **throttle.told})

"""What every view of the API shares. What a view needs to be used is declared by itself; see `cdp.rest.permissions`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control
from django.utils.http import http_date
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cdp.rest import idempotency, versions
from cdp.rest.authentication import caller
from cdp.rest.models import ApiKey

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Deprecation:
    """That an address is on its way out: since when, until when, and what to use instead."""

    since: datetime
    sunset: datetime
    successor: str

    def headers(self) -> dict[str, str]:
        """As RFC 9745 (Deprecation), RFC 8594 (Sunset) and RFC 8288 (Link) write them."""
        return {
            "Deprecation": f"@{int(self.since.timestamp())}",
            "Sunset": http_date(self.sunset.timestamp()),
            "Link": f'<{self.successor}>; rel="successor-version"',
        }


class ApiView(APIView):
    """Answers are for the caller alone: no proxy between us may keep them.

    Attributes:
        is_versioned: what GET shows has an ETag, and edits of it may name one.
        passing: of what is shown, what changes without an edit.
        changes_nothing: POST only asks. Asked again it answers anew, and no Idempotency-Key keeps an answer that may since
            have become untrue, or somebody's who withdrew.
        holds_secret: what POST answers is shown once and kept nowhere.
        deprecated: what tells callers to move on.
    """

    required_scope: str | dict[str, str] | None = None
    required_permission: str | dict[str, str] | None = None
    is_versioned: ClassVar[bool] = False
    passing: ClassVar[tuple[str, ...]] = ()
    changes_nothing: ClassVar[bool] = False
    holds_secret: ClassVar[bool] = False
    deprecated: ClassVar[Deprecation | None] = None

    def get_throttles(self) -> list[Any]:
        # Kept, so that the answer can tell what they counted; a view is made anew for each request.
        self.throttles = super().get_throttles()
        return self.throttles

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As DRF's own, with the handler between what makes a write safe to send twice."""
        self.args, self.kwargs = args, kwargs
        asked = self.initialize_request(request, *args, **kwargs)
        self.request, self.headers = asked, self.default_response_headers
        try:
            self.initial(asked, *args, **kwargs)
            response = self._handled(asked)
        except Exception as error:  # noqa: BLE001  (DRF's handler decides what a client may see of it, and raises the rest)
            response = self.handle_exception(error)
        self.response = self.finalize_response(asked, response, *args, **kwargs)
        return self.response

    def _handled(self, request: Request) -> HttpResponseBase:
        method = request.method or ""
        is_write = method in WRITES and method in self.allowed_methods and not self.changes_nothing
        if is_write and idempotency.HEADER in request.headers:
            return idempotency.once(
                request, caller(request), lambda: self._edited(request), holds_secret=self.holds_secret
            )
        return self._edited(request)

    def _edited(self, request: Request) -> HttpResponseBase:
        method = (request.method or "").lower()
        handler = getattr(self, method, None) if method in self.http_method_names else None
        handle = handler or self.http_method_not_allowed
        is_edit = self.is_versioned and handler is not None and request.method in versions.EDITS
        if not is_edit or not versions.wants_match(request):
            return self._tagged(request, handle(request, *self.args, **self.kwargs))
        with transaction.atomic():
            versions.wait_turn(request)
            versions.demand_match(request, self._tag(request))
            response = handle(request, *self.args, **self.kwargs)
            if method != "delete":
                response["ETag"] = self._tag(request)
            return response  # type: ignore[no-any-return]

    def _tag(self, request: Request) -> str:
        shown = self.get(request, *self.args, **self.kwargs)  # type: ignore[attr-defined]  # every versioned view has one
        return versions.tag_of(shown.data, self.passing)

    def _tagged(self, request: Request, response: HttpResponseBase) -> HttpResponseBase:
        if not self.is_versioned or request.method != "GET" or not isinstance(response, Response):
            return response
        tag = versions.tag_of(response.data, self.passing)
        if versions.is_known(request, tag):
            response = Response(status=304)
        response["ETag"] = tag
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        for throttle in getattr(self, "throttles", ()):
            for name, value in getattr(throttle, "told", {}).items():
                final[name] = value
        if self.deprecated is not None:
            for name, value in self.deprecated.headers().items():
                final[name] = value
        # Not `auth`, which would look again for who calls where that was refused.
        key = getattr(request, "_auth", None)
        if isinstance(key, ApiKey) and key.expires_at is not None and key.ends_soon:
            final["API-Key-Expires"] = key.expires_at.isoformat()
        if not final.has_header("Cache-Control"):
            patch_cache_control(final, no_store=True, private=True)
        return final

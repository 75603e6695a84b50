"""What every view of the API shares. What a view needs to be used is declared by itself; see `cdp.rest.permissions`."""

from typing import Any

from django.utils.cache import patch_cache_control
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class ApiView(APIView):
    """Answers are for the caller alone: no proxy between us may keep them."""

    required_scope: str | dict[str, str] | None = None
    required_permission: str | dict[str, str] | None = None

    def get_throttles(self) -> list[Any]:
        # Kept, so that the answer can tell what they counted; a view is made anew for each request.
        self.throttles = super().get_throttles()
        return self.throttles

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        for throttle in getattr(self, "throttles", ()):
            for name, value in getattr(throttle, "told", {}).items():
                final[name] = value
        if not final.has_header("Cache-Control"):
            patch_cache_control(final, no_store=True, private=True)
        return final

"""The description of the API: the document itself, the page that shows it, and what all operations have in common.

What one operation takes and gives is described at its view.
"""

from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.rest.errors import MEDIA_TYPE
from cdp.rest.permissions import PUBLIC
from cdp.rest.views import ApiView

STRING = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; `detail` is written for people.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": STRING,
        "title": STRING,
        "status": {"type": "integer"},
        "detail": STRING,
        "code": STRING,
        "pointer": {**STRING, "description": "RFC 6901: the place in the input."},
        "request_id": {**STRING, "description": "Finds the request in our logs and in the audit log."},
        "errors": {
            "type": "array",
            "description": "Every error of the input at once.",
            "items": {
                "type": "object",
                "required": ["code", "detail", "pointer"],
                "properties": {"code": STRING, "detail": STRING, "pointer": STRING},
            },
        },
    },
}
RETRY_AFTER = {"description": "Whole seconds to wait.", "schema": {"type": "integer"}}
RATE = {
    "RateLimit-Limit": {"description": "Requests of a span of time.", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "Of those, how many are left.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "Whole seconds until the next span.", "schema": {"type": "integer"}},
}


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Says of every operation what its errors look like. A hook of drf-spectacular."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            responses.setdefault("default", {"description": "Any error", "content": content})
            responses.setdefault(
                "429",
                {
                    "description": "Too many requests",
                    "headers": {"Retry-After": RETRY_AFTER, **RATE},
                    "content": content,
                },
            )
            for status, response in responses.items():
                if status.startswith("2"):
                    response["headers"] = {**RATE, **response.get("headers", {})}
    return result


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself with drf-spectacular
    target_class = "cdp.rest.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer cdp_…`"}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI document. It depends on the code alone, so a process makes it once."""
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return found


@extend_schema(exclude=True)
class SchemaView(ApiView):
    """The OpenAPI document, as JSON or YAML."""

    required_scope = PUBLIC
    authentication_classes = []
    renderer_classes = [OpenApiJsonRenderer, OpenApiYamlRenderer, JSONRenderer]

    def get(self, request: Request) -> Response:
        return Response(document(), headers={"Cache-Control": "public, max-age=300"})


def docs(request: HttpRequest) -> HttpResponse:
    """The page to read the API by, and to try it out."""
    return render(request, "api/docs.html")

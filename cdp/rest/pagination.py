"""Lists in pages that stay right while rows come and go: each page starts after the last row of the one before.

What a list holds, and in which order, is the view's to say.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.core.signing import BadSignature, Signer
from django.db.models import Model, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import DomainError

if TYPE_CHECKING:  # DRF reads this module while it makes its views
    from rest_framework.views import APIView

DEFAULT_LIMIT: Final = 100
LARGEST_LIMIT: Final = 1000


class KeysetPagination(BasePagination):
    """Pages by the values of the view's ``keyset`` fields, which together are unique; ``keyset_descends`` turns it round.

    A cursor is signed together with the address and the filters, so that it opens no other list than its own.
    """

    cursor: str = ""

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: "APIView | None" = None) -> list[Any]:
        after = self.position(request)
        self.fields: tuple[str, ...] = view.keyset  # type: ignore[union-attr]
        descends: bool = getattr(view, "keyset_descends", False)
        self.limit = _limit(request.query_params.get("limit"))
        rows = queryset.order_by(*(f"-{name}" if descends else name for name in self.fields))
        if after is not None:
            rows = rows.filter(self._beyond(queryset.model, after, descends))
        found = list(rows[: self.limit + 1])
        self.has_more = len(found) > self.limit
        self.page = found[: self.limit]
        return self.page

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._next(), "results": data})

    # ---- The cursor ----

    def position(self, request: Request) -> list[str] | None:
        """The values, as text, after which the page begins; None for the first page.

        Raises:
            DomainError: the cursor was not made by us for this list.
        """
        self.request, self.cursor = request, request.query_params.get("cursor", "")
        if not self.cursor:
            return None
        try:
            values: list[str] = self._signer().unsign_object(self.cursor)
        except (BadSignature, ValueError):
            message = "This cursor belongs to no page of this list. Follow `next` as it came, with the same filters."
            raise DomainError("cursor_unknown", message, "/cursor") from None
        return values

    def _signer(self) -> Signer:
        rest = urlencode(sorted((k, v) for k, v in self.request.query_params.items() if k not in {"cursor", "limit"}))
        return Signer(salt=f"cursor:{self.request.path}?{rest}")

    def _next(self) -> str | None:
        if not self.has_more:
            return None
        last: Model = self.page[-1]
        values = [last._meta.get_field(name).value_to_string(last) for name in self.fields]  # type: ignore[union-attr]
        query = self.request.query_params.dict() | {"cursor": self._signer().sign_object(values)}
        return self.request.build_absolute_uri(f"{self.request.path}?{urlencode(query)}")

    def _beyond(self, model: type[Model], texts: Sequence[str], descends: bool) -> Q:
        values = [model._meta.get_field(n).to_python(t) for n, t in zip(self.fields, texts, strict=True)]  # type: ignore[union-attr]
        beyond = "lt" if descends else "gt"
        after, same = Q(), Q()
        for name, value in zip(self.fields, values, strict=True):  # names are the view's, never the caller's
            after |= same & Q(**{f"{name}__{beyond}": value})
            same &= Q(**{name: value})
        return after

    # ---- For OpenAPI ----

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {
                "next": {
                    "type": ["string", "null"],
                    "format": "uri",
                    "description": "Address of the next page; null on the last one.",
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: "APIView") -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Opaque; part of `next`.",
                "schema": {"type": "string"},
            },
            {
                "name": "limit",
                "in": "query",
                "description": "Rows on a page.",
                "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT},
            },
        ]


def _limit(given: str | None) -> int:
    if given is None or given == "":
        return DEFAULT_LIMIT
    if given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= LARGEST_LIMIT:
        return int(given)
    raise DomainError("limit_out_of_range", f"limit must be a whole number from 1 to {LARGEST_LIMIT}.", "/limit")

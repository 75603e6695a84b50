"""Purposes over REST: what people may be read for."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import ANY_CALLER
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.models import Purpose


class PurposeSerializer(serializers.ModelSerializer[Purpose]):
    """Why people's data is read."""

    parent = serializers.SlugRelatedField[Purpose](  # type: ignore[assignment]  # DRF takes declared fields away first
        slug_field="key",
        read_only=True,
        allow_null=True,
        help_text="Who says no to this one says no to the purpose as well.",
    )

    class Meta:
        model = Purpose
        fields = (
            "key", "label", "text", "lawful_basis", "mode", "channel", "parent", "reach", "needs_double_opt_in",
            "covers_profiling", "needs_granted", "needs_undenied", "lifetime_days",
        )  # fmt: skip
        read_only_fields = fields


class PurposeList(ApiView):
    required_scope = ANY_CALLER
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(operation_id="purposes_list", summary="List purposes", responses=PurposeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The purposes there are. Every read of people names one of them."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(Purpose.objects.select_related("parent"), request, self)
        return pages.get_paginated_response(PurposeSerializer(rows, many=True).data)

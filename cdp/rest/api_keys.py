"""API keys over REST: which there are, making, limiting, replacing and revoking them.

No answer but the one that makes a key has the key itself.
"""

from datetime import timedelta
from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import NotFound
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import ApiKey, Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import MomentField, Query
from cdp.rest.services import change_api_key, create_api_key, revoke_api_key, rotate_api_key
from cdp.rest.views import ApiView

READ_OR_WRITE: dict[str, str] = {"GET": Scope.KEYS_READ, "POST": Scope.KEYS_WRITE, "PATCH": Scope.KEYS_WRITE}


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    is_usable = serializers.BooleanField(help_text="Neither revoked nor expired.")
    replaces = serializers.SlugRelatedField(  # type: ignore[var-annotated]
        "prefix", read_only=True, allow_null=True, help_text="The key whose place it took."
    )

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "prefix", "name", "scopes", "purposes", "all_purposes", "networks", "is_usable", "replaces", "created_at",
            "expires_at", "revoked_at", "last_used_at",
        )  # fmt: skip
        read_only_fields = fields


class MadeKeySerializer(ApiKeySerializer):
    key = serializers.SerializerMethodField(help_text="The key itself. It is shown here and never again.")

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "key")
        read_only_fields = fields

    def get_key(self, key: ApiKey) -> str:
        return str(self.context["secret"])


class KeyLimits(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100, required=False)
    purposes = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=100,
        help_text="For what it may read people. Without any, and without `all_purposes`, it reads nobody.",
    )
    all_purposes = serializers.BooleanField(required=False, help_text="Those that are added later too.")
    networks = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=1000,
        help_text="From where it may be used, as 203.0.113.0/24 or 2001:db8::/32; from anywhere without any.",
    )
    expires_at = MomentField(required=False, allow_null=True)


class NewKey(KeyLimits):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.CharField(max_length=32), max_length=100)


class Rotation(serializers.Serializer[Any]):
    overlap_hours = serializers.IntegerField(
        default=24, min_value=0, max_value=720, help_text="For how long both keys can be used."
    )
    expires_at = MomentField(required=False, help_text="When the new one ends; a year from now when left out.")


class ApiKeys(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": "rest.view_apikey", "POST": "rest.add_apikey"}
    pagination_class = KeysetPagination
    keyset = ("prefix",)
    holds_secret = True

    @extend_schema(operation_id="keys_list", summary="List API keys", responses=ApiKeySerializer(many=True))
    def get(self, request: Request) -> Response:
        """All keys, also those that ended; what they may do and when they were used last."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(ApiKey.objects.select_related("replaces"), request, self)
        return pages.get_paginated_response(ApiKeySerializer(rows, many=True).data)

    @extend_schema(
        operation_id="keys_create",
        summary="Make an API key",
        request=NewKey,
        responses={201: MadeKeySerializer},
        examples=[
            OpenApiExample(
                "A mail tool",
                value={
                    "name": "Mail tool",
                    "scopes": ["segments:read", "members:read"],
                    "purposes": ["marketing_email"],
                    "networks": ["203.0.113.0/24"],
                    "expires_at": "2027-11-24T00:00:00Z",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Make a key. A key makes none that may more than itself: neither scopes, purposes and networks, nor a later end."""
        given = NewKey(data=request.data)
        given.is_valid(raise_exception=True)
        key, secret = create_api_key(**given.validated_data, by=actor_of(request), **_on_behalf(request))
        return _made(key, secret)


class ApiKeyDetail(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": "rest.view_apikey", "PATCH": "rest.change_apikey"}
    is_versioned = True
    passing = ("last_used_at", "is_usable")

    @extend_schema(operation_id="keys_detail", summary="Show an API key", responses=ApiKeySerializer)
    def get(self, request: Request, prefix: str) -> Response:
        """What a key may do, for what, from where and until when."""
        return Response(ApiKeySerializer(_key(prefix)).data)

    @extend_schema(
        operation_id="keys_change", summary="Limit an API key", request=KeyLimits, responses=ApiKeySerializer
    )
    def patch(self, request: Request, prefix: str) -> Response:
        """Change the name or the limits. Scopes never change: for others, make another key."""
        given = KeyLimits(data=request.data)
        given.is_valid(raise_exception=True)
        maker = _on_behalf(request)["maker"]
        changed = change_api_key(key=_key(prefix), by=actor_of(request), maker=maker, **given.validated_data)
        return Response(ApiKeySerializer(changed).data)


class ApiKeyRotate(ApiView):
    required_scope = Scope.KEYS_WRITE
    required_permission = "rest.add_apikey"
    holds_secret = True

    @extend_schema(
        operation_id="keys_rotate", summary="Replace an API key", request=Rotation, responses={201: MadeKeySerializer}
    )
    def post(self, request: Request, prefix: str) -> Response:
        """Make the key that takes this one's place: same scopes, limits and grants. The old one ends after the overlap. A key
        replaces itself alone."""
        given = Rotation(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        key, secret = rotate_api_key(
            key=_key(prefix),
            by=actor_of(request),
            overlap=timedelta(hours=wanted["overlap_hours"]),
            expires_at=wanted.get("expires_at"),
            **_on_behalf(request),
        )
        return _made(key, secret)


class ApiKeyRevoke(ApiView):
    required_scope = Scope.KEYS_WRITE
    required_permission = "rest.change_apikey"

    @extend_schema(operation_id="keys_revoke", summary="Revoke an API key", request=None, responses=ApiKeySerializer)
    def post(self, request: Request, prefix: str) -> Response:
        """End a key at once. Its next request is refused; revoking twice is harmless."""
        return Response(ApiKeySerializer(revoke_api_key(key=_key(prefix), by=actor_of(request))).data)


def _on_behalf(request: Request) -> dict[str, Any]:
    return {"user": caller(request), "maker": request.auth if isinstance(request.auth, ApiKey) else None}


def _key(prefix: str) -> ApiKey:
    found = ApiKey.objects.select_related("replaces").filter(prefix=prefix).first()
    if found is None:
        raise NotFound("key_not_found", "There is no such API key.")
    return found


def _made(key: ApiKey, secret: str) -> Response:
    headers = {"Location": reverse("api:key", args=[key.prefix])}
    shown = MadeKeySerializer(key, context={"secret": secret}).data
    return Response(shown, status=status.HTTP_201_CREATED, headers=headers)

"""Audiences over REST: which there are, making and changing them, and their members. Following is in `cdp.activation.api_changes`."""

import json
from typing import Any
from urllib.parse import urlencode

from django.core.signing import Signer
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.activation.models import Audience, AudienceMember, Channel
from cdp.activation.reading import check_at, hex_of, members_at, refuse_lost, visible_audiences
from cdp.activation.services import change_audience, create_audience, delete_audience
from cdp.activation.streaming import FORMATS, zipped
from cdp.audit.services import record
from cdp.errors import Forbidden, NotFound
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import demand_purpose
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.querysets import purpose_or_error
from segments.api import visible_segment

READ_OR_WRITE: dict[str, str] = {
    "GET": Scope.AUDIENCES_READ,
    "POST": Scope.AUDIENCES_WRITE,
    "PATCH": Scope.AUDIENCES_WRITE,
    "DELETE": Scope.AUDIENCES_WRITE,
}
EXAMPLE = {
    "key": "newsletter-loyal",
    "name": "Newsletter to loyal customers",
    "description": "",
    "segment": "loyal-customers",
    "purpose": "marketing_email",
    "channel": "email",
    "size": 4210,
    "checksum": "9f2c04d1a7e85b36",
    "position": 18344,
    "is_filled": True,
    "created_at": "2026-11-20T09:00:00Z",
}
ONE = OpenApiExample("An audience", value=EXAMPLE, response_only=True)
MAKE = OpenApiExample(
    "Make one",
    value={name: EXAMPLE[name] for name in ("name", "key", "segment", "purpose", "channel")},
    request_only=True,
)


class AudienceSerializer(serializers.ModelSerializer[Audience]):
    """A segment, for a purpose, by a channel. `checksum` is of its members after the change at `position`."""

    segment = serializers.CharField(source="segment.key", read_only=True, help_text="Its key.")
    purpose = serializers.CharField(source="purpose.key", read_only=True, help_text="Its key.")
    channel = serializers.ChoiceField(
        Channel.choices,
        read_only=True,
        help_text="Only people with an identifier of this namespace are in; empty: anybody.",
    )
    checksum = serializers.SerializerMethodField()
    is_filled = serializers.SerializerMethodField(help_text="False while people are judged for the first time.")

    class Meta:
        model = Audience
        fields = (
            "key", "name", "description", "segment", "purpose", "channel", "size", "checksum", "position", "is_filled", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_checksum(self, audience: Audience) -> str:
        return hex_of(audience.checksum)

    def get_is_filled(self, audience: Audience) -> bool:
        return audience.compared_at is not None


class NewAudience(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150)
    key = serializers.CharField(
        max_length=64, required=False, default="", help_text="Made from the name when left out. Can't change."
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")
    segment = serializers.CharField(max_length=64, help_text="A segment's key.")
    purpose = serializers.CharField(max_length=64, help_text="A purpose's key: what the people are handed on for.")
    channel = serializers.ChoiceField(Channel.choices, required=False, default="", allow_blank=True)


class AudienceChanges(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150, required=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)


def visible_audience(request: Request, key: str, *, permission: str = "") -> Audience:
    """The audience, if the caller may see its segment.

    Args:
        permission: what they must be allowed on the segment, too.

    Raises:
        NotFound: there is none that the caller may see.
        Forbidden: they may see it, and not do this.
    """
    audience = visible_audiences(caller(request)).filter(key=key).first()
    if audience is None:
        raise NotFound("audience_not_found", "There is no audience with this key.")
    if permission:
        visible_segment(request, audience.segment.key, permission=permission)
    if permission == "view_members":
        demand_purpose(request, audience.purpose.key)
    return audience


class Audiences(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": "activation.view_audience", "POST": "activation.add_audience"}
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(
        operation_id="audiences_list",
        summary="List audiences",
        responses=AudienceSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The audiences of segments you may see, in the order of their keys."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(visible_audiences(caller(request)), request, self)
        return pages.get_paginated_response(AudienceSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="audiences_create",
        summary="Make an audience",
        request=NewAudience,
        responses={201: AudienceSerializer},
        examples=[MAKE, ONE],
    )
    def post(self, request: Request) -> Response:
        """Make an audience of a segment that you may use so. It is filled within moments; `is_filled` says when."""
        given = NewAudience(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = dict(given.validated_data)
        segment = visible_segment(request, wanted.pop("segment"), permission="activate_segment")
        purpose = purpose_or_error(wanted.pop("purpose"))
        demand_purpose(request, purpose.key)
        audience = create_audience(
            **wanted, segment=segment, purpose=purpose, by=actor_of(request), user=caller(request)
        )
        return Response(
            AudienceSerializer(audience).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("api:audience", args=[audience.key])},
        )


class AudienceDetail(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {
        "GET": "activation.view_audience",
        "PATCH": "activation.change_audience",
        "DELETE": "activation.delete_audience",
    }

    @extend_schema(
        operation_id="audiences_detail", summary="Show an audience", responses=AudienceSerializer, examples=[ONE]
    )
    def get(self, request: Request, key: str) -> Response:
        """An audience: of whom, for what, how many, and where its changes stand."""
        Query.of(request)
        return Response(AudienceSerializer(visible_audience(request, key)).data)

    @extend_schema(
        operation_id="audiences_change",
        summary="Call an audience otherwise",
        request=AudienceChanges,
        responses=AudienceSerializer,
    )
    def patch(self, request: Request, key: str) -> Response:
        """Change name or description. Segment, purpose and channel can't change: to whoever follows, that is another audience."""
        audience = visible_audience(request, key, permission="activate_segment")
        given = AudienceChanges(data=request.data)
        given.is_valid(raise_exception=True)
        changed = change_audience(audience=audience, by=actor_of(request), **given.validated_data)
        return Response(AudienceSerializer(changed).data)

    @extend_schema(operation_id="audiences_delete", summary="Delete an audience", responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Take the audience away with its changes. Whoever follows it gets 404 from then on."""
        delete_audience(audience=visible_audience(request, key, permission="activate_segment"), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


# ---- Members -------------------------------------------------------------------------------------------------


class MembersQuery(Query):
    purpose = serializers.CharField(max_length=64, required=False)
    position = serializers.IntegerField(min_value=0, max_value=2**62, required=False)


class AudienceMemberSerializer(serializers.ModelSerializer[AudienceMember]):
    profile = serializers.UUIDField(source="profile_uuid", read_only=True, help_text="The person's id.")

    class Meta:
        model = AudienceMember
        fields = ("profile", "entered_at")
        read_only_fields = fields


class SnapshotPagination(KeysetPagination):
    """Pages of the members as of one position, which each page names and `next` carries."""

    at: int = 0

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"position": self.at, "next": self._next(), "results": data})

    def _rest(self) -> dict[str, str]:
        given = self.request.query_params.dict() | {"position": str(self.at)}
        return {name: value for name, value in given.items() if name not in {"cursor", "limit"}}

    def _signer(self) -> Signer:
        return Signer(salt=f"cursor:{self.request.path}?{urlencode(sorted(self._rest().items()))}")

    def _next(self) -> str | None:
        if not self.has_more:
            return None
        query = self.request.query_params.dict() | self._rest()
        query["cursor"] = self._signer().sign_object([str(self.page[-1].profile_id)])
        return self.request.build_absolute_uri(f"{self.request.path}?{urlencode(query)}")

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = super().get_paginated_response_schema(schema)
        page["required"].append("position")
        page["properties"]["position"] = {
            "type": "integer",
            "description": "What the members are as of; follow the changes from here.",
        }
        return page


class _FileRenderer(BaseRenderer):
    """Has a format of files asked for by its media type; what is written is the view's."""

    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return json.dumps(data).encode()  # a refusal before the file began


def _renderer(media_type: str) -> type[BaseRenderer]:
    name = media_type.rpartition("/")[2]
    return type(f"Renderer_{name}", (_FileRenderer,), {"media_type": media_type, "format": name})


class AudienceMembers(ApiView):
    required_scope = Scope.AUDIENCES_READ
    renderer_classes = [JSONRenderer, *(_renderer(media_type) for media_type in FORMATS)]
    required_permission = "segments.view_members"
    pagination_class = SnapshotPagination
    keyset = ("profile_id",)

    @extend_schema(
        operation_id="audiences_members",
        summary="Read the members of an audience",
        parameters=[
            OpenApiParameter(
                "purpose", str, required=True, description="The audience's purpose: what you read them for."
            ),
            OpenApiParameter("position", int, description="Part of `next`."),
        ],
        responses={
            (200, "application/json"): AudienceMemberSerializer(many=True),
            **{(200, media_type): OpenApiTypes.BINARY for media_type in FORMATS},
        },
    )
    def get(self, request: Request, key: str) -> HttpResponseBase:
        """The members as of one position, in pages; who left or withdrew meanwhile isn't among them. Then follow the changes from
        `position`: with them applied, you have exactly the members. With `Accept` of a file's type all come at once, as of the position in
        `Audience-Position`; that takes the right to export members."""
        wanted = MembersQuery.of(request)
        audience = visible_audience(request, key, permission="view_members")
        purpose = purpose_or_error(wanted.get("purpose"))
        if purpose.pk != audience.purpose_id:
            raise Forbidden(
                "purpose_of_another",
                f"This audience is for {audience.purpose.key}; it can be read for nothing else.",
                "/purpose",
            )
        if request.accepted_renderer.media_type in FORMATS:
            return self._file(request, audience)
        pages = SnapshotPagination()
        pages.at = wanted.get("position", audience.position)
        refuse_lost(pages.at, kept_after=audience.kept_after, numbered=audience.position)
        after = pages.position(request)
        with transaction.atomic():
            members = members_at(audience, pages.at, after=int(after[0]) if after else 0)
            people = pages.paginate_queryset(members, request, self)
            record(
                by=actor_of(request),
                action="audience.members_read",
                object=audience,
                purpose=purpose.key,
                detail={
                    "position": pages.at,
                    "cursor": pages.cursor,
                    "count": len(people),
                    "fields": ["uuid", "entered_at"],
                },
            )
        return pages.get_paginated_response(AudienceMemberSerializer(people, many=True).data)

    def _file(self, request: Request, audience: Audience) -> HttpResponseBase:
        visible_segment(request, audience.segment.key, permission="export_members")
        media_type, at = request.accepted_renderer.media_type, audience.position
        tag = f'W/"{audience.uuid}-{at}"'
        if tag in request.headers.get("If-None-Match", ""):
            return HttpResponse(status=304, headers={"ETag": tag})
        detail = {"position": at, "count": audience.size, "fields": ["uuid", "entered_at"], "format": media_type}
        with transaction.atomic():
            record(
                by=actor_of(request),
                action="audience.members_exported",
                object=audience,
                purpose=audience.purpose.key,
                detail=detail,
            )
        blocks = FORMATS[media_type](audience, at)
        headers = {"ETag": tag, "Audience-Position": str(at), "Vary": "Accept, Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            blocks, headers["Content-Encoding"] = zipped(blocks), "gzip"
        return StreamingHttpResponse(blocks, content_type=media_type, headers=headers)


class ChecksumQuery(Query):
    cursor = serializers.IntegerField(min_value=0, max_value=2**62, required=False)


class CheckSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    size = serializers.IntegerField(help_text="How many members there are.")
    checksum = serializers.CharField(
        help_text="16 hex digits: the exclusive or, over all members, of the first 8 bytes of the SHA-256 of the 16 bytes of their id."
    )


class AudienceChecksum(ApiView):
    required_scope = Scope.AUDIENCES_READ
    required_permission = "segments.view_members"

    @extend_schema(
        operation_id="audiences_checksum",
        summary="Check what you have",
        parameters=[
            OpenApiParameter("cursor", int, description="Where you stand in the changes; the newest when left out."),
        ],
        responses=CheckSerializer,
        examples=[
            OpenApiExample(
                "At a cursor",
                value={"position": 18344, "size": 4210, "checksum": "9f2c04d1a7e85b36"},
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, key: str) -> Response:
        """How many members whoever followed the changes up to a cursor has, and a checksum of their ids. Compare it when you have
        caught up: entries that were withheld from you are in it until their exit."""
        wanted = ChecksumQuery.of(request)
        audience = visible_audience(request, key, permission="view_members")
        return Response(CheckSerializer(check_at(audience, wanted.get("cursor"))).data)

"""Who was granted what on a segment, over REST: people, API keys and groups; sharing it and taking it back.

What roles allow on every segment isn't shown here. Nobody passes on, or takes back, what they may not do themselves.
"""

from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Forbidden, NotFound
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import ApiKey, Scope, key_of
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.api import visible_segment
from segments.models import Segment
from segments.sharing import SHAREABLE, Share, change_share, grantable, held_by, shares_of, unshare_segment

KINDS = ("users", "keys", "groups")
HOLDER = [
    OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=KINDS),
    OpenApiParameter(
        "name", str, OpenApiParameter.PATH, description="A user name, the prefix of a key, or the name of a group."
    ),
]


class ShareSerializer(serializers.Serializer[Share]):
    """What one holder may do with the segment, by grants on it."""

    kind = serializers.SerializerMethodField(help_text=f"One of {', '.join(KINDS)}.")
    name = serializers.SerializerMethodField(
        help_text="A user name, the prefix of the newest key of its line, or the name of a group."
    )
    permissions = serializers.ListField(child=serializers.ChoiceField([(one, one) for one in SHAREABLE]))

    def get_kind(self, share: Share) -> str:
        return "groups" if share.group else "keys" if key_of(share.user) else "users"

    def get_name(self, share: Share) -> str:
        key = key_of(share.user)
        return key.prefix if key else share.group.name if share.group else share.holder.get_username()  # type: ignore[union-attr]


class AccessSerializer(serializers.Serializer[Any]):
    shares = ShareSerializer(many=True)


class Permissions(serializers.Serializer[Any]):
    permissions = serializers.ListField(
        child=serializers.ChoiceField([(one, one) for one in SHAREABLE]),
        max_length=len(SHAREABLE),
        help_text="Exactly these; to see it comes with each.",
    )


class SegmentAccess(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"
    is_versioned = True

    @extend_schema(
        operation_id="segments_access", summary="Show whom a segment is shared with", responses=AccessSerializer
    )
    def get(self, request: Request, key: str) -> Response:
        """Everybody this segment was shared with. For who may change it."""
        Query.of(request)
        segment = visible_segment(request, key, permission="change_segment")
        return Response(AccessSerializer({"shares": shares_of(segment)}).data)


class SegmentShare(ApiView):
    required_scope = {"GET": Scope.SEGMENTS_READ, "PUT": Scope.SEGMENTS_WRITE, "DELETE": Scope.SEGMENTS_WRITE}
    required_permission = {
        "GET": "segments.view_segment",
        "PUT": "segments.change_segment",
        "DELETE": "segments.change_segment",
    }
    is_versioned = True

    @extend_schema(
        operation_id="segments_share", summary="Show one share", parameters=HOLDER, responses=ShareSerializer
    )
    def get(self, request: Request, key: str, kind: str, name: str) -> Response:
        """What this holder was granted; nothing, where it isn't shared with them."""
        segment = visible_segment(request, key, permission="change_segment")
        return Response(_shown(segment, _holder(kind, name)))

    @extend_schema(
        operation_id="segments_share_change",
        summary="Share a segment",
        parameters=HOLDER,
        request=Permissions,
        responses=ShareSerializer,
        examples=[
            OpenApiExample("May read it", value={"permissions": ["view_segment", "view_members"]}, request_only=True)
        ],
    )
    def put(self, request: Request, key: str, kind: str, name: str) -> Response:
        """Let the holder do exactly this with the segment. Rights that you lack you can neither pass on nor take back."""
        segment = visible_segment(request, key, permission="change_segment")
        given = Permissions(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = {"view_segment", *given.validated_data["permissions"]}
        holder = _holder(kind, name, to_share=True)
        with transaction.atomic():
            _demand_grantable(request, segment, wanted ^ held_by(holder, segment))
            change_share(segment=segment, user=holder, by=actor_of(request), permissions=wanted)
        return Response(_shown(segment, holder))

    @extend_schema(
        operation_id="segments_unshare", summary="Stop sharing a segment", parameters=HOLDER, responses={204: None}
    )
    def delete(self, request: Request, key: str, kind: str, name: str) -> Response:
        """Take back all that was granted to the holder. What their role allows they can still do."""
        segment = visible_segment(request, key, permission="change_segment")
        holder = _holder(kind, name)
        with transaction.atomic():
            held = held_by(holder, segment)
            _demand_grantable(request, segment, held)
            if held:
                unshare_segment(segment=segment, user=holder, by=actor_of(request), permissions=held)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _holder(kind: str, name: str, *, to_share: bool = False) -> User | Group:
    """Whoever goes by that name.

    Raises:
        NotFound: nobody does; or, to share with, nobody who can still come in.
    """
    found: User | Group | None = None
    if kind == "groups":
        found = Group.objects.filter(name=name).first()
    elif kind == "keys":
        key = ApiKey.objects.select_related("user").filter(prefix=name).first()
        found = key.user if key is not None and (key.is_usable or not to_share) else None
    elif kind == "users":
        people = User.objects.filter(api_keys=None, username=name)
        found = (people.filter(is_active=True) if to_share else people).first()
    if found is None:
        raise NotFound("holder_not_found", f"kind is one of {', '.join(KINDS)}; there is none by that kind and name.")
    return found


def _demand_grantable(request: Request, segment: Segment, rights: set[str]) -> None:
    key = request.auth if isinstance(request.auth, ApiKey) else None
    if lacking := rights - set(grantable(caller(request), segment, key)):
        said = f"You lack {', '.join(sorted(lacking))} on this segment yourself."
        raise Forbidden("right_beyond_yours", said, "/permissions")


def _shown(segment: Segment, holder: User | Group) -> dict[str, Any]:
    held = sorted(held_by(holder, segment), key=SHAREABLE.index)
    group, user = (holder, None) if isinstance(holder, Group) else (None, holder)
    return ShareSerializer(Share(user=user, group=group, permissions=held)).data

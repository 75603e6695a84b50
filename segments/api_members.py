"""The members of a segment over REST: read for a purpose, page by page or one person, each reading on record."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.services import record
from cdp.errors import Conflict, NotFound
from cdp.identity.merging import survivor_of
from cdp.profiles.models import Profile
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import demand_purpose
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.querysets import permitted, purpose_or_error
from segments.api import visible_segment
from segments.api_people import UNKNOWN
from segments.models import READABLE, Membership, SegmentStatus
from segments.querysets import members_of
from segments.serializers import MemberSerializer, OutlookSerializer
from segments.turning import outlook


class MembersQuery(Query):
    # Not required here: the answer to a missing purpose lists those there are.
    purpose = serializers.CharField(max_length=64, required=False)


PURPOSE = OpenApiParameter("purpose", str, required=True, description="What the people are read for; a purpose's key.")


class MemberPagination(KeysetPagination):
    """Pages that say whether members are kept in line with the rule."""

    paused_since: datetime | None = None

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        response.data["paused_since"] = self.paused_since
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = super().get_paginated_response_schema(schema)
        page["required"].append("paused_since")
        page["properties"]["paused_since"] = {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "Of a paused segment: since when its members are kept as they were. Else null.",
        }
        return page


class SegmentMembers(ApiView):
    required_scope = Scope.MEMBERS_READ
    required_permission = "segments.view_members"
    pagination_class = MemberPagination
    keyset = ("profile_id",)

    @extend_schema(
        operation_id="segments_members",
        summary="Read members for a purpose",
        parameters=[PURPOSE],
        responses=MemberSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        """Members who permit the purpose at this moment. Read anew before each use: who withdraws is gone from the next page.
        A paused segment gives those who were in it when it was paused, and says so."""
        wanted = MembersQuery.of(request)
        segment = visible_segment(request, key, permission="view_members")
        purpose = purpose_or_error(wanted.get("purpose"))
        demand_purpose(request, purpose.key)
        if segment.status not in READABLE or segment.live_version is None:
            raise Conflict("segment_not_live", f"“{segment.name}” is not live, so it has no members.")
        pages = MemberPagination()
        pages.paused_since = segment.status_since if segment.status == SegmentStatus.PAUSED else None
        position = pages.position(request)
        with transaction.atomic():
            members = members_of(segment, purpose, after=int(position[0]) if position else 0).only(
                "entered_at", "profile__uuid"
            )
            people = pages.paginate_queryset(members, request, self)
            record(
                by=actor_of(request),
                action="members.read",
                object=segment,
                purpose=purpose.key,
                detail={
                    "version": segment.live_version.number,
                    "cursor": pages.cursor,
                    "count": len(people),
                    "fields": ["uuid", "entered_at"],
                },
            )
        return pages.get_paginated_response(MemberSerializer(people, many=True).data)


class SegmentMember(ApiView):
    required_scope = Scope.MEMBERS_READ
    required_permission = "segments.view_members"

    @extend_schema(
        operation_id="segments_member",
        summary="Show when one person would enter or leave",
        parameters=[PURPOSE],
        responses=OutlookSerializer,
    )
    def get(self, request: Request, key: str, uuid: UUID) -> Response:
        """Whether a person belongs, and when that changes if nothing happens. Whoever was merged into another answers as that one."""
        wanted = MembersQuery.of(request)
        segment = visible_segment(request, key, permission="view_members")
        purpose = purpose_or_error(wanted.get("purpose"))
        demand_purpose(request, purpose.key)
        try:
            profile = survivor_of(uuid)
        except NotFound:
            raise UNKNOWN from None
        if not permitted(Profile.objects.filter(pk=profile.pk), purpose).exists():
            raise UNKNOWN
        with transaction.atomic():
            seen = outlook(profile=profile, segment=segment)
            member = Membership.objects.filter(segment=segment, profile=profile).first()
            record(
                by=actor_of(request),
                action="member.read",
                object=segment,
                purpose=purpose.key,
                detail={"profile": str(profile.uuid), "fields": ["is_member", "entered_at", "changes_at"]},
            )
        shown = {
            "profile": profile.uuid,
            "as_of": seen.as_of,
            "is_member": seen.belongs,
            "entered_at": member.entered_at if member else None,
            "changes_at": seen.changes_at,
            "leaves_at": seen.leaves_at,
            "looked_until": seen.looked_until,
        }
        return Response(OutlookSerializer(shown).data)

"""The members of a segment over REST: read for a purpose, page by page, each page on record."""

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.services import record
from cdp.errors import Conflict
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.querysets import purpose_or_error
from segments.api import visible_segment
from segments.models import SegmentStatus
from segments.querysets import members_of
from segments.serializers import MemberSerializer


class MembersQuery(Query):
    # Not required here: the answer to a missing purpose lists those there are.
    purpose = serializers.CharField(max_length=64, required=False)


PURPOSE = OpenApiParameter("purpose", str, required=True, description="What the people are read for; a purpose's key.")


class SegmentMembers(ApiView):
    required_scope = Scope.MEMBERS_READ
    required_permission = "segments.view_members"
    pagination_class = KeysetPagination
    keyset = ("profile_id",)

    @extend_schema(
        operation_id="segments_members",
        summary="Read members for a purpose",
        parameters=[PURPOSE],
        responses=MemberSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        """Members who permit the purpose at this moment. Read anew before each use: who withdraws is gone from the next page."""
        wanted = MembersQuery.of(request)
        segment = visible_segment(request, key, permission="view_members")
        purpose = purpose_or_error(wanted.get("purpose"))
        if segment.status != SegmentStatus.LIVE or segment.live_version is None:
            raise Conflict("segment_not_live", f"“{segment.name}” is not live, so it has no members.")
        pages = KeysetPagination()
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

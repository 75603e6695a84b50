"""Segments over REST: which there are, what they say, and refreshing them.

Their members are handed out in `segments.api_members`, single people in `segments.api_people`; what a rule would give is
in `segments.api_previews`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, transaction
from django.urls import reverse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from psycopg.errors import QueryCanceled
from rest_framework import serializers, status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Conflict, DomainError, Forbidden, NotFound
from cdp.jobs.api import JobSerializer
from cdp.jobs.models import Job
from cdp.jobs.services import let_follow
from cdp.rest.authentication import actor_of, caller
from cdp.rest.errors import located
from cdp.rest.models import ApiKey, Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import PUBLIC
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.details import folder_of, owner_called, tags_of
from segments.models import Segment, SegmentStatus
from segments.rules import RuleErrors, json_schema
from segments.serializers import (
    NewSegment,
    SegmentChange,
    SegmentDetailSerializer,
    SegmentSerializer,
    SegmentWithJobSerializer,
)
from segments.services import (
    change_details,
    create_segment,
    pause,
    publish,
    request_refresh,
    resume,
    save_and_publish,
    save_version,
)
from segments.sharing import load_for, may, share_segment, visible_segments

READ_OR_WRITE: dict[str, str] = {
    "GET": Scope.SEGMENTS_READ,
    "POST": Scope.SEGMENTS_WRITE,
    "PATCH": Scope.SEGMENTS_WRITE,
}
DETAILS = ("name", "description", "cadence", "refresh_minutes", "daily_hour", "tags", "folder", "purposes", "is_public")


class SegmentQuery(Query):
    status = serializers.ChoiceField(SegmentStatus.choices, required=False)
    search = serializers.CharField(
        required=False, max_length=150, help_text="Part of the name, the key, a tag or the folder."
    )
    tag = serializers.CharField(required=False, max_length=40)
    folder = serializers.CharField(required=False, max_length=100)


class SegmentList(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": "segments.view_segment", "POST": "segments.add_segment"}
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(
        operation_id="segments_list",
        summary="List segments",
        parameters=[SegmentQuery],
        responses=SegmentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The segments you may see, in the order of their keys."""
        wanted = SegmentQuery.of(request)
        segments = visible_segments(caller(request)).select_related("owner").prefetch_related("purposes")
        if "status" in wanted:
            segments = segments.filter(status=wanted["status"])
        if "search" in wanted:
            segments = segments.filter(words__contains=wanted["search"].lower())
        if "tag" in wanted:
            segments = segments.filter(tags__contains=tags_of([wanted["tag"]]))
        if "folder" in wanted:
            segments = segments.filter(folder=folder_of(wanted["folder"]))
        pages = KeysetPagination()
        rows = pages.paginate_queryset(segments, request, self)
        return pages.get_paginated_response(SegmentSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="segments_create",
        summary="Make a segment",
        request=NewSegment,
        responses={201: SegmentWithJobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a segment: a draft, or live at once with `publish`. Whoever makes it may see and change it."""
        given = NewSegment(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = dict(given.validated_data)
        wants_publish = wanted.pop("publish")
        by = actor_of(request)
        with transaction.atomic(), rule_errors_located():
            load_for(caller(request), wanted["rule"])
            segment = create_segment(**wanted, by=by, owner=caller(request))
            share_segment(segment=segment, user=caller(request), by=by)
            job = _publish_newest(segment, request) if wants_publish else None
        address = reverse("api:segment", args=[segment.key])
        return Response(_with_job(segment, job), status=status.HTTP_201_CREATED, headers={"Location": address})


class SegmentDetail(ApiView):
    is_versioned = True
    passing = ("member_count", "last_refreshed_at", "broken_reason")
    required_scope = READ_OR_WRITE
    required_permission = {"GET": "segments.view_segment", "PATCH": "segments.change_segment"}

    @extend_schema(operation_id="segments_detail", summary="Show a segment", responses=SegmentDetailSerializer)
    def get(self, request: Request, key: str) -> Response:
        """A segment with its rule, in JSON and in English."""
        return Response(SegmentDetailSerializer(visible_segment(request, key)).data)

    @extend_schema(
        operation_id="segments_change",
        summary="Change a segment or its rule",
        request=SegmentChange,
        responses=SegmentWithJobSerializer,
    )
    def patch(self, request: Request, key: str) -> Response:
        """Change what is named: details, the rule (as a new version; versions never change), or with `publish` which is live."""
        segment = visible_segment(request, key, permission="change_segment")
        given = SegmentChange(data=request.data)
        given.is_valid(raise_exception=True)
        wanted, by = given.validated_data, actor_of(request)
        with transaction.atomic(), rule_errors_located():
            job = None
            # Publishing first: it takes the live rules before the segment's row, and whoever did it the other way round could
            # wait for somebody who waits for them.
            if "rule" in wanted:
                load_for(caller(request), wanted["rule"])
                given_rule = {
                    "rule": wanted["rule"],
                    "by": by,
                    "user": caller(request),
                    "base": wanted.get("base_version"),
                }
                if wanted["publish"]:
                    _, job = save_and_publish(segment=segment, **given_rule)
                    let_follow(job=job, user=caller(request))
                else:
                    save_version(segment=segment, **given_rule)
            elif wanted["publish"]:
                job = _publish_newest(segment, request, base=wanted.get("base_version"))
            details = {name: wanted[name] for name in DETAILS if name in wanted}
            if "owner" in wanted:
                details["owner"] = owner_called(segment, wanted["owner"])
            if details:
                change_details(segment=segment, by=by, **details)
        return Response(_with_job(segment, job))


class SegmentRefresh(ApiView):
    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.refresh_segment"

    @extend_schema(
        operation_id="segments_refresh", summary="Refresh a segment", request=None, responses={202: JobSerializer}
    )
    def post(self, request: Request, key: str) -> Response:
        """Bring the members in line with the rule as of now. Answers with the job that does it; `Location` follows it."""
        segment = visible_segment(request, key, permission="refresh_segment")
        with transaction.atomic():
            job = request_refresh(segment=segment, by=actor_of(request), user=caller(request))
            let_follow(job=job, user=caller(request))
        headers = {"Location": reverse("api:job", args=[job.uuid])}
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED, headers=headers)


class SegmentPause(ApiView):
    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.change_segment"

    @extend_schema(
        operation_id="segments_pause",
        summary="Pause a segment",
        request=None,
        responses=SegmentDetailSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Keep the members as they are: nobody is judged by the rule until it is resumed, and what reads this segment is frozen
        with it. Members can still be read; who withdraws consent is left out as ever."""
        segment = visible_segment(request, key, permission="change_segment")
        pause(segment=segment, by=actor_of(request))
        segment.refresh_from_db()
        return Response(SegmentDetailSerializer(segment).data)


class SegmentResume(ApiView):
    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.change_segment"

    @extend_schema(
        operation_id="segments_resume",
        summary="Resume a paused segment",
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, key: str) -> Response:
        """Judge people by the rule again. Answers with the job that brings the members in line; `Location` follows it."""
        segment = visible_segment(request, key, permission="change_segment")
        with transaction.atomic(), rule_errors_located():
            job = resume(segment=segment, by=actor_of(request), user=caller(request))
            let_follow(job=job, user=caller(request))
        headers = {"Location": reverse("api:job", args=[job.uuid])}
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED, headers=headers)


class RuleSchema(ApiView):
    required_scope = PUBLIC
    authentication_classes = []
    renderer_classes = [JSONRenderer]

    @extend_schema(
        operation_id="rules_schema", summary="JSON Schema of rules", responses={200: OpenApiTypes.OBJECT}, auth=[]
    )
    def get(self, request: Request) -> Response:
        """The JSON Schema (2020-12) of a rule."""
        return Response(json_schema(), headers={"Cache-Control": "public, max-age=300"})


def visible_segment(request: Request, key: str, *, permission: str = "view_segment") -> Segment:
    """The segment, if the caller may see it and has this permission on it.

    Raises:
        NotFound: there is none, or none for this caller.
        Forbidden: it may be seen, but not this.
    """
    segment = visible_segments(caller(request)).select_related("live_version").filter(key=key).first()
    if segment is None:
        raise NotFound("segment_not_found", "There is no such segment.")
    if permission != "view_segment" and not may(caller(request), permission, segment):
        raise Forbidden("permission_missing", f"You may see this segment, but lack segments.{permission} on it.")
    return segment


def demand_scope(request: Request, scope: Scope) -> None:
    """For what needs a second scope beside the view's own; people who are logged in have roles and grants instead.

    Raises:
        Forbidden: the key lacks it.
    """
    if isinstance(request.auth, ApiKey) and scope not in request.auth.scopes:
        raise Forbidden("scope_missing", f"This API key lacks the scope {scope}, which this needs too.")


@contextmanager
def rule_errors_located() -> Iterator[None]:
    """Errors of a rule become errors of the request body that carries it."""
    try:
        yield
    except RuleErrors as found:
        raise located(found.errors, "/rule") from None


@contextmanager
def in_time() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise DomainError(
            "preview_too_slow", "Counting took too long and was stopped; narrow what you ask.", status=503
        ) from None


def _publish_newest(segment: Segment, request: Request, *, base: int | None = None) -> Job:
    if segment.status == SegmentStatus.ARCHIVED:
        raise Conflict("segment_archived", f"“{segment.name}” is archived; restore it before setting it live.")
    newest = segment.versions.first()
    if newest is None:
        raise Conflict("no_version", f"“{segment.name}” has no rule to set live.")
    job = publish(segment=segment, version=newest, by=actor_of(request), user=caller(request), base=base)
    let_follow(job=job, user=caller(request))
    return job


def _with_job(segment: Segment, job: Job | None) -> dict[str, object]:
    segment.refresh_from_db()
    segment.refresh_job = job  # type: ignore[attr-defined]
    return SegmentWithJobSerializer(segment).data

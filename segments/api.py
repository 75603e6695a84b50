"""Segments over REST: which there are, what they say, what a rule would give, and refreshing them.

Their members are handed out in `segments.api_members`, single people in `segments.api_people`.
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
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error
from segments.models import Segment, SegmentStatus
from segments.refresh import preview, record_preview
from segments.rules import RuleErrors, json_schema
from segments.serializers import (
    NewSegment,
    PreviewRequest,
    PreviewSerializer,
    SegmentChange,
    SegmentDetailSerializer,
    SegmentSerializer,
    SegmentWithJobSerializer,
)
from segments.services import change_details, create_segment, publish, request_refresh, save_version
from segments.sharing import load_for, may, share_segment, visible_segments

READ_OR_WRITE: dict[str, str] = {
    "GET": Scope.SEGMENTS_READ,
    "POST": Scope.SEGMENTS_WRITE,
    "PATCH": Scope.SEGMENTS_WRITE,
}
DETAILS = ("name", "description", "cadence", "refresh_minutes", "daily_hour")


class SegmentQuery(Query):
    status = serializers.ChoiceField(SegmentStatus.choices, required=False)
    search = serializers.CharField(required=False, max_length=150, help_text="Part of the name.")


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
        segments = visible_segments(caller(request))
        if "status" in wanted:
            segments = segments.filter(status=wanted["status"])
        if "search" in wanted:
            segments = segments.filter(name__icontains=wanted["search"])
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
            if details := {name: wanted[name] for name in DETAILS if name in wanted}:
                change_details(segment=segment, **({name: getattr(segment, name) for name in DETAILS} | details), by=by)
            if "rule" in wanted:
                load_for(caller(request), wanted["rule"])
                save_version(segment=segment, rule=wanted["rule"], by=by, user=caller(request))
            job = _publish_newest(segment, request) if wanted["publish"] else None
        return Response(_with_job(segment, job))


class SegmentPreview(ApiView):
    # Whoever may count people by any rule learns much of them; so it takes the right to write.
    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.add_segment"

    @extend_schema(
        operation_id="segments_preview", summary="Preview a rule", request=PreviewRequest, responses=PreviewSerializer
    )
    def post(self, request: Request) -> Response:
        """What a rule would give now: an exact count, its share of everybody, and the rule in English; with `counts` also how
        many each group and condition takes in by itself."""
        given = PreviewRequest(data=request.data)
        given.is_valid(raise_exception=True)
        rule, purpose_key = given.validated_data["rule"], given.validated_data.get("purpose")
        if purpose_key is not None and not _may_read_members(request):
            raise Forbidden(
                "scope_missing", "A sample of people needs the scope members:read; leave out purpose to count."
            )
        purpose = purpose_or_error(purpose_key if purpose_key is not None else INTERNAL_ANALYSIS)
        with rule_errors_located(), in_time():
            load_for(caller(request), rule)
            found = preview(
                rule=rule,
                purpose=purpose,
                sample_size=10 if purpose_key is not None else 0,
                with_parts=given.validated_data["counts"],
            )
        with transaction.atomic():
            record_preview(found, rule=rule, purpose=purpose, by=actor_of(request))
        return Response(PreviewSerializer(found, context={"with_sample": purpose_key is not None}).data)


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


def _publish_newest(segment: Segment, request: Request) -> Job:
    if segment.status == SegmentStatus.ARCHIVED:
        raise Conflict("segment_archived", f"“{segment.name}” is archived; restore it before setting it live.")
    newest = segment.versions.first()
    if newest is None:
        raise Conflict("no_version", f"“{segment.name}” has no rule to set live.")
    job = publish(segment=segment, version=newest, by=actor_of(request), user=caller(request))
    let_follow(job=job, user=caller(request))
    return job


def _with_job(segment: Segment, job: Job | None) -> dict[str, object]:
    segment.refresh_from_db()
    segment.refresh_job = job  # type: ignore[attr-defined]
    return SegmentWithJobSerializer(segment).data


def _may_read_members(request: Request) -> bool:
    if isinstance(request.auth, ApiKey):
        return Scope.MEMBERS_READ in request.auth.scopes
    return caller(request).has_perm("segments.view_members")

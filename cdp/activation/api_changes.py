"""Following audiences over REST: the changes after a cursor, at once, when one comes (long-poll), or as they come (server-sent events)."""

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.activation.api import visible_audience
from cdp.activation.models import Audience
from cdp.activation.reading import MOST_CHANGES, WITHHELD, Page, changes_after, newest_position, readable_audiences
from cdp.activation.waiting import place, wait_until
from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.permissions import may_ask_for
from cdp.rest.queries import Query
from cdp.rest.views import ApiView

MOST_SECONDS: Final = 30
# How often a stream says that it is there: six times while it lasts.
HEARTBEATS: Final = 6
LARGEST: Final = 2**62


class EventStreamRenderer(BaseRenderer):
    """Has `Accept: text/event-stream` answered; what is written is the view's."""

    media_type = "text/event-stream"
    format = "event-stream"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return json.dumps(data).encode()  # a refusal before the stream began


class ChangesQuery(Query):
    cursor = serializers.IntegerField(min_value=0, max_value=LARGEST, required=False, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=MOST_CHANGES, required=False, default=100)
    wait = serializers.IntegerField(min_value=0, max_value=MOST_SECONDS, required=False, default=0)


class ChangeSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    audience = serializers.CharField(help_text="The audience's key.")
    kind = serializers.ChoiceField(
        ["entered", "exited", WITHHELD],
        help_text="withheld: an entry of somebody who left since; the exit follows, of somebody you don't have.",
    )
    profile = serializers.UUIDField(allow_null=True, help_text="The person's id; null when withheld.")
    why = serializers.CharField(allow_null=True, help_text="event, time, rule, consent, expired, merge, erasure, ….")
    effective_at = serializers.DateTimeField(help_text="When it became true.")
    recorded_at = serializers.DateTimeField(help_text="When it was numbered.")


class ChangesSerializer(serializers.Serializer[Any]):
    changes = ChangeSerializer(many=True)
    cursor = serializers.IntegerField(help_text="Where to go on: keep it once you have applied the changes.")
    has_more = serializers.BooleanField()


PARAMETERS = [
    OpenApiParameter("cursor", int, description="The changes after this position; 0, or nothing, is the beginning."),
    OpenApiParameter("limit", int, description=f"At most so many, up to {MOST_CHANGES}."),
    OpenApiParameter(
        "wait", int, description=f"Seconds to wait for a change when there is none, up to {MOST_SECONDS}."
    ),
    OpenApiParameter(
        "Last-Event-ID",
        int,
        OpenApiParameter.HEADER,
        description="Of a stream of events: the cursor, as browsers send it.",
    ),
]
EXAMPLE = OpenApiExample(
    "One came, one went",
    value={
        "changes": [
            {
                "position": 18344,
                "audience": "newsletter-loyal",
                "kind": "entered",
                "profile": "01938c1e-5f2e-7d0a-9d1b-6b1f3c2a7e55",
                "why": "event",
                "effective_at": "2026-11-20T09:14:02Z",
                "recorded_at": "2026-11-20T09:14:02.311Z",
            },
            {
                "position": 18347,
                "audience": "newsletter-loyal",
                "kind": "exited",
                "profile": "01938c1e-77aa-7c11-8f43-0c6d4a9be210",
                "why": "consent",
                "effective_at": "2026-11-20T09:14:09Z",
                "recorded_at": "2026-11-20T09:14:09.120Z",
            },
        ],
        "cursor": 18347,
        "has_more": False,
    },
    response_only=True,
    media_type="application/json",
)
ANSWERS: Any = {
    (200, "application/json"): ChangesSerializer,
    (200, "text/event-stream"): OpenApiTypes.STR,
    410: OpenApiResponse(description="Changes after this cursor are no longer kept: read the members anew."),
    503: OpenApiResponse(
        description="Too many follow by events already; Retry-After says when to come again, or poll."
    ),
}


class _Changes(ApiView):
    required_scope = Scope.AUDIENCES_READ
    required_permission = "segments.view_members"
    renderer_classes = [JSONRenderer, EventStreamRenderer]
    is_of_all = False

    def follow(self, request: Request, audiences: list[Audience]) -> HttpResponseBase:
        wanted = ChangesQuery.of(request)
        cursor = _last_event(request, wanted["cursor"])
        if request.accepted_renderer.format == EventStreamRenderer.format:
            changes_after(audiences, cursor, limit=1, is_of_all=self.is_of_all)  # refuses before the stream begins
            return self._stream(request, audiences, cursor)
        with place() as has_place:
            page = self._page(request, audiences, cursor, limit=wanted["limit"])
            if not page.changes and wanted["wait"] and has_place:
                wait_until(partial(_has_beyond, audiences, cursor, is_of_all=self.is_of_all), seconds=wanted["wait"])
                page = self._page(request, audiences, cursor, limit=wanted["limit"])
        return Response(ChangesSerializer(page).data)

    def _page(self, request: Request, audiences: list[Audience], cursor: int, *, limit: int) -> Page:
        return _read(audiences, cursor, by=actor_of(request), limit=limit, is_of_all=self.is_of_all)

    def _stream(self, request: Request, audiences: list[Audience], cursor: int) -> HttpResponseBase:
        kept = place()
        if not kept.__enter__():
            kept.__exit__(None, None, None)
            refusal = DomainError(
                "too_many_followers", "Too many follow by events just now. Poll, or come again.", status=503
            )
            refusal.wait = 5  # type: ignore[attr-defined]  # becomes Retry-After
            raise refusal
        by = actor_of(request)

        def events() -> Iterator[bytes]:
            try:
                yield b"retry: 1000\n\n"
                yield from _events(audiences, cursor, by=by, is_of_all=self.is_of_all)
            finally:
                kept.__exit__(None, None, None)

        response = StreamingHttpResponse(events(), content_type="text/event-stream")
        response["X-Accel-Buffering"] = "no"
        return response


def _read(audiences: list[Audience], cursor: int, *, by: Actor, limit: int, is_of_all: bool) -> Page:
    """A page, with what was read of each audience on record."""
    with transaction.atomic():
        page = changes_after(audiences, cursor, limit=limit, is_of_all=is_of_all)
        for audience in audiences:
            count = sum(1 for one in page.changes if one.audience == audience.key and one.profile is not None)
            if count:
                detail = {"after": cursor, "to": page.cursor, "count": count, "fields": ["uuid", "entered_at"]}
                record(
                    by=by, action="audience.changes_read", object=audience, purpose=audience.purpose.key, detail=detail
                )
    return page


def _events(audiences: list[Audience], cursor: int, *, by: Actor, is_of_all: bool) -> Iterator[bytes]:
    end = time.monotonic() + settings.AUDIENCE_STREAM_SECONDS
    while (left := end - time.monotonic()) > 0:
        try:
            page = _read(audiences, cursor, by=by, limit=MOST_CHANGES, is_of_all=is_of_all)
        except DomainError as gone:
            yield f"event: gone\ndata: {json.dumps({'code': gone.code, 'detail': gone.message})}\n\n".encode()
            return
        for one in ChangesSerializer(page).data["changes"]:
            yield f"id: {one['position']}\nevent: change\ndata: {json.dumps(one)}\n\n".encode()
        cursor = page.cursor
        if page.has_more:
            continue
        if not wait_until(
            partial(_has_beyond, audiences, cursor, is_of_all=is_of_all),
            seconds=min(settings.AUDIENCE_STREAM_SECONDS / HEARTBEATS, left),
        ):
            yield b": still here\n\n"


def _has_beyond(audiences: list[Audience], cursor: int, *, is_of_all: bool) -> bool:
    """Whether there is a change that can be told."""
    if newest_position(audiences) <= cursor:
        return False
    return bool(changes_after(audiences, cursor, limit=1, is_of_all=is_of_all).changes)


def _last_event(request: Request, cursor: int) -> int:
    said = request.headers.get("Last-Event-ID", "")
    if not said:
        return cursor
    if not (said.isascii() and said.isdigit() and int(said) <= LARGEST):
        raise DomainError(
            "cursor_unknown", "Last-Event-ID must be the id of an event that you had from here.", "/cursor"
        )
    return int(said)


class AudienceChangeFeed(_Changes):
    @extend_schema(
        operation_id="audiences_changes",
        summary="Follow an audience",
        parameters=PARAMETERS,
        responses=ANSWERS,
        examples=[EXAMPLE],
    )
    def get(self, request: Request, key: str) -> HttpResponseBase:
        """Who came and who went after a cursor, in order and without gaps. Whoever starts at any cursor with the members as of it and
        applies the changes has exactly the members."""
        return self.follow(request, [visible_audience(request, key, permission="view_members")])


class AllChangesFeed(_Changes):
    is_of_all = True

    @extend_schema(
        operation_id="audiences_changes_of_all",
        summary="Follow all audiences",
        parameters=PARAMETERS,
        responses=ANSWERS,
        examples=[EXAMPLE],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """The changes of all audiences whose members you may read, in one order. Of one that you come to see later, read the members
        first."""
        readable = readable_audiences(caller(request))
        return self.follow(request, [one for one in readable if may_ask_for(request, one.purpose.key)])

"""Sources and quarantine over REST: how much comes, what could not be used and why, and giving it another chance."""

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.services import Act, record_all
from cdp.errors import Forbidden, NotFound
from cdp.ingestion import quarantine
from cdp.ingestion.counting import rates_of
from cdp.ingestion.models import Quarantined, Source
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import sees_unmasked
from cdp.rest.queries import Query
from cdp.rest.views import ApiView


class RatesSerializer(serializers.Serializer[Any]):
    minute = serializers.IntegerField(help_text="Messages in the minute before this one.")
    hour = serializers.IntegerField(help_text="In the last 60 minutes.")
    day = serializers.IntegerField(help_text="In the last 24 hours, as the figures below.")
    repeated = serializers.IntegerField(help_text="Repeats of what had come before.")
    quarantined = serializers.IntegerField(help_text="Those that could not be used.")
    dropped = serializers.IntegerField(help_text="Those about nobody but people who were erased.")
    last_at = serializers.DateTimeField(allow_null=True, help_text="The minute of the newest one within eight days.")


class SourceSerializer(serializers.ModelSerializer[Source]):
    """A site, app or system that sends data."""

    messages = serializers.SerializerMethodField(help_text="How many were taken up lately, and what became of them.")

    class Meta:
        model = Source
        fields = ("id", "name", "kind", "is_enabled", "place", "created_at", "messages")
        read_only_fields = fields

    def get_messages(self, source: Source) -> RatesSerializer:
        return RatesSerializer(self.context["rates"][source.pk]).data  # type: ignore[return-value]  # for the schema


class Sources(ApiView):
    required_scope = Scope.SOURCES_READ
    required_permission = "ingestion.view_source"
    pagination_class = KeysetPagination
    keyset = ("id",)

    @extend_schema(operation_id="sources_list", summary="List sources", responses=SourceSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The sources there are, each with how much it sends."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(Source.objects.all(), request, self)
        context = {"rates": rates_of([source.pk for source in rows])}
        return pages.get_paginated_response(SourceSerializer(rows, many=True, context=context).data)


class QuarantinedSerializer(serializers.ModelSerializer[Quarantined]):
    """A message that could not be used, and why."""

    source = serializers.IntegerField(source="source_id")  # type: ignore[assignment]  # a field of that name
    body = serializers.SerializerMethodField(help_text="The message as it came, if it was asked for.")

    class Meta:
        model = Quarantined
        fields = ("id", "source", "endpoint", "code", "pointer", "detail", "received_at", "quarantined_at", "body")
        read_only_fields = fields

    def get_body(self, message: Quarantined) -> str | None:
        return bytes(message.body).decode("utf-8", errors="replace") if self.context["shows_bodies"] else None


class QuarantineQuery(Query):
    code = serializers.CharField(max_length=40, required=False, help_text="Of this reason only.")
    source = serializers.IntegerField(  # type: ignore[assignment]  # a field of that name
        min_value=1, max_value=2**31 - 1, required=False, help_text="Of this source only."
    )
    bodies = serializers.BooleanField(
        required=False,
        default=False,
        help_text="With what was sent: needs the scope `profiles:reveal`, and is on record.",
    )


class Quarantine(ApiView):
    required_scope = Scope.SOURCES_READ
    required_permission = "ingestion.view_quarantined"
    pagination_class = KeysetPagination
    keyset = ("id",)
    keyset_descends = True

    @extend_schema(
        operation_id="quarantine_list",
        summary="List messages in quarantine",
        parameters=[QuarantineQuery],
        responses=QuarantinedSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Messages that wait to be replayed or discarded, newest first."""
        wanted = QuarantineQuery.of(request)
        if wanted["bodies"] and not sees_unmasked(request):
            raise Forbidden("scope_missing", "What was sent is seen with the scope profiles:reveal only.", "/bodies")
        waiting = Quarantined.objects.open()
        if "code" in wanted:
            waiting = waiting.filter(code=wanted["code"])
        if "source" in wanted:
            waiting = waiting.filter(source_id=wanted["source"])
        if not wanted["bodies"]:
            waiting = waiting.defer("body", "shared")
        pages = KeysetPagination()
        rows = pages.paginate_queryset(waiting, request, self)
        if wanted["bodies"] and rows:
            with transaction.atomic():
                acts = [Act("quarantined.revealed", "ingestion.quarantined", str(row.pk)) for row in rows]
                record_all(by=actor_of(request), acts=acts)
        context = {"shows_bodies": wanted["bodies"]}
        return pages.get_paginated_response(QuarantinedSerializer(rows, many=True, context=context).data)


class QuarantineReplay(ApiView):
    required_scope = Scope.SOURCES_WRITE
    required_permission = "ingestion.replay_quarantined"

    @extend_schema(
        operation_id="quarantine_replay",
        summary="Replay a message",
        request=None,
        responses={202: QuarantinedSerializer},
    )
    def post(self, request: Request, id: int) -> Response:
        """Put a message back into the inbox, as if it had just come. If it still can't be used, it is quarantined anew.

        One that was replayed or discarded before answers 409.
        """
        Query.of(request)
        message = Quarantined.objects.filter(pk=id).first()
        if message is None:
            raise NotFound("message_not_found", "There is no such message in quarantine.")
        quarantine.replay(message=message, by=actor_of(request))
        context = {"shows_bodies": False}
        return Response(QuarantinedSerializer(message, context=context).data, status=status.HTTP_202_ACCEPTED)

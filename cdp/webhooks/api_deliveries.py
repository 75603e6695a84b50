"""What a webhook sent, over REST: each delivery with what came of it, and having some sent again.

Bodies aren't kept, and of whom a delivery was isn't told here: people are read where their permission is asked, by the position.
"""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import NotFound
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from cdp.webhooks.api import CHANGE, VIEW, visible_webhook
from cdp.webhooks.models import Delivery, DeliveryState
from cdp.webhooks.services import replay


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """Something a webhook is, or was, to be told."""

    why = serializers.CharField(read_only=True, help_text="Why it failed or wasn't sent; empty when it was taken.")
    excerpt = serializers.CharField(
        read_only=True, help_text="How the receiver's last refusal began, with data hidden."
    )
    next_at = serializers.DateTimeField(read_only=True, help_text="Of what waits: not before.")

    class Meta:
        model = Delivery
        fields = (
            "event_id", "type", "position", "happened_at", "state", "attempts", "next_at", "status", "why", "ms",
            "excerpt", "created_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class DeliveriesQuery(Query):
    state = serializers.ChoiceField(DeliveryState.choices, required=False)


class ReplayRequest(serializers.Serializer[Any]):
    since_position = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**62,
        help_text="Everything of audiences after this position, whatever came of it. Left out: all that was given up.",
    )


class ReplayedSerializer(serializers.Serializer[Any]):
    deliveries = serializers.IntegerField(help_text="How many are sent again.")


class WebhookDeliveries(ApiView):
    required_scope = Scope.WEBHOOKS_READ
    required_permission = VIEW
    pagination_class = KeysetPagination
    keyset = ("id",)
    keyset_descends = True

    @extend_schema(
        operation_id="webhooks_deliveries",
        summary="List what a webhook sent",
        parameters=[DeliveriesQuery],
        responses=DeliverySerializer(many=True),
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """The newest first, for as long as they are kept (CDP_WEBHOOK_DAYS)."""
        wanted = DeliveriesQuery.of(request)
        found = visible_webhook(request, uuid).deliveries.all()
        if "state" in wanted:
            found = found.filter(state=wanted["state"])
        pages = KeysetPagination()
        rows = pages.paginate_queryset(found, request, self)
        return pages.get_paginated_response(DeliverySerializer(rows, many=True).data)


class DeliveryReplay(ApiView):
    required_scope = Scope.WEBHOOKS_WRITE
    required_permission = CHANGE

    @extend_schema(
        operation_id="webhooks_delivery_replay",
        summary="Send one delivery again",
        request=None,
        responses=ReplayedSerializer,
    )
    def post(self, request: Request, uuid: UUID, event_id: UUID) -> Response:
        """Have it sent again, with the same id. Whether the person still permits it is asked anew."""
        webhook = visible_webhook(request, uuid)
        one = webhook.deliveries.filter(event_id=event_id)
        if not one.exists():
            raise NotFound("delivery_not_found", "There is no such delivery of this webhook.")
        return _answer(replay(deliveries=one, webhook=webhook, by=actor_of(request)))


class WebhookReplay(ApiView):
    required_scope = Scope.WEBHOOKS_WRITE
    required_permission = CHANGE

    @extend_schema(
        operation_id="webhooks_replay",
        summary="Send much again",
        request=ReplayRequest,
        responses=ReplayedSerializer,
        examples=[OpenApiExample("From a position on", value={"since_position": 18000}, request_only=True)],
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Have all that was given up sent again, or everything of audiences after a position, each with the same id as before."""
        webhook = visible_webhook(request, uuid)
        given = ReplayRequest(data=request.data)
        given.is_valid(raise_exception=True)
        since = given.validated_data.get("since_position")
        found = webhook.deliveries.all()
        found = found.filter(state=DeliveryState.DEAD) if since is None else found.filter(position__gt=since)
        return _answer(replay(deliveries=found, webhook=webhook, by=actor_of(request)))


def _answer(count: int) -> Response:
    return Response(ReplayedSerializer({"deliveries": count}).data)

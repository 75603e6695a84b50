"""REST hooks, as tools for automation subscribe: one address, one event, one audience; and bodies as they look, to map fields by.

What is made here is a webhook like any other (`cdp.webhooks.api`). It is signed, too; its secret is in the answer.
"""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.activation.api import visible_audience
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from cdp.webhooks.api import ADD, DELETE, EVENTS, VIEW, visible_webhook
from cdp.webhooks.bodies import sample
from cdp.webhooks.models import OF_AUDIENCES, EventType
from cdp.webhooks.services import create_webhook, delete_webhook

OF_ONE = [one for one in EVENTS if one[0] != EventType.CONSENT]


class Subscription(serializers.Serializer[Any]):
    target_url = serializers.CharField(max_length=2000)
    event = serializers.ChoiceField(OF_ONE)
    audience = serializers.CharField(max_length=64, help_text="An audience's key; its purpose is what it is for.")


class SubscribedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="By which to unsubscribe; the webhook's uuid.")
    secret = serializers.CharField(help_text="By which to verify what comes.")


class SampleQuery(Query):
    event = serializers.ChoiceField(EVENTS)
    audience = serializers.CharField(max_length=64, required=False)


SUBSCRIBE = OpenApiExample(
    "A tool subscribes",
    value={"target_url": "https://hooks.example.com/1/2", "event": "audience.entered", "audience": "newsletter-loyal"},
    request_only=True,
)


class Hooks(ApiView):
    holds_secret = True
    required_scope = Scope.WEBHOOKS_WRITE
    required_permission = ADD

    @extend_schema(
        operation_id="hooks_subscribe",
        summary="Subscribe an address",
        request=Subscription,
        responses={201: SubscribedSerializer},
        examples=[SUBSCRIBE],
    )
    def post(self, request: Request) -> Response:
        """Subscribe an address to one event of one audience."""
        given = Subscription(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        audience = visible_audience(request, wanted["audience"])
        made = create_webhook(
            url=wanted["target_url"],
            events=[wanted["event"]],
            audiences=[audience],
            purpose=audience.purpose,
            user=caller(request),
            by=actor_of(request),
        )
        told = {"id": made.webhook.uuid, "secret": made.secret}
        return Response(SubscribedSerializer(told).data, status=status.HTTP_201_CREATED)


class Hook(ApiView):
    required_scope = Scope.WEBHOOKS_WRITE
    required_permission = DELETE

    @extend_schema(operation_id="hooks_unsubscribe", summary="Unsubscribe an address", responses={204: None})
    def delete(self, request: Request, uuid: UUID) -> Response:
        """Take the subscription away."""
        delete_webhook(webhook=visible_webhook(request, uuid), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class HookSamples(ApiView):
    required_scope = Scope.WEBHOOKS_READ
    required_permission = VIEW

    @extend_schema(
        operation_id="hooks_samples",
        summary="Show bodies as they look",
        parameters=[SampleQuery],
        responses={200: {"type": "array", "items": {"type": "object", "additionalProperties": {}}}},
    )
    def get(self, request: Request) -> Response:
        """A list with one body of the event, of nobody: for tools that ask what comes before anything came."""
        wanted = SampleQuery.of(request)
        event = EventType(wanted["event"])
        if "audience" in wanted and event in OF_AUDIENCES:
            audience = visible_audience(request, wanted["audience"])
            return Response([sample(event, audience=audience.key, segment=audience.segment.key)])
        return Response([sample(event)])

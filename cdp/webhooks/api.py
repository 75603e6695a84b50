"""Webhooks over REST: which there are, making and changing them, their secrets. What they sent is in `cdp.webhooks.api_deliveries`."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.activation.models import Audience
from cdp.activation.reading import visible_audiences
from cdp.errors import DomainError, NotFound
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from cdp.webhooks.access import visible_webhooks
from cdp.webhooks.models import OffReason, SecretKind, Webhook
from cdp.webhooks.services import (
    CHOSEN,
    Made,
    change_webhook,
    create_webhook,
    delete_webhook,
    disable,
    enable,
    rotate_secret,
    send_test,
)
from consent.querysets import purpose_or_error

READ_OR_WRITE: dict[str, str] = {
    "GET": Scope.WEBHOOKS_READ,
    "POST": Scope.WEBHOOKS_WRITE,
    "PATCH": Scope.WEBHOOKS_WRITE,
    "DELETE": Scope.WEBHOOKS_WRITE,
}
VIEW, ADD, CHANGE, DELETE = (f"webhooks.{verb}_webhook" for verb in ("view", "add", "change", "delete"))
EVENTS = [(one.value, one.label) for one in CHOSEN]

EXAMPLE = {
    "uuid": "0197e0a1-6f2c-7d3e-9b5a-2f4c8d1e7a60",
    "url": "https://mail.example.com/hooks/cdp",
    "description": "Mail tool",
    "events": ["audience.entered", "audience.exited"],
    "audiences": ["newsletter-loyal"],
    "purpose": "marketing_email",
    "state": "enabled",
    "off_reason": "",
    "off_since": None,
    "failing_since": None,
    "created_at": "2026-11-20T09:00:00Z",
}
SECRET = {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfKZu8j9gE=", "signs": "v1"}
ONE = OpenApiExample("A webhook", value=EXAMPLE, response_only=True)
MADE = OpenApiExample("With its secret, this once", value={**EXAMPLE, **SECRET}, response_only=True)
MAKE = OpenApiExample(
    "Hear who comes and goes",
    value={name: EXAMPLE[name] for name in ("url", "description", "events", "audiences", "purpose")},
    request_only=True,
)


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """An address that is told what happens to the people of audiences."""

    events = serializers.ListField(child=serializers.ChoiceField(EVENTS), read_only=True)
    audiences = serializers.SerializerMethodField(help_text="Keys of the audiences it hears.")
    purpose = serializers.CharField(source="purpose.key", read_only=True)
    failing_since = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Since when nothing gets through; null while something does."
    )

    class Meta:
        model = Webhook
        fields: tuple[str, ...] = (
            "uuid", "url", "description", "events", "audiences", "purpose", "state", "off_reason", "off_since", "failing_since",
            "created_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def get_audiences(self, webhook: Webhook) -> list[str]:
        return sorted(one.audience.key for one in webhook.heard.all())


class MadeWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(
        help_text="Shown this once: whsec_… by which to verify what comes, or whpk_…, the public half of a key pair."
    )
    signs = serializers.ChoiceField(SecretKind.choices)

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret", "signs")
        read_only_fields = fields


class NewWebhook(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2000, help_text="https, and on the internet.")
    description = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    events = serializers.ListField(child=serializers.ChoiceField(EVENTS), min_length=1, max_length=len(EVENTS))
    audiences = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        default=list,
        max_length=100,
        help_text="Keys of audiences whose members you may read, all for the purpose.",
    )
    purpose = serializers.CharField(max_length=64, help_text="A purpose's key: what the people are told of for.")
    signs = serializers.ChoiceField(
        SecretKind.choices, required=False, default=SecretKind.HMAC, help_text="v1: HMAC-SHA256; v1a: Ed25519."
    )


class WebhookChange(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2000, required=False)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    events = serializers.ListField(
        child=serializers.ChoiceField(EVENTS), required=False, min_length=1, max_length=len(EVENTS)
    )
    audiences = serializers.ListField(child=serializers.CharField(max_length=64), required=False, max_length=100)


class NewSecret(serializers.Serializer[Any]):
    signs = serializers.ChoiceField(SecretKind.choices, required=False, help_text="Left out: as before.")


class SecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Shown this once. The old one signs beside it until the overlap is over.")
    signs = serializers.ChoiceField(SecretKind.choices)


class EventSentSerializer(serializers.Serializer[Any]):
    event_id = serializers.UUIDField(help_text="What the receiver gets as `webhook-id`.")


def seen_webhooks(request: Request) -> QuerySet[Webhook]:
    return visible_webhooks(caller(request)).select_related("purpose", "owner").prefetch_related("heard__audience")


def visible_webhook(request: Request, uuid: UUID) -> Webhook:
    """
    Raises:
        NotFound: there is none that the caller may see.
    """
    found = seen_webhooks(request).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("webhook_not_found", "There is no such webhook.")
    return found


def named_audiences(request: Request, keys: list[str]) -> list[Audience]:
    """
    Raises:
        DomainError: one is no audience that the caller may see.
    """
    found = {one.key: one for one in visible_audiences(caller(request)).filter(key__in=keys)}
    for number, key in enumerate(keys):
        if key not in found:
            raise DomainError("audience_unknown", "There is no audience with this key.", f"/audiences/{number}")
    return list(found.values())


def told_once(made: Made) -> dict[str, Any]:
    signs = made.webhook.secrets.get(ends_at=None).kind
    return {**WebhookSerializer(made.webhook).data, "secret": made.secret, "signs": signs}


class Webhooks(ApiView):
    holds_secret = True
    required_scope = READ_OR_WRITE
    required_permission = {"GET": VIEW, "POST": ADD}
    pagination_class = KeysetPagination
    keyset = ("id",)

    @extend_schema(operation_id="webhooks_list", summary="List webhooks", responses=WebhookSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The webhooks you may see: a key sees its own, a person also those that tell nothing they may not read."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(seen_webhooks(request), request, self)
        return pages.get_paginated_response(WebhookSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="webhooks_create",
        summary="Make a webhook",
        request=NewWebhook,
        responses={201: MadeWebhookSerializer},
        examples=[MAKE, MADE],
    )
    def post(self, request: Request) -> Response:
        """Make a webhook, which hears what happens from now on. Keep the secret: it is shown this once."""
        given = NewWebhook(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        made = create_webhook(
            url=wanted["url"],
            description=wanted["description"],
            events=wanted["events"],
            audiences=named_audiences(request, wanted["audiences"]),
            purpose=purpose_or_error(wanted["purpose"]),
            kind=SecretKind(wanted["signs"]),
            user=caller(request),
            by=actor_of(request),
        )
        headers = {"Location": reverse("api:webhook", args=[made.webhook.uuid])}
        return Response(told_once(made), status=status.HTTP_201_CREATED, headers=headers)


class WebhookDetail(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": VIEW, "PATCH": CHANGE, "DELETE": DELETE}
    is_versioned = True
    passing = ("failing_since",)

    @extend_schema(
        operation_id="webhooks_detail", summary="Show a webhook", responses=WebhookSerializer, examples=[ONE]
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """A webhook: where it sends, what it hears, and whether anything gets through."""
        Query.of(request)
        return Response(WebhookSerializer(visible_webhook(request, uuid)).data)

    @extend_schema(
        operation_id="webhooks_change", summary="Change a webhook", request=WebhookChange, responses=WebhookSerializer
    )
    def patch(self, request: Request, uuid: UUID) -> Response:
        """Change the address or what it hears; an audience that is new to it is heard from now on."""
        webhook = visible_webhook(request, uuid)
        given = WebhookChange(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = dict(given.validated_data)
        if "audiences" in wanted:
            wanted["audiences"] = named_audiences(request, wanted["audiences"])
        change_webhook(webhook=webhook, by=actor_of(request), **wanted)
        return Response(WebhookSerializer(visible_webhook(request, uuid)).data)

    @extend_schema(operation_id="webhooks_delete", summary="Delete a webhook", responses={204: None})
    def delete(self, request: Request, uuid: UUID) -> Response:
        """Take a webhook away, with what waits and what it sent."""
        delete_webhook(webhook=visible_webhook(request, uuid), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class _WebhookAct(ApiView):
    required_scope = Scope.WEBHOOKS_WRITE
    required_permission = CHANGE


class WebhookTest(_WebhookAct):
    @extend_schema(
        operation_id="webhooks_test", summary="Send a test", request=None, responses={202: EventSentSerializer}
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Have `webhook.test` sent, which says nothing of anybody. What came of it is among the deliveries."""
        sent = send_test(webhook=visible_webhook(request, uuid), by=actor_of(request))
        return Response(EventSentSerializer(sent).data, status=status.HTTP_202_ACCEPTED)


class WebhookSecretRotation(_WebhookAct):
    holds_secret = True

    @extend_schema(
        operation_id="webhooks_rotate_secret",
        summary="Have another secret",
        request=NewSecret,
        responses=SecretSerializer,
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Make a new secret. For a day (CDP_WEBHOOK_OVERLAP_HOURS) the old one signs, too, so receivers can change over."""
        given = NewSecret(data=request.data)
        given.is_valid(raise_exception=True)
        signs = given.validated_data.get("signs")
        made = rotate_secret(
            webhook=visible_webhook(request, uuid), kind=SecretKind(signs) if signs else None, by=actor_of(request)
        )
        kind = made.webhook.secrets.get(ends_at=None).kind
        return Response(SecretSerializer({"secret": made.secret, "signs": kind}).data)


class WebhookEnable(_WebhookAct):
    @extend_schema(
        operation_id="webhooks_enable", summary="Turn a webhook on", request=None, responses=WebhookSerializer
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Turn a webhook on; it goes on with audiences' changes where it stood. 409 if some of them are no longer kept."""
        enable(webhook=visible_webhook(request, uuid), by=actor_of(request))
        return Response(WebhookSerializer(visible_webhook(request, uuid)).data)


class WebhookDisable(_WebhookAct):
    @extend_schema(
        operation_id="webhooks_disable", summary="Turn a webhook off", request=None, responses=WebhookSerializer
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Turn a webhook off. Audiences' changes wait for it where they are."""
        disable(webhook=visible_webhook(request, uuid), reason=OffReason.ASKED, by=actor_of(request))
        return Response(WebhookSerializer(visible_webhook(request, uuid)).data)

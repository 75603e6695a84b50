"""Slots over REST: which there are, what they say to whom, and changing that."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.content.models import Slot
from cdp.content.services import change_slot, create_slot, delete_slot
from cdp.errors import NotFound
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import MomentField, Query
from cdp.rest.views import ApiView

DOCUMENT_HELP = (
    "`variants`, in the order in which they are tried, each with `name`, `when` (`segment`, `persona` or `rule`; null for"
    " everybody), `content` (any JSON), `starts_at` and `ends_at`; and `default`, which is said where none fits."
)


class SlotSerializer(serializers.ModelSerializer[Slot]):
    """A place on pages, and what is said there to whom."""

    class Meta:
        model = Slot
        fields = (
            "key", "uuid", "name", "description", "is_live", "is_public", "starts_at", "ends_at", "document", "version",
            "created_at", "changed_at",
        )  # fmt: skip
        read_only_fields = fields


class SlotChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150, required=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    is_live = serializers.BooleanField(required=False, help_text="A draft is served to nobody.")
    is_public = serializers.BooleanField(required=False, help_text="Browsers may ask for it.")
    starts_at = MomentField(required=False, allow_null=True)
    ends_at = MomentField(required=False, allow_null=True)
    document = serializers.JSONField(required=False, help_text=DOCUMENT_HELP)
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="The one you changed: where it isn't the newest any more, the answer is 409.",
    )


class NewSlot(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=64, help_text="Can't change.")
    name = serializers.CharField(max_length=150)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    is_live = serializers.BooleanField(required=False, default=False, help_text="A draft is served to nobody.")
    is_public = serializers.BooleanField(required=False, default=False, help_text="Browsers may ask for it.")
    starts_at = MomentField(required=False, allow_null=True, default=None)
    ends_at = MomentField(required=False, allow_null=True, default=None)
    document = serializers.JSONField(help_text=DOCUMENT_HELP)


MADE = OpenApiExample(
    "One variant, and what everybody else is told",
    value={
        "key": "hero",
        "name": "Top of the home page",
        "is_live": True,
        "document": {
            "variants": [
                {"name": "Swiss", "when": {"rule": {"version": 1, "trait": "country", "op": "equals", "value": "CH"}},
                 "content": {"title": "Grüezi"}}
            ],
            "default": {"title": "Hello"},
        },
    },
    request_only=True,
)  # fmt: skip


class Slots(ApiView):
    required_scope = {"GET": Scope.CONTENT_READ, "POST": Scope.CONTENT_WRITE}
    required_permission = {"GET": "content.view_slot", "POST": "content.add_slot"}
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(operation_id="slots_list", summary="List slots", responses=SlotSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The slots there are, in the order of their keys."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(Slot.objects.all(), request, self)
        return pages.get_paginated_response(SlotSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="slots_create",
        summary="Make a slot",
        request=NewSlot,
        responses={201: SlotSerializer},
        examples=[MADE],
    )
    def post(self, request: Request) -> Response:
        """Make a slot. Its variants may ask only for segments and lists that you may see."""
        given = NewSlot(data=request.data)
        given.is_valid(raise_exception=True)
        made = create_slot(**given.validated_data, by=actor_of(request), user=caller(request))
        headers = {"Location": reverse("api:slot", args=[made.key])}
        return Response(SlotSerializer(made).data, status=status.HTTP_201_CREATED, headers=headers)


class SlotDetail(ApiView):
    required_scope = {"GET": Scope.CONTENT_READ, "PATCH": Scope.CONTENT_WRITE, "DELETE": Scope.CONTENT_WRITE}
    required_permission = {
        "GET": "content.view_slot",
        "PATCH": "content.change_slot",
        "DELETE": "content.delete_slot",
    }

    @extend_schema(operation_id="slots_detail", summary="Show a slot", responses=SlotSerializer)
    def get(self, request: Request, key: str) -> Response:
        """A slot and what it says to whom."""
        return Response(SlotSerializer(_slot(key)).data)

    @extend_schema(operation_id="slots_change", summary="Change a slot", request=SlotChange, responses=SlotSerializer)
    def patch(self, request: Request, key: str) -> Response:
        """Change what is named; the rest stays. Each change is a new version."""
        given = SlotChange(data=request.data)
        given.is_valid(raise_exception=True)
        changes = dict(given.validated_data)
        base = changes.pop("version", None)
        changed = change_slot(slot=_slot(key), changes=changes, by=actor_of(request), user=caller(request), base=base)
        return Response(SlotSerializer(changed).data)

    @extend_schema(operation_id="slots_delete", summary="Delete a slot", responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Delete a slot with its versions. Pages that ask for it get nothing for it from then on."""
        delete_slot(slot=_slot(key), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _slot(key: str) -> Slot:
    found = Slot.objects.filter(key=key).first()
    if found is None:
        raise NotFound("slot_not_found", "There is no such slot.")
    return found

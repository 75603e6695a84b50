"""The catalogues of traits and events over REST: what there is, how many people have it, and how it is called.

Entries come by themselves with what is sent; they are described here. How figures are taken is in `segments.fields`.
"""

from typing import Any

from django.db import transaction
from django.db.models import F, FloatField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast, NullIf
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.services import record
from cdp.errors import NotFound
from cdp.profiles.models import EventName, Trait, TraitCategory
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.fields.models import FieldKind, FieldStatistics

READ_OR_WRITE: dict[str, str] = {"GET": Scope.CATALOGUE_READ, "PATCH": Scope.CATALOGUE_WRITE}
TRAIT = {
    "key": "points",
    "label": "Points",
    "type": "number",
    "category": "behavioural",
    "is_personal": False,
    "description": "Of the loyalty programme.",
    "share_of_people": 0.41,
    "created_at": "2026-11-20T09:00:00Z",
}
EVENT = {
    "number": 7,
    "name": "Order Completed",
    "label": "Order completed",
    "kind": "track",
    "description": "",
    "share_of_people": 0.2,
    "in_30_days": 18230,
    "last_seen_at": "2026-11-24T09:00:00Z",
    "created_at": "2026-11-20T09:00:00Z",
}
ONE_TRAIT = OpenApiExample("A trait", value=TRAIT, response_only=True)
ONE_EVENT = OpenApiExample("An event", value=EVENT, response_only=True)
DESCRIBE = OpenApiExample("Describe it", value={"description": "Of the loyalty programme."}, request_only=True)


class TraitSerializer(serializers.ModelSerializer[Trait]):
    """What is known of people under one key."""

    is_personal = serializers.BooleanField(
        source="is_pii", read_only=True, help_text="Masked unless its reader may see personal data."
    )
    share_of_people = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Who has it, from 0 to 1; null until they are counted."
    )

    class Meta:
        model = Trait
        fields = ("key", "label", "type", "category", "is_personal", "description", "share_of_people", "created_at")
        read_only_fields = fields


class TraitChange(serializers.Serializer[Any]):
    label = serializers.CharField(max_length=128, required=False)  # type: ignore[assignment]  # a field of that name
    category = serializers.ChoiceField(TraitCategory.choices, required=False)
    is_personal = serializers.BooleanField(
        required=False, help_text="Whoever may see no personal data sees it masked from then on."
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=5000)


class EventNameSerializer(serializers.ModelSerializer[EventName]):
    """A kind of event, by its name."""

    number = serializers.IntegerField(source="pk", read_only=True, help_text="By which the API names it.")
    kind = serializers.SerializerMethodField(help_text="As track, page or identify; derived: nobody sends it.")
    share_of_people = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Who did it in 30 days, from 0 to 1; null until they are counted."
    )
    in_30_days = serializers.IntegerField(read_only=True, allow_null=True, help_text="How many there were.")
    last_seen_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="To the hour.")

    class Meta:
        model = EventName
        fields = (
            "number", "name", "label", "kind", "description", "share_of_people", "in_30_days", "last_seen_at", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_kind(self, event: EventName) -> str:
        return str(event.get_type_display()).lower()


class EventNameChange(serializers.Serializer[Any]):
    label = serializers.CharField(max_length=200, required=False)  # type: ignore[assignment]  # a field of that name
    description = serializers.CharField(required=False, allow_blank=True, max_length=5000)


def _figures(kind: FieldKind, name_of: str) -> dict[str, Subquery]:
    mine = FieldStatistics.objects.filter(kind=kind, event="", key=OuterRef(name_of))
    share = mine.annotate(share_of=Cast("filled", FloatField()) / NullIf(F("of"), 0))
    return {
        "share_of_people": Subquery(share.values("share_of")[:1]),
        "in_30_days": Subquery(mine.values("occurrences")[:1]),
        "last_seen_at": Subquery(mine.values("last_seen_at")[:1]),
    }


def _traits() -> QuerySet[Trait]:
    return Trait.objects.annotate(share_of_people=_figures(FieldKind.TRAIT, "key")["share_of_people"])


def _events() -> QuerySet[EventName]:
    return EventName.objects.annotate(**_figures(FieldKind.EVENT, "name"))


@transaction.atomic
def _described(request: Request, entry: Trait | EventName, changes: dict[str, Any]) -> None:
    before = {name: getattr(entry, name) for name in changes}
    changed = {name: value for name, value in changes.items() if value != before[name]}
    if not changed:
        return
    for name, value in changed.items():
        setattr(entry, name, value)
    entry.save(update_fields=list(changed))
    detail = {"before": {name: before[name] for name in changed}, "after": changed}
    record(by=actor_of(request), action=f"{entry._meta.model_name}.changed", object=entry, detail=detail)


class CatalogueTraits(ApiView):
    required_scope = Scope.CATALOGUE_READ
    required_permission = "profiles.view_trait"
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(operation_id="catalogue_traits_list", summary="List traits", responses=TraitSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The traits that were ever sent, in the order of their keys."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(_traits(), request, self)
        return pages.get_paginated_response(TraitSerializer(rows, many=True).data)


KEY = OpenApiParameter("key", str, OpenApiParameter.PATH, description="The trait's key, percent-encoded.")


class CatalogueTrait(ApiView):
    is_versioned = True
    passing = ("share_of_people",)
    required_scope = READ_OR_WRITE
    required_permission = {"GET": "profiles.view_trait", "PATCH": "profiles.change_trait"}

    @extend_schema(
        operation_id="catalogue_traits_detail",
        summary="Show a trait",
        parameters=[KEY],
        responses=TraitSerializer,
        examples=[ONE_TRAIT],
    )
    def get(self, request: Request, key: str) -> Response:
        """A trait, as it is called, and how many people have it."""
        Query.of(request)
        return Response(TraitSerializer(self._trait(key)).data)

    @extend_schema(
        operation_id="catalogue_traits_change",
        summary="Describe a trait",
        parameters=[KEY],
        request=TraitChange,
        responses=TraitSerializer,
        examples=[DESCRIBE, ONE_TRAIT],
    )
    def patch(self, request: Request, key: str) -> Response:
        """Change how a trait is called, described and filed, and whether it is personal data. Its type is changed on its
        screen, which says what relies on it."""
        trait = self._trait(key)
        given = TraitChange(data=request.data)
        given.is_valid(raise_exception=True)
        changes = dict(given.validated_data)
        if "is_personal" in changes:
            changes["is_pii"] = changes.pop("is_personal")
        _described(request, trait, changes)
        return Response(TraitSerializer(self._trait(key)).data)

    @staticmethod
    def _trait(key: str) -> Trait:
        found = _traits().filter(key=key).first() if len(key) <= 128 and "\0" not in key else None
        if found is None:
            raise NotFound("trait_not_found", "There is no trait with this key.")
        return found


class CatalogueEvents(ApiView):
    required_scope = Scope.CATALOGUE_READ
    required_permission = "profiles.view_eventname"
    pagination_class = KeysetPagination
    keyset = ("id",)

    @extend_schema(
        operation_id="catalogue_events_list", summary="List events", responses=EventNameSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """The names that events ever had, the oldest first."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(_events(), request, self)
        return pages.get_paginated_response(EventNameSerializer(rows, many=True).data)


class CatalogueEvent(ApiView):
    is_versioned = True
    passing = ("share_of_people", "in_30_days", "last_seen_at")
    required_scope = READ_OR_WRITE
    required_permission = {"GET": "profiles.view_eventname", "PATCH": "profiles.change_eventname"}

    @extend_schema(
        operation_id="catalogue_events_detail",
        summary="Show an event",
        responses=EventNameSerializer,
        examples=[ONE_EVENT],
    )
    def get(self, request: Request, number: int) -> Response:
        """A kind of event, as it is called, and how often it came."""
        Query.of(request)
        return Response(EventNameSerializer(self._event(number)).data)

    @extend_schema(
        operation_id="catalogue_events_change",
        summary="Describe an event",
        request=EventNameChange,
        responses=EventNameSerializer,
        examples=[DESCRIBE, ONE_EVENT],
    )
    def patch(self, request: Request, number: int) -> Response:
        """Change how an event is called and described."""
        event = self._event(number)
        given = EventNameChange(data=request.data)
        given.is_valid(raise_exception=True)
        _described(request, event, dict(given.validated_data))
        return Response(EventNameSerializer(self._event(number)).data)

    @staticmethod
    def _event(number: int) -> EventName:
        found = _events().filter(pk=number).first() if number < 2**31 else None
        if found is None:
            raise NotFound("event_not_found", "There is no event of this number.")
        return found

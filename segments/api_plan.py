"""The tracking plan over REST: which events, properties and traits come, and what could not be used."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.rest.models import Scope
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.fields.plan import tracking_plan


class PlanPropertySerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    type = serializers.CharField(help_text="What its values mostly are; empty for what rules can't compare.")
    share = serializers.FloatField(help_text="Of the event's messages in 30 days, from 0 to 1.")
    people = serializers.IntegerField(allow_null=True, help_text="Of how many people.")
    is_personal = serializers.BooleanField()


class PlanEventSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not the label of this one
    kind = serializers.CharField(help_text="As track, page or identify; derived: nobody sends it.")
    first_seen = serializers.DateTimeField()
    last_seen = serializers.DateTimeField(allow_null=True, help_text="To the hour.")
    volume = serializers.IntegerField(allow_null=True, help_text="In 30 days; null until it is counted.")
    properties = PlanPropertySerializer(many=True)


class PlanTraitSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not the label of this one
    type = serializers.CharField()
    category = serializers.CharField()
    first_seen = serializers.DateTimeField()
    share = serializers.FloatField(allow_null=True, help_text="Of people, from 0 to 1; null until they are counted.")
    people = serializers.IntegerField(allow_null=True)
    is_personal = serializers.BooleanField()


class ViolationSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    pointer = serializers.CharField()
    messages = serializers.IntegerField(help_text="How many wait in quarantine.")
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()


class PlanSerializer(serializers.Serializer[Any]):
    """What comes, as figures of people who permit internal analysis; a property that fewer than five people have is left out."""

    as_of = serializers.DateTimeField(
        allow_null=True, help_text="When it was counted last; null before the first night."
    )
    events = PlanEventSerializer(many=True)
    traits = PlanTraitSerializer(many=True)
    violations = ViolationSerializer(many=True)


class TrackingPlan(ApiView):
    required_scope = Scope.SOURCES_READ
    required_permission = "ingestion.view_source"

    @extend_schema(operation_id="tracking_plan", summary="The tracking plan", responses=PlanSerializer)
    def get(self, request: Request) -> Response:
        """Every event with its properties and every trait that came, and why messages could not be used."""
        Query.of(request)
        return Response(PlanSerializer(tracking_plan()).data)

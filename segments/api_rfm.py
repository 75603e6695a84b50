"""RFM over REST: what the newest run found, the runs before it, how it scores, and asking for a run.

Figures are of groups; whoever is in one is read as the members of a segment, for a purpose.
"""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import NotFound
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.rfm.models import RfmRun, RfmSettings
from segments.rfm.services import change_settings, read_scheme, request_run


class RfmGroupSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    people = serializers.IntegerField()
    orders = serializers.IntegerField(required=False)
    revenue = serializers.CharField(required=False, help_text="Net of refunds, in the run's currency.")
    recency_mean = serializers.FloatField(required=False, allow_null=True, help_text="Days since the last order.")
    frequency_mean = serializers.FloatField(required=False, allow_null=True, help_text="Orders.")
    monetary_mean = serializers.FloatField(required=False, allow_null=True, help_text="Net revenue.")


class RfmCellSerializer(serializers.Serializer[Any]):
    r = serializers.IntegerField(help_text="Recency, 1 to 5; 5 bought last.")
    fm = serializers.IntegerField(help_text="Frequency and monetary together, 1 to 5.")
    group = serializers.CharField()
    people = serializers.IntegerField()
    orders = serializers.IntegerField()
    revenue = serializers.CharField(help_text="Net of refunds, in the run's currency.")


class RfmFlowSerializer(serializers.Serializer[Any]):
    before = serializers.CharField(allow_blank=True, help_text="Empty: they had no scores.")
    after = serializers.CharField(allow_blank=True, help_text="Empty: they have no scores any more.")
    people = serializers.IntegerField()


class RfmRunSerializer(serializers.ModelSerializer[RfmRun]):
    """One run, without its figures."""

    state = serializers.CharField(
        help_text="published, failed, or its job's: queued, running, cancelled; ended, where nobody knows why."
    )
    job = serializers.UUIDField(source="job.uuid", allow_null=True, default=None, help_text="By which it is followed.")
    problem = serializers.CharField(help_text="Why it came to nothing; else empty.")
    purpose = serializers.CharField(help_text="Who permits it is in.")
    revenue = serializers.DecimalField(max_digits=30, decimal_places=4, allow_null=True, help_text="Net of refunds.")

    class Meta:
        model = RfmRun
        fields: tuple[str, ...] = (
            "uuid", "state", "job", "problem", "purpose", "requested_by", "requested_at", "as_of", "published_at",
            "currency", "people", "orders", "revenue",
        )  # fmt: skip
        read_only_fields = fields


class RfmRunDetailSerializer(RfmRunSerializer):
    """One run with all that it found."""

    thresholds = serializers.JSONField(
        allow_null=True, help_text="Of each measure the four values at which the score changes, from the lowest."
    )
    groups = RfmGroupSerializer(many=True)
    cells = RfmCellSerializer(many=True, help_text="All 25 of the grid.")
    flows = RfmFlowSerializer(many=True, help_text="From which group to which people went since the run before.")
    notes = serializers.ListField(child=serializers.CharField(), help_text="What is to be known when it is read.")
    scheme = serializers.JSONField(help_text="By which rules it scored.")

    class Meta(RfmRunSerializer.Meta):
        fields = (*RfmRunSerializer.Meta.fields, "thresholds", "groups", "cells", "flows", "notes", "scheme")
        read_only_fields = fields


class RfmSettingsSerializer(serializers.Serializer[RfmSettings]):
    """How the next run scores."""

    scheme = serializers.JSONField(help_text="Window, thresholds, weights, and the table of groups.")
    purpose = serializers.CharField(source="purpose.key", help_text="Who permits it is in.")
    is_nightly = serializers.BooleanField()
    changed_at = serializers.DateTimeField()


class RfmSettingsChange(serializers.Serializer[Any]):
    scheme = serializers.JSONField(required=False)
    purpose = serializers.CharField(max_length=64, required=False)
    is_nightly = serializers.BooleanField(required=False)


class RfmCurrent(ApiView):
    required_scope = Scope.ANALYSES_READ
    required_permission = "segments.view_rfmrun"

    @extend_schema(operation_id="rfm_current", summary="Read the newest RFM", responses=RfmRunDetailSerializer)
    def get(self, request: Request) -> Response:
        """The run whose scores are read now: groups, cells and thresholds. Nobody in particular is in it."""
        Query.of(request)
        run = RfmRun.objects.current()
        if run is None:
            raise NotFound("rfm_never_ran", "RFM has not run yet. Ask for a run, and follow its job.")
        return Response(RfmRunDetailSerializer(run).data)


class RfmRuns(ApiView):
    required_scope = {"GET": Scope.ANALYSES_READ, "POST": Scope.ANALYSES_WRITE}
    required_permission = {"GET": "segments.view_rfmrun", "POST": "segments.run_rfm"}
    pagination_class = KeysetPagination
    keyset = ("requested_at", "id")
    keyset_descends = True

    @extend_schema(operation_id="rfm_runs", summary="List runs of RFM", responses=RfmRunSerializer(many=True))
    def get(self, request: Request) -> Response:
        """All runs, also those that failed or are under way, the newest first."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(_runs(), request, self)
        return pages.get_paginated_response(RfmRunSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="rfm_run",
        summary="Run RFM",
        request=None,
        responses={202: RfmRunSerializer},
    )
    def post(self, request: Request) -> Response:
        """Ask for a run with the settings as they are. While one is under way, that one is the answer."""
        run = request_run(by=actor_of(request), user=caller(request))
        return Response(RfmRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class RfmRunDetail(ApiView):
    required_scope = Scope.ANALYSES_READ
    required_permission = "segments.view_rfmrun"

    @extend_schema(operation_id="rfm_run_detail", summary="Read one run of RFM", responses=RfmRunDetailSerializer)
    def get(self, request: Request, uuid: UUID) -> Response:
        """What a run found, or how far it is."""
        run = _runs().filter(uuid=uuid).first()
        if run is None:
            raise NotFound("rfm_run_not_found", "There is no such run.")
        return Response(RfmRunDetailSerializer(run).data)


class RfmSettingsView(ApiView):
    is_versioned = True
    required_scope = {"GET": Scope.ANALYSES_READ, "PATCH": Scope.ANALYSES_WRITE}
    required_permission = {"GET": "segments.view_rfmrun", "PATCH": "segments.change_rfmsettings"}

    @extend_schema(operation_id="rfm_settings", summary="Read how RFM scores", responses=RfmSettingsSerializer)
    def get(self, request: Request) -> Response:
        """Window, thresholds, weights, groups, purpose, and whether it runs each night."""
        Query.of(request)
        return Response(RfmSettingsSerializer(RfmSettings.current()).data)

    @extend_schema(
        operation_id="rfm_settings_change",
        summary="Change how RFM scores",
        request=RfmSettingsChange,
        responses=RfmSettingsSerializer,
        examples=[OpenApiExample("No nightly runs", value={"is_nightly": False}, request_only=True)],
    )
    def patch(self, request: Request) -> Response:
        """What is left out stays. A scheme is given whole, and refused with every reason at once. Scores change with the next run."""
        sent = RfmSettingsChange(data=request.data)
        sent.is_valid(raise_exception=True)
        given: dict[str, Any] = dict(sent.validated_data)
        if "scheme" in given:
            given["scheme"] = read_scheme(given["scheme"])
        return Response(RfmSettingsSerializer(change_settings(by=actor_of(request), **given)).data)


def _runs() -> QuerySet[RfmRun]:
    return RfmRun.objects.select_related("job")

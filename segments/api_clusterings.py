"""Clusterings over REST: which there are, what their runs found, asking for runs, and deciding on those that wait.

Figures are of clusters; whoever is in one is read as the members of a segment, for a purpose.
"""

from typing import Any

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
from segments.clustering.models import Cluster, Clustering, ClusterRun
from segments.clustering.services import decline_run, publish_run, rename_cluster, request_run

LARGE = ("fitted", "picture", "tree", "prepared")


class ClusterSerializer(serializers.ModelSerializer[Cluster]):
    """One cluster of a run."""

    suggestion = serializers.CharField(source="suggested_label", help_text="In plain words, from its figures.")
    meaning = serializers.JSONField(
        allow_null=True, help_text="The features that set it apart; null for whoever is in no cluster."
    )

    class Meta:
        model = Cluster
        fields = ("number", "label", "suggestion", "size", "revenue", "meaning")
        read_only_fields = fields


class ClusterRunSerializer(serializers.ModelSerializer[ClusterRun]):
    """One run, without its clusters."""

    state = serializers.CharField(
        help_text="live, past, held, declined, overtaken, failed, or its job's: queued, running, cancelled."
    )
    job = serializers.UUIDField(source="job.uuid", allow_null=True, default=None, help_text="By which it is followed.")
    noise = serializers.IntegerField(help_text="Who is in no cluster: noise, or set aside as an outlier.")

    class Meta:
        model = ClusterRun
        fields: tuple[str, ...] = (
            "number", "state", "job", "problem", "requested_by", "requested_at", "as_of", "finished_at", "decided_by",
            "people", "clustered", "noise", "left_out", "revenue",
        )  # fmt: skip
        read_only_fields = fields


class ClusterRunDetailSerializer(ClusterRunSerializer):
    """One run with its clusters and their quality."""

    clusters = ClusterSerializer(many=True)
    rule = serializers.CharField(help_text="On whom they were found, and how everybody else is put into one.")
    choice = serializers.JSONField(allow_null=True, help_text="Numbers of clusters tried, and why this one.")
    quality = serializers.JSONField(allow_null=True, help_text="Silhouettes, separation, stability and advice.")
    matched = serializers.JSONField(allow_null=True, help_text="How clusters were found again, and who moved.")
    settings = serializers.JSONField(help_text="By which it was made.")

    class Meta(ClusterRunSerializer.Meta):
        fields = (*ClusterRunSerializer.Meta.fields, "clusters", "rule", "choice", "quality", "matched", "settings")
        read_only_fields = fields


class ClusteringSerializer(serializers.ModelSerializer[Clustering]):
    """What is clustered and how."""

    purpose = serializers.CharField(source="purpose.key", help_text="Who permits it is in.")
    score = serializers.SerializerMethodField(help_text="How rules ask for its clusters.")
    live_run = serializers.IntegerField(
        source="live_run.number", allow_null=True, default=None, help_text="Number of the run that is read."
    )

    class Meta:
        model = Clustering
        fields = (
            "key", "name", "description", "settings", "purpose", "score", "is_nightly", "live_run", "created_at",
            "changed_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_score(self, clustering: Clustering) -> str:
        return f"{clustering.kind}.cluster"


class LabelRequest(serializers.Serializer[Any]):
    label = serializers.CharField(max_length=128)  # type: ignore[assignment]


class Clusterings(ApiView):
    required_scope = Scope.ANALYSES_READ
    required_permission = "segments.view_clustering"
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(
        operation_id="clusterings_list", summary="List clusterings", responses=ClusteringSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """The clusterings there are, in the order of their keys."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(_clusterings(), request, self)
        return pages.get_paginated_response(ClusteringSerializer(rows, many=True).data)


class ClusteringDetail(ApiView):
    is_versioned = True
    required_scope = Scope.ANALYSES_READ
    required_permission = "segments.view_clustering"

    @extend_schema(operation_id="clusterings_detail", summary="Read a clustering", responses=ClusteringSerializer)
    def get(self, request: Request, key: str) -> Response:
        """What is clustered and how, and which run is read."""
        return Response(ClusteringSerializer(clustering_called(key)).data)


class ClusterRuns(ApiView):
    required_scope = {"GET": Scope.ANALYSES_READ, "POST": Scope.ANALYSES_WRITE}
    required_permission = {"GET": "segments.view_clustering", "POST": "segments.run_clustering"}
    pagination_class = KeysetPagination
    keyset = ("number",)
    keyset_descends = True

    @extend_schema(
        operation_id="clusterings_runs",
        summary="List runs of a clustering",
        responses=ClusterRunSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        """All runs that are kept, the newest first."""
        Query.of(request)
        pages = KeysetPagination()
        runs = _runs(clustering_called(key)).defer(*LARGE)
        rows = pages.paginate_queryset(runs, request, self)
        return pages.get_paginated_response(ClusterRunSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="clusterings_run",
        summary="Run a clustering",
        request=None,
        responses={202: ClusterRunSerializer},
    )
    def post(self, request: Request, key: str) -> Response:
        """Ask for a run with the settings as they are. While one is under way, that one is the answer."""
        run = request_run(clustering=clustering_called(key), by=actor_of(request), user=caller(request))
        return Response(ClusterRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class ClusterRunDetail(ApiView):
    required_scope = Scope.ANALYSES_READ
    required_permission = "segments.view_clustering"

    @extend_schema(operation_id="clusterings_run_detail", summary="Read one run", responses=ClusterRunDetailSerializer)
    def get(self, request: Request, key: str, number: int) -> Response:
        """Its clusters with their sizes, revenue and meaning, how good they are, and why there are so many."""
        return Response(ClusterRunDetailSerializer(_run(key, number)).data)


class ClusterRunAccept(ApiView):
    required_scope = Scope.ANALYSES_WRITE
    required_permission = "segments.run_clustering"

    @extend_schema(
        operation_id="clusterings_run_accept",
        summary="Have a run read",
        request=None,
        responses=ClusterRunDetailSerializer,
    )
    def post(self, request: Request, key: str, number: int) -> Response:
        """Accept a run that waits because it differs much from the one before, or go back to an earlier one. Another's state
        answers 409."""
        return Response(ClusterRunDetailSerializer(publish_run(run=_run(key, number), by=actor_of(request))).data)


class ClusterRunDecline(ApiView):
    required_scope = Scope.ANALYSES_WRITE
    required_permission = "segments.run_clustering"

    @extend_schema(
        operation_id="clusterings_run_decline",
        summary="Decline a run",
        request=None,
        responses=ClusterRunDetailSerializer,
    )
    def post(self, request: Request, key: str, number: int) -> Response:
        """Decline a run that waits; the one before stays. A run that doesn't wait answers 409."""
        return Response(ClusterRunDetailSerializer(decline_run(run=_run(key, number), by=actor_of(request))).data)


class ClusterLabel(ApiView):
    required_scope = Scope.ANALYSES_WRITE
    required_permission = "segments.change_clustering"

    @extend_schema(
        operation_id="clusterings_label",
        summary="Name a cluster",
        request=LabelRequest,
        responses=ClusterSerializer,
        examples=[OpenApiExample("In plain words", value={"label": "Frequent small baskets"}, request_only=True)],
    )
    def patch(self, request: Request, key: str, number: int) -> Response:
        """Name a cluster of the run that is read; it keeps the name from run to run."""
        sent = LabelRequest(data=request.data)
        sent.is_valid(raise_exception=True)
        live = clustering_called(key).live_run
        cluster = Cluster.objects.select_related("run__clustering").filter(run=live, number=number).first()
        if live is None or cluster is None:
            raise NotFound("cluster_not_found", "The run that is read has no such cluster.")
        named = rename_cluster(cluster=cluster, label=sent.validated_data["label"], by=actor_of(request))
        return Response(ClusterSerializer(named).data)


def clustering_called(key: str) -> Clustering:
    """The clustering by its key.

    Raises:
        NotFound: there is none.
    """
    found = _clusterings().filter(key=key).first()
    if found is None:
        raise NotFound("clustering_not_found", "There is no such clustering.")
    return found


def _clusterings() -> QuerySet[Clustering]:
    return Clustering.objects.select_related("purpose", "live_run").defer(*(f"live_run__{one}" for one in LARGE))


def _runs(clustering: Clustering) -> QuerySet[ClusterRun]:
    return ClusterRun.objects.filter(clustering=clustering).select_related("job", "clustering")


def _run(key: str, number: int) -> ClusterRun:
    run = _runs(clustering_called(key)).filter(number=number).prefetch_related("clusters").first()
    if run is None:
        raise NotFound("cluster_run_not_found", "This clustering has no such run.")
    return run

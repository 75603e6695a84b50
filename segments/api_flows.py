"""Segments over time and beside each other, over REST: sizes, overlaps, and who went from one to another. Figures only."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import DomainError, NotFound
from cdp.rest.authentication import caller
from cdp.rest.models import Scope
from cdp.rest.queries import MomentField, Query
from cdp.rest.views import ApiView
from segments.api import in_time, visible_segment
from segments.flows import MOST, came_from, flow_among, overlap, went_on
from segments.history import MOST_STEPS, Pace, size_history
from segments.models import Segment
from segments.sharing import visible_segments

USUAL = {Pace.HOUR: timedelta(days=2), Pace.DAY: timedelta(days=30)}


class StepSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(help_text="When the hour or day began, in the workspace's time zone.")
    entered = serializers.IntegerField()
    exited = serializers.IntegerField()
    size = serializers.IntegerField(help_text="How many were in at its end.")


class HistorySerializer(serializers.Serializer[Any]):
    by = serializers.ChoiceField([pace.value for pace in Pace])
    steps = StepSerializer(many=True, help_text=f"Oldest first, without gaps; at most {MOST_STEPS}.")


class PeriodQuery(Query):
    since = MomentField(required=False)
    until = MomentField(required=False, help_text="The moment before which it ends; now, if left out.")


class HistoryQuery(PeriodQuery):
    since = MomentField(required=False, help_text="30 days, or 48 hours, before the end if left out.")
    by = serializers.ChoiceField([pace.value for pace in Pace], default=Pace.DAY.value)


class SegmentHistory(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"

    @extend_schema(
        operation_id="segments_history",
        summary="Follow a segment's size",
        parameters=[HistoryQuery],
        responses=HistorySerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        """How many entered and left in each hour or day, and the size at its end."""
        wanted = HistoryQuery.of(request)
        segment = visible_segment(request, key)
        pace = Pace(wanted["by"])
        now = timezone.now()
        until = min(wanted.get("until", now), now)
        since = wanted.get("since") or until - USUAL[pace]
        steps = size_history(segment, since=since, until=until, pace=pace)
        return Response(HistorySerializer({"by": pace.value, "steps": steps}).data)


class SegmentsField(serializers.ListField):
    """Keys of segments: the parameter comes once for each."""

    def __init__(self, **more: Any) -> None:
        more.setdefault("help_text", f"Key of a segment; two to {MOST} of them, each as a parameter of its own.")
        super().__init__(child=serializers.CharField(max_length=64), max_length=MOST, **more)


class OverlapQuery(Query):
    segment = SegmentsField()


class IntersectionSerializer(serializers.Serializer[Any]):
    segments = serializers.SerializerMethodField()
    count = serializers.IntegerField(help_text="In all of these, and in none of the others compared.")

    def get_segments(self, intersection: Any) -> list[str]:
        return [segment.key for segment in intersection.segments]


class OverlapSerializer(serializers.Serializer[Any]):
    segments = serializers.SerializerMethodField(help_text="Keys, in the order in which they were named.")
    people = serializers.IntegerField(help_text="In at least one of them.")
    shared = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()),
        help_text="How many are in both the i-th and the j-th; on the diagonal the sizes.",
    )
    intersections = IntersectionSerializer(many=True, help_text="The largest first; they add up to `people`.")

    def get_segments(self, found: Any) -> list[str]:
        return [segment.key for segment in found.segments]


class SegmentOverlap(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"

    @extend_schema(
        operation_id="segments_overlap",
        summary="Overlap segments",
        parameters=[OverlapQuery],
        responses=OverlapSerializer,
    )
    def get(self, request: Request) -> Response:
        """How many people two to eight live segments share now, pair by pair and in every combination."""
        wanted = OverlapQuery.of(request)["segment"]
        with in_time():
            return Response(OverlapSerializer(overlap(named(request, wanted))).data)


class NeighbourSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    people = serializers.IntegerField()


class MovedSerializer(serializers.Serializer[Any]):
    people = serializers.IntegerField(help_text="How many different people.")
    unlinked = serializers.IntegerField(help_text="How many of them went to, or came from, none of the segments named.")
    segments = NeighbourSerializer(many=True, help_text="Those that you may see; somebody may count in several.")


class SegmentFlowSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    left = MovedSerializer(help_text="Who left it, and which segments they entered then or later.")
    entered = MovedSerializer(help_text="Who entered it, and which segments they left then or before.")


class SegmentFlow(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"

    @extend_schema(
        operation_id="segments_flow_of_one",
        summary="Follow who left a segment, and who came",
        parameters=[PeriodQuery],
        responses=SegmentFlowSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        """Of those who left it in a period, which segments they entered; of those who entered, which they left. The last
        30 days if no period is named."""
        since, until = period(PeriodQuery.of(request))
        segment = visible_segment(request, key)
        others = [one for one in visible_segments(caller(request)).order_by("key") if one != segment]
        with in_time():
            left = went_on([segment], others, since=since, until=until)
            came = came_from([segment], others, since=since, until=until)
        found = {
            "since": since,
            "until": until,
            "left": _moved(left.moved[0], [(link.target, link.people) for link in left.links]),
            "entered": _moved(came.moved[0], [(link.source, link.people) for link in came.links]),
        }
        return Response(SegmentFlowSerializer(found).data)


class FlowQuery(PeriodQuery):
    segment = SegmentsField()


class LinkSerializer(serializers.Serializer[Any]):
    left = serializers.CharField(source="source.key")
    entered = serializers.CharField(source="target.key")
    people = serializers.IntegerField()


class LeftSerializer(serializers.Serializer[Any]):
    segment = serializers.CharField(source="segment.key")
    people = serializers.IntegerField(help_text="How many different people left it.")
    unlinked = serializers.IntegerField(help_text="How many of them entered none of the others.")


class FlowSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    left = LeftSerializer(many=True)
    links = LinkSerializer(many=True, help_text="The strongest first; none of them empty.")


class SegmentsFlow(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"

    @extend_schema(
        operation_id="segments_flow",
        summary="Follow people between segments",
        parameters=[FlowQuery],
        responses=FlowSerializer,
    )
    def get(self, request: Request) -> Response:
        """Of those who left each of two to eight segments in a period, how many entered which of the others. The last 30 days
        if no period is named."""
        wanted = FlowQuery.of(request)
        since, until = period(wanted)
        with in_time():
            found = flow_among(named(request, wanted["segment"]), since=since, until=until)
        return Response(
            FlowSerializer({"since": since, "until": until, "left": found.moved, "links": found.links}).data
        )


def period(wanted: dict[str, Any]) -> tuple[Any, Any]:
    """The beginning and the end that were asked for, or the last 30 days."""
    until = wanted.get("until") or timezone.now()
    return wanted.get("since") or until - USUAL[Pace.DAY], until


def named(request: Request, keys: list[str]) -> list[Segment]:
    """The segments of these keys, in their order.

    Raises:
        DomainError: one is named twice.
        NotFound: there is none of that key, or none for this caller.
    """
    if len(set(keys)) < len(keys):
        raise DomainError("segments_count", "Name each segment once.", "/segment")
    by_key = {segment.key: segment for segment in visible_segments(caller(request)).filter(key__in=keys)}
    if len(by_key) < len(keys):
        raise NotFound("segment_not_found", "There is no such segment.")
    return [by_key[key] for key in keys]


def _moved(moved: Any, neighbours: list[tuple[Segment, int]]) -> dict[str, Any]:
    return {
        "people": moved.people,
        "unlinked": moved.unlinked,
        "segments": [{"key": one.key, "name": one.name, "people": people} for one, people in neighbours],
    }

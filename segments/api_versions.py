"""Two versions of a segment side by side, over REST: what changed in the rule, and who would come and go."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Forbidden
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import demand_purpose
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error
from segments.api import demand_scope, in_time, rule_errors_located, visible_segment
from segments.api_previews import NAME_OF_PREVIEW, ticket_of
from segments.api_why import version_of
from segments.models import SegmentVersion
from segments.rules.compare import ChangeKind
from segments.serializers import RuleField
from segments.sharing import may
from segments.versions import Side, compare_versions

SAMPLE = 10


class PlaceSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="Where it stands in that version's rule.")
    sentence = serializers.CharField()


class RuleChangeSerializer(serializers.Serializer[Any]):
    """A condition or group that was added, removed or reworded."""

    kind = serializers.ChoiceField([kind.value for kind in ChangeKind])
    before = PlaceSerializer(allow_null=True)
    after = PlaceSerializer(allow_null=True)
    sentence = serializers.CharField()


class SideSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    sample = serializers.SerializerMethodField(
        help_text="UUIDs of at most ten of them who permit the purpose; null when none was named."
    )

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField(), allow_null=True))
    def get_sample(self, side: Side) -> list[str] | None:
        return [str(person.uuid) for person in side.sample] if self.context["with_sample"] else None


class PeopleChangeSerializer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField(help_text="The moment both rules were asked about.")
    entering = SideSerializer(help_text="Only the second rule is true of them.")
    leaving = SideSerializer(help_text="Only the first rule is true of them.")
    staying = SideSerializer(help_text="Both rules are true of them.")


class RuleErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField(source="message")
    pointer = serializers.CharField()


class VersionDifferenceSerializer(serializers.Serializer[Any]):
    before = serializers.IntegerField(source="before.number")
    after = serializers.IntegerField(source="after.number")
    changes = RuleChangeSerializer(many=True, help_text="Empty when both say the same.")
    people = PeopleChangeSerializer(allow_null=True, help_text="Null when one of the rules can't be run any more.")
    before_errors = RuleErrorSerializer(many=True, help_text="Why the first rule can't be run.")
    after_errors = RuleErrorSerializer(many=True, help_text="Why the second rule can't be run.")


class DifferenceQuery(Query):
    purpose = serializers.CharField(
        required=False,
        max_length=64,
        help_text="Also give samples, of people who permit this purpose. Needs the scope `members:read`.",
    )
    preview = serializers.UUIDField(required=False, help_text=NAME_OF_PREVIEW)


class WordingSerializer(serializers.ModelSerializer[SegmentVersion]):
    """One wording of a rule; in English it is told of the segment."""

    rule = RuleField(read_only=True)

    class Meta:
        model = SegmentVersion
        fields = ("number", "rule", "created_at")
        read_only_fields = fields


class SegmentVersions(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"
    pagination_class = KeysetPagination
    keyset = ("number",)
    keyset_descends = True

    @extend_schema(
        operation_id="segments_versions",
        summary="List the versions of a segment",
        responses=WordingSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        """Every wording of the rule, newest first; none of them ever changes."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(
            SegmentVersion.objects.filter(segment=visible_segment(request, key)), request, self
        )
        return pages.get_paginated_response(WordingSerializer(rows, many=True).data)


class VersionDifferenceView(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"

    @extend_schema(
        operation_id="segments_versions_diff",
        summary="Compare two versions",
        parameters=[DifferenceQuery],
        responses=VersionDifferenceSerializer,
    )
    def get(self, request: Request, key: str, before: int, after: int) -> Response:
        """What the version `after` changes against `before`: conditions added, removed and reworded, and exactly how many
        people would enter, leave and stay."""
        query = DifferenceQuery.of(request)
        wanted = query.get("purpose")
        segment = visible_segment(request, key)
        if wanted is not None:
            demand_scope(request, Scope.MEMBERS_READ)
            if not may(caller(request), "view_members", segment):
                raise Forbidden("permission_missing", "You may see this segment, but lack segments.view_members on it.")
        purpose = purpose_or_error(wanted if wanted is not None else INTERNAL_ANALYSIS)
        demand_purpose(request, purpose.key)
        first, second = version_of(segment, before), version_of(segment, after)
        with rule_errors_located(), in_time():
            found = compare_versions(
                before=first,
                after=second,
                purpose=purpose,
                by=actor_of(request),
                sample_size=SAMPLE if wanted is not None else 0,
                ticket=ticket_of(request, query.get("preview")),
            )
        return Response(VersionDifferenceSerializer(found, context={"with_sample": wanted is not None}).data)

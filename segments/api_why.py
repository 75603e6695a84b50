"""Why one person is in a segment's rule, or isn't, over REST: what needs both the segment and the person to be open."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.database import snapshot
from cdp.errors import Conflict, NotFound
from cdp.profiles.models import Profile
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.permissions import demand_purpose, may_reveal, sees_unmasked
from cdp.rest.queries import MomentField, Query
from cdp.rest.views import ApiView
from consent.querysets import INTERNAL_ANALYSIS, permitted, purpose_or_error
from segments.api import demand_scope, in_time, rule_errors_located, visible_segment
from segments.api_people import UNKNOWN, find
from segments.models import Segment, SegmentVersion
from segments.rules.explain import Explained
from segments.rules.findings import Finding, HintKind
from segments.why import WHY_SECONDS, why


class EvidenceSerializer(serializers.Serializer[Any]):
    """An event that counts; `occurred_at` and `id` together are its key."""

    occurred_at = serializers.DateTimeField()
    id = serializers.IntegerField()
    message_id = serializers.CharField()
    value = serializers.DecimalField(19, 4, allow_null=True, help_text="In the reporting currency.")


class HintSerializer(serializers.Serializer[Any]):
    """What would give the condition the verdict that the rule wants of it."""

    kind = serializers.ChoiceField([kind.value for kind in HintKind])
    amount = serializers.DecimalField(19, 4, allow_null=True, help_text="How many events, or how much value.")
    sentence = serializers.CharField()


class FindingSerializer(serializers.Serializer[Any]):
    """What was found of the person, beside what the condition wants."""

    said = serializers.CharField(help_text="The actual value beside the wanted one, in English.")
    actual = serializers.SerializerMethodField(
        help_text="A count as a number, a sum as a decimal in text, a trait's value, or whether they are in the segment."
    )
    wanted = serializers.CharField(help_text="What the condition wants, in English.")
    is_hidden = serializers.BooleanField(help_text="Whether the value is personal data that is hidden from you.")
    event_count = serializers.IntegerField(help_text="How many events count.")
    events = EvidenceSerializer(many=True, help_text="The newest of them, newest first; at most 20.")
    hint = HintSerializer(allow_null=True, help_text="Null where nothing needs to change, or nothing simple would do.")
    turns_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When time alone will change the verdict, if nothing else happens; null when it will not.",
    )
    looked_until = serializers.DateTimeField(
        allow_null=True, help_text="Where it was not looked for any further: the verdict stays until this moment."
    )

    @extend_schema_field(OpenApiTypes.ANY)
    def get_actual(self, finding: Finding) -> Any:
        if isinstance(finding.actual, Decimal):
            return int(finding.actual) if finding.is_count else f"{finding.actual:.4f}"
        return finding.actual


class ExplainedSerializer(serializers.Serializer[Any]):
    """A group or condition of the rule with its verdict."""

    pointer = serializers.CharField(help_text="Where it stands in the rule.")
    form = serializers.CharField(
        help_text="Its key in the rule: all, any, not, trait, performed, sequence, in_segment, score, bucket, consented, in_list"
        " or everyone."
    )
    holds = serializers.BooleanField(
        source="told",
        allow_null=True,
        help_text="Whether it is true of the person; null where that hangs on a segment that is hidden from you.",
    )
    wanted = serializers.BooleanField(help_text="Which verdict serves the rule: false below a negation.")
    sentence = serializers.CharField()
    finding = FindingSerializer(allow_null=True, help_text="Of conditions; null for groups.")
    conditions = serializers.SerializerMethodField(help_text="Of groups: what stands in them.")

    @extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/Explained"}})
    def get_conditions(self, node: Explained) -> Any:
        return ExplainedSerializer(node.conditions, many=True).data


class WhySerializer(serializers.Serializer[Any]):
    profile = serializers.UUIDField(source="profile.uuid")
    segment = serializers.CharField(source="version.segment.key")
    version = serializers.IntegerField(source="version.number", help_text="The version whose rule is told of.")
    as_of = serializers.DateTimeField(help_text="The moment it was judged at.")
    holds = serializers.BooleanField(source="tree.holds", help_text="Whether the rule is true of the person.")
    is_member = serializers.BooleanField(help_text="Whether they are in the segment now, by its live version.")
    entered_at = serializers.DateTimeField(allow_null=True)
    is_masked = serializers.BooleanField(help_text="Whether personal data is hidden from you.")
    tree = ExplainedSerializer()


class WhyQuery(Query):
    as_of = MomentField(required=False, help_text="A past moment; only for rules on nothing but events.")
    version = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="The live one, or else the newest, if left out."
    )
    purpose = serializers.CharField(max_length=64, default=INTERNAL_ANALYSIS, help_text="What the person is read for.")


class SegmentWhy(ApiView):
    required_scope = Scope.PROFILES_READ
    required_permission = "profiles.view_profile"

    @extend_schema(
        operation_id="segments_why",
        summary="Say why somebody is in, or isn't",
        parameters=[
            OpenApiParameter(
                "identifier", str, OpenApiParameter.PATH, description="`namespace:value`, as in looking a person up."
            ),
            WhyQuery,
        ],
        responses=WhySerializer,
    )
    def get(self, request: Request, key: str, identifier: str) -> Response:
        """The rule as a tree with the verdict on one person: what was found beside what is wanted, the events that count,
        and what would change it. Needs the scope `segments:read` too."""
        demand_scope(request, Scope.SEGMENTS_READ)
        wanted = WhyQuery.of(request)
        segment = visible_segment(request, key)
        purpose = purpose_or_error(wanted["purpose"], with_rights=may_reveal(request))
        demand_purpose(request, purpose.key)
        version = version_of(segment, wanted.get("version"))
        with rule_errors_located(), in_time(), snapshot(seconds=WHY_SECONDS):
            _, profile = find(identifier)
            if not permitted(Profile.objects.filter(pk=profile.pk), purpose).exists():
                raise UNKNOWN
            told = why(
                profile=profile,
                version=version,
                purpose=purpose,
                by=actor_of(request),
                reader=caller(request),
                as_of=wanted.get("as_of"),
                is_masked=not sees_unmasked(request),
            )
        return Response(WhySerializer(told).data)


def version_of(segment: Segment, number: int | None) -> SegmentVersion:
    """The version of this number; without one the live one, or else the newest.

    Raises:
        NotFound: there is none of this number.
        Conflict: the segment has no version at all.
    """
    if number is not None:
        version = segment.versions.select_related("segment").filter(number=number).first()
        if version is None:
            raise NotFound("version_not_found", "This segment has no version of that number.")
        return version
    version = segment.live_version or segment.versions.select_related("segment").first()
    if version is None:
        raise Conflict("no_version", f"“{segment.name}” has no rule yet.")
    return version

"""How segments, rules and people look over REST. What they mean is decided where they live."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cdp.jobs.api import JobSerializer
from segments.catalogue import catalog_for
from segments.models import Cadence, Membership, Segment, SegmentStatus, SegmentVersion
from segments.rules import RuleErrors, depends_on, describe, json_schema, parse

RULE_COMPONENT = "#/components/schemas/Rule"
EXAMPLE_RULE = {
    "version": 1,
    "all": [
        {"trait": "country", "op": "any_of", "value": ["CH", "AT"]},
        {"performed": "Order Completed", "op": "gte", "value": 2, "within": {"days": 90}},
    ],
}


@extend_schema_field({"$ref": RULE_COMPONENT})
class RuleField(serializers.JSONField):
    """A rule's JSON document; it is checked by the rule language itself."""


def add_rule_schema(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Puts the rule's JSON Schema into the description of the API. A hook of drf-spectacular."""
    schema = json_schema()
    # Inside the API's document there is neither a document of its own nor an id: references start from its root.
    for name in ("$schema", "$id"):
        schema.pop(name)
    result["components"]["schemas"]["Rule"] = {
        **_rooted(schema),
        "description": "A rule's JSON document. Its schema alone is at /api/v1/rules/schema/.",
        "examples": [EXAMPLE_RULE],
    }
    return result


def _rooted(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {k: v.replace("#/", f"{RULE_COMPONENT}/", 1) if k == "$ref" else _rooted(v) for k, v in schema.items()}
    return [_rooted(one) for one in schema] if isinstance(schema, list | tuple) else schema


def sentence(version: SegmentVersion) -> str | None:
    """The rule in English; None when this version can no longer be read."""
    try:
        rule = parse(version.rule)
    except RuleErrors:
        return None
    return describe(rule, catalog_for([depends_on(rule)]))


class VersionSerializer(serializers.ModelSerializer[SegmentVersion]):
    rule = RuleField(read_only=True)
    sentence = serializers.SerializerMethodField(help_text="The rule in English; null when it can no longer be read.")

    class Meta:
        model = SegmentVersion
        fields = ("number", "rule", "sentence", "created_at")
        read_only_fields = fields

    def get_sentence(self, version: SegmentVersion) -> str | None:
        return sentence(version)


class SegmentSerializer(serializers.ModelSerializer[Segment]):
    """A named audience."""

    broken_reason = serializers.CharField(
        help_text="Why its rule can't be evaluated; members stay as they were. Empty when all is well."
    )

    owner: serializers.SlugRelatedField[User] = serializers.SlugRelatedField(
        "username", read_only=True, allow_null=True, help_text="Who answers for it."
    )
    purposes = serializers.SerializerMethodField(help_text="Keys of the purposes that it is meant for.")
    status = serializers.ChoiceField(
        SegmentStatus.choices, help_text="Of a paused one the members stay as they were when it was paused."
    )
    status_since = serializers.DateTimeField(help_text="When it was set live, paused or put away.")

    class Meta:
        model = Segment
        fields: tuple[str, ...] = (
            "key", "uuid", "name", "description", "tags", "folder", "owner", "purposes", "status", "status_since",
            "member_count", "last_refreshed_at", "cadence", "refresh_minutes", "daily_hour", "is_public", "broken_reason", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_purposes(self, segment: Segment) -> list[str]:
        return sorted(one.key for one in segment.purposes.all())


class SegmentDetailSerializer(SegmentSerializer):
    live_version = VersionSerializer(allow_null=True, help_text="The version that decides who belongs.")
    newest_version = serializers.SerializerMethodField(help_text="The newest wording, live or not yet.")

    class Meta(SegmentSerializer.Meta):
        fields: tuple[str, ...] = (*SegmentSerializer.Meta.fields, "live_version", "newest_version")
        read_only_fields = fields

    @extend_schema_field(VersionSerializer(allow_null=True))
    def get_newest_version(self, segment: Segment) -> dict[str, Any] | None:
        newest = segment.versions.first()
        return VersionSerializer(newest).data if newest else None


class SegmentWithJobSerializer(SegmentDetailSerializer):
    refresh_job = JobSerializer(allow_null=True, help_text="Brings the members in line when a version went live.")

    class Meta(SegmentDetailSerializer.Meta):
        fields = (*SegmentDetailSerializer.Meta.fields, "refresh_job")
        read_only_fields = fields


class TagsField(serializers.ListField):
    """What a segment is tagged with; what a tag may be is decided in `segments.details`."""

    child = serializers.CharField(max_length=200)
    max_length = 100


class NewSegment(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150)
    rule = RuleField()
    key = serializers.CharField(
        max_length=64, required=False, help_text="Made from the name when left out. Can't change."
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    cadence = serializers.ChoiceField(Cadence.choices, required=False, default=Cadence.MINUTES)
    refresh_minutes = serializers.IntegerField(required=False, min_value=1, max_value=10_080, default=15)
    daily_hour = serializers.IntegerField(required=False, min_value=0, max_value=23, default=5)
    tags = TagsField(required=False)
    folder = serializers.CharField(required=False, allow_blank=True, max_length=100)
    purposes = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=100, help_text="Keys of purposes."
    )
    publish = serializers.BooleanField(default=False, help_text="Set it live at once instead of keeping a draft.")


class SegmentChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150, required=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    cadence = serializers.ChoiceField(Cadence.choices, required=False)
    refresh_minutes = serializers.IntegerField(required=False, min_value=1, max_value=10_080)
    daily_hour = serializers.IntegerField(required=False, min_value=0, max_value=23)
    tags = TagsField(required=False)
    folder = serializers.CharField(required=False, allow_blank=True, max_length=100)
    purposes = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=100, help_text="Keys of purposes."
    )
    is_public = serializers.BooleanField(
        required=False, help_text="Whether browsers may ask if their own visitor is in it."
    )
    owner = serializers.CharField(
        required=False, max_length=150, help_text="Username of somebody who may see the segment."
    )
    rule = RuleField(required=False)
    base_version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="The number of the newest version that you have seen. With it, `rule` and `publish` are refused with 409 and the"
        " code `saved_meanwhile` if somebody has saved another rule since; without it, whichever is the newest is followed.",
    )
    publish = serializers.BooleanField(default=False, help_text="Set the newest version live.")


class OutlookSerializer(serializers.Serializer[Any]):
    """Whether somebody belongs to a segment, and until when if nothing happens."""

    profile = serializers.UUIDField(help_text="Look it up as uuid:…")
    as_of = serializers.DateTimeField(help_text="The moment all of this was worked out for.")
    is_member = serializers.BooleanField(help_text="Whether the rule is true of them at that moment.")
    entered_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when they are a member; null when they aren't listed as one."
    )
    changes_at = serializers.DateTimeField(
        allow_null=True, help_text="When that would change if nothing happened; null when it would not."
    )
    leaves_at = serializers.DateTimeField(allow_null=True, help_text="The same, for who is a member; else null.")
    looked_until = serializers.DateTimeField(
        allow_null=True, help_text="Where it was not looked for any further: nothing changes before this moment."
    )


class MemberSerializer(serializers.ModelSerializer[Membership]):
    profile = serializers.UUIDField(source="profile.uuid", help_text="Look it up as uuid:…")

    class Meta:
        model = Membership
        fields = ("profile", "entered_at")
        read_only_fields = fields

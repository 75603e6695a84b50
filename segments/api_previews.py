"""What a rule would give, over REST: at once and about, or exactly; and cancelling what is being counted."""

from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Forbidden
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import ApiKey, Scope
from cdp.rest.permissions import demand_purpose
from cdp.rest.views import ApiView
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error
from segments.api import in_time, rule_errors_located
from segments.previews import Accuracy, Preview, preview, record_preview
from segments.running import Ticket, cancel
from segments.serializers import RuleField
from segments.sharing import load_for

NAME_OF_PREVIEW = "An id of your own choice. A newer request with the same one ends this one: it answers 409 with the code superseded."


class PreviewRequest(serializers.Serializer[Any]):
    rule = RuleField()
    accuracy = serializers.ChoiceField(
        [one.value for one in Accuracy],
        default=Accuracy.EXACT.value,
        help_text="`sample`: at once, an estimate from some thousand people. `exact`: everybody is counted.",
    )
    purpose = serializers.CharField(
        required=False,
        max_length=64,
        help_text="Also give a sample, of people who permit this purpose. Needs the scope `members:read`; exact counts only.",
    )
    counts = serializers.BooleanField(default=False, help_text="Also count each group and condition by itself.")
    preview = serializers.UUIDField(required=False, help_text=NAME_OF_PREVIEW)


class IntervalSerializer(serializers.Serializer[Any]):
    low = serializers.IntegerField()
    high = serializers.IntegerField()


class PartSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="Which group or condition, in the rule; empty for the whole.")
    count = serializers.IntegerField(
        allow_null=True, help_text="Of how many people it is true, whatever stands around it."
    )
    interval = IntervalSerializer(allow_null=True, help_text="Of an estimate: see above.")


class PreviewSerializer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField(help_text="The moment the rule was asked about.")
    count = serializers.IntegerField(
        allow_null=True,
        help_text="How many people it is true of; of an estimate about how many, or null: nobody in the sample, so at most"
        " `interval.high`.",
    )
    total = serializers.IntegerField(source="of", help_text="How many people there are.")
    share = serializers.FloatField(allow_null=True, help_text="count / total.")
    sentence = serializers.CharField()
    sample = serializers.SerializerMethodField(
        help_text="UUIDs of at most ten of them; null when no purpose was named."
    )
    parts = PartSerializer(
        many=True, allow_null=True, help_text="Each group and condition, in the rule's order; null without `counts`."
    )

    accuracy = serializers.ChoiceField(
        [one.value for one in Accuracy],
        help_text="What the answer is. `exact` also where an estimate was asked for and there are so few people that all were counted.",
    )
    interval = IntervalSerializer(
        allow_null=True, help_text="Of an estimate: between these two is the exact count, 19 times in 20. Else null."
    )
    sampled = serializers.IntegerField(
        allow_null=True, help_text="Of how many people an estimate was made. Null when all were counted."
    )

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField(), allow_null=True))
    def get_sample(self, preview: Preview) -> list[str] | None:
        return [str(person.uuid) for person in preview.sample] if self.context["with_sample"] else None


class SegmentPreview(ApiView):
    changes_nothing = True
    # Whoever may count people by any rule learns much of them; so it takes the right to write.
    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.add_segment"

    @extend_schema(
        operation_id="segments_preview", summary="Preview a rule", request=PreviewRequest, responses=PreviewSerializer
    )
    def post(self, request: Request) -> Response:
        """What a rule would give now: about, at once, or an exact count, its share of everybody, and the rule in English; with
        `counts` also how many each group and condition takes in by itself."""
        given = PreviewRequest(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        rule, purpose_key, accuracy = wanted["rule"], wanted.get("purpose"), Accuracy(wanted["accuracy"])
        shows_people = purpose_key is not None and accuracy == Accuracy.EXACT
        if purpose_key is not None and not _may_read_members(request):
            raise Forbidden(
                "scope_missing", "A sample of people needs the scope members:read; leave out purpose to count."
            )
        purpose = purpose_or_error(purpose_key if purpose_key is not None else INTERNAL_ANALYSIS)
        demand_purpose(request, purpose.key)
        with rule_errors_located(), in_time():
            load_for(caller(request), rule)
            found = preview(
                rule=rule,
                purpose=purpose,
                sample_size=10 if shows_people else 0,
                with_parts=wanted["counts"],
                accuracy=accuracy,
                ticket=ticket_of(request, wanted.get("preview")),
            )
        with transaction.atomic():
            record_preview(found, rule=rule, purpose=purpose, by=actor_of(request))
        return Response(PreviewSerializer(found, context={"with_sample": shows_people}).data)


class SegmentPreviewCancel(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"

    @extend_schema(
        operation_id="segments_preview_cancel", summary="Cancel a preview", request=None, responses={204: None}
    )
    def delete(self, request: Request, token: UUID) -> Response:
        """Stop counting for this `preview` of yours, or comparing versions for it. Nothing to stop is no error."""
        cancel(Ticket(caller=caller(request).pk, token=token))
        return Response(status=status.HTTP_204_NO_CONTENT)


def ticket_of(request: Request, token: UUID | None) -> Ticket | None:
    """By which a newer request of the same caller takes the place of this one."""
    return None if token is None else Ticket(caller=caller(request).pk, token=token)


def _may_read_members(request: Request) -> bool:
    if isinstance(request.auth, ApiKey):
        return Scope.MEMBERS_READ in request.auth.scopes
    return caller(request).has_perm("segments.view_members")

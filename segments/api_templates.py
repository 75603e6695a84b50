"""Ready rules over REST: what there is to begin with, and what this workspace lacks for it."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.rest.authentication import caller
from cdp.rest.models import Scope
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.api_versions import RuleErrorSerializer
from segments.rules import Catalog
from segments.serializers import RuleField
from segments.sharing import templates_for
from segments.templates import TEMPLATES, Offer, offer


class TemplateSerializer(serializers.Serializer[Offer]):
    """A rule that marketers ask for often, to begin with and to change."""

    key = serializers.CharField(source="template.key")
    name = serializers.CharField(source="template.name")
    purpose = serializers.CharField(source="template.purpose", help_text="What it is for.")
    rule = RuleField(source="template.document", help_text="Fit for a new segment, as it is or changed.")
    sentence = serializers.CharField(help_text="The rule in English.")
    is_usable = serializers.BooleanField()
    reasons = RuleErrorSerializer(
        many=True, help_text="Why it can't be used yet: what this workspace has never seen, or a right you lack."
    )


class TemplatesSerializer(serializers.Serializer[Any]):
    templates = TemplateSerializer(many=True)


def _example() -> dict[str, Any]:
    """One of them as a workspace sees it that has never seen an order."""
    one = offer(next(one for one in TEMPLATES if one.key == "recent_buyer"), Catalog())
    return {"templates": [TemplateSerializer(one).data]}


class SegmentTemplates(ApiView):
    required_scope = Scope.SEGMENTS_READ
    required_permission = "segments.view_segment"

    @extend_schema(
        operation_id="segments_templates",
        summary="List ready rules",
        responses=TemplatesSerializer,
        examples=[OpenApiExample("Not usable yet", value=_example(), response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Rules for the segments that are asked for most. Each comes with its sentence, and says whether you can use it now."""
        Query.of(request)
        return Response(TemplatesSerializer({"templates": templates_for(caller(request))}).data)

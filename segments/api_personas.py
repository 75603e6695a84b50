"""Personas over REST: who they are, what their newest portraits say, and having them drawn anew."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import NotFound
from cdp.jobs.api import JobSerializer
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.personas.models import Persona, PersonaPortrait
from segments.personas.services import request_portraits
from segments.sharing import visible_segments


class PersonaSerializer(serializers.ModelSerializer[Persona]):
    """A group of people with a name. Rules ask for it as `persona.persona`."""

    segment = serializers.SerializerMethodField(
        help_text="Key of the segment it is made from, if it is, and you may see it."
    )

    class Meta:
        model = Persona
        fields: tuple[str, ...] = (
            "key", "name", "description", "source", "source_name", "segment", "position", "is_active", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_segment(self, persona: Persona) -> str | None:
        seen: dict[int, str] = self.context["segments"]
        return seen.get(persona.segment_id or 0)


class PortraitSerializer(serializers.ModelSerializer[PersonaPortrait]):
    """What a persona is like. Nothing in it stands for fewer than five people."""

    people = serializers.IntegerField(allow_null=True, help_text="Null if they are fewer than five.")
    figures = serializers.JSONField()
    attributes = serializers.JSONField(help_text="What most tells it apart, and what most goes with buying.")
    factors = serializers.JSONField(help_text="Dominant traits with their explained variance.")
    sentences = serializers.ListField(child=serializers.JSONField(), help_text="Each with the figures it is made of.")

    class Meta:
        model = PersonaPortrait
        fields = ("as_of", "drawn_at", "people", "figures", "attributes", "factors", "sentences")
        read_only_fields = fields


class PersonaDetailSerializer(PersonaSerializer):
    portrait = PortraitSerializer(allow_null=True, default=None, help_text="Null until it is drawn.")

    class Meta(PersonaSerializer.Meta):
        fields = (*PersonaSerializer.Meta.fields, "portrait")
        read_only_fields = fields


class Personas(ApiView):
    required_scope = Scope.ANALYSES_READ
    required_permission = "segments.view_persona"
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(operation_id="personas_list", summary="List personas", responses=PersonaSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The personas there are, in the order of their keys; `position` is the one in which a person gets theirs."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(Persona.objects.all(), request, self)
        serializer = PersonaSerializer(rows, many=True, context=_context(request, rows))
        return pages.get_paginated_response(serializer.data)


class PersonaDetail(ApiView):
    is_versioned = True
    required_scope = Scope.ANALYSES_READ
    required_permission = "segments.view_persona"

    @extend_schema(operation_id="personas_detail", summary="Read a persona", responses=PersonaDetailSerializer)
    def get(self, request: Request, key: str) -> Response:
        """A persona with its newest portrait: figures, what tells it apart, and the story in sentences."""
        persona = _personas().filter(key=key).first()
        if persona is None:
            raise NotFound("persona_not_found", "There is no such persona.")
        return Response(PersonaDetailSerializer(persona, context=_context(request, [persona])).data)


class PersonaPortraits(ApiView):
    required_scope = Scope.ANALYSES_WRITE
    required_permission = "segments.change_persona"

    @extend_schema(
        operation_id="personas_draw", summary="Draw all portraits anew", request=None, responses={202: JobSerializer}
    )
    def post(self, request: Request) -> Response:
        """Ask for new portraits. While they are being drawn, that job is the answer."""
        job = request_portraits(by=actor_of(request), user=caller(request))
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


def _personas() -> QuerySet[Persona]:
    return Persona.objects.select_related("portrait")


def _context(request: Request, personas: list[Persona]) -> dict[str, Any]:
    named = [one.segment_id for one in personas if one.segment_id]
    seen = visible_segments(caller(request)).filter(pk__in=named)
    return {"segments": dict(seen.values_list("pk", "key"))}

"""Privacy requests over REST: entering them, following them target by target, and having a failed target tried again.

Files with people's data aren't given out here: whoever hands one over does so on a screen, by name.
"""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.services import record
from cdp.errors import DomainError, NotFound
from cdp.privacy.models import (
    CameBy,
    IdentityMethod,
    ObjectsTo,
    PrivacyRequest,
    PrivacyTarget,
    RequestKind,
    RequestState,
)
from cdp.privacy.services import confirm_identity, open_request, retry_target
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import MomentField, Query
from cdp.rest.views import ApiView
from consent.querysets import PRIVACY_RIGHTS, purpose_or_error
from segments.api_people import find

VIEW, ADD, CHANGE = (f"privacy.{verb}_privacyrequest" for verb in ("view", "add", "change"))


class PrivacyTargetSerializer(serializers.ModelSerializer[PrivacyTarget]):
    """One place that the request has to reach."""

    counts = serializers.JSONField(help_text="What came of it, in figures.")

    class Meta:
        model = PrivacyTarget
        fields = ("position", "key", "label", "is_outside", "state", "attempts", "error_code", "counts", "changed_at")
        read_only_fields = fields


class PrivacyRequestSerializer(serializers.ModelSerializer[PrivacyRequest]):
    """What one person asked for about their own data."""

    number = serializers.CharField(help_text="How people speak of it.")
    profile = serializers.UUIDField(
        source="profile_uuid", allow_null=True, help_text="Who asks; null until it is known."
    )
    purpose = serializers.CharField(
        source="purpose.key", allow_null=True, default=None, help_text="Of an objection to one."
    )
    due_on = serializers.DateField(help_text="The last day on which it is answered in time.")
    was_due_on = serializers.DateField(allow_null=True, help_text="Before it was extended.")
    objects_to = serializers.ChoiceField(
        ObjectsTo.choices, allow_blank=True, read_only=True, help_text="Of an objection; else empty."
    )
    identity_method = serializers.ChoiceField(
        IdentityMethod.choices, allow_blank=True, read_only=True, help_text="Empty until they showed who they are."
    )

    class Meta:
        model = PrivacyRequest
        fields: tuple[str, ...] = (
            "uuid", "number", "kind", "state", "profile", "came_by", "country", "region", "law", "received_at", "due_on",
            "was_due_on", "objects_to", "purpose", "identity_method", "identity_at", "refusal_reason", "closed_at",
        )  # fmt: skip
        read_only_fields = fields


class PrivacyRequestDetailSerializer(PrivacyRequestSerializer):
    targets = PrivacyTargetSerializer(many=True)

    class Meta(PrivacyRequestSerializer.Meta):
        fields = (*PrivacyRequestSerializer.Meta.fields, "targets")
        read_only_fields = fields


class NewPrivacyRequest(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(RequestKind.choices)
    who = serializers.CharField(
        required=False,
        max_length=600,
        help_text="`namespace:value`: user_id, email, anonymous_id, an external id's type, or uuid. Leave it out if nobody knows yet.",
    )
    received_at = MomentField(required=False, help_text="When it came; now, if left out.")
    country = serializers.CharField(
        required=False, max_length=2, help_text="ISO 3166-1, as DE. Else the strictest law counts."
    )
    region = serializers.CharField(required=False, max_length=6, help_text="ISO 3166-2, as US-CA.")
    objects_to = serializers.ChoiceField(ObjectsTo.choices, required=False, help_text="Of an objection.")
    purpose = serializers.CharField(required=False, max_length=64, help_text="Of an objection to one purpose.")
    corrections = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        required=False,
        help_text="Of a rectification: trait -> what it should be.",
    )
    wrong_identifiers = serializers.ListField(
        child=serializers.CharField(max_length=600),
        required=False,
        help_text="Of a rectification: what they are known by and isn't theirs, as `namespace:value` each.",
    )
    identity_method = serializers.ChoiceField(
        IdentityMethod.choices,
        required=False,
        help_text="How they showed to your system who they are. With it the work begins at once; an erasure can't be undone.",
    )


class PrivacyRequestQuery(Query):
    state = serializers.ChoiceField(RequestState.choices, required=False)
    kind = serializers.ChoiceField(RequestKind.choices, required=False)
    overdue = serializers.BooleanField(required=False, default=False, help_text="Only those past their last day.")


ENTERED = OpenApiExample(
    "Somebody who is logged in wishes to be erased",
    value={"kind": "erasure", "who": "user_id:42", "country": "DE", "identity_method": "logged_in"},
    request_only=True,
)
OBJECTED = OpenApiExample(
    "Somebody in California objects to being profiled",
    value={
        "kind": "objection",
        "objects_to": "profiling",
        "who": "email:ann@example.com",
        "country": "US",
        "region": "US-CA",
    },
    request_only=True,
)


class PrivacyRequests(ApiView):
    required_scope = {"GET": Scope.PRIVACY_READ, "POST": Scope.PRIVACY_WRITE}
    required_permission = {"GET": VIEW, "POST": ADD}
    pagination_class = KeysetPagination
    keyset = ("due_on", "id")

    @extend_schema(
        operation_id="privacy_requests_list",
        summary="List privacy requests",
        parameters=[PrivacyRequestQuery],
        responses=PrivacyRequestSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The requests there are, those that are due first. That they were listed is on record."""
        wanted = PrivacyRequestQuery.of(request)
        found = PrivacyRequest.objects.select_related("purpose")
        found = found.filter(**{name: wanted[name] for name in ("state", "kind") if name in wanted})
        if wanted["overdue"]:
            found = found.filter(closed_at__isnull=True, due_on__lt=timezone.localdate())
        pages = KeysetPagination()
        rows = pages.paginate_queryset(found, request, self)
        with transaction.atomic():
            detail = {"count": len(rows)}
            record(by=actor_of(request), action="privacy.listed", purpose=PRIVACY_RIGHTS, detail=detail)
        return pages.get_paginated_response(PrivacyRequestSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="privacy_requests_create",
        summary="Enter a privacy request",
        request=NewPrivacyRequest,
        responses={201: PrivacyRequestDetailSerializer},
        examples=[ENTERED, OBJECTED],
    )
    @transaction.atomic
    def post(self, request: Request) -> Response:
        """Enter what somebody asked for. Its last day follows from the law of where they are."""
        asked = NewPrivacyRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        profile = find(given["who"])[1] if "who" in given else None
        made = open_request(
            kind=RequestKind(given["kind"]),
            came_by=CameBy.API,
            profile=profile,
            received_at=given.get("received_at"),
            country=given.get("country", ""),
            region=given.get("region", ""),
            objects_to=ObjectsTo(given["objects_to"]) if "objects_to" in given else None,
            purpose=purpose_or_error(given["purpose"]) if "purpose" in given else None,
            corrections=given.get("corrections"),
            wrong_identifiers=given.get("wrong_identifiers", ()),
            by=actor_of(request),
        )
        if "identity_method" in given:
            if profile is None:
                raise DomainError("person_unknown", "Say who has shown who they are.", "/who")
            confirm_identity(request=made, method=IdentityMethod(given["identity_method"]), by=actor_of(request))
            made.refresh_from_db()
        return Response(PrivacyRequestDetailSerializer(made).data, status=status.HTTP_201_CREATED)


class PrivacyRequestDetail(ApiView):
    required_scope = Scope.PRIVACY_READ
    required_permission = VIEW

    @extend_schema(
        operation_id="privacy_requests_detail",
        summary="Follow a privacy request",
        responses=PrivacyRequestDetailSerializer,
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """How far a request is, with each of its targets. That it was read is on record."""
        found = _found(uuid)
        with transaction.atomic():
            detail = {"profile": str(found.profile_uuid)} if found.profile_uuid else {}
            record(by=actor_of(request), action="privacy.viewed", object=found, purpose=PRIVACY_RIGHTS, detail=detail)
        return Response(PrivacyRequestDetailSerializer(found).data)


class PrivacyRequestTargets(ApiView):
    required_scope = Scope.PRIVACY_READ
    required_permission = VIEW

    @extend_schema(
        operation_id="privacy_requests_targets",
        summary="List the targets of a privacy request",
        responses=PrivacyTargetSerializer(many=True),
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """What the request has to reach, in the order in which it is done; none before identity is shown."""
        return Response(PrivacyTargetSerializer(_found(uuid).targets.all(), many=True).data)


class PrivacyTargetRetry(ApiView):
    required_scope = Scope.PRIVACY_WRITE
    required_permission = CHANGE

    @extend_schema(
        operation_id="privacy_requests_retry",
        summary="Try a failed target again",
        request=None,
        responses={202: PrivacyTargetSerializer},
    )
    def post(self, request: Request, uuid: UUID, position: int) -> Response:
        """Have this one target tried again, and none that is done. One that didn't fail answers 409."""
        target = _found(uuid).targets.filter(position=position).first()
        if target is None:
            raise NotFound("target_not_found", "The request has no such target.")
        retry_target(target=target, by=actor_of(request))
        target.refresh_from_db()
        return Response(PrivacyTargetSerializer(target).data, status=status.HTTP_202_ACCEPTED)


def _found(uuid: UUID) -> PrivacyRequest:
    """
    Raises:
        NotFound: there is no such request.
    """
    found = PrivacyRequest.objects.select_related("purpose").filter(uuid=uuid).first()
    if found is None:
        raise NotFound("request_not_found", "There is no such privacy request.")
    return found

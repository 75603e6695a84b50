"""Adding people to a segment and removing them by hand over REST, by the identifiers that they have, many at once.

What that means is in `segments.by_hand`. Who is a member by it is read as members are, in `segments.api_members`.
"""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Forbidden
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import ApiKey, Scope
from cdp.rest.views import ApiView
from segments.api import demand_scope, rule_errors_located, visible_segment
from segments.by_hand import LONGEST_REASON, put_many_by_hand, undo_many_by_hand
from segments.list_people import Named, people_named
from segments.models import ByHand, Segment

# Of each an entry stands in the audit log, with the reason sealed under a key of their own.
MOST_BY_HAND: Final = 1_000


class UndoRequest(serializers.Serializer[Any]):
    people = serializers.ListField(
        child=serializers.CharField(max_length=600),
        min_length=1,
        max_length=MOST_BY_HAND,
        help_text="Each as `namespace:value`: user_id, email, anonymous_id, an external id's type, or uuid.",
    )


class ByHandRequest(UndoRequest):
    reason = serializers.CharField(
        max_length=LONGEST_REASON, help_text="Why, for whoever comes after you. Kept with each of them."
    )


class ByHandSerializer(serializers.Serializer[Any]):
    changed = serializers.IntegerField(help_text="For how many anything changed.")
    matched = serializers.IntegerField(help_text="How many people the identifiers name.")
    unmatched = serializers.ListField(
        child=serializers.CharField(),
        help_text="Identifiers that lead to nobody, as they came. Nobody is made of them.",
    )


ASKED = OpenApiExample(
    "Two people, and why",
    value={"people": ["user_id:42", "email:ann@example.com"], "reason": "Asked on the phone to be left out"},
    request_only=True,
)
TAKEN_BACK = OpenApiExample("One person", value={"people": ["user_id:42"]}, request_only=True)
ANSWERED = OpenApiExample(
    "One of them is not known here",
    value={"changed": 1, "matched": 1, "unmatched": ["email:ann@example.com"]},
    response_only=True,
)


class _ByHandView(ApiView):
    """A right of its own on the segment; and since the answer tells who is known, the right to look people up, too."""

    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.edit_members"

    def asked(self, request: Request, key: str, form: type[UndoRequest]) -> tuple[Segment, Named, dict[str, Any]]:
        segment = visible_segment(request, key, permission="edit_members")
        demand_scope(request, Scope.PROFILES_READ)
        if not isinstance(request.auth, ApiKey) and not caller(request).has_perm("profiles.view_profile"):
            raise Forbidden("permission_missing", "Naming people by identifiers needs profiles.view_profile.")
        given = form(data=request.data)
        given.is_valid(raise_exception=True)
        return segment, people_named(given.validated_data["people"]), given.validated_data

    def change(self, request: Request, key: str, kind: ByHand) -> Response:
        segment, named, given = self.asked(request, key, ByHandRequest)
        with rule_errors_located():
            changed = put_many_by_hand(
                segment=segment,
                profile_ids=named.profile_ids,
                kind=kind,
                reason=given["reason"],
                by=actor_of(request),
                user=caller(request),
            )
        return _answer(changed, named)


class SegmentAddByHand(_ByHandView):
    @extend_schema(
        operation_id="segments_by_hand_add",
        summary="Add people to a segment by hand",
        request=ByHandRequest,
        responses=ByHandSerializer,
        examples=[ASKED, ANSWERED],
    )
    def post(self, request: Request, key: str) -> Response:
        """The people belong from now on, whatever the rule says. Who was removed by hand is no longer removed.
        Of a segment that isn't live the answer is 409."""
        return self.change(request, key, ByHand.INCLUDE)


class SegmentRemoveByHand(_ByHandView):
    @extend_schema(
        operation_id="segments_by_hand_remove",
        summary="Remove people from a segment by hand",
        request=ByHandRequest,
        responses=ByHandSerializer,
        examples=[ASKED, ANSWERED],
    )
    def post(self, request: Request, key: str) -> Response:
        """The people don't belong from now on, whatever the rule says. Who was added by hand is no longer added.
        Of a segment that isn't live the answer is 409."""
        return self.change(request, key, ByHand.EXCLUDE)


class SegmentUndoByHand(_ByHandView):
    @extend_schema(
        operation_id="segments_by_hand_undo",
        summary="Take back what was done by hand",
        request=UndoRequest,
        responses=ByHandSerializer,
        examples=[TAKEN_BACK, ANSWERED],
    )
    def post(self, request: Request, key: str) -> Response:
        """Of these people the rule alone decides again, whether they were added or removed. Who was neither is no error."""
        segment, named, _ = self.asked(request, key, UndoRequest)
        changed = undo_many_by_hand(segment=segment, profile_ids=named.profile_ids, by=actor_of(request))
        return _answer(changed, named)


def _answer(changed: int, named: Named) -> Response:
    told = {"changed": changed, "matched": len(named.profile_ids), "unmatched": named.unmatched}
    return Response(ByHandSerializer(told).data)

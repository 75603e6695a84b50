"""Static lists over REST: which there are, and putting people on them and taking them off by the identifiers they have.

Reading who is on a list is reading people, so it has one door: the members of a segment that asks for the list.
"""

from typing import Any

from django.db import transaction
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Forbidden, NotFound
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import ApiKey, Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from segments.api import demand_scope
from segments.list_people import people_named
from segments.lists import (
    Changed,
    add_people,
    change_list,
    create_list,
    delete_list,
    remove_people,
    replace_people,
    size_of,
    users_of_list,
)
from segments.models import StaticList
from segments.sharing import visible_segments

MOST_PEOPLE = 10_000


class ListSerializer(serializers.ModelSerializer[StaticList]):
    """People whom somebody put together. Rules ask for it as `{"in_list": key}`."""

    class Meta:
        model = StaticList
        fields: tuple[str, ...] = ("key", "name", "description", "created_at")
        read_only_fields = fields


class ListDetailSerializer(ListSerializer):
    people = serializers.SerializerMethodField(help_text="How many are on it.")
    used_by = serializers.SerializerMethodField(
        help_text="Keys of the live segments that ask for it, of those you may see. It can't be deleted while there are any."
    )

    class Meta(ListSerializer.Meta):
        fields = (*ListSerializer.Meta.fields, "people", "used_by")
        read_only_fields = fields

    def get_people(self, static_list: StaticList) -> int:
        return size_of(static_list)

    def get_used_by(self, static_list: StaticList) -> list[str]:
        visible = visible_segments(self.context["user"])
        users = [user.pk for user in users_of_list(static_list)]
        return list(visible.filter(pk__in=users).order_by("key").values_list("key", flat=True))


class NewList(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150)
    key = serializers.CharField(
        max_length=64, required=False, help_text="Made from the name when left out. Can't change."
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ListChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150, required=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class PeopleRequest(serializers.Serializer[Any]):
    people = serializers.ListField(
        child=serializers.CharField(max_length=600),
        max_length=MOST_PEOPLE,
        help_text="Each as `namespace:value`: user_id, email, anonymous_id, an external id's type, or uuid.",
    )


class AddRequest(PeopleRequest):
    reason = serializers.CharField(
        required=False, allow_blank=True, max_length=200, default="", help_text="Kept with each entry."
    )


class PeopleChangedSerializer(serializers.Serializer[Any]):
    added = serializers.IntegerField(help_text="How many are on it now who weren't.")
    removed = serializers.IntegerField(help_text="How many were on it and aren't now.")
    matched = serializers.IntegerField(help_text="How many people the identifiers name.")
    unmatched = serializers.ListField(
        child=serializers.CharField(),
        help_text="Identifiers that lead to nobody, as they came. Nobody is made of them.",
    )


ASKED = OpenApiExample(
    "Three people, by what your systems call them",
    value={"people": ["user_id:42", "email:ann@example.com", "crm:0031"], "reason": "Invited to the opening"},
    request_only=True,
)
TAKEN_OFF = OpenApiExample("Two people", value={"people": ["user_id:42", "crm:0031"]}, request_only=True)
ANSWERED = OpenApiExample(
    "One of them is not known here",
    value={"added": 1, "removed": 0, "matched": 2, "unmatched": ["crm:0031"]},
    response_only=True,
)
MADE = OpenApiExample("A list", value={"name": "Guests of the opening", "key": "opening-guests"}, request_only=True)


class Lists(ApiView):
    required_scope = {"GET": Scope.SEGMENTS_READ, "POST": Scope.SEGMENTS_WRITE}
    required_permission = {"GET": "segments.view_staticlist", "POST": "segments.add_staticlist"}
    pagination_class = KeysetPagination
    keyset = ("key",)

    @extend_schema(operation_id="lists_list", summary="List static lists", responses=ListSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The static lists there are, in the order of their keys."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(StaticList.objects.filter(segment=None), request, self)
        return pages.get_paginated_response(ListSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="lists_create",
        summary="Make a static list",
        request=NewList,
        responses={201: ListDetailSerializer},
        examples=[MADE],
    )
    def post(self, request: Request) -> Response:
        """Make a list with nobody on it."""
        given = NewList(data=request.data)
        given.is_valid(raise_exception=True)
        made = create_list(**given.validated_data, by=actor_of(request))
        headers = {"Location": reverse("api:list", args=[made.key])}
        return Response(_shown(made, request), status=status.HTTP_201_CREATED, headers=headers)


class ListDetail(ApiView):
    is_versioned = True
    passing = ("people", "used_by")
    required_scope = {"GET": Scope.SEGMENTS_READ, "PATCH": Scope.SEGMENTS_WRITE, "DELETE": Scope.SEGMENTS_WRITE}
    required_permission = {
        "GET": "segments.view_staticlist",
        "PATCH": "segments.change_staticlist",
        "DELETE": "segments.delete_staticlist",
    }

    @extend_schema(operation_id="lists_detail", summary="Show a static list", responses=ListDetailSerializer)
    def get(self, request: Request, key: str) -> Response:
        """A list, how many are on it, and which live segments ask for it."""
        return Response(_shown(_list(key), request))

    @extend_schema(
        operation_id="lists_change", summary="Rename a static list", request=ListChange, responses=ListDetailSerializer
    )
    def patch(self, request: Request, key: str) -> Response:
        """Change the name or the description; the key stays."""
        given = ListChange(data=request.data)
        given.is_valid(raise_exception=True)
        static_list = _list(key)
        details = {"name": static_list.name, "description": static_list.description} | given.validated_data
        return Response(_shown(change_list(static_list=static_list, **details, by=actor_of(request)), request))

    @extend_schema(operation_id="lists_delete", summary="Delete a static list", responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Delete a list, and with it who is on it. While live segments ask for it the answer is 409."""
        delete_list(static_list=_list(key), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class _PeopleView(ApiView):
    """What tells which identifiers are known takes the right to look people up, too."""

    def asked(self, request: Request, key: str, form: type[PeopleRequest]) -> tuple[StaticList, dict[str, Any]]:
        static_list = _list(key)
        demand_scope(request, Scope.PROFILES_READ)
        if not isinstance(request.auth, ApiKey) and not caller(request).has_perm("profiles.view_profile"):
            raise Forbidden("permission_missing", "Naming people by identifiers needs profiles.view_profile.")
        given = form(data=request.data)
        given.is_valid(raise_exception=True)
        return static_list, given.validated_data


class ListPeople(_PeopleView):
    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.change_staticlist"

    @extend_schema(
        operation_id="lists_people_add",
        summary="Put people on a static list",
        request=AddRequest,
        responses=PeopleChangedSerializer,
        examples=[ASKED, ANSWERED],
    )
    def post(self, request: Request, key: str) -> Response:
        """Put people on the list. Who is on it already stays; an identifier that leads to nobody is reported."""
        static_list, given = self.asked(request, key, AddRequest)
        with transaction.atomic():
            named = people_named(given["people"])
            changed = add_people(
                static_list=static_list,
                profile_ids=named.profile_ids,
                by=actor_of(request),
                reason=given["reason"],
            )
        return _answer(changed, len(named.profile_ids), named.unmatched)

    @extend_schema(
        operation_id="lists_people_replace",
        summary="Say anew who is on a static list",
        request=AddRequest,
        responses=PeopleChangedSerializer,
        examples=[ASKED, ANSWERED],
    )
    def put(self, request: Request, key: str) -> Response:
        """Have just these people on the list: others are taken off. With identifiers that all lead to nobody it is empty."""
        static_list, given = self.asked(request, key, AddRequest)
        with transaction.atomic():
            named = people_named(given["people"])
            changed = replace_people(
                static_list=static_list,
                profile_ids=named.profile_ids,
                by=actor_of(request),
                reason=given["reason"],
            )
        return _answer(changed, len(named.profile_ids), named.unmatched)


class ListPeopleRemove(_PeopleView):
    required_scope = Scope.SEGMENTS_WRITE
    required_permission = "segments.change_staticlist"

    @extend_schema(
        operation_id="lists_people_remove",
        summary="Take people off a static list",
        request=PeopleRequest,
        responses=PeopleChangedSerializer,
        examples=[TAKEN_OFF, ANSWERED],
    )
    def post(self, request: Request, key: str) -> Response:
        """Take people off the list. Who isn't on it is no error; an identifier that leads to nobody is reported."""
        static_list, given = self.asked(request, key, PeopleRequest)
        with transaction.atomic():
            named = people_named(given["people"])
            changed = remove_people(static_list=static_list, profile_ids=named.profile_ids, by=actor_of(request))
        return _answer(changed, len(named.profile_ids), named.unmatched)


def _list(key: str) -> StaticList:
    # Lists of who was added to a segment or removed from it by hand are the segment's, and changed with reasons.
    found = StaticList.objects.filter(key=key, segment=None).first()
    if found is None:
        raise NotFound("list_not_found", "There is no such list.")
    return found


def _shown(static_list: StaticList, request: Request) -> dict[str, Any]:
    return dict(ListDetailSerializer(static_list, context={"user": caller(request)}).data)


def _answer(changed: Changed, matched: int, unmatched: list[str]) -> Response:
    told = {"added": changed.added, "removed": changed.removed, "matched": matched, "unmatched": unmatched}
    return Response(PeopleChangedSerializer(told).data)

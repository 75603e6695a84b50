"""Schedules of exports and destinations over REST."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Forbidden, NotFound
from cdp.exports import destinations, services
from cdp.exports.access import exportable_audiences, visible_schedules
from cdp.exports.api import READ_OR_WRITE, SPEC, WantedFileSerializer, exported_audience, spec_of
from cdp.exports.models import Destination, Every, Place, Schedule
from cdp.exports.planning import next_planned
from cdp.profiles.models import Workspace
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import demand_purpose
from cdp.rest.queries import Query
from cdp.rest.views import ApiView

SCHEDULE = {f"{verb.upper()}": f"exports.{verb}_schedule" for verb in ("view", "add", "change", "delete")}
PLAN = {"name": "Nightly to the mail tool", "is_delta": True, "every": "day", "hour": 6, "weekday": 0}
EXAMPLE = {
    "uuid": "0197e0a1-6f2c-7d3e-9b5a-2f4c8d1e7a63",
    "audience": "newsletter-loyal",
    "purpose": "marketing_email",
    **PLAN,
    **SPEC,
    "is_on": True,
    "off_reason": "",
    "next_at": "2026-11-25T06:00:00Z",
    "created_at": "2026-11-24T09:00:00Z",
}
ONE = OpenApiExample("A schedule", value=EXAMPLE, response_only=True)
MAKE = OpenApiExample(
    "Each night what changed", value={"audience": "newsletter-loyal", **PLAN, **SPEC}, request_only=True
)


class NewExportSchedule(WantedFileSerializer):
    audience = serializers.CharField(max_length=64, help_text="An audience's key.")
    name = serializers.CharField(max_length=150)
    is_delta = serializers.BooleanField(
        default=False, help_text="Only who came and who went since the file before; the first one is full."
    )
    every = serializers.ChoiceField(Every.choices, default=Every.DAY)
    hour = serializers.IntegerField(default=6, min_value=0, max_value=23, help_text="In the workspace's time zone.")
    weekday = serializers.IntegerField(default=0, min_value=0, max_value=6, help_text="For every week: 0 is Monday.")


class ExportScheduleChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150, required=False)
    is_on = serializers.BooleanField(required=False)
    is_delta = serializers.BooleanField(required=False)
    every = serializers.ChoiceField(Every.choices, required=False)
    hour = serializers.IntegerField(min_value=0, max_value=23, required=False)
    weekday = serializers.IntegerField(min_value=0, max_value=6, required=False)


class ExportScheduleSerializer(serializers.ModelSerializer[Schedule]):
    """An export made again and again. It makes files as whoever made or changed it last may read people."""

    audience = serializers.CharField(source="audience.key", read_only=True)
    purpose = serializers.CharField(source="audience.purpose.key", read_only=True)
    fields = serializers.ListField(child=serializers.CharField(), read_only=True)  # type: ignore[assignment]  # as above
    destination = serializers.UUIDField(source="destination.uuid", read_only=True, allow_null=True, default=None)
    is_on = serializers.BooleanField(read_only=True)
    next_at = serializers.SerializerMethodField(help_text="When it makes its next file; null while it is off.")

    class Meta:
        model = Schedule
        fields = (
            "uuid", "name", "audience", "purpose", "is_delta", "every", "hour", "weekday", "format", "is_gzipped", "is_for_spreadsheets",
            "fields", "destination", "is_on", "off_reason", "next_at", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_at(self, schedule: Schedule) -> datetime | None:
        if not schedule.is_on:
            return None
        zone = self.context.get("zone") or Workspace.current().time_zone
        return next_planned(schedule, now=timezone.now(), zone=zone)


def shown(schedules: Any, *, many: bool = False) -> Any:
    return ExportScheduleSerializer(schedules, many=many, context={"zone": Workspace.current().time_zone}).data


def visible_schedule(request: Request, uuid: UUID) -> Schedule:
    """
    Raises:
        NotFound: there is none that the caller may see.
    """
    found = visible_schedules(caller(request)).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("schedule_not_found", "There is no such schedule.")
    return found


def own_schedule(request: Request, uuid: UUID) -> Schedule:
    """One whose people the caller may take out.

    Raises:
        NotFound: there is none that the caller may see.
        Forbidden: they may not.
    """
    schedule = visible_schedule(request, uuid)
    demand_purpose(request, schedule.audience.purpose.key)
    if not exportable_audiences(caller(request)).filter(pk=schedule.audience_id).exists():
        raise Forbidden("no_export", "You may not take the members of this audience out.")
    return schedule


class Schedules(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": SCHEDULE["VIEW"], "POST": SCHEDULE["ADD"]}
    pagination_class = KeysetPagination
    keyset = ("id",)

    @extend_schema(
        operation_id="export_schedules_list",
        summary="List schedules of exports",
        responses=ExportScheduleSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The schedules of audiences you may see."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(visible_schedules(caller(request)), request, self)
        return pages.get_paginated_response(shown(rows, many=True))

    @extend_schema(
        operation_id="export_schedules_create",
        summary="Plan exports",
        request=NewExportSchedule,
        responses={201: ExportScheduleSerializer},
        examples=[MAKE, ONE],
    )
    def post(self, request: Request) -> Response:
        """Have an audience's people, or who came and went, written to a file every hour, day or week."""
        given = NewExportSchedule(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        schedule = services.create_schedule(
            audience=exported_audience(request, wanted["audience"]),
            spec=spec_of(wanted),
            by=actor_of(request),
            user=caller(request),
            **{name: wanted[name] for name in PLAN},
        )
        return Response(
            shown(visible_schedule(request, schedule.uuid)),
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("api:export-schedule", args=[schedule.uuid])},
        )


class ScheduleDetail(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": SCHEDULE["VIEW"], "PATCH": SCHEDULE["CHANGE"], "DELETE": SCHEDULE["DELETE"]}
    is_versioned = True
    passing = ("next_at", "off_reason")

    @extend_schema(
        operation_id="export_schedules_detail",
        summary="Show a schedule",
        responses=ExportScheduleSerializer,
        examples=[ONE],
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """A schedule: of whom, when, and where its files go."""
        Query.of(request)
        return Response(shown(visible_schedule(request, uuid)))

    @extend_schema(
        operation_id="export_schedules_change",
        summary="Change a schedule",
        request=ExportScheduleChange,
        responses=ExportScheduleSerializer,
    )
    def patch(self, request: Request, uuid: UUID) -> Response:
        """Change when it makes files, or turn it on or off. From then on it makes them as you may read people."""
        schedule = own_schedule(request, uuid)
        given = ExportScheduleChange(data=request.data)
        given.is_valid(raise_exception=True)
        services.change_schedule(schedule=schedule, by=actor_of(request), user=caller(request), **given.validated_data)
        return Response(shown(visible_schedule(request, uuid)))

    @extend_schema(operation_id="export_schedules_delete", summary="Delete a schedule", responses={204: None})
    def delete(self, request: Request, uuid: UUID) -> Response:
        """Take a schedule away. The files it made stay for their days."""
        services.delete_schedule(schedule=own_schedule(request, uuid), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


# ---- Destinations ----------------------------------------------------------------------------------------------------

VALUES = {"url": "https://mail.example.com/imports", "method": "PUT"}
PLACE = {
    "uuid": "0197e0a1-6f2c-7d3e-9b5a-2f4c8d1e7a64",
    "name": "Mail tool",
    "place": "http",
    "values": VALUES,
    "has_secret": True,
    "tried_at": "2026-11-24T09:00:00Z",
    "failure": "",
    "created_at": "2026-11-24T08:59:00Z",
}
PLACED = OpenApiExample("A destination", value=PLACE, response_only=True)
NEW_PLACE = OpenApiExample(
    "An address that takes uploads",
    value={"name": "Mail tool", "place": "http", "values": {**VALUES, "token": "a bearer token"}},
    request_only=True,
)
HELP = "; ".join(f"{kind}: {', '.join(part.name for part in parts)}" for kind, parts in destinations.PARTS.items())


class ExportDestinationSerializer(serializers.ModelSerializer[Destination]):
    """Where files are handed over to. Its secrets are never shown."""

    values = serializers.DictField(source="address", child=serializers.CharField(allow_blank=True), read_only=True)
    has_secret = serializers.SerializerMethodField()

    class Meta:
        model = Destination
        fields = ("uuid", "name", "place", "values", "has_secret", "tried_at", "failure", "created_at")
        read_only_fields = fields

    def get_has_secret(self, destination: Destination) -> bool:
        return destinations.has_secret(destination)


class NewExportDestination(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    place = serializers.ChoiceField(Place.choices)
    values = serializers.DictField(
        child=serializers.CharField(max_length=destinations.LONGEST, allow_blank=True),
        help_text=f"By kind of place. {HELP}.",
    )


class ExportDestinationChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100, required=False)
    values = serializers.DictField(
        child=serializers.CharField(max_length=destinations.LONGEST, allow_blank=True),
        required=False,
        help_text="What isn't named stays. Where it leads elsewhere, the secret must be given anew.",
    )


class DestinationTriedSerializer(serializers.Serializer[Any]):
    is_reached = serializers.BooleanField()
    failure = serializers.CharField(allow_blank=True, help_text="What went wrong.")


def found_destination(uuid: UUID) -> Destination:
    """
    Raises:
        NotFound: there is none.
    """
    found = Destination.objects.filter(uuid=uuid).first()
    if found is None:
        raise NotFound("destination_not_found", "There is no such destination.")
    return found


DESTINATION = {f"{verb.upper()}": f"exports.{verb}_destination" for verb in ("view", "add", "change", "delete")}


class Destinations(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": DESTINATION["VIEW"], "POST": DESTINATION["ADD"]}
    pagination_class = KeysetPagination
    keyset = ("id",)

    @extend_schema(
        operation_id="export_destinations_list",
        summary="List destinations",
        responses=ExportDestinationSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Where files can be handed over to."""
        Query.of(request)
        found: QuerySet[Destination] = Destination.objects.all()
        pages = KeysetPagination()
        rows = pages.paginate_queryset(found, request, self)
        return pages.get_paginated_response(ExportDestinationSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="export_destinations_create",
        summary="Make a destination",
        request=NewExportDestination,
        responses={201: ExportDestinationSerializer},
        examples=[NEW_PLACE, PLACED],
    )
    def post(self, request: Request) -> Response:
        """Make a destination: a bucket, an SFTP server, an address that takes uploads, a folder. Then try it."""
        given = NewExportDestination(data=request.data)
        given.is_valid(raise_exception=True)
        made = destinations.create_destination(**given.validated_data, by=actor_of(request), user=caller(request))
        return Response(
            ExportDestinationSerializer(made).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("api:export-destination", args=[made.uuid])},
        )


class DestinationDetail(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": DESTINATION["VIEW"], "PATCH": DESTINATION["CHANGE"], "DELETE": DESTINATION["DELETE"]}
    is_versioned = True
    passing = ("tried_at", "failure")

    @extend_schema(
        operation_id="export_destinations_detail",
        summary="Show a destination",
        responses=ExportDestinationSerializer,
        examples=[PLACED],
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """Where it leads, and what came of handing something over last."""
        Query.of(request)
        return Response(ExportDestinationSerializer(found_destination(uuid)).data)

    @extend_schema(
        operation_id="export_destinations_change",
        summary="Change a destination",
        request=ExportDestinationChange,
        responses=ExportDestinationSerializer,
    )
    def patch(self, request: Request, uuid: UUID) -> Response:
        """Change its name, or where it leads."""
        destination = found_destination(uuid)
        given = ExportDestinationChange(data=request.data)
        given.is_valid(raise_exception=True)
        changed = destinations.change_destination(destination=destination, by=actor_of(request), **given.validated_data)
        return Response(ExportDestinationSerializer(changed).data)

    @extend_schema(operation_id="export_destinations_delete", summary="Delete a destination", responses={204: None})
    def delete(self, request: Request, uuid: UUID) -> Response:
        """Take a destination away with its secret. 409 while schedules go there."""
        destinations.delete_destination(destination=found_destination(uuid), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class DestinationTry(ApiView):
    required_scope = Scope.EXPORTS_WRITE
    required_permission = DESTINATION["CHANGE"]

    @extend_schema(
        operation_id="export_destinations_try",
        summary="Try a destination",
        request=None,
        responses=DestinationTriedSerializer,
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Put a small file there, and remove it where that can be. It says nothing of anybody."""
        failure = destinations.try_destination(destination=found_destination(uuid), by=actor_of(request))
        return Response({"is_reached": not failure, "failure": failure})

"""Exports over REST: asking for one, following it, and having its file. Schedules and destinations are in `cdp.exports.api_planned`."""

from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.activation.api import visible_audience
from cdp.activation.models import Audience
from cdp.errors import DomainError, Forbidden, NotFound
from cdp.exports.access import may_have, may_reveal, visible_exports
from cdp.exports.fields import ENTERED_AT, MOST_FIELDS, Kind, fields_there_are
from cdp.exports.keeping import delete_files, open_file
from cdp.exports.links import MOST_HOURS, make_link
from cdp.exports.manifest import manifest_of
from cdp.exports.models import MEDIA_TYPES, Destination, Export, Format, Gone
from cdp.exports.services import Spec, cancel_export, request_export
from cdp.jobs.api import JobErrorSerializer
from cdp.jobs.models import JobState
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import demand_purpose
from cdp.rest.queries import Query
from cdp.rest.views import ApiView

READ_OR_WRITE: dict[str, str] = {
    "GET": Scope.EXPORTS_READ,
    "POST": Scope.EXPORTS_WRITE,
    "PATCH": Scope.EXPORTS_WRITE,
    "DELETE": Scope.EXPORTS_WRITE,
}
VIEW, ADD, DELETE = (f"exports.{verb}_export" for verb in ("view", "add", "delete"))
SPEC = {
    "format": "csv",
    "is_gzipped": True,
    "is_for_spreadsheets": True,
    "fields": ["entered_at", "trait:points"],
    "destination": None,
}
EXAMPLE = {
    "uuid": "0197e0a1-6f2c-7d3e-9b5a-2f4c8d1e7a61",
    "name": "newsletter-loyal-full-20261124T060000Z-0197e0a1.csv.gz",
    "audience": "newsletter-loyal",
    "purpose": "marketing_email",
    **SPEC,
    "kind": "full",
    "since": None,
    "schedule": None,
    "state": "succeeded",
    "phase": "done",
    "done": 4210,
    "total": 4210,
    "error": None,
    "as_of": "2026-11-24T06:00:01Z",
    "after": None,
    "position": 18344,
    "rows": 4210,
    "bytes": 90112,
    "sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "is_kept": True,
    "expires_at": "2026-12-01T06:00:02Z",
    "gone": "",
    "has_personal_data": False,
    "downloads": 0,
    "job": "0197e0a1-6f2c-7d3e-9b5a-2f4c8d1e7a62",
    "created_at": "2026-11-24T06:00:00Z",
    "finished_at": "2026-11-24T06:00:02Z",
}
ONE = OpenApiExample("An export", value=EXAMPLE, response_only=True)
MAKE = OpenApiExample("Ask for one", value={"audience": "newsletter-loyal", **SPEC}, request_only=True)


class WantedFileSerializer(serializers.Serializer[Any]):
    """What a file is to be."""

    format = serializers.ChoiceField(Format.choices, default=Format.CSV)
    is_gzipped = serializers.BooleanField(default=False)
    is_for_spreadsheets = serializers.BooleanField(
        default=True,
        help_text="In CSV, text that a spreadsheet would run as a formula begins with an apostrophe. For machines, turn it off.",
    )
    fields = serializers.ListField(  # type: ignore[assignment]  # DRF takes declared fields away first
        child=serializers.CharField(max_length=200),
        default=lambda: [ENTERED_AT],
        max_length=MOST_FIELDS,
        help_text="Beside the person's id: entered_at, identifier:<namespace>, trait:<key>, score:<kind>.<key>.",
    )
    destination = serializers.UUIDField(
        default=None,
        allow_null=True,
        help_text="Where the file is handed over to; null: it is kept here to be fetched.",
    )


class NewExport(WantedFileSerializer):
    audience = serializers.CharField(max_length=64, help_text="An audience's key.")
    since = serializers.UUIDField(
        default=None, allow_null=True, help_text="Of a finished export: only who came and who went after it."
    )


class ExportSerializer(serializers.ModelSerializer[Export]):
    """A file of an audience's people: how far it is, and what is in it."""

    name = serializers.CharField(read_only=True, help_text="The file's name where it arrives.")
    audience = serializers.CharField(source="audience.key", read_only=True)
    purpose = serializers.CharField(source="audience.purpose.key", read_only=True)
    fields = serializers.ListField(child=serializers.CharField(), read_only=True)  # type: ignore[assignment]  # as above
    destination = serializers.UUIDField(source="destination.uuid", read_only=True, allow_null=True, default=None)
    schedule = serializers.UUIDField(source="schedule.uuid", read_only=True, allow_null=True, default=None)
    kind = serializers.SerializerMethodField(help_text="full, or changes: who came and who went.")
    since = serializers.UUIDField(source="since.uuid", read_only=True, allow_null=True, default=None)
    state = serializers.ChoiceField(JobState.choices, read_only=True)
    phase = serializers.CharField(source="job.phase", read_only=True, default="")
    done = serializers.IntegerField(source="job.done", read_only=True, default=0)
    total = serializers.IntegerField(source="job.total", read_only=True, default=0)
    error = serializers.SerializerMethodField(help_text="Why it failed.")
    is_kept = serializers.BooleanField(read_only=True, help_text="Whether the file can be fetched here.")
    has_personal_data = serializers.BooleanField(source="has_personal", read_only=True)
    job = serializers.UUIDField(source="job.uuid", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Export
        fields = (
            "uuid", "name", "audience", "purpose", "format", "is_gzipped", "is_for_spreadsheets", "fields", "destination", "kind",
            "since", "schedule", "state", "phase", "done", "total", "error", "as_of", "after", "position", "rows", "bytes", "sha256",
            "is_kept", "expires_at", "gone", "has_personal_data", "downloads", "job", "created_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_kind(self, export: Export) -> str:
        return "full" if export.after is None else "changes"

    @extend_schema_field(JobErrorSerializer(allow_null=True))
    def get_error(self, export: Export) -> dict[str, str] | None:
        job = export.job
        if export.finished_at is not None or job is None or not job.error_code:
            return None
        return {"code": job.error_code, "detail": job.error_message}


class ExportQuery(Query):
    audience = serializers.CharField(
        max_length=64, required=False, help_text="Only those of the audience with this key."
    )


def visible_export(request: Request, uuid: UUID) -> Export:
    """
    Raises:
        NotFound: there is none that the caller may see.
    """
    export = visible_exports(caller(request)).select_related("since").filter(uuid=uuid).first()
    if export is None:
        raise NotFound("export_not_found", "There is no such export.")
    return export


def had_export(request: Request, uuid: UUID) -> Export:
    """An export whose file the caller may have.

    Raises:
        NotFound: there is none that the caller may see.
        Forbidden: they may not have it.
    """
    export = visible_export(request, uuid)
    demand_purpose(request, export.audience.purpose.key)
    if not may_have(caller(request), export):
        raise Forbidden(
            "file_not_allowed", "You may not take out these people, or not with what the file says of them."
        )
    return export


def exported_audience(request: Request, key: str) -> Audience:
    """
    Raises:
        NotFound: there is none that the caller may see.
        Forbidden: they may not take its members out, or not for its purpose.
    """
    audience = visible_audience(request, key, permission="export_members")
    demand_purpose(request, audience.purpose.key)
    return audience


def spec_of(wanted: dict[str, Any]) -> Spec:
    """
    Raises:
        DomainError: there is no such destination.
    """
    destination = None
    if wanted["destination"] is not None:
        destination = Destination.objects.filter(uuid=wanted["destination"]).first()
        if destination is None:
            raise DomainError("destination_unknown", "There is no such destination.", "/destination")
    return Spec(
        format=wanted["format"],
        is_gzipped=wanted["is_gzipped"],
        is_for_spreadsheets=wanted["is_for_spreadsheets"],
        fields=wanted["fields"],
        destination=destination,
    )


class Exports(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": VIEW, "POST": ADD}
    pagination_class = KeysetPagination
    keyset = ("id",)
    keyset_descends = True

    @extend_schema(
        operation_id="exports_list",
        summary="List exports",
        parameters=[ExportQuery],
        responses=ExportSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The exports of audiences you may see, newest first."""
        wanted = ExportQuery.of(request)
        found = visible_exports(caller(request)).select_related("since")
        if "audience" in wanted:
            found = found.filter(audience__key=wanted["audience"])
        pages = KeysetPagination()
        rows = pages.paginate_queryset(found, request, self)
        return pages.get_paginated_response(ExportSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="exports_create",
        summary="Ask for an export",
        request=NewExport,
        responses={202: ExportSerializer},
        examples=[MAKE, ONE],
    )
    def post(self, request: Request) -> Response:
        """Have an audience's people written to a file by a job: all of them, or who came and went since an export before. That takes the
        right to export the segment's members; fields that are personal data take the scope `profiles:reveal`."""
        given = NewExport(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        export = request_export(
            audience=exported_audience(request, wanted["audience"]),
            spec=spec_of(wanted),
            since=self._since(request, wanted["since"]),
            by=actor_of(request),
            user=caller(request),
        )
        return Response(
            ExportSerializer(visible_export(request, export.uuid)).data,
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": reverse("api:export", args=[export.uuid])},
        )

    @staticmethod
    def _since(request: Request, uuid: UUID | None) -> Export | None:
        if uuid is None:
            return None
        found = visible_exports(caller(request)).filter(uuid=uuid).first()
        if found is None:
            raise DomainError("since_unknown", "There is no such export to go on from.", "/since")
        return found


class ExportDetail(ApiView):
    required_scope = READ_OR_WRITE
    required_permission = {"GET": VIEW, "DELETE": DELETE}

    @extend_schema(
        operation_id="exports_detail", summary="Follow an export", responses=ExportSerializer, examples=[ONE]
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """How far an export is, and what its file holds."""
        Query.of(request)
        return Response(ExportSerializer(visible_export(request, uuid)).data)

    @extend_schema(operation_id="exports_delete", summary="Delete an export's file", responses={204: None})
    def delete(self, request: Request, uuid: UUID) -> Response:
        """Delete the file that is kept here. That there was one stays on record. 409 while it is being made."""
        export = had_export(request, uuid)
        if export.finished_at is None and export.state in (JobState.QUEUED, JobState.RUNNING):
            raise DomainError("export_unfinished", "This export is being made; cancel it instead.", status=409)
        delete_files([export], why=Gone.ASKED, by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ExportCancel(ApiView):
    required_scope = Scope.EXPORTS_WRITE
    required_permission = ADD

    @extend_schema(operation_id="exports_cancel", summary="Cancel an export", request=None, responses=ExportSerializer)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Have an export stopped. 409 once it has finished."""
        cancel_export(export=had_export(request, uuid), by=actor_of(request))
        return Response(ExportSerializer(visible_export(request, uuid)).data)


class ExportFile(ApiView):
    required_scope = Scope.EXPORTS_READ
    required_permission = ADD

    @extend_schema(
        operation_id="exports_file",
        summary="Fetch an export's file",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, uuid: UUID) -> HttpResponseBase:
        """The file. Each time is on record. 409 until it is made, 410 once it isn't kept any more."""
        Query.of(request)
        export = had_export(request, uuid)
        return as_answer(export, open_file(export=export, by=actor_of(request)))


def as_answer(export: Export, file: Any) -> FileResponse:
    """The file as it is, for nobody between us and the reader to keep."""
    media_type = "application/gzip" if export.is_gzipped else MEDIA_TYPES[export.format]  # type: ignore[index]  # of its choices
    headers = {"Cache-Control": "no-store, private", "X-Content-Type-Options": "nosniff"}
    return FileResponse(file, as_attachment=True, filename=export.name, content_type=media_type, headers=headers)


class ExportManifestSerializer(serializers.Serializer[Any]):
    """What stands beside the file: how to know that it is whole, what is in it, and what for."""

    manifest = serializers.CharField()
    export = serializers.UUIDField()
    file = serializers.CharField()
    media_type = serializers.CharField()
    compression = serializers.CharField(allow_null=True)
    sha256 = serializers.CharField()
    bytes = serializers.IntegerField()
    rows = serializers.IntegerField()
    audience = serializers.CharField()
    segment = serializers.CharField()
    purpose = serializers.CharField()
    channel = serializers.CharField(allow_blank=True)
    kind = serializers.CharField()
    after = serializers.IntegerField(allow_null=True)
    position = serializers.IntegerField()
    since = serializers.UUIDField(allow_null=True)
    as_of = serializers.DateTimeField()
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]  # DRF takes declared fields away first
    has_personal_data = serializers.BooleanField()
    is_for_spreadsheets = serializers.BooleanField()
    requested_by = serializers.CharField(allow_null=True)
    schedule = serializers.CharField(allow_null=True)


class ExportManifest(ApiView):
    required_scope = Scope.EXPORTS_READ
    required_permission = VIEW

    @extend_schema(
        operation_id="exports_manifest", summary="Show an export's manifest", responses=ExportManifestSerializer
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """Hash, counts, fields, purpose and positions of the file; it names nobody in it. 409 until the file is made."""
        Query.of(request)
        export = visible_export(request, uuid)
        if export.finished_at is None:
            raise DomainError("export_unfinished", "This export isn't finished; look at its state.", status=409)
        return Response(manifest_of(export))


class NewFileLink(serializers.Serializer[Any]):
    hours = serializers.IntegerField(default=24, min_value=1, max_value=MOST_HOURS, help_text="For how long it opens.")


class FileLinkSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(help_text="Opens the file for whoever has it. Keep it as you would a password.")
    expires_at = serializers.DateTimeField()


class ExportLink(ApiView):
    required_scope = Scope.EXPORTS_WRITE
    required_permission = ADD
    holds_secret = True

    @extend_schema(
        operation_id="exports_link",
        summary="Make a link to an export's file",
        request=NewFileLink,
        responses=FileLinkSerializer,
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """A signed link that fetches the file without a key, until it ends. Each time is on record, in your name."""
        given = NewFileLink(data=request.data)
        given.is_valid(raise_exception=True)
        link = make_link(
            export=had_export(request, uuid),
            user=caller(request),
            by=actor_of(request),
            hours=given.validated_data["hours"],
        )
        return Response({"url": request.build_absolute_uri(link.path), "expires_at": link.expires_at})


# ---- What can be in a file -------------------------------------------------------------------------------------------


class ExportFieldSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(help_text="How it is asked for, and what its column is called.")
    label = serializers.CharField()  # type: ignore[assignment]  # as above
    kind = serializers.ChoiceField([(one.value, one.value) for one in Kind])
    is_personal = serializers.BooleanField(help_text="It takes the right to see personal data unmasked.")
    is_allowed = serializers.BooleanField(help_text="Whether you may have it.")


class ExportFields(ApiView):
    required_scope = Scope.EXPORTS_READ
    required_permission = VIEW

    @extend_schema(
        operation_id="exports_fields", summary="List what a file can say", responses=ExportFieldSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """The fields there are, beside the person's id, which each file has."""
        Query.of(request)
        allowed = may_reveal(caller(request))
        rows = [
            {
                "key": one.key,
                "label": one.label,
                "kind": one.kind.value,
                "is_personal": one.is_personal,
                "is_allowed": allowed or not one.is_personal,
            }
            for one in fields_there_are()
        ]
        return Response(rows)

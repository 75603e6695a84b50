"""Files of decisions over REST: upload one, see what it comes to and what is to be mended, and apply it as a job."""

from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.collecting.files import MOST_BYTES, ask_to_apply, upload
from cdp.collecting.foreseeing import preview
from cdp.collecting.models import ConsentImport, ImportState
from cdp.errors import DomainError, NotFound
from cdp.jobs.api import JobSerializer
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView

IN_MEMORY: Final = 512 * 1024


class CsvParser(BaseParser):
    """A file as the body of the request."""

    media_type = "text/csv"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        # On disk once it is large: however many are uploaded at once, each takes the memory of a small one.
        file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  (the view closes it, whatever comes of the request)
        if parser_context is not None:
            parser_context["view"].opened = file
        size = 0
        while part := stream.read(IN_MEMORY):
            size += len(part)
            if size > MOST_BYTES:
                raise DomainError("file_too_large", f"A file has at most {MOST_BYTES // 1024**2} MB.", status=413)
            file.write(part)
        file.seek(0)
        return file


class RowErrorSerializer(serializers.Serializer[Any]):
    row = serializers.IntegerField(help_text="In the file; its heading is row 1.")
    column = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField(help_text="What to do. It never repeats what stood there.")


class ImportPreviewSerializer(serializers.Serializer[Any]):
    """What applying it comes to, as things stand."""

    granted = serializers.IntegerField()
    denied = serializers.IntegerField()
    people = serializers.IntegerField(help_text="How many people who are known are in it.")
    unknown = serializers.IntegerField(help_text="How many aren't.")
    outdated = serializers.IntegerField(help_text="Rows no newer than what is known already: they change nothing.")
    recorded = serializers.IntegerField(help_text="Rows that make a record, as the job will count them.")
    repeated = serializers.IntegerField(help_text="Rows that are on record already, or stand in the file before.")
    unreported = serializers.IntegerField(help_text="Rows of people who aren't known and won't be made.")
    to_confirm = serializers.IntegerField(help_text="Yeses that count once they are confirmed (double opt-in).")
    letters = serializers.IntegerField(help_text="To how many people a link to confirm is sent, for a purpose each.")


class ImportSerializer(serializers.ModelSerializer[ConsentImport]):
    """A file of decisions."""

    class Meta:
        model = ConsentImport
        fields: tuple[str, ...] = (
            "uuid", "name", "sha256", "state", "creates_people", "rows", "error_count", "recorded", "repeated", "unknown",
            "uploaded_at", "applied_at",
        )  # fmt: skip
        read_only_fields = fields


class ImportDetailSerializer(ImportSerializer):
    preview = ImportPreviewSerializer(allow_null=True, help_text="While it waits to be applied.")
    errors = RowErrorSerializer(many=True, help_text="The first 10,000.")  # type: ignore[assignment]

    class Meta(ImportSerializer.Meta):
        fields = (*ImportSerializer.Meta.fields, "preview", "errors")
        read_only_fields = fields


class UploadQuery(Query):
    name = serializers.CharField(max_length=150, default="upload.csv")
    create = serializers.BooleanField(  # type: ignore[assignment]  # DRF takes declared fields away first
        default=False, help_text="Make profiles for people who aren't known."
    )


CSV = OpenApiExample(
    "Two decisions",
    value=(
        "namespace,value,purpose,decision,collected_at,jurisdiction,notice,notice_version,notice_locale,evidence_form\n"
        "email,ann@example.com,marketing_email,granted,2026-11-21T08:00:00Z,DE,newsletter,3,de,paper form 118\n"
        "user_id,42,sms,withdrawn,2026-11-21T09:30:00+01:00,,,,,\n"
    ),
    media_type="text/csv",
    request_only=True,
)


class ConsentImports(ApiView):
    required_scope = {"GET": Scope.CONSENTS_READ, "POST": Scope.CONSENTS_WRITE}
    required_permission = {"GET": "consent.view_consentrecord", "POST": "consent.add_consentrecord"}
    parser_classes = [CsvParser]
    pagination_class = KeysetPagination
    keyset = ("id",)
    keyset_descends = True
    opened: IO[bytes] | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            if self.opened is not None:
                self.opened.close()

    @extend_schema(
        operation_id="consent_imports_list", summary="List files of decisions", responses=ImportSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """The files that were uploaded, newest first."""
        Query.of(request)
        pages = KeysetPagination()
        rows = pages.paginate_queryset(_imports(), request, self)
        return pages.get_paginated_response(ImportSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="consent_imports_upload",
        summary="Upload a file of decisions",
        parameters=[UploadQuery],
        request={"text/csv": OpenApiTypes.STR},
        responses={201: ImportDetailSerializer},
        examples=[CSV],
    )
    def post(self, request: Request) -> Response:
        """Upload a CSV file (UTF-8). It is read whole and nothing is applied yet: the answer says what applying it would come to,
        or what is to be mended, row by row. A *granted* needs at least one column `evidence_…` that isn't empty."""
        asked = UploadQuery.of(request)
        content = request.data
        if not isinstance(content, SpooledTemporaryFile):
            raise DomainError("file_missing", "Send the file as the body, with Content-Type: text/csv.")
        file = upload(name=asked["name"], content=content, creates_people=asked["create"], by=actor_of(request))
        headers = {"Location": reverse("api:consent-import", args=[file.uuid])}
        return Response(_shown(file), status=status.HTTP_201_CREATED, headers=headers)


class ConsentImportDetail(ApiView):
    required_scope = Scope.CONSENTS_READ
    required_permission = "consent.view_consentrecord"

    @extend_schema(
        operation_id="consent_imports_detail",
        summary="What a file of decisions comes to",
        responses=ImportDetailSerializer,
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """What was found in it, and what it came to."""
        return Response(_shown(_import(uuid)))


class ConsentImportApply(ApiView):
    required_scope = Scope.CONSENTS_WRITE
    required_permission = "consent.add_consentrecord"

    @extend_schema(
        operation_id="consent_imports_apply",
        summary="Apply a file of decisions",
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Apply the file as a job. Stopped in between it can be asked for again; a file that was applied, or has errors, answers
        409. Uploading and applying the same file twice records nothing twice."""
        job = ask_to_apply(file=_import(uuid), by=actor_of(request), user=caller(request))
        headers = {"Location": reverse("api:job", args=[job.uuid])}
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED, headers=headers)


def _imports() -> QuerySet[ConsentImport]:
    return ConsentImport.objects.all()


def _import(uuid: UUID) -> ConsentImport:
    found = _imports().filter(uuid=uuid).first()
    if found is None:
        raise NotFound("import_not_found", "There is no such file.")
    return found


def _shown(file: ConsentImport) -> dict[str, Any]:
    errors = [{"row": row, "column": column, "code": code, "detail": said} for row, column, code, said in file.errors]
    comes_to = preview(file) if file.state == ImportState.READY else None
    shown = dict(ImportSerializer(file).data)
    return shown | {"preview": ImportPreviewSerializer(comes_to).data if comes_to else None, "errors": errors}

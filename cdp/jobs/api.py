"""Jobs over REST: how far a long piece of work is, what came of it, and the way to stop it."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Forbidden, NotFound
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import cancel
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import Query
from cdp.rest.views import ApiView


class JobErrorSerializer(serializers.Serializer[Job]):
    code = serializers.CharField()
    detail = serializers.CharField()


class JobSerializer(serializers.ModelSerializer[Job]):
    """A long piece of work."""

    kind = serializers.CharField(help_text="Which work it is.")
    phase = serializers.CharField(help_text="What it is doing at the moment.")
    share = serializers.FloatField(source="share_done", allow_null=True, help_text="From 0 to 1; null while not known.")
    seconds_left = serializers.FloatField(allow_null=True, help_text="At the pace so far; null while there is none.")
    result = serializers.JSONField(allow_null=True, help_text="What came of it, once it has succeeded.")
    error = serializers.SerializerMethodField(help_text="Why it failed.")

    class Meta:
        model = Job
        fields = (
            "uuid", "kind", "state", "phase", "done", "total", "share", "seconds_left", "result", "error",
            "created_at", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(JobErrorSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        return {"code": job.error_code, "detail": job.error_message} if job.error_code else None


class JobQuery(Query):
    state = serializers.ChoiceField(JobState.choices, required=False)
    kind = serializers.CharField(max_length=64, required=False)


class JobList(ApiView):
    required_scope = Scope.JOBS_READ
    required_permission = "jobs.view_job"
    pagination_class = KeysetPagination
    keyset = ("created_at", "id")
    keyset_descends = True

    @extend_schema(
        operation_id="jobs_list", summary="List jobs", parameters=[JobQuery], responses=JobSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """The jobs you may follow, newest first: those you started, and those you were given."""
        wanted = JobQuery.of(request)
        jobs = Job.objects.visible_to(caller(request))
        if "state" in wanted:
            jobs = jobs.filter(state=wanted["state"])
        if "kind" in wanted:
            jobs = jobs.filter(kind=wanted["kind"])
        pages = KeysetPagination()
        rows = pages.paginate_queryset(jobs, request, self)
        return pages.get_paginated_response(JobSerializer(rows, many=True).data)


class JobDetail(ApiView):
    required_scope = Scope.JOBS_READ
    required_permission = "jobs.view_job"

    @extend_schema(operation_id="jobs_detail", summary="Follow a job", responses=JobSerializer)
    def get(self, request: Request, uuid: UUID) -> Response:
        """How far a job is, and what came of it."""
        return Response(JobSerializer(visible_job(request, uuid)).data)


class JobCancel(ApiView):
    required_scope = Scope.JOBS_WRITE
    required_permission = "jobs.change_job"

    @extend_schema(operation_id="jobs_cancel", summary="Stop a job", request=None, responses=JobSerializer)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Stop a job: at once while it is queued, at its next step while it runs. A finished one answers 409, one of somebody else 403."""
        job = visible_job(request, uuid)
        if job.created_by_id != caller(request).pk and not caller(request).has_perm("jobs.change_job"):
            raise Forbidden("permission_missing", "You may follow this job, but somebody else started it.")
        return Response(JobSerializer(cancel(job=job, by=actor_of(request))).data)


def visible_job(request: Request, uuid: UUID) -> Job:
    """The job, if the caller may see it.

    Raises:
        NotFound: there is none, or none for this caller.
    """
    job = Job.objects.visible_to(caller(request)).filter(uuid=uuid).first()
    if job is None:
        raise NotFound("job_not_found", "There is no such job.")
    return job

"""The screens for jobs: what runs, how far it is, what failed and why, and the way to stop it."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.errors import DomainError
from cdp.jobs.models import Job, JobState
from cdp.jobs.naming import named_for
from cdp.jobs.services import cancel

PAGE = 25


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:uuid>/", wrap(self.job_view), name="jobs_job_detail"),
            path("<uuid:uuid>/cancel/", wrap(require_POST(self.cancel_view)), name="jobs_job_cancel"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        chosen = request.GET.get("state", "")
        jobs = Job.objects.select_related("created_by")
        counts = dict(jobs.order_by().values_list("state").annotate(Count("pk")))
        if chosen in JobState.values:
            jobs = jobs.filter(state=chosen)
        page = Paginator(jobs, PAGE).get_page(request.GET.get("page"))
        page.object_list = named_for(reader_of(request), page.object_list)
        return render(
            request,
            "jobs/list.html",
            {
                "page": page,
                "chosen": chosen,
                "states": [(value, label, counts.get(value, 0)) for value, label in JobState.choices],
                "total": sum(counts.values()),
                "is_moving": any(not job.is_finished for job in page),
                "may_cancel": request.user.has_perm("jobs.change_job"),
            },
        )

    def job_view(self, request: HttpRequest, uuid: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        (job,) = named_for(reader_of(request), [get_object_or_404(Job.objects.select_related("created_by"), uuid=uuid)])
        context = {"job": job, "may_cancel": request.user.has_perm("jobs.change_job")}
        return render(request, "jobs/job.html", context)

    def cancel_view(self, request: HttpRequest, uuid: Any) -> HttpResponse:
        if not request.user.has_perm("jobs.change_job"):
            raise PermissionDenied
        job = get_object_or_404(Job, uuid=uuid)
        try:
            job = cancel(job=job, by=actor_of(request))
        except DomainError as error:
            messages.error(request, error.message)
        else:
            said = "Cancelled." if job.is_finished else "Asked to stop; it will at its next step."
            messages.success(request, said)
        # Back to the screen from which it was cancelled, if that is one of ours.
        then = request.POST.get("next", "")
        if then.startswith("/") and url_has_allowed_host_and_scheme(then, allowed_hosts=None):
            return redirect(then)
        return redirect("admin:jobs_job_detail", uuid=uuid)

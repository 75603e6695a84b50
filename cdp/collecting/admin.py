"""The screens for files of decisions: upload one, see what it comes to or what is to be mended, apply it, follow it."""

import csv
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.collecting.files import MOST_BYTES, MOST_ROWS, ask_to_apply, discard, upload
from cdp.collecting.foreseeing import preview
from cdp.collecting.models import ConsentImport, ImportState
from cdp.collecting.rows import EVIDENCE, NEEDED, OPTIONAL
from cdp.errors import DomainError
from consent.models import Purpose

PAGE = 25
ERRORS_SHOWN = 50


class UploadForm(forms.Form):
    file = forms.FileField(
        label="CSV file", help_text=f"UTF-8, at most {MOST_ROWS:,} rows and {MOST_BYTES // 1024**2} MB."
    )
    creates_people = forms.BooleanField(required=False, label="Make profiles for people who aren't known")


@admin.register(ConsentImport)
class ConsentImportAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "collecting_consentimport_{}".format
        return [
            path("new/", wrap(self.upload_view), name=name("upload")),
            path("<uuid:uuid>/", wrap(self.file_view), name=name("detail")),
            path("<uuid:uuid>/errors.csv", wrap(self.errors_view), name=name("errors")),
            path("<uuid:uuid>/apply/", wrap(require_POST(self.apply_view)), name=name("apply")),
            path("<uuid:uuid>/discard/", wrap(require_POST(self.discard_view)), name=name("discard")),
            *super().get_urls(),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("consent.view_consentrecord")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._may_look(request)
        page = Paginator(ConsentImport.objects.all(), PAGE).get_page(request.GET.get("page"))
        return render(request, "collecting/imports.html", {"page": page, "may_import": _may_import(request)})

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        if not _may_import(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                file = upload(
                    name=given["file"].name,
                    content=given["file"].file,
                    creates_people=given["creates_people"],
                    by=actor_of(request),
                )
                return redirect("admin:collecting_consentimport_detail", uuid=file.uuid)
            except DomainError as error:
                form.add_error("file", error.message)
        purposes = Purpose.objects.order_by("key").values_list("key", flat=True)
        columns = {"form": form, "needed": NEEDED, "optional": OPTIONAL, "evidence": EVIDENCE, "purposes": purposes}
        return render(request, "collecting/upload.html", columns, status=422 if form.errors else 200)

    def file_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        self._may_look(request)
        file = get_object_or_404(ConsentImport.objects.select_related("job"), uuid=uuid)
        return render(
            request,
            "collecting/import.html",
            {
                "file": file,
                "job": file.job,
                "preview": preview(file) if file.state == ImportState.READY else None,
                "errors": file.errors[:ERRORS_SHOWN],
                "may_import": _may_import(request),
                "is_moving": file.state == ImportState.APPLYING and not (file.job and file.job.is_finished),
            },
        )

    def errors_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """Row numbers and what to do; nothing of what stood there."""
        self._may_look(request)
        file = get_object_or_404(ConsentImport, uuid=uuid)
        headers = {"Content-Disposition": f'attachment; filename="errors-{file.uuid}.csv"'}
        response = HttpResponse(content_type="text/csv; charset=utf-8", headers=headers)
        writer = csv.writer(response)
        writer.writerow(["row", "column", "code", "what to do"])
        writer.writerows(file.errors)
        return response

    def apply_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        return self._act(
            request, uuid, lambda file: ask_to_apply(file=file, by=actor_of(request), user=reader_of(request))
        )

    def discard_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        response = self._act(request, uuid, lambda file: discard(file=file, by=actor_of(request)))
        is_gone = not ConsentImport.objects.filter(uuid=uuid).exists()
        return redirect("admin:collecting_consentimport_changelist") if is_gone else response

    def _act(self, request: HttpRequest, uuid: UUID, act: Any) -> HttpResponse:
        if not _may_import(request):
            raise PermissionDenied
        try:
            act(get_object_or_404(ConsentImport, uuid=uuid))
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:collecting_consentimport_detail", uuid=uuid)

    def _may_look(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _may_import(request: HttpRequest) -> bool:
    return request.user.has_perm("consent.add_consentrecord")

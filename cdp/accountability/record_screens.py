"""The screens of the record of processing: as it is now, as it was published, what is entered by hand, and taking it away."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.accountability import record
from cdp.accountability.models import Controller, PublishedRecord, PurposeEntry
from cdp.accountability.record import Content
from cdp.accountability.record_forms import ControllerForm, EntryForm, as_csv, as_json
from cdp.audit.admin_base import ReadOnlyAdmin, actor_of
from cdp.audit.services import record as put_on_record
from cdp.errors import DomainError
from consent.models import Purpose

HOME = "admin:accountability_publishedrecord_changelist"


@admin.register(PublishedRecord)
class RecordAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "accountability_publishedrecord"
        return [
            path("controller/", wrap(self.controller_view), name=f"{name}_controller"),
            path("purpose/<int:pk>/", wrap(self.entry_view), name=f"{name}_entry"),
            path("publish/", wrap(require_POST(self.publish_view)), name=f"{name}_publish"),
            path("now/<slug:form>/", wrap(self.now_view), name=f"{name}_now"),
            path("<int:number>/", wrap(self.version_view), name=f"{name}_version"),
            path("<int:number>/<slug:form>/", wrap(self.taken_view), name=f"{name}_taken"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._refuse_unless(request, "view_publishedrecord")
        content = record.compose()
        context = {
            **_shown(content),
            "versions": PublishedRecord.objects.defer("content"),
            "purposes": dict(Purpose.objects.values_list("key", "pk")),
            "may_change": request.user.has_perm("accountability.change_controller"),
            "may_publish": request.user.has_perm("accountability.add_publishedrecord"),
        }
        return render(request, "accountability/record.html", context)

    def version_view(self, request: HttpRequest, number: int) -> HttpResponse:
        self._refuse_unless(request, "view_publishedrecord")
        version = get_object_or_404(PublishedRecord, number=number)
        try:
            content = record.content_of(version)
        except DomainError as damaged:
            return render(
                request, "accountability/record_version.html", {"version": version, "damaged": damaged}, status=409
            )
        return render(request, "accountability/record_version.html", {**_shown(content), "version": version})

    # ---- Taking it away ------------------------------------------------------------------------------------------

    def now_view(self, request: HttpRequest, form: str) -> HttpResponse:
        """The record as it is now: to print, as JSON or as CSV."""
        self._refuse_unless(request, "view_publishedrecord")
        return self._taken(request, record.compose(), form, None)

    def taken_view(self, request: HttpRequest, number: int, form: str) -> HttpResponse:
        self._refuse_unless(request, "view_publishedrecord")
        version = get_object_or_404(PublishedRecord, number=number)
        try:
            content = record.content_of(version)
        except DomainError as damaged:
            return render(
                request, "accountability/record_version.html", {"version": version, "damaged": damaged}, status=409
            )
        return self._taken(request, content, form, version)

    @staticmethod
    def _taken(request: HttpRequest, content: Content, form: str, version: PublishedRecord | None) -> HttpResponse:
        name = f"record-of-processing-{version.number if version else 'now'}"
        match form:
            case "json":
                response = HttpResponse(as_json(content), content_type="application/json")
            case "csv":
                response = HttpResponse(as_csv(content), content_type="text/csv; charset=utf-8")
            case "print":
                response = render(request, "accountability/record_print.html", {**_shown(content), "version": version})
            case _:
                raise Http404
        if form != "print":
            response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
        with transaction.atomic():
            detail = {"form": form, "version": version.number if version else None}
            put_on_record(by=actor_of(request), action="record_of_processing.exported", detail=detail)
        return response

    # ---- Filling it in -------------------------------------------------------------------------------------------

    def publish_view(self, request: HttpRequest) -> HttpResponse:
        self._refuse_unless(request, "add_publishedrecord")
        try:
            version = record.publish(by=actor_of(request))
        except DomainError as error:
            messages.error(request, error.message)
            return redirect(HOME)
        messages.success(request, f"Version {version.number} is published.")
        return redirect("admin:accountability_publishedrecord_version", number=version.number)

    def controller_view(self, request: HttpRequest) -> HttpResponse:
        self._refuse_unless(request, "change_controller")
        form = ControllerForm(request.POST or None, instance=Controller.current())
        if request.method != "POST" or not form.is_valid():
            return self._form(request, form, "Controller")
        record.save_controller(values=form.cleaned_data, by=actor_of(request))
        messages.success(request, "Saved.")
        return redirect(HOME)

    def entry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._refuse_unless(request, "change_controller")
        purpose = get_object_or_404(Purpose, pk=pk)
        entry = PurposeEntry.objects.filter(purpose=purpose).first() or PurposeEntry(purpose=purpose)
        form = EntryForm(request.POST or None, instance=entry)
        if request.method != "POST" or not form.is_valid():
            return self._form(request, form, purpose.label)
        record.save_entry(purpose=purpose, values=form.cleaned_data, by=actor_of(request))
        messages.success(request, f"{purpose.label} is saved.")
        return redirect(HOME)

    @staticmethod
    def _form(request: HttpRequest, form: ControllerForm | EntryForm, title: str) -> HttpResponse:
        status = 422 if form.errors else 200
        return render(request, "accountability/record_form.html", {"form": form, "title": title}, status=status)

    @staticmethod
    def _refuse_unless(request: HttpRequest, permission: str) -> None:
        if not request.user.has_perm(f"accountability.{permission}"):
            raise PermissionDenied


def _shown(content: Content) -> dict[str, Any]:
    missing = record.missing(content)
    return {"content": content, "missing": missing, "lacking": _by_what(missing)}


def _by_what(missing: Iterable[record.Missing]) -> list[tuple[list[str], list[str]]]:
    """The parts that lack the very same, together with what they lack: before anything is entered they are all alike."""
    by_part: dict[str, list[str]] = {}
    for one in missing:
        by_part.setdefault(one.part, []).append(one.label)
    alike: dict[tuple[str, ...], list[str]] = {}
    for part, labels in by_part.items():
        alike.setdefault(tuple(labels), []).append(part)
    return [(parts, list(labels)) for labels, parts in alike.items()]
